"""What follows a sale, on the command line: subscriptions, overage, what needs a look, retries."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from storecredit.billing.paddle.messages import CONTENT_TYPES
from tests.billing.overages import store_with_overage, subscribe
from tests.billing.sql_sales import NOON
from tests.e2e.conftest import Done, Serving, Storecredit, storecredit_in, until
from tests.e2e.paddle_process import Paddle, paddle_process
from tests.e2e.seller import Seller, fields, named, row_of
from tests.free_ports import free_port

TOKEN = "operator"
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mNUq+hjwAaY"
    "GHCAwSkBAO6oATye9rWzAAAAAElFTkSuQmCC"
)


# Overage


async def test_store_overage_sets_the_limit_and_history_shows_what_was_used(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    allowed = seller("store", "overage", seller.store_id, "--limit", 3, "--json").json()
    assert set(allowed) == fields("StoreView")
    assert (allowed["balance"], allowed["overage_limit"], allowed["overage_used"]) == (0, 3, 0)
    deduct = "SELECT deduct_store_credits($1, 1, 'order-1')"
    assert await admin.fetchval(deduct, seller.store_id)

    shown = named(seller("credits", "balance", seller.store_id))
    assert (shown["balance"], shown["overage_used"], shown["overage_limit"]) == ("0", "1", "3")
    page = seller("credits", "history", seller.store_id, "--type", "overage", "--json").json()
    (movement,) = page["items"]
    assert set(movement) == fields("OperatorTransaction")
    assert movement["actor"] is None, "a deduction is nobody's"
    assert (movement["type"], movement["amount"], movement["balance_after"]) == ("overage", 1, 0)
    row = row_of(seller("credits", "history", seller.store_id, "--type", "overage"), "order-1")
    assert {"overage", "1", "0"} <= set(row.split())

    off = named(seller("store", "overage", seller.store_id, "--limit", 0))
    assert (off["overage_limit"], off["overage_used"]) == ("0", "1")


async def test_store_top_up_shows_sets_and_ends_it(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    command = ("store", "top-up", seller.store_id)
    on = ("--threshold", 50, "--credits", 500)
    assert "none that runs" in seller(*command, *on).sentence()
    await subscribe(admin, UUID(seller.store_id), "sub_1")
    shown = seller(*command, *on, "--json").json()
    assert set(shown) == fields("TopUpView")
    assert (shown["status"], shown["credits"], shown["max_per_day"]) == ("on", 500, 1)
    assert named(seller(*command))["price"] == "90.00 USD"
    assert "--credits" in seller(*command, "--threshold", 50, "--credits", 3).sentence(2)
    off = named(seller(*command, "--off"))
    assert (off["status"], off["price"]) == ("off", "–")


# What needs a look


def test_where_there_is_nothing_the_lists_say_so(seller: Seller) -> None:
    none = seller("billing", "problems")
    assert (none.status, none.output) == (0, "")
    assert "nothing to look at" in none.errors
    in_json = seller("billing", "problems", "--json").json()
    assert in_json == {"events": [], "clawbacks": [], "bills": [], "truncated": False}
    none = seller("billing", "subscriptions", seller.store_id)
    assert (none.status, none.output) == (0, "")
    assert "no subscription" in none.errors
    assert seller("billing", "subscriptions", seller.store_id, "--json").json() == {"items": []}


async def test_problems_lists_overage_that_could_not_be_charged(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    store_id = await store_with_overage(admin, 1000)
    close = "SELECT close_overage(account_of('store', $1), '2026-10-01', 18, 'USD')"
    assert await admin.fetchval(close, store_id)
    await admin.execute("UPDATE subscription_charges SET last_error = 'declined', attempts = 2")

    row = row_of(seller("billing", "problems"), str(store_id))
    assert " overage 2026-10 " in row
    assert " 180.00 USD " in row
    assert row.rstrip().endswith("declined")
    (bill,) = seller("billing", "problems", "--json").json()["bills"]
    assert set(bill) == fields("UnpaidBillView")
    assert (bill["period"], bill["amount"], bill["attempts"]) == ("2026-10-01", 18000, 2)


async def test_an_event_that_cannot_be_read_is_dismissed_and_not_looked_at_again(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    receive = (
        "SELECT receive_provider_event('paddle', $1, 'x', $2, NULL, 'set_aside', 'Cannot be read.')"
    )
    await admin.fetchval(receive, "evt_1", NOON)
    for event_id in ("evt_1", "evt_2"):
        told = seller("billing", "retry", event_id).sentence()
        assert event_id in told
        assert "storecredit billing problems" in told
    row = row_of(seller("billing", "problems"), "evt_1")
    assert "set_aside" in row
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", row)

    dismissed = seller("billing", "dismiss", "evt_1", "--json").json()
    assert dismissed == {"problem_id": "evt_1", "dismissed": True}
    assert set(dismissed) == fields("ProblemDismissed")
    assert "nothing to look at" in seller("billing", "problems").errors
    assert "evt_1" in seller("billing", "dismiss", "evt_1").sentence()


# A whole purchase, with everything that can follow


@dataclass(frozen=True, slots=True)
class Shop:
    """A running service that sells through a Paddle that tells it everything."""

    command: Storecredit
    serving: Serving
    paddle: Paddle

    def __call__(self, *arguments: object) -> Done:
        return self.command(*arguments, **self.paddle.variables)

    def bought(self, store_id: str, *order: object) -> str:
        """The transaction of a checkout that was paid, once its credits are there."""
        opened = self("billing", "checkout", store_id, *order, "--json").json()
        self.paddle.tell("pay", transaction_id=opened["transaction_id"])
        self.settled()
        return str(opened["transaction_id"])

    def settled(self) -> None:
        """Wait until the service has taken and processed everything that Paddle tells."""
        until(lambda: self.paddle.state()["undelivered"] == 0, "everything is delivered")
        told = {id_ for id_, type_ in self.paddle.state()["events"] if type_ in CONTENT_TYPES}

        def all_settled() -> bool:
            settled = self.serving.events("paddle_event_settled")
            return told <= {each["event_id"] for each in settled}

        until(all_settled, "everything is settled")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, prepared_data_dir: Path) -> Iterator[Shop]:
    port = free_port()
    hook = f"http://127.0.0.1:{port}/webhooks/paddle"
    directory = tmp_path_factory.mktemp("shop")
    with (
        paddle_process("--webhook-url", hook) as paddle,
        storecredit_in(directory, prepared_data_dir) as command,
    ):
        serving = command.serve(
            *("--port", port), STORECREDIT_ADMIN_TOKEN=TOKEN, **paddle.variables
        )
        yield Shop(command, serving, paddle)


@pytest.fixture
def store(shop: Shop) -> dict[str, Any]:
    return shop.serving.made_store(TOKEN, tier="default")


def test_a_subscription_is_listed_and_a_second_one_refused(
    shop: Shop, store: dict[str, Any]
) -> None:
    store_id = store["store_id"]
    shop.bought(store_id, "--plan", "growth")

    (subscription,) = shop("billing", "subscriptions", store_id, "--json").json()["items"]
    assert set(subscription) == fields("SubscriptionView")
    over_http = httpx.get(
        f"{shop.serving.url}/api/admin/stores/{store_id}/subscriptions",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert over_http.json()["data"]["items"] == [subscription]
    row = row_of(shop("billing", "subscriptions", store_id), subscription["subscription_id"])
    assert " 99.00 USD " in row
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", row)) == 2
    shown = shop("store", "show", store_id, "--json").json()
    assert (shown["tier"], shown["balance"]) == ("growth", 800)
    second = shop("billing", "checkout", store_id, "--plan", "scale").sentence()
    assert "cancel that at Paddle first. Nothing was sold." in second


def test_credits_that_could_not_be_taken_back_are_shown(shop: Shop, store: dict[str, Any]) -> None:
    store_id = store["store_id"]
    transaction_id = shop.bought(store_id, "--credits", 4)
    spent = httpx.post(
        f"{shop.serving.url}/api/v1/generation/create",
        headers={"Authorization": f"Bearer {store['api_key']}"},
        json={"image_urls": [DOT]},
    )
    assert spent.status_code == 201
    shop.paddle.tell("adjust", transaction_id=transaction_id, action="chargeback")
    shop.settled()

    found = shop("billing", "problems", "--json").json()
    assert set(found) == fields("ProblemsView")
    (clawback,) = [each for each in found["clawbacks"] if each["store_id"] == store_id]
    assert set(clawback) == fields("ShortClawbackView")
    assert (clawback["credits"], clawback["taken"], clawback["user_id"]) == (4, 3, None)
    row = row_of(shop("billing", "problems"), f"store {store_id}")
    assert "chargeback" in row
    assert shop("billing", "dismiss", clawback["adjustment_id"]).status == 0
    assert store_id not in shop("billing", "problems").output
    history = shop("credits", "history", store_id, "--type", "clawback", "--json").json()
    assert [each["amount"] for each in history["items"]] == [3]


def test_an_event_that_was_set_aside_is_shown_and_looked_at_again(
    shop: Shop, store: dict[str, Any]
) -> None:
    transaction_id = shop.bought(store["store_id"], "--credits", 4)
    (event_id,) = shop.paddle.tell(
        "adjust", transaction_id=transaction_id, action="chargeback_reverse"
    )
    shop.settled()

    found = shop("billing", "problems", "--json").json()
    (event,) = [each for each in found["events"] if each["event_id"] == event_id]
    assert set(event) == fields("EventView")
    assert event["status"] == "set_aside"
    assert transaction_id in event["reason"]
    over_http = httpx.get(
        f"{shop.serving.url}/api/admin/billing/problems",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert over_http.json()["data"] == found
    assert "adjustment.created" in row_of(shop("billing", "problems"), event_id)

    retried = shop("billing", "retry", event_id, "--json").json()
    assert retried == {"event_id": event_id, "retried": True}
    assert set(retried) == fields("EventRetried")

    def settled_again() -> bool:
        settled = shop.serving.events("paddle_event_settled")
        return [each["event_id"] for each in settled].count(event_id) == 2

    until(settled_again, "the event is settled again")


def test_verify_agrees_with_all_of_it(shop: Shop, store: dict[str, Any]) -> None:
    shop.bought(store["store_id"], "--credits", 7)
    done = shop("verify")
    assert (done.status, done.errors) == (0, "")
    assert re.search(r"Payments: [1-9]", done.output)
    assert "All of it agrees" in done.output
