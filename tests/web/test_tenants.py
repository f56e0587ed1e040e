"""What is one owner's is no other's: at every address that names something, by the served document.

An address that is added is asked here without anybody thinking of it; one that names what nothing
here has made fails until it is made.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from storecredit.web.app import openapi_document
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of
from tests.web.tenants import NOBODYS, REQUEST_IDS, Two, two_stores
from tests.web.users import UserClient, user_of

NAME: Final = re.compile(r"\{(\w+)\}")
OWNERS: Final = ("store_id", "user_id")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and an address, and a body that it takes."""

    method: str
    path: str
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        """What the address names, as `hold_id`."""
        return NAME.findall(self.path)

    async def sent(
        self, http: httpx.AsyncClient, headers: Mapping[str, str], values: Mapping[str, str]
    ) -> httpx.Response:
        """The answer, of these ids."""
        path = NAME.sub(lambda found: values[found[1]], self.path)
        body = {} if self.body is None else {"json": self.body}
        return await http.request(self.method, path, headers=headers, **body)


def operations(prefix: str) -> Iterator[Operation]:
    """All below it."""
    for path, methods in json.loads(openapi_document())["paths"].items():
        if not path.startswith(prefix):
            continue
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json", {}).get("example", {} if content else None)
            yield Operation(method.upper(), path, body)


OF_STORES: Final = tuple(operations("/api/v1/"))
OF_OPERATOR: Final = tuple(operations("/api/admin/"))
NAMING: Final = tuple(each for each in OF_STORES if each.names)
LISTS: Final = tuple(each for each in OF_STORES if not each.names and each.method == "GET")
NAMING_TWICE: Final = tuple(each for each in OF_OPERATOR if set(each.names) & {*OWNERS})


@pytest.fixture
async def two(operator: Operator) -> Two:
    return await two_stores(operator)


def _told(answer: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str]:
    """Status and body, whatever ids were asked for."""
    text = answer.text
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return answer.status_code, re.sub(r'"request_id":"[^"]*"', "", text)


async def _seen_by(store: StoreClient, ids: Mapping[str, str]) -> dict[str, Any]:
    """All that a store can read of its own."""
    seen = {}
    for operation in OF_STORES:
        if operation.method == "GET" and not operation.path.endswith("/health"):
            answer = await operation.sent(store.http, bearer(store.api_key), ids)
            assert answer.status_code in {200, 404}, f"{operation}: {answer.text}"
            seen[str(operation)] = answer.json()
    return seen


async def test_what_a_store_has_is_to_others_as_if_it_were_not(two: Two) -> None:
    before = await _seen_by(two.first, two.of_first)
    for operation in NAMING:
        own = {name: two.of_first[name] for name in operation.names}
        nobodys = {name: NOBODYS[name] for name in operation.names}
        other = await operation.sent(two.second.http, bearer(two.second.api_key), own)
        unknown = await operation.sent(two.second.http, bearer(two.second.api_key), nobodys)
        assert other.status_code == 404, f"{operation}: {other.text}"
        assert _told(other, own) == _told(unknown, nobodys), f"{operation} tells that it is there"
    assert await _seen_by(two.first, two.of_first) == before, "and nothing of it was changed"
    assert len(NAMING) >= 18


async def test_all_of_it_is_there_for_the_store_itself(two: Two) -> None:
    """Else the test above would pass with addresses that nobody can reach."""
    reads = [each for each in NAMING if each.method == "GET"]
    for operation in reads:
        answer = await operation.sent(two.first.http, bearer(two.first.api_key), two.of_first)
        assert answer.status_code == 200, f"{operation}: {answer.text}"
    assert len(reads) >= 5


async def test_no_list_shows_what_is_anothers(two: Two) -> None:
    ids = {*two.of_first.values(), *REQUEST_IDS}
    for operation in LISTS:
        for request_id in (None, *REQUEST_IDS):
            asked: dict[str, str] = {} if request_id is None else {"request_id": request_id}
            answer = await two.second.send("GET", operation.path, params=asked)
            if answer.status_code == 400 and asked:
                continue  # It knows no such filter.
            shown = answer.text.replace(request_id or "-", "")
            assert not [value for value in ids if value in shown], f"{operation}: {answer.text}"
    assert len(LISTS) >= 9


async def test_the_operators_addresses_name_what_is_that_owners(
    two: Two, operator: Operator, user: UserClient
) -> None:
    other = user_of(operator.http)
    for each in (user, other):
        await each.balance()
    owners = {"store_id": two.second.store_id, "user_id": str(other.user_id)}
    things = dict(two.of_first) | await _held_and_spent(operator, str(user.user_id))
    asked = 0
    for operation in NAMING_TWICE:
        # A grant is named by its place in its owner's ledger: there is one in each.
        names = [name for name in operation.names if name not in {*OWNERS, "seq"}]
        if not names:
            continue
        of = things if "user_id" not in operation.names else things | _of_user(things)
        own = {name: of[name] for name in names}
        nobodys = {name: NOBODYS[name] for name in names}
        found = await operation.sent(operator.http, bearer(OPERATOR_TOKEN), owners | own)
        unknown = await operation.sent(operator.http, bearer(OPERATOR_TOKEN), owners | nobodys)
        assert found.status_code == 404, f"{operation}: {found.text}"
        assert _told(found, own) == _told(unknown, nobodys), str(operation)
        asked += 1
    assert asked >= 20


def _of_user(things: Mapping[str, str]) -> dict[str, str]:
    """Those of the end user, by the names that addresses have for them."""
    mark = "user's "
    return {name.removeprefix(mark): each for name, each in things.items() if name.startswith(mark)}


async def _held_and_spent(operator: Operator, user_id: str) -> dict[str, str]:
    given = {"amount": 50, "type": "grant", "request_id": "given"}
    data_of(await operator.post(f"/users/{user_id}/credits", **given), 201)
    headers = {"X-Request-Id": "user-spent"}
    path = f"/users/{user_id}/spend"
    data_of(await operator.send("POST", path, headers=headers, json={"amount": 3}), 201)
    body = {"amount": 4, "expires_in_seconds": 999}
    held = data_of(await operator.post(f"/users/{user_id}/holds", **body), 201)
    return {"user's spend_request_id": "user-spent", "user's hold_id": held["hold_id"]}
