"""What becomes of owners in a bucket on a node: told, topped up, archived, erased; and proven."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.billing.catalogue import load_catalogue
from storecredit.billing.paddle.gateway import Paddle as Gateway
from storecredit.billing.subscription_charges import SubscriptionCharges
from storecredit.billing.top_ups import ToppingUp
from storecredit.generation.erasure import Erasing, Erasure
from storecredit.generation.results.store import open_results
from storecredit.ledger.owners import Account, Owner
from storecredit.ledger.summing import Summing
from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import opened
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.deliverer import Deliverer
from tests.billing.overages import holdable_paddle
from tests.billing.topping_up import CREDITS, OPENING, THRESHOLD, switch_on
from tests.citus.cluster import Cluster
from tests.sql.generations import create_one, start
from tests.worker.archives import DAYS, Keeper, generation

_SUBSCRIBED = """
    WITH sold AS (
        INSERT INTO checkouts (checkout_id, account_id, provider, purchase_type, plan, credits,
            amount, currency, request_id)
        VALUES ($1, $2, 'paddle', 'subscription', 'starter', 350, 4900, 'USD', $3))
    INSERT INTO subscriptions (provider, provider_subscription_id, account_id, checkout_id,
        occurred_at, status, plan, credits, amount, currency)
    VALUES ('paddle', $3, $2, $1, now(), 'active', 'starter', 350, 4900, 'USD')"""
_SPENT = """
    SELECT count(*)
    FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[$2::int], ARRAY['spent'], ARRAY[''])"""
_BOUGHT = "SELECT credits, charged_at IS NOT NULL FROM subscription_charges"
_SUMMED = "SELECT sum(movements) FROM hourly_sums"


@dataclass(frozen=True)
class Spread:
    """A bucket on a worker, alone: as the service works in it, and as a superuser on its node."""

    database: Database
    admin: asyncpg.Connection

    async def is_sound(self) -> None:
        assert (await verify(self.database)).discrepancies == ()


@pytest.fixture
async def spread(citus_url: str, cluster: Cluster) -> AsyncIterator[Spread]:
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        database = buckets.all[1]
        way = database.way
        assert way is not None
        admin = await cluster.connect((way.host, way.port), citus_url.rpartition("/")[2])
        await admin.execute("SET citus.override_table_visibility = off")
        await admin.execute(f"SET search_path = {database.schema}, public")
        yield Spread(database, admin)
        await admin.close()
    await home.close()


async def test_what_happens_is_told_and_what_fails_is_refunded_and_told_again(
    spread: Spread,
) -> None:
    admin = spread.admin
    store = await _opened(admin, Owner.store(uuid4()), 10)
    async with AsyncExitStack() as stack:
        answers = (Answer(204, length=None), Answer(500))
        receivers = [await stack.enter_async_context(stand_in(each)) for each in answers]
        for receiver in receivers:
            endpoint_id = uuid4()
            await admin.execute(
                "INSERT INTO webhook_endpoints (endpoint_id, account_id, url, event_types)"
                " VALUES ($1, $2, $3, '{*}')",
                endpoint_id,
                store.id,
                receiver.url("/hook"),
            )
            await admin.execute(
                "INSERT INTO webhook_secrets (endpoint_id, secret) VALUES ($1, $2)",
                endpoint_id,
                bytes(32),
            )
        await generation(admin, store, "made")
        tried = await create_one(admin, store, "tried")
        await start(admin, store, tried)
        postpone = "SELECT outcome FROM postpone_generation($1, $2, 'busy', true)"
        assert await admin.fetchval(postpone, store.id, tried) == "postponed"
        await generation(admin, store, "failed", fails=True)
        settings = Settings.model_validate({"allow_private_hosts": True})
        deliverer = Deliverer(spread.database, settings, Metrics())
        await deliverer.open()
        stack.push_async_callback(deliverer.close)
        while await deliverer.deliver_due():
            pass
    events = await admin.fetchval("SELECT count(*) FROM events")
    assert events >= 2
    assert len(receivers[0].received) == len(receivers[1].received) == events
    rows = await admin.fetch(
        "SELECT status, attempts, next_attempt_at > now() AS is_later, count(*) FROM deliveries"
        " GROUP BY 1, 2, 3 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("delivered", 1, None, events),
        ("pending", 1, True, events),
    ]
    balance = "SELECT balance_after FROM movements ORDER BY seq DESC LIMIT 1"
    assert await admin.fetchval(balance) == 10 - 2, "one is made, one under way, one is back"
    await spread.is_sound()


async def test_a_store_buys_by_itself_once(spread: Spread) -> None:
    admin = spread.admin
    store = await _opened(admin, Owner.store(uuid4()), OPENING)
    async with holdable_paddle() as paddle:
        await admin.execute(_SUBSCRIBED, uuid4(), store.id, paddle.subscribe())
        assert await switch_on(admin, store.owner.id) == "set"
        settings = Settings.model_validate(
            paddle.api.settings() | {"paddle_timeout_seconds": 30, "billing_backoff_seconds": 0}
        )
        gateway = Gateway.from_settings(settings)
        assert gateway is not None
        charges = SubscriptionCharges(spread.database, gateway, settings)
        topping_up = ToppingUp(spread.database, charges, load_catalogue(), settings)
        await admin.execute(
            _SPENT,
            store.id,
            OPENING - THRESHOLD,
        )
        for _ in range(3):
            await topping_up.run_once()
        await gateway.close()
        assert len(paddle.charges()) == 1
    rows = await admin.fetch(_BOUGHT)
    assert [tuple(row) for row in rows] == [(CREDITS, True)]
    await spread.is_sound()


async def test_what_ended_long_ago_is_archived_and_the_sums_are_right(
    spread: Spread, tmp_path: Path
) -> None:
    admin = spread.admin
    store = await _opened(admin, Owner.store(uuid4()), 10)
    ended = {await generation(admin, store, f"r{number}", fails=number == 2) for number in range(4)}
    await _pass_time(admin, timedelta(days=2 * DAYS))
    summing = Summing(spread.database, Settings())
    await summing.sum_up()
    movements = await admin.fetchval("SELECT count(*) FROM movements")
    assert await admin.fetchval(_SUMMED) == movements == 6
    keeper = Keeper(spread.database, admin, tmp_path)
    assert await keeper.archive() == len(ended)
    assert {row["session_id"] for row in keeper.rows()} == {str(each) for each in ended}
    assert await keeper.left() == set()
    await spread.is_sound()


async def test_an_end_user_is_erased(spread: Spread, tmp_path: Path) -> None:
    admin = spread.admin
    user = await _opened(admin, Owner.user(uuid4()), 10)
    await generation(admin, user, "r1")
    under_way = await create_one(admin, user, "r2")
    await start(admin, user, under_way)
    settings = Settings(data_dir=tmp_path)
    erasure = Erasure(spread.database, open_results(settings), settings)
    assert await erasure.erase(user.owner.id) is Erasing.ERASED
    await erasure.settle(user.owner.id)
    rows = await admin.fetch("SELECT status, input, metadata, fingerprint FROM sessions")
    assert [tuple(row)[1:] for row in rows] == [(None, None, b"")] * 2
    assert await admin.fetchval("SELECT erasure_due_at > now() FROM users")
    balance = "SELECT balance_after FROM movements ORDER BY seq DESC LIMIT 1"
    assert await admin.fetchval(balance) == 10 - 1
    await spread.is_sound()


async def _opened(admin: asyncpg.Connection, owner: Owner, credits: int) -> Account:
    """An owner in the bucket of the connection, with so many credits."""
    made = {"store": "create_store($1, 'Hats', 'hats.example')", "user": "ensure_user($1, 0)"}
    await admin.execute(f"SELECT FROM {made[owner.kind.value]}", owner.id)
    account_id = await admin.fetchval("SELECT account_of($1, $2)", owner.kind.value, owner.id)
    await admin.execute("SELECT add_to_account($1, $2, 'grant', 'opening')", account_id, credits)
    return Account(account_id, owner)


async def _pass_time(admin: asyncpg.Connection, time: timedelta) -> None:
    """As in tests/passing_time.py, in the shards themselves: Citus takes no such arithmetic."""
    for table, moments in (
        ("accounts", ("created_at",)),
        ("movements", ("created_at",)),
        ("sessions", ("created_at", "started_at", "completed_at")),
    ):
        shard = await admin.fetchval(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND relkind = 'r' AND relname ~ $1",
            f"^{table}_[0-9]+$",
        )
        changes = ", ".join(f"{moment} = {moment} - $1::interval" for moment in moments)
        await admin.execute(f"UPDATE {shard} SET {changes}", time)
