"""`/portal/webhooks`: a store looks after its own endpoints, and after no other's."""

from typing import Final

import asyncpg

from tests.console.acts import acts, faults_of, secret_in, sent_twice
from tests.console.conftest import Browser
from tests.console.reading import text_of
from tests.web.doors import Operator, StoreClient, data_of

AT: Final = "/portal/webhooks"
OWN: Final = ("store", "portal", "")
HOOK: Final = {"url": "https://hats.example/hook", "event_types": "credits.low"}


async def endpoint_of(store: StoreClient) -> str:
    body = {"url": "https://hats.example/hook", "description": "till", "event_types": ["*"]}
    made = data_of(await store.send("POST", "/api/v1/webhooks", json=body), 201)
    return str(made["endpoint_id"])


async def test_a_store_registers_an_endpoint_and_is_shown_its_secret_once(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    assert "Nobody is told of anything." in (await portal.get(AT)).text
    page = await portal.get(f"{AT}/new")
    assert "reason" not in page.text
    made, again = await sent_twice(portal, page, f"{AT}/new", HOOK)
    secret = secret_in(made)
    assert secret.startswith("whsec_")
    assert secret_in(again) == secret
    [listed] = data_of(await store.get("/api/v1/webhooks"))["items"]
    assert listed["url"] == HOOK["url"]
    assert "https://hats.example/hook" in text_of((await portal.get(AT)).text)
    [act] = await acts(admin, "webhook.create", "portal")
    assert (act.by, act.subject) == (OWN, listed["endpoint_id"])


async def test_what_is_wrong_is_told_by_field(portal: Browser, admin: asyncpg.Connection) -> None:
    page = await portal.get(f"{AT}/new")
    wrong = await portal.send(page, f"{AT}/new", {"url": "ftp://<b>", "event_types": "credits.low"})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"url"}
    assert "ftp://&lt;b&gt;" in wrong.text
    assert await acts(admin, door="portal") == []


async def test_an_event_of_the_operators_cannot_be_heard(portal: Browser) -> None:
    page = await portal.get(f"{AT}/new")
    for type_ in ("billing.problem", "credits.nonsense"):
        assert f'value="{type_}"' not in page.text
        wrong = await portal.send(page, f"{AT}/new", HOOK | {"event_types": type_})
        assert wrong.status_code == 400


async def test_it_is_disabled_enabled_and_deleted_in_the_stores_name(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    here = f"{AT}/{await endpoint_of(store)}"
    await portal.send(await portal.get(f"{here}/disable"), f"{here}/disable")
    await portal.send(await portal.get(here), f"{here}/enable")
    await portal.send(await portal.get(f"{here}/delete"), f"{here}/delete")
    assert data_of(await store.get("/api/v1/webhooks"))["items"] == []
    done = await acts(admin, door="portal")
    assert [act.action for act in done] == ["webhook.disable", "webhook.enable", "webhook.delete"]
    assert {act.by for act in done} == {OWN}


async def test_no_page_of_an_endpoint_speaks_of_the_operator(
    portal: Browser, store: StoreClient
) -> None:
    here = f"{AT}/{await endpoint_of(store)}"
    for below in ("", "/change", "/disable", "/delete", "/rotate", "/resend"):
        page = await portal.get(f"{here}{below}")
        assert page.status_code == 200
        assert "/console" not in page.text, below
        shown = text_of(page.text.partition("<body")[2]).lower()
        for word in ("audit", "operator", "reason"):
            assert word not in shown, (below, word)


async def test_another_stores_endpoint_is_not_there(
    portal: Browser, operator: Operator, admin: asyncpg.Connection
) -> None:
    other = await operator.store(name="Other")
    own = {"url": "https://mine.example/hook", "event_types": ["*"]}
    operators = data_of(await operator.post("/webhooks", **own), 201)["endpoint_id"]
    page = await portal.get(f"{AT}/new")
    for endpoint_id in (await endpoint_of(other), operators):
        for below in ("", "/change", "/disable", "/delete", "/rotate", "/resend"):
            assert (await portal.get(f"{AT}/{endpoint_id}{below}")).status_code == 404
        for below in ("change", "enable", "disable", "delete", "rotate", "test", "resend"):
            address = f"{AT}/{endpoint_id}/{below}"
            fields = HOOK | {"since": "2026-01-01", "overlap_seconds": "0"}
            answer = await portal.post(address, page, f"{AT}/new", fields)
            assert answer.status_code == 404, address
    assert "hook" not in text_of((await portal.get(AT)).text).partition("Webhook endpoints")[2]
    assert await acts(admin, door="portal") == []
