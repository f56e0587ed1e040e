"""The ways in and out: by what one has, by a link, and signing out."""

from typing import Final

from playwright.async_api import expect

from storecredit.operator.sign_ins import SignIns
from storecredit.postgres.opening import open_database
from tests.browser.acting.person import CONSOLE, PORTAL, Person, performs
from tests.web.doors import OPERATOR_TOKEN, data_of

BOTH: Final = (CONSOLE, PORTAL)
SIGN_INS: Final = "SELECT count(*) FROM storecredit.sign_ins WHERE door = $1"
OUT: Final = "Sign out"


async def sign_ins(person: Person) -> int:
    """How many there are at the door."""
    return await person.world.count(SIGN_INS, person.place.door)


async def is_in(person: Person) -> None:
    """That the page is the door's first one, of somebody who is signed in."""
    await expect(person.page.get_by_role("button", name=OUT)).to_be_visible()
    await expect(person.page).to_have_url(f"{person.world.site.url}{person.at}")


@performs("/sign-in", None, *BOTH, is_signed_in=False)
async def signs_in(person: Person) -> None:
    await person.page.goto(person.at)
    label, secret = "Token", OPERATOR_TOKEN
    if person.place is PORTAL:
        label, secret = "API key", person.store.api_key
    await person.does("Sign in", {label: secret})
    await is_in(person)


@performs("/sign-in/{code:str}", None, *BOTH, is_signed_in=False)
async def signs_in_by_a_link(person: Person) -> None:
    if person.place is PORTAL:
        path = "/api/v1/portal/sessions"
        link = str(data_of(await person.store.send("POST", path, json={}), 201)["url"])
    else:
        async with open_database(person.world.site.settings) as database:
            made = await SignIns(database, person.world.site.settings).console_link()
        link = made.path
    before = await sign_ins(person)
    await person.page.goto(link)
    # The script presses the button.
    if not person.has_script:
        await person.does("Sign in")
    await is_in(person)
    assert await sign_ins(person) == before + 1


@performs("/sign-out", None, *BOTH)
async def signs_out(person: Person) -> None:
    await person.page.goto(person.at)
    before = await sign_ins(person)
    await person.does(OUT)
    await person.is_told("You are signed out.")
    assert await sign_ins(person) == before - 1
    assert await person.page.context.cookies() == []
