"""An owner's credits: its balance, its ledger, credits added to it, and its overage limit.

Deductions and refunds are not here: they happen together with the work they pay for, in
`storecredit.generation.lifecycle`.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from storecredit.ledger.balances import BALANCES, Balance, balances_of_owners
from storecredit.ledger.grants import GRACE_DEFAULT, USUAL, Terms, has_no_room
from storecredit.ledger.movement_windows import window_of
from storecredit.ledger.outcomes import (
    Addition,
    AdditionType,
    CreditError,
    MovementType,
    credit_error,
)
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
WINDOW: Final = 500
"""How many movements of a whole ledger are looked at by one statement: work of milliseconds."""
OFFSET_MAX: Final = 2**63 - 1
"""What PostgreSQL can count to: nobody has that many movements."""
AMOUNT_MAX: Final = 1_000_000_000
OVERAGE_LIMIT_MAX: Final = 1_000_000_000
_COLUMNS: Final = (
    "seq, type, amount, balance_after, request_id, session_id, description, actor, created_at"
)
# The owner is the first two arguments of a statement.
_ACCOUNT: Final = (
    "(SELECT a.account_id FROM accounts a WHERE a.owner_kind = $1 AND a.owner_id = $2)"
)

# An expiry that is told by how long from now is the same one when the request is repeated: the one
# that was written down then, give or take how long the first request waited.
_ADD: Final = """
    SELECT add_to_account(
        a.account_id, $3, $4, $5, $6,
        p_expires_at => CASE WHEN $8::float8 IS NULL THEN $7::timestamptz ELSE coalesce(
            (SELECT g.expires_at FROM movements m JOIN grants g USING (account_id, seq)
             WHERE m.account_id = a.account_id AND m.request_id = $5
               AND abs(extract(epoch FROM g.expires_at - m.created_at) - $8) < 60 LIMIT 1),
            now() + make_interval(secs => $8)) END,
        p_kind => $9, p_priority => $10, p_grace => $11, p_actor => $12)
    FROM account_of($1, $2) AS a (account_id)
"""


class AccountMissing(Exception):
    """An owner without an account: impossible by construction, never answered as zero."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger. `amount` is positive: the type gives the sign.

    `actor`: who made it, where an operator did; for the operator alone.
    """

    seq: int
    type: MovementType
    amount: int
    balance_after: int
    request_id: str
    session_id: UUID | None
    description: str
    actor: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Cause:
    """Why credits move: by which request, in words, and (`actor`) by which operator, if by one."""

    request_id: str
    description: str = ""
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """Which movements to list; None leaves a field out. `from_` is inclusive, `to` exclusive."""

    type: MovementType | None = None
    request_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class MovementPage:
    """Movements, newest first; `next_before_seq` continues the list, None at its end.

    `is_cut`: as many were looked at as was wanted, and there may be more of those asked for.
    """

    items: tuple[Movement, ...]
    next_before_seq: int | None
    is_cut: bool = False


class Credits:
    """Reads and adds to the credits of stores and end users."""

    def __init__(self, buckets: Buckets, grace: timedelta = GRACE_DEFAULT) -> None:
        """`grace`: how long credits live on that come back to what has expired meanwhile."""
        self._buckets = buckets
        self._grace = grace

    async def account_id(self, owner: Owner) -> int:
        """The id of the owner's account. Raises AccountMissing, DatabaseUnavailable."""
        database = await self._buckets.of(owner)
        account_id: int | None = await database.fetchval(f"SELECT {_ACCOUNT}", owner.kind, owner.id)
        if account_id is None:
            raise AccountMissing(f"{owner.kind} {owner.id} has no account")
        return account_id

    async def balance(self, owner: Owner) -> Balance:
        """The owner's credits now. Raises AccountMissing, DatabaseUnavailable."""
        return (await self.balances(owner.kind, [owner.id]))[owner.id]

    async def balances(self, kind: OwnerKind, owner_ids: Sequence[UUID]) -> dict[UUID, Balance]:
        """The credits of several owners of a kind at one moment; raises like `balance`."""
        each = await self._buckets.each(
            lambda database: balances_of_owners(database, kind, owner_ids)
        )
        found = {owner_id: balance for of in each for owner_id, balance in of.items()}
        for owner_id in owner_ids:
            if owner_id not in found:
                raise AccountMissing(f"{kind} {owner_id} has no account")
        return found

    async def count_at_zero(self) -> int:
        """How many active stores have a balance of 0 now.

        Reads every store's newest movement, and more of those of which something has ended that
        is not written yet.
        """
        # No index: one on balances would be written at every movement of credits.
        query = f"""SELECT count(*) FROM ({BALANCES} WHERE a.owner_kind = 'store') b
               JOIN stores s ON s.store_id = b.owner_id
               WHERE s.status = 'active' AND CASE
                   WHEN b.next_expiry <= now()
                       THEN (SELECT x.balance FROM state_of_account(b.account_id, now()) x)
                   ELSE coalesce(b.balance, 0) END = 0"""  # noqa: S608 - a constant
        return sum(await self._buckets.each(lambda database: database.fetchval(query)))

    async def add(
        self,
        owner: Owner,
        amount: int,
        type_: AdditionType,
        cause: Cause,
        terms: Terms = USUAL,
    ) -> Addition:
        """Add 1 to `AMOUNT_MAX` credits, once per request id."""
        if not 1 <= amount <= AMOUNT_MAX:
            raise ValueError(f"amount must be 1 to {AMOUNT_MAX}, not {amount}")
        database = await self._buckets.of(owner)
        if terms != USUAL and await has_no_room(database, owner, cause.request_id):
            return Addition.TOO_MANY_GRANTS
        try:
            added = await database.fetchval(
                _ADD,
                owner.kind,
                owner.id,
                amount,
                type_.value,
                cause.request_id,
                cause.description,
                terms.expires_at,
                None if terms.expires_in is None else terms.expires_in.total_seconds(),
                terms.kind,
                terms.priority,
                self._grace,
                cause.actor,
            )
        except StatementRefused as refused:
            match credit_error(refused):
                case CreditError.REQUEST_CONFLICT:
                    return Addition.CONFLICT
                case CreditError.UNKNOWN_STORE | CreditError.UNKNOWN_USER:
                    return Addition.UNKNOWN_OWNER
                case CreditError.INVALID_TERMS:
                    # The types leave nothing else that could be wrong with them.
                    return Addition.EXPIRED
                case _:
                    raise
        return Addition.ADDED if added else Addition.ALREADY_ADDED

    async def set_overage_limit(self, store_id: UUID, limit: int) -> bool:
        """Let the store use up to `limit` credits beyond its balance until they are billed.

        0 to `OVERAGE_LIMIT_MAX`; 0 switches overage off. False: there is no such store.
        """
        if not 0 <= limit <= OVERAGE_LIMIT_MAX:
            raise ValueError(f"an overage limit is 0 to {OVERAGE_LIMIT_MAX}, not {limit}")
        database = await self._buckets.of(Owner.store(store_id))
        return bool(
            await database.fetchval(
                f"SELECT set_overage_limit({_ACCOUNT}, $3)",
                OwnerKind.STORE,
                store_id,
                limit,
            )
        )

    async def set_low_threshold(self, store_id: UUID, threshold: int | None) -> bool:
        """Call the store's balance low at or below `threshold` credits, 0 to `AMOUNT_MAX`.

        0: never; None: at a tenth of its last addition. False: there is no such store.
        """
        if threshold is not None and not 0 <= threshold <= AMOUNT_MAX:
            raise ValueError(f"a low threshold is 0 to {AMOUNT_MAX}, not {threshold}")
        database = await self._buckets.of(Owner.store(store_id))
        return bool(
            await database.fetchval(
                f"SELECT set_low_threshold({_ACCOUNT}, $3)", OwnerKind.STORE, store_id, threshold
            )
        )

    async def movements(
        self,
        owner: Owner,
        wanted: MovementFilter,
        *,
        limit: int,
        before_seq: int | None = None,
        depth: int | None = None,
    ) -> MovementPage:
        """The owner's ledger, newest first, at most `PAGE_MAX` rows at once.

        `depth`: so many movements are looked at, and no more, for those of a type or a time.
        """
        limit = min(limit, PAGE_MAX)
        database = await self._buckets.of(owner)
        source, window, more = "movements", None, []
        if wanted.request_id is not None:
            # OFFSET 0 has these few rows found first, by their index. Many stores call a request
            # "1": from that PostgreSQL would conclude that walking the ledger meets it soon.
            source = f"""(SELECT * FROM movements
                         WHERE account_id = {_ACCOUNT} AND request_id = $5 OFFSET 0) t"""  # noqa: S608 - constants
        elif wanted != MovementFilter():
            span = (wanted.from_, wanted.to)
            window = await window_of(database, owner, span, before_seq=before_seq, depth=depth)
            # In its order, up to where enough is found: seqs have no gaps.
            source = f"""(SELECT * FROM movements WHERE account_id = {_ACCOUNT} AND seq < $3
                         ORDER BY seq DESC LIMIT $9) t"""  # noqa: S608 - constants
            before_seq, more = window.before, [window.size]
        rows = await database.fetch(
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
            *more,
        )
        items = tuple(_movement(row) for row in rows[:limit])
        if len(rows) <= limit and window is not None and window.is_cut:
            return MovementPage(items, window.low + 1, is_cut=True)
        return MovementPage(items, items[-1].seq if len(rows) > limit else None)

    async def changes(self) -> dict[MovementType, int]:
        """What one credit of each type of movement does to the balance: 1, -1 or 0."""
        rows = await self._buckets.home.fetch("SELECT type, balance FROM movement_types")
        return {MovementType(row["type"]): row["balance"] for row in rows}

    async def movements_from(
        self, owner: Owner, *, limit: int, offset: int
    ) -> tuple[Movement, ...]:
        """The owner's ledger, newest first, from the `offset`-th on; at most `PAGE_MAX` rows."""
        database = await self._buckets.of(owner)
        rows = await database.fetch(
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
        database = await self._buckets.of(owner)
        newest = await database.fetchval(
            f"SELECT seq FROM movements WHERE account_id = {_ACCOUNT} ORDER BY seq DESC LIMIT 1",  # noqa: S608 - constants
            owner.kind,
            owner.id,
        )
        for last in range(newest or 0, 0, -WINDOW):
            rows = await database.fetch(
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


def _movement(row: Record) -> Movement:
    return Movement(
        seq=row["seq"],
        type=MovementType(row["type"]),
        amount=row["amount"],
        balance_after=row["balance_after"],
        request_id=row["request_id"],
        session_id=row["session_id"],
        description=row["description"],
        actor=row["actor"],
        created_at=row["created_at"],
    )
