"""Every address of console and portal, by the tables of routes: who is let in, and to what."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from storecredit.operator.tokens import Scope
from tests.browser.conftest import Site
from tests.browser.furnished.addresses import ACTIONS, ALL, PAGES, Address
from tests.browser.furnished.asking import Visitor, visitor
from tests.browser.furnished.furnishing import Furnished
from tests.browser.furnished.markup import Markup
from tests.web.doors import OPERATOR_TOKEN, Operator, data_of

WITHIN = tuple(each for each in ALL if not each.is_public)
OWNED = tuple(each for each in WITHIN if each.door == "portal" and each.names)
CHANGES = tuple(each for each in ACTIONS if each.needs not in {None, Scope.READ})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
KEPT = (
    *("movements", "grants", "holds", "spends", "sessions", "stores", "store_api_keys", "users"),
    *("checkouts", "subscriptions", "payments", "audit_log", "admin_tokens"),
)
"""Tables in which only what somebody does writes, not the service by itself in its own time."""


async def state(admin: asyncpg.Connection) -> list[str]:
    """What stands in those tables."""
    return [
        await admin.fetchval(
            f"SELECT count(*) || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') "
            f"FROM storecredit.{table} t"
        )
        for table in KEPT
    ]


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is not signed in, from a page of this origin."""
    async with httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as http:
        yield http


@pytest.mark.parametrize("address", WITHIN, ids=str)
async def test_who_is_not_signed_in_sees_and_does_nothing(
    stranger: httpx.AsyncClient, admin: asyncpg.Connection, furnished: Furnished, address: Address
) -> None:
    before = await state(admin)
    answer = await stranger.request(address.method, furnished.address_of(address))
    if address.method == "GET":
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"/{address.door}/sign-in?next=")
    else:
        assert answer.status_code == 401
        assert "not signed in any more" in answer.text
    assert furnished.store.store_id not in answer.text
    assert await state(admin) == before


@pytest.mark.parametrize("address", ACTIONS, ids=str)
async def test_what_no_page_of_ours_sent_does_nothing(
    visitors: dict[str, Visitor], admin: asyncpg.Connection, furnished: Furnished, address: Address
) -> None:
    visitor_, where = visitors[address.door], furnished.address_of(address)
    own = str(visitor_.http.base_url).rstrip("/")
    sent = {"csrf": visitor_.csrf, "form_id": "form_1"}
    other = next(each for door, each in visitors.items() if door != address.door)
    before = await state(admin)
    without_token: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"form_id": "form_1"}, {"Origin": own}),
        (sent | {"csrf": ""}, {"Origin": own}),
        (sent | {"csrf": f"{visitor_.csrf}x"}, {"Origin": own}),
        (sent | {"csrf": "é"}, {"Origin": own}),
        (sent | {"csrf": other.csrf}, {"Origin": own}),
    ]
    for fields, headers in (
        (sent, {}),
        (sent, {"Origin": "https://evil.example"}),
        (sent, {"Origin": "null"}),
        (sent, {"Origin": own.replace("127.0.0.1", "localhost")}),
        (sent, {"Origin": own, "Sec-Fetch-Site": "cross-site"}),
        (sent, {"Origin": own, "Sec-Fetch-Site": "same-site"}),
        (sent, {"Origin": own, "Sec-Fetch-Site": "none"}),
        *([] if address.signs_in else without_token),
    ):
        answer = await visitor_.http.request(address.method, where, data=fields, headers=headers)
        assert answer.status_code == 403, (fields, headers)
        assert "Nothing was done" in answer.text
    assert await state(admin) == before


@pytest.mark.parametrize("address", [each for each in ACTIONS if each.is_public], ids=str)
async def test_nobody_is_signed_in_from_elsewhere(
    site: Site, stranger: httpx.AsyncClient, furnished: Furnished, address: Address
) -> None:
    secrets = {"token": OPERATOR_TOKEN, "key": furnished.store.api_key}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": site.url, "Sec-Fetch-Site": "cross-site"},
        {"Origin": site.url, "Sec-Fetch-Site": "same-site"},
    ):
        where = furnished.address_of(address)
        answer = await stranger.request(address.method, where, data=secrets, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("address", PAGES, ids=str)
async def test_a_page_goes_out_as_pages_do(
    visitors: dict[str, Visitor], furnished: Furnished, address: Address
) -> None:
    answer = await visitors[address.door].http.get(furnished.address_of(address))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    if not answer.headers["content-type"].startswith("text/html"):
        return
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert Markup(answer.text).faults == []
    for secret in (furnished.store.api_key, OPERATOR_TOKEN):
        assert secret not in answer.text


@pytest.mark.parametrize("address", [each for each in WITHIN if each.names], ids=str)
async def test_what_there_is_not_is_a_page_that_says_so(
    visitors: dict[str, Visitor], admin: asyncpg.Connection, furnished: Furnished, address: Address
) -> None:
    visitor_ = visitors[address.door]
    before = await state(admin)
    for values in ("00000000-0000-4000-8000-000000000000", "nonsense"):
        where = address.filled(dict.fromkeys(address.names, values))
        if address.method == "GET":
            answer = await visitor_.http.get(where)
        else:
            answer = await visitor_.send(where, address.method)
        assert answer.status_code in {400, 404}, answer.text
        assert answer.headers["content-security-policy"] == POLICY
        assert "<h1>" in answer.text
        assert Markup(answer.text).faults == []
    assert await state(admin) == before


@pytest.mark.parametrize("address", OWNED, ids=str)
async def test_what_is_another_stores_is_not_there(
    site: Site,
    operator: Operator,
    admin: asyncpg.Connection,
    furnished: Furnished,
    address: Address,
) -> None:
    other, where = await operator.store(name="Other"), furnished.address_of(address)
    before = await state(admin)
    async with visitor(site, "portal", other.api_key) as store:
        if address.method == "GET":
            answer = await store.http.get(where)
        else:
            answer = await store.send(where, address.method)
    assert answer.status_code in {400, 404}, answer.text
    for text in (furnished.store.store_id, "prompt'", "spend'", "key'", "endpoint'", "receiver'"):
        assert text not in answer.text
    assert await state(admin) == before


@pytest.mark.parametrize("address", CHANGES, ids=str)
async def test_who_may_only_read_does_nothing(
    site: Site,
    operator: Operator,
    admin: asyncpg.Connection,
    furnished: Furnished,
    address: Address,
) -> None:
    made = data_of(
        await operator.post("/tokens", name=f"reads {address}"[-100:], scopes=["read"]), 201
    )
    before = await state(admin)
    async with visitor(site, "console", made["token"]) as reader:
        answer = await reader.send(furnished.address_of(address), address.method)
    assert answer.status_code == 403, answer.text
    assert "does not have the scope" in answer.text
    assert await state(admin) == before
