"""The sums of each hour are what the ledger comes to, whenever and by whomever it is counted.

All tests but those that need a fresh database share one ledger, which only grows.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.summing import Summing
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from tests.operator.random_ledger import make_ledger
from tests.sql.conftest import Callers
from tests.sql.generations import complete, create_one, fail_batch
from tests.sql.interface import deduct, refund
from tests.sql.ledgers import open_account, open_some
from tests.sql.recounted import kept, recounted

PIECE = 50_000
SUM_UP = "SELECT summed, is_behind FROM sum_up('0', $1, $2)"


async def sum_up(
    connection: Connection, *, accounts: int = 1000, movements: int = PIECE
) -> tuple[int | None, bool | None]:
    """One piece: how many were counted, and whether there is more; None: it is not its turn."""
    row = await connection.fetchrow(SUM_UP, accounts, movements)
    assert row is not None
    return row["summed"], row["is_behind"]


async def sum_all(connection: Connection, **bounds: int) -> int:
    """Pieces until there is no more; how many movements were counted."""
    summed = 0
    while True:
        more, is_behind = await sum_up(connection, **bounds)
        summed += more or 0
        if not is_behind:
            return summed


async def spend(connection: Connection, account: Account, *request_ids: str) -> None:
    for request_id in request_ids:
        assert await deduct(connection, account, 1, request_id)


@pytest.mark.parametrize("accounts, movements", [(1000, PIECE), (3, 7), (1, 1)])
async def test_the_sums_are_those_of_the_ledger_however_small_the_pieces(
    admin: asyncpg.Connection, accounts: int, movements: int
) -> None:
    seed = random.randrange(2**32)
    await make_ledger(admin, random.Random(seed))
    there = await admin.fetchval("SELECT count(*) FROM movements")

    assert await sum_all(admin, accounts=accounts, movements=movements) == there, seed

    assert await kept(admin) == await recounted(admin), seed
    assert await sum_up(admin) == (0, False)


async def test_what_is_counted_is_not_counted_again_and_what_is_new_is(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    await sum_all(app)
    await spend(app, account, "a", "b")
    assert await refund(app, account, 1, "a")

    assert await sum_up(app) == (3, False)

    assert await sum_up(app) == (0, False)
    assert await kept(books) == await recounted(books)


async def test_failures_are_told_by_their_cause_and_generations_counted(
    app: Connection, books: Connection, kind: OwnerKind
) -> None:
    account = await open_account(app, kind, 10)
    sessions = [await create_one(app, account, f"r{number}") for number in range(4)]
    codes = ["CONTENT_BLOCKED", "GENERATION_FAILED", "GENERATION_FAILED"]
    before = await kept(books)
    await complete(app, account, sessions[0])
    await fail_batch(app, [(account, each) for each in sessions[1:]], codes)

    await sum_all(app)

    now = await kept(books)
    assert now == await recounted(books)
    grown = {
        (type_, cause): sums[1] - before.get((hour, of, type_, cause), (0, 0, 0))[1]
        for (hour, of, type_, cause), sums in now.items()
        if of == kind and sums != before.get((hour, of, type_, cause))
    }
    assert grown.pop(("deduction", "")) == 4
    assert grown.pop(("refund", "CONTENT_BLOCKED")) == 1
    assert grown.pop(("refund", "GENERATION_FAILED")) == 2
    assert set(grown.values()) == {0}


async def test_what_is_committed_passes_later_is_counted_then(
    app: Connection, callers: Callers, books: Connection
) -> None:
    late, other = await open_some(app, 10, 10)
    (caller,) = await callers(1)
    async with caller.transaction():
        await spend(caller, late, "late")
        for number in range(5):
            await spend(app, other, f"meanwhile {number}")
            assert await sum_all(app) >= 1
        assert await kept(books) == await recounted(books)
    assert await sum_all(app) == 1
    assert await kept(books) == await recounted(books)


async def test_the_walk_finds_what_the_last_pages_do_not_show(
    app: Connection, books: Connection
) -> None:
    """Where the ledger ended, say, in a place that a vacuum had made free."""
    account, _ = await open_some(app, 10, 10)
    await sum_all(app)
    await spend(app, account, "hidden")
    end = await books.fetchval(
        "SELECT pg_relation_size('movements') / current_setting('block_size')::int"
    )

    beyond = await books.fetchrow("SELECT * FROM sum_newest($1, 100)", end)
    walked = await books.fetchrow("SELECT * FROM sum_walking($1, 1, 100)", account.id - 1)

    assert beyond is not None
    assert walked is not None
    assert (beyond["account_ids"], beyond["summed"]) == (None, 0)
    assert (walked["account_ids"], walked["summed"]) == ([account.id], 1)
    assert walked["walked_to"] == account.id
    assert await kept(books) == await recounted(books)


async def test_the_last_pages_show_what_is_new_wherever_the_walk_is(
    app: Connection, books: Connection
) -> None:
    accounts = await open_some(app, *[5] * 6)
    await sum_all(app)
    await spend(app, accounts[0], "new")
    await books.execute("UPDATE summing SET walked_to = $1", accounts[1].id)

    assert await sum_up(app, accounts=1) == (1, False)

    assert await books.fetchval("SELECT walked_to FROM summing") == accounts[2].id


async def test_a_walk_comes_to_every_account_and_begins_anew(
    app: Connection, books: Connection
) -> None:
    await sum_all(app)
    await books.execute("UPDATE summing SET walked_to = 0")
    accounts = [row[0] for row in await books.fetch("SELECT account_id FROM accounts ORDER BY 1")]
    seen = []
    for _ in range(len(accounts) // 3 + 1):
        await sum_up(app, accounts=3)
        seen.append(await books.fetchval("SELECT walked_to FROM summing"))
    assert seen == [*accounts[2::3], 0]


async def test_space_of_what_was_rolled_back_is_counted_when_it_is_used_again(
    app: Connection, callers: Callers, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10_000)
    (caller,) = await callers(1)
    undone = caller.transaction()
    await undone.start()
    await caller.fetch(
        """SELECT FROM deduct_from_accounts(array_fill($1::bigint, ARRAY[2000]),
               array_fill(1, ARRAY[2000]),
               array(SELECT 'r' || i FROM generate_series(1, 2000) i),
               array_fill(''::text, ARRAY[2000]))""",
        account.id,
    )
    await undone.rollback()
    await sum_all(app)
    await books.execute("VACUUM (TRUNCATE off) movements")
    before = await books.fetchval("SELECT pg_relation_size('movements')")

    await spend(app, account, *(f"again {number}" for number in range(20)))

    assert await books.fetchval("SELECT pg_relation_size('movements')") == before
    assert await sum_all(app) == 20
    assert await kept(books) == await recounted(books)


async def test_two_passes_at_once_count_each_movement_once(
    app: Connection, callers: Callers, books: Connection
) -> None:
    accounts = await open_some(app, *[50] * 10)
    await sum_all(app)
    for account in accounts:
        await spend(app, account, *(f"r{number}" for number in range(20)))
    at_once = await callers(4)

    async def pieces(connection: Connection) -> list[int | None]:
        return [(await sum_up(connection, movements=9))[0] for _ in range(15)]

    counted = await asyncio.gather(*map(pieces, at_once))
    rest = await sum_all(app)

    # Who was not let in counted nothing.
    assert sum(each or 0 for of_one in counted for each in of_one) + rest == 200
    assert await kept(books) == await recounted(books)


async def test_while_one_counts_no_other_does_and_nobody_waits(
    app: Connection, callers: Callers, books: Connection
) -> None:
    await sum_all(app)
    account = await open_account(app, OwnerKind.STORE, 10)
    (caller,) = await callers(1)
    async with caller.transaction():
        assert await sum_up(caller) == (1, False)
        assert await sum_up(app) == (None, None)
        await spend(app, account, "r")
    assert await sum_up(app) == (1, False)
    assert await kept(books) == await recounted(books)


async def test_a_pass_that_is_killed_has_counted_nothing(
    app: Connection, callers: Callers, books: Connection
) -> None:
    account = await open_account(app, OwnerKind.STORE, 10)
    await sum_all(app)
    await spend(app, account, "r")
    before = await kept(books)
    (caller,) = await callers(1)
    await caller.execute("BEGIN")
    assert await sum_up(caller) == (1, False)
    ended = "SELECT pg_terminate_backend($1, 60000)"
    assert await books.fetchval(ended, await caller.fetchval("SELECT pg_backend_pid()"))

    assert await kept(books) == before
    assert await sum_up(app) == (1, False)
    assert await kept(books) == await recounted(books)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"])
async def test_hours_are_those_of_utc_whatever_the_zone_of_the_session(
    app: Connection, books: Connection, zone: str
) -> None:
    account = await open_account(app, OwnerKind.USER, 10)
    await spend(app, account, *"abcdef")
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    moments = [midnight + timedelta(microseconds=each) for each in (-1, 0, 1)]
    moments += [each + timedelta(minutes=59, seconds=59, microseconds=1) for each in moments]
    for seq, moment in enumerate(moments, 2):
        await books.execute(
            "UPDATE movements SET created_at = $3 WHERE account_id = $1 AND seq = $2",
            account.id,
            seq,
            moment,
        )
    async with app.transaction():
        await app.execute(f"SET LOCAL TIME ZONE '{zone}'")
        await sum_all(app)
    assert await kept(books) == await recounted(books)


async def test_a_turn_that_another_had_is_not_taken(app: Connection) -> None:
    await sum_all(app)
    turn = "SELECT summed FROM sum_up($1, 1000, 1000)"
    assert await app.fetchval(turn, timedelta(hours=1)) is None
    assert await app.fetchval(turn, timedelta(0)) == 0


async def test_a_clock_that_was_set_back_does_not_end_the_counting(
    app: Connection, books: Connection
) -> None:
    await sum_all(app)
    await books.execute("UPDATE summing SET summed_at = now() + interval '1 year'")
    assert await app.fetchval("SELECT summed FROM sum_up('1 hour', 1000, 1000)") == 0


async def test_a_server_that_only_reads_is_left_alone(app: Connection) -> None:
    async with app.transaction(readonly=True):
        assert await sum_up(app) == (None, None)


async def test_an_account_with_a_gap_keeps_no_other_waiting(
    admin: asyncpg.Connection,
) -> None:
    """A ledger that somebody broke: `verify` names it, and the job goes on."""
    broken, sound = await open_some(admin, 10, 10)
    for account in (broken, sound):
        await spend(admin, account, *"abcd")
    await admin.execute(
        "UPDATE movements SET seq = seq + $2 WHERE account_id = $1 AND seq > 2", broken.id, 2**62
    )
    assert await sum_all(admin, movements=3) == 10
    assert await kept(admin) == await recounted(admin)


async def test_the_job_counts_all_of_a_ledger_that_was_there_before(
    database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storecredit.ledger.summing.MOVEMENTS_MAX", 100)
    monkeypatch.setattr("storecredit.ledger.summing.ACCOUNTS_MAX", 2)
    await make_ledger(admin, random.Random(1))
    jobs = [Summing(database, Settings(sums_interval_seconds=each)) for each in (0.001, 3600)]
    there = await admin.fetchval("SELECT count(*) FROM movements")

    assert await jobs[0].sum_up() == there

    assert await kept(admin) == await recounted(admin)
    row: Any = await admin.fetchrow("SELECT whole_at IS NOT NULL AS whole, walked_to FROM summing")
    assert tuple(row) == (True, 0)
    # The other process has its turn in an hour.
    await admin.execute(
        "SELECT FROM accounts, deduct_from_accounts(ARRAY[account_id], '{1}', '{n}', '{}')"
    )
    assert await jobs[1].sum_up() == 0


async def test_the_job_waits_for_a_database_that_is_away(database: Database) -> None:
    await database.close()
    assert await Summing(database, Settings()).sum_up() == 0
