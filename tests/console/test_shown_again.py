"""What is secret is shown again to whoever sends the same form again, for a while, and nobody else.

A browser without a script, in which a button is clicked twice, shows the second answer alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import httpx
import pytest

from storecredit.operator.drawing import AGAIN_SECONDS_MAX
from storecredit.service import Service
from tests.console.acts import acts, secret_in, sent_twice
from tests.console.conftest import Browser, hidden, signed_in
from tests.web.conftest import http_client
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, data_of
from tests.web.table_rows import of_all_buckets

pytestmark = pytest.mark.several_buckets

URL = "https://hats.example/hooks"
LATER = """UPDATE audit_log
    SET acted_at = (acted_at AT TIME ZONE 'UTC' - make_interval(secs => $1)) AT TIME ZONE 'UTC'"""


@dataclass(frozen=True)
class Making:
    """A form that makes something secret: where it stands and leads to, and what is typed."""

    asked_at: str
    sent_to: str
    action: str
    fields: Mapping[str, str]
    instead: str
    """Where whoever has lost it is led to, from the answer that does not show it."""


async def making(name: str, operator: Operator, store: StoreClient) -> Making:
    at = f"/console/stores/{store.store_id}"
    if name == "store":
        fields = {"name": "Hats", "shop_domain": "hats.example"}
        return Making("/console/stores/new", "/console/stores/new", "store.create", fields, "/keys")
    if name == "token":
        fields = {"name": "ann", "scopes": "read"}
        return Making("/console/tokens", "/console/tokens", "token.create", fields, "/revoke")
    if name == "portal link":
        return Making(f"{at}/portal", f"{at}/portal", "portal.link", {}, f"{at}/portal")
    if name == "key":
        return Making(f"{at}/keys/new", f"{at}/keys/new", "key.create", {"label": "a"}, "/rotate")
    if name == "replaced key":
        here = f"{at}/keys/{store.key_id}/rotate"
        return Making(here, here, "key.rotate", {"grace_seconds": "3600"}, "/rotate")
    whose, below = name.split(" ")
    of = {"store's": f"/stores/{store.store_id}", "operator's": ""}[whose]
    at = f"/console{of}/webhooks"
    if below == "endpoint":
        fields = {"url": URL, "event_types": "*"}
        return Making(f"{at}/new", f"{at}/new", "webhook.create", fields, "/rotate")
    made = data_of(await operator.post(f"{of}/webhooks", url=URL, event_types=["*"]), 201)
    here = f"{at}/{made['endpoint_id']}/rotate"
    return Making(here, here, "webhook.rotate", {"overlap_seconds": "60"}, "/rotate")


MAKINGS = (
    *("store", "token", "portal link", "key", "replaced key"),
    *("store's endpoint", "operator's endpoint", "store's secret", "operator's secret"),
)


@pytest.fixture(params=MAKINGS)
async def made(request: pytest.FixtureRequest, operator: Operator, store: StoreClient) -> Making:
    return await making(request.param, operator, store)


async def test_a_form_sent_twice_shows_the_one_secret_twice_and_later_what_to_do_instead(
    browser: Browser, admin: asyncpg.Connection, made: Making
) -> None:
    page = await browser.get(made.asked_at)
    first, again = await sent_twice(browser, page, made.sent_to, made.fields)
    assert secret_in(again) == secret_in(first)
    assert len(await acts(admin, made.action)) == 1
    await of_all_buckets(admin, LATER, AGAIN_SECONDS_MAX + 1.0)
    late = await browser.send(page, made.sent_to, made.fields)
    assert late.status_code == 200
    assert secret_in(first) not in late.text
    assert "This form was sent before" in late.text
    assert made.instead in late.text.partition("This form was sent before")[2]
    assert len(await acts(admin, made.action)) == 1
    # A form of its own makes another.
    other = await browser.send(await browser.get(made.asked_at), made.sent_to, _others(made))
    assert secret_in(other) != secret_in(first)


async def test_who_signed_in_anew_is_not_shown_what_a_form_of_before_made(
    browser: Browser, api: httpx.AsyncClient, made: Making, service: Service
) -> None:
    page = await browser.get(made.asked_at)
    first = await browser.send(page, made.sent_to, made.fields)
    async with http_client(service) as elsewhere:
        other = await signed_in(elsewhere, OPERATOR_TOKEN)
        own = await other.get(made.asked_at)
        form_id = {"form_id": _form_id(page, made)}
        again = await other.send(own, made.sent_to, {**made.fields, **form_id})
    assert again.status_code == 200
    assert secret_in(first) not in again.text
    assert "This form was sent before" in again.text


async def test_a_link_that_was_used_is_not_shown_again(
    browser: Browser, service: Service, store: StoreClient
) -> None:
    address = f"/console/stores/{store.store_id}/portal"
    page = await browser.get(address)
    link = httpx.URL(secret_in(await browser.send(page, address)))
    async with http_client(service) as elsewhere:
        theirs = Browser(elsewhere)
        assert (await theirs.send(await theirs.get(link.path), link.path)).status_code == 303
    again = await browser.send(page, address)
    assert again.status_code == 200
    assert link.path not in again.text
    assert "may have been used" in again.text


async def test_what_another_secret_has_replaced_is_not_shown_again(
    browser: Browser, operator: Operator, store: StoreClient
) -> None:
    made = await making("store's secret", operator, store)
    page = await browser.get(made.asked_at)
    first = await browser.send(page, made.sent_to, made.fields)
    at_once = {"overlap_seconds": "0"}
    secret_in(await browser.send(await browser.get(made.asked_at), made.sent_to, at_once))
    again = await browser.send(page, made.sent_to, made.fields)
    assert secret_in(first) not in again.text
    assert "This form was sent before" in again.text


def _others(made: Making) -> dict[str, str]:
    """What is typed into the form for something else of the kind."""
    return {**made.fields, **({"name": "ben"} if "name" in made.fields else {})}


def _form_id(page: httpx.Response, made: Making) -> str:
    return hidden(page, made.sent_to)["form_id"]
