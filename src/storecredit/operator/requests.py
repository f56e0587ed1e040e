"""Everything about a request, whoever's it is: what the operator asks for with an id in hand.

Read in one snapshot, on a connection beside the pool, so that no request of the service waits for
it. Of a generation's input nothing is read: prompts and image URLs are not the operator's to see
here. What the generator said is (`generator_message`), for as long as it is kept.
"""

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec

from storecredit.billing.paddle import PROVIDER
from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.identifiers import (
    IdentifierKind,
    Place,
    account_of,
    named_by,
    uuid_of,
)
from storecredit.operator.records import (
    BillRow,
    CheckoutRow,
    ClawbackRow,
    EventRow,
    HoldRow,
    MovementRow,
    PaymentRow,
    RequestRecord,
    RequestsFound,
    SessionRow,
    SpendRow,
    TopUpRow,
)
from storecredit.postgres.job_queue import living_jobs
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record

STATEMENT_MAX_SECONDS: Final = 20.0
"""For each statement; the longest asks all accounts."""
AT_ONCE_MAX: Final = 2
"""Requests that are looked up at the same time in a process; further ones wait."""
ROWS_MAX: Final = 1000
"""Rows of a kind, of all requests that an id names together; a request has few."""


# $1 and $2: the places, as arrays of accounts and request ids. Each is looked up by its key.
_OWNERS: Final = """
    SELECT a.account_id, a.owner_kind, a.owner_id, s.name
    FROM accounts a LEFT JOIN stores s ON a.owner_kind = 'store' AND s.store_id = a.owner_id
    WHERE a.account_id = ANY ($1)
"""
_MOVEMENT: Final = """
    m.seq, m.type, m.amount, m.request_id, m.origin_seq, m.balance_after,
    coalesce(m.held_after, 0) AS held_after, m.spent_after AS total_spent_after,
    coalesce(m.clawed_back_after, 0) AS total_clawed_back_after,
    coalesce(m.expired_after, 0) AS total_expired_after,
    coalesce(m.removed_after, 0) AS total_removed_after,
    coalesce(m.overage_used_after, 0) AS overage_used_after,
    m.actor, m.session_id, m.description, m.created_at
"""
# Its own, those that these give back or carry on, and those that do so with them.
_MOVEMENTS: Final = f"""
    WITH own AS MATERIALIZED (
        SELECT p.account_id, p.request_id AS of_request, m.*
        FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id), LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id = p.account_id AND m.request_id = p.request_id OFFSET 0) m)
    SELECT * FROM (
        SELECT * FROM own
        UNION SELECT o.account_id, o.of_request, m.* FROM own o, LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id = o.account_id AND m.seq <= o.origin_seq
            ORDER BY m.account_id DESC, m.seq DESC LIMIT 1) m
        WHERE o.origin_seq IS NOT NULL
        UNION SELECT o.account_id, o.of_request, m.* FROM own o, LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id + 0 = o.account_id AND m.origin_seq = o.seq OFFSET 0) m
    ) x
    ORDER BY account_id, seq LIMIT $3
"""  # noqa: S608 - constants
# Those that the movements name; `input` is not among the columns, and is not to be.
_SESSIONS: Final = """
    SELECT s.account_id, s.session_id, s.status, s.credits AS credits_charged, s.attempts,
        s.error_code, s.error_message, s.generator_message, s.metadata, s.created_at,
        s.started_at, s.completed_at
    FROM unnest($1::bigint[], $2::uuid[]) p (account_id, session_id)
    JOIN sessions s USING (account_id, session_id)
    ORDER BY s.created_at LIMIT $3
"""
_SPENDS: Final = """
    SELECT s.account_id, s.request_id AS of_request, s.metadata, s.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN spends s USING (account_id, request_id)
    ORDER BY s.created_at LIMIT $3
"""
_IS_OVER: Final = "h.ended_at IS NULL AND h.expires_at <= now()"
_HOLDS: Final = f"""
    SELECT h.account_id, h.request_id AS of_request, h.hold_id,
        CASE WHEN {_IS_OVER} THEN 'expired' ELSE h.status END AS status, h.amount,
        CASE WHEN {_IS_OVER} THEN 0 ELSE h.captured END AS captured, h.description, h.metadata,
        h.created_at, h.expires_at,
        CASE WHEN {_IS_OVER} THEN h.expires_at ELSE h.ended_at END AS ended_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN holds h ON h.account_id + 0 = p.account_id AND h.request_id = p.request_id
    ORDER BY h.created_at LIMIT $3
"""  # noqa: S608 - constants
_CHECKOUTS: Final = """
    SELECT c.account_id, c.request_id AS of_request, c.checkout_id, c.purchase_type, c.plan,
        c.credits, c.amount, c.currency, c.provider_transaction_id AS transaction_id, c.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN checkouts c USING (account_id, request_id)
    ORDER BY c.created_at LIMIT $3
"""
_PAYMENTS: Final = """
    SELECT y.account_id, y.request_id AS of_request, y.provider_transaction_id AS transaction_id,
        y.provider_subscription_id AS subscription_id, y.kind, y.credits, y.amount, y.currency,
        y.paid_at, y.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN payments y USING (account_id, request_id)
    ORDER BY y.created_at LIMIT $3
"""
_CLAWBACKS: Final = """
    SELECT y.account_id, y.request_id AS of_request, k.adjustment_id,
        k.provider_transaction_id AS transaction_id, k.action, k.amount, k.credits, k.taken,
        k.created_at, k.dismissed_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN payments y USING (account_id, request_id)
    JOIN clawbacks k USING (provider, provider_transaction_id)
    ORDER BY k.created_at LIMIT $3
"""
_BILLS: Final = """
    SELECT b.account_id, b.request_id AS of_request, b.period, b.seq, b.credits, b.amount,
        b.currency, b.attempts, b.provider_transaction_id AS transaction_id, b.last_error,
        b.created_at, b.charged_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN subscription_charges b USING (account_id, request_id)
    WHERE b.kind = 'overage'
    ORDER BY b.period LIMIT $3
"""
_TOP_UPS: Final = """
    SELECT b.account_id, b.request_id AS of_request, b.credits, b.amount, b.currency, b.attempts,
        b.provider_transaction_id AS transaction_id, b.last_error, b.created_at, b.charged_at,
        b.dropped_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN subscription_charges b USING (account_id, request_id)
    WHERE b.kind = 'top_up'
    ORDER BY b.created_at LIMIT $3
"""
_EVENTS: Final = """
    SELECT e.event_id, e.event_type, array_remove(
            ARRAY[e.content ->> 'id', e.content ->> 'transaction_id'], NULL) AS about,
        e.status, e.attempts, e.reason, e.occurred_at, e.received_at, e.settled_at
    FROM (
        SELECT provider, event_id FROM provider_events WHERE content ->> 'id' = ANY ($1)
        UNION SELECT provider, event_id FROM provider_events
        WHERE content ->> 'transaction_id' = ANY ($1)
        UNION SELECT provider, event_id FROM provider_events
        WHERE provider = ANY ($2) AND event_id = ANY ($1)
    ) f JOIN provider_events e USING (provider, event_id)
    ORDER BY e.occurred_at, e.event_id LIMIT $3
"""


# What carries a request's own ids, by the field of its record.
_ROWS: Final[tuple[tuple[str, type[msgspec.Struct], str], ...]] = (
    ("movements", MovementRow, _MOVEMENTS),
    ("spends", SpendRow, _SPENDS),
    ("holds", HoldRow, _HOLDS),
    ("checkouts", CheckoutRow, _CHECKOUTS),
    ("payments", PaymentRow, _PAYMENTS),
    ("clawbacks", ClawbackRow, _CLAWBACKS),
    ("overage_bills", BillRow, _BILLS),
    ("top_ups", TopUpRow, _TOP_UPS),
)


class Requests:
    """Looks up what an id names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looking = asyncio.Semaphore(AT_ONCE_MAX)

    async def find(self, identifier: str, owner: Owner | None = None) -> RequestsFound:
        """Everything about the requests that `identifier` names, of `owner` or of everybody.

        `identifier` is any of `IdentifierKind`, up to `IDENTIFIER_MAX` characters. What names
        nothing, or an owner that there is not, finds nothing. Raises StatementCancelled where it
        takes longer than `STATEMENT_MAX_SECONDS`, DatabaseUnavailable.
        """
        async with (
            self._looking,
            self._database.snapshot(statement_seconds=STATEMENT_MAX_SECONDS) as connection,
        ):
            account_id = None if owner is None else await account_of(connection, owner)
            if owner is not None and account_id is None:
                return RequestsFound([], [], truncated=False)
            named = await named_by(connection, identifier, account_id, [PROVIDER])
            reading = _Reading(connection, identifier, named.places)
            await reading.requests()
            others = await reading.events(is_for_all=account_id is None)
            return RequestsFound(list(reading.records.values()), others, named.truncated)


class _Reading:
    """The rows of the requests that an id names, inside one snapshot."""

    def __init__(
        self,
        connection: Connection,
        identifier: str,
        places: dict[Place, tuple[IdentifierKind, ...]],
    ) -> None:
        self._connection = connection
        self._identifier = identifier
        self._found_as = places
        self.records: dict[Place, RequestRecord] = {}

    async def requests(self) -> None:
        """Whose they are, and all rows that carry their ids."""
        if not self._found_as:
            return
        accounts = [place.account_id for place in self._found_as]
        request_ids = [place.request_id for place in self._found_as]
        rows = await self._connection.fetch(_OWNERS, accounts)
        owners = {row["account_id"]: row for row in rows}
        for place, found_as in self._found_as.items():
            self.records[place] = _record(place, found_as, owners.get(place.account_id))
        for field, row_type, statement in _ROWS:
            rows = await self._connection.fetch(statement, accounts, request_ids, ROWS_MAX)
            for row in rows:
                fields = _fields(row)
                record = self.records[Place(fields.pop("account_id"), fields.pop("of_request"))]
                getattr(record, field).append(row_type(**fields))
        await self._sessions()

    async def events(self, *, is_for_all: bool) -> list[EventRow]:
        """Put the webhooks to the requests they are about; what is left are those about none.

        Whose such a one is nobody knows: it is told only where no owner was asked for.
        """
        ids = {place: self._provider_ids(record) for place, record in self.records.items()}
        wanted = sorted({self._identifier}.union(*ids.values()))
        others = []
        for row in await self._connection.fetch(_EVENTS, wanted, [PROVIDER], ROWS_MAX):
            event = EventRow(**row)
            places = [place for place, known in ids.items() if not known.isdisjoint(event.about)]
            for place in places:
                self.records[place].events.append(event)
            if not places and is_for_all:
                others.append(event)
        return others

    async def _sessions(self) -> None:
        """The generations that the movements are for, and the one that was asked for."""
        place_of: dict[tuple[int, UUID], Place] = {}
        for place, record in self.records.items():
            ids = {
                movement.session_id
                for movement in record.movements
                if movement.request_id == place.request_id
            }
            if IdentifierKind.SESSION in record.found_as:
                ids.add(uuid_of(self._identifier))
            place_of |= {(place.account_id, each): place for each in ids if each is not None}
        rows = await self._connection.fetch(
            _SESSIONS,
            [account_id for account_id, _ in place_of],
            [session_id for _, session_id in place_of],
            ROWS_MAX,
        )
        jobs = await living_jobs(
            self._connection, ENTRYPOINT, [str(row["session_id"]) for row in rows]
        )
        for row in rows:
            fields = _fields(row)
            place = place_of[fields.pop("account_id"), fields["session_id"]]
            job = jobs.get(str(fields["session_id"]))
            self.records[place].sessions.append(SessionRow(**fields, job=job))

    def _provider_ids(self, record: RequestRecord) -> set[str]:
        """What the provider calls the things of a request that its webhooks may be about."""
        ids = [row.transaction_id for row in record.checkouts]
        ids += [row.transaction_id for row in record.payments]
        ids += [row.transaction_id for row in record.overage_bills]
        ids += [row.transaction_id for row in record.top_ups]
        ids += [row.adjustment_id for row in record.clawbacks]
        if IdentifierKind.SUBSCRIPTION in record.found_as:
            ids.append(self._identifier)
        return {each for each in ids if each is not None}


def _fields(row: Record) -> dict[str, Any]:
    """A row's columns; the driver has JSON as its text."""
    fields = dict(row)
    if fields.get("metadata") is not None:
        fields["metadata"] = msgspec.json.decode(fields["metadata"], type=dict[str, str])
    return fields


def _record(
    place: Place, found_as: tuple[IdentifierKind, ...], owner: Record | None
) -> RequestRecord:
    """A request without its rows; an account that there is not has no owner."""
    kind = None if owner is None else owner["owner_kind"]
    owner_id = None if owner is None else owner["owner_id"]
    return RequestRecord(
        request_id=place.request_id,
        store_id=owner_id if kind == OwnerKind.STORE else None,
        store_name=None if owner is None else owner["name"],
        user_id=owner_id if kind == OwnerKind.USER else None,
        found_as=found_as,
    )
