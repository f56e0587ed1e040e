"""M9: what cannot be read is an error that says so, in the answer and in the log; never a zero."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.service import assembled
from storecredit.settings import Settings
from storecredit.stores.api_keys import new_key
from tests.log_stream import LogStream
from tests.web.conftest import http_client
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.scrapes import DATABASE_GAUGES, samples_in, total
from tests.web.table_rows import Rows
from tests.web.users import Calls, refusal_of, user_of

BALANCE = "/api/v1/credits/balance"
CUTS = 10
RETRIES_MAX = 20


async def lose_account(admin: asyncpg.Connection, store: StoreClient) -> None:
    """What the tables forbid, done past them: only a superuser can switch the rules off."""
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM accounts WHERE owner_id = $1", store.store_id)


async def hide_movements(admin: asyncpg.Connection) -> None:
    """Nobody but a superuser can read the ledger any more."""
    await admin.execute("REVOKE SELECT ON movements FROM storecredit_app, storecredit_writer")


def assert_logged(log: LogStream, answer: httpx.Response, store: StoreClient, cause: str) -> None:
    """The log names the store, the request and the cause, at once."""
    [line] = log.events("request_not_served")
    assert line["level"] == "warning"
    assert line["store_id"] == store.store_id
    assert line["request_id"] == answer.headers["x-request-id"]
    assert cause in f"{line['cause']}: {line['error']}"


def assert_broke(log: LogStream, answer: httpx.Response, store: StoreClient, cause: str) -> None:
    """The log names the store, the request and, with its trace, the cause."""
    [line] = log.events("request_broke")
    assert line["store_id"] == store.store_id
    assert line["request_id"] == answer.headers["x-request-id"]
    assert cause in line["exception"]
    log.forget()


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
async def test_m9_a_store_without_an_account_is_an_error_and_never_a_zero(
    store: StoreClient, admin: asyncpg.Connection, log: LogStream, *, is_known: bool
) -> None:
    if is_known:
        assert await store.balance() == 100
    await lose_account(admin, store)
    answer = await store.get(BALANCE, headers={"X-Request-Id": "trace-1"})
    error_of(answer, 500, "INTERNAL_ERROR")
    assert "0" not in answer.text
    assert answer.headers["x-request-id"] == "trace-1"
    assert_logged(log, answer, store, "AccountMissing: store")


async def test_m9_a_ledger_that_cannot_be_read_is_an_error_and_never_a_zero(
    store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    await hide_movements(admin)
    answer = await store.get(BALANCE, headers={"X-Request-Id": "trace-1"})
    error_of(answer, 500, "INTERNAL_ERROR")
    assert "0" not in answer.text
    assert_broke(log, answer, store, "InsufficientPrivilege")


async def test_m9_the_operator_is_told_so_too(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    paths = ("/stores", f"/stores/{store.store_id}")
    await hide_movements(admin)
    for path in paths:
        error_of(await operator.get(path), 500, "INTERNAL_ERROR")
    log.forget()
    await admin.execute("GRANT SELECT ON movements TO storecredit_app")
    await lose_account(admin, store)
    for path in paths:
        error_of(await operator.get(path), 500, "INTERNAL_ERROR")


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
async def test_m9_nothing_is_created_for_a_store_without_an_account(
    store: StoreClient, admin: asyncpg.Connection, log: LogStream, *, is_known: bool
) -> None:
    if is_known:
        assert await store.balance() == 100
    await lose_account(admin, store)
    answer = await store.create()
    error_of(answer, 500, "INTERNAL_ERROR")
    if is_known:
        assert_broke(log, answer, store, "StatementRefused")
    else:
        assert_logged(log, answer, store, "AccountMissing: store")
    await assert_nothing_created(admin)


async def test_m9_nothing_is_created_where_the_newest_movement_cannot_be_read(
    store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    await hide_movements(admin)
    answer = await store.create()
    error_of(answer, 500, "INTERNAL_ERROR")
    assert_broke(log, answer, store, "InsufficientPrivilege")
    await assert_nothing_created(admin)


async def assert_nothing_created(admin: asyncpg.Connection) -> None:
    assert await admin.fetchval("SELECT count(*) FROM movements WHERE type <> 'grant'") == 0
    assert await admin.fetchval("SELECT count(*) FROM sessions") == 0
    assert await admin.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_m9_connections_that_the_database_cuts_cost_nobody_more_than_a_retry(
    store: StoreClient, admin: asyncpg.Connection, rows: Rows
) -> None:
    for place in range(CUTS):
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        answer = await store.create(f"order-{place}")
        for _ in range(RETRIES_MAX):
            if answer.status_code in {200, 201}:
                break
            assert_unavailable(answer)
            answer = await store.create(f"order-{place}")
        assert answer.status_code in {200, 201}
    assert len(await rows.ledger(store.store_id, "deduction")) == CUTS


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, to be stopped."""
    directory = tmp_path / "own"
    directory.mkdir()
    own = EmbeddedPostgres(directory)
    await own.start()
    yield own
    await own.stop()


@pytest.fixture
def impatient(settings: Settings) -> Settings:
    """Where the database is away, a creation is refused after a second."""
    return settings.model_copy(update={"commit_deadline_seconds": 1})


async def test_m9_without_a_database_every_answer_is_a_503_that_says_when_to_come_back(
    postgres: EmbeddedPostgres, impatient: Settings, log: LogStream
) -> None:
    await migrate(postgres.admin_url, app_may_login=True)
    database = await Database.open(postgres.app_url)
    async with assembled(impatient, database) as service, http_client(service) as api:
        operator = Operator(api)
        store = await operator.store()
        # What is asked while the store's making is still being told is not kept in memory.
        while service.parts.api_keys.known(store.api_key) is None:
            assert await store.balance() == 100
        await postgres.stop()
        log.forget()

        answer = await store.get(BALANCE, headers={"X-Request-Id": "trace-1"})
        assert_unavailable(answer)
        assert answer.headers["x-request-id"] == "trace-1"
        [line] = log.events("request_not_served")
        assert line["request_id"] == "trace-1"
        assert "DatabaseUnavailable" in line["cause"]
        # Whose key it is was known a moment ago: enough for the log, and for nothing else.
        assert line["store_id"] == store.store_id
        [line] = log.events("request")
        assert (line["store_id"], line["route"]) == (store.store_id, BALANCE)
        log.forget()
        assert_unavailable(await replace(store, api_key=new_key()).get(BALANCE))
        assert "store_id" not in log.events("request")[0]

        assert_unavailable(await store.get("/api/v1/generations"))
        assert_unavailable(await operator.get("/stores"))
        assert_unavailable(await api.get("/health/ready"))
        data_of(await api.get("/health/live"))
        assert_unavailable(await store.create())

        assert_metrics_make_nothing_up(await api.get("/metrics"))
    await database.close()


async def test_m9_the_app_is_told_so_in_the_form_it_reads(
    postgres: EmbeddedPostgres, impatient: Settings, log: LogStream
) -> None:
    await migrate(postgres.admin_url, app_may_login=True)
    database = await Database.open(postgres.app_url)
    async with assembled(impatient, database) as service, http_client(service) as api:
        known, unknown = user_of(api), user_of(api)
        while not service.listener.is_fresh():  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
        assert await known.balance() == 10
        await postgres.stop()
        log.forget()
        for user in (known, unknown):
            answer = await user.query("credits.getBalance", headers={"X-Request-Id": "trace-1"})
            refusal_of(answer, 503, "SERVICE_UNAVAILABLE", "credits.getBalance")
            assert int(answer.headers["retry-after"]) >= 1
        for line in log.events("request_not_served"):
            assert line["request_id"] == "trace-1"
            assert "DatabaseUnavailable" in line["cause"]
        assert len({line["user_id"] for line in log.events("request_not_served")}) == 2

        refusal_of(await known.create(), 503, "SERVICE_UNAVAILABLE", "generation.create")
        # Who asks is not known for sure while the database may be another one: all of a batch is
        # refused at once.
        log.forget()
        calls: Calls = [("credits.getTransactions", {}), ("credits.getBalance", None)]
        batch = await known.batch("GET", calls, headers={"X-Request-Id": "trace-2"})
        assert {line["request_id"] for line in log.events("request_not_served")} == {"trace-2"}
        assert [shape["error"]["json"]["data"]["httpStatus"] for shape in batch.json()] == [
            503,
            503,
        ]
        refusal_of(
            await user_of(api, aud="").query("credits.getBalance"),
            401,
            "UNAUTHORIZED",
            "credits.getBalance",
        )
    await database.close()


def assert_metrics_make_nothing_up(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    samples = samples_in(answer.text)
    assert total(samples, "requests_total", route=BALANCE, status="503") == 2
    assert not DATABASE_GAUGES & set(samples)


def assert_unavailable(answer: httpx.Response) -> None:
    error_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
