"""`/portal/keys`: a store makes, changes, replaces and revokes its own keys, and no other's."""

import asyncpg
import pytest

from tests.console.acts import acts, faults_of, secret_in, sent_twice
from tests.console.conftest import Browser
from tests.portal.conftest import sign_in
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.table_rows import of_all_buckets

pytestmark = pytest.mark.several_buckets

AT = "/portal/keys"
OWN = ("store", "portal", "")


async def test_a_store_makes_a_key_that_outlives_its_sign_in(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    page = await portal.get(f"{AT}/new")
    assert "It works on when you are signed out." in page.text
    assert "reason" not in page.text
    fields = {"label": "web", "allowed_origins": "https://hats.example"}
    made, again = await sent_twice(portal, page, f"{AT}/new", fields)
    key = secret_in(made)
    assert "until it is revoked" in made.text
    assert secret_in(again) == key
    [act] = await acts(admin, "key.create", "portal")
    assert act.by == OWN
    await portal.send(await portal.get("/portal"), "/portal/sign-out")
    assert data_of(await StoreClient(store.http, "", "", key).get("/api/v1/credits/balance"))


async def test_what_a_store_does_through_an_operators_link_has_the_operators_name(
    browser: Browser, operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    made = data_of(await operator.post(f"/stores/{store.store_id}/portal/sessions"), 201)
    address = f"/portal{made['url'].partition('/portal')[2]}"
    assert (await browser.send(await browser.get(address), address)).status_code == 303
    await browser.send(await browser.get(f"{AT}/new"), f"{AT}/new", {"label": "for them"})
    [act] = await acts(admin, "key.create", "portal")
    assert act.by == ("admin", "portal", "")


async def test_label_and_origins_are_changed(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    here = f"{AT}/{store.key_id}"
    page = await portal.get(here)
    assert "You are signed in by this key." in page.text
    changed = await portal.send(page, here, {"label": "till <b>", "allowed_origins": ""})
    assert changed.headers["location"] == f"{here}?done=changed"
    assert "till &lt;b&gt;" in (await portal.get(changed.headers["location"])).text
    [act] = await acts(admin, "key.update", "portal")
    assert (act.by, act.subject) == (OWN, store.key_id)
    wrong = await portal.send(page, here, {"label": "l" * 101, "allowed_origins": "nonsense"})
    assert wrong.status_code == 400
    assert set(faults_of(wrong)) == {"label", "allowed_origins"}
    assert "nonsense</textarea>" in wrong.text


async def test_revoking_the_key_one_is_signed_in_by_signs_out(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    here = f"{AT}/{store.key_id}/revoke"
    page = await portal.get(here)
    assert "revoking it signs you out" in page.text
    answer = await portal.send(page, here)
    assert answer.headers["location"] == "/portal/sign-in?key-over=1"
    assert not portal.http.cookies
    told = await portal.get(answer.headers["location"])
    assert "The key is revoked, and with it your sign-in" in told.text
    assert (await portal.get("/portal")).status_code == 303
    [act] = await acts(admin, "key.revoke", "portal")
    assert (act.by, act.subject) == (OWN, store.key_id)


async def test_revoking_another_key_of_theirs_leaves_them_signed_in(
    portal: Browser, operator: Operator, store: StoreClient
) -> None:
    made = data_of(await operator.post(f"/stores/{store.store_id}/keys", label="old"), 201)
    here = f"{AT}/{made['key_id']}/revoke"
    page = await portal.get(here)
    assert "signs you out" not in page.text
    revoked, again = await sent_twice(portal, page, here, {})
    assert revoked.headers["location"] == again.headers["location"] == f"{AT}?done=revoked"
    assert "The key is revoked" in (await portal.get(revoked.headers["location"])).text


async def test_a_key_is_replaced_and_who_is_signed_in_by_it_is_told_when_that_ends(
    portal: Browser, store: StoreClient, admin: asyncpg.Connection
) -> None:
    here = f"{AT}/{store.key_id}/rotate"
    page = await portal.get(here)
    assert "your sign-in ends when the key does" in page.text
    made = await portal.send(page, here, {"grace_seconds": "3600"})
    new = secret_in(made)
    assert "When that ends, so does your sign-in" in made.text
    assert (await portal.get("/portal")).status_code == 200
    await of_all_buckets(
        admin,
        "UPDATE store_api_keys SET created_at = now() - interval '2 d',"
        " expires_at = now() WHERE key_id = $1",
        store.key_id,
    )
    assert (await portal.get("/portal")).status_code == 303
    await sign_in(portal, new)
    [act] = await acts(admin, "key.rotate", "portal")
    assert act.by == OWN


async def test_another_stores_key_is_not_there(
    portal: Browser, operator: Operator, admin: asyncpg.Connection
) -> None:
    other = await operator.store(name="Other")
    page = await portal.get(f"{AT}/new")
    for below in ("", "/rotate", "/revoke"):
        address = f"{AT}/{other.key_id}{below}"
        answer = await portal.post(address, page, f"{AT}/new", {"label": "mine"})
        assert answer.status_code == 404
    [key] = await of_all_buckets(
        admin, "SELECT * FROM store_api_keys WHERE key_id = $1", other.key_id
    )
    assert (key["label"], key["revoked_at"]) == ("first key", None)
    assert await acts(admin, door="portal") == []
