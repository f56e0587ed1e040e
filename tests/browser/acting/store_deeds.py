"""What is done to a store: its keys, settings, what it buys, and the link to its portal."""

from html import escape
from typing import Final

from playwright.async_api import expect

from storecredit.operator.audit import Action
from tests.browser.acting.person import PORTAL, STORE, Person, performs
from tests.web.doors import StoreClient, data_of

KEYS: Final = "SELECT count(*) FROM storecredit.store_api_keys WHERE store_id::text = $1"
LINKS: Final = "SELECT count(*) FROM storecredit.sign_in_links WHERE store_id::text = $1"
CHECKOUTS: Final = """
    SELECT count(*) FROM storecredit.checkouts c JOIN storecredit.accounts a USING (account_id)
    WHERE a.owner_id::text = $1"""
SOLD: Final = CHECKOUTS.replace("count(*)", "c.provider_transaction_id")
TOP_UP: Final = {"threshold": 7, "credits": 500}


async def works(person: Person, key: str) -> bool:
    """Whether a key lets its store in."""
    theirs = StoreClient(person.store.http, "", "", key)
    return (await theirs.get("/api/v1/credits/balance")).is_success


@performs("/keys/new", Action.KEY_CREATE, STORE, PORTAL)
async def makes_a_key(person: Person) -> None:
    await person.opens("Keys")
    await person.follows("Make a key")
    await person.does("Make the key", {"Label": "till", "Origins": "https://shop.example"})
    assert await works(person, await person.is_shown())
    assert await person.world.count(KEYS, person.owner) == 2


@performs("/keys/{key_id:uuid}", Action.KEY_UPDATE, STORE, PORTAL)
async def changes_a_key(person: Person) -> None:
    await person.opens("Keys")
    await person.follows("first key")
    await person.does("Save", {"Label": "web"})
    await person.is_told("The key is changed")
    label = "SELECT label FROM storecredit.store_api_keys WHERE store_id::text = $1"
    assert await person.world.admin.fetchval(label, person.owner) == "web"


@performs("/keys/{key_id:uuid}/rotate", Action.KEY_ROTATE, STORE, PORTAL)
async def replaces_a_key(person: Person) -> None:
    await person.opens("Keys")
    await person.follows("first key", "Replace it…")
    await person.does("Replace the key", {"The old key works on": "3600"})
    assert await works(person, await person.is_shown())
    assert await works(person, person.store.api_key)
    assert await person.world.count(KEYS, person.owner) == 2


@performs("/keys/{key_id:uuid}/revoke", Action.KEY_REVOKE, STORE, PORTAL)
async def revokes_a_key(person: Person) -> None:
    made = await person.world.operator.post(f"/stores/{person.owner}/keys", label="lost")
    await person.opens("Keys")
    await person.follows("lost", "Revoke it…")
    await person.does("Revoke lost")
    await person.is_told("The key is revoked")
    revoked = f"{KEYS} AND revoked_at IS NOT NULL AND key_id::text = $2"
    assert await person.world.count(revoked, person.owner, data_of(made, 201)["key_id"]) == 1


@performs("/portal", Action.PORTAL_LINK, STORE)
async def makes_a_link_to_the_portal(person: Person) -> None:
    await person.opens("Overview")
    await person.follows("Link to its portal")
    await person.does("Make the link", {"The link works for": "3600"})
    assert "/portal/sign-in/" in await person.is_shown()
    assert await person.world.count(LINKS, person.owner) == 1


@performs("/settings", Action.STORE_UPDATE, STORE)
async def changes_a_store(person: Person) -> None:
    await person.opens("Settings")
    await person.does("Save", {"Name": "Another name", "Overage limit": "12", "Low at": "9"})
    await person.is_told("It is as you said now.")
    store = data_of(await person.world.operator.get(f"/stores/{person.owner}"))
    assert (store["name"], store["overage_limit"]) == ("Another name", 12)


@performs("/settings/suspend", Action.STORE_UPDATE, STORE)
async def suspends_a_store(person: Person) -> None:
    await person.opens("Settings")
    await person.follows("Suspend the store…")
    await person.does("Suspend A shop")
    await person.is_told("The store is suspended")
    store = data_of(await person.world.operator.get(f"/stores/{person.owner}"))
    assert store["status"] == "suspended"


@performs("/settings/resume", Action.STORE_UPDATE, STORE)
async def resumes_a_store(person: Person) -> None:
    data_of(await person.world.operator.patch(f"/stores/{person.owner}", status="suspended"))
    await person.opens("Settings")
    await person.follows("Resume the store…")
    await person.does("Resume A shop")
    await person.is_told("The store is let in again.")
    store = data_of(await person.world.operator.get(f"/stores/{person.owner}"))
    assert store["status"] == "active"


@performs("/purchases", Action.CHECKOUT_CREATE, STORE, PORTAL)
async def buys_credits(person: Person) -> None:
    await person.opens("Purchases")
    button = "Make a checkout" if person.place is STORE else "To the checkout"
    await person.does(button, {"How many": "400"})
    ready = person.page.get_by_role("region", name="The checkout is ready")
    await expect(ready).to_contain_text("400 credits for $72.00")
    assert await person.world.count(CHECKOUTS, person.owner) == 1
    transaction_id = await person.world.admin.fetchval(SOLD, person.owner)
    sold = person.world.paddle.account.transactions[transaction_id]
    assert escape(sold["checkout"]["url"]) in await ready.inner_html()


@performs("/top-up/threshold", Action.STORE_UPDATE, STORE, PORTAL)
async def says_when_it_is_low(person: Person) -> None:
    await person.opens("Low balance")
    await person.does("Save", {"Low at so many credits": "33"})
    await person.is_told("Saved: ")
    low = "SELECT low_threshold FROM storecredit.accounts WHERE owner_id::text = $1"
    assert await person.world.admin.fetchval(low, person.owner) == 33


@performs("/top-up", Action.TOP_UP_SET, STORE, PORTAL, is_subscribed=True)
async def has_more_bought_by_itself(person: Person) -> None:
    await person.opens("Low balance")
    await person.does("Switch it on", {"At a balance of": "7", "Buy so many credits": "500"})
    await person.is_told("Credits are bought by themselves")
    top_up = data_of(await person.world.operator.get(f"/stores/{person.owner}/top-up"))
    assert (top_up["status"], top_up["threshold"], top_up["credits"]) == ("on", 7, 500)


@performs("/top-up/off", Action.TOP_UP_REMOVE, STORE, PORTAL, is_subscribed=True)
async def has_no_more_bought(person: Person) -> None:
    at = f"/stores/{person.owner}/top-up"
    data_of(await person.world.operator.send("PUT", at, json=TOP_UP))
    await person.opens("Low balance")
    await person.does("Switch it off")
    await person.is_told("Nothing more is bought by itself.")
    assert data_of(await person.world.operator.get(at))["status"] == "off"
