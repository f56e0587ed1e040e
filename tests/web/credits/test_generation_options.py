"""A generation costs what the operator's price list says, by the options it is asked for with."""

import hashlib
import io
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image

from stand_ins.http_server import Received, json_answer, stand_in
from storecredit.billing.catalogue import load_catalogue
from storecredit.service import Service
from storecredit.settings import Settings
from tests.e2e.page_commands import Page
from tests.image_files import data_url, picture
from tests.web.conftest import WorkerStarter, http_client, web_settings
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import IMAGE, Operator, StoreClient, data_of, error_of
from tests.web.scrapes import samples_in, total
from tests.web.table_rows import Rows
from tests.web.users import UserClient, ended, refusal_of, result_of

PLANS = """
currency = "USD"
pay_as_you_go = { unit_amount = 18 }
"""
(PRICES,) = Page("docs/prices.md").blocks("toml")
DEARER_AND_WITHOUT_QUALITY = """
[generation]
credits = 5

[generation.options.size]
"512x512" = 1
"""
BIG = {"size": "1536x1024", "quality": "high"}
CREATE = "generation.create"

pytestmark = ONE_LOOP


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The operator has a price list; nothing is sold."""
    directory = tmp_path_factory.mktemp("data")
    file = directory / "plans.toml"
    file.write_text(PLANS + PRICES)
    return web_settings(directory).model_copy(update={"plans_file": file})


def repriced(service: Service, prices: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """The same service after a restart with another price list."""
    file = service.parts.settings.data_dir / "other.toml"
    file.write_text(PLANS + prices)
    parts = replace(service.parts, catalogue=load_catalogue(file))
    return http_client(replace(service, parts=parts))


async def moved_so_far(api: httpx.AsyncClient) -> tuple[float, float]:
    """The credits that were deducted and refunded, as the metrics count them."""
    counted = samples_in((await api.get("/metrics")).text)
    return total(counted, "credits_deducted_total"), total(counted, "credits_refunded_total")


@pytest.mark.parametrize(
    "options, price",
    [
        (None, 2),
        ({}, 2),
        ({"size": "512x512"}, 2),
        ({"size": "1536x1024"}, 4),
        ({"quality": "high"}, 6),
        (BIG, 12),
    ],
)
async def test_options_that_are_chosen_multiply_the_price(
    store: StoreClient, rows: Rows, options: object, price: int
) -> None:
    made = data_of(await store.create("order-1", options=options), 201)

    assert (made["credits_charged"], made["balance"]) == (price, 100 - price)
    assert [row["amount"] for row in await rows.ledger(store.store_id, "deduction")] == [price]
    shown = await store.generation(made["session_id"])
    assert (shown["credits_charged"], shown["credits_refunded"]) == (price, 0)


async def test_what_fails_gives_back_what_it_took(
    api: httpx.AsyncClient,
    store: StoreClient,
    operator: Operator,
    user: UserClient,
    worker: WorkerStarter,
) -> None:
    before = await moved_so_far(api)
    blocked = await store.created("order-1", prompt="forbidden", options=BIG)
    assert await store.balance() == 88

    async with worker():
        shown = await store.ended(blocked)

    assert (shown["credits_charged"], shown["credits_refunded"]) == (12, 12)
    assert await store.balance() == 100
    assert await moved_so_far(api) == (before[0] + 12, before[1] + 12)
    [seen] = data_of(await operator.get(f"/stores/{store.store_id}/generations"))["items"]
    assert (seen["credits_charged"], seen["credits_refunded"]) == (12, 12)
    moved = data_of(await store.get("/api/v1/credits/transactions", request_id="order-1"))
    assert [row["amount"] for row in moved["items"]] == [12, 12]


async def test_a_price_beyond_the_balance_is_what_is_required(operator: Operator) -> None:
    store = await operator.store(credits=11)

    error = error_of(await store.create(options=BIG), 402, "INSUFFICIENT_CREDITS")

    assert (error["balance"], error["required"]) == (11, 12)
    assert data_of(await store.create(), 201)["balance"] == 9


REFUSED: Mapping[str, tuple[object, dict[str, str]]] = {
    "an option that the list does not name": (
        {"colour": "red"},
        {"options.colour": "Unknown option. Known: `size`, `quality`."},
    ),
    "a value that the list does not name": (
        {"size": "huge"},
        {"options.size": "Expected one of `512x512`, `1536x1024`."},
    ),
    "the value of another option": (
        {"quality": "512x512"},
        {"options.quality": "Expected one of `standard`, `high`."},
    ),
    "several": (
        {"Size": "512x512", "size": "", "quality": "high"},
        {
            "options.Size": "Unknown option. Known: `size`, `quality`.",
            "options.size": "Expected one of `512x512`, `1536x1024`.",
        },
    ),
}


async def test_only_options_of_the_price_list_are_taken(store: StoreClient, rows: Rows) -> None:
    before = await rows.counts()
    for name, (options, said) in REFUSED.items():
        error = error_of(await store.create(options=options), 400, "VALIDATION_ERROR")
        told = {detail["key"]: detail["message"] for detail in error["details"]}
        assert told == said, name
        assert error["message"].endswith("Nothing was charged or changed."), name
    assert await rows.counts() == before


@pytest.mark.parametrize(
    "options, key",
    [
        ("big", "options"),
        ([], "options"),
        ({"size": 512}, "options[...]"),
        ({"size": None}, "options[...]"),
        ({"size": "x" * 51}, "options[...]"),
        ({"x" * 51: "x"}, "options"),
        ({f"{n}": "x" for n in range(21)}, "options"),
    ],
)
async def test_options_are_short_texts(store: StoreClient, options: object, key: str) -> None:
    error = error_of(await store.create(options=options), 400, "VALIDATION_ERROR")
    assert [detail["key"] for detail in error["details"]] == [key]


async def test_without_a_list_no_option_is_taken(service: Service, store: StoreClient) -> None:
    async with repriced(service, "") as elsewhere:
        there = replace(store, http=elsewhere)
        error = error_of(await there.create(options=BIG), 400, "VALIDATION_ERROR")
        assert [each["message"] for each in error["details"]] == ["No options are taken here."]
        assert data_of(await there.create(options={}), 201)["credits_charged"] == 1


async def test_a_replay_is_charged_nothing_whatever_the_price_by_now(
    service: Service, store: StoreClient
) -> None:
    plain = data_of(await store.create("plain"), 201)
    big = data_of(await store.create("big", options=BIG), 201)
    reordered = dict(reversed(BIG.items()))

    async with repriced(service, DEARER_AND_WITHOUT_QUALITY) as elsewhere:
        there = replace(store, http=elsewhere)
        for made, answer in (
            (plain, await there.create("plain")),
            (plain, await there.create("plain", options={})),
            (big, await there.create("big", options=reordered)),
        ):
            assert answer.headers["idempotent-replayed"] == "true"
            assert data_of(answer) == made | {"balance": 86}
        error_of(await there.create("big"), 422, "IDEMPOTENCY_CONFLICT")
        error_of(await there.create("plain", options=BIG), 422, "IDEMPOTENCY_CONFLICT")
        # Nobody asked for this before.
        error_of(await there.create("new", options=BIG), 400, "VALIDATION_ERROR")
    assert await store.balance() == 86


async def test_a_request_without_options_has_the_fingerprint_that_it_always_had(
    store: StoreClient, admin: asyncpg.Connection
) -> None:
    content = [{"image_urls": [IMAGE], "prompt": "a hat"}, {"cart": "c-1"}]
    text = json.dumps(content, separators=(",", ":"))

    session_id = await store.created(prompt="a hat", metadata={"cart": "c-1"}, options={})

    known = await admin.fetchval(
        "SELECT fingerprint FROM sessions WHERE session_id::text = $1", session_id
    )
    assert known == hashlib.sha256(text.encode()).digest()


async def test_the_generator_is_told_the_options_where_there_are_any(
    store: StoreClient, worker: WorkerStarter
) -> None:
    async with (
        stand_in(json_answer({"image_url": data_url(picture())})) as server,
        worker(generator="http", generator_url=server.url("/make")),
    ):
        ended = [await store.ended(await store.created(options=options)) for options in (None, BIG)]

    told: dict[str, Any] = {each["session_id"]: each for each in map(body_of, server.received)}
    plain, big = (told[each["session_id"]] for each in ended)
    assert "options" not in plain
    assert big["options"] == BIG


def body_of(request: Received) -> dict[str, Any]:
    body: dict[str, Any] = request.json()
    return body


async def test_the_collage_is_as_large_as_it_was_paid_for(
    api: httpx.AsyncClient, store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker():
        done = await store.ended(await store.created(options=BIG))

    result = await api.get(done["result_url"])
    assert Image.open(io.BytesIO(result.content)).size == (1536, 1024)


async def test_an_end_user_pays_the_same(user: UserClient, worker: WorkerStarter) -> None:
    await user.created("order-1", options={"quality": "high"})
    assert await user.balance() == 4
    message = refusal_of(await user.create(options=BIG), 402, "PAYMENT_REQUIRED", CREATE)
    assert message == "Insufficient credits: you have 4, and this needs 12."

    message = refusal_of(
        await user.create(options={"size": "huge", "x": "y"}), 400, "BAD_REQUEST", CREATE
    )
    assert message == (
        "options.size: Expected one of `512x512`, `1536x1024`. "
        "options.x: Unknown option. Known: `size`, `quality`. Nothing was charged."
    )
    assert await user.balance() == 4

    blocked = json_answer({"code": "MODERATION_BLOCKED", "message": "No."}, 422)
    async with (
        stand_in(blocked) as server,
        worker(generator="http", generator_url=server.url("/make")),
    ):
        for request_id, options in (("order-1", {"quality": "high"}), ("order-2", None)):
            lost = await user.created(request_id, options=options)
            assert (await ended(user, lost))["status"] == "failed"
    moved = result_of(await user.query("credits.getTransactions"))
    assert sorted(row["amount"] for row in moved) == [-6, -2, 2, 6, 10]
    assert await user.balance() == 10
