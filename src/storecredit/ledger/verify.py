"""Proves the ledger of one bucket right, or names each discrepancy.

Everything is recomputed from the ledger in one read-only snapshot: on a live service it sees one
consistent moment, takes no lock that a movement of credits waits for, and raises no false alarm.

First the tables are summed up, each once, in slices, in the order in which they lie on disk: sums
of fingerprints that come to 0 when movements, sessions, accounts, owners, overage bills, grants and
holds agree, and the number of payments and spends that the ledger does not know. The equations
stand in `sql/functions/verify/sum_movements.sql`; the chance that a discrepancy escapes a run is
about 1 in 2^64, and each run draws a new seed, but for generations once some were archived: what
was summed up of these was under a seed of the database's own. Movements that tell what each grant
has left, or name the movement they come from, are looked up with those they belong to at once.
Speed depends neither on how the rows of many accounts are mixed on disk nor on how many rows one of
them has.
Only when a sum is not 0 is every row looked at again, one by one in key order, to name what is
wrong; that takes ten to fifty times as long. `every_row` asks for it in any case: a proof that
leaves nothing to chance.

The sums of hours and days are recomputed beside it, in the same snapshot (`sums_proof.py`). Then
the ledger is compared with what was chained and signed of it (`checkpoints/tampering.py`).

Movements that were taken off the end of an account's ledger break no chain. A session, payment,
clawback or bill knows of most of them; of all that a former run has counted, their number tells.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storecredit.ledger.checkpoints.tampering import NOTHING_LOOKED_AT, Evidence, Tampering
from storecredit.ledger.discrepancies import Discrepancy, DiscrepancyKind, Report
from storecredit.ledger.sums_proof import looked_at_beside
from storecredit.ledger.verification import LastVerification, Settled, record, settled
from storecredit.postgres.nodes import is_citus
from storecredit.postgres.pool import Database
from storecredit.postgres.schema import privileges
from storecredit.postgres.servers import Connection

DISCREPANCIES_MAX: Final = 1000
SLICE_PAGES: Final = 1024
"""Pages of each table that one statement sums up: 8 MiB, a fraction of a second, or seconds where
every movement tells of many grants."""
FIND_ROWS: Final = 10_000
"""Rows that one statement looks at one by one."""
STATEMENT_TIMEOUT_SECONDS: Final = 3600.0
"""For one statement; the largest of those that name discrepancies looks at all accounts."""

# The locks are those of any SELECT; taken before the snapshot, so that no table is rewritten
# between the two. https://www.postgresql.org/docs/18/sql-lock.html
_LOCK: Final = """
    LOCK TABLE accounts, movements, movement_types, sessions, stores, users, subscription_charges,
        payments, clawbacks, grants, holds, spends, hourly_sums, daily_sums, summed_accounts,
        daily_money, summing, session_archives, archived_sessions, archiving, transfer_ends
    IN ACCESS SHARE MODE
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
    SET LOCAL plan_cache_mode = force_generic_plan;
"""
# On a node of a Citus cluster a table's rows are in a shard, which has its name and a number.
_PAGES: Final = """
    SELECT t.name,
        (sum(pg_relation_size(t.oid)) / current_setting('block_size')::int)::bigint AS pages
    FROM (
        SELECT c.oid, regexp_replace(c.relname, '_[0-9]+$', '') AS name FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    ) t
    WHERE t.name = ANY ($1::text[]) GROUP BY t.name
"""
_SUM: Final = {
    "movements": "SELECT * FROM sum_movements($1, $2, $3)",
    "sessions": "SELECT * FROM sum_sessions($1, $2, $3)",
    "accounts": "SELECT * FROM sum_accounts($1, $2, $3)",
    "stores": "SELECT * FROM sum_stores($1, $2, $3)",
    "users": "SELECT * FROM sum_users($1, $2, $3)",
    "subscription_charges": "SELECT * FROM sum_subscription_charges($1, $2, $3)",
    "payments": "SELECT * FROM sum_payments($1, $2, $3)",
    "clawbacks": "SELECT * FROM sum_clawbacks($1, $2, $3)",
    "grants": "SELECT * FROM sum_grants($1, $2, $3)",
    "holds": "SELECT * FROM sum_holds($1, $2, $3)",
    "transfer_ends": "SELECT * FROM sum_transfer_ends($1, $2, $3)",
    "spends": "SELECT * FROM sum_spends($1, $2, $3)",
    "session_archives": "SELECT * FROM sum_session_archives($1, $2, $3)",
    "archived_sessions": "SELECT * FROM sum_archived_sessions($1, $2, $3)",
}
# Columns of the above that are no sums: what there is.
_COUNTS: Final = (
    "rows_read",
    "settled",
    "late",
    "user_movements",
    "user_sessions",
    "archived_count",
)

_NEXT_MOVEMENT: Final = """
    SELECT account_id, seq FROM movements
    WHERE (account_id, seq) > ($1, $2) ORDER BY account_id, seq OFFSET $3 LIMIT 1
"""
_NEXT_SESSION: Final = """
    SELECT account_id, session_id FROM sessions
    WHERE (account_id, session_id) > ($1, $2) ORDER BY account_id, session_id OFFSET $3 LIMIT 1
"""
# What is wrong at an account is wrong at its owner.
_AT_OWNER: Final = """
    SELECT f.kind, f.seq, f.request_id, f.session_id, f.detail,
        CASE a.owner_kind WHEN 'store' THEN a.owner_id END AS store_id,
        CASE a.owner_kind WHEN 'user' THEN a.owner_id END AS user_id
    FROM {found} f LEFT JOIN accounts a ON a.account_id = f.account_id LIMIT $1
"""
_FIND_IN_MOVEMENTS: Final = tuple(
    _AT_OWNER.format(found=f"{function}($2, $3, $4, $5)")
    for function in (
        "find_chain_discrepancies",
        "find_impossible_movements",
        "find_return_discrepancies",
        "find_double_movements",
        "find_generation_discrepancies",
        "find_movements_without_bill",
        "find_movements_without_account",
        "find_hold_movements",
        "find_grant_discrepancies",
    )
)
_FIND_IN_SESSIONS: Final = _AT_OWNER.format(found="find_session_discrepancies($2, $3, $4, $5)")
_FIND_IN_RECORDS: Final = (
    _AT_OWNER.format(found="find_account_discrepancies()"),
    "SELECT * FROM find_stores_without_account() LIMIT $1",
    "SELECT * FROM find_users_without_account() LIMIT $1",
    _AT_OWNER.format(found="find_bill_discrepancies()"),
    _AT_OWNER.format(found="find_top_up_discrepancies()"),
    _AT_OWNER.format(found="find_payment_discrepancies()"),
    _AT_OWNER.format(found="find_clawback_discrepancies()"),
    _AT_OWNER.format(found="find_grants_without_movement()"),
    _AT_OWNER.format(found="find_hold_discrepancies()"),
    _AT_OWNER.format(found="find_spend_discrepancies()"),
    _AT_OWNER.format(found="find_transfer_discrepancies()"),
    _AT_OWNER.format(found="find_archive_discrepancies()"),
)

_PAGE_MAX: Final = 2**32 - 1
_ID_MIN, _ID_MAX = -(2**63), 2**63 - 1
_BEFORE_MOVEMENTS: Final = (_ID_MIN, _ID_MIN)
_AFTER_MOVEMENTS: Final = (_ID_MAX, _ID_MAX)
_BEFORE_SESSIONS: Final = (_ID_MIN, UUID(int=0))
_AFTER_SESSIONS: Final = (_ID_MAX, UUID(int=2**128 - 1))

_Key = tuple[int, int | UUID]
"""A place in a primary key: (account_id, seq) or (account_id, session_id)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Movements looked at so far, and how many there are to look at.

    `checked` never falls. `total` is estimated until all are counted; it doubles when every row is
    looked at again. The last progress of a run has `checked == total`.
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
    evidence: Evidence | None = None,
    also: Sequence[Discrepancy] = (),
) -> Report:
    """Recompute everything from the ledger, as it is at this moment, and record what came out.

    `every_row`: look at each row also when the sums agree. `on_progress` is called after every
    slice. `evidence`: compare the ledger with what was chained and signed of it, too. `also`: what
    was found besides, and is recorded and told with it. Raises DatabaseUnavailable;
    DiscrepancyUnnamed when an index hides the wrong rows.
    """
    async with (
        database.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        # Where rows are hidden from the application, say so: what is not seen is not proven.
        await connection.execute("SET LOCAL row_security = off")
        await connection.execute(_LOCK)
        verified_at = await connection.fetchval("SELECT now()")
        run = _Run(connection, on_progress or (lambda _: None), also, every_row=every_row)
        async with looked_at_beside(
            database,
            connection,
            most=DISCREPANCIES_MAX + 1,
            statement_seconds=STATEMENT_TIMEOUT_SECONDS,
        ) as sums:
            await run.sum_up()
            run.compare(await settled(connection))
            run.unguarded = await privileges.fault(connection, database.schema)
            if run.looks_at_rows:
                await run.find()
            run.of_the_sums = await sums
    if evidence is not None:
        run.tampering = await evidence.find(DISCREPANCIES_MAX + 1)
    await record(database, LastVerification(verified_at, run.discrepancies), run.settled)
    return run.report()


class _Run:
    """One verification, inside its snapshot."""

    def __init__(
        self,
        connection: Connection,
        on_progress: Callable[[Progress], None],
        also: Sequence[Discrepancy],
        *,
        every_row: bool,
    ) -> None:
        self._connection = connection
        self._also = also
        self._every_row = every_row
        self._on_progress = on_progress
        self._rows = dict.fromkeys(_SUM, 0)
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._sums: dict[str, int] = {}
        self._looked_at = 0
        self._found: list[Discrepancy] = []
        self.settled: int | None = None
        """Movements from before this run; None: some that a former run had counted are missing."""
        self.of_the_sums: list[Discrepancy] = []
        """What does not agree with the sums of hours and days."""
        self.tampering: Tampering = NOTHING_LOOKED_AT
        """What is not what was chained and signed."""
        self.unguarded: str | None = None
        """How credits can be written around the functions; None: they cannot."""

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
        await self._connection.execute(READ_RANGES_ONLY)
        if await is_citus(self._connection):
            # It has no plan for values that it does not know.
            await self._connection.execute("SET LOCAL plan_cache_mode = auto")
        seed = secrets.randbits(63)
        found = await self._connection.fetch(_PAGES, list(_SUM))
        pages = dict.fromkeys(_SUM, 0) | {row["name"]: row["pages"] for row in found}
        slices = 1 + max(pages.values()) // SLICE_PAGES
        for number in range(slices):
            for table, statement in _SUM.items():
                first = pages[table] * number // slices
                end = pages[table] * (number + 1) // slices
                if number + 1 == slices:
                    end = _PAGE_MAX
                if first < end:  # a small table has pages in few of the slices
                    await self._add(table, statement, (seed, (first, 0), (end, 0)))
            self._tell(self._movements, self._movements * slices // (number + 1))
        self._tell(self._movements, self._movements * (2 if self.looks_at_rows else 1))

    def compare(self, before: Settled | None) -> None:
        """Whether all movements are there that a former run had counted; after `sum_up`."""
        missing = before.movements - self._counts["settled"] if before else 0
        if before is None or missing <= 0:
            self.settled = self._movements - self._counts["late"]
            return
        detail = (
            f"of the {before.movements} movements from before {before.at.isoformat()}, which an "
            f"earlier `verify` counted, {missing} {'is' if missing == 1 else 'are'} missing"
        )
        self._found.append(
            Discrepancy(DiscrepancyKind.MOVEMENTS_MISSING, None, None, None, None, None, detail)
        )

    async def find(self) -> None:
        """Name what is wrong, until nothing is left or `DISCREPANCIES_MAX` are exceeded."""
        async for after, until in self._ranges(_NEXT_MOVEMENT, _BEFORE_MOVEMENTS, _AFTER_MOVEMENTS):
            for statement in _FIND_IN_MOVEMENTS:
                await self._collect(statement, *after, *until)
            self._looked_at = min(self._looked_at + FIND_ROWS, self._movements)
            self._tell(self._movements + self._looked_at, 2 * self._movements)
        async for after, until in self._ranges(_NEXT_SESSION, _BEFORE_SESSIONS, _AFTER_SESSIONS):
            await self._collect(_FIND_IN_SESSIONS, *after, *until)
        for statement in _FIND_IN_RECORDS:
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
        user_movements = min(self._counts["user_movements"], self._movements)
        return Report(
            stores=self._rows["stores"],
            movements=self._movements - user_movements,
            sessions=self._rows["sessions"] - self._counts["user_sessions"],
            users=self._rows["users"],
            user_movements=user_movements,
            user_sessions=self._counts["user_sessions"],
            archived_sessions=self._counts["archived_count"],
            payments=self._rows["payments"],
            checkpoints=self.tampering.checkpoints,
            signatures=self.tampering.signatures,
            discrepancies=(*self._of_the_guard, *self._named[:DISCREPANCIES_MAX]),
            truncated=len(self._named) > DISCREPANCIES_MAX,
        )

    @property
    def discrepancies(self) -> int:
        """How many were found, 1 if none could be named; `DISCREPANCIES_MAX`: at least so many."""
        found = len(self._of_the_guard) + min(len(self._named), DISCREPANCIES_MAX)
        return found or int(self.differs)

    @property
    def _named(self) -> list[Discrepancy]:
        return [*self._also, *self._found, *self.of_the_sums, *self.tampering.found]

    @property
    def _of_the_guard(self) -> tuple[Discrepancy, ...]:
        if self.unguarded is None:
            return ()
        kind = DiscrepancyKind.UNGUARDED
        return (Discrepancy(kind, None, None, None, None, None, self.unguarded),)

    @property
    def _movements(self) -> int:
        return self._rows["movements"]

    @property
    def _is_full(self) -> bool:
        return len(self._found) > DISCREPANCIES_MAX

    def _tell(self, checked: int, total: int) -> None:
        self._on_progress(Progress(checked, total))

    async def _add(self, table: str, statement: str, args: tuple[object, ...]) -> None:
        row = await self._connection.fetchrow(statement, *args, timeout=STATEMENT_TIMEOUT_SECONDS)
        assert row is not None, "an aggregate has one row"
        sums = dict(row)
        self._rows[table] += sums.pop("rows_read")
        for name, value in sums.items():
            of = self._counts if name in _COUNTS else self._sums
            of[name] = of.get(name, 0) + int(value)

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
        rows = await self._connection.fetch(
            statement, room, *args, timeout=STATEMENT_TIMEOUT_SECONDS
        )
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
