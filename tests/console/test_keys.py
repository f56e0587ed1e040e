"""`/console/stores/{store_id}/keys`: each thing that is done to a key, through its form."""

from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.console.acts import acts, faults_of, secret_in, sent_twice
from tests.console.conftest import Browser, signed_in
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.table_rows import of_all_buckets


@pytest.fixture
def at(store: StoreClient) -> str:
    """The address of the store's keys."""
    return f"/console/stores/{store.store_id}/keys"


async def test_a_key_is_made_and_shown_once(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    page = await browser.get(f"{at}/new")
    ends = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=9)
    fields = {
        "label": "web <shop>",
        "allowed_origins": "https://hats.example\nhttp://localhost:3000",
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M"),
        "reason": "asked by mail",
    }
    made, again = await sent_twice(browser, page, f"{at}/new", fields)
    key = secret_in(made)
    assert data_of(await StoreClient(store.http, "", "", key).get("/api/v1/credits/balance"))
    assert secret_in(again) == key
    [row] = await of_all_buckets(admin, "SELECT * FROM store_api_keys WHERE label LIKE 'web %'")
    assert sorted(row["allowed_origins"]) == ["http://localhost:3000", "https://hats.example"]
    assert row["expires_at"] == ends
    [act] = await acts(admin, "key.create")
    assert act.by == ("admin", "console", "asked by mail")
    assert act.subject == str(row["key_id"])
    listed = await browser.get(at)
    assert "web &lt;shop&gt;" in listed.text
    assert f"{key[:12]}…" in listed.text
    assert key not in listed.text


async def test_what_is_wrong_with_a_new_key_is_told_by_field(
    browser: Browser, admin: asyncpg.Connection, at: str
) -> None:
    page = await browser.get(f"{at}/new")
    typed = {
        "label": "l" * 101,
        "allowed_origins": "hats.example",
        "expires_at": "2020-01-01T00:00",
    }
    answer = await browser.send(page, f"{at}/new", typed)
    assert answer.status_code == 400
    assert set(faults_of(answer)) == {"label", "allowed_origins", "expires_at"}
    assert 'type="datetime-local" value="2020-01-01T00:00"' in answer.text
    assert "<span data-zone>In UTC.</span>" in answer.text
    assert "hats.example</textarea>" in answer.text
    assert await acts(admin, "key.create") == []


async def test_label_and_origins_are_changed(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    here = f"{at}/{store.key_id}"
    page = await browser.get(here)
    fields = {"label": "till", "allowed_origins": "https://till.example", "reason": "renamed"}
    changed, again = await sent_twice(browser, page, here, fields)
    assert changed.headers["location"] == again.headers["location"] == f"{here}?done=changed"
    page = await browser.get(changed.headers["location"])
    assert "The key is changed" in page.text
    assert 'value="till"' in page.text
    [act] = await acts(admin, "key.update")
    assert act.by == ("admin", "console", "renamed")
    # An empty list is one, too: servers alone.
    await browser.send(page, here, {"label": "", "allowed_origins": ""})
    [row] = await of_all_buckets(
        admin,
        "SELECT label, allowed_origins FROM store_api_keys WHERE key_id = $1",
        store.key_id,
    )
    assert tuple(row) == ("", [])
    wrong = await browser.send(page, here, {"allowed_origins": "nonsense"})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"allowed_origins"}


async def test_a_key_is_replaced_and_the_old_one_works_on_as_long_as_was_said(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    here = f"{at}/{store.key_id}/rotate"
    page = await browser.get(here)
    assert "works on" in page.text
    wrong = await browser.send(page, here, {"grace_seconds": "99999999"})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"grace_seconds"}
    made, again = await sent_twice(browser, page, here, {"grace_seconds": "3600"})
    new = secret_in(made)
    assert secret_in(again) == new
    for key in (store.api_key, new):
        assert data_of(await StoreClient(store.http, "", "", key).get("/api/v1/credits/balance"))
    [(seconds,)] = await of_all_buckets(
        admin,
        "SELECT extract(epoch FROM expires_at - now()) FROM store_api_keys WHERE key_id = $1",
        store.key_id,
    )
    assert 0 < seconds <= 3600
    [act] = await acts(admin, "key.rotate")
    assert act.asked == {"grace_seconds": 3600}
    assert len(await of_all_buckets(admin, "SELECT FROM store_api_keys")) == 2


async def test_a_key_is_revoked_in_two_steps(
    browser: Browser, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    here = f"{at}/{store.key_id}/revoke"
    page = await browser.get(here)
    assert "Revoke first key?" in page.text
    still = "SELECT revoked_at IS NULL FROM store_api_keys"
    assert [tuple(row) for row in await of_all_buckets(admin, still)] == [(True,)]
    revoked, again = await sent_twice(browser, page, here, {"reason": "leaked"})
    assert revoked.headers["location"] == again.headers["location"] == f"{at}?done=revoked"
    assert "The key is revoked" in (await browser.get(revoked.headers["location"])).text
    assert [tuple(row) for row in await of_all_buckets(admin, still)] == [(False,)]
    [act] = await acts(admin, "key.revoke")
    assert act.by == ("admin", "console", "leaked")
    assert "It is revoked already" in (await browser.get(here)).text
    assert "nothing to replace" in (await browser.get(f"{at}/{store.key_id}/rotate")).text


async def test_who_may_not_is_refused_and_shown_no_buttons(
    api: httpx.AsyncClient,
    operator: Operator,
    store: StoreClient,
    admin: asyncpg.Connection,
    at: str,
) -> None:
    made = data_of(await operator.post("/tokens", name="ann", scopes=["read", "credits"]), 201)
    browser = await signed_in(api, made["token"])
    assert f"{at}/new" not in (await browser.get(at)).text
    assert "scope <code>keys</code>" in (await browser.get(f"{at}/{store.key_id}")).text
    for below in ("new", store.key_id, f"{store.key_id}/rotate", f"{store.key_id}/revoke"):
        page = await browser.get(f"{at}/new")
        answer = await browser.post(f"{at}/{below}", page, "/console/sign-out")
        assert answer.status_code == 403
    assert [act for act in await acts(admin) if act.action.startswith("key.")] == []


async def test_another_stores_key_is_not_there(
    browser: Browser, operator: Operator, store: StoreClient, admin: asyncpg.Connection, at: str
) -> None:
    other = await operator.store(name="Other")
    page = await browser.get(f"{at}/new")
    for key_id in (other.key_id, str(uuid4())):
        for below in ("", "/rotate", "/revoke"):
            assert (await browser.get(f"{at}/{key_id}{below}")).status_code == 404
            answer = await browser.post(f"{at}/{key_id}{below}", page, f"{at}/new")
            assert answer.status_code == 404
    assert [act for act in await acts(admin) if act.action.startswith("key.")] == []


async def test_many_keys_are_shown_in_pages(
    browser: Browser, operator: Operator, store: StoreClient, at: str
) -> None:
    for number in range(50):
        data_of(await operator.post(f"/stores/{store.store_id}/keys", label=f"n{number:02}"), 201)
    page = await browser.get(at)
    assert ">n49<" in page.text
    assert ">first key<" not in page.text
    following = unescape(page.text.split('rel="next" href="')[1].split('"')[0])
    assert ">first key<" in (await browser.get(following)).text
    assert (await browser.get(f"{at}?after=nonsense")).status_code == 404
