"""What the operator has to look at: events that failed or fit nothing, credits and bills unpaid.

Each list is bounded, newest first, and says whether there is more. No credits move here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from storecredit.billing.charge_attempt import ChargeKind
from storecredit.billing.checkouts import owner_of
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.messages import COMPLETED_EVENT
from storecredit.billing.paddle.reading import about
from storecredit.billing.paddle.whereabouts import Whereabouts
from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PROBLEMS_MAX: Final = 100
TRANSACTIONS_MAX: Final = 100

_EVENTS: Final = "status = 'set_aside' OR status = 'failing'"
_CLAWBACKS: Final = "taken < credits AND dismissed_at IS NULL"
_BILLS: Final = "charged_at IS NULL AND dropped_at IS NULL AND last_error IS NOT NULL"
_OF_OWNER: Final = "($2::text IS NULL OR (a.owner_kind = $2 AND a.owner_id = $3))"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EventProblem:
    """An event that is failing or was set aside, the first of those that are the same problem.

    `about` is what was read of it: ids, amounts, status; of one that cannot be read, what is kept.
    None: nothing is. `transaction_ids`: the payments that the problem is about, oldest first, at
    most `TRANSACTIONS_MAX`; each can be booked by hand.
    """

    event_id: str
    event_type: str
    occurred_at: datetime
    received_at: datetime
    status: str
    attempts: int
    reason: str | None
    about: dict[str, object] | None
    transaction_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShortClawback:
    """A payment that went back, of whose credits only some could be taken."""

    adjustment_id: str
    transaction_id: str
    owner: Owner
    action: str
    credits: int
    taken: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UnpaidBill:
    """An overage bill or a top-up whose charge failed; `amount` in the currency's smallest unit.

    `period`: the bill's month; None for a top-up.
    """

    store_id: UUID
    kind: ChargeKind
    period: date | None
    request_id: str
    credits: int
    amount: int
    currency: str
    attempts: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """At most `PROBLEMS_MAX` of a kind, newest first; `truncated`: there are more."""

    items: tuple[T, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there is to look at."""

    events: Listed[EventProblem]
    clawbacks: Listed[ShortClawback]
    bills: Listed[UnpaidBill]

    @property
    def none(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.events.items or self.clawbacks.items or self.bills.items)


class Problems:
    """Finds what the operator has to look at."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._whereabouts = Whereabouts(buckets)

    async def find(self) -> Found:
        """All of it, now. Raises DatabaseUnavailable."""
        return Found(await self.events(), await self.clawbacks(), await self.bills())

    async def count(self) -> dict[str, int]:
        """How many there are of each kind, all of them. Raises DatabaseUnavailable."""
        rows = await fetched(
            self._buckets,
            f"""SELECT (SELECT count(DISTINCT (provider, coalesce(subject, event_id)))
                    FROM provider_events WHERE {_EVENTS}) AS events,
                   (SELECT count(*) FROM clawbacks WHERE {_CLAWBACKS}) AS clawbacks,
                   (SELECT count(*) FROM subscription_charges WHERE {_BILLS}) AS bills""",  # noqa: S608 - constants
        )
        counts: Counter[str] = Counter()
        for row in rows:
            counts.update(dict(row))
        return dict(counts)

    async def dismiss(self, problem_id: str, database: Database | None = None) -> bool:
        """Show an event or clawback no longer, once it was dealt with; false: there is none such.

        `problem_id` is the event's or the adjustment's id; all events of the same problem go with
        it. `database`: the bucket that has it; None: it is looked for. No credits move.
        """
        database = database or await self.place_of(problem_id)
        return bool(
            await database.fetchval("SELECT dismiss_billing_problem($1, $2)", PROVIDER, problem_id)
        )

    async def place_of(self, problem_id: str) -> Database:
        """The bucket that has this event or adjustment. Raises DatabaseUnavailable."""
        return await self._whereabouts.of_problem(problem_id)

    async def events(self) -> Listed[EventProblem]:
        """Events that are failing or were set aside; those about the same subject once."""
        rows = await fetched(
            self._buckets,
            f"""SELECT e.event_id, e.event_type, e.occurred_at, e.received_at, e.status, e.attempts,
                   e.reason, e.content, p.transaction_ids, p.newest
               FROM (
                   SELECT provider,
                       (array_agg(event_id ORDER BY received_at, event_id))[1] AS event_id,
                       (array_agg(content ->> 'id' ORDER BY received_at, event_id)
                           FILTER (WHERE event_type = $3
                                   AND content IS NOT NULL))[:$2] AS transaction_ids,
                       max(received_at) AS newest
                   FROM provider_events WHERE {_EVENTS}
                   GROUP BY provider, coalesce(subject, event_id)
                   ORDER BY newest DESC LIMIT $1
               ) p JOIN provider_events e USING (provider, event_id)
               ORDER BY p.newest DESC""",  # noqa: S608 - a constant
            PROBLEMS_MAX + 1,
            TRANSACTIONS_MAX,
            COMPLETED_EVENT,
        )
        return _listed([_event(row) for row in self._in_order(rows, "newest")])

    async def clawbacks(self, owner: Owner | None = None) -> Listed[ShortClawback]:
        """Clawbacks that found too few credits, of one owner or of all."""
        rows = await fetched(
            await self._asked(owner),
            f"""SELECT c.adjustment_id, c.provider_transaction_id, c.action, c.credits, c.taken,
                   c.created_at, a.owner_kind, a.owner_id
               FROM (SELECT * FROM clawbacks WHERE {_CLAWBACKS}) c
               JOIN payments p USING (provider, provider_transaction_id)
               JOIN accounts a USING (account_id) WHERE {_OF_OWNER}
               ORDER BY c.created_at DESC LIMIT $1""",  # noqa: S608 - constants
            PROBLEMS_MAX + 1,
            *_named(owner),
        )
        return _listed([_clawback(row) for row in self._in_order(rows, "created_at")])

    async def bills(self, owner: Owner | None = None) -> Listed[UnpaidBill]:
        """Overage bills and top-ups that could not be charged so far, of one store or of all."""
        rows = await fetched(
            await self._asked(owner),
            f"""SELECT a.owner_id AS store_id, b.kind, b.period, b.request_id, b.credits, b.amount,
                   b.currency, b.attempts, b.last_error, b.created_at
               FROM subscription_charges b JOIN accounts a USING (account_id)
               WHERE {_BILLS} AND {_OF_OWNER}
               ORDER BY b.created_at DESC, b.account_id LIMIT $1""",  # noqa: S608 - constants
            PROBLEMS_MAX + 1,
            *_named(owner),
        )
        return _listed([_bill(row) for row in self._in_order(rows, "created_at")])

    async def _asked(self, owner: Owner | None) -> Buckets:
        """Whoever may have something of this owner; None: of anybody."""
        return self._buckets if owner is None else await self._buckets.of(owner)

    def _in_order(self, rows: list[Record], moment: str) -> list[Record]:
        """The newest first, whatever bucket they are of; each bucket's are already."""
        if not self._buckets.several:
            return rows
        return sorted(rows, key=lambda row: row[moment], reverse=True)


def _named(owner: Owner | None) -> tuple[str | None, UUID | None]:
    return (None, None) if owner is None else (owner.kind, owner.id)


def _listed(found: Sequence[T]) -> Listed[T]:
    return Listed(tuple(found[:PROBLEMS_MAX]), truncated=len(found) > PROBLEMS_MAX)


def _event(row: Record) -> EventProblem:
    return EventProblem(
        event_id=row["event_id"],
        event_type=row["event_type"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        status=row["status"],
        attempts=row["attempts"],
        reason=row["reason"],
        about=None if row["content"] is None else about(row["event_type"], row["content"]),
        transaction_ids=tuple(each for each in row["transaction_ids"] or () if each is not None),
    )


def _bill(row: Record) -> UnpaidBill:
    return UnpaidBill(
        store_id=row["store_id"],
        kind=ChargeKind(row["kind"]),
        period=row["period"],
        request_id=row["request_id"],
        credits=row["credits"],
        amount=row["amount"],
        currency=row["currency"],
        attempts=row["attempts"],
        last_error=row["last_error"],
    )


def _clawback(row: Record) -> ShortClawback:
    return ShortClawback(
        adjustment_id=row["adjustment_id"],
        transaction_id=row["provider_transaction_id"],
        owner=owner_of(row),
        action=row["action"],
        credits=row["credits"],
        taken=row["taken"],
        created_at=row["created_at"],
    )
