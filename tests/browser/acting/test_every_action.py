"""Everything that can be done at console and portal, done by a person in a real browser.

Each is clicked twice where once was meant, with a script and without: it is done once, and what
came of it is on the page, in the tables and in the audit log.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Final

import httpx
import pytest

from storecredit.operator.audit import Action
from storecredit.operator.sign_ins import SignIns
from storecredit.postgres.opening import open_database
from tests.browser.acting import (
    console_deeds,
    owner_deeds,
    store_deeds,
    way_in_deeds,
    webhook_deeds,
)
from tests.browser.acting.person import (
    PORTAL,
    REASON,
    STORE,
    USER,
    Performance,
    Person,
    Place,
)
from tests.browser.acting.world import World
from tests.browser.conftest import Browsing
from tests.browser.furnished.addresses import ACTIONS
from tests.web.doors import StoreClient, data_of
from tests.web.users import user_of

MODULES: Final[tuple[ModuleType, ...]] = (
    console_deeds,
    owner_deeds,
    store_deeds,
    way_in_deeds,
    webhook_deeds,
)
ENTRIES: Final = """
    SELECT action, actor, reason FROM storecredit.audit_log
    WHERE door IN ('console', 'portal') AND entry_id > $1 ORDER BY entry_id"""
OPERATOR: Final = "ann"
"""Came in by a command's link, as whoever is given one by `make run`: nothing is behind it."""
NEWEST: Final = "SELECT coalesce(max(entry_id), 0) FROM storecredit.audit_log"


@dataclass(frozen=True)
class Deed:
    """One thing that is done at one place."""

    performance: Performance
    place: Place

    @property
    def route(self) -> str:
        """As the tables of routes have it."""
        return self.place.prefix + self.performance.path

    def __str__(self) -> str:
        return f"POST {self.route}"


DEEDS: Final = tuple(
    Deed(each, place)
    for module in MODULES
    for each in vars(module).values()
    if isinstance(each, Performance)
    for place in each.places
)


async def test_a_person_does_all_that_can_be_done() -> None:
    performed = sorted(map(str, DEEDS))
    assert performed == sorted(map(str, ACTIONS)), "each route has a deed in tests/browser/acting/"


@pytest.mark.parametrize("deed", DEEDS, ids=str)
async def test_a_person_does_it_once(browsing: Browsing, world: World, deed: Deed) -> None:
    await once(browsing, world, deed, has_script=True)


# Of what several places have, the handler is one.
# tests/console and tests/portal send forms over HTTP as a browser without a script does.
@pytest.mark.torture
@pytest.mark.parametrize(
    "deed", [each for each in DEEDS if each.place is each.performance.places[-1]], ids=str
)
async def test_who_has_no_script_does_it_once(browsing: Browsing, world: World, deed: Deed) -> None:
    await once(browsing, world, deed, has_script=False)


async def once(browsing: Browsing, world: World, deed: Deed, *, has_script: bool) -> None:
    """Has it done, and sees that the audit log tells of it once."""
    doing = deed.performance
    store = await (world.subscribed() if doing.is_subscribed else world.operator.store())
    page = await browsing(java_script_enabled=has_script)
    at = await begin_of(world, deed.place, store)
    person = Person(page, world, deed.route, deed.place, at, store, has_script)
    if doing.is_signed_in:
        await sign_in(person)
    newest = await world.count(NEWEST)
    await doing.do(person)
    assert person.times == 1 if has_script else person.times >= 1
    entries = [tuple(row) for row in await world.admin.fetch(ENTRIES, newest)]
    actor = OPERATOR if deed.place.door == "console" else "store"
    entry = (doing.action, actor, REASON if person.gave_reason else "")
    if doing.action is Action.LEDGER_VERIFY:
        # That it was verified is written each time: it was.
        assert set(entries) == {entry}
    else:
        assert entries == ([] if doing.action is None else [entry])


async def begin_of(world: World, place: Place, store: StoreClient) -> str:
    """Where the pages of a place begin; those of an end user have one, with a grant of 100."""
    if place is STORE:
        return f"/console/stores/{store.store_id}"
    if place is not USER:
        return place.prefix
    user = user_of(world.operator.http)
    await user.balance()
    grant = {"amount": 100, "type": "grant", "request_id": f"grant-{user.user_id}"}
    data_of(await world.operator.post(f"/users/{user.user_id}/credits", **grant), 201)
    return f"/console/users/{user.user_id}"


async def sign_in(person: Person) -> None:
    """As who the pages of the place are for; how that looks is another deed."""
    site, door = person.world.site, person.place.door
    if person.place is PORTAL:
        path, fields = "/portal/sign-in", {"key": person.store.api_key}
    else:
        async with open_database(site.settings) as database:
            path, fields = (await SignIns(database, site.settings).console_link(OPERATOR)).path, {}
    async with httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as http:
        answer = await http.post(path, data=fields)
        assert answer.status_code == 303, answer.text
        [(name, value)] = http.cookies.items()
    await person.page.context.add_cookies(
        [{"name": name, "value": value, "domain": "127.0.0.1", "path": f"/{door}"}]
    )
