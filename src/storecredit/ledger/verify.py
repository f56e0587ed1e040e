"""Proves both ledgers right, the stores' and the end users', or names each discrepancy.

Everything is recomputed from the ledgers in one read-only snapshot: on a live service it sees one
consistent moment, takes no lock that a movement of credits waits for, and raises no false alarm.

First the tables are summed up, each once, in slices, in the order in which they lie on disk: sums
of fingerprints that come to 0 when ledger, credits, sessions, owners and overage bills agree, and
the number of payments that the ledger does not know. The equations stand in
`sql/functions/verify_sums.sql`; the chance that a discrepancy escapes a run is about 1 in 2^64,
and each run draws a new seed. Speed depends neither on how the rows of many owners are mixed on
disk nor on how many rows one of them has. Only when a sum is not 0 is every row looked at again,
one by one in key order, to name what is wrong; that takes ten to fifty times as long. `every_row`
asks for it in any case: a proof that leaves nothing to chance.

Both ledgers keep the same rules, so one set of SQL functions serves both: they take the kind of
owner as a constant and read through `sql/functions/verify_ledgers.sql`.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind, Report
from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verification import LastVerification, record
from storecredit.postgres.pool import Connection, Database

DISCREPANCIES_MAX: Final = 1000
SLICE_PAGES: Final = 4096
"""Pages of each table that one statement sums up: 32 MiB, a fraction of a second."""
FIND_ROWS: Final = 10_000
"""Rows that one statement looks at one by one."""
FIND_TIMEOUT_SECONDS: Final = 3600.0
"""For one statement that names discrepancies; the largest sums up one owner's whole ledger."""

# The locks are those of any SELECT; taken before the snapshot, so that no table is rewritten
# between the two. https://www.postgresql.org/docs/18/sql-lock.html
_LOCK: Final = """
    LOCK TABLE stores, store_credits, store_credit_transactions, store_generation_sessions,
        store_overage_bills, users, user_credits, credit_transactions, generation_sessions,
        payments, clawbacks
    IN ACCESS SHARE MODE
"""
_EXPECTED_MOVEMENTS: Final = """
    SELECT greatest(coalesce(sum(last_seq), 0), 0) FROM ledger_credits()
"""
# Each statement reads a range by its key or by its place on disk; a plan made from stale statistics
# must not read or sort a whole table for it.
READ_RANGES_ONLY: Final = """
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off;
    SET LOCAL enable_incremental_sort = off;
    SET LOCAL enable_hashagg = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    SET LOCAL enable_memoize = off;
    SET LOCAL enable_material = off;
    SET LOCAL jit = off;
"""
_PAGES: Final = """
    SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int
"""
# What is summed up together; the sums of one scope are apart from those of another.
_SUM: Final = {
    OwnerKind.STORE: {
        "stores": "SELECT * FROM sum_owners('store', $1, $2, $3)",
        "store_credits": "SELECT * FROM sum_credits('store', $1, $2, $3)",
        "store_credit_transactions": "SELECT * FROM sum_movements('store', $1, $2, $3)",
        "store_generation_sessions": "SELECT * FROM sum_sessions('store', $1, $2, $3)",
        "store_overage_bills": "SELECT * FROM sum_overage_bills($1, $2, $3)",
    },
    OwnerKind.USER: {
        "users": "SELECT * FROM sum_owners('user', $1, $2, $3)",
        "user_credits": "SELECT * FROM sum_credits('user', $1, $2, $3)",
        "credit_transactions": "SELECT * FROM sum_movements('user', $1, $2, $3)",
        "generation_sessions": "SELECT * FROM sum_sessions('user', $1, $2, $3)",
    },
    "money": {
        "payments": "SELECT * FROM sum_payments($1, $2, $3)",
        "clawbacks": "SELECT * FROM sum_clawbacks($1, $2, $3)",
    },
}
# {kind} is the kind of owner, as a constant: the plan is that of the one ledger's tables.
_NEXT_MOVEMENT: Final = """
    SELECT owner_id, seq FROM ledger_movements() WHERE owner_kind = '{kind}'
    AND (owner_id, seq) > ($1, $2) ORDER BY owner_id, seq OFFSET $3 LIMIT 1
"""
_NEXT_SESSION: Final = """
    SELECT owner_id, session_id FROM ledger_sessions() WHERE owner_kind = '{kind}'
    AND (owner_id, session_id) > ($1, $2) ORDER BY owner_id, session_id OFFSET $3 LIMIT 1
"""
_FIND_IN_MOVEMENTS: Final = """
    SELECT * FROM find_movement_discrepancies('{kind}', $2, $3, $4, $5) LIMIT $1
"""
_FIND_IN_SESSIONS: Final = """
    SELECT * FROM find_session_discrepancies('{kind}', $2, $3, $4, $5) LIMIT $1
"""
_FIND_IN_OWNERS: Final = "SELECT * FROM find_owner_discrepancies('{kind}', $2, $3) LIMIT $1"
_FIND_IN_MONEY: Final = (
    "SELECT * FROM find_bill_discrepancies() LIMIT $1",
    "SELECT * FROM find_payment_discrepancies() LIMIT $1",
    "SELECT * FROM find_clawback_discrepancies() LIMIT $1",
)

_PAGE_MAX: Final = 2**32 - 1
_FIRST_ID: Final = UUID(int=0)
_LAST_ID: Final = UUID(int=2**128 - 1)
_BEFORE_MOVEMENTS: Final = (_FIRST_ID, -(2**63))
_AFTER_MOVEMENTS: Final = (_LAST_ID, 2**63 - 1)
_BEFORE_SESSIONS: Final = (_FIRST_ID, _FIRST_ID)
_AFTER_SESSIONS: Final = (_LAST_ID, _LAST_ID)

_Key = tuple[UUID, int | UUID]
"""A place in a primary key: (owner id, seq) or (owner id, session_id)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows of both ledgers looked at so far, and how many there are to look at.

    `checked` never falls. `total` is what the `last_seq` of all owners promise until the rows are
    counted; it doubles when every row is looked at again. The last progress of
    a run has `checked == total`.
    """

    checked: int
    total: int


class DiscrepancyUnnamed(Exception):
    """The tables disagree, although each row that their indexes lead to looks right."""


async def verify(
    database: Database,
    *,
    every_row: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Recompute everything from the ledger, as it is at this moment, and record what came out.

    `every_row`: look at each row also when the sums agree. `on_progress` is called after every
    slice. Raises DatabaseUnavailable; DiscrepancyUnnamed when an index hides the wrong rows.
    """
    async with (
        database.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Where rows are hidden from the application, say so: what is not seen is not proven.
        await connection.execute("SET LOCAL row_security = off")
        await connection.execute(_LOCK)
        verified_at = await connection.fetchval("SELECT now()")
        run = _Run(connection, on_progress or (lambda _: None), every_row=every_row)
        await run.sum_up()
        if run.looks_at_rows:
            await run.find()
    await record(database, LastVerification(verified_at, run.discrepancies))
    return run.report()


class _Run:
    """One verification, inside its snapshot."""

    def __init__(
        self,
        connection: Connection,
        on_progress: Callable[[Progress], None],
        *,
        every_row: bool,
    ) -> None:
        self._connection = connection
        self._every_row = every_row
        self._on_progress = on_progress
        self._rows = {table: 0 for tables in _SUM.values() for table in tables}
        self._sums: dict[str, int] = {}
        self._looked_at = 0
        self._found: list[Discrepancy] = []

    @property
    def differs(self) -> bool:
        """Whether a sum is not 0."""
        return any(self._sums.values())

    @property
    def looks_at_rows(self) -> bool:
        """Whether every row is looked at, after the sums."""
        return self._every_row or self.differs

    async def sum_up(self) -> None:
        """Add up all tables, a slice of each at a time."""
        expected = int(await self._connection.fetchval(_EXPECTED_MOVEMENTS))
        await self._connection.execute(READ_RANGES_ONLY)
        seed = secrets.randbits(63)
        pages = {table: await self._connection.fetchval(_PAGES, table) for table in self._rows}
        slices = 1 + max(pages.values()) // SLICE_PAGES
        for number in range(slices):
            for scope, tables in _SUM.items():
                for table, statement in tables.items():
                    first = pages[table] * number // slices
                    end = pages[table] * (number + 1) // slices
                    if number + 1 == slices:
                        end = _PAGE_MAX
                    if first < end:  # a small table has pages in few of the slices
                        await self._add(scope, table, statement, (seed, (first, 0), (end, 0)))
            self._tell(self._movements, max(expected, self._movements))
        self._tell(self._movements, self._movements * (2 if self.looks_at_rows else 1))

    async def find(self) -> None:
        """Name what is wrong, until nothing is left or `DISCREPANCIES_MAX` are exceeded."""
        for kind in OwnerKind:
            await self._find_in_ledger(kind)
            await self._find_in_sessions(kind)
        for statement in _FIND_IN_MONEY:
            await self._collect(statement)
        self._tell(2 * self._movements, 2 * self._movements)

    def report(self) -> Report:
        """What came out."""
        if self.differs and not self._found:
            wrong = ", ".join(name for name, value in self._sums.items() if value)
            raise DiscrepancyUnnamed(
                f"The tables disagree ({wrong}), but every row that an index leads to looks right:"
                " an index is damaged. Nothing was changed; REINDEX the tables, then verify again."
            )
        return Report(
            stores=self._rows["stores"],
            movements=self._rows["store_credit_transactions"],
            sessions=self._rows["store_generation_sessions"],
            users=self._rows["users"],
            user_movements=self._rows["credit_transactions"],
            user_sessions=self._rows["generation_sessions"],
            payments=self._rows["payments"],
            discrepancies=tuple(self._found[:DISCREPANCIES_MAX]),
            truncated=self._is_full,
        )

    @property
    def discrepancies(self) -> int:
        """How many were found, 1 if none could be named; `DISCREPANCIES_MAX`: at least so many."""
        return min(len(self._found), DISCREPANCIES_MAX) or int(self.differs)

    @property
    def _movements(self) -> int:
        return self._rows["store_credit_transactions"] + self._rows["credit_transactions"]

    @property
    def _is_full(self) -> bool:
        return len(self._found) > DISCREPANCIES_MAX

    def _tell(self, checked: int, total: int) -> None:
        self._on_progress(Progress(checked, total))

    async def _add(self, scope: str, table: str, statement: str, args: tuple[object, ...]) -> None:
        row = await self._connection.fetchrow(statement, *args)
        assert row is not None, "an aggregate has one row"
        sums = dict(row)
        self._rows[table] += sums.pop("rows_read")
        for name, value in sums.items():
            key = f"{scope} {name}"
            self._sums[key] = self._sums.get(key, 0) + int(value)

    async def _find_in_ledger(self, kind: OwnerKind) -> None:
        in_movements = _FIND_IN_MOVEMENTS.format(kind=kind)
        in_owners = _FIND_IN_OWNERS.format(kind=kind)
        first_owner = _FIRST_ID
        ranges = self._ranges(_NEXT_MOVEMENT.format(kind=kind), _BEFORE_MOVEMENTS, _AFTER_MOVEMENTS)
        async for after, until in ranges:
            await self._collect(in_movements, *after, *until)
            last_owner = until[0]
            if last_owner > first_owner:
                # No rows are left of the owners before the last one.
                await self._collect(in_owners, first_owner, UUID(int=last_owner.int - 1))
                first_owner = last_owner
            self._looked_at = min(self._looked_at + FIND_ROWS, self._movements)
            self._tell(self._movements + self._looked_at, 2 * self._movements)
        await self._collect(in_owners, first_owner, _LAST_ID)

    async def _find_in_sessions(self, kind: OwnerKind) -> None:
        statement = _FIND_IN_SESSIONS.format(kind=kind)
        next_statement = _NEXT_SESSION.format(kind=kind)
        async for after, until in self._ranges(next_statement, _BEFORE_SESSIONS, _AFTER_SESSIONS):
            await self._collect(statement, *after, *until)

    async def _ranges(
        self, next_statement: str, after: _Key, end: _Key
    ) -> AsyncIterator[tuple[_Key, _Key]]:
        """Adjoining ranges (after, until] of `FIND_ROWS` rows; the last one reaches to `end`."""
        while after != end and not self._is_full:
            row = await self._connection.fetchrow(next_statement, *after, FIND_ROWS - 1)
            until = end if row is None else (row[0], row[1])
            yield after, until
            after = until

    async def _collect(self, statement: str, *args: object) -> None:
        room = DISCREPANCIES_MAX + 1 - len(self._found)
        if room == 0:
            return
        rows = await self._connection.fetch(statement, room, *args, timeout=FIND_TIMEOUT_SECONDS)
        self._found += [
            Discrepancy(
                kind=DiscrepancyKind(row["kind"]),
                store_id=row["store_id"],
                user_id=row["user_id"],
                seq=row["seq"],
                request_id=row["request_id"],
                session_id=row["session_id"],
                detail=row["detail"],
            )
            for row in rows
        ]
