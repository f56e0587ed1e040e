"""`/console/stores/{store_id}`: one store, found as people call it."""

import re
from uuid import UUID, uuid4

import asyncpg

from tests.console.conftest import Browser
from tests.console.reading import text_of
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import held
from tests.web.table_rows import in_bucket_of

IN_TROUBLE = """
    INSERT INTO payments
        (provider, provider_transaction_id, account_id, paid_at, kind, credits,
         amount, currency, request_id)
    VALUES ('paddle', 'txn_1', {account_id}, now(), 'purchase', 9, 900, 'USD', 'order-1');
    INSERT INTO clawbacks
        (provider, adjustment_id, provider_transaction_id, action, amount, credits,
         taken)
    VALUES ('paddle', 'adj_1', 'txn_1', 'refund', 900, 9, 4);
    INSERT INTO subscription_charges
        (account_id, number, credits, amount, currency, request_id, provider,
         last_error, attempts)
    VALUES ({account_id}, 1, 10, 180, 'USD', 'top-up-1', 'paddle', 'The card was declined.', 2);
    UPDATE webhook_endpoints SET failing_since = now()
"""


async def test_a_store_is_found_by_id_name_and_domain(browser: Browser, operator: Operator) -> None:
    made = await operator.store(name="Hats & <b>Co", credits=1234)
    data_of(await operator.patch(f"/stores/{made.store_id}", shop_domain="hats.example"))
    for name in (made.store_id, "hats%20%26%20%3Cb%3Eco", "HATS.example"):
        page = await browser.get(f"/console/stores/{name}")
        assert page.status_code == 200
        assert "<h1>Hats &amp; &lt;b&gt;Co</h1>" in page.text
        assert "1,234" in page.text
        assert f'<a href="/console/stores/{made.store_id}" aria-current="page">' in page.text


async def test_a_name_of_several_leads_to_a_search(browser: Browser, operator: Operator) -> None:
    for _ in range(2):
        await operator.store(name="Hats & Co")
    page = await browser.get("/console/stores/Hats%20%26%20Co")
    assert page.status_code == 404
    assert 'href="/console/stores?search=Hats+%26+Co"' in page.text


async def test_an_unknown_store_is_a_page_that_says_so(browser: Browser) -> None:
    for name in (str(uuid4()), "nobody", "%00"):
        page = await browser.get(f"/console/stores/{name}")
        assert page.status_code == 404
        if name == "%00":
            # No address of ours has such a character: there is no page for it.
            continue
        assert "There is no such store." in page.text
        assert f'href="/console/stores?search={name}"' in page.text


async def test_it_says_what_there_is_how_long_it_lasts_and_what_ends(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    body = {"amount": 50, "type": "grant", "request_id": "a", "expires_at": "2999-01-02T03:04:05Z"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **body), 201)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=20))
    for _ in range(7):
        await store.created()
    await held(store, 3)
    page = await browser.get(f"/console/stores/{store.store_id}")
    assert 'data-live="balance">140</span>' in page.text
    said = text_of(page.text)
    assert "in which 7 credits were spent, they last 140 days ." in said
    assert "Set aside by holds 3" in said
    assert "Used beyond the balance 0 of 20" in said
    assert "Ever added 150 Ever spent 7" in said
    assert re.search(r"Jan 2, 2999, 3:04:05.AM UTC 40", said)
    assert [text_of(row) for row in re.findall(r"<tr data-key=.*?</tr>", page.text, re.DOTALL)]


async def test_its_course_is_shown_over_the_time_that_is_asked_for(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    await store.created()
    for span, points in (("24h", 24), ("7d", 7), ("30d", 30), ("90d", 90)):
        page = await browser.get(f"/console/stores/{store.store_id}?span={span}")
        assert page.status_code == 200
        assert f'<a href="?span={span}" aria-current="true">' in page.text
        moved = page.text.partition('id="chart-moved"')[2].partition("</figure>")[0]
        assert moved.count('<g class="slot">') == points
    page = await browser.get(f"/console/stores/{store.store_id}?span=1y")
    assert page.status_code == 400
    assert "<li>Span: " in page.text


async def test_what_needs_somebody_is_said_of_this_store_alone(
    browser: Browser, operator: Operator, admin: asyncpg.Connection
) -> None:
    store, other = await operator.store(credits=0), await operator.store()
    data_of(await operator.patch(f"/stores/{store.store_id}", status="suspended"))
    hook = {"url": "https://hooks.example/x", "event_types": ["*"]}
    data_of(await operator.post(f"/stores/{store.store_id}/webhooks", **hook), 201)
    await in_bucket_of(admin, store.store_id)
    account_id = await admin.fetchval(
        "SELECT account_id FROM accounts WHERE owner_id = $1", UUID(store.store_id)
    )
    await admin.execute(IN_TROUBLE.format(account_id=account_id))
    for store_id, count in ((store.store_id, 5), (other.store_id, 0)):
        page = await browser.get(f"/console/stores/{store_id}")
        assert page.text.count('<p class="notice') == count
