"""What nobody asked for is refused and its nearest name told; what is wrong is told all at once."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from storecredit.web.app import routes
from storecredit.web.http.faults import FAULTS_MAX, NAME_MAX
from storecredit.web.parts import Parts
from tests.web.checklist import UNKNOWN
from tests.web.doors import CREATE, IMAGE, Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

DOCUMENT = "/api/openapi.json"


@pytest.fixture
async def nothing_done(store: StoreClient, rows: Rows) -> AsyncIterator[None]:
    """Whatever the test sends: no row of any table comes or goes, the balance stays."""
    before = await rows.counts()
    yield
    assert await rows.counts() == before
    assert (await rows.credits(store.store_id))["balance"] == 100


async def create(store: StoreClient, fields: dict[str, Any]) -> httpx.Response:
    return await store.send("POST", CREATE, json={"image_urls": [IMAGE]} | fields)


def details(answer: httpx.Response) -> list[dict[str, str]]:
    found: list[dict[str, str]] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
    return found


def keys(answer: httpx.Response) -> list[str]:
    return [detail.get("key", "") for detail in details(answer)]


# Names


MISSPELT = {
    "promt": "prompt",
    "Prompt": "prompt",
    " prompt ": "prompt",
    "image_url": "image_urls",
    "imageUrls": "image_urls",
    "image-urls": "image_urls",
    "images": "image_urls",
    "meta_data": "metadata",
    "metdata": "metadata",
}


@pytest.mark.usefixtures("nothing_done")
async def test_a_misspelt_field_is_refused_and_the_nearest_told(store: StoreClient) -> None:
    for sent, meant in MISSPELT.items():
        answer = await create(store, {sent: "swordfish"})
        assert details(answer) == [
            {"key": sent, "source": "body", "message": f"Unknown field. Did you mean `{meant}`?"}
        ]
        assert "Nothing was charged" in answer.json()["error"]["message"]
        assert "swordfish" not in answer.text


@pytest.mark.usefixtures("nothing_done")
async def test_a_field_like_no_other_is_told_which_there_are(store: StoreClient) -> None:
    [detail] = details(await store.create(colour="red"))
    assert detail["message"] == (
        "Unknown field. Known: `image_urls`, `prompt`, `options`, `metadata`."
    )


@pytest.mark.usefixtures("nothing_done")
async def test_however_long_or_many_unknown_names_are_the_answer_is_short(
    store: StoreClient,
) -> None:
    assert keys(await create(store, {"n" * 100_000: 1})) == ["n" * NAME_MAX + "…"]
    answer = await create(store, {f"name{n}": n for n in range(10_000)})
    assert len(details(answer)) == FAULTS_MAX


async def test_names_in_metadata_are_the_stores_own(store: StoreClient) -> None:
    session_id = await store.created(metadata={"promt": "a", "Status": "b"})
    assert (await store.generation(session_id))["metadata"] == {"promt": "a", "Status": "b"}


@pytest.mark.usefixtures("nothing_done")
async def test_unknown_fields_are_refused_at_every_door(
    operator: Operator, store: StoreClient
) -> None:
    own = f"/stores/{store.store_id}"
    for path, fields, sent, meant in (
        ("/stores", {"name": "A", "shop_domain": "a.example"}, "shopDomain", "shop_domain"),
        (f"{own}/keys", {}, "allowed_origin", "allowed_origins"),
        (f"{own}/keys/{store.key_id}/rotate", {}, "graceSecs", "grace_seconds"),
        (f"{own}/credits", {"amount": 1, "type": "grant", "request_id": "r"}, "Amount", "amount"),
        (f"{own}/checkout", {"credits": 10}, "plans", "plan"),
    ):
        [detail] = details(await operator.post(path, **fields, **{sent: "x"}))
        assert (detail["key"], detail["source"]) == (sent, "body")
        assert detail["message"] == f"Unknown field. Did you mean `{meant}`?"
    [detail] = details(await operator.patch(own, nmae="B"))
    assert detail["message"] == "Unknown field. Did you mean `name`?"
    [detail] = details(await store.send("POST", "/api/v1/billing/checkout", json={"credit": 1}))
    assert detail["message"] == "Unknown field. Did you mean `credits`?"


def test_every_struct_in_a_body_forbids_what_it_does_not_know() -> None:
    async def provide_parts() -> Parts:
        raise AssertionError("no handler runs")

    app = Litestar(
        routes(),
        dependencies={"parts": Provide(provide_parts)},
        openapi_config=None,
        logging_config=None,
    )
    bodies = [
        handler.parsed_data_field.annotation
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if handler.parsed_data_field is not None
    ]
    structs = [found for body in bodies for found in structs_in(msgspec.inspect.type_info(body))]
    assert len(structs) >= 7
    for struct in structs:
        assert struct.__struct_config__.forbid_unknown_fields, struct


def structs_in(info: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(info, msgspec.inspect.StructType):
        yield info.cls
    for name in getattr(info, "__struct_fields__", ()):
        inside = getattr(info, name)
        for each in inside if isinstance(inside, tuple) else (inside,):
            if isinstance(each, msgspec.inspect.Type | msgspec.inspect.Field):
                yield from structs_in(each)


async def test_unknown_query_parameters_are_refused_at_every_door(
    operator: Operator, store: StoreClient
) -> None:
    asked = 0
    document = (await store.get(DOCUMENT)).json()
    for path, operations in document["paths"].items():
        for method in operations:
            address = re.sub(r"\{[^}]+\}", UNKNOWN, path)
            if address.startswith("/api/v1/"):
                answer = await store.send(method, f"{address}?limitt=1")
            elif address.startswith("/api/admin/"):
                address = address.removeprefix("/api/admin")
                answer = await operator.send(method, f"{address}?limitt=1")
            else:
                continue
            [detail] = details(answer)
            assert (detail["key"], detail["source"]) == ("limitt", "query"), path
            assert detail["message"].startswith("Unknown parameter"), path
            asked += 1
    assert asked >= 25


MISASKED = {
    "Status=queued": ("Status", "Unknown parameter. Did you mean `status`?"),
    "state=queued": ("state", "Unknown parameter. Did you mean `status`?"),
    "page=2": ("page", "Unknown parameter. Known: `status`, `request_id`, `limit`, `cursor`."),
    "limit=1&limit=2": ("limit", "This parameter is taken once, and was sent more than once."),
    "status=QUEUED": ("status", None),
    "status=null": ("status", None),
    "=1": ("", None),
}


async def test_a_query_that_nobody_asked_for_is_refused(store: StoreClient) -> None:
    for query, (key, message) in MISASKED.items():
        [detail] = details(await store.send("GET", f"/api/v1/generations?{query}"))
        assert detail.get("key", "") == key
        assert message is None or detail["message"] == message


async def test_no_far_fetched_name_is_proposed(store: StoreClient) -> None:
    [detail] = details(await store.get("/api/v1/credits/transactions", format="csv"))
    assert detail["message"].startswith("Unknown parameter. Known: "), "not `from`"


async def test_a_value_that_is_nearly_one_of_the_list_is_told(store: StoreClient) -> None:
    [detail] = details(await store.get("/api/v1/generations", status="Queued"))
    assert detail["message"] == (
        "Expected one of `queued`, `processing`, `completed`, `failed`. Did you mean `queued`?"
    )


# All at once


@pytest.mark.usefixtures("nothing_done")
async def test_all_faults_of_a_create_are_told_at_once(store: StoreClient) -> None:
    answer = await store.create(
        image_urls=[IMAGE, 7, "http://10.0.0.1/swordfish", None],
        prompt="swordfish" * 500,
        promt="swordfish",
        metadata={"swordfish": 7, "b": "v" * 501, "c": None},
    )
    assert [(detail["key"], detail["message"]) for detail in details(answer)] == [
        ("promt", "Unknown field. Did you mean `prompt`?"),
        ("image_urls[1]", "Expected `str`, got `int`."),
        ("image_urls[2]", "points to a private or local address."),
        ("image_urls[3]", "Expected `str`, got `null`."),
        ("prompt", "Expected `str` of length <= 4000."),
        ("metadata[...]", "Expected `str`, got `int`."),
        ("metadata[...]", "Expected `str` of length <= 500."),
        ("metadata[...]", "Expected `str`, got `null`."),
    ]
    assert "swordfish" not in answer.text


@pytest.mark.usefixtures("nothing_done")
async def test_what_is_missing_is_told_beside_what_is_wrong(store: StoreClient) -> None:
    answer = await store.send("POST", CREATE, json={"prompt": 7, "metadata": []})
    assert keys(answer) == ["image_urls", "prompt", "metadata"]


@pytest.mark.usefixtures("nothing_done")
async def test_of_a_list_that_is_too_long_no_item_is_looked_at(store: StoreClient) -> None:
    assert keys(await store.create(image_urls=["ftp://a"] * 11)) == ["image_urls"]


@pytest.mark.usefixtures("nothing_done")
async def test_all_faults_of_what_the_operator_sends_are_told_at_once(
    operator: Operator, store: StoreClient
) -> None:
    answer = await operator.post(
        "/stores",
        name="a\0b",
        tier="defualt",
        credits=-1,
        allowed_origins=["https://a.example", "*", 7],
        colour="red",
    )
    assert keys(answer) == [
        "colour",
        "name",
        "shop_domain",
        "tier",
        "credits",
        "allowed_origins[1]",
        "allowed_origins[2]",
    ]
    tier = details(answer)[3]["message"]
    assert tier.endswith("Did you mean `default`?")

    path = f"/stores/{store.store_id}"
    answer = await operator.post(
        f"{path}/credits", amount=0, type="Grant", request_id="größe", description="\0"
    )
    assert keys(answer) == ["amount", "type", "request_id", "description"]
    answer = await operator.post(
        f"{path}/keys", label="\0", expires_at="9999-12-31T23:59:59-14:00", allowed_origins=[""]
    )
    assert keys(answer) == ["label", "allowed_origins[0]", "expires_at"]
    answer = await operator.post(f"{path}/keys/{store.key_id}/rotate", grace_seconds=-1, grace=1)
    assert keys(answer) == ["grace", "grace_seconds"]


async def test_all_faults_of_a_query_are_told_at_once(store: StoreClient) -> None:
    answer = await store.get("/api/v1/generations", limit=0, status="done", colour="red")
    assert keys(answer) == ["limit", "status", "colour"]
    data_of(await store.get("/api/v1/generations", limit=1, status="failed"))
