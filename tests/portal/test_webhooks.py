"""`/portal/webhooks`: a store registers endpoints of its own, and sees what they were told."""

import asyncpg
import pytest

from tests.console.acts import faults_of, secret_in, sent_twice
from tests.console.conftest import Browser
from tests.web.doors import Operator, StoreClient, data_of

AT = "/portal/webhooks"
URL = "https://hats.example/hooks?token=t0p-secret"
LOGGED = "SELECT action, door, actor FROM storecredit.audit_log WHERE action LIKE 'webhook.%'"


async def test_a_store_registers_an_endpoint_once_and_tests_it(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    page = await portal.get(f"{AT}/new")
    assert "Reason" not in page.text
    fields = {"url": URL, "event_types": "*", "description": "our <shop>"}
    made, again = await sent_twice(portal, page, f"{AT}/new", fields)
    assert secret_in(made).startswith("whsec_")
    assert "was shown then" in again.text
    [endpoint] = data_of(await store.get("/api/v1/webhooks"))["items"]
    assert (endpoint["url"], endpoint["description"]) == (URL, "our <shop>")
    here = f"{AT}/{endpoint['endpoint_id']}"
    page = await portal.get(here)
    assert "our &lt;shop&gt;" in page.text
    tested = await portal.send(page, f"{here}/test")
    followed = await portal.get(tested.headers["location"])
    assert "webhook.test" in followed.text
    assert "/console" not in followed.text
    logged = [tuple(row)[:2] for row in await admin.fetch(LOGGED)]
    assert logged == [("webhook.create", "portal"), ("webhook.test", "portal")]


async def test_a_store_hears_nothing_that_is_the_operators(portal: Browser) -> None:
    page = await portal.get(f"{AT}/new")
    assert "billing.problem" not in page.text
    sent = {"url": URL, "event_types": "billing.problem"}
    answer = await portal.send(page, f"{AT}/new", sent)
    assert answer.status_code == 400
    assert set(faults_of(answer)) == {"event_types"}


@pytest.mark.parametrize("whose", ["another store's", "the operator's"])
async def test_an_endpoint_of_somebody_else_is_not_there(
    portal: Browser, operator: Operator, admin: asyncpg.Connection, whose: str
) -> None:
    other = await operator.store(name="Other")
    base = f"/stores/{other.store_id}/webhooks" if whose == "another store's" else "/webhooks"
    theirs = data_of(await operator.post(base, url=URL), 201)["endpoint_id"]
    here, page = f"{AT}/{theirs}", await portal.get(f"{AT}/new")
    before = await admin.fetch("SELECT * FROM storecredit.webhook_endpoints")
    for below in ("", "/change", "/disable", "/delete", "/rotate", "/resend"):
        assert (await portal.get(here + below)).status_code == 404, below
    for below in ("/change", "/enable", "/disable", "/delete", "/rotate", "/test", "/resend"):
        fields = {"url": URL, "event_types": "*", "since": "2026-01-01"}
        answer = await portal.post(here + below, page, f"{AT}/new", fields)
        assert answer.status_code == 404, below
    assert theirs not in (await portal.get(AT)).text
    assert await admin.fetch("SELECT * FROM storecredit.webhook_endpoints") == before
