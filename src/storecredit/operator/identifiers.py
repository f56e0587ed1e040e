"""Which requests an id names, over all stores and end users.

An id may be pasted from anywhere: a request id, a generation's session, a hold, a checkout, a
webhook of ours, or what the payment provider calls a transaction, subscription, adjustment or
event. It is taken for all of these at once; where the owner is said, a number also for a
movement's, which names a grant, too. What it names is a request of an account; the same request id
of two owners names two, and an id that names nothing names none.

Sales are found by indexes of their own. A request, a session and a hold are unique within their
account only, and no index leads with them: one that did would be written at every movement of
credits. So each account is asked by its key, in one statement, at 2 to 4.5 µs each: of
9,000 accounts a page took 32 ms (measured on two cores, all in memory); an id in the form of a
UUID a third more, as it may be a session or a hold, too. Where the owner is said, one account is
asked.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.webhooks.delivery_records import EVENT_ID_PREFIX

IDENTIFIER_MAX: Final = 200
"""Characters; no id is longer."""
NAMED_MAX: Final = 100
"""Requests that one id may name; many stores may call a request "1"."""


_NUMBER: Final = re.compile("[0-9]{1,18}", re.ASCII)


class IdentifierKind(StrEnum):
    """What an id is an id of."""

    REQUEST = "request_id"
    SESSION = "session_id"
    HOLD = "hold_id"
    CHECKOUT = "checkout_id"
    TRANSACTION = "transaction_id"
    SUBSCRIPTION = "subscription_id"
    ADJUSTMENT = "adjustment_id"
    EVENT = "event_id"
    WEBHOOK = "webhook_id"
    """Of a webhook of ours: `evt_` and 32 digits, as its receivers see it."""
    MOVEMENT = "seq"
    """The number of a movement in its owner's ledger, and of the grant that it made."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A request of one account."""

    account_id: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Named:
    """The requests that an id names, each with what the id is in it, in the order of accounts.

    `truncated`: there are more than `NAMED_MAX`.
    """

    places: dict[Place, tuple[IdentifierKind, ...]]
    truncated: bool

    @classmethod
    def of(cls, found: Iterable["Named"]) -> "Named":
        """What several buckets found."""
        all_found = list(found)
        every = [each for named in all_found for each in named.places.items()]
        is_more = any(named.truncated for named in all_found) or len(every) > NAMED_MAX
        return cls(dict(sorted(every)[:NAMED_MAX]), truncated=is_more)


# $1 is the id; $2 the account that is asked, in the statements that ask one.
_ACCOUNTS: Final = {
    True: "SELECT $2::bigint AS account_id",
    False: "SELECT account_id FROM accounts",
}
_BY_REQUEST: Final = """
    SELECT 'request_id' AS kind, a.account_id, $1::text AS request_id
    FROM ({accounts}) a, LATERAL (
        SELECT FROM movements m
        WHERE m.account_id = a.account_id AND m.request_id = $1 LIMIT 1) x
    LIMIT {most}
"""
# One pass over the key, which goes from account to account in its order; where these have few rows
# each, many are on one page of it.
_BY_SESSION: Final = """
    SELECT 'session_id' AS kind, s.account_id, s.request_id FROM sessions s
    WHERE s.account_id = ANY (ARRAY({accounts})) AND s.session_id = $1
    LIMIT {most}
"""
_BY_ARCHIVED: Final = """
    SELECT 'session_id' AS kind, a.account_id, m.request_id
    FROM ({accounts}) a, LATERAL (
        SELECT y.seq FROM archived_by_id(a.account_id, $1) y OFFSET 0) x, LATERAL (
        SELECT y.request_id FROM movements y
        WHERE y.account_id = a.account_id AND y.seq = x.seq LIMIT 1) m
    LIMIT {most}
"""
_BY_HOLD: Final = """
    SELECT 'hold_id' AS kind, h.account_id, h.request_id FROM holds h
    WHERE h.account_id = ANY (ARRAY({accounts})) AND h.hold_id = $1
    LIMIT {most}
"""
# Of a webhook that tells of a request; $2: the account that is asked, or null.
_BY_WEBHOOK: Final = """
    SELECT 'webhook_id' AS kind, e.account_id, e.data ->> 'request_id' AS request_id FROM events e
    WHERE e.event_id = $1 AND e.data ->> 'request_id' IS NOT NULL
        AND e.account_id = coalesce($2, e.account_id)
"""
_BY_SEQ: Final = """
    SELECT 'seq' AS kind, m.account_id, m.request_id FROM movements m
    WHERE m.account_id = $2 AND m.seq = $1 LIMIT 1
"""
_IDS_OF_EVENT: Final = """
    SELECT v.id FROM provider_events e, LATERAL (VALUES
        (e.content ->> 'id'), (e.content ->> 'transaction_id')) v (id)
    WHERE e.provider = ANY ({providers}) AND e.event_id = $1
"""
_OF_EVENT: Final = _IDS_OF_EVENT.format(providers="$2")
# Few rows beside those of the ledger, and each part by a key or in one pass over a small table.
# $5: transactions that an event of another bucket is about.
_BY_SALE: Final = f"""
    SELECT DISTINCT s.kind, s.account_id, s.request_id FROM (
        SELECT 'request_id' AS kind, c.account_id, c.request_id
        FROM checkouts c WHERE c.request_id = $1
        UNION ALL SELECT 'request_id', y.account_id, y.request_id
        FROM payments y WHERE y.request_id = $1
        UNION ALL SELECT 'request_id', b.account_id, b.request_id
        FROM subscription_charges b WHERE b.request_id = $1
        UNION ALL SELECT 'checkout_id', c.account_id, c.request_id
        FROM checkouts c WHERE c.checkout_id::text = lower($1)
        UNION ALL SELECT 'transaction_id', c.account_id, c.request_id
        FROM checkouts c WHERE c.provider = ANY ($3) AND c.provider_transaction_id = $1
        UNION ALL SELECT 'transaction_id', y.account_id, y.request_id
        FROM payments y WHERE y.provider = ANY ($3) AND y.provider_transaction_id = $1
        UNION ALL SELECT 'transaction_id', b.account_id, b.request_id
        FROM subscription_charges b WHERE b.provider = ANY ($3) AND b.provider_transaction_id = $1
        UNION ALL SELECT 'subscription_id', c.account_id, c.request_id
        FROM subscriptions u JOIN checkouts c USING (checkout_id)
        WHERE u.provider = ANY ($3) AND u.provider_subscription_id = $1
        UNION ALL SELECT 'adjustment_id', y.account_id, y.request_id
        FROM clawbacks k JOIN payments y USING (provider, provider_transaction_id)
        WHERE k.provider = ANY ($3) AND k.adjustment_id = $1
        UNION ALL SELECT 'event_id', y.account_id, y.request_id
        FROM payments y
        WHERE y.provider = ANY ($3)
            AND y.provider_transaction_id IN ({_IDS_OF_EVENT.format(providers="$3")})
        UNION ALL SELECT 'event_id', y.account_id, y.request_id
        FROM payments y WHERE y.provider = ANY ($3) AND y.provider_transaction_id = ANY ($5)
    ) s
    WHERE $2::bigint IS NULL OR s.account_id = $2
    ORDER BY s.account_id, s.request_id, s.kind
    LIMIT $4
"""  # noqa: S608 - constants


async def account_of(connection: Connection, owner: Owner) -> int | None:
    """The owner's account; None: there is no such owner."""
    account_id: int | None = await connection.fetchval(
        "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
        owner.kind,
        owner.id,
    )
    return account_id


async def transactions_of_event(
    connection: Connection, identifier: str, providers: Sequence[str]
) -> list[str]:
    """What the providers' event of this id is about; empty: there is none here."""
    rows = await connection.fetch(_OF_EVENT, identifier, providers)
    return [row["id"] for row in rows if row["id"] is not None]


async def named_by(
    source: Database | Connection,
    identifier: str,
    account_id: int | None,
    providers: Sequence[str],
    transactions: Sequence[str] = (),
) -> Named:
    """The requests of one bucket that `identifier` names, of one account or (None) of all.

    `providers`: whose ids it may be. `transactions`: what an event of this id that stands in
    another bucket is about. Raises DatabaseUnavailable.
    """
    only = [] if account_id is None else [account_id]
    found = [
        *await source.fetch(_in(_BY_REQUEST, only), identifier, *only),
        *await source.fetch(
            _BY_SALE, identifier, account_id, providers, NAMED_MAX + 1, transactions
        ),
    ]
    as_uuid = uuid_of(identifier)
    if as_uuid is not None:
        found += await source.fetch(_in(_BY_SESSION, only), as_uuid, *only)
        found += await source.fetch(_in(_BY_ARCHIVED, only), as_uuid, *only)
        found += await source.fetch(_in(_BY_HOLD, only), as_uuid, *only)
    as_webhook = webhook_of(identifier)
    if as_webhook is not None:
        found += await source.fetch(_BY_WEBHOOK, as_webhook, account_id)
    if account_id is not None and _NUMBER.fullmatch(identifier):
        found += await source.fetch(_BY_SEQ, int(identifier), account_id)
    kinds: dict[Place, set[IdentifierKind]] = {}
    for row in found:
        place = Place(row["account_id"], row["request_id"])
        kinds.setdefault(place, set()).add(IdentifierKind(row["kind"]))
    places = {place: tuple(sorted(kinds[place])) for place in sorted(kinds)[:NAMED_MAX]}
    return Named(places, truncated=len(kinds) > NAMED_MAX)


def uuid_of(text: str) -> UUID | None:
    """The UUID that a text is; None: it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def webhook_of(text: str) -> UUID | None:
    """The event of ours that a text names, as receivers see it or by its UUID; None: none."""
    return uuid_of(text.removeprefix(EVENT_ID_PREFIX))


def _in(statement: str, only: list[int]) -> str:
    return statement.format(accounts=_ACCOUNTS[bool(only)], most=NAMED_MAX + 1)
