"""What a store sees of itself in its portal, and that it sees nothing of anybody else."""

from html import unescape
from uuid import uuid4

import asyncpg
import pytest

from tests.console.conftest import Browser
from tests.console.reading import cells, text_of
from tests.portal.conftest import sign_in
from tests.web.doors import Operator, StoreClient, data_of

OWN_PAGES = (
    "/portal",
    "/portal/ledger",
    "/portal/generations",
    "/portal/keys",
    "/portal/keys/new",
    "/portal/top-up",
)


async def test_nobody_sees_a_page_who_is_not_signed_in(browser: Browser) -> None:
    for address in OWN_PAGES:
        answer = await browser.get(address)
        assert answer.status_code == 303, address
        assert answer.headers["location"].startswith("/portal/sign-in?next=/portal")


async def test_no_cache_on_the_way_may_keep_what_is_one_stores_own(
    browser: Browser, portal: Browser
) -> None:
    here = (*OWN_PAGES, "/portal/ledger.csv")
    answers = [await portal.get(address) for address in here]
    browser.http.cookies.clear()
    answers += [await browser.get(address) for address in here]
    answers.append(await browser.get("/portal/ledger.csv/no-such"))
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store", answer.url
    assert {answer.status_code for answer in answers} == {200, 303, 404}


async def test_every_page_says_whose_it_is_and_nothing_of_the_operators(
    browser: Browser, operator: Operator
) -> None:
    store = await operator.store(name="Hats & Co <b>")
    data_of(
        await operator.send(
            "POST",
            f"/stores/{store.store_id}/credits",
            json={"amount": 5, "type": "grant", "request_id": "gift"},
            headers={"X-Request-Reason": "asked on the phone"},
        ),
        201,
    )
    await sign_in(browser, store.api_key)
    for address in (*OWN_PAGES, f"/portal/keys/{store.key_id}"):
        page = await browser.get(address)
        assert '<a class="brand" href="/portal">Hats &amp; Co &lt;b&gt;</a>' in page.text
        assert " · Hats &amp; Co &lt;b&gt;</title>" in page.text
        assert "/console" not in page.text, address
        shown = text_of(page.text.partition("<body")[2]).lower()
        for word in ("audit", "operator", "asked on the phone", "admin"):
            assert word not in shown, (address, word)


async def test_the_first_page_says_how_the_store_stands(
    portal: Browser, store: StoreClient
) -> None:
    spent = {"amount": 14, "description": "pictures <i>"}
    data_of(await store.send("POST", "/api/v1/credits/spend", json=spent), 201)
    page = await portal.get("/portal")
    shown = text_of(page.text)
    assert "86 credits" in shown
    assert "in which 14 credits were spent, they last 43 days" in shown
    assert "None of them ends." in shown
    assert "pictures <i>" in shown
    assert "work is refused" not in shown
    assert 'data-events="/portal/events"' in page.text
    assert (await portal.get("/portal?span=24h")).status_code == 200
    wrong = await portal.get("/portal?span=nonsense")
    assert wrong.status_code == 400
    assert "this is not taken" in wrong.text


async def test_a_store_without_credits_is_told_what_to_do(
    browser: Browser, operator: Operator
) -> None:
    store = await operator.store(credits=0)
    await sign_in(browser, store.api_key)
    shown = text_of((await browser.get("/portal")).text)
    assert "No credits are left: work is refused until there are some. Ask whoever" in shown
    assert "Buy" not in shown, "nothing is sold here"
    assert (await browser.get("/portal/purchases")).status_code == 404
    assert "No credits have moved yet." in (await browser.get("/portal/ledger")).text
    assert "Nothing was generated yet." in (await browser.get("/portal/generations")).text


async def test_of_nothing_no_days_are_left(portal: Browser, store: StoreClient) -> None:
    data_of(await store.send("POST", "/api/v1/credits/spend", json={"amount": 100}), 201)
    shown = text_of((await portal.get("/portal")).text)
    assert "100 credits were spent in the last 7 days" in shown
    assert "they last" not in shown


async def test_the_ledger_is_shown_and_can_be_taken_along(
    portal: Browser, store: StoreClient
) -> None:
    spent = {"amount": 3, "description": "a picture"}
    headers = {"Idempotency-Key": "spend-1"}
    data_of(await store.send("POST", "/api/v1/credits/spend", json=spent, headers=headers), 201)
    page = await portal.get("/portal/ledger?type=deduction")
    [[what, credits, after, _, request]] = cells(page.text)
    assert (what, credits, after, request) == ("Spent a picture", "−3", "97", "spend-1")
    assert 'href="/portal/ledger?request_id=spend-1"' in page.text
    file = await portal.get("/portal/ledger.csv?type=deduction")
    assert file.headers["content-type"].startswith("text/csv")
    asked = {"Accept": "text/csv"}
    api = await store.get("/api/v1/credits/transactions", headers=asked, type="deduction")
    assert file.text == api.text, "it is the file that the store's key gets"
    assert "spend-1" in file.text
    assert "actor" not in file.text.splitlines()[0]
    assert (await portal.get("/portal/ledger?from=nonsense")).status_code == 400
    assert (await portal.get("/portal/ledger.csv?from=nonsense")).status_code == 400


async def test_generations_are_shown_without_what_is_for_the_operator(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    session_id = await store.created("order-1")
    await admin.execute(
        "UPDATE storecredit.sessions SET generator_message = 'secret words' WHERE session_id = $1",
        session_id,
    )
    page = await portal.get("/portal/generations")
    assert "order-1" in page.text
    assert "secret words" not in page.text
    assert "/portal/ledger?request_id=order-1" in page.text
    assert (await portal.get("/portal/generations?status=nonsense")).status_code == 400


async def test_nothing_of_another_store_is_ever_reached(
    portal: Browser, operator: Operator, store: StoreClient
) -> None:
    other = await operator.store(name="Another shop")
    await other.created("theirs-1")
    data_of(await other.send("POST", "/api/v1/credits/spend", json={"amount": 9}), 201)
    for page in OWN_PAGES:
        for asked in (f"store_id={other.store_id}", f"owner=store:{other.store_id}"):
            shown = await portal.get(f"{page}?{asked}")
            assert shown.status_code == 200
            assert "Another shop" not in shown.text
            assert "theirs-1" not in shown.text
            assert other.key_id not in shown.text
    for address in (
        f"/portal/keys/{other.key_id}",
        f"/portal/keys/{other.key_id}/rotate",
        f"/portal/keys/{other.key_id}/revoke",
        f"/portal/keys/{uuid4()}",
        f"/portal/stores/{other.store_id}",
        f"/portal/{other.store_id}/ledger",
    ):
        assert (await portal.get(address)).status_code == 404, address
    assert "theirs-1" not in (await portal.get("/portal/ledger.csv")).text
    assert cells((await portal.get("/portal/generations?request_id=theirs-1")).text) == []
    # A place in their list is none of ours.
    listed = await portal.get(f"/portal/keys?after={other.key_id}")
    assert other.key_id not in listed.text


@pytest.mark.parametrize("door", ["/console", "/console/stores", "/api/admin/stores"])
async def test_who_is_signed_in_here_is_at_no_other_door(portal: Browser, door: str) -> None:
    assert (await portal.get(door)).status_code in {303, 401}


async def test_a_forgotten_page_is_told_as_one(portal: Browser) -> None:
    page = await portal.get("/portal/no-such-page")
    assert page.status_code == 404
    assert "There is nothing here" in unescape(page.text)
    assert 'href="/portal"' in page.text
