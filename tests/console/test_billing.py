"""`/console/billing`: what billing could not settle, and the buttons that mend it."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from stand_ins.paddle.api import PaddleStandIn
from storecredit.ledger.owners import Owner
from tests.billing.conftest import admin, paddle, seller, seller_changes
from tests.billing.seller import Seller
from tests.billing.sql_sales import Movement
from tests.billing.test_bookings import custom_renewals
from tests.console.acts import acts, faults_of, sent_twice
from tests.console.conftest import Browser
from tests.web.doors import OPERATOR_TOKEN, Operator, data_of

__all__ = ["admin", "paddle", "seller", "seller_changes"]

AT = "/console/billing"
RECEIVE = """SELECT receive_provider_event('paddle', $1, 'transaction.completed', now(), $2,
    'set_aside', 'It fits <b>nothing')"""


@pytest.fixture
async def selling(seller: Seller) -> AsyncIterator[Browser]:
    """An operator's browser, at a service that sells."""
    async with httpx.AsyncClient(base_url=seller.url, headers={"Origin": seller.url}) as http:
        here = Browser(http, {"Origin": seller.url})
        page = await here.get("/console/sign-in")
        answer = await here.send(page, "/console/sign-in", {"token": OPERATOR_TOKEN})
        assert answer.status_code == 303
        yield here


async def test_where_billing_is_off_the_page_says_how_to_switch_it_on(browser: Browser) -> None:
    page = await browser.get(AT)
    assert "Billing is off" in page.text
    assert "STORECREDIT_PADDLE_API_KEY" in page.text
    assert f"{AT}/book" not in page.text


async def test_where_all_was_settled_there_is_nothing_to_do(selling: Browser) -> None:
    assert "Nothing to look at" in (await selling.get(AT)).text


async def test_an_event_that_was_set_aside_is_retried_once(
    selling: Browser, admin: asyncpg.Connection
) -> None:
    await admin.execute(RECEIVE, "evt_1", '{"id": "txn_1", "note": "<script>"}')
    page = await selling.get(AT)
    assert "It fits &lt;b&gt;nothing" in page.text
    action = f"{AT}/events/evt_1/retry"
    retried, again = await sent_twice(selling, page, action, {})
    assert retried.headers["location"] == again.headers["location"] == f"{AT}?done=retried"
    [act] = await acts(admin, "event.retry")
    assert (act.by, act.subject) == (("admin", "console", ""), "evt_1")
    assert "looked at again" in (await selling.get(retried.headers["location"])).text


async def test_a_problem_is_dismissed_in_two_steps(
    selling: Browser, admin: asyncpg.Connection
) -> None:
    await admin.execute(RECEIVE, "evt_1", '{"id": "txn_1"}')
    here = f"{AT}/problems/evt_1/dismiss"
    page = await selling.get(here)
    assert "It fits &lt;b&gt;nothing" in page.text
    dismissed, again = await sent_twice(selling, page, here, {"reason": "paid by bank"})
    assert dismissed.headers["location"] == again.headers["location"] == f"{AT}?done=dismissed"
    [act] = await acts(admin, "problem.dismiss")
    assert (act.by, act.subject) == (("admin", "console", "paid by bank"), "evt_1")
    assert "evt_1" not in (await selling.get(AT)).text
    assert (await selling.get(here)).status_code == 404


async def test_credits_that_could_not_be_taken_back_are_shown_and_dismissed(
    selling: Browser, seller: Seller, admin: asyncpg.Connection
) -> None:
    store = await seller.store()
    events = await seller.paid(store)
    await seller.told(events)
    operator = Operator(selling.http)
    removal = {"amount": 70, "request_id": "spent", "reason": "spent"}
    data_of(await operator.post(f"/stores/{store.id}/credits/remove", **removal), 201)
    [payment] = await admin.fetch("SELECT provider_transaction_id FROM payments")
    account = seller.paddle.account
    await seller.told([account.adjust(payment[0], status="approved")])
    page = await selling.get(AT)
    assert "could not be taken back" in page.text
    assert f'href="/console/stores/{store.id}"' in page.text
    adjustment = await admin.fetchval("SELECT adjustment_id FROM clawbacks")
    here = f"{AT}/problems/{adjustment}/dismiss"
    page = await selling.get(here)
    assert "30 of 100 could be taken" in page.text
    answer = await selling.send(page, here, {"reason": "let them"})
    assert answer.status_code == 303
    assert "could not be taken back" not in (await selling.get(AT)).text


async def test_a_transaction_is_booked_after_a_look_once(
    selling: Browser, seller: Seller, admin: asyncpg.Connection
) -> None:
    store = await seller.store()
    (renewal,) = await custom_renewals(seller, store)
    transaction_id = renewal.data["id"]
    page = await selling.get(AT)
    link = f"{AT}/book?transaction_id={transaction_id}"
    assert f'href="{link}"' in page.text
    assert f'value="{transaction_id}"' in (await selling.get(link)).text
    page = await selling.get(f"{link}&credits=5000&owner=store:{store.id}&description=Custom")
    assert "$500.00 before tax" in page.text
    assert "5,800 in the place of 800" in page.text
    assert await seller.balance(store) == 800
    booked, again = await sent_twice(selling, page, f"{AT}/book", {"reason": "agreed"})
    assert (booked.status_code, again.status_code) == (303, 303)
    assert booked.headers["location"] == again.headers["location"]
    assert (await seller.ledger(store))[-1] == Movement(
        "purchase", 5000, 5800, f"booking:{transaction_id}"
    )
    [act] = await acts(admin, "transaction.book")
    assert (act.by, act.subject) == (("admin", "console", "agreed"), transaction_id)
    assert "5,000 credits were added" in (await selling.get(booked.headers["location"])).text
    assert "Nothing to look at" in (await selling.get(AT)).text
    other = await selling.get(f"{link}&credits=1&owner=store:{store.id}")
    refused = await selling.send(other, f"{AT}/book", {})
    assert set(faults_of(refused)) == {"credits"}


async def test_what_cannot_be_booked_is_told_by_field(
    selling: Browser, seller: Seller, admin: asyncpg.Connection, paddle: PaddleStandIn
) -> None:
    store = await seller.store()
    events = await seller.paid(store)
    paid = events[0].data["id"]
    unknown = "txn_" + "0" * 26
    for asked, field in (
        ({"transaction_id": "", "credits": "5"}, "transaction_id"),
        ({"transaction_id": "nonsense", "credits": "5"}, "transaction_id"),
        ({"transaction_id": unknown, "credits": "5"}, "transaction_id"),
        ({"transaction_id": paid, "credits": "0"}, "credits"),
        ({"transaction_id": paid, "credits": "5", "owner": "nobody"}, "owner"),
        ({"transaction_id": paid, "credits": "5", "description": "d" * 501}, "description"),
    ):
        page = await selling.http.get(f"{AT}/book", params=asked)
        assert page.status_code == 400, asked
        assert set(faults_of(page)) == {field}, asked
    other: Owner = await seller.store()
    page = await selling.get(f"{AT}/book?transaction_id={paid}&credits=5&owner=store:{other.id}")
    refused = await selling.send(page, f"{AT}/book", {})
    assert set(faults_of(refused)) == {"owner"}
    assert await acts(admin, "transaction.book") == []


async def test_who_may_only_read_sees_problems_without_buttons(
    selling: Browser, seller: Seller, admin: asyncpg.Connection
) -> None:
    await admin.execute(RECEIVE, "evt_1", '{"id": "txn_1"}')
    operator = Operator(selling.http)
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "credits"]), 201)
    page = await selling.get("/console/sign-in")
    await selling.send(page, "/console/sign-in", {"token": made["token"]})
    page = await selling.get(AT)
    assert "It fits" in page.text
    for below in ("events/evt_1/retry", "problems/evt_1/dismiss", "book"):
        assert f"{AT}/{below}" not in page.text
        answer = await selling.post(f"{AT}/{below}", page, "/console/sign-out")
        assert answer.status_code == 403
    assert await acts(admin) == []


async def test_an_unknown_problem_is_a_page_that_says_so(browser: Browser) -> None:
    page = await browser.get(AT)
    for below in ("events/evt_9/retry", "problems/evt_9/dismiss"):
        answer = await browser.post(f"{AT}/{below}", page, "/console/sign-out")
        assert answer.status_code == 404
    assert (await browser.get(f"{AT}/problems/evt_9/dismiss")).status_code == 404
