"""A store's credits: its balance, its ledger, credits added to it, and its overage limit.

Deductions and refunds are not here: they happen together with the work they pay for, in
`storecredit.generation.lifecycle`.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storecredit.ledger.outcomes import (
    Addition,
    AdditionType,
    CreditError,
    MovementType,
    credit_error,
)
from storecredit.postgres.pool import Connection, Database, Record, StatementRefused

PAGE_MAX: Final = 100
WINDOW: Final = 500
"""How many movements of a whole ledger are looked at by one statement: work of milliseconds."""
AMOUNT_MAX: Final = 1_000_000_000
OVERAGE_LIMIT_MAX: Final = 1_000_000_000
_COLUMNS: Final = (
    "seq, type, amount, balance_after, request_id, session_id, description, created_at"
)


class CreditRowMissing(Exception):
    """A store without a credit row: impossible by construction, never answered as zero."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Credits a store has, was ever given, has spent (deductions less refunds) and lost again.

    `overage_used`: used beyond the balance and not billed yet; `overage_limit`: at most so many.
    The used may exceed a limit that was lowered since.
    """

    balance: int
    total_purchased: int
    total_spent: int
    total_clawed_back: int
    overage_used: int
    overage_limit: int


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of a store's ledger."""

    seq: int
    type: MovementType
    amount: int
    balance_after: int
    request_id: str
    session_id: UUID | None
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """Which movements to list; None leaves a field out. `from_` is inclusive, `to` exclusive."""

    type: MovementType | None = None
    request_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class MovementPage:
    """Movements, newest first; `next_before_seq` continues the list, None at its end."""

    items: tuple[Movement, ...]
    next_before_seq: int | None


class StoreCredits:
    """Reads and adds to the credits of stores."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def balance(self, store_id: UUID) -> Balance:
        """The store's credits now. Raises CreditRowMissing, DatabaseUnavailable."""
        return (await self.balances([store_id]))[store_id]

    async def balances(self, store_ids: Sequence[UUID]) -> dict[UUID, Balance]:
        """The credits of several stores at one moment; raises like `balance`."""
        found = await balances_of(self._database, store_ids)
        for store_id in store_ids:
            if store_id not in found:
                raise CreditRowMissing(f"store {store_id} has no credit row")
        return found

    async def count_at_zero(self) -> int:
        """How many active stores have a balance of 0. Reads every store's credits."""
        # No index: one on balances would be written at every movement of credits.
        count: int = await self._database.fetchval(
            """SELECT count(*) FROM store_credits c JOIN stores s ON s.store_id = c.store_id
               WHERE c.balance = 0 AND s.status = 'active'"""
        )
        return count

    async def add(
        self, store_id: UUID, amount: int, type_: AdditionType, request_id: str, description: str
    ) -> Addition:
        """Add 1 to `AMOUNT_MAX` credits, once per request id."""
        if not 1 <= amount <= AMOUNT_MAX:
            raise ValueError(f"amount must be 1 to {AMOUNT_MAX}, not {amount}")
        try:
            added = await self._database.fetchval(
                "SELECT add_store_credits($1, $2, $3, $4, $5)",
                store_id,
                amount,
                type_.value,
                request_id,
                description,
            )
        except StatementRefused as refused:
            match credit_error(refused):
                case CreditError.REQUEST_CONFLICT:
                    return Addition.CONFLICT
                case CreditError.UNKNOWN_STORE:
                    return Addition.UNKNOWN_OWNER
                case _:
                    raise
        return Addition.ADDED if added else Addition.ALREADY_ADDED

    async def set_overage_limit(self, store_id: UUID, limit: int) -> bool:
        """Let the store use up to `limit` credits beyond its balance until they are billed.

        0 to `OVERAGE_LIMIT_MAX`; 0 switches overage off. False: there is no such store.
        """
        if not 0 <= limit <= OVERAGE_LIMIT_MAX:
            raise ValueError(f"an overage limit is 0 to {OVERAGE_LIMIT_MAX}, not {limit}")
        return bool(
            await self._database.fetchval("SELECT set_store_overage_limit($1, $2)", store_id, limit)
        )

    async def movements(
        self,
        store_id: UUID,
        wanted: MovementFilter,
        *,
        limit: int,
        before_seq: int | None = None,
    ) -> MovementPage:
        """The store's ledger, newest first, at most `PAGE_MAX` rows at once."""
        limit = min(limit, PAGE_MAX)
        source = "store_credit_transactions"
        if wanted.request_id is not None:
            # OFFSET 0 has these few rows found first, by their index. Many stores call a request
            # "1": from that PostgreSQL would conclude that walking the ledger meets it soon.
            source = """(SELECT * FROM store_credit_transactions
                         WHERE store_id = $1 AND request_id = $4 OFFSET 0) t"""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM {source}
               WHERE store_id = $1
                 AND ($2::bigint IS NULL OR seq < $2)
                 AND ($3::text IS NULL OR type = $3)
                 AND ($4::text IS NULL OR request_id = $4)
                 AND ($5::timestamptz IS NULL OR created_at >= $5)
                 AND ($6::timestamptz IS NULL OR created_at < $6)
               ORDER BY seq DESC LIMIT $7""",  # noqa: S608 - constants
            store_id,
            before_seq,
            wanted.type.value if wanted.type else None,
            wanted.request_id,
            wanted.from_,
            wanted.to,
            limit + 1,
        )
        items = tuple(_movement(row) for row in rows[:limit])
        return MovementPage(items, items[-1].seq if len(rows) > limit else None)

    async def whole_ledger(
        self, store_id: UUID, wanted: MovementFilter
    ) -> AsyncGenerator[tuple[Movement, ...]]:
        """The store's ledger, newest first, as it stands at the first step: no page, all of it.

        Each step reads what is wanted of the next `WINDOW` movements, which may be none. Between
        the steps no connection is held and no snapshot is kept open: rows of a ledger never change
        and have no gaps, and those that are added meanwhile stand above where the reading began.
        """
        if wanted.request_id is not None:
            yield (await self.movements(store_id, wanted, limit=PAGE_MAX)).items
            return
        newest = await self._database.fetchval(
            "SELECT seq FROM store_credit_transactions WHERE store_id = $1"
            " ORDER BY seq DESC LIMIT 1",
            store_id,
        )
        for last in range(newest or 0, 0, -WINDOW):
            rows = await self._database.fetch(
                f"""SELECT {_COLUMNS} FROM store_credit_transactions
                   WHERE store_id = $1 AND seq > $2 AND seq <= $3
                     AND ($4::text IS NULL OR type = $4)
                     AND ($5::timestamptz IS NULL OR created_at >= $5)
                     AND ($6::timestamptz IS NULL OR created_at < $6)
                   ORDER BY seq DESC""",  # noqa: S608 - constants
                store_id,
                last - WINDOW,
                last,
                wanted.type.value if wanted.type else None,
                wanted.from_,
                wanted.to,
            )
            yield tuple(_movement(row) for row in rows)


async def balances_of(
    source: Database | Connection, store_ids: Sequence[UUID]
) -> dict[UUID, Balance]:
    """The credits of these stores at one moment; one without a credit row is left out."""
    rows = await source.fetch(
        """SELECT store_id, balance, total_purchased, total_spent, total_clawed_back,
               overage_used, overage_limit
           FROM store_credits WHERE store_id = ANY ($1)""",
        store_ids,
    )
    return {row["store_id"]: _balance(row) for row in rows}


def _balance(row: Record) -> Balance:
    return Balance(
        balance=row["balance"],
        total_purchased=row["total_purchased"],
        total_spent=row["total_spent"],
        total_clawed_back=row["total_clawed_back"],
        overage_used=row["overage_used"],
        overage_limit=row["overage_limit"],
    )


def _movement(row: Record) -> Movement:
    return Movement(
        seq=row["seq"],
        type=MovementType(row["type"]),
        amount=row["amount"],
        balance_after=row["balance_after"],
        request_id=row["request_id"],
        session_id=row["session_id"],
        description=row["description"],
        created_at=row["created_at"],
    )
