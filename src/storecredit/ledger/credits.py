"""An owner's credits: its balance, its ledger, credits added to it, and its overage limit.

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
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record

PAGE_MAX: Final = 100
WINDOW: Final = 500
"""How many movements of a whole ledger are looked at by one statement: work of milliseconds."""
OFFSET_MAX: Final = 2**63 - 1
"""What PostgreSQL can count to: nobody has that many movements."""
AMOUNT_MAX: Final = 1_000_000_000
OVERAGE_LIMIT_MAX: Final = 1_000_000_000
_COLUMNS: Final = (
    "seq, type, amount, balance_after, request_id, session_id, description, created_at"
)
# The owner is the first two arguments of a statement.
_ACCOUNT: Final = (
    "(SELECT a.account_id FROM accounts a WHERE a.owner_kind = $1 AND a.owner_id = $2)"
)
# What an account has is what its newest movement left: the last one in the order of its key.
_BALANCES: Final = """
    SELECT a.account_id, a.owner_id, a.overage_limit, m.balance_after, m.spent_after,
        m.clawed_back_after, m.overage_used_after, coalesce(m.created_at, a.created_at) AS moved_at
    FROM accounts a LEFT JOIN LATERAL (
        SELECT n.balance_after, n.spent_after, n.clawed_back_after, n.overage_used_after,
            n.created_at
        FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
"""


class AccountMissing(Exception):
    """An owner without an account: impossible by construction, never answered as zero."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Credits an owner has, was ever given, has spent (deductions less refunds) and lost again.

    `overage_used`: used beyond the balance and not billed yet; `overage_limit`: at most so many.
    The used may exceed a limit that was lowered since. `moved_at`: when they last moved.
    """

    balance: int
    total_added: int
    total_spent: int
    total_clawed_back: int
    overage_used: int
    overage_limit: int
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger. `amount` is positive: the type gives the sign."""

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


class Credits:
    """Reads and adds to the credits of stores and end users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account_id(self, owner: Owner) -> int:
        """The id of the owner's account. Raises AccountMissing, DatabaseUnavailable."""
        account_id: int | None = await self._database.fetchval(
            f"SELECT {_ACCOUNT}", owner.kind, owner.id
        )
        if account_id is None:
            raise AccountMissing(f"{owner.kind} {owner.id} has no account")
        return account_id

    async def balance(self, owner: Owner) -> Balance:
        """The owner's credits now. Raises AccountMissing, DatabaseUnavailable."""
        return (await self.balances(owner.kind, [owner.id]))[owner.id]

    async def balances(self, kind: OwnerKind, owner_ids: Sequence[UUID]) -> dict[UUID, Balance]:
        """The credits of several owners of a kind at one moment; raises like `balance`."""
        rows = await self._database.fetch(
            f"{_BALANCES} WHERE a.owner_kind = $1 AND a.owner_id = ANY ($2)", kind, owner_ids
        )
        found = {row["owner_id"]: _balance(row) for row in rows}
        for owner_id in owner_ids:
            if owner_id not in found:
                raise AccountMissing(f"{kind} {owner_id} has no account")
        return found

    async def count_at_zero(self) -> int:
        """How many active stores have a balance of 0. Reads every store's newest movement."""
        # No index: one on balances would be written at every movement of credits.
        count: int = await self._database.fetchval(
            f"""SELECT count(*) FROM ({_BALANCES} WHERE a.owner_kind = 'store') b
               JOIN stores s ON s.store_id = b.owner_id
               WHERE coalesce(b.balance_after, 0) = 0 AND s.status = 'active'"""  # noqa: S608 - a constant
        )
        return count

    async def add(
        self, owner: Owner, amount: int, type_: AdditionType, request_id: str, description: str
    ) -> Addition:
        """Add 1 to `AMOUNT_MAX` credits, once per request id."""
        if not 1 <= amount <= AMOUNT_MAX:
            raise ValueError(f"amount must be 1 to {AMOUNT_MAX}, not {amount}")
        try:
            added = await self._database.fetchval(
                "SELECT add_to_account(account_of($1, $2), $3, $4, $5, $6)",
                owner.kind,
                owner.id,
                amount,
                type_.value,
                request_id,
                description,
            )
        except StatementRefused as refused:
            match credit_error(refused):
                case CreditError.REQUEST_CONFLICT:
                    return Addition.CONFLICT
                case CreditError.UNKNOWN_STORE | CreditError.UNKNOWN_USER:
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
            await self._database.fetchval(
                f"SELECT set_overage_limit({_ACCOUNT}, $3)",
                OwnerKind.STORE,
                store_id,
                limit,
            )
        )

    async def movements(
        self,
        owner: Owner,
        wanted: MovementFilter,
        *,
        limit: int,
        before_seq: int | None = None,
    ) -> MovementPage:
        """The owner's ledger, newest first, at most `PAGE_MAX` rows at once."""
        limit = min(limit, PAGE_MAX)
        source = "movements"
        if wanted.request_id is not None:
            # OFFSET 0 has these few rows found first, by their index. Many stores call a request
            # "1": from that PostgreSQL would conclude that walking the ledger meets it soon.
            source = f"""(SELECT * FROM movements
                         WHERE account_id = {_ACCOUNT} AND request_id = $5 OFFSET 0) t"""  # noqa: S608 - constants
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM {source}
               WHERE account_id = {_ACCOUNT}
                 AND ($3::bigint IS NULL OR seq < $3)
                 AND ($4::text IS NULL OR type = $4)
                 AND ($5::text IS NULL OR request_id = $5)
                 AND ($6::timestamptz IS NULL OR created_at >= $6)
                 AND ($7::timestamptz IS NULL OR created_at < $7)
               ORDER BY seq DESC LIMIT $8""",  # noqa: S608 - constants
            owner.kind,
            owner.id,
            before_seq,
            wanted.type.value if wanted.type else None,
            wanted.request_id,
            wanted.from_,
            wanted.to,
            limit + 1,
        )
        items = tuple(_movement(row) for row in rows[:limit])
        return MovementPage(items, items[-1].seq if len(rows) > limit else None)

    async def movements_from(
        self, owner: Owner, *, limit: int, offset: int
    ) -> tuple[Movement, ...]:
        """The owner's ledger, newest first, from the `offset`-th on; at most `PAGE_MAX` rows."""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM movements WHERE account_id = {_ACCOUNT}
               ORDER BY seq DESC LIMIT $3 OFFSET $4""",  # noqa: S608 - constants
            owner.kind,
            owner.id,
            min(limit, PAGE_MAX),
            min(offset, OFFSET_MAX),
        )
        return tuple(_movement(row) for row in rows)

    async def whole_ledger(
        self, owner: Owner, wanted: MovementFilter
    ) -> AsyncGenerator[tuple[Movement, ...]]:
        """The owner's ledger, newest first, as it stands at the first step: no page, all of it.

        Each step reads what is wanted of the next `WINDOW` movements, which may be none. Between
        the steps no connection is held and no snapshot is kept open: rows of a ledger never change
        and have no gaps, and those that are added meanwhile stand above where the reading began.
        """
        if wanted.request_id is not None:
            yield (await self.movements(owner, wanted, limit=PAGE_MAX)).items
            return
        newest = await self._database.fetchval(
            f"SELECT seq FROM movements WHERE account_id = {_ACCOUNT} ORDER BY seq DESC LIMIT 1",  # noqa: S608 - constants
            owner.kind,
            owner.id,
        )
        for last in range(newest or 0, 0, -WINDOW):
            rows = await self._database.fetch(
                # OFFSET 0 has the window found first, by its index: not all that is of a type.
                f"""SELECT {_COLUMNS} FROM (
                       SELECT * FROM movements
                       WHERE account_id = {_ACCOUNT} AND seq > $3 AND seq <= $4 OFFSET 0) t
                   WHERE ($5::text IS NULL OR type = $5)
                     AND ($6::timestamptz IS NULL OR created_at >= $6)
                     AND ($7::timestamptz IS NULL OR created_at < $7)
                   ORDER BY seq DESC""",  # noqa: S608 - constants
                owner.kind,
                owner.id,
                last - WINDOW,
                last,
                wanted.type.value if wanted.type else None,
                wanted.from_,
                wanted.to,
            )
            yield tuple(_movement(row) for row in rows)


async def balances_of(
    source: Database | Connection, account_ids: Sequence[int]
) -> dict[int, Balance]:
    """The credits of these accounts at one moment; one that there is not is left out."""
    rows = await source.fetch(f"{_BALANCES} WHERE a.account_id = ANY ($1)", account_ids)
    return {row["account_id"]: _balance(row) for row in rows}


def _balance(row: Record) -> Balance:
    balance = row["balance_after"] or 0
    spent = row["spent_after"] or 0
    clawed_back = row["clawed_back_after"] or 0
    return Balance(
        balance=balance,
        # Nothing else changes a balance: what came in is what is there and what went out.
        total_added=balance + spent + clawed_back,
        total_spent=spent,
        total_clawed_back=clawed_back,
        overage_used=row["overage_used_after"] or 0,
        overage_limit=row["overage_limit"],
        moved_at=row["moved_at"],
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
