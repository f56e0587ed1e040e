"""`/console/users`: end users, found, read, blocked, let in again, erased."""

from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.console.conftest import Browser, signed_in
from tests.console.reading import cells, next_page
from tests.web.doors import Operator, data_of
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient, user_of

USERS = "/console/users"


async def came(api: httpx.AsyncClient) -> UserClient:
    """An end user, with the 10 credits that one starts with."""
    user = user_of(api)
    await user.balance()
    return user


def ids(page: httpx.Response) -> list[str]:
    return [row[0] for row in cells(page.text)]


async def test_without_an_end_user_it_says_where_they_come_from(browser: Browser) -> None:
    page = await browser.get(USERS)
    assert page.status_code == 200
    assert "No end user has come yet." in page.text


async def test_filters_and_orders_find_the_same_as_the_api(
    browser: Browser, api: httpx.AsyncClient, operator: Operator
) -> None:
    users = [await came(api) for _ in range(3)]
    first, second, third = (str(user.user_id) for user in users)
    await users[0].created()
    data_of(await operator.post(f"/users/{second}/block"))
    for query, found in (
        ("", [third, second, first]),
        ("search=&status=&below=&sort=created", [third, second, first]),
        ("status=blocked", [second]),
        ("below=10", [first]),
        (f"search={third[:13].upper()}", [third]),
        ("sort=balance&status=active", [first, third]),
    ):
        page = await browser.get(f"{USERS}?{query}")
        assert (page.status_code, ids(page)) == (200, found), query
    page = await browser.get(USERS)
    assert [row[1:5] for row in cells(page.text)] == [
        ["10", "–", "0", "Active"],
        ["10", "–", "0", "Blocked"],
        ["9", "63 days", "1", "Active"],
    ]
    assert "No end user is like that." in (await browser.get(f"{USERS}?search=nobody")).text
    for query in ("sort=name", "below=x", "status=gone", "cursor=x", "search=%00"):
        page = await browser.get(f"{USERS}?{query}")
        assert page.status_code == 400, query
        assert ids(page) == []


async def test_pages_go_on(browser: Browser, admin: asyncpg.Connection) -> None:
    made = "SELECT ensure_user(gen_random_uuid(), 0) FROM generate_series(1, 51)"
    await admin.execute(made)
    first = await browser.get(f"{USERS}?sort=balance")
    second = await browser.get(next_page(first.text))
    assert len(set(ids(first) + ids(second))) == 51


async def test_one_is_shown_with_what_there_is(browser: Browser, api: httpx.AsyncClient) -> None:
    user = await came(api)
    await user.created()
    page = await browser.get(f"{USERS}/{user.user_id}")
    assert page.status_code == 200
    assert f'End user <span class="id">{user.user_id}</span>' in page.text
    assert 'data-live="balance">9</span>' in page.text
    assert "Starter credits" in page.text
    assert f'href="{USERS}/{user.user_id}" aria-current="page">Overview' in page.text


async def test_whom_nobody_knows_is_a_page_that_says_so(browser: Browser) -> None:
    for path in (str(uuid4()), "x", f"{uuid4()}/ledger", f"{uuid4()}/block", f"{uuid4()}/erase"):
        assert (await browser.get(f"{USERS}/{path}")).status_code == 404


async def status_of(operator: Operator, user: UserClient) -> str:
    status: str = data_of(await operator.get(f"/users/{user.user_id}"))["status"]
    return status


async def entries(admin: asyncpg.Connection) -> list[tuple[str, ...]]:
    found = await of_all_buckets(
        admin, "SELECT * FROM audit_log WHERE action LIKE 'user.%' ORDER BY acted_at"
    )
    return [tuple(each[name] for name in ("action", "door", "actor", "reason")) for each in found]


async def test_one_is_blocked_and_let_in_again_each_once(
    browser: Browser, api: httpx.AsyncClient, operator: Operator, admin: asyncpg.Connection
) -> None:
    user = await came(api)
    address = f"{USERS}/{user.user_id}"
    for action, done in (("block", "blocked"), ("unblock", "unblocked")):
        page = await browser.get(f"{address}/{action}")
        for _ in range(2):
            answer = await browser.send(page, f"{address}/{action}", {"reason": f"To {action}"})
            assert answer.headers["location"] == f"{address}?done={done}"
        assert await status_of(operator, user) == {"block": "blocked"}.get(action, "active")
        assert '<p class="notice good"' in (await browser.get(f"{address}?done={done}")).text
        # What is so already is not asked for.
        assert f'action="{address}/{action}"' not in (await browser.get(f"{address}/{action}")).text
    assert await entries(admin) == [
        ("user.block", "console", "admin", "To block"),
        ("user.unblock", "console", "admin", "To unblock"),
    ]


async def test_one_is_erased_once_and_for_ever(
    browser: Browser, api: httpx.AsyncClient, operator: Operator, admin: asyncpg.Connection
) -> None:
    user = await came(api)
    await user.created(prompt="Ada, bride")
    address = f"{USERS}/{user.user_id}"
    page = await browser.get(f"{address}/erase")
    assert "cannot be undone" in page.text
    for _ in range(2):
        answer = await browser.send(page, f"{address}/erase", {"reason": "Asked for it"})
        assert answer.headers["location"] == f"{address}?done=erased"
    assert await status_of(operator, user) == "erased"
    assert not await of_all_buckets(admin, "SELECT FROM sessions WHERE input IS NOT NULL")
    assert await entries(admin) == [("user.erase", "console", "admin", "Asked for it")]
    assert "stays blocked" in (await browser.get(f"{address}/unblock")).text
    # Whoever had the page of the other form open is told, too.
    page = await browser.get(f"{address}/erase")
    sent = await browser.send(page, f"{address}/erase")
    assert sent.status_code == 303, "it is looked for what is left"


@pytest.mark.parametrize("action", ["block", "unblock", "erase"])
async def test_whoever_may_not_do_everything_does_none_of_it(
    browser: Browser,
    api: httpx.AsyncClient,
    operator: Operator,
    admin: asyncpg.Connection,
    action: str,
) -> None:
    user = await came(api)
    if action == "unblock":
        data_of(await operator.post(f"/users/{user.user_id}/block"))
    scopes = ["read", "credits", "keys"]
    made = data_of(await operator.post("/tokens", name="ann", scopes=scopes), 201)
    reader = await signed_in(browser.http, made["token"])
    address = f"{USERS}/{user.user_id}/{action}"
    before = await status_of(operator, user)
    assert address not in (await reader.get(f"{USERS}/{user.user_id}")).text
    page = await reader.get(address)
    assert page.status_code == 403
    assert (await reader.post(address, page, "/console/sign-out")).status_code == 403
    assert await status_of(operator, user) == before
