"""The functions that book money: each outcome, what it writes, and that nothing else is written."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from tests.billing.sql_sales import (
    MONTH,
    NOON,
    Movement,
    account_of,
    balance_of,
    everything,
    ledger_of,
    open_checkout,
    open_owner,
    sell,
    subscribe,
)

PLANS = ["starter", "growth", "scale"]
KINDS = pytest.mark.parametrize("kind", list(OwnerKind))


async def book(
    database: Database,
    transaction_id: str,
    *,
    subscription_id: str | None = None,
    period: datetime | None = None,
    amount: int = 1800,
    currency: str = "USD",
) -> str:
    return str(
        await database.fetchval(
            "SELECT book_checkout('paddle', $1, $2, $3, $4, $5, $6)",
            *(transaction_id, subscription_id, period, amount, currency, NOON),
        )
    )


async def renew(
    database: Database,
    transaction_id: str,
    period: datetime | None,
) -> str:
    return str(
        await database.fetchval(
            """SELECT book_subscription_payment(
                   'paddle', $1, 'sub_1', $2, 'growth', 800, 9900, 'USD', $3)""",
            *(transaction_id, period, NOON),
        )
    )


async def give_back(
    database: Database,
    adjustment_id: str,
    amount: int,
    *,
    transaction_id: str = "txn_1",
    full: bool = False,
    currency: str = "USD",
) -> tuple[Any, ...]:
    row = await database.fetchrow(
        "SELECT * FROM book_adjustment('paddle', $1, $2, 'refund', $3, $4, $5)",
        *(adjustment_id, transaction_id, full, amount, currency),
    )
    assert row is not None
    return tuple(row)


async def put_state(
    database: Database,
    status: str,
    seconds: int,
    *,
    subscription_id: str = "sub_1",
    transaction_id: str | None = "txn_1",
    checkout_id: object = None,
    store_id: object = None,
) -> str:
    return str(
        await database.fetchval(
            "SELECT apply_subscription_state('paddle', $1, $2, $3, $4, $5, $6, $7, $8, $9)",
            *(subscription_id, transaction_id, checkout_id, store_id, status),
            *(NOON + timedelta(seconds=seconds), NOON, NOON + MONTH, PLANS),
        )
    )


async def tier_of(admin: asyncpg.Connection, owner: Owner) -> str:
    return str(await admin.fetchval("SELECT tier FROM stores WHERE store_id = $1", owner.id))


@KINDS
async def test_a_checkout_is_opened_once_per_request_of_its_buyer(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind
) -> None:
    owner, other = await open_owner(database, kind), await open_owner(database, kind)

    answers = await asyncio.gather(*(open_checkout(database, owner) for _ in range(8)))

    assert sorted(answer["outcome"] for answer in answers) == ["opened"] + ["replayed"] * 7
    assert len({answer["checkout_id"] for answer in answers}) == 1
    assert (await open_checkout(database, other))["outcome"] == "opened"
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 2


@KINDS
async def test_a_request_id_that_has_added_credits_opens_no_checkout(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind
) -> None:
    owner, other = await open_owner(database, kind), await open_owner(database, kind)
    await database.fetchval(
        "SELECT add_to_account($1, 10, 'purchase', 'used')", await account_of(database, owner)
    )

    assert (await open_checkout(database, owner, "used"))["outcome"] == "used"
    assert (await open_checkout(database, other, "used"))["outcome"] == "opened"

    await sell(database, owner, "txn_1")
    assert await book(database, "txn_1") == "booked"
    assert (await open_checkout(database, owner, "txn_1"))["outcome"] == "replayed"
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 2


async def test_the_sign_up_bonus_leaves_its_request_id_to_a_checkout(database: Database) -> None:
    owner = await open_owner(database, OwnerKind.USER, 10)

    assert (await open_checkout(database, owner, "signup"))["outcome"] == "opened"


@KINDS
async def test_nobody_opens_no_checkout(database: Database, kind: OwnerKind) -> None:
    answer = await open_checkout(database, Owner(kind, uuid4()))

    assert answer["outcome"] == "unknown_buyer"
    assert answer["checkout_id"] is None


async def test_the_first_transaction_stays_attached(database: Database) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    checkout = await open_checkout(database, owner)

    attached = await asyncio.gather(
        *(
            database.fetchrow(
                "SELECT * FROM attach_checkout($1, $2, $3)",
                checkout["checkout_id"],
                f"txn_{place}",
                f"https://pay.example/{place}",
            )
            for place in range(8)
        )
    )

    rows = {(row["provider_transaction_id"], row["checkout_url"]) for row in attached if row}
    assert len(rows) == 1
    transaction_id, url = rows.pop()
    assert url == f"https://pay.example/{transaction_id.removeprefix('txn_')}"


@KINDS
async def test_a_paid_checkout_adds_its_credits_once(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind
) -> None:
    owner, other = await open_owner(database, kind), await open_owner(database, kind)
    await sell(database, owner, "txn_1")

    outcomes = await asyncio.gather(*(book(database, "txn_1") for _ in range(20)))

    assert sorted(outcomes) == ["already_booked"] * 19 + ["booked"]
    assert await ledger_of(admin, owner) == [Movement("purchase", 100, 100, "txn_1")]
    assert await ledger_of(admin, other) == []
    payment = await admin.fetchrow("SELECT * FROM payments")
    assert payment is not None
    assert payment["account_id"] == await account_of(admin, owner)
    assert payment["provider"] == "paddle"
    assert (payment["kind"], payment["credits"], payment["amount"]) == ("purchase", 100, 1800)
    assert (payment["currency"], payment["request_id"]) == ("USD", "txn_1")
    assert payment["paid_at"] == NOON


@pytest.mark.parametrize(
    "otherwise",
    [
        {"amount": 1799},
        {"amount": 1801},
        {"amount": None},
        {"currency": "EUR"},
        {"currency": None},
        {"subscription_id": "sub_1"},
    ],
)
async def test_what_was_paid_otherwise_than_sold_is_not_booked(
    database: Database, admin: asyncpg.Connection, otherwise: dict[str, Any]
) -> None:
    await sell(database, await open_owner(database, OwnerKind.STORE), "txn_1")
    before = await everything(admin)

    assert await book(database, "txn_1", **otherwise) == "mismatch"
    assert await book(database, "txn_2") == "unknown_transaction"

    assert await everything(admin) == before


@pytest.mark.parametrize("credits, type_", [(100, "purchase"), (100, "grant"), (99, "purchase")])
async def test_credits_that_stand_under_the_request_id_are_not_taken_for_the_payments(
    database: Database, admin: asyncpg.Connection, credits: int, type_: str
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await sell(database, owner, "txn_1")
    await database.fetchval(
        "SELECT public.add_store_credits($1, $2, $3, 'txn_1')", owner.id, credits, type_
    )
    before = await everything(admin)

    assert await book(database, "txn_1") == "conflict"

    assert await everything(admin) == before


async def test_each_period_of_a_subscription_adds_once(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1")
    assert await renew(database, "txn_2", NOON + MONTH) == "unknown_subscription"
    assert await book(database, "txn_1", subscription_id="sub_1", period=NOON, amount=9900) == (
        "booked"
    )
    assert await put_state(database, "active", 0) == "applied"

    second = await asyncio.gather(
        *(renew(database, f"txn_{place}", NOON + MONTH) for place in (2, 2, 2, 3, 3, 3))
    )
    assert second.count("booked") == 1
    assert second.count("already_booked") == 2
    assert second.count("period_paid") == 3
    assert await renew(database, "txn_4", NOON) == "period_paid"
    assert await renew(database, "txn_5", NOON + 2 * MONTH) == "booked"

    movements = await ledger_of(admin, owner)
    assert [(row.type, row.amount) for row in movements] == [("subscription", 800)] * 3
    assert [row.request_id for row in movements] == [
        "txn_1",
        "subscription:sub_1:2026-12-01T12:00:00.000000Z",
        "subscription:sub_1:2026-12-31T12:00:00.000000Z",
    ]
    assert await balance_of(admin, owner) == 2400


@KINDS
async def test_partial_refunds_take_their_share_of_all_together(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind
) -> None:
    owner = await open_owner(database, kind)
    await sell(database, owner, "txn_1", credits=100, amount=1000)
    assert await give_back(database, "adj_0", 1) == ("unknown_payment", None, None)
    await book(database, "txn_1", amount=1000)

    # 0.5, 1.0, 1.5 … credits: rounded down over all of them, never each by itself.
    taken = [(await give_back(database, f"adj_{place}", 5))[2] for place in range(1, 5)]
    assert taken == [0, 1, 0, 1]
    assert await give_back(database, "adj_4", 5) == ("already_booked", 1, 1)
    assert await give_back(database, "adj_5", 495) == ("booked", 49, 49)
    assert await give_back(database, "adj_6", 0, full=True) == ("booked", 49, 49)
    # Less money than credits went back so far: that is no reason to give credits.
    assert await give_back(database, "adj_7", 5) == ("booked", 0, 0)
    assert await give_back(database, "adj_8", 1000) == ("booked", 0, 0)

    assert await balance_of(admin, owner) == 0
    assert await admin.fetchval("SELECT sum(taken) FROM clawbacks") == 100
    assert [row for row in await ledger_of(admin, owner) if row.type == "clawback"] == [
        Movement("clawback", 1, 99, "adj_2"),
        Movement("clawback", 1, 98, "adj_4"),
        Movement("clawback", 49, 49, "adj_5"),
        Movement("clawback", 49, 0, "adj_6"),
    ]


@KINDS
async def test_a_clawback_never_goes_below_zero_and_keeps_what_is_missing(
    database: Database, admin: asyncpg.Connection, kind: OwnerKind
) -> None:
    owner = await open_owner(database, kind)
    await sell(database, owner, "txn_1")
    await book(database, "txn_1")
    spend = "deduct_store_credits" if kind is OwnerKind.STORE else "deduct_credits"
    await database.fetchval(f"SELECT public.{spend}($1, 70, 'spent')", owner.id)

    answers = await asyncio.gather(
        *(give_back(database, "adj_1", 1800, full=True) for _ in range(8))
    )

    assert sorted(answers) == [("already_booked", 100, 30)] * 7 + [("booked", 100, 30)]
    assert await balance_of(admin, owner) == 0
    assert (await ledger_of(admin, owner))[-1] == Movement("clawback", 30, 0, "adj_1")


async def test_two_adjustments_at_once_take_no_more_than_was_bought(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE, 1000)
    await sell(database, owner, "txn_1")
    await book(database, "txn_1")

    await asyncio.gather(
        *(give_back(database, f"adj_{place}", 1000, full=place % 2 == 0) for place in range(8))
    )

    assert await balance_of(admin, owner) == 1000
    assert await admin.fetchval("SELECT sum(credits) FROM clawbacks") == 100


async def test_an_adjustment_in_another_currency_takes_nothing(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await sell(database, owner, "txn_1")
    await book(database, "txn_1")
    before = await everything(admin)

    assert (await give_back(database, "adj_1", 1800, currency="EUR"))[0] == "mismatch"
    assert (await give_back(database, "adj_1", -5))[0] == "mismatch"

    assert await everything(admin) == before


async def test_the_tier_follows_the_newest_state_in_whatever_order_states_arrive(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1")

    # When it occurred, and what it leads to.
    for status, seconds, outcome, tier in (
        ("active", 10, "applied", "growth"),
        ("trialing", 5, "stale", "growth"),
        ("paused", 20, "applied", "default"),
        ("active", 15, "stale", "default"),
        ("paused", 20, "stale", "default"),
        ("active", 30, "applied", "growth"),
        ("past_due", 40, "applied", "growth"),
        ("canceled", 60, "applied", "default"),
        ("active", 50, "stale", "default"),
    ):
        assert await put_state(database, status, seconds) == outcome
        assert await tier_of(admin, owner) == tier
    row = await admin.fetchrow("SELECT * FROM subscriptions")
    assert row is not None
    assert (row["status"], row["plan"], row["credits"]) == ("canceled", "growth", 800)


async def test_the_largest_subscription_that_runs_names_the_tier(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1", "starter", credits=350)
    await subscribe(database, owner, "txn_2", "scale", credits=1800)
    small = {"subscription_id": "sub_1", "transaction_id": "txn_1"}
    large = {"subscription_id": "sub_2", "transaction_id": "txn_2"}

    await put_state(database, "active", 0, **small)
    assert await tier_of(admin, owner) == "starter"
    await put_state(database, "active", 1, **large)
    assert await tier_of(admin, owner) == "scale"
    await put_state(database, "active", 2, **small)
    assert await tier_of(admin, owner) == "scale"
    await put_state(database, "canceled", 3, **large)
    assert await tier_of(admin, owner) == "starter"


async def test_a_tier_that_the_operator_set_by_hand_stays(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1")
    await database.fetchval("SELECT update_store($1, p_tier => 'enterprise')", owner.id)

    for seconds, status in enumerate(("active", "paused", "active", "canceled")):
        assert await put_state(database, status, seconds) == "applied"
        assert await tier_of(admin, owner) == "enterprise"


async def test_a_subscription_that_our_record_does_not_bear_out_changes_nothing(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner, other = [await open_owner(database, OwnerKind.STORE) for _ in range(2)]
    checkout_id = await subscribe(database, owner, "txn_1")
    await sell(database, owner, "txn_2")
    before = await everything(admin)

    claimed: tuple[tuple[dict[str, Any], str], ...] = (
        ({"transaction_id": "txn_9"}, "unknown_checkout"),
        ({"transaction_id": None}, "unknown_subscription"),
        # Custom data is no proof: a buyer can write it.
        (
            {"transaction_id": None, "checkout_id": checkout_id, "store_id": owner.id},
            "unknown_subscription",
        ),
        ({"transaction_id": "txn_2"}, "mismatch"),
        ({"checkout_id": uuid7()}, "mismatch"),
        ({"store_id": other.id}, "mismatch"),
    )
    for claims, outcome in claimed:
        assert await put_state(database, "active", 0, **claims) == outcome
    assert await everything(admin) == before

    known: dict[str, Any] = {"checkout_id": checkout_id, "store_id": owner.id}
    assert await put_state(database, "active", 0, **known) == "applied"
    assert await put_state(database, "active", 1, **known, transaction_id=None) == "applied"
    assert await put_state(database, "active", 2, subscription_id="sub_2") == "mismatch"
    assert await put_state(database, "active", 1, store_id=other.id) == "mismatch"


async def test_states_that_arrive_at_once_leave_the_newest(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1")

    await asyncio.gather(
        *(put_state(database, ("active", "paused")[place % 2], place) for place in range(16))
    )

    assert await admin.fetchval("SELECT status FROM subscriptions") == "paused"
    assert await tier_of(admin, owner) == "default"


async def test_two_subscriptions_of_a_store_change_one_after_the_other(
    database: Database, admin: asyncpg.Connection
) -> None:
    owner = await open_owner(database, OwnerKind.STORE)
    await subscribe(database, owner, "txn_1", "starter", credits=350)
    await subscribe(database, owner, "txn_2", "scale", credits=1800)
    small = {"subscription_id": "sub_1", "transaction_id": "txn_1"}
    await put_state(database, "paused", 0, **small)
    await put_state(database, "active", 0, subscription_id="sub_2", transaction_id="txn_2")

    async with database.acquire() as connection, connection.transaction():
        await connection.fetchval(
            """SELECT apply_subscription_state(
                   'paddle', 'sub_2', NULL, NULL, NULL, 'canceled', $1, $1, $1, $2)""",
            NOON + timedelta(seconds=1),
            PLANS,
        )
        later = asyncio.create_task(put_state(database, "active", 1, **small))
        await waits_for_a_lock(admin)

    assert await later == "applied"
    assert await tier_of(admin, owner) == "starter"


async def waits_for_a_lock(admin: asyncpg.Connection) -> None:
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with asyncio.timeout(60):
        while not await admin.fetchval(waiting):  # noqa: ASYNC110 - a lock sets no event
            await asyncio.sleep(0.01)


async def test_an_event_is_kept_once_and_settled_once(database: Database) -> None:
    receive = "SELECT receive_provider_event('paddle', 'evt_1', 'transaction.completed', $1, '{}')"
    kept = await asyncio.gather(*(database.fetchval(receive, NOON) for _ in range(8)))
    assert sorted(kept) == [False] * 7 + [True]

    settle = "SELECT settle_provider_event('paddle', 'evt_1', $1)"
    assert await database.fetchval(settle, "processed") is True
    assert await database.fetchval(settle, "set_aside") is False
    assert await database.fetchval("SELECT retry_provider_event('paddle', 'evt_1')") == []
    assert (
        await database.fetchval("SELECT note_provider_event_failure('paddle', 'evt_1', 'x', 3)")
        is None
    )
    row = await database.fetchrow("SELECT status, attempts FROM provider_events")
    assert row is not None
    assert tuple(row) == ("processed", 1)


async def test_the_last_attempt_sets_an_event_aside_until_it_is_retried(
    database: Database,
) -> None:
    await database.fetchval(
        "SELECT receive_provider_event('paddle', 'evt_1', 'transaction.completed', $1, '{}')", NOON
    )
    note = "SELECT note_provider_event_failure('paddle', 'evt_1', 'It broke.', 3)"
    status = "SELECT status FROM provider_events"
    for _ in range(2):
        assert [await database.fetchval(note) for _ in range(2)] == [1, 2]
        assert await database.fetchval(status) == "failing"
        assert await database.fetchval("SELECT retry_provider_event('paddle', 'evt_1')") == []
        assert await database.fetchval(note) is None
        assert await database.fetchval(status) == "set_aside"
        assert await database.fetchval("SELECT retry_provider_event('paddle', 'evt_1')") == [
            "evt_1"
        ]
        assert await database.fetchval(status) == "received"


async def test_an_event_of_which_nothing_is_kept_cannot_be_retried(database: Database) -> None:
    await database.fetchval(
        """SELECT receive_provider_event(
               'paddle', 'evt_1', 'x', $1, NULL, 'set_aside', 'Unreadable.')""",
        NOON,
    )
    assert await database.fetchval("SELECT retry_provider_event('paddle', 'evt_1')") == []
