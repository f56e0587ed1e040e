"""What an id may name that is no request: stores, end users, keys, endpoints, operators' tokens."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection


class ThingKind(StrEnum):
    """What it is."""

    STORE = "store"
    USER = "user"
    API_KEY = "api_key"
    ENDPOINT = "webhook_endpoint"
    ADMIN_TOKEN = "admin_token"  # noqa: S105 - a kind


class ThingRow(msgspec.Struct, frozen=True):
    """Something with an id of its own: what it is called, how it stands, and whose it is.

    `store_id` and `user_id` both null: it is the operator's.
    """

    kind: ThingKind
    id: UUID
    name: str
    status: str
    store_id: UUID | None
    user_id: UUID | None
    created_at: datetime


# Each by an index. Of a key the first characters are shown, which people know it by.
_THINGS: Final = """
    SELECT 'store' AS kind, s.store_id AS id, s.name, s.status, s.store_id, NULL::uuid AS user_id,
        s.created_at
    FROM stores s WHERE s.store_id = $1
    UNION ALL SELECT 'user', u.user_id, '', u.status, NULL, u.user_id, u.created_at
    FROM users u WHERE u.user_id = $1
    UNION ALL SELECT 'api_key', k.key_id, concat_ws(' ', k.key_start || '…', nullif(k.label, '')),
        CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= now() THEN 'expired' ELSE 'active' END,
        k.store_id, NULL, k.created_at
    FROM store_api_keys k WHERE k.key_id = $1
    UNION ALL SELECT 'webhook_endpoint', w.endpoint_id, w.description, w.status,
        CASE a.owner_kind WHEN 'store' THEN a.owner_id END, NULL, w.created_at
    FROM webhook_endpoints w LEFT JOIN accounts a ON a.account_id = w.account_id
    WHERE w.endpoint_id = $1
    UNION ALL SELECT 'admin_token', t.token_id, t.name,
        CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked'
            WHEN t.expires_at <= now() THEN 'expired' ELSE 'active' END,
        NULL, NULL, t.created_at
    FROM admin_tokens t WHERE t.token_id = $1
"""


async def things_named(
    source: Database | Connection, id_: UUID, owner: Owner | None
) -> list[ThingRow]:
    """What bears this id, of everybody or of one owner; in the order of `ThingKind`."""
    rows = await source.fetch(_THINGS, id_)
    things = [ThingRow(**{**row, "kind": ThingKind(row["kind"])}) for row in rows]
    return [each for each in things if owner is None or _is_of(each, owner)]


def in_order(things: Iterable[ThingRow]) -> list[ThingRow]:
    """What several buckets have of it, each thing once, in the order of `ThingKind`."""
    found = {(each.kind, each.id): each for each in things}
    return sorted(found.values(), key=lambda each: list(ThingKind).index(each.kind))


def _is_of(thing: ThingRow, owner: Owner) -> bool:
    return owner.id == (thing.store_id if owner.kind is OwnerKind.STORE else thing.user_id)
