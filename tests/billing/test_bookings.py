"""What is no plan of ours, booked by the operator: through the doors of operator and Paddle."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from stand_ins.paddle.account import Event
from stand_ins.paddle.api import Failure
from storecredit.billing.checkouts import PlanOrder
from storecredit.ledger.owners import Owner, OwnerKind
from tests.billing.everywhere import in_each_bucket, tamper
from tests.billing.paddle_changes import Mode, change_items, price
from tests.billing.seller import Seller, completed, only
from tests.billing.sql_sales import Movement, everything
from tests.web.doors import Operator, data_of, error_of

pytestmark = pytest.mark.several_buckets


@pytest.fixture
async def operator(seller: Seller) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(base_url=seller.url) as http:
        yield Operator(http)


def path_of(transaction_id: str) -> str:
    return f"/billing/transactions/{transaction_id}/book"


async def custom_renewals(seller: Seller, store: Owner, months: int = 1) -> list[Event]:
    """Payments of a subscription for what no catalogue names; its first month, for 800, is ours."""
    subscription_id = await seller.subscribed(store)
    account = seller.paddle.account
    custom = [(price("pri_01custom", 50000), 1)]
    await seller.told(change_items(account, subscription_id, custom, Mode.DO_NOT_BILL))
    renewals = []
    for _ in range(months):
        events = account.renew(subscription_id)
        await seller.told(events)
        renewals.append(completed(events))
    return renewals


async def test_a_payment_for_no_plan_is_booked_once_and_its_problem_is_settled(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    (renewal,) = await custom_renewals(seller, store)
    [problem] = data_of(await operator.get("/billing/problems"))["events"]
    [transaction_id] = problem["transaction_ids"]

    body: dict[str, Any] = {"credits": 5000, "description": "Custom plan, November"}
    booked = data_of(await operator.post(path_of(transaction_id), **body), 201)

    assert booked == {
        "transaction_id": renewal.data["id"],
        "store_id": str(store.id),
        "user_id": None,
        "credits": 5000,
        "amount": 50000,
        "currency": "USD",
    }
    again = await operator.post(path_of(transaction_id), **body, store_id=str(store.id))
    assert data_of(again) == booked
    by = "SELECT actor FROM movements WHERE request_id = $1"
    assert await seller.admin.fetchval(by, f"booking:{transaction_id}") == "admin"
    assert again.headers["idempotent-replayed"] == "true"
    assert (await seller.ledger(store))[-1] == Movement(
        "purchase", 5000, 5800, f"booking:{transaction_id}"
    )
    described = await seller.admin.fetchval(
        "SELECT description FROM movements ORDER BY seq DESC LIMIT 1"
    )
    assert described == "Custom plan, November"
    assert data_of(await operator.get("/billing/problems"))["events"] == []
    assert (await seller.event(renewal))["reason"] == "Booked by hand."
    assert await seller.discrepancies() == ()


async def test_a_refund_finds_what_was_booked_by_hand(seller: Seller, operator: Operator) -> None:
    store = await seller.store()
    (renewal,) = await custom_renewals(seller, store)
    transaction_id = renewal.data["id"]
    data_of(await operator.post(path_of(transaction_id), credits=1000), 201)

    account = seller.paddle.account
    await seller.told([account.adjust(transaction_id, status="approved", subtotal=12500)])
    assert await seller.balance(store) == 800 + 750
    await seller.told([account.adjust(transaction_id, "chargeback")])
    assert await seller.balance(store) == 800
    assert await seller.discrepancies() == ()


async def test_a_refund_that_was_no_concern_of_ours_takes_the_credits_of_a_later_booking(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    bought = completed(await seller.paid(store))
    await tamper(seller.admin, "DELETE FROM checkouts")
    account, transaction_id = seller.paddle.account, bought.data["id"]
    refund = account.adjust(transaction_id, status="approved", subtotal=450)
    await seller.told([bought, refund])
    assert (await seller.status(bought), await seller.status(refund)) == ("ignored", "ignored")

    data_of(await operator.post(path_of(transaction_id), credits=8, store_id=str(store.id)), 201)
    await seller.service.parts.paddle_events.requeue_orphans()
    await seller.settled()

    assert await seller.balance(store) == 6, "a quarter went back"
    assert (await seller.status(bought), await seller.status(refund)) == ("processed", "processed")
    assert await seller.discrepancies() == ()


async def test_a_subscription_is_not_ours_because_its_first_payment_was_booked_by_hand(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    begun = await seller.paid(store, PlanOrder("growth"))
    await tamper(seller.admin, "DELETE FROM checkouts")
    await seller.told(begun)

    path = path_of(completed(begun).data["id"])
    data_of(await operator.post(path, credits=8, store_id=str(store.id)), 201)
    await seller.service.parts.paddle_events.requeue_orphans()
    await seller.settled()

    assert await seller.status(only(begun, "subscription.created")) == "ignored"
    assert await seller.status(completed(begun)) == "processed"
    assert (await seller.balance(store), await seller.tier(store)) == (8, "default")


async def test_what_is_booked_before_its_event_comes_is_no_problem_when_it_comes(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    account = seller.paddle.account
    custom = [(price("pri_01custom", 50000), 1)]
    await seller.told(change_items(account, subscription_id, custom, Mode.DO_NOT_BILL))
    renewal = account.renew(subscription_id)
    path = path_of(completed(renewal).data["id"])
    data_of(await operator.post(path, credits=5000), 201)

    await seller.told(renewal)

    assert await seller.balance(store) == 800 + 5000
    assert await seller.status(completed(renewal)) == "processed"
    assert data_of(await operator.get("/billing/problems"))["events"] == []


async def test_what_an_earlier_version_kept_of_an_event_is_enough_to_book_it(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    (renewal,) = await custom_renewals(seller, store)
    [kept] = await in_each_bucket(
        seller.admin,
        """SELECT json_build_object(
               'kind', 'transaction', 'id', content -> 'id', 'origin', content -> 'origin',
               'currency_code', content -> 'currency_code',
               'details', json_build_object('totals', json_build_object(
                   'subtotal', content #> '{details,totals,subtotal}')),
               'subscription_id', content -> 'subscription_id',
               'billing_period', content -> 'billing_period') AS content
           FROM provider_events WHERE event_id = $1""",
        renewal.event_id,
    )
    await tamper(
        seller.admin,
        "UPDATE provider_events SET content = $2 WHERE event_id = $1",
        renewal.event_id,
        kept["content"],
    )

    booked = data_of(await operator.post(path_of(renewal.data["id"]), credits=5000), 201)

    assert booked["amount"] == 50000
    assert await seller.balance(store) == 800 + 5000


async def test_of_several_months_each_is_booked_by_itself(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    renewals = await custom_renewals(seller, store, months=3)
    [problem] = data_of(await operator.get("/billing/problems"))["events"]
    assert problem["transaction_ids"] == [event.data["id"] for event in renewals]

    for left, transaction_id in zip((2, 1, 0), problem["transaction_ids"], strict=True):
        data_of(await operator.post(path_of(transaction_id), credits=100), 201)
        shown = data_of(await operator.get("/billing/problems"))["events"]
        assert [len(each["transaction_ids"]) for each in shown] == ([left] if left else [])
    assert await seller.balance(store) == 800 + 300


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_a_purchase_that_differs_from_its_checkout_is_booked_for_its_buyer(
    seller: Seller, operator: Operator, kind: OwnerKind
) -> None:
    buyer = await (seller.store() if kind is OwnerKind.STORE else seller.user())
    before = await seller.balance(buyer)
    event = completed(await seller.paid(buyer)).altered({"details.totals.subtotal": "100"})
    await seller.told([event])
    assert await seller.status(event) == "set_aside"

    booked = data_of(await operator.post(path_of(event.data["id"]), credits=3), 201)

    assert booked[f"{kind}_id"] == str(buyer.id)
    assert (booked["amount"], await seller.balance(buyer)) == (100, before + 3)
    assert await seller.discrepancies() == ()


async def test_what_no_event_has_told_is_asked_of_paddle(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    first = completed(await seller.paid(store))

    booked = data_of(await operator.post(path_of(first.data["id"]), credits=70), 201)
    await seller.told([first])

    assert (booked["amount"], await seller.balance(store)) == (1800, 70)
    assert await seller.status(first) == "processed"
    assert len(seller.paddle.sent("GET", first.data["id"])) == 1


async def test_a_sale_that_no_record_knows_is_booked_for_whom_the_operator_names(
    seller: Seller, operator: Operator
) -> None:
    store, user = await seller.store(), await seller.user()
    bought = [completed(await seller.paid(store, request_id=f"order-{n}")) for n in range(2)]
    await tamper(seller.admin, "UPDATE checkouts SET provider_transaction_id = NULL")
    path, other_path = (path_of(event.data["id"]) for event in bought)

    error_of(await operator.post(path, credits=5), 400, "VALIDATION_ERROR")
    error_of(await operator.post(path, credits=5, store_id=str(uuid4())), 400, "VALIDATION_ERROR")
    both = {"store_id": str(store.id), "user_id": str(user.id)}
    error_of(await operator.post(path, credits=5, **both), 400, "VALIDATION_ERROR")
    before = await seller.balance(user)
    data_of(await operator.post(path, credits=5, store_id=str(store.id)), 201)
    data_of(await operator.post(other_path, credits=6, user_id=str(user.id)), 201)

    assert (await seller.balance(store), await seller.balance(user)) == (5, before + 6)


async def test_what_cannot_be_booked_is_refused_and_nothing_is_written(
    seller: Seller, operator: Operator
) -> None:
    store, other, user = await seller.store(), await seller.store(), await seller.user()
    unpaid = await seller.opened(store, PlanOrder("growth"), "unpaid")
    ours = completed(await seller.paid(store))
    await seller.told([ours])
    differs = completed(await seller.paid(store, request_id="differs")).altered(
        {"details.totals.subtotal": "100"}
    )
    await seller.told([differs])
    by_hand = completed(await seller.paid(store, request_id="by-hand"))
    data_of(await operator.post(path_of(by_hand.data["id"]), credits=5), 201)
    before = await everything(seller.admin)

    for transaction_id, body, status, code in (
        (unpaid.transaction_id, {}, 400, "VALIDATION_ERROR"),
        ("txn_01unknown", {}, 404, "NOT_FOUND"),
        ("sub_01unknown", {}, 404, "NOT_FOUND"),
        ("txn_..%2Fsubscriptions", {}, 404, "NOT_FOUND"),
        (ours.data["id"], {}, 422, "IDEMPOTENCY_CONFLICT"),
        (by_hand.data["id"], {"credits": 6}, 422, "IDEMPOTENCY_CONFLICT"),
        (by_hand.data["id"], {"store_id": str(other.id)}, 400, "VALIDATION_ERROR"),
        (differs.data["id"], {"store_id": str(other.id)}, 400, "VALIDATION_ERROR"),
        (differs.data["id"], {"user_id": str(user.id)}, 400, "VALIDATION_ERROR"),
        (differs.data["id"], {"credits": 0}, 400, "VALIDATION_ERROR"),
        (differs.data["id"], {"credits": 2**31}, 400, "VALIDATION_ERROR"),
        (differs.data["id"], {"description": "x" * 501}, 400, "VALIDATION_ERROR"),
    ):
        answer = await operator.post(path_of(transaction_id), **({"credits": 5} | body))
        error_of(answer, status, code)
    seller.paddle.failures.append(Failure.REFUSE_503)
    error_of(await operator.post(path_of("txn_01other"), credits=5), 503, "SERVICE_UNAVAILABLE")
    assert await everything(seller.admin) == before


async def test_bookings_at_once_and_with_the_event_add_once(
    seller: Seller, operator: Operator
) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    path = path_of(event.data["id"])

    answers = await asyncio.gather(
        *(operator.post(path, credits=100) for _ in range(4)),
        *(seller.webhooks.send(event) for _ in range(2)),
    )
    await seller.settled()

    assert {answer.status_code for answer in answers} <= {200, 201, 422}
    assert await seller.balance(store) == 100
    assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 1
    assert await seller.discrepancies() == ()
