"""What was sent along with generations, spends and holds: shown where one looks at them."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest

from storecredit.web.resources.metadata import METADATA_MAX, METADATA_TEXT_MAX
from tests.console.conftest import Browser
from tests.console.reading import text_of
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.holding import end, hold
from tests.web.users import UserClient

METADATA = {"order": "A-1001", "lines": json.dumps([{"sku": "hat", "n": 2}]), "<b>": "<i>&amp;"}
SHOWN = [("order", "A-1001"), ("lines", '[{"sku": "hat", "n": 2}]'), ("<b>", "<i>&amp;")]
_SENT = re.compile(r'<dl class="facts metadata">(.*?)</dl>', re.DOTALL)
_PAIR = re.compile(r"<dt>(.*?)</dt><dd>(.*?)</dd>", re.DOTALL)


def sent_in(page: str) -> list[list[tuple[str, str]]]:
    """The metadata on a page, that of each thing as names and values."""
    found = _SENT.findall(page)
    return [[(text_of(name), text_of(value)) for name, value in _PAIR.findall(x)] for x in found]


async def spend(store: StoreClient, request_id: str, metadata: dict[str, str] | None) -> None:
    body: dict[str, Any] = {"amount": 3, "metadata": metadata}
    headers = {"Idempotency-Key": request_id}
    answer = await store.send("POST", "/api/v1/credits/spend", headers=headers, json=body)
    data_of(answer, 201)


@pytest.fixture
def at(store: StoreClient) -> str:
    return f"/console/stores/{store.store_id}"


async def test_a_generations_stands_in_its_rows_and_in_its_life(
    browser: Browser, store: StoreClient, at: str
) -> None:
    session_id = await store.created("order-1", metadata=METADATA)
    await store.created("order-2")
    for address in (f"{at}/generations", f"{at}/ledger", f"/console/look-up?id={session_id}"):
        page = await browser.get(address)
        assert sent_in(page.text) == [SHOWN], address
        assert "&lt;i&gt;&amp;amp;" in page.text


async def test_a_spends_stands_in_its_row_and_in_its_life(
    browser: Browser, store: StoreClient, at: str
) -> None:
    await spend(store, "spend-1", METADATA)
    await spend(store, "spend-2", None)
    for address in (f"{at}/ledger", "/console/look-up?id=spend-1"):
        assert sent_in((await browser.get(address)).text) == [SHOWN], address


async def test_a_holds_stands_with_it_and_at_what_became_of_it(
    browser: Browser, store: StoreClient, at: str
) -> None:
    held = data_of(await hold(store, "hold-1", 9, metadata=METADATA), 201)
    assert sent_in((await browser.get(f"{at}/grants")).text) == [SHOWN]
    data_of(await end(store, held["hold_id"], "capture", amount=4))
    page = await browser.get(f"{at}/ledger")
    assert sent_in(page.text) == [SHOWN] * 3, "the hold, its capture, and what came back"
    assert sent_in((await browser.get("/console/look-up?id=hold-1")).text) == [SHOWN]


async def test_what_is_long_is_cut(browser: Browser, store: StoreClient, at: str) -> None:
    long = {f"{n:02d}{'n' * (METADATA_TEXT_MAX - 2)}": "v" * METADATA_TEXT_MAX for n in range(20)}
    assert len(long) == METADATA_MAX
    await spend(store, "spend-1", long)
    [sent] = sent_in((await browser.get(f"{at}/ledger")).text)
    assert len(sent) == METADATA_MAX
    assert all(len(name) <= 100 and name.endswith("…") for name, _ in sent)
    assert {value for _, value in sent} == {"v" * 199 + "…"}


async def test_it_is_nobody_elses(
    browser: Browser, operator: Operator, store: StoreClient, at: str
) -> None:
    """Another store's request of the same name has its own, or none."""
    other = await operator.store()
    await spend(store, "same", METADATA)
    await spend(other, "same", None)
    assert sent_in((await browser.get(f"{at}/ledger")).text) == [SHOWN]
    assert sent_in((await browser.get(f"/console/stores/{other.store_id}/ledger")).text) == []


async def test_an_end_users_is_gone_once_they_are_erased(
    browser: Browser, operator: Operator, user: UserClient
) -> None:
    await user.balance()
    path = f"/users/{user.user_id}"
    body = {"amount": 1, "metadata": METADATA}
    headers = {"Idempotency-Key": f"spend-{uuid4()}"}
    data_of(await operator.send("POST", f"{path}/spend", headers=headers, json=body), 201)
    address = f"/console{path}/ledger"
    assert sent_in((await browser.get(address)).text) == [SHOWN]
    data_of(await operator.post(f"{path}/erase"))
    assert sent_in((await browser.get(address)).text) == []
