"""Events: told in the transaction of what happened, once, and only where somebody listens."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.passing_time import pass_time
from tests.sql.full_accounts import deduct, refund
from tests.sql.generations import complete_batch, create_one, fail_batch, start
from tests.sql.ledgers import open_account, open_beyond
from tests.sql.listening import OPERATOR, Told, listen, told

LINES: Final = ("credits.low", "credits.depleted")
OVERAGE: Final = ("overage.started", "overage.limit_reached", "overage.billed")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def deaf(books: asyncpg.Connection) -> None:
    """Nobody listens but whom the test puts there: the operator's endpoints hear of all owners."""
    await books.execute("TRUNCATE storecredit.webhook_endpoints CASCADE")


async def deduct_ones(connection: Connection, account: Account, count: int, name: str) -> None:
    """So many deductions of one credit each, in one batch."""
    await connection.execute(
        "SELECT deduct_from_accounts($1, $2, $3, NULL)",
        [account.id] * count,
        [1] * count,
        [f"{name} {n}" for n in range(count)],
    )


async def buy(
    connection: Connection, account: Account, amount: int, request_id: str, **ahead: float
) -> None:
    """Credits bought; they expire so long from now, if that is given."""
    await connection.execute(
        """SELECT add_to_account($1, $2, 'purchase', $3,
               p_expires_at => clock_timestamp() + $4::interval)""",
        account.id,
        amount,
        request_id,
        timedelta(**ahead) if ahead else None,
    )


async def test_where_nobody_listens_nothing_is_written(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    await deduct_ones(app, account, 10, "all")
    assert not await books.fetchval(
        "SELECT count(*) FROM storecredit.events WHERE account_id = $1", account.id
    )


async def test_a_line_is_told_once_by_the_request_that_crosses_it_in_a_batch(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE, 64)
    endpoint = await listen(books, account, *LINES)
    await deduct_ones(app, account, 64, "first")
    await buy(app, account, 15, "refill")
    await deduct_ones(app, account, 14, "second")

    # A tenth of the last addition, rounded up: 7 of the 64, 2 of the 15.
    assert await told(books, endpoint) == [
        Told("credits.low", {"balance": 7, "threshold": 7, "request_id": "first 56"}),
        Told("credits.depleted", {"balance": 0, "request_id": "first 63"}),
        Told("credits.low", {"balance": 2, "threshold": 2, "request_id": "second 12"}),
    ]


async def test_one_large_step_over_both_lines_tells_of_both_and_coming_back_of_neither(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.USER, 20)
    endpoint = await listen(books, OPERATOR, *LINES)
    await deduct(app, account, 20, "all")
    await refund(app, account, 20, "all")
    await deduct(app, account, 17, "most")

    assert [each.type for each in await told(books, endpoint)] == [
        "credits.low",
        "credits.depleted",
    ]


@pytest.mark.parametrize("threshold, told_at", [(5, ["r 4"]), (0, []), (9, ["r 0"])])
async def test_a_store_has_a_threshold_of_its_own_and_0_is_none(
    app: Connection, books: asyncpg.Connection, threshold: int, told_at: list[str]
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    await books.execute(
        "UPDATE storecredit.accounts SET low_threshold = $2 WHERE account_id = $1",
        account.id,
        threshold,
    )
    endpoint = await listen(books, account, "credits.low")
    await deduct_ones(app, account, 10, "r")
    assert [each.data["request_id"] for each in await told(books, endpoint)] == told_at


async def test_what_adds_or_takes_back_credits_is_told_with_its_terms(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE)
    endpoint = await listen(books, account, "credits.added", "credits.clawed_back")
    await buy(app, account, 10, "bought", days=30)
    await app.execute("SELECT claw_back_from_account($1, 4, 'back')", account.id)
    await deduct(app, account, 1, "r")
    await refund(app, account, 1, "r")

    added, clawed_back = await told(books, endpoint)
    assert added.type == "credits.added"
    assert added.data.pop("expires_at") is not None
    assert added.data == {
        "amount": 10,
        "type": "purchase",
        "kind": "paid",
        "balance": 10,
        "request_id": "bought",
    }
    expected = {"amount": 4, "balance": 6, "request_id": "back"}
    assert clawed_back == Told("credits.clawed_back", expected)


async def test_overage_is_told_when_it_begins_when_its_limit_is_reached_and_when_it_is_billed(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_beyond(books, limit=3)
    endpoint = await listen(books, account, *OVERAGE)
    await deduct_ones(app, account, 5, "r")
    await app.execute("SELECT close_overage($1, $2, 16, 'USD')", account.id, date(2026, 3, 1))
    await deduct_ones(app, account, 1, "again")

    expected = [
        ("overage.started", "r 0"),
        ("overage.limit_reached", "r 2"),
        ("overage.billed", "overage-2026-03"),
        ("overage.started", "again 0"),
    ]
    events = await told(books, endpoint)
    assert [(each.type, each.data["request_id"]) for each in events] == expected
    assert (events[1].data["overage_used"], events[1].data["overage_limit"]) == (3, 3)
    assert events[2].data["credits"] == 3


async def test_a_hold_whose_time_is_over_is_told_by_whoever_comes_first(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    endpoint = await listen(books, account, "hold.expired")
    hold_id = await app.fetchval(
        """SELECT hold_ids[1] FROM hold_credits(ARRAY[$1::bigint], ARRAY[gen_random_uuid()],
               ARRAY[4], ARRAY['h'], ARRAY['x'::bytea], ARRAY[60], NULL, NULL)""",
        account.id,
    )
    await pass_time(books, timedelta(minutes=2), account.id)
    await deduct(app, account, 1, "r")
    await app.execute("SELECT expire_credits($1)", [account.id])

    expected = {"hold_id": str(hold_id), "amount": 4, "balance": 10, "request_id": "h"}
    assert await told(books, endpoint) == [Told("hold.expired", expected)]


async def test_a_generation_is_told_when_it_ends_and_not_again(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    endpoint = await listen(books, account, "generation.completed", "generation.failed")
    done, broken = [await create_one(app, account, name) for name in ("done", "broken")]
    await start(app, account, done, broken)
    for _ in range(2):
        await complete_batch(app, [(account, done, "k"), (account, done, "k")])
        await fail_batch(app, [(account, broken), (account, broken), (account, done)])

    completed, failed = await told(books, endpoint)
    assert completed.type == "generation.completed"
    assert completed.data["session_id"] == str(done)
    assert completed.data["credits_charged"] == 1
    assert failed.type == "generation.failed"
    assert failed.data["request_id"] == "broken"
    assert failed.data["error_code"] == "GENERATION_FAILED"
    assert failed.data["credits_refunded"] == 1


async def test_each_endpoint_hears_its_own_types_and_owner_alone(
    app: Connection, books: asyncpg.Connection
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    other = await open_account(books, OwnerKind.STORE, 10)
    low = await listen(books, account, "credits.low")
    depleted = await listen(books, account, "credits.depleted")
    neighbour = await listen(books, other, *LINES)
    await deduct_ones(app, account, 10, "r")

    heard = [await told(books, each) for each in (low, depleted, neighbour)]
    assert [[each.type for each in events] for events in heard] == [
        ["credits.low"],
        ["credits.depleted"],
        [],
    ]


@pytest.mark.parametrize("days_ago, kept", [(0, LINES), (29, LINES), (31, ())])
async def test_what_one_that_is_disabled_would_have_heard_is_kept_as_failed_for_thirty_days(
    app: Connection, books: asyncpg.Connection, days_ago: int, kept: tuple[str, ...]
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    disabled = await listen(books, account, *LINES)
    await books.execute(
        """UPDATE storecredit.webhook_endpoints SET status = 'disabled',
               disabled_at = now() - $2::interval, disabled_reason = 'failing'
           WHERE endpoint_id = $1""",
        disabled,
        timedelta(days=days_ago),
    )
    await deduct_ones(app, account, 10, "r")

    assert tuple(each.type for each in await told(books, disabled)) == kept
    deliveries = await books.fetch(
        """SELECT status, attempts, ended_at <= now() AS has_ended, next_attempt_at
           FROM storecredit.deliveries WHERE endpoint_id = $1""",
        disabled,
    )
    assert [tuple(row) for row in deliveries] == [("failed", 0, True, None)] * len(kept)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
async def test_moments_are_told_in_utc_whatever_zone_the_server_has(
    app: Connection, books: asyncpg.Connection, zone: str
) -> None:
    account = await open_account(books, OwnerKind.STORE, 10)
    added = await listen(books, account, "credits.added")
    ends_at = datetime(2126, 5, 1, 12, 30, tzinfo=UTC)
    await app.execute(f"SET timezone = '{zone}'")
    await app.execute(
        "SELECT add_to_account($1, 1, 'purchase', 'p', p_expires_at => $2)", account.id, ends_at
    )
    await app.execute("RESET timezone")
    [event] = await told(books, added)
    assert event.data["expires_at"] == "2126-05-01T12:30:00.000000Z"


async def test_what_is_undone_is_not_told(app: Connection, books: asyncpg.Connection) -> None:
    account = await open_account(books, OwnerKind.STORE, 1)
    endpoint = await listen(books, account, *LINES)
    undone = app.transaction()
    await undone.start()
    await deduct(app, account, 1, "r")
    await undone.rollback()
    assert await told(books, endpoint) == []


async def test_what_becomes_of_a_store_and_its_keys_is_told_once(
    app: Connection, books: asyncpg.Connection
) -> None:
    store = (await open_account(books, OwnerKind.STORE)).owner.id
    account_id = await books.fetchval("SELECT storecredit.account_of('store', $1)", store)
    endpoint = await listen(books, account_id, "store.suspended", "key.created", "key.revoked")
    key_id = await books.fetchval("SELECT gen_random_uuid()")
    await app.execute(
        "SELECT create_store_api_key($1, $2, $3, 'sk_123456789')", store, key_id, b"h" * 32
    )
    for _ in range(2):
        await app.execute("SELECT revoke_store_api_key($1, $2)", store, key_id)
        await app.execute("SELECT update_store($1, p_status => 'suspended')", store)

    assert await told(books, endpoint) == [
        Told("key.created", {"key_id": str(key_id), "expires_at": None}),
        Told("key.revoked", {"key_id": str(key_id)}),
        Told("store.suspended", {}),
    ]


async def test_a_grant_that_will_expire_soon_is_told_once_with_what_is_left_of_it(
    app: Connection, books: asyncpg.Connection
) -> None:
    account, unheard = [await open_account(books, OwnerKind.STORE) for _ in range(2)]
    endpoint = await listen(books, account, "credits.expiring")
    for each in (account, unheard):
        await buy(app, each, 10, "soon", days=3)
        await buy(app, each, 10, "used up", days=2)
        await buy(app, each, 10, "late", days=30)
        await deduct(app, each, 14, "r")
    looked_at = None
    for _ in range(3):
        looked_at = await app.fetchval(
            "SELECT notice_expiries('7 days', $1, 1)", looked_at or account.id - 1
        )
    assert looked_at is None
    await app.execute("SELECT notice_expiries('7 days', 0, 1000)")

    (event,) = await told(books, endpoint)
    assert (event.type, event.data["amount"]) == ("credits.expiring", 6)
    noticed = "SELECT count(*) FROM storecredit.expiry_notices WHERE account_id = $1"
    assert await books.fetchval(noticed, unheard.id) == 0
