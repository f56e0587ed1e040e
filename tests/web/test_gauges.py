"""`GET /metrics`: what the database is asked for at a scrape, and what it costs it."""

from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest

from storecredit.ledger.checkpoints.making import Checkpoints
from storecredit.ledger.verification import LastVerification, last, record
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.service import Service
from storecredit.settings import Settings
from storecredit.web import gauges as gauges_module
from storecredit.web.gauges import FRESH_SECONDS, Gauges
from storecredit.webhooks.endpoints import IssuedSecret
from tests.passing_time import pass_time
from tests.running_listener import Clock
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.scrapes import DATABASE_GAUGES, Samples, samples_in

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NEVER_VERIFIED = DATABASE_GAUGES - {
    "storecredit_verify_timestamp_seconds",
    "storecredit_verify_discrepancies",
    "storecredit_checkpoint_timestamp_seconds",
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gauges(service: Service, clock: Clock) -> Gauges:
    """Those of another process on the same database."""
    parts = service.parts
    return Gauges(service.buckets, parts.credits, parts.problems, parts.endpoints, clock=clock)


async def told(service: Service, gauges: Gauges) -> Samples:
    return samples_in(service.parts.metrics.exposition(await gauges.read()).decode())


async def test_active_stores_without_credits_are_counted(
    operator: Operator, service: Service, gauges: Gauges
) -> None:
    await operator.store()
    for _ in range(2):
        await operator.store(credits=0)
    gone = await operator.store(credits=0)
    await operator.patch(f"/stores/{gone.store_id}", status="suspended")
    assert (await told(service, gauges))["storecredit_stores_at_zero"] == [({}, 2)]


async def test_credits_that_have_ended_count_no_more_whether_a_sweep_has_run_or_not(
    operator: Operator, service: Service, gauges: Gauges, clock: Clock, admin: asyncpg.Connection
) -> None:
    """In the gauge and in lists, whose further pages are of the moment of the first one."""
    ids = []
    for ending, lasting in ((5, 0), (6, 2), (1, 3), (0, 4)):
        store = await operator.store(credits=lasting)
        ids.append(store.store_id)
        if ending:
            body = {"amount": ending, "type": "purchase", "request_id": "month"}
            path = f"/stores/{store.store_id}/credits"
            answer = await operator.post(path, **body, expires_at="2126-01-01T00:00:00Z")
            data_of(answer, 201)
    assert (await told(service, gauges))["storecredit_stores_at_zero"] == [({}, 0)]
    await pass_time(admin, timedelta(days=36_525))
    clock.now += FRESH_SECONDS
    assert (await told(service, gauges))["storecredit_stores_at_zero"] == [({}, 1)]
    assert [
        item["store_id"] for item in data_of(await operator.get("/stores", below=1))["items"]
    ] == [ids[0]]

    page = data_of(await operator.get("/stores", sort="balance", limit=2))
    await admin.execute(
        "SELECT storecredit.expire_credits(array_agg(account_id)) FROM storecredit.accounts"
    )
    rest = data_of(
        await operator.get("/stores", sort="balance", limit=9, cursor=page["next_cursor"])
    )
    items = page["items"] + rest["items"]
    assert [(item["store_id"], item["balance"]) for item in items] == list(
        zip(ids, (0, 2, 3, 4), strict=True)
    )


async def test_webhook_endpoints_are_counted_by_how_they_stand(
    service: Service, gauges: Gauges, admin: asyncpg.Connection
) -> None:
    """Those that somebody has disabled need nobody."""
    for state in (
        "failing_since = NULL",
        "failing_since = now()",
        "failing_since = now()",
        *(
            f"status = 'disabled', disabled_at = now(), disabled_reason = '{reason}'"
            for reason in ("requested", "gone", "failing")
        ),
    ):
        made = await service.parts.endpoints.create(0, url="https://hats.example/")
        assert isinstance(made, IssuedSecret)
        await admin.execute(
            f"UPDATE storecredit.webhook_endpoints SET {state} WHERE endpoint_id = $1",
            made.endpoint.endpoint_id,
        )
    counted = (await told(service, gauges))["storecredit_webhook_endpoints"]
    standings = {labels["standing"]: value for labels, value in counted}
    assert standings == {"working": 1, "failing": 2, "given_up": 2}


async def test_billing_problems_are_counted_by_kind(
    service: Service, gauges: Gauges, database: Database
) -> None:
    for number in range(2):
        await database.fetchval(
            "SELECT receive_provider_event('paddle', $1, 'x', $2, NULL, 'set_aside', 'x')",
            f"evt_{number}",
            NOON,
        )
    counted = (await told(service, gauges))["storecredit_billing_problems"]
    kinds = {labels["kind"]: value for labels, value in counted}
    assert kinds == {"events": 2, "clawbacks": 0, "bills": 0}


async def test_the_last_verification_is_told_by_every_process(
    operator: Operator,
    store: StoreClient,
    service: Service,
    gauges: Gauges,
    clock: Clock,
    admin: asyncpg.Connection,
) -> None:
    assert DATABASE_GAUGES & set(await told(service, gauges)) == NEVER_VERIFIED

    before = await admin.fetchval("SELECT now()")
    data_of(await operator.get("/verify"))
    clock.now += FRESH_SECONDS
    samples = await told(service, gauges)
    assert samples["storecredit_verify_discrepancies"] == [({}, 0)]
    [(_, moment)] = samples["storecredit_verify_timestamp_seconds"]
    assert before.timestamp() <= moment <= (await admin.fetchval("SELECT now()")).timestamp()

    await admin.execute("UPDATE movements SET balance_after = 99")
    found = data_of(await operator.get("/verify"))["discrepancies"]
    clock.now += FRESH_SECONDS
    samples = await told(service, gauges)
    assert samples["storecredit_verify_discrepancies"] == [({}, len(found))]
    assert found


async def test_of_several_verifications_the_one_that_looked_last_is_kept(
    database: Database,
) -> None:
    newer = LastVerification(NOON, 3)
    await record(database, newer, None)
    await record(database, LastVerification(NOON - timedelta(hours=1), 0), None)
    assert await last(database) == newer


async def test_a_proof_stands_also_where_it_cannot_be_recorded(
    database_url: str, admin: asyncpg.Connection
) -> None:
    """A standby, or a database that its owner has made read-only."""
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database = await Database.open(database_url)
    report = await verify(database)
    assert report.clean
    assert await last(database) is None
    await database.close()


async def test_when_all_was_last_signed_is_told_also_where_nothing_was_new(
    store: StoreClient,
    service: Service,
    gauges: Gauges,
    clock: Clock,
    database: Database,
    settings: Settings,
    admin: asyncpg.Connection,
) -> None:
    checkpoints = Checkpoints(database, settings)
    assert await checkpoints.make(at_once=True) is not None
    first = (await told(service, gauges))["storecredit_checkpoint_timestamp_seconds"]
    assert await checkpoints.make(at_once=True) is None
    clock.now += FRESH_SECONDS
    [(_, second)] = (await told(service, gauges))["storecredit_checkpoint_timestamp_seconds"]
    assert first[0][1] < second
    passed_at = await admin.fetchval("SELECT passed_at FROM storecredit.proving")
    assert second == pytest.approx(passed_at.timestamp())


async def test_the_database_is_asked_once_in_a_while_however_many_scrape(
    operator: Operator, service: Service, gauges: Gauges, clock: Clock
) -> None:
    await told(service, gauges)
    await operator.store(credits=0)
    clock.now += FRESH_SECONDS - 0.1
    assert (await told(service, gauges))["storecredit_stores_at_zero"] == [({}, 0)]
    clock.now += 0.1
    assert (await told(service, gauges))["storecredit_stores_at_zero"] == [({}, 1)]


async def test_a_gauge_that_takes_too_long_is_left_out_alone(
    service: Service,
    gauges: Gauges,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauges_module, "ANSWER_MAX_SECONDS", 0.5)
    async with admin.transaction():
        await admin.execute("LOCK TABLE movements IN ACCESS EXCLUSIVE MODE")
        samples = await told(service, gauges)
    assert DATABASE_GAUGES & set(samples) == {
        "storecredit_billing_problems",
        "storecredit_webhook_endpoints",
    }


async def test_everything_is_in_one_answer(api: httpx.AsyncClient, store: StoreClient) -> None:
    await store.balance()
    samples = samples_in((await api.get("/metrics")).text)
    assert {"storecredit_requests_total", *NEVER_VERIFIED} <= set(samples)
