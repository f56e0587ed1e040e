"""`/console/…/ledger`: what moved, as a list with filters and as a file."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.console.conftest import Browser, signed_in
from tests.console.reading import cells, next_page
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import held
from tests.web.table_rows import in_bucket_of
from tests.web.users import UserClient


async def add(operator: Operator, path: str, amount: int, **more: str) -> None:
    body = {"amount": amount, "type": "grant", "request_id": f"grant-{uuid4()}", **more}
    data_of(await operator.post(f"{path}/credits", **body), 201)


def types_of(page: str) -> list[str]:
    """The types of the movements of a page, from their details."""
    return re.findall(r"<dt>Type</dt><dd><code>(\w+)</code>", page)


async def test_each_movement_is_shown_with_what_it_did_and_what_was_left(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    await add(
        operator, f"/stores/{store.store_id}", 5, description="<b>Sorry</b>", request_id="a b&c"
    )
    await held(store, 7)
    page = await browser.get(f"/console/stores/{store.store_id}/ledger")
    shown = [row[:3] for row in cells(page.text)]
    assert shown == [
        ["Set aside", "−7", "98"],
        ["Granted <b>Sorry</b> by admin", "+5", "105"],
        ["Opening credits by admin", "+100", "100"],
    ]
    assert "&lt;b&gt;Sorry" in page.text
    assert 'href="/console/look-up?id=a%20b%26c" title="a b&amp;c"' in page.text
    assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', page.text)


async def test_filters_leave_what_was_asked_for_in_list_and_file(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    address = f"/console/stores/{store.store_id}/ledger"
    for number in (1, 2):
        await store.created(f"order-{number}")
    await add(operator, f"/stores/{store.store_id}", 5)
    for query, wanted in (
        ("", ["grant", "deduction", "deduction", "grant"]),
        ("type=&from=&to=&request_id=", ["grant", "deduction", "deduction", "grant"]),
        ("type=deduction", ["deduction", "deduction"]),
        ("request_id=order-1", ["deduction"]),
        ("from=2020-01-01&to=2999-12-31&type=grant", ["grant", "grant"]),
        ("to=2020-01-01", []),
        ("from=2999-01-01", []),
    ):
        page = await browser.get(f"{address}?{query}")
        assert page.status_code == 200, query
        assert types_of(page.text) == wanted, query
        [file] = re.findall(r'href="([^"]*ledger\.csv[^"]*)"', page.text)
        csv = await browser.get(unescape(file))
        assert csv.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        assert csv.headers["content-disposition"].startswith('attachment; filename="transactions-')
        lines = csv.text.splitlines()
        assert lines[0].startswith("seq,type,amount,balance_after,request_id")
        assert [line.split(",")[1] for line in lines[1:]] == wanted
    page = await browser.get(f"{address}?to=2020-01-01")
    assert "No movement is like that." in page.text


async def test_pages_go_on_with_what_was_asked_for(browser: Browser, operator: Operator) -> None:
    store = await operator.store(credits=0)
    for number in range(52):
        await add(operator, f"/stores/{store.store_id}", number + 1)
    address = f"/console/stores/{store.store_id}/ledger"
    first = await browser.get(f"{address}?type=grant")
    second = await browser.get(next_page(first.text))
    amounts = [row[1] for page in (first, second) for row in cells(page.text)]
    assert amounts == [f"+{number}" for number in range(52, 0, -1)]
    assert f'href="{address}?type=grant">First page' in second.text


@pytest.mark.parametrize("name", ["ledger", "ledger.csv"])
async def test_what_is_asked_wrongly_is_said(
    browser: Browser, store: StoreClient, name: str
) -> None:
    for query in (
        "type=gift",
        "from=yesterday",
        "to=2026-13-01",
        "from=2026-11-02&to=2026-11-01",
        f"request_id={'r' * 201}",
        "request_id=%00",
    ):
        page = await browser.get(f"/console/stores/{store.store_id}/{name}?{query}")
        assert page.status_code == 400, query
        assert page.headers["content-type"] == "text/html; charset=utf-8"
    page = await browser.get(f"/console/stores/{store.store_id}/ledger?from=%3Cb%3E&cursor=x")
    assert page.status_code == 400
    assert 'value="&lt;b&gt;"' in page.text, "what was asked for is still there"
    assert "<li>Cursor: " in page.text


async def test_a_ledger_without_a_movement_leads_to_the_first(
    browser: Browser, operator: Operator
) -> None:
    store = await operator.store(credits=0)
    page = await browser.get(f"/console/stores/{store.store_id}/ledger")
    assert "No credits have moved yet." in page.text
    assert f'href="/console/stores/{store.store_id}/credits"' in page.text
    csv = await browser.get(f"/console/stores/{store.store_id}/ledger.csv")
    assert len(csv.text.splitlines()) == 1


async def test_an_end_users_ledger_is_read_likewise(
    browser: Browser, operator: Operator, user: UserClient
) -> None:
    await user.balance()
    await add(operator, f"/users/{user.user_id}", 5)
    address = f"/console/users/{user.user_id}/ledger"
    page = await browser.get(address)
    whats = [row[0] for row in cells(page.text)]
    assert whats == ["Granted by admin", "Starter credits"]
    assert '<option value="signup_bonus">' in page.text
    csv = await browser.get(f"{address}.csv")
    assert [line.split(",")[1] for line in csv.text.splitlines()[1:]] == ["grant", "signup_bonus"]


async def test_whoever_may_read_has_the_file_and_nobody_else(
    browser: Browser, operator: Operator, store: StoreClient, api: httpx.AsyncClient
) -> None:
    address = f"/console/stores/{store.store_id}/ledger.csv"
    for scope, status in (("read", 200), ("keys", 403)):
        made = data_of(await operator.post("/tokens", name=scope, scopes=[scope]), 201)
        assert (await (await signed_in(api, made["token"])).get(address)).status_code == status
    api.cookies.clear()
    assert (await api.get(address)).status_code == 303
    assert (await api.get(address, headers={"Authorization": "Bearer x"})).status_code == 303


async def test_of_a_long_ledger_a_page_looks_at_a_bounded_part(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await in_bucket_of(admin, store.store_id)
    # Twice as many as a page looks at, a second apart, after the one that the store was made with.
    await admin.execute(
        """INSERT INTO movements (account_id, seq, type, amount, balance_after,
               spent_after, request_id, created_at, grants_after)
           SELECT m.account_id, m.seq + n, CASE WHEN n % 2 = 1 THEN 'deduction' ELSE 'refund' END,
               1, m.balance_after - n % 2, n % 2, 'work-' || n,
               m.created_at + n * interval '1 second', m.grants_after
           FROM movements m CROSS JOIN generate_series(1, 100001) n"""
    )
    address = f"/console/stores/{store.store_id}/ledger"
    found, pages, page = [], 1, await browser.get(f"{address}?type=grant")
    while 'rel="next"' in page.text:
        assert "50,000 movements were looked at" in page.text
        found += cells(page.text)
        page, pages = await browser.get(next_page(page.text)), pages + 1
    found += cells(page.text)
    assert (pages, [row[1] for row in found]) == (3, ["+100"])
    # Where a time is named nothing is walked through: it is found at once.
    begun = await admin.fetchval("SELECT created_at FROM movements WHERE seq = 1")
    for shift, wanted in ((10, ["work-9", "work-10"]), (60_000, ["work-59999", "work-60000"])):
        first = (begun + timedelta(seconds=shift - 1)).isoformat()
        last = (begun + timedelta(seconds=shift, microseconds=1)).isoformat()
        query = urlencode({"from": first, "to": last})
        page = await browser.get(f"{address}?{query}")
        assert [row[4] for row in cells(page.text)] == wanted[::-1]
        assert 'rel="next"' not in page.text
