"""`/console`: the figures of a span of time, and what needs somebody, with where that is mended."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import NamedTuple

import asyncpg
import httpx
import pytest

from storecredit.ledger import verification
from storecredit.ledger.summing import Summing
from storecredit.ledger.verification import LastVerification
from storecredit.operator.overview import RUNNING_DRY_SHOWN
from storecredit.postgres.buckets import Buckets
from storecredit.service import Service
from storecredit.settings import Settings
from tests.console.conftest import Browser
from tests.console.reading import text_of
from tests.passing_time import well_within_a_day
from tests.sql.recounted import DAYS_ANEW
from tests.web.doors import Operator, data_of

ADDRESS = "/console"
HOURLY = """
    INSERT INTO storecredit.hourly_sums
        (hour, owner_kind, type, cause, movements, generations, credits)
    VALUES (date_trunc('hour', now(), 'UTC') - $1::interval, $2, $3, $4, $5, $5, $6)"""
PAID = """
    INSERT INTO storecredit.daily_money (day, paid, returned, currency)
    VALUES ((now() AT TIME ZONE 'UTC')::date, $1, $2, $3)"""


class Tile(NamedTuple):
    """One figure: where it leads to, and whether it stands out."""

    value: str
    note: str
    address: str
    class_: str


def tiles(page: httpx.Response) -> dict[str, Tile]:
    """The page's tiles by their labels."""
    found = re.findall(r'<div class="tile ([^"]*)">(.*?)</div>', page.text, re.DOTALL)
    made = {}
    for class_, content in found:
        label, _, rest = content.partition("</dt>")
        value, _, note = rest.partition("</span>")
        [address] = re.findall(r'href="([^"]*)"', label) or [""]
        made[text_of(label)] = Tile(text_of(value), text_of(note), address, class_)
    return made


def figures(page: httpx.Response, caption: str) -> list[list[str]]:
    """The table of a chart, its newest row first; none: there is nothing to be drawn."""
    [figure] = re.findall(
        rf"<figure[^>]*>\s*<figcaption>{caption}.*?</figure>", page.text, re.DOTALL
    )
    body = figure.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]


async def add_sums(admin: asyncpg.Connection) -> None:
    """What happened in this hour, three days ago and some months ago."""
    await well_within_a_day(admin)
    await admin.executemany(
        HOURLY,
        [
            (timedelta(0), "store", "deduction", "", 40, 400),
            (timedelta(0), "store", "refund", "GENERATOR_TIMEOUT", 3, 30),
            (timedelta(0), "user", "deduction", "", 10, 11),
            (timedelta(0), "user", "refund", "MODERATION_BLOCKED", 1, 1),
            (timedelta(0), "store", "expiry", "", 1, 5),
            (timedelta(days=3), "store", "purchase", "", 1, 12345),
            (timedelta(days=200), "store", "purchase", "", 1, 700),
        ],
    )
    await admin.execute(DAYS_ANEW)


async def test_a_service_without_a_store_leads_to_the_first_and_says_what_else_is_to_be_done(
    browser: Browser,
) -> None:
    page = await browser.get(ADDRESS)
    assert page.status_code == 200
    assert '<a class="button main" href="/console/stores/new">Make the first store</a>' in page.text
    found = tiles(page)
    assert found["Last proof"].value == "Never"
    assert found["Failure rate"][:2] == ("–", "no generations")
    assert {name: found[name].value for name in ("Sold", "Spent", "Refunded", "Expired")} == {
        "Sold": "0",
        "Spent": "0",
        "Refunded": "0",
        "Expired": "0",
    }
    for sentence in (
        "In these 30 days no credits were spent. A generation spends credits",
        "In these 30 days no credits were sold",
        "No generation failed in these 30 days.",
        "The ledger is being counted for the first time",
        "Every store that has credits has enough for 90 days",
        "No credits have moved yet.",
    ):
        assert sentence in page.text
    assert '<svg class="plot"' not in page.text


async def test_figures_are_those_of_the_time_and_of_whom_is_asked_for(
    browser: Browser, admin: asyncpg.Connection
) -> None:
    await add_sums(admin)
    days = await browser.get(ADDRESS)
    found = tiles(days)
    assert found["Sold"].value == "12,345"
    assert (found["Spent"].value, found["Refunded"].value) == ("411", "31")
    assert found["Expired"].value == "5"
    assert found["Failure rate"][:2] == ("8%", "4 of 50 generations")
    assert found["Failure rate"].class_ == "warn"
    assert figures(days, "Credits spent")[0] == ["411", "31"]
    assert figures(days, "Credits sold")[3] == ["12,345", "0"]
    assert figures(days, "Generations that failed")[0] == ["3", "1"]
    assert "GENERATOR_TIMEOUT" in days.text
    assert len(figures(days, "Credits spent")) == 30
    hours = await browser.get(f"{ADDRESS}?span=24h")
    assert tiles(hours)["Sold"].value == "0"
    assert len(figures(hours, "Credits spent")) == 24
    months = await browser.get(f"{ADDRESS}?span=12m&owners=stores")
    assert tiles(months)["Sold"].value == "13,045"
    assert tiles(months)["Spent"].value == "400"
    assert len(figures(months, "Credits spent")) == 12
    users = await browser.get(f"{ADDRESS}?span=24h&owners=users")
    assert tiles(users)["Spent"].value == "11"
    assert "In these 24 hours no credits by end users were sold" in users.text


async def test_what_is_looked_at_is_changed_by_links_which_keep_the_rest(browser: Browser) -> None:
    page = await browser.get(f"{ADDRESS}?span=24h&owners=users")
    links = {
        text: (unescape(address), bool(current))
        for address, current, text in re.findall(
            r'<li><a href="(/console[^"]*)"( aria-current="true")?>([^<]*)</a></li>', page.text
        )
    }
    assert links["24 hours"] == ("/console?owners=users&span=24h", True)
    assert links["12 months"] == ("/console?owners=users&span=12m", False)
    assert links["End users"] == ("/console?span=24h&owners=users", True)
    assert links["All"] == ("/console?span=24h", False)


@pytest.mark.parametrize("query", ["span=1y", "owners=ghosts", "span=%00", "span=30d&owners=0"])
async def test_what_cannot_be_looked_at_is_said_on_the_usual_page(
    browser: Browser, query: str
) -> None:
    page = await browser.get(f"{ADDRESS}?{query}")
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "Last proof" in tiles(page)


async def test_what_was_moved_is_in_it_once_it_is_counted(
    browser: Browser, operator: Operator, buckets: Buckets
) -> None:
    store = await operator.store(name="<b>Hats</b>", credits=100)
    for _ in range(3):
        await store.created()
    await Summing(buckets, Settings(sums_interval_seconds=1e-6)).sum_up()
    page = await browser.get(ADDRESS)
    assert "Counted until <time" in page.text
    assert tiles(page)["Spent"].value == "3"
    assert tiles(page)["Sold"].note == "100 given besides"
    # Three in seven days: it lasts longer than anybody looks ahead.
    assert "Every store that has credits has enough" in page.text
    assert "&lt;b&gt;Hats&lt;/b&gt;" in page.text


async def test_stores_that_are_about_to_run_dry_are_listed_with_where_they_get_credits(
    browser: Browser, operator: Operator, buckets: Buckets
) -> None:
    stores = [await operator.store(name=f"S {n}", credits=7) for n in range(RUNNING_DRY_SHOWN + 1)]
    for store in stores[1:]:
        for _ in range(4):
            await store.created()
    await Summing(buckets, Settings(sums_interval_seconds=1e-6)).sum_up()
    page = await browser.get(ADDRESS)
    assert tiles(page)["Running dry"].value == f"{RUNNING_DRY_SHOWN}+"
    assert tiles(page)["Running dry"].class_ == "warn"
    assert tiles(page)["Running dry"].address == "#running-dry"
    [section] = re.findall(
        r'<section class="panel" id="running-dry".*?</section>', page.text, re.DOTALL
    )
    assert "S 0" not in section
    for store in stores[1:]:
        assert f'href="/console/stores/{store.store_id}">' in section
        assert f'href="/console/stores/{store.store_id}/credits/add">Add credits' in section
    page = await browser.get(f"/console/stores/{stores[1].store_id}/credits/add")
    assert page.status_code == 200
    assert section.count("5 days") == RUNNING_DRY_SHOWN


async def test_the_last_proof_is_told_with_what_it_found_and_how_old_it_is(
    browser: Browser, service: Service
) -> None:
    database = service.parts.database
    now = datetime.now(UTC)
    for days, discrepancies, value, class_ in (
        (3, 0, "Agreed", "warn"),
        (1, 0, "Agrees", ""),
        (0, 1234, "1,234 wrong", "bad"),
    ):
        proof = LastVerification(now - timedelta(days=days), discrepancies)
        await verification.record(database, proof, None)
        tile = tiles(await browser.get(ADDRESS))["Last proof"]
        assert (tile.value, tile.class_, tile.address) == (value, class_, "/console/verify")
        assert tile.note.endswith("UTC")


async def test_what_fails_is_counted_and_leads_to_where_it_is_mended(
    browser: Browser, operator: Operator, admin: asyncpg.Connection
) -> None:
    assert tiles(await browser.get(ADDRESS))["Webhooks failing"].class_ == ""
    for number in range(3):
        data_of(await operator.post("/webhooks", url=f"https://hooks.example/{number}"), 201)
    await admin.execute(
        """UPDATE storecredit.webhook_endpoints SET failing_since = now()
           WHERE url LIKE '%/1'"""
    )
    await admin.execute(
        """UPDATE storecredit.webhook_endpoints SET status = 'disabled', disabled_at = now(),
               disabled_reason = 'failing', failing_since = now() WHERE url LIKE '%/2'"""
    )
    await admin.execute(
        """INSERT INTO storecredit.provider_events (provider, event_id, event_type, occurred_at,
               settled_at, status, reason)
           VALUES ('paddle', 'evt_1', 'transaction.completed', now(), now(), 'set_aside', 'Why')"""
    )
    found = tiles(await browser.get(ADDRESS))
    assert found["Webhooks failing"] == Tile(
        "2", "of 3 endpoints; 1 given up", "/console/webhooks", "warn"
    )
    problems = found["Billing problems"]
    assert (problems.value, problems.address, problems.class_) == ("1", "/console/billing", "warn")


async def test_money_is_drawn_for_four_currencies_and_listed_for_the_others(
    browser: Browser, admin: asyncpg.Connection
) -> None:
    assert "Billing is off" in (await browser.get(ADDRESS)).text
    await well_within_a_day(admin)
    for amount, currency in ((500, "USD"), (400, "EUR"), (300, "GBP"), (200, "CAD"), (100, "JPY")):
        await admin.execute(PAID, amount, 7, currency)
    page = await browser.get(ADDRESS)
    assert figures(page, "Money in USD")[0] == ["$5.00", "$0.07"]
    assert figures(page, "Money in CAD")[0] == ["CA$2.00", "CA$0.07"]
    assert "Money in JPY" not in page.text
    [further] = re.findall(
        r'aria-label="Money in further currencies".*?</table>', page.text, re.DOTALL
    )
    assert text_of(further).endswith("JPY ¥100 ¥7")


async def test_a_currency_that_nobody_knows_is_shown_as_it_is(
    browser: Browser, admin: asyncpg.Connection
) -> None:
    await admin.execute(PAID, 500, 0, '<i>"&%{}')
    page = await browser.get(ADDRESS)
    assert page.status_code == 200
    assert "Money in &lt;i&gt;&#34;&amp;%{}" in page.text
    assert "<i>" not in page.text


async def test_every_link_leads_somewhere(
    browser: Browser, operator: Operator, buckets: Buckets
) -> None:
    store = await operator.store(credits=7)
    for _ in range(4):
        await store.created()
    await Summing(buckets, Settings(sums_interval_seconds=1e-6)).sum_up()
    page = await browser.get(ADDRESS)
    links = {unescape(each) for each in re.findall(r' href="([^"]*)"', page.text)}
    places = {each for each in links if each.startswith("#")}
    ids = set(re.findall(r' id="([^"]*)"', page.text))
    assert {each.removeprefix("#") for each in places} <= ids
    assert {"#running-dry", "#failures", "#chart-spent", "#chart-sold"} <= places
    pages = {each for each in links if each.startswith("/console")}
    assert {"/console/billing", "/console/webhooks", "/console/verify"} <= pages
    answers = {each: (await browser.get(each)).status_code for each in pages}
    assert set(answers.values()) == {200}, answers
