"""Credits that expire: with their month, as the plan says, or some days after they were bought."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import paddle_stand_in
from storecredit.billing.checkouts import CreditsOrder, PlanOrder
from storecredit.ledger.balances import balances_of_owners
from storecredit.ledger.owners import Owner
from storecredit.ledger.verify import verify
from tests.billing.paddle_changes import PLANS_FILE, change_plan
from tests.billing.seller import Seller, completed, running_seller
from tests.billing.sql_sales import account_of
from tests.conftest import connect_as_superuser

pytestmark = pytest.mark.asyncio(loop_scope="module")

Terms = tuple[datetime | None, int | None, datetime | None]
Period = tuple[datetime, datetime]
NEVER: Terms = (None, None, None)
INSTANT = timedelta(microseconds=1)
GRACE = timedelta(days=7)
TERMS = "SELECT * FROM terms_of_period($1, $2, $3)"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rolling(plans_file: str) -> str:
    """That catalogue, in which credits expire: of growth and scale 100 live on, of starter none."""
    for price, rollover in (("starter", '"none"'), ("growth", "100"), ("scale", "100")):
        named = f'name = "{price}"\n'
        assert named in plans_file
        plans_file = plans_file.replace(named, f"{named}rollover = {rollover}\n")
    plans_file = plans_file.replace(
        "unit_amount = 18\n", "unit_amount = 18\nexpires_after_days = 365\n"
    )
    return plans_file.replace("amount = 499\n", "amount = 499\nexpires_after_days = 30\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seller(books_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seller]:
    """A service that sells credits that expire, for all tests here: their buyers are their own."""
    directory = tmp_path_factory.mktemp("data")
    file = directory / "plans.toml"
    file.write_text(rolling(PLANS_FILE))
    changes = {"plans_file": file, "refund_grace_days": GRACE.days}
    async with paddle_stand_in() as paddle:
        admin = await connect_as_superuser(books_url)
        async with running_seller(paddle, books_url, admin, directory, **changes) as running:
            yield running
            assert (await verify(running.database, every_row=True)).discrepancies == ()
        await admin.close()


async def subscribed(seller: Seller, store: Owner, plan: str) -> tuple[str, Period]:
    """The id of a subscription, and when its first period begins and ends."""
    events = await seller.paid(store, PlanOrder(plan), f"subscribe-{plan}")
    await seller.told(events)
    return list(seller.paddle.account.subscriptions)[-1], period_of(events)


# What a period's end means


@pytest.mark.parametrize(
    "starts_at, ends_at, next_ends_at",
    [
        ("2099-03-15T12:34:56", "2099-04-15T12:34:56", "2099-05-15T12:34:56"),
        ("2099-01-31", "2099-02-28", "2099-03-31"),
        ("2099-02-28", "2099-03-31", "2099-04-30"),
        ("2096-01-31", "2096-02-29", "2096-03-31"),
        ("2099-12-31", "2100-01-31", "2100-02-28"),
        # Somebody has moved the day.
        ("2099-01-10", "2099-01-20", "2099-02-20"),
    ],
)
async def test_the_next_period_is_a_month_by_the_calendar(
    seller: Seller, starts_at: str, ends_at: str, next_ends_at: str
) -> None:
    async def terms(kept: int | None) -> Terms:
        return await terms_of(seller, day(starts_at), day(ends_at), kept)

    assert await terms(100) == (day(ends_at), 100, day(next_ends_at))
    assert await terms(0) == (day(ends_at), None, None)
    assert await terms(None) == NEVER


async def test_an_end_that_nobody_has_told_or_could_mean_ends_nothing(seller: Seller) -> None:
    start, end = day("2099-01-10"), day("2099-02-10")
    far = day("9999-12-31")
    for from_, to in ((start, None), (None, None), (end, start), (end, end), (start, far)):
        assert await terms_of(seller, from_, to, 100) == NEVER
    assert await terms_of(seller, None, end, 100) == (end, 100, day("2099-03-10"))


@pytest.mark.parametrize("days_ago", [0, 1, 27, 31, 60, 365, 20_000])
async def test_what_is_booked_when_its_period_is_over_ends_with_the_one_that_runs(
    seller: Seller, days_ago: int
) -> None:
    now = datetime.now(UTC)
    end = now - timedelta(days=days_ago)

    expires_at, kept, until = await terms_of(seller, end - timedelta(days=30), end, 7)

    assert expires_at is not None
    assert until is not None
    assert now < expires_at <= now + timedelta(days=32)
    assert kept == 7
    assert timedelta(days=28) <= until - expires_at <= timedelta(days=31)


async def terms_of(
    seller: Seller, starts_at: datetime | None, ends_at: datetime | None, kept: int | None
) -> Terms:
    row = await seller.database.fetchrow(TERMS, starts_at, ends_at, kept)
    assert row is not None
    expires_at, rollover_max, rollover_until = row
    return expires_at, rollover_max, rollover_until


# By the door


async def balance_at(seller: Seller, owner: Owner, moment: datetime) -> int:
    """What the owner can spend at that moment, if nothing else happens."""
    account_id = await account_of(seller.admin, owner)
    balance: int = await seller.admin.fetchval(
        "SELECT balance FROM state_of_account($1, $2)", account_id, moment
    )
    return balance


async def spend(seller: Seller, owner: Owner, amount: int, request_id: str = "spent") -> None:
    account_id = await account_of(seller.admin, owner)
    outcomes = await seller.admin.fetchval(
        "SELECT outcomes FROM deduct_from_accounts($1, $2, $3, $4)",
        *([account_id], [amount], [request_id], [""]),
    )
    assert outcomes == ["deducted"]


def period_of(events: tuple[Event, ...]) -> Period:
    """When the period that was paid begins and ends."""
    period: dict[str, Any] = completed(events).data["billing_period"]
    starts_at, ends_at = (datetime.fromisoformat(period[name]) for name in ("starts_at", "ends_at"))
    return starts_at, ends_at


async def test_what_is_left_of_a_month_ends_with_it_but_for_what_the_plan_lets_live_on(
    seller: Seller,
) -> None:
    growth, starter = await seller.store(), await seller.store()
    subscription_id, (_, end) = await subscribed(seller, growth, "growth")
    _, (_, end_of_other) = await subscribed(seller, starter, "starter")
    await spend(seller, growth, 500)

    assert await balance_at(seller, growth, end - INSTANT) == 300
    assert await balance_at(seller, growth, end) == 100
    assert await balance_at(seller, starter, end_of_other - INSTANT) == 350
    assert await balance_at(seller, starter, end_of_other) == 0

    renewal = seller.paddle.account.renew(subscription_id)
    await seller.told(renewal)
    starts_again, ends_again = period_of(renewal)
    assert starts_again == end
    assert await balance_at(seller, growth, starts_again) == 900
    # What lived on once does not do so again.
    assert await balance_at(seller, growth, ends_again) == 100


async def expiring(seller: Seller, store: Owner) -> list[tuple[int, datetime]]:
    """What a store is told will expire, and when."""
    balances = await balances_of_owners(seller.database, store.kind, [store.id])
    return [(each.amount, each.expires_at) for each in balances[store.id].expiring]


async def test_a_store_is_told_when_what_lives_on_ends_after_all(seller: Seller) -> None:
    store, starter = await seller.store(), await seller.store()
    subscription_id, (_, end) = await subscribed(seller, store, "growth")
    _, (_, end_of_other) = await subscribed(seller, starter, "starter")
    end_of_next: datetime = await seller.admin.fetchval(
        "SELECT rollover_until FROM grants WHERE account_id = $1",
        await account_of(seller.admin, store),
    )

    assert await expiring(seller, store) == [(700, end), (100, end_of_next)]
    assert await expiring(seller, starter) == [(350, end_of_other)]
    await seller.told(change_plan(seller.paddle.account, subscription_id, "scale", rate="0.5"))
    both = [(500, end - INSTANT), (700, end), (100, end_of_next)]
    assert await expiring(seller, store) == both
    await spend(seller, store, 1250)
    assert await expiring(seller, store) == [(50, end_of_next)]


@pytest.mark.parametrize("days, kept", [(-3, 100), (7, 100), (60, 0), (None, 0)])
async def test_a_month_that_the_operator_ends_at_another_time_lets_as_much_live_on(
    seller: Seller, days: int | None, kept: int
) -> None:
    store = await seller.store()
    _, (_, end) = await subscribed(seller, store, "growth")
    await spend(seller, store, 500)
    account_id = await account_of(seller.admin, store)
    other_end = None if days is None else end + timedelta(days=days)

    await seller.admin.fetchval(
        "SELECT outcome FROM set_grant_expiry($1, 1, $2, '', 'ann')", account_id, other_end
    )

    if other_end is None:
        assert await balance_at(seller, store, end + timedelta(days=400)) == 300
    else:
        assert await balance_at(seller, store, other_end - INSTANT) == 300
        assert await balance_at(seller, store, other_end) == kept
        # No longer than the plan says: until the end of the next month.
        assert await balance_at(seller, store, end + timedelta(days=61)) == 0


async def ends(seller: Seller, owner: Owner) -> list[datetime]:
    """When the owner's credits expire, in their order in the ledger."""
    rows = await seller.admin.fetch(
        "SELECT expires_at FROM grants WHERE account_id = $1 ORDER BY seq",
        await account_of(seller.admin, owner),
    )
    return [row["expires_at"] for row in rows]


@pytest.mark.parametrize("spent, left", [(0, 100), (600, 100), (1250, 50), (1300, 0)])
async def test_of_a_change_and_its_month_together_no_more_lives_on(
    seller: Seller, spent: int, left: int
) -> None:
    store = await seller.store()
    subscription_id, (_, end) = await subscribed(seller, store, "growth")
    await seller.told(change_plan(seller.paddle.account, subscription_id, "scale", rate="0.5"))
    assert await balance_at(seller, store, end - 2 * INSTANT) == 800 + 500

    if spent:
        await spend(seller, store, spent)

    assert await balance_at(seller, store, end - 2 * INSTANT) == 1300 - spent
    assert await balance_at(seller, store, end) == left


async def test_what_a_downgrade_missed_is_taken_from_what_the_subscription_adds(
    seller: Seller,
) -> None:
    store = await seller.store()
    account = seller.paddle.account
    subscription_id, _ = await subscribed(seller, store, "scale")
    await spend(seller, store, 1800)
    await seller.told(change_plan(account, subscription_id, "growth", rate="0.5"))
    account_id = await account_of(seller.admin, store)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await seller.admin.execute(
        "SELECT add_to_account($1, 900, 'grant', 'gift', '', $2)", account_id, tomorrow
    )

    await seller.told(account.renew(subscription_id))

    left = await seller.admin.fetchval("SELECT grants FROM state_of_account($1)", account_id)
    assert dict(zip(left[::2], left[1::2], strict=True)) == {3: 900, 4: 800 - 500}


async def test_what_is_bought_once_expires_after_its_days(seller: Seller) -> None:
    store, user = await seller.store(), await seller.user()
    before = datetime.now(UTC)

    await seller.told(await seller.paid(store, CreditsOrder(100)))
    await seller.told(await seller.paid(user))

    after = datetime.now(UTC)
    for owner, days in ((store, 365), (user, 30)):
        (expires_at,) = await ends(seller, owner)
        assert before + timedelta(days=days) <= expires_at <= after + timedelta(days=days)


async def test_what_comes_back_to_sold_credits_lives_on_as_long_as_the_operator_says(
    seller: Seller,
) -> None:
    store = await seller.store()
    await seller.told(await seller.paid(store, CreditsOrder(100), "bought"))
    subscription_id, _ = await subscribed(seller, store, "growth")
    account = seller.paddle.account
    await seller.told(change_plan(account, subscription_id, "scale"))
    await seller.told(account.renew(subscription_id))

    graces = await seller.admin.fetch(
        "SELECT grace FROM grants WHERE account_id = $1", await account_of(seller.admin, store)
    )
    assert [row["grace"] for row in graces] == [GRACE] * 4


async def test_a_payment_given_back_takes_its_own_credits_first(seller: Seller) -> None:
    store = await seller.store()
    bought = await seller.paid(store, CreditsOrder(100), "bought")
    await seller.told(bought)
    await seller.told(await seller.paid(store, PlanOrder("starter"), "subscribed"))

    account = seller.paddle.account
    await seller.told([account.adjust(completed(bought).data["id"], status="approved")])

    account_id = await account_of(seller.admin, store)
    left = await seller.admin.fetchval("SELECT grants FROM state_of_account($1)", account_id)
    # The month's would have been spent first: they end sooner.
    assert left == [2, 350]


async def test_a_month_whose_end_is_not_told_or_is_over_takes_nothing_away(seller: Seller) -> None:
    untold, late = await seller.store(), await seller.store()
    now = datetime.now(UTC)
    periods = (None, (now - timedelta(days=40), now - timedelta(days=10)))
    for store, period in zip((untold, late), periods, strict=True):
        events = await seller.paid(store, PlanOrder("starter"))
        told = None
        if period is not None:
            told = dict(zip(("starts_at", "ends_at"), map(datetime.isoformat, period), strict=True))
        completed(events).data["billing_period"] = told
        await seller.told(events)

    assert [await seller.balance(store) for store in (untold, late)] == [350, 350]
    assert await ends(seller, untold) == [None]
    (expires_at,) = await ends(seller, late)
    assert timedelta(days=15) < expires_at - now < timedelta(days=25)
