"""The stand-in is what all tests of billing rest on: it is held against Paddle's own SDK."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from paddle_billing.Notifications.Entities.Adjustment import Adjustment
from paddle_billing.Notifications.Entities.Subscription import Subscription
from paddle_billing.Notifications.Entities.Transaction import Transaction

from stand_ins.http_server import Answer, StandIn, stand_in
from stand_ins.paddle.account import Account, Event, month_after
from stand_ins.paddle.api import PaddleStandIn
from storecredit.billing.paddle.gateway import Paddle
from storecredit.billing.paddle.signature import Signatures
from storecredit.billing.sales import Charge, Sale
from storecredit.settings import Settings
from tests.billing.paddle_changes import Mode, change_plan, keep_with_discount

ROOT = Path(__file__).resolve().parents[2]
ENTITIES: dict[str, Any] = {
    "transaction": Transaction,
    "subscription": Subscription,
    "adjustment": Adjustment,
}
ALWAYS_THERE = {"transaction_id", "tax_rates_used", "type", "credit_applied_to_balance"}
"""What the SDK may read under a name, or in an event, that is not Paddle's."""


def an_account() -> Account:
    return Account("https://shop.example/pay")


def opened(account: Account, *, monthly: bool, unit: int = 4900, quantity: int = 1) -> str:
    price = {
        "description": "Something",
        "unit_price": {"amount": str(unit), "currency_code": "USD"},
        "product": {"name": "Something", "tax_category": "standard"},
        "billing_cycle": {"interval": "month", "frequency": 1} if monthly else None,
    }
    item = {"price": price, "quantity": quantity}
    return str(account.open([item], "USD", {"buyer": "b-1"})["id"])


def types(events: Sequence[Event]) -> list[str]:
    return [event.event_type for event in events]


def subscribed(account: Account) -> str:
    account.pay(opened(account, monthly=True))
    return next(iter(account.subscriptions))


def a_life() -> list[Event]:
    """Everything that can happen."""
    account = an_account()
    account.pay(opened(account, monthly=False, unit=18, quantity=250))
    subscription = subscribed(account)
    item = {
        "price": {
            "description": "Overage",
            "unit_price": {"amount": "16", "currency_code": "USD"},
            "product": {"name": "Overage", "tax_category": "standard"},
        },
        "quantity": 7,
    }
    charged = account.charge(subscription, [item], "USD")
    account.renew(subscription)
    account.renew(subscription, paid=False)
    unpaid = next(t for t in account.transactions.values() if t["status"] == "past_due")
    account.recover(unpaid["id"])
    for mode in Mode:
        change_plan(account, subscription, "scale", mode)
    change_plan(account, subscription, "starter")
    keep_with_discount(account, subscription, 30)
    account.renew(subscription)
    account.pay(opened(account, monthly=False), coupon_percent=100)
    account.change_subscription(subscription, "paused")
    account.change_subscription(subscription, "active")
    account.change_subscription(subscription, "canceled")
    refund = account.adjust(charged["id"], subtotal=16)
    account.decide(refund.data["id"], "approved")
    account.adjust(charged["id"], "chargeback")
    account.cancel_transaction(opened(account, monthly=False))
    return account.events


@pytest.mark.parametrize("event", a_life(), ids=lambda event: event.event_type)
def test_every_event_is_one_that_paddles_sdk_reads(event: Event) -> None:
    entity = ENTITIES[event.event_type.partition(".")[0]]
    read = entity.from_dict(json.loads(event.body())["data"])
    assert read.id == event.data["id"]
    assert {field.name for field in fields(entity)} - set(event.data) <= ALWAYS_THERE


def test_events_have_ids_and_times_of_their_own() -> None:
    events = a_life()
    for given in ([event.event_id for event in events], [event.occurred_at for event in events]):
        assert given == sorted(set(given))
    assert all(len(event.event_id) == len("evt_") + 26 for event in events)


def test_a_purchase_is_paid_then_completed() -> None:
    account = an_account()
    id_ = opened(account, monthly=False, unit=18, quantity=250)
    events = account.pay(id_)

    assert types(account.events[:1]) == ["transaction.created"]
    assert types(events) == [
        "transaction.updated",
        "transaction.ready",
        "transaction.updated",
        "transaction.paid",
        "transaction.updated",
        "transaction.completed",
    ]
    last = events[-1].data
    assert (last["id"], last["status"], last["origin"]) == (id_, "completed", "api")
    assert last["subscription_id"] is None
    assert last["custom_data"] == {"buyer": "b-1"}
    totals = last["details"]["totals"]
    assert (totals["subtotal"], totals["tax"], totals["total"]) == ("4500", "900", "5400")


def test_what_is_paid_is_not_paid_again() -> None:
    account = an_account()
    id_ = opened(account, monthly=False)
    account.pay(id_)
    with pytest.raises(ValueError, match="completed"):
        account.pay(id_)


def test_a_subscription_begins_between_paid_and_completed() -> None:
    account = an_account()
    id_ = opened(account, monthly=True)
    events = account.pay(id_)

    assert types(events)[3:] == [
        "transaction.paid",
        "subscription.created",
        "subscription.activated",
        "transaction.updated",
        "transaction.completed",
    ]
    created, activated, completed = events[4].data, events[5].data, events[7].data
    assert created["transaction_id"] == id_
    assert "transaction_id" not in activated
    assert created["custom_data"] == {"buyer": "b-1"}
    assert completed["subscription_id"] == created["id"]
    assert completed["billing_period"] == created["current_billing_period"]
    assert "management_urls" not in created
    # Sent before the subscription existed.
    assert events[3].data["subscription_id"] is None


def test_a_renewal_is_the_next_period_and_a_payment_for_it() -> None:
    account = an_account()
    subscription = subscribed(account)
    before = dict(account.subscriptions[subscription]["current_billing_period"])
    events = account.renew(subscription)

    assert types(events) == [
        "subscription.updated",
        "transaction.created",
        "transaction.billed",
        "transaction.updated",
        "transaction.paid",
        "transaction.updated",
        "transaction.completed",
    ]
    paid = events[-1].data
    assert paid["billing_period"]["starts_at"] == before["ends_at"]
    assert events[0].data["current_billing_period"] == paid["billing_period"]
    assert (paid["origin"], paid["subscription_id"]) == ("subscription_recurring", subscription)
    assert paid["details"]["totals"]["subtotal"] == "4900"
    assert paid["custom_data"] == {"buyer": "b-1"}


def test_a_renewal_that_is_not_paid_leaves_the_subscription_past_due() -> None:
    account = an_account()
    subscription = subscribed(account)
    events = account.renew(subscription, paid=False)
    assert types(events)[-3:] == [
        "transaction.past_due",
        "subscription.updated",
        "subscription.past_due",
    ]
    unpaid = next(e.data["id"] for e in events if e.event_type == "transaction.past_due")
    recovered = types(account.recover(unpaid))
    assert recovered[-2:] == ["transaction.completed", "subscription.updated"]
    assert account.subscriptions[subscription]["status"] == "active"


def test_a_refund_waits_for_approval_and_a_chargeback_does_not() -> None:
    account = an_account()
    id_ = opened(account, monthly=False, unit=100, quantity=10)
    account.pay(id_)
    part = account.adjust(id_, subtotal=300)
    assert (part.data["type"], part.data["status"]) == ("partial", "pending_approval")
    totals = part.data["totals"]
    assert (totals["subtotal"], totals["tax"], totals["total"]) == ("300", "60", "360")
    assert account.decide(part.data["id"], "approved").data["status"] == "approved"
    assert part.data["status"] == "pending_approval", "what was sent stays as it was"

    whole = account.adjust(id_, "chargeback")
    assert (whole.data["type"], whole.data["status"]) == ("full", "approved")
    assert whole.data["totals"]["subtotal"] == "1000"


def test_an_event_can_be_made_to_lie() -> None:
    account = an_account()
    event = account.pay(opened(account, monthly=False))[-1]
    lie = event.altered({"details.totals.subtotal": "1", "items.0.quantity": 9})
    assert lie.event_id == event.event_id
    assert lie.data["details"]["totals"]["subtotal"] == "1"
    assert lie.data["items"][0]["quantity"] == 9
    assert event.data["details"]["totals"]["subtotal"] == "4900"


def test_months_have_different_lengths() -> None:
    def after(year: int, month: int, day: int) -> tuple[int, int, int]:
        moment = month_after(datetime(year, month, day, tzinfo=UTC))
        return moment.year, moment.month, moment.day

    assert after(2026, 1, 31) == (2026, 2, 28)
    assert after(2026, 12, 31) == (2027, 1, 31)
    assert after(2026, 11, 5) == (2026, 12, 5)


def test_a_short_month_does_not_move_the_day_of_those_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = an_account()
    monkeypatch.setattr(account, "now", lambda: datetime(2027, 1, 31, tzinfo=UTC))
    account.pay(opened(account, monthly=True))
    (subscription,) = account.subscriptions.values()
    ends = [subscription["current_billing_period"]["ends_at"]]
    for _ in range(3):
        account.renew(subscription["id"])
        ends.append(subscription["current_billing_period"]["ends_at"])
    assert [end[:10] for end in ends] == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]


async def test_webhooks_are_authentic_unless_forged(paddle: PaddleStandIn) -> None:
    signatures = Signatures(Settings.model_validate(paddle.settings()))
    account = paddle.account
    event = account.pay(opened(account, monthly=False))[-1]
    async with stand_in(Answer()) as server:
        webhooks = paddle.webhooks(server.url("/webhooks/paddle"))
        await webhooks.send(event)
        await webhooks.send(event, secret="forged")
        await webhooks.send(event, at=0)
        await webhooks.send(event, signature="")
        await webhooks.send(event, body=event.altered({"status": "paid"}).body())
    verdicts = [
        signatures.is_authentic(request.body, request.headers.get("paddle-signature"))
        for request in server.received
    ]
    assert verdicts == [True, False, False, False, False]
    assert server.received[0].json()["event_id"] == event.event_id


async def test_webhooks_come_twice_and_out_of_order(paddle: PaddleStandIn) -> None:
    events = paddle.account.pay(opened(paddle.account, monthly=True))
    async with stand_in(Answer()) as server:
        webhooks = paddle.webhooks(server.url())
        assert await webhooks.send_all(events, copies=2, shuffle=Random(1)) == [200] * 16
    came = [str(request.json()["event_id"]) for request in server.received]
    assert sorted(came) == sorted(2 * [event.event_id for event in events])
    assert came != sorted(came)


@asynccontextmanager
async def in_a_process(*options: str) -> AsyncIterator[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stand_ins.paddle",
        *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield json.loads(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def until_delivered(client: httpx.AsyncClient) -> None:
    while (await client.get("/control/state")).json()["undelivered"]:  # noqa: ASYNC110 - far away
        await asyncio.sleep(0.05)


async def test_as_a_process_it_delivers_what_is_not_taken_again() -> None:
    refusals = iter([Answer(500), Answer(break_off=True)])
    async with (
        stand_in(lambda _: next(refusals, Answer())) as server,
        in_a_process("--webhook-url", server.url("/hook"), "--duplicates", "1") as given,
        httpx.AsyncClient(base_url=given["api_url"]) as client,
    ):
        gateway = Paddle(given["api_key"], given["api_url"], 30.0)
        sale = Sale("Plan", 1, 4900, "USD", monthly=True, custom_data={"buyer": "b-1"})
        checkout = await gateway.create_transaction(sale)
        assert checkout.checkout_url.startswith(f"{given['api_url']}/pay?_ptxn=")
        page = await client.post(checkout.checkout_url)
        assert "completed" in page.text
        state = (await client.get("/control/state")).json()
        subscription = state["subscriptions"][0]["id"]
        renewed = await client.post("/control/renew", json={"subscription_id": subscription})
        assert len(renewed.json()["events"]) == 7
        charge = Charge("m", "Overage", 1, 16, "USD")
        await gateway.charge_subscription(subscription, charge)
        await gateway.close()
        await until_delivered(client)
        expected = [event[0] for event in (await client.get("/control/state")).json()["events"]]
    came = taken(server)
    assert sorted(set(came)) == expected
    assert len(came) == 2 * len(expected) + 2


def taken(server: StandIn) -> list[str]:
    return [str(request.json()["event_id"]) for request in server.received]


async def test_as_a_process_it_is_controlled_from_outside() -> None:
    async with (
        in_a_process() as given,
        httpx.AsyncClient(base_url=given["api_url"]) as client,
    ):
        gateway = Paddle(given["api_key"], given["api_url"], 30.0)
        sale = Sale("Credits", 5, 18, "USD", monthly=False, custom_data={"buyer": "b-1"})
        id_ = (await gateway.create_transaction(sale)).transaction_id
        await gateway.close()
        for what, asked, status in [
            ("pay", {"transaction_id": id_}, 200),
            ("pay", {"transaction_id": id_}, 400),
            ("adjust", {"transaction_id": id_, "subtotal": 18}, 200),
            ("adjust", {"transaction_id": "txn_none"}, 400),
            ("fail", {"failures": ["REFUSE_503"]}, 200),
            ("fail", {"failures": ["NO_SUCH"]}, 400),
            ("deliver", {"on": True}, 400),
            ("nothing", {}, 400),
        ]:
            answer = await client.post(f"/control/{what}", json=asked)
            assert answer.status_code == status, (what, answer.text)
        assert (await client.get(f"/transactions/{id_}")).status_code == 503
        state = (await client.get("/control/state")).json()
    assert state["adjustments"][0]["totals"]["subtotal"] == "18"
