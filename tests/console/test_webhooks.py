"""Webhook endpoints on the console's pages: a store's, and the operator's own."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.console.acts import Act, acts, faults_of, secret_in, sent_twice
from tests.console.conftest import Browser, signed_in
from tests.web.doors import Operator, StoreClient, data_of

URL = "https://hats.example/hooks?token=t0p-secret"
ENDPOINTS = "SELECT * FROM storecredit.webhook_endpoints ORDER BY endpoint_id"


@dataclass(frozen=True)
class Of:
    """Whose endpoints: the address of their pages, and that of their doors in the API."""

    browser: Browser
    operator: Operator
    admin: asyncpg.Connection
    at: str
    api: str

    async def made(self, **body: Any) -> str:
        """The id of an endpoint that there is."""
        made = data_of(await self.operator.post(self.api, **{"url": URL, **body}), 201)
        endpoint_id: str = made["endpoint_id"]
        return endpoint_id

    async def endpoints(self) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self.admin.fetch(ENDPOINTS)
        return found

    async def done(self, action: str) -> Act:
        """What the log says of the one action of a kind."""
        [act] = await acts(self.admin, action)
        return act


@pytest.fixture(params=["store", "operator"])
def of(
    request: pytest.FixtureRequest,
    browser: Browser,
    operator: Operator,
    store: StoreClient,
    admin: asyncpg.Connection,
) -> Of:
    at = {"store": f"/stores/{store.store_id}/webhooks", "operator": "/webhooks"}[request.param]
    return Of(browser, operator, admin, f"/console{at}", at)


async def test_an_endpoint_is_registered_and_its_secret_shown_once(of: Of) -> None:
    assert "/new" in (await of.browser.get(of.at)).text
    page = await of.browser.get(f"{of.at}/new")
    fields: dict[str, str | list[str]] = {
        "url": URL,
        "event_types": ["credits.low", "generation.completed"],
        "description": "the <b>shop",
        "ordered": "true",
        "reason": "asked by mail",
    }
    made, again = await sent_twice(of.browser, page, f"{of.at}/new", fields)
    assert secret_in(made).startswith("whsec_")
    assert secret_in(again) == secret_in(made)
    [row] = await of.endpoints()
    assert (row["url"], row["is_ordered"]) == (URL, True)
    assert sorted(row["event_types"]) == ["credits.low", "generation.completed"]
    act = await of.done("webhook.create")
    assert act.by == ("admin", "console", "asked by mail")
    assert act.subject == str(row["endpoint_id"])
    assert "t0p-secret" not in str(act)
    listed = await of.browser.get(of.at)
    assert "the &lt;b&gt;shop" in listed.text
    assert secret_in(made) not in listed.text


async def test_what_cannot_be_an_endpoint_is_told_by_field(of: Of) -> None:
    page = await of.browser.get(f"{of.at}/new")
    action = f"{of.at}/new"
    good: dict[str, str | list[str]] = {"url": URL, "event_types": "*"}
    for wrong, field in (
        ({"url": ""}, "url"),
        ({"url": "ftp://hats.example"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["credits.lost"]}, "event_types"),
        ({"description": "d" * 201}, "description"),
        ({"ordered": "perhaps"}, "ordered"),
    ):
        answer = await of.browser.send(page, action, {**good, **wrong})
        assert answer.status_code == 400, wrong
        assert set(faults_of(answer)) == {field}, wrong
    assert await of.endpoints() == []
    for _ in range(10):
        await of.made()
    full = await of.browser.send(page, action, good)
    assert full.status_code == 400
    assert "10 endpoints" in faults_of(full)["url"]
    assert URL in unescape(full.text)


async def test_a_store_hears_nothing_that_is_the_operators(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    at = f"/console/stores/{store.store_id}/webhooks/new"
    page = await browser.get(at)
    assert "billing.problem" not in page.text
    assert "billing.problem" in (await browser.get("/console/webhooks/new")).text
    sent = {"url": URL, "event_types": "billing.problem"}
    answer = await browser.send(page, at, sent)
    assert set(faults_of(answer)) == {"event_types"}
    assert await admin.fetch(ENDPOINTS) == []


async def test_an_endpoint_is_changed(of: Of) -> None:
    here = f"{of.at}/{await of.made(description='old')}"
    page = await of.browser.get(f"{here}/change")
    fields = {"url": f"{URL}2", "event_types": "credits.low", "description": "", "reason": "moved"}
    changed, again = await sent_twice(of.browser, page, f"{here}/change", fields)
    assert changed.headers["location"] == again.headers["location"] == f"{here}?done=changed"
    [row] = await of.endpoints()
    assert (row["url"], row["description"], row["event_types"]) == (f"{URL}2", "", ["credits.low"])
    act = await of.done("webhook.update")
    assert act.by == ("admin", "console", "moved")
    assert set(act.asked) == {"url", "event_types", "description"}
    assert "t0p-secret" not in str(act)
    wrong = await of.browser.send(page, f"{here}/change", {"url": "nonsense"})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"url", "event_types"}


@pytest.mark.parametrize("field", ["url", "description"])
async def test_a_form_sent_again_with_something_else_is_not_said_to_be_done(
    of: Of, field: str
) -> None:
    fields = {"url": URL, "event_types": "credits.low", "description": "a"}
    other = {**fields, field: f"{URL}2"}
    page = await of.browser.get(f"{of.at}/new")
    secret = secret_in(await of.browser.send(page, f"{of.at}/new", fields))
    again = await of.browser.send(page, f"{of.at}/new", other)
    assert again.status_code == 422
    assert secret not in again.text
    assert secret_in(await of.browser.send(page, f"{of.at}/new", fields)) == secret
    [row] = await of.endpoints()
    here = f"{of.at}/{row['endpoint_id']}/change"
    page = await of.browser.get(here)
    changed = {**fields, field: f"{URL}3"}
    for sent, status in ((changed, 303), (other, 422), (changed, 303)):
        assert (await of.browser.send(page, here, sent)).status_code == status
    [row] = await of.endpoints()
    assert row[field] == f"{URL}3"


async def test_an_endpoint_is_disabled_in_two_steps_and_enabled(of: Of) -> None:
    here = f"{of.at}/{await of.made()}"
    page = await of.browser.get(f"{here}/disable")
    assert "given up" in page.text
    disabled, again = await sent_twice(of.browser, page, f"{here}/disable", {"reason": "too loud"})
    assert disabled.headers["location"] == again.headers["location"] == f"{here}?done=disabled"
    [row] = await of.endpoints()
    assert (row["status"], row["disabled_reason"]) == ("disabled", "requested")
    assert (await of.done("webhook.disable")).by == ("admin", "console", "too loud")
    page = await of.browser.get(here)
    assert f"{here}/test" not in page.text
    enabled, again = await sent_twice(of.browser, page, f"{here}/enable", {})
    assert enabled.headers["location"] == again.headers["location"] == f"{here}?done=enabled"
    [row] = await of.endpoints()
    assert row["status"] == "enabled"
    await of.done("webhook.enable")


async def test_a_secret_is_replaced_and_the_old_one_signs_along(of: Of) -> None:
    here = f"{of.at}/{await of.made()}"
    page = await of.browser.get(f"{here}/rotate")
    wrong = await of.browser.send(page, f"{here}/rotate", {"overlap_seconds": "-1"})
    assert set(faults_of(wrong)) == {"overlap_seconds"}
    made, again = await sent_twice(of.browser, page, f"{here}/rotate", {"overlap_seconds": "3600"})
    assert secret_in(again) == secret_in(made)
    assert await of.admin.fetchval("SELECT count(*) FROM storecredit.webhook_secrets") == 2
    assert (await of.done("webhook.rotate")).asked == {"overlap_seconds": 3600}
    for _ in range(3):
        page = await of.browser.get(f"{here}/rotate")
        secret_in(await of.browser.send(page, f"{here}/rotate", {"overlap_seconds": "3600"}))
    page = await of.browser.get(f"{here}/rotate")
    full = await of.browser.send(page, f"{here}/rotate", {"overlap_seconds": "3600"})
    assert "So many secrets" in faults_of(full)["overlap_seconds"]


async def test_an_endpoint_is_deleted_in_two_steps(of: Of) -> None:
    here = f"{of.at}/{await of.made(description='till')}"
    page = await of.browser.get(f"{here}/delete")
    assert "Delete till?" in page.text
    deleted, again = await sent_twice(of.browser, page, f"{here}/delete", {"reason": "gone"})
    assert deleted.headers["location"] == again.headers["location"] == f"{of.at}?done=deleted"
    assert "is deleted" in (await of.browser.get(deleted.headers["location"])).text
    assert await of.endpoints() == []
    assert (await of.done("webhook.delete")).by == ("admin", "console", "gone")
    assert (await of.browser.get(here)).status_code == 404


async def test_a_test_event_is_followed_and_sent_again(of: Of) -> None:
    here = f"{of.at}/{await of.made()}"
    page = await of.browser.get(here)
    tested, again = await sent_twice(of.browser, page, f"{here}/test", {})
    assert tested.headers["location"] == again.headers["location"]
    assert await of.admin.fetchval("SELECT count(*) FROM storecredit.events") == 1
    await of.done("webhook.test")
    followed = tested.headers["location"]
    page = await of.browser.get(followed)
    assert "webhook.test" in page.text
    assert "on its way" in page.text
    assert "was not sent yet" in page.text
    action = f"{followed.partition('?')[0]}/resend"
    await of.admin.execute(
        "UPDATE storecredit.deliveries SET status = 'failed',"
        " next_attempt_at = NULL, ended_at = now()"
    )
    resent, again = await sent_twice(of.browser, page, action, {})
    assert resent.headers["location"] == again.headers["location"]
    assert await of.admin.fetchval("SELECT status FROM storecredit.deliveries") == "pending"
    await of.done("webhook.resend")


async def test_deliveries_are_listed_failing_first_and_found_by_filters(of: Of) -> None:
    endpoint_id = await of.made()
    here = f"{of.at}/{endpoint_id}"
    for _ in range(30):
        page = await of.browser.get(here)
        await of.browser.send(page, f"{here}/test", {})
    await of.admin.execute(
        """UPDATE storecredit.deliveries SET status = 'failed', next_attempt_at = NULL,
               ended_at = now() WHERE seq = (SELECT min(seq) FROM storecredit.deliveries)"""
    )
    page = await of.browser.get(here)
    assert page.text.index("Not delivered") < page.text.index("Deliveries</h2>")
    assert page.text.count('scope="row"') == 1 + 25
    following = unescape(page.text.split('rel="next" href="')[1].split('"')[0])
    assert (await of.browser.get(following)).text.count('scope="row"') == 5
    failed = await of.browser.get(f"{here}?status=failed")
    assert failed.text.count('scope="row"') == 1
    assert (await of.browser.get(f"{here}?type=webhook.test&status=delivered")).text.count(
        'scope="row"'
    ) == 0
    wrong = await of.browser.get(f"{here}?status=lost&type=nothing")
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"status", "type"}
    assert (await of.browser.get(f"{here}?cursor=x")).status_code == 400


async def test_what_was_given_up_is_sent_again_since_a_moment(of: Of) -> None:
    here = f"{of.at}/{await of.made()}"
    for _ in range(3):
        await of.browser.send(await of.browser.get(here), f"{here}/test", {})
    await of.admin.execute(
        "UPDATE storecredit.deliveries SET status = 'failed',"
        " next_attempt_at = NULL, ended_at = now()"
    )
    page = await of.browser.get(f"{here}/resend")
    action = f"{here}/resend"
    for wrong, field in (
        ({}, "since"),
        ({"since": "soon"}, "since"),
        ({"since": "2026-01-01", "status": "lost"}, "status"),
    ):
        assert set(faults_of(await of.browser.send(page, action, wrong))) == {field}
    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    fields = {"since": since, "status": "failed", "reason": "was down"}
    resent, again = await sent_twice(of.browser, page, action, fields)
    assert resent.headers["location"] == again.headers["location"] == f"{here}?done=resent"
    assert (
        await of.admin.fetchval(
            "SELECT count(*) FROM storecredit.deliveries WHERE status = 'pending'"
        )
        == 3
    )
    act = await of.done("webhook.resend")
    assert act.by == ("admin", "console", "was down")
    assert act.outcome["resent"] == 3


async def test_nothing_is_sent_to_one_that_is_disabled(of: Of) -> None:
    endpoint_id = await of.made()
    here = f"{of.at}/{endpoint_id}"
    page = await of.browser.get(here)
    form = await of.browser.get(f"{here}/resend")
    data_of(await of.operator.post(f"{of.api}/{endpoint_id}/disable"))
    answer = await of.browser.send(page, f"{here}/test", {})
    assert "so nothing was sent" in (await of.browser.get(answer.headers["location"])).text
    answer = await of.browser.send(form, f"{here}/resend", {"since": "2026-01-01"})
    assert "disabled" in faults_of(answer)["since"]


async def test_another_owners_endpoint_is_not_there(
    of: Of, operator: Operator, browser: Browser
) -> None:
    other = await operator.store(name="Other")
    hook = data_of(await operator.post(f"/stores/{other.store_id}/webhooks", url=URL), 201)
    theirs, unknown = hook["endpoint_id"], str(UUID(int=7))
    page = await browser.get(f"{of.at}/new")
    for endpoint_id in (theirs, unknown):
        here = f"{of.at}/{endpoint_id}"
        for below in ("", "/change", "/disable", "/delete", "/rotate", "/resend"):
            assert (await browser.get(here + below)).status_code == 404, below
        for below in ("/change", "/enable", "/disable", "/delete", "/rotate", "/test", "/resend"):
            fields = {"url": URL, "event_types": "*", "since": "2026-01-01"}
            answer = await browser.post(here + below, page, f"{of.at}/new", fields)
            assert answer.status_code == 404, below
    assert await acts(of.admin) == []


async def test_what_takes_nothing_is_listed_whosever_it_is(
    browser: Browser, operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    path = f"/stores/{store.store_id}/webhooks"
    data_of(await operator.post(path, url=URL, description="till"), 201)
    assert "Not taking" not in (await browser.get("/console/webhooks")).text
    await admin.execute("UPDATE storecredit.webhook_endpoints SET failing_since = now()")
    page = await browser.get("/console/webhooks")
    assert "Not taking" in page.text
    assert re.search(rf'href="/console{path}/[^"]+">till</a>', page.text)


async def test_who_may_only_read_sees_no_buttons(
    of: Of, api: httpx.AsyncClient, operator: Operator
) -> None:
    here = f"{of.at}/{await of.made()}"
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read"]), 201)
    ann = await signed_in(api, made["token"])
    assert f"{of.at}/new" not in (await ann.get(of.at)).text
    page = await ann.get(here)
    assert "scope <code>all</code>" in page.text
    assert f'action="{here}/test"' not in page.text
