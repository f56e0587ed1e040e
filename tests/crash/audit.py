"""What must hold of the tables after any crash, read back row by row.

Every acknowledged request has exactly one deduction, none has two; every session has ended, in a
result that is on disk or in exactly one refund; and the balances follow from the ledger.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.conftest import SEARCH_PATH
from tests.crash.generator_stand_in import Generator, Plan
from tests.crash.load import Account, Asked, Load
from tests.sql.ledgers import assert_books_balance

DRAINED_MAX_SECONDS = 90.0
POLL_SECONDS = 0.05
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

HONEST_ENDS = {
    "completed": {Plan.COMPLETES, Plan.IS_AWAY_AT_FIRST, Plan.HANGS_AT_FIRST},
    "MODERATION_BLOCKED": {Plan.IS_BLOCKED},
    "GENERATOR_REJECTED": {Plan.FAILS},
    # Its first asking may have been the last attempt, if workers died over those before.
    "GENERATOR_UNAVAILABLE": {Plan.IS_AWAY, Plan.IS_AWAY_AT_FIRST},
    # Any attempt may have died with its worker, and there are only so many; and while everything
    # starts again at once, any may take too long.
    "GENERATOR_TIMEOUT": set(Plan),
    "GENERATION_FAILED": set(Plan),
}
"""What the generator was to do with a request whose session ended so."""
ADDED = {"purchase", "subscription"}
WORTH_ANOTHER_ATTEMPT = {Plan.IS_AWAY, Plan.IS_AWAY_AT_FIRST, Plan.HANGS_AT_FIRST}
"""Only such a session may wait, begun and not ended, while no worker runs."""


@asynccontextmanager
async def books_of(data_dir: Path) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the embedded database, which is started if it does not run."""
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start(create=False)
    try:
        connection = await asyncpg.connect(
            postgres.admin_url, server_settings={"search_path": SEARCH_PATH}
        )
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await postgres.stop()


async def drained(books: asyncpg.Connection) -> None:
    """Wait until every session has ended."""
    open_sessions = """SELECT s.session_id, s.request_id, s.status, s.attempts, s.created_at,
                           q.status AS job, q.heartbeat, q.execute_after
                       FROM sessions s LEFT JOIN pgqueuer q ON q.dedupe_key = s.session_id::text
                       WHERE s.status IN ('queued', 'processing')"""
    rows: list[asyncpg.Record] = []
    try:
        async with asyncio.timeout(DRAINED_MAX_SECONDS):
            # Rows of another process set no event.
            while rows := await books.fetch(open_sessions):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        listed = "\n".join(str(dict(row)) for row in rows)
        raise AssertionError(
            f"{len(rows)} sessions have not ended within {DRAINED_MAX_SECONDS:g} s:\n{listed}"
        ) from None


async def assert_nothing_half_done(data_dir: Path, generator: Generator) -> None:
    """After a stop in good order: no job is in anyone's hands, no attempt was broken off."""
    async with books_of(data_dir) as books:
        picked = await books.fetch("SELECT * FROM pgqueuer WHERE status = 'picked'")
        assert picked == [], f"nobody works on {picked}"
        begun = await books.fetch("SELECT * FROM sessions WHERE status = 'processing'")
    for session in begun:
        plan = generator.plan(session["request_id"])
        assert plan in WORTH_ANOTHER_ATTEMPT, f"planned: {plan}; left: {dict(session)}"


async def assert_books_hold(
    books: asyncpg.Connection, load: Load, generator: Generator, data_dir: Path
) -> None:
    """Judge every row of every account that the load asked for."""
    asked_by_account: dict[Account, list[Asked]] = {account: [] for account in load.accounts}
    for asked in load.asked.values():
        asked_by_account[asked.account].append(asked)
    for account, asked_all in asked_by_account.items():
        account_id = await books.fetchval(
            "SELECT account_id FROM accounts WHERE owner_kind = $1 AND owner_id = $2",
            account.owner.kind,
            account.owner.id,
        )
        if account_id is None:
            assert account.owner.kind is OwnerKind.USER, "a store was made with its account"
            assert not any(asked.acknowledged for asked in asked_all)
            continue
        await assert_books_balance(books, account.owner)
        await _assert_account_holds(books, account, account_id, asked_all, generator, data_dir)


async def _assert_account_holds(
    books: asyncpg.Connection,
    account: Account,
    account_id: int,
    asked_all: list[Asked],
    generator: Generator,
    data_dir: Path,
) -> None:
    movements = await books.fetch(
        "SELECT type, amount, request_id, session_id, balance_after FROM movements"
        " WHERE account_id = $1 ORDER BY seq",
        account_id,
    )
    sessions = {
        row["request_id"]: row
        for row in await books.fetch("SELECT * FROM sessions WHERE account_id = $1", account_id)
    }
    taken = Counter(row["request_id"] for row in movements if row["type"] == "deduction")
    given_back = Counter(row["request_id"] for row in movements if row["type"] == "refund")
    assert {row["amount"] for row in movements if row["type"] in {"deduction", "refund"}} <= {1}
    assert set(taken) == set(sessions), "a deduction without a session, or a session without one"
    assert set(taken) <= {asked.request_id for asked in asked_all}
    for asked in asked_all:
        _assert_request_holds(
            asked, taken[asked.request_id], sessions.get(asked.request_id), generator
        )
    for request_id, session in sessions.items():
        refunds = 1 if session["status"] == "failed" else 0
        assert given_back[request_id] == refunds, f"{request_id} ended in {dict(session)}"
        if session["status"] == "completed":
            _assert_result_is_kept(data_dir, session)
    balance = movements[-1]["balance_after"]
    added = sum(row["amount"] for row in movements if row["type"] in ADDED)
    clawed_back = sum(row["amount"] for row in movements if row["type"] == "clawback")
    assert account.buys or added == clawed_back == 0
    assert balance == (account.credits + added - clawed_back - taken.total() + given_back.total())


def _assert_request_holds(
    asked: Asked, deductions: int, session: asyncpg.Record | None, generator: Generator
) -> None:
    if asked.acknowledged:
        assert deductions == 1, f"{asked} was acknowledged and has {deductions} deductions"
    assert deductions <= 1, f"{asked} has {deductions} deductions"
    assert asked.answers.count(201) <= 1, f"{asked} was created more than once"
    if session is None:
        return
    assert asked.session_ids <= {session["session_id"]}, f"{asked} is {dict(session)}"
    assert session["status"] in {"completed", "failed"}, f"not ended: {dict(session)}"
    end = session["error_code"] or session["status"]
    plan = generator.plan(asked.request_id)
    assert plan in HONEST_ENDS[end], f"planned: {plan}; ended: {dict(session)}"


def _assert_result_is_kept(data_dir: Path, session: asyncpg.Record) -> None:
    kept = data_dir / "results" / session["result_key"]
    assert kept.read_bytes().startswith(PNG_SIGNATURE)
