"""Bad input to spends: its documented error, nothing taken, and the same without the framework."""

import json
from collections.abc import Mapping

from storecredit.service import Service
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.spends import BATCH, SPEND, item, spent
from tests.web.table_rows import Rows
from tests.web.test_direct import ORDER, Asked, both_ways, reach
from tests.web.test_generation_create_input import NO_BODY_OF_THIS_KIND, NO_JSON, SECRET

pytestmark = ONE_LOOP


def body(**fields: object) -> bytes:
    return json.dumps({"amount": 5} | fields).encode()


WRONG_FIELDS: Mapping[str, tuple[bytes, str]] = {
    "no amount": (b"{}", "amount"),
    "amount null": (body(amount=None), "amount"),
    "an amount of nothing": (body(amount=0), "amount"),
    "an amount below nothing": (body(amount=-5), "amount"),
    "an amount of more than a thousand million": (body(amount=1_000_000_001), "amount"),
    "an amount beyond 64 bits": (body(amount=2**64), "amount"),
    "a part of a credit": (body(amount=0.5), "amount"),
    "an amount in words": (body(amount=SECRET), "amount"),
    "an amount that is true": (body(amount=True), "amount"),
    "a description of 201 characters": (body(description="d" * 201), "description"),
    "a description that is a number": (body(description=7), "description"),
    "a description with a NUL": (body(description=f"{SECRET}\0"), "description"),
    "metadata of 21 entries": (body(metadata={str(n): "" for n in range(21)}), "metadata"),
    "metadata with a number": (body(metadata={SECRET: 7}), "metadata[...]"),
    "an unknown field": (body(colour="red"), "colour"),
}
TAKEN: Mapping[str, bytes] = {
    "the least": body(amount=1),
    "a whole number with a point": body(amount=5.0),
    "a number in quotes": body(amount="5"),
    "the longest description": body(description="\N{SNOWMAN}" * 200),
    "no description": body(description=None),
    "no metadata": body(metadata=None),
    "a NUL in metadata": body(metadata={"a\0": "b\0"}),
}


def asked(content: bytes, *headers: tuple[str, str], path: str = SPEND) -> Asked:
    return Asked("POST", path, headers, (content,))


def batch(*items: object) -> Asked:
    return asked(json.dumps({"items": items}).encode(), path=BATCH)


async def test_a_wrong_field_is_named_its_value_not_repeated_and_nothing_taken(
    store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    for name, (content, key) in WRONG_FIELDS.items():
        answer = await store.send("POST", SPEND, content=content)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert (detail["key"], detail["source"]) == (key, "body"), name
        assert SECRET not in answer.text, name
    for name, content in NO_BODY_OF_THIS_KIND.items():
        for path in (SPEND, BATCH):
            answer = await store.send("POST", path, content=content)
            assert answer.status_code == 400, name
            assert SECRET not in answer.text, name
    for request_id in ("", "r" * 201, "a\tb"):
        answer = await store.send("POST", SPEND, headers={"Idempotency-Key": request_id})
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == "idempotency-key"
    answer = await store.send("POST", f"{SPEND}?amount=5", content=body())
    error_of(answer, 400, "VALIDATION_ERROR")
    answer = await store.send("POST", SPEND, content=body() + b" " * 5_000_000)
    error_of(answer, 413, "PAYLOAD_TOO_LARGE")
    assert await rows.counts() == before


async def test_whatever_is_taken_is_taken_once(store: StoreClient) -> None:
    for content in TAKEN.values():
        data_of(await store.send("POST", SPEND, content=content), 201)
    assert await store.balance() == 100 - 5 * len(TAKEN) + 4


async def test_the_largest_amount_can_be_spent(operator: Operator) -> None:
    store = await operator.store(credits=1_000_000_000)
    assert (await spent(store, "all", 1_000_000_000))["balance"] == 0


async def test_with_and_without_the_framework_the_same_is_answered(
    service: Service, operator: Operator, store: StoreClient
) -> None:
    history = {
        "a spend": asked(body(description="d"), ORDER),
        "its replay": asked(body(description="d"), ORDER),
        "its id for another": asked(body(), ORDER),
        "more than there is": asked(body(amount=1000), ("idempotency-key", "dear")),
        "without an id": asked(body()),
        "two slashes": asked(body(), path=SPEND.replace("/v1/", "/v1//")),
        "a batch": batch(item("one", 1), item("one", 1), item("two", 1000), item("order-1", 1)),
        "a bad item": batch(item("three", 1), item("a\tb", 1), item("four", 1, description="\0")),
        "no items": batch(),
        "items that are none": batch(1, None, []),
        "a read at the address of batches": Asked("GET", BATCH),
        "another method": Asked("PUT", SPEND),
        **{name: asked(content) for name, (content, _) in WRONG_FIELDS.items()},
        **{f"{name} of a batch": asked(text, path=BATCH) for name, text in TAKEN.items()},
        **{name: asked(content) for name, content in TAKEN.items()},
        **{
            name: asked(content, ("content-type", content_type))
            for name, (content_type, content, _) in NO_JSON.items()
        },
    }
    await both_ways(service, operator, history)
    for plain in (history["a spend"], history["a batch"]):
        assert await reach(service, store, plain) == []
    for other in (history["a bad item"], history["no items"], history["an unknown field"]):
        assert await reach(service, store, other) != []
