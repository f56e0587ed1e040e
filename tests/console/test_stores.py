"""`/console/stores`: all stores, and a new one."""

import re
from html import unescape

import asyncpg

from tests.console.acts import secret_in
from tests.console.conftest import Browser, signed_in
from tests.console.reading import cells, next_page
from tests.web.doors import Operator, bearer, data_of
from tests.web.table_rows import Rows, in_bucket_of

ADDRESS = "/console/stores"
NEW = "/console/stores/new"


def names(text: str) -> list[str]:
    """Of the stores that a page lists, in their order."""
    return [
        unescape(each) for each in re.findall(r'<th [^>]*scope="row"><a [^>]*>([^<]*)</a>', text)
    ]


async def test_without_a_store_it_leads_to_the_first(browser: Browser) -> None:
    page = await browser.get(ADDRESS)
    assert page.status_code == 200
    assert "There is no store yet." in page.text
    assert f'href="{NEW}">Make the first store' in page.text
    assert 'class="filters"' not in page.text


async def test_each_store_is_shown_with_what_it_has_and_how_long_that_lasts(
    browser: Browser, operator: Operator
) -> None:
    store = await operator.store(name="<i>Hats</i> & Co", credits=2007, tier="unlimited")
    for _ in range(7):
        await store.created()
    page = await browser.get(ADDRESS)
    assert f'<a href="{ADDRESS}/{store.store_id}">&lt;i&gt;Hats&lt;/i&gt; &amp; Co</a>' in page.text
    said = ["2,000", "2,000 days", "7", "unlimited", "Active"]
    assert cells(page.text) == [["<i>Hats</i> & Co shop.example", *said]]


async def test_filters_and_orders_find_the_same_as_the_api(
    browser: Browser, operator: Operator
) -> None:
    poor = await operator.store(name="Poor Hats", credits=3)
    for name, credits, tier in (("Rich hats", 50, "unlimited"), ("50% off_", 5, "tight")):
        await operator.store(name=name, credits=credits, tier=tier)
    data_of(await operator.patch(f"/stores/{poor.store_id}", status="suspended"))
    for query, found in (
        ("", ["50% off_", "Rich hats", "Poor Hats"]),
        ("search=&status=&tier=&below=&sort=created", ["50% off_", "Rich hats", "Poor Hats"]),
        ("sort=name", ["50% off_", "Poor Hats", "Rich hats"]),
        ("sort=balance", ["Poor Hats", "50% off_", "Rich hats"]),
        ("search=+HATS+", ["Rich hats", "Poor Hats"]),
        (f"search={poor.store_id}", ["Poor Hats"]),
        ("search=%25", ["50% off_"]),
        ("status=suspended", ["Poor Hats"]),
        ("tier=tight", ["50% off_"]),
        ("below=5", ["Poor Hats"]),
        ("below=6&sort=name&status=active", ["50% off_"]),
    ):
        page = await browser.get(f"{ADDRESS}?{query}")
        assert (page.status_code, names(page.text)) == (200, found), query
    page = await browser.get(f"{ADDRESS}?search=%3Cb%3E&status=active")
    assert "No store is like that." in page.text
    assert 'value="&lt;b&gt;"' in page.text, "what was asked for is still there"
    assert '<option value="active" selected>' in page.text


async def test_pages_go_on_with_what_was_asked_for(browser: Browser, operator: Operator) -> None:
    wanted = [f"Hats {number:02}" for number in range(51)]
    for name in [*wanted, "Shoes"]:
        await operator.store(name=name, credits=0)
    first = await browser.get(f"{ADDRESS}?search=hats&sort=name")
    assert names(first.text) == wanted[:50]
    assert "First page" not in first.text
    second = await browser.get(next_page(first.text))
    assert names(second.text) == wanted[50:]
    assert 'rel="next"' not in second.text
    assert f'href="{ADDRESS}?search=hats&amp;sort=name">First page' in second.text


async def test_what_is_asked_wrongly_is_said_and_nothing_listed(
    browser: Browser, operator: Operator
) -> None:
    await operator.store(name="Hats")
    for query, field in (
        ("below=-1", "Fewer credits than"),
        ("below=few", "Fewer credits than"),
        (f"below={2**63}", "Fewer credits than"),
        ("sort=oldest", "Order"),
        ("status=deleted", "Status"),
        (f"tier={'t' * 51}", "Tier"),
        (f"search={'s' * 254}", "Search"),
        ("search=%00", "Search"),
        ("cursor=garbage", "Cursor"),
        ("cursor=%C3%A9", "Cursor"),
    ):
        page = await browser.get(f"{ADDRESS}?{query}")
        assert page.status_code == 400, query
        assert f"<li>{field}: " in page.text, query
        assert names(page.text) == []
    for _ in range(50):
        await operator.store(credits=0)
    following = next_page((await browser.get(f"{ADDRESS}?sort=name")).text)
    page = await browser.get(following.replace("sort=name", "sort=balance"))
    assert page.status_code == 400
    assert "This cursor is of no list sorted by balance." in page.text


FIELDS = {
    "name": "Hats & Co",
    "shop_domain": "hats.example",
    "tier": "tight",
    "credits": "500",
    "allowed_origins": "https://hats.example\r\n\r\n  https://www.hats.example ",
    "reason": "A new customer",
}


async def test_a_store_is_made_and_its_key_shown_once(
    browser: Browser, operator: Operator, admin: asyncpg.Connection, rows: Rows
) -> None:
    page = await browser.get(NEW)
    made = await browser.send(page, NEW, FIELDS)
    assert made.status_code == 201
    [key] = re.findall(r'<code id="secret">([^<]*)</code>', made.text)
    [store] = data_of(await operator.get("/stores"))["items"]
    assert (store["name"], store["shop_domain"]) == ("Hats & Co", "hats.example")
    assert (store["tier"], store["balance"]) == ("tight", 500)
    assert f'href="{ADDRESS}/{store["store_id"]}"' in made.text
    balance = await browser.http.get("/api/v1/credits/balance", headers=bearer(key))
    assert data_of(balance)["balance"] == 500
    await in_bucket_of(admin, store["store_id"])
    origins = await admin.fetchval("SELECT allowed_origins FROM store_api_keys")
    assert sorted(origins) == ["https://hats.example", "https://www.hats.example"]
    entry = await admin.fetchrow("SELECT * FROM audit_log WHERE action = 'store.create'")
    assert entry is not None
    assert (entry["door"], entry["actor"], entry["reason"]) == (
        "console",
        "admin",
        "A new customer",
    )
    assert key not in str(dict(entry))


async def test_a_form_that_is_sent_twice_makes_one_store(
    browser: Browser, operator: Operator
) -> None:
    page = await browser.get(NEW)
    first = await browser.send(page, NEW, FIELDS)
    again = await browser.send(page, NEW, FIELDS)
    assert first.status_code == again.status_code == 201
    assert secret_in(again) == secret_in(first)
    assert len(data_of(await operator.get("/stores"))["items"]) == 1
    changed = await browser.send(page, NEW, {**FIELDS, "name": "Shoes"})
    assert changed.status_code == 422
    assert "This form was sent before" in changed.text


async def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(
    browser: Browser, operator: Operator
) -> None:
    for field, value in (
        ("name", ""),
        ("name", "n" * 201),
        ("name", "a\0b"),
        ("shop_domain", " "),
        ("shop_domain", "d" * 254),
        ("shop_domain", "Hats & Co"),
        ("tier", "gone"),
        ("credits", "-1"),
        ("credits", "1.5"),
        ("credits", "many"),
        ("credits", str(10**9 + 1)),
        ("allowed_origins", "https://hats.example/path"),
    ):
        page = await browser.get(NEW)
        answer = await browser.send(page, NEW, {**FIELDS, field: value})
        assert answer.status_code == 400, (field, value)
        assert f'id="fault-{field}"' in answer.text, (field, value)
        assert 'value="hats.example"' in answer.text or field == "shop_domain"
    assert data_of(await operator.get("/stores"))["items"] == []


async def test_nothing_at_all_is_refused_at_each_field_that_is_needed(browser: Browser) -> None:
    page = await browser.get(NEW)
    answer = await browser.send(page, NEW)
    assert answer.status_code == 400
    assert re.findall(r'id="fault-(\w+)"', answer.text) == ["name", "shop_domain"]


async def test_a_token_that_may_only_read_makes_no_store(
    browser: Browser, operator: Operator
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "keys"]), 201)
    reader = await signed_in(browser.http, made["token"])
    listed = await reader.get(ADDRESS)
    assert listed.status_code == 200
    assert NEW not in listed.text, "nobody is led to what they may not do"
    page = await reader.get(NEW)
    assert page.status_code == 403
    answer = await reader.post(NEW, page, "/console/sign-out", FIELDS)
    assert answer.status_code == 403
    assert data_of(await operator.get("/stores"))["items"] == []
