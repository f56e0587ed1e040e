"""Sessions are archived: which, into what, and that the books stay whole and clean."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from storecredit.generation.archived import Archives, read
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.passing_time import pass_time
from tests.sql.generations import (
    CONTENT,
    OTHER_CONTENT,
    complete,
    create,
    create_one,
    session,
    start,
)
from tests.sql.ledgers import open_account
from tests.sql.tampering_with_archives import IN_ARCHIVES
from tests.worker.archives import DAYS, Keeper, generation


@pytest.fixture
def keeper(database: Database, admin: asyncpg.Connection, tmp_path: Path) -> Keeper:
    return Keeper(database, admin, tmp_path)


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.STORE, 10)


@pytest.fixture
async def user(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.USER, 10)


async def test_what_ended_long_ago_is_in_a_file_and_no_longer_in_the_database(
    keeper: Keeper, store: Account, user: Account
) -> None:
    done = await generation(keeper.admin, store, "r1")
    failed = await generation(keeper.admin, store, 'r "2", and\nmore', fails=True)
    theirs = await generation(keeper.admin, user, "r1")
    before = [await session(keeper.admin, store, done), await session(keeper.admin, store, failed)]
    await keeper.years_pass()
    recent = await generation(keeper.admin, store, "r3")

    assert await keeper.archive() == 3

    assert await keeper.left() == {recent}
    rows = {row["session_id"]: row for row in keeper.rows()}
    assert set(rows) == {str(done), str(failed), str(theirs)}
    assert [rows[str(each["session_id"])]["status"] for each in before] == ["completed", "failed"]
    assert rows[str(failed)]["request_id"] == 'r "2", and\nmore'
    assert rows[str(failed)]["error_code"] == "MODERATION_BLOCKED"
    assert rows[str(failed)]["error_message"] == "Broke."
    assert (rows[str(failed)]["charged_seq"], rows[str(failed)]["returned_seq"]) == ("3", "4")
    assert msgspec.json.decode(rows[str(done)]["metadata"]) == {"order": "1"}
    assert rows[str(done)]["owner_id"] == str(store.owner.id)
    (note,) = await keeper.noted()
    assert (note["number"], note["sessions"]) == (1, 3)
    assert [note["bytes"]] == [file.stat().st_size for file in keeper.files()]
    assert await keeper.archive() == 0
    assert len(await keeper.noted()) == 1


async def test_verify_counts_what_is_archived_and_finds_nothing_wrong(
    keeper: Keeper, store: Account, user: Account
) -> None:
    for account in (store, user):
        for number in range(3):
            await generation(keeper.admin, account, f"r{number}", fails=number == 1)
    await keeper.years_pass()
    await keeper.archive()
    await generation(keeper.admin, store, "later")
    await keeper.sum_up()

    for every_row in (False, True):
        report = await verify(keeper.database, every_row=every_row)
        assert report.discrepancies == ()
        assert (report.archived_sessions, report.sessions, report.user_sessions) == (6, 1, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_of_an_archived_session_is_answered_as_before_and_charged_once(
    keeper: Keeper, store: Account, user: Account, *, fails: bool
) -> None:
    for account in (store, user):
        session_id = await generation(keeper.admin, account, "r1", fails=fails)
        await generation(keeper.admin, account, "r2")
        balance = await keeper.database.fetchval(
            "SELECT balance_after FROM movements WHERE account_id = $1 ORDER BY seq DESC LIMIT 1",
            account.id,
        )
        await keeper.years_pass()
        await keeper.archive()
        answers = await create(
            keeper.admin, account, [("r1", CONTENT), ("r1", OTHER_CONTENT), ("r3", CONTENT)]
        )
        assert answers[0] == (
            *("replayed", session_id, "failed" if fails else "completed"),
            *(balance, "balance", 1),
        )
        assert (answers[1].outcome, answers[2].outcome) == ("conflict", "created")
        assert answers[2].balance == balance - 1


async def test_what_is_not_over_stays_and_keeps_what_came_after_it(
    keeper: Keeper, store: Account, user: Account
) -> None:
    first = await generation(keeper.admin, store, "r1")
    with_result = await create_one(keeper.admin, store, "r2")
    await start(keeper.admin, store, with_result)
    await complete(keeper.admin, store, with_result)
    after = await generation(keeper.admin, store, "r3")
    opened = await create_one(keeper.admin, user, "r1")
    await keeper.years_pass()

    assert await keeper.archive() == 1
    assert await keeper.left() == {with_result, after, opened}
    assert [row["session_id"] for row in keeper.rows()] == [str(first)]

    await keeper.admin.fetchval("SELECT forget_result($1, $2)", store.id, with_result)
    assert await keeper.archive() == 2
    assert await keeper.left() == {opened}


async def test_an_account_is_come_to_seldom_unless_somebody_asks_for_it_now(
    keeper: Keeper, store: Account
) -> None:
    for number in range(3):
        await generation(keeper.admin, store, f"r{number}")
        await pass_time(keeper.admin, timedelta(days=2))
    await pass_time(keeper.admin, timedelta(days=DAYS - 1))
    await keeper.sum_up()
    assert await keeper.job().archive(asyncio.Event()) == 0
    await pass_time(keeper.admin, timedelta(days=5))
    await keeper.sum_up()
    await keeper.admin.execute("UPDATE archiving SET whole_at = NULL")
    assert await keeper.job().archive(asyncio.Event()) == 3
    late = await generation(keeper.admin, store, "late")
    await pass_time(keeper.admin, timedelta(days=DAYS + 1))
    await keeper.sum_up()
    assert await keeper.archive() == 1
    assert str(late) in {row["session_id"] for row in keeper.rows()}


async def test_what_the_sums_have_not_counted_waits_for_them(
    keeper: Keeper, store: Account
) -> None:
    await generation(keeper.admin, store, "r1", fails=True)
    await keeper.years_pass()
    await keeper.admin.execute("UPDATE summed_accounts SET seq = 2")
    assert await keeper.archive() == 0
    await keeper.admin.execute(
        "UPDATE summed_accounts SET seq = 0; TRUNCATE summing, hourly_sums, daily_sums"
    )
    await keeper.sum_up()
    assert await keeper.archive() == 1
    assert (await verify(keeper.database)).clean


async def test_a_session_that_contradicts_its_ledger_stays_for_verify_to_name(
    keeper: Keeper, store: Account
) -> None:
    wrong = await generation(keeper.admin, store, "r1")
    await generation(keeper.admin, store, "r2")
    await keeper.years_pass()
    await keeper.admin.execute("UPDATE sessions SET credits = 7 WHERE session_id = $1", wrong)
    assert await keeper.archive() == 1
    assert await keeper.left() == {wrong}
    report = await verify(keeper.database)
    assert [found.kind for found in report.discrepancies] == ["generation_amount"]


async def test_a_session_that_vanished_unarchived_is_named_and_those_archived_are_not(
    keeper: Keeper, store: Account
) -> None:
    for number in range(4):
        await generation(keeper.admin, store, f"r{number}")
    await keeper.years_pass()
    await keeper.archive()
    gone = await generation(keeper.admin, store, "later")
    await keeper.admin.execute("DELETE FROM sessions WHERE session_id = $1", gone)
    report = await verify(keeper.database)
    assert [(found.kind, found.session_id) for found in report.discrepancies] == [
        ("deduction_without_session", gone)
    ]


async def test_one_that_vanished_before_its_turn_is_not_taken_for_archived(
    keeper: Keeper, store: Account
) -> None:
    gone = await generation(keeper.admin, store, "r1")
    await generation(keeper.admin, store, "r2")
    await keeper.years_pass()
    await keeper.admin.execute("DELETE FROM sessions WHERE session_id = $1", gone)
    assert await keeper.archive() == 1
    report = await verify(keeper.database)
    assert [(found.kind, found.session_id) for found in report.discrepancies] == [
        ("deduction_without_session", gone)
    ]


@pytest.mark.parametrize("tampering", IN_ARCHIVES)
async def test_what_somebody_does_behind_the_back_of_the_archive_is_named(
    keeper: Keeper, store: Account, tampering: str
) -> None:
    await generation(keeper.admin, store, "r1", fails=True)
    await keeper.years_pass()
    await keeper.admin.execute("CREATE TEMP TABLE kept AS SELECT * FROM sessions")
    await keeper.archive()
    await keeper.admin.execute(tampering)
    report = await verify(keeper.database)
    assert IN_ARCHIVES[tampering] in {found.kind for found in report.discrepancies}


async def test_what_is_given_back_of_an_archived_generation_is_given_back_once_and_named(
    keeper: Keeper, store: Account
) -> None:
    session_id = await generation(keeper.admin, store, "r1")
    failed = await generation(keeper.admin, store, "r2", fails=True)
    await keeper.years_pass()
    await keeper.archive()

    refund = (
        "SELECT outcomes[1] FROM refund_to_accounts(ARRAY[$1::bigint], '{1}', ARRAY[$2], '{NULL}')"
    )
    outcomes = [
        await keeper.database.fetchval(refund, store.id, request_id)
        for request_id in ("r1", "r1", "r2")
    ]

    assert outcomes == ["refunded", "already_refunded", "already_refunded"]
    # As it is of one that is not archived: a generation that completed is not given back.
    report = await verify(keeper.database)
    assert [(found.kind, found.session_id) for found in report.discrepancies] == [
        ("completed_but_refunded", session_id)
    ]
    assert failed not in {found.session_id for found in report.discrepancies}


async def test_nothing_of_an_end_user_is_archived_that_erasing_would_have_to_remove(
    keeper: Keeper, user: Account
) -> None:
    session_id = await create_one(keeper.admin, user, "r1")
    await start(keeper.admin, user, session_id)
    await keeper.admin.fetch(
        "SELECT * FROM postpone_generation($1, $2, 'a red hat?', true)", user.id, session_id
    )
    await keeper.admin.fetch(
        "SELECT * FROM fail_generations($1, $2, '{NO}', '{about a hat}', '{a hat!}')",
        [user.id],
        [session_id],
    )
    await keeper.years_pass()
    await keeper.archive()
    (row,) = keeper.rows()
    assert (row["metadata"], row["error_message"]) == ("", "")
    attempts = msgspec.json.decode(row["failed_attempts"])
    assert [attempt["said"] for attempt in attempts] == [None, None]
    assert "hat" not in str(row)

    assert await keeper.admin.fetchval("SELECT erase_user($1)", user.owner.id) == "erased"

    (kept,) = await keeper.admin.fetch("SELECT * FROM archived_sessions")
    assert kept["fingerprints"] == b""
    (answer,) = await create(keeper.admin, user, [("r1", CONTENT)])
    assert answer.outcome == "conflict"
    assert (await verify(keeper.database)).clean


async def test_what_generators_said_is_not_archived_of_stores_either(
    keeper: Keeper, store: Account
) -> None:
    session_id = await create_one(keeper.admin, store, "r1")
    await start(keeper.admin, store, session_id)
    await keeper.admin.fetch(
        "SELECT * FROM fail_generations($1, $2, '{NO}', '{No.}', '{a red hat?}')",
        [store.id],
        [session_id],
    )
    await keeper.years_pass()
    await keeper.archive()
    (row,) = keeper.rows()
    assert row["error_message"] == "No."
    assert "red hat" not in str(row)


async def test_an_archived_session_is_found_by_its_account_alone_and_read_back(
    keeper: Keeper, store: Account, user: Account
) -> None:
    wanted = await generation(keeper.admin, store, "r1", fails=True)
    await generation(keeper.admin, user, "r1")
    await keeper.years_pass()
    await keeper.archive()
    archives = Archives(keeper.database)

    found = await archives.find(store.id, wanted)
    assert found is not None
    assert found.status == "failed"
    assert await archives.find(user.id, wanted) is None
    assert await archives.find(store.id, uuid4()) is None
    (noted,) = [each async for each in archives.noted()]
    assert {row["session_id"] for row in await read(noted)} == {
        row["session_id"] for row in keeper.rows()
    }


async def test_a_long_ledger_is_archived_in_pieces_each_session_once(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, store: Account, user: Account
) -> None:
    monkeypatch.setattr("storecredit.generation.archiving.MOVEMENTS_MAX", 3)
    monkeypatch.setattr("storecredit.generation.archiving.ACCOUNTS_MAX", 1)
    made = {
        await generation(keeper.admin, account, f"r{number}", fails=number % 3 == 0)
        for account in (store, user)
        for number in range(7)
    }
    await keeper.years_pass()
    assert await keeper.archive() == len(made)
    assert sorted(row["session_id"] for row in keeper.rows()) == sorted(map(str, made))
    numbers = [note["number"] for note in await keeper.noted()]
    assert numbers == list(range(1, len(keeper.files()) + 1))
    report = await verify(keeper.database, every_row=True)
    assert (report.clean, report.archived_sessions) == (True, len(made))


async def test_what_ended_at_the_very_moment_is_not_due_yet(keeper: Keeper, store: Account) -> None:
    done = await generation(keeper.admin, store, "r1")
    await keeper.sum_up()
    ended_at = (await session(keeper.admin, store, done))["completed_at"]
    given_at = await keeper.admin.fetchval("SELECT min(created_at) FROM movements")
    moment = timedelta(microseconds=1)
    for before, until in (
        *((given_at, 0), (given_at + moment, 1)),
        *((ended_at, 1), (ended_at + moment, 2)),
    ):
        due = "SELECT archivable_until($1, 0, $2, 100)"
        assert await keeper.admin.fetchval(due, store.id, before) == until


async def test_a_piece_begins_after_the_one_before_and_is_chosen_where_there_is_something_in_it(
    keeper: Keeper, store: Account
) -> None:
    await generation(keeper.admin, store, "r1")
    second = await generation(keeper.admin, store, "r2")
    piece = await keeper.admin.fetch(
        "SELECT session_id FROM sessions_in_ledger($1, 2, 3)", store.id
    )
    assert [row["session_id"] for row in piece] == [second]

    await create_one(keeper.admin, store, "never ends", CONTENT)
    await keeper.years_pass()
    assert await keeper.archive() == 2
    chosen = await keeper.admin.fetchrow(
        "SELECT * FROM choose_to_archive(0, 100, now(), interval '0', 100)"
    )
    assert chosen is not None
    assert (chosen["account_ids"], chosen["walked_to"]) == ([], 0)


async def test_it_is_nobodys_turn_while_another_begins_or_nothing_can_be_written(
    keeper: Keeper, store: Account
) -> None:
    await generation(keeper.admin, store, "r1")
    await keeper.years_pass()
    begin = """SELECT is_behind FROM begin_archive(
        gen_random_uuid(), '1 minute', '1 hour', '90 days', '1 day', 100, 100)"""
    async with keeper.admin.transaction(readonly=True):
        assert await keeper.admin.fetchval(begin) is None
    assert await keeper.admin.fetchval(begin) is True
    await keeper.admin.execute("UPDATE archiving SET held_until = NULL")
    async with keeper.admin.transaction():
        await keeper.admin.execute("SELECT FROM archiving FOR UPDATE")
        async with keeper.database.acquire() as other, other.transaction():
            await other.execute("SET LOCAL lock_timeout = '2s'")
            assert await other.fetchval(begin) is None
    assert await keeper.admin.fetchval(begin) is True


async def test_accounts_are_looked_at_one_after_the_other(
    keeper: Keeper, store: Account, user: Account
) -> None:
    await keeper.years_pass()
    first, second = sorted((store.id, user.id))
    due = "SELECT account_ids FROM choose_to_archive($1, 1, now(), interval '0', 100)"
    for after, found in ((0, [first]), (first, [second]), (second, [])):
        assert await keeper.admin.fetchval(due, after) == found


async def test_what_came_after_the_last_piece_has_its_own_time(
    keeper: Keeper, store: Account
) -> None:
    await generation(keeper.admin, store, "r1")
    await keeper.years_pass()
    assert await keeper.archive() == 1
    await generation(keeper.admin, store, "r2")
    await pass_time(keeper.admin, timedelta(hours=1))
    await keeper.sum_up()
    due = "SELECT account_ids FROM choose_to_archive(0, 100, now(), $1, 100)"
    for grace, found in ((timedelta(days=1), []), (timedelta(0), [store.id])):
        assert await keeper.admin.fetchval(due, grace) == found
