"""Deliveries in SQL: an attempt is recorded once, an end is an end, what is old is forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection, connect
from tests.sql.deliveries import LEASE, Item, happen, make_endpoints, record_call, take
from tests.sql.ledgers import open_account

MINUTE: Final = timedelta(minutes=1)


@pytest.fixture
async def store(admin: asyncpg.Connection) -> Account:
    return await open_account(admin, OwnerKind.STORE)


@pytest.fixture
async def service(database_url: str, store: Account) -> Any:
    """The service's own connection."""
    opened = await connect(database_url)
    yield opened
    await opened.close()


async def taken_one(service: Connection) -> Item:
    [row] = await take(service)
    return row["endpoint_id"], row["seq"]


async def record(service: Connection, *args: Any, **options: Any) -> list[str]:
    query, arguments = record_call(*args, **options)
    outcomes: list[str] = await service.fetchval(query, *arguments)
    return outcomes


async def delivery(admin: Connection) -> tuple[str, int, int, int]:
    """Status, attempts and retries of the only delivery, and how many attempts are kept."""
    row = await admin.fetchrow(
        """SELECT status, attempts, retries,
               (SELECT count(*) FROM storecredit.delivery_attempts) FROM storecredit.deliveries"""
    )
    assert row is not None
    return tuple(row)


async def test_an_attempt_that_is_recorded_again_changes_nothing(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    item, at = await taken_one(service), datetime.now(UTC)
    failed = {"at": at, "wait": MINUTE}
    assert await record(service, [item], "retry", **failed) == ["recorded"]
    assert await record(service, [item], "retry", **failed) == ["replayed"]
    assert await delivery(admin) == ("pending", 1, 1, 1)
    assert await record(service, [item], "delivered", at=at + MINUTE) == ["recorded"]
    assert await record(service, [item], "delivered", at=at + MINUTE) == ["replayed"]
    assert await record(service, [item], "retry", **failed) == ["replayed"]
    assert await delivery(admin) == ("delivered", 2, 1, 2)


@pytest.mark.parametrize(
    "first, late, status",
    [
        ("delivered", "retry", "delivered"),
        ("delivered", "failed", "delivered"),
        ("failed", "retry", "failed"),
        ("failed", "delivered", "delivered"),
        ("delivered", "delivered", "delivered"),
    ],
)
async def test_what_has_ended_is_not_begun_again_by_an_attempt_that_comes_late(
    service: Connection,
    admin: asyncpg.Connection,
    store: Account,
    first: str,
    late: str,
    status: str,
) -> None:
    """As of a process whose lease ran out while it was sending. Its attempt is kept."""
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    item = await taken_one(service)
    assert await record(service, [item], first) == ["recorded"]
    assert await record(service, [item], late, wait=MINUTE) == ["recorded"]
    ended, attempts, _, kept = await delivery(admin)
    assert (ended, attempts, kept) == (status, 2, 2)


async def test_a_delivery_that_was_deleted_meanwhile_is_no_error(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    item = await taken_one(service)
    await admin.execute("DELETE FROM storecredit.deliveries")
    assert await record(service, [item, (uuid4(), 1)], "delivered") == ["unknown", "unknown"]
    assert await admin.fetchval("SELECT count(*) FROM storecredit.delivery_attempts") == 0


async def test_a_batch_says_since_when_an_endpoint_fails_by_the_order_of_its_attempts(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    [endpoint] = await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 4)
    items = [(row["endpoint_id"], row["seq"]) for row in await take(service)]
    at = datetime.now(UTC)
    query, arguments = record_call(items, "retry", wait=MINUTE)
    arguments[2][:] = [at + n * MINUTE for n in (0, 1, 2, 3)]
    arguments[7][:] = ["retry", "delivered", "retry", "retry"]
    await service.fetchval(query, *arguments)
    since = "SELECT failing_since FROM storecredit.webhook_endpoints WHERE endpoint_id = $1"
    assert await admin.fetchval(since, endpoint) == at + 2 * MINUTE
    # A success that was earlier than what has failed since is no news.
    await record(service, items[:1], "retry", at=at + 4 * MINUTE, wait=MINUTE)
    assert await admin.fetchval(since, endpoint) == at + 2 * MINUTE
    await record(service, items[:1], "delivered", at=at + 5 * MINUTE)
    assert await admin.fetchval(since, endpoint) is None


async def test_a_clock_that_is_behind_disables_no_endpoint(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, 1)
    await happen(admin, store.id, 1)
    item = await taken_one(service)
    await record(service, [item], "retry", at=datetime.now(UTC) - 9000 * MINUTE, wait=MINUTE)
    [endpoint] = await admin.fetch(
        """SELECT status, failing_since > now() - interval '5 minutes' AS is_lately
           FROM storecredit.webhook_endpoints"""
    )
    assert tuple(endpoint) == ("enabled", True)


@pytest.mark.parametrize(
    "change, left",
    [
        ("SELECT update_webhook_endpoint($1, $2, 'https://moved.example/')", "enabled pending"),
        (
            """SELECT set_webhook_endpoint_status($1, $2, 'disabled'),
                   set_webhook_endpoint_status($1, $2, 'enabled')""",
            "enabled failed",
        ),
        ("SELECT $1::bigint, $2::uuid", "disabled failed"),
    ],
    ids=["moved", "enabled again", "as it was"],
)
@pytest.mark.parametrize("is_ordered", [False, True])
async def test_one_that_has_changed_is_not_gone_because_the_one_before_was(
    service: Connection,
    admin: asyncpg.Connection,
    store: Account,
    change: str,
    left: str,
    is_ordered: bool,
) -> None:
    """As where the receiver that was moved answers 410 to what was under way."""
    [endpoint] = await make_endpoints(admin, store.id, 1, is_ordered=is_ordered)
    await happen(admin, store.id, 1)
    [row] = await take(service)
    await service.execute(change, store.id, endpoint)
    options = {"resumes": timedelta() if is_ordered else None}
    at = {"configured_at": row["configured_at"]}
    await record(service, [(endpoint, row["seq"])], "gone", **options, **at)
    found = await admin.fetchval(
        """SELECT e.status || ' ' || d.status
           FROM storecredit.webhook_endpoints e JOIN storecredit.deliveries d USING (endpoint_id)"""
    )
    assert found == left
    assert len(await take(service)) == left.count("pending"), "at once"


async def test_shares_are_kept_and_endpoints_come_by_their_ids(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    endpoints = await make_endpoints(admin, store.id, 3)
    await happen(admin, store.id, 5)
    query = "SELECT endpoint_id FROM take_deliveries($1, 3, 1, $2, $3, $4, $5)"
    nothing: list[Any] = []
    first = await service.fetch(query, 4, LEASE, None, nothing, nothing)
    assert [row[0] for row in first] == [endpoints[0]] * 3 + [endpoints[1]]
    rest = await service.fetch(query, 100, LEASE, endpoints[0], endpoints[:2], [3, 1])
    assert [row[0] for row in rest] == [endpoints[1]] * 2 + [endpoints[2]] * 3
    await admin.execute("UPDATE storecredit.webhook_endpoints SET failing_since = now()")
    failing = await service.fetch(query, 100, LEASE, None, nothing, nothing)
    assert [row[0] for row in failing] == endpoints


async def test_secrets_that_are_over_do_not_sign(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    [endpoint] = await make_endpoints(admin, store.id, 1)
    await admin.execute(
        """INSERT INTO storecredit.webhook_secrets (endpoint_id, created_at, expires_at, secret)
           VALUES ($1, now() - interval '2 days', now() + interval '1 hour', sha256('overlaps')),
               ($1, now() - interval '3 days', now() - interval '1 second', sha256('is over'))""",
        endpoint,
    )
    await happen(admin, store.id, 1)
    [row] = await take(service)
    current, overlapping = row["secrets"]
    assert overlapping == await admin.fetchval("SELECT sha256('overlaps')")
    assert current not in {overlapping, await admin.fetchval("SELECT sha256('is over')")}


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_what_cannot_be_delivered_any_more_is_ended(
    service: Connection, admin: asyncpg.Connection, store: Account, is_deleted: bool
) -> None:
    over, living = await make_endpoints(admin, store.id, 2)
    await happen(admin, store.id, 5)
    # What is told of while it is deleted stays behind.
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(
        "DELETE FROM storecredit.webhook_endpoints WHERE endpoint_id = $1"
        if is_deleted
        else """UPDATE storecredit.webhook_endpoints
                SET status = 'disabled', disabled_at = now(), disabled_reason = 'requested'
                WHERE endpoint_id = $1""",
        over,
    )
    assert {row["endpoint_id"] for row in await take(service, share=1)} == {living}
    assert await service.fetchval("SELECT end_undeliverable(3)") == 3
    assert await service.fetchval("SELECT end_undeliverable(3)") == 2
    assert await service.fetchval("SELECT end_undeliverable(3)") == 0
    pending = await admin.fetch(
        "SELECT DISTINCT endpoint_id FROM storecredit.deliveries WHERE status = 'pending'"
    )
    assert [row["endpoint_id"] for row in pending] == [living]


async def test_what_is_thirty_days_over_is_forgotten_and_nothing_else(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    await make_endpoints(admin, store.id, 2)
    await happen(admin, store.id, 6)
    items = [(row["endpoint_id"], row["seq"]) for row in await take(service)]
    await record(service, items, "delivered")
    await admin.execute(
        "UPDATE storecredit.events SET created_at = now() - interval '31 days' WHERE seq <= 5"
    )
    await admin.execute("UPDATE storecredit.deliveries SET ended_at = now() - interval '31 days'")
    # The second was sent anew lately, the third is to be sent still; to one of both, each.
    one = items[0][0]
    await admin.execute(
        """UPDATE storecredit.deliveries SET ended_at = now() - interval '29 days'
           WHERE seq = 2 AND endpoint_id = $1""",
        one,
    )
    await admin.execute(
        """UPDATE storecredit.deliveries SET status = 'pending', ended_at = NULL,
               next_attempt_at = now() WHERE seq = 3 AND endpoint_id = $1""",
        one,
    )
    assert await service.fetchval("SELECT forgotten FROM forget_events(100)") == 3
    for table, left in [
        ("events", [2, 3, 6]),
        ("deliveries", [2, 3, 6, 6]),
        ("delivery_attempts", [2, 3, 6, 6]),
    ]:
        rows = await admin.fetch(f"SELECT seq FROM storecredit.{table} ORDER BY seq")
        assert [row["seq"] for row in rows] == left
    assert await service.fetchval("SELECT forgotten FROM forget_events(100)") == 0


async def test_the_lag_is_that_of_the_longest_due(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    lag = "SELECT extract(epoch FROM delivery_lag())::float8"
    assert await service.fetchval(lag) == 0
    await make_endpoints(admin, store.id, 2)
    await make_endpoints(admin, store.id, 1, is_ordered=True)
    await happen(admin, store.id, 3)
    await take(service)
    assert await service.fetchval(lag) == 0, "all is under way"
    await admin.execute(
        """UPDATE storecredit.deliveries SET next_attempt_at = now() - interval '10 minutes'
           WHERE seq = 2 AND next_attempt_at > '-infinity'"""
    )
    assert 600 <= await service.fetchval(lag) < 660
    await admin.execute(
        """UPDATE storecredit.webhook_endpoints SET resumes_at = now() - interval '20 minutes'
           WHERE is_ordered"""
    )
    await admin.execute("UPDATE storecredit.events SET created_at = now() - interval '1 day'")
    assert 1200 <= await service.fetchval(lag) < 1260


async def test_what_failed_while_its_endpoint_ceased_to_be_ordered_has_a_lag_like_any_other(
    service: Connection, admin: asyncpg.Connection, store: Account
) -> None:
    [endpoint] = await make_endpoints(admin, store.id, 1, is_ordered=True)
    await happen(admin, store.id, 1)
    item = await taken_one(service)
    ceases = "SELECT update_webhook_endpoint($1, $2, p_is_ordered => false)"
    await service.execute(ceases, store.id, endpoint)
    await record(service, [item], "retry", resumes=MINUTE)
    assert await service.fetchval("SELECT delivery_lag()") < MINUTE
    assert await taken_one(service) == item
