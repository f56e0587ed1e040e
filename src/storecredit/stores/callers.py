"""Who sends a request: what the database says of API keys and origins, asked for many at once.

Every answer is kept in memory (`lookups.py`), one for each key in use.
"""

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from storecredit.postgres.kept_connections import KeptConnections
from storecredit.stores.lookups import Answer
from storecredit.stores.origins import normalise_origin

# Both are asked for many at once. LIMIT 1 keeps each to its own walk down an index, whatever the
# planner believes of the tables; OFFSET 0, that it begins with the keys and not with the stores.
CALLERS_BY_HASH: Final = """
SELECT asked.place, found.*
FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (key_hash, place)
CROSS JOIN LATERAL (
    SELECT k.store_id, a.account_id, s.tier, k.allowed_origins,
        extract(epoch FROM k.expires_at - now())::float8 AS expires_in_seconds,
        CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
             WHEN k.expires_at <= now() THEN 'expired'
             WHEN s.status <> 'active' THEN 'suspended' END AS refused_as
    FROM store_api_keys k JOIN stores s ON s.store_id = k.store_id
        LEFT JOIN accounts a ON a.owner_id = k.store_id AND a.owner_kind = 'store'
    WHERE k.key_hash = asked.key_hash
    LIMIT 1
) AS found"""
LONGEST_LISTINGS: Final = """
SELECT asked.place, found.expires_in_seconds
FROM unnest($1::text[]) WITH ORDINALITY AS asked (origin, place)
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM k.expires_at - now())::float8 AS expires_in_seconds
    FROM (
        SELECT l.store_id, l.expires_at FROM store_api_keys l
        WHERE l.allowed_origins @> ARRAY[asked.origin]
          AND l.revoked_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > now())
        OFFSET 0
    ) k JOIN stores s ON s.store_id = k.store_id AND s.status = 'active'
    ORDER BY k.expires_at DESC NULLS FIRST
    LIMIT 1
) AS found"""

NO_ORIGINS: Final[frozenset[str]] = frozenset()
"""What most keys list: one for all that are cached."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who sends an authenticated request: what its API key says, and nothing else can change.

    Kept for each key that is in use: it holds what a request needs, and no more. `account_id` None:
    the store's account is lost, impossible by construction, and the key no less genuine for it.
    """

    store_id: UUID
    account_id: int | None
    tier: str
    allowed_origins: frozenset[str]

    def allows(self, origin: str) -> bool:
        """Whether the key lists this `Origin` header's value; an empty list lists none."""
        return normalise_origin(origin) in self.allowed_origins


class RefusalCause(StrEnum):
    """Why a key that was really issued is refused; what cannot be mended comes first."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    """Its store is; the key works again when the store does."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The key is genuine, and does not work."""

    store_id: UUID
    cause: RefusalCause


async def callers_by_hash(
    connections: KeptConnections, digests: Sequence[bytes]
) -> dict[bytes, Answer[Caller | Refused]]:
    """Whose keys have these hashes, of one bucket; one that no key has is left out."""
    rows = await connections.fetch(CALLERS_BY_HASH, digests)
    return {digests[place - 1]: _whose(*row) for place, *row in rows}


async def listed_origins(
    connections: KeptConnections, origins: Sequence[str]
) -> dict[str, Answer[bool]]:
    """Which of these origins some key of one bucket that works lists, and until when.

    The others are left out.
    """
    rows = await connections.fetch(LONGEST_LISTINGS, origins)
    return {
        origins[place - 1]: Answer(value=True, expires_in_seconds=expires_in_seconds)
        for place, expires_in_seconds in rows
    }


def _whose(
    store_id: UUID,
    account_id: int | None,
    tier: str,
    allowed_origins: list[str],
    expires_in_seconds: float | None,
    refused_as: str | None,
) -> Answer[Caller | Refused]:
    if refused_as is not None:
        # As with a key that is unknown: the next request asks again.
        return Answer(Refused(store_id, RefusalCause(refused_as)), 0.0)
    # There are few tiers, and a key for each of many stores: one text for all that are cached.
    origins = frozenset(allowed_origins) if allowed_origins else NO_ORIGINS
    return Answer(Caller(store_id, account_id, sys.intern(tier), origins), expires_in_seconds)
