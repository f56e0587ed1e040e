"""Purchases through the real doors: the store's, the operator's, and Paddle's webhook."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from stand_ins.paddle.api import LEAST_CHARGE, Failure, PaddleStandIn
from storecredit.billing.assembly import Billing
from storecredit.ledger.owners import Owner
from storecredit.postgres.database_url import DatabaseUrl
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Servers
from storecredit.settings import Settings
from tests.billing.seller import Seller, completed, running_seller
from tests.billing.sql_sales import Movement
from tests.web.doors import Operator, data_of, error_of

CHECKOUT = "/api/v1/billing/checkout"


@pytest.fixture
async def operator(seller: Seller) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(base_url=seller.url) as http:
        yield Operator(http)


async def test_a_store_buys_credits_with_its_key(seller: Seller, operator: Operator) -> None:
    store = await operator.store(credits=0)

    answer = await store.send(
        "POST", CHECKOUT, headers={"Idempotency-Key": "order-1"}, json={"credits": 500}
    )
    opened = data_of(answer, 201)

    assert opened["request_id"] == answer.headers["x-request-id"] == "order-1"
    assert (opened["purchase_type"], opened["plan"]) == ("credits", "pay_as_you_go")
    assert (opened["credits"], opened["amount"], opened["currency"]) == (500, 9000, "USD")
    assert opened["transaction_id"] in opened["checkout_url"]
    assert await store.balance() == 0

    await seller.told(seller.paddle.account.pay(opened["transaction_id"]))

    assert await store.balance() == 500
    owner = Owner.store(UUID(store.store_id))
    assert await seller.ledger(owner) == [Movement("purchase", 500, 500, "order-1")]


async def test_a_store_without_credits_is_told_where_to_buy_them(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store(credits=0)
    error = error_of(await store.create(), 402, "INSUFFICIENT_CREDITS")
    assert error["buy_url"] == f"{seller.url}{CHECKOUT}"
    data_of(await store.send("POST", error["buy_url"], json={"credits": 5}), 201)


async def test_a_checkout_sent_again_is_the_same_and_another_one_a_conflict(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store()
    named = {"X-Request-Id": "order-1"}

    first = await store.send("POST", CHECKOUT, headers=named, json={"credits": 5})
    again = await store.send("POST", CHECKOUT, headers=named, json={"credits": 5})
    other = await store.send("POST", CHECKOUT, headers=named, json={"credits": 6})

    assert data_of(first, 201) == data_of(again, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    error_of(other, 422, "IDEMPOTENCY_CONFLICT")
    assert len(seller.paddle.account.transactions) == 1


async def test_a_store_subscribes_and_reads_its_subscription(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store(credits=0, tier="default")
    opened = data_of(await store.send("POST", CHECKOUT, json={"plan": "growth"}), 201)
    await seller.told(seller.paddle.account.pay(opened["transaction_id"]))

    [subscription] = data_of(await store.get("/api/v1/billing/subscriptions"))["items"]
    seen = data_of(await operator.get(f"/stores/{store.store_id}/subscriptions"))["items"]

    assert seen == [subscription]
    assert subscription["subscription_id"] in seller.paddle.account.subscriptions
    assert (subscription["plan"], subscription["status"]) == ("growth", "active")
    assert (subscription["credits"], subscription["amount"]) == (800, 9900)
    assert subscription["period_ends_at"].endswith("Z")
    assert data_of(await operator.get(f"/stores/{store.store_id}"))["tier"] == "growth"
    assert await store.balance() == 800

    second = await store.send("POST", CHECKOUT, json={"plan": "scale"})
    assert "subscription already" in error_of(second, 400, "VALIDATION_ERROR")["message"]
    assert len(seller.paddle.account.transactions) == 1

    await seller.told(
        seller.paddle.account.change_subscription(subscription["subscription_id"], "canceled")
    )
    data_of(await store.send("POST", CHECKOUT, json={"plan": "scale"}), 201)


async def test_the_operator_starts_a_purchase_for_a_store(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store(credits=0)
    path = f"/stores/{store.store_id}/checkout"

    opened = data_of(await operator.post(path, credits=4), 201)
    await seller.told(seller.paddle.account.pay(opened["transaction_id"]))

    assert await store.balance() == 4
    error_of(await operator.post(f"/stores/{uuid4()}/checkout", credits=4), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"plan": "growth", "credits": 1},
        {"plan": "free"},
        {"plan": ""},
        {"credits": 0},
        {"credits": -1},
        {"credits": 5001},
        {"credits": 1.5},
        {"pack": "small"},
    ],
)
async def test_what_is_not_on_sale_is_refused_and_nothing_is_kept(
    seller: Seller, operator: Operator, body: dict[str, object]
) -> None:
    store = await operator.store()

    error_of(await store.send("POST", CHECKOUT, json=body), 400, "VALIDATION_ERROR")

    assert seller.paddle.requests == []
    assert await seller.admin.fetchval("SELECT count(*) FROM checkouts") == 0


@pytest.mark.parametrize("credits, amount", [(1, 18), (3, 54), (4, 72)])
async def test_what_paddle_would_not_charge_is_refused_with_the_least_number(
    seller: Seller, operator: Operator, credits: int, amount: int
) -> None:
    store = await operator.store()
    on_sale = data_of(await store.get("/api/v1/billing/plans"))["credits"]
    assert on_sale["min"] == 4

    answer = await store.send("POST", CHECKOUT, json={"credits": credits})

    if amount >= LEAST_CHARGE:
        assert data_of(answer, 201)["amount"] == amount
        return
    error = error_of(answer, 400, "VALIDATION_ERROR")
    assert error["message"] == "Credits are sold 4 to 5,000 at a time."
    assert seller.paddle.requests == []
    assert await seller.admin.fetchval("SELECT count(*) FROM checkouts") == 0


async def test_what_paddle_itself_finds_too_little_is_refused_in_its_words(
    seller: Seller, operator: Operator
) -> None:
    """Where the least charge of the catalogue's currency is another than the catalogue says."""
    store = await operator.store()
    seller.paddle.least_charges["USD"] = 100

    error = error_of(
        await store.send("POST", CHECKOUT, json={"credits": 5}), 400, "VALIDATION_ERROR"
    )
    assert error["message"].startswith("Paddle charges nothing so small: ")
    assert "Minimum payment amount: 100" in error["message"]

    data_of(await store.send("POST", CHECKOUT, json={"credits": 6}), 201)


async def test_while_paddle_is_away_the_store_is_told_and_may_try_again(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store()
    named = {"X-Request-Id": "order-1"}
    seller.paddle.failures.append(Failure.REFUSE_503)

    away = await store.send("POST", CHECKOUT, headers=named, json={"credits": 5})
    again = await store.send("POST", CHECKOUT, headers=named, json={"credits": 5})

    error_of(away, 503, "SERVICE_UNAVAILABLE")
    assert away.headers["retry-after"]
    data_of(again, 201)


async def test_a_store_reads_what_is_on_sale(operator: Operator) -> None:
    store = await operator.store()

    catalogue = data_of(await store.get("/api/v1/billing/plans"))

    assert catalogue["currency"] == "USD"
    assert catalogue["plans"] == [
        {"plan": "starter", "credits": 350, "amount": 4900, "overage_unit_amount": 16},
        {"plan": "growth", "credits": 800, "amount": 9900, "overage_unit_amount": 14},
        {"plan": "scale", "credits": 1800, "amount": 19900, "overage_unit_amount": 12},
    ]
    assert catalogue["credits"] == {"unit_amount": 18, "min": 4, "max": 5000}
    assert catalogue["generation"] == {"credits": 1, "options": {}}


async def test_a_mismatch_is_shown_to_the_operator_who_may_have_it_looked_at_again(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    paid = await seller.paid(store)
    event = completed(paid)
    event.data["details"]["totals"]["subtotal"] = "1"
    await seller.told(paid)

    problems = data_of(await operator.get("/billing/problems"))

    [shown] = problems["events"]
    assert (shown["event_id"], shown["status"]) == (event.event_id, "set_aside")
    assert shown["reason"].endswith(".")
    assert problems["clawbacks"] == problems["bills"] == []
    assert problems["truncated"] is False
    assert await seller.balance(store) == 0

    retried = data_of(await operator.post(f"/billing/events/{event.event_id}/retry"))
    assert retried == {"event_id": event.event_id, "retried": True}
    await seller.settled()
    assert await seller.status(event) == "set_aside"
    assert await seller.balance(store) == 0
    error_of(await operator.post("/billing/events/evt_unknown/retry"), 404, "NOT_FOUND")

    dismiss = f"/billing/problems/{event.event_id}/dismiss"
    dismissed = data_of(await operator.post(dismiss))
    assert dismissed == {"problem_id": event.event_id, "dismissed": True}
    assert data_of(await operator.get("/billing/problems"))["events"] == []
    error_of(await operator.post(dismiss), 404, "NOT_FOUND")


async def test_credits_that_could_not_be_taken_back_are_shown_to_the_operator(
    seller: Seller, operator: Operator
) -> None:
    store = await operator.store(credits=0)
    opened = data_of(await store.send("POST", CHECKOUT, json={"credits": 10}), 201)
    await seller.told(seller.paddle.account.pay(opened["transaction_id"]))
    await seller.spend(Owner.store(UUID(store.store_id)), 8, "spent")

    await seller.told([seller.paddle.account.adjust(opened["transaction_id"], "chargeback")])

    [short] = data_of(await operator.get("/billing/problems"))["clawbacks"]
    assert short["store_id"] == store.store_id
    assert short["user_id"] is None
    assert (short["action"], short["credits"], short["taken"]) == ("chargeback", 10, 2)
    view = data_of(await operator.get(f"/stores/{store.store_id}"))
    assert (view["balance"], view["total_clawed_back"]) == (0, 2)
    own = data_of(await store.get("/api/v1/credits/balance"))
    assert own == {
        "balance": 0,
        "total_purchased": 10,
        "total_spent": 8,
        "total_clawed_back": 2,
    }

    dismiss = f"/billing/problems/{short['adjustment_id']}/dismiss"
    data_of(await operator.post(dismiss))
    assert data_of(await operator.get("/billing/problems"))["clawbacks"] == []
    error_of(await operator.post(dismiss), 404, "NOT_FOUND")
    assert data_of(await operator.get(f"/stores/{store.store_id}")) == view


async def test_overage_is_set_by_the_operator_and_seen_by_the_store(operator: Operator) -> None:
    store = await operator.store(credits=0)
    balance = "/api/v1/credits/balance"
    off = {"balance": 0, "total_purchased": 0, "total_spent": 0}
    assert data_of(await store.get(balance)) == off
    error_of(await store.create(), 402, "INSUFFICIENT_CREDITS")

    view = data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=1))
    assert (view["overage_limit"], view["overage_used"]) == (1, 0)

    assert data_of(await store.create("beyond"), 201)["balance"] == 0
    error_of(await store.create(), 402, "INSUFFICIENT_CREDITS")
    assert data_of(await store.get(balance)) == off | {"overage_used": 1, "overage_limit": 1}
    [movement] = data_of(await store.get("/api/v1/credits/transactions", type_="overage"))["items"]
    assert (movement["amount"], movement["request_id"]) == (1, "beyond")

    # Switched off, what was used is still to be seen until it is billed.
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=0))
    assert data_of(await store.get(balance)) == off | {"overage_used": 1, "overage_limit": 0}
    for wrong in (-1, 1.5, "many"):
        answer = await operator.patch(f"/stores/{store.store_id}", overage_limit=wrong)
        error_of(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "absent, level",
    [
        (["api_key"], "warning"),
        (["webhook_secret"], "warning"),
        (["api_key", "webhook_secret"], "info"),
    ],
)
def test_the_log_says_which_setting_billing_lacks(
    paddle: PaddleStandIn, absent: list[str], level: str
) -> None:
    lacking = {f"paddle_{name}": None for name in absent}
    settings = Settings.model_validate(paddle.settings() | lacking)
    with capture_logs() as logs:
        # Nothing is asked of the database to find this out.
        nowhere = Servers(DatabaseUrl.read("postgresql://"))
        billing = Billing.from_settings(settings, Database(nowhere, pool_max=1))
    assert not billing.is_on
    missing = [f"STORECREDIT_PADDLE_{name.upper()}" for name in absent]
    assert logs == [
        {"component": "billing.assembly", "event": "billing_is_off", "log_level": level}
        | {"missing": missing}
    ]


async def test_without_paddle_billing_is_off_and_says_so(
    database_url: str, admin: asyncpg.Connection, data_dir: Path, paddle: PaddleStandIn
) -> None:
    off = {"paddle_api_key": None, "paddle_webhook_secret": None}
    async with (
        running_seller(paddle, database_url, admin, data_dir, **off) as seller,
        httpx.AsyncClient(base_url=seller.url) as http,
    ):
        operator = Operator(http)
        store = await operator.store()
        refused = error_of(
            await store.send("POST", CHECKOUT, json={"credits": 1}), 404, "NOT_FOUND"
        )
        assert refused["message"] == "Nothing is sold here."
        refused = error_of(
            await operator.post(f"/stores/{store.store_id}/checkout", credits=1), 404, "NOT_FOUND"
        )
        assert "billing is off" in refused["message"]
        assert "STORECREDIT_PADDLE_WEBHOOK_SECRET" in refused["message"]
        error_of(await http.post("/webhooks/paddle", content=b"{}"), 404, "NOT_FOUND")
        assert data_of(await store.get("/api/v1/billing/plans"))["plans"]
