"""`POST /api/v1/credits/spend/{request_id}/refund`: given back in parts, never more than taken."""

import asyncio
from collections import Counter

import asyncpg
import pytest

from storecredit.service import Service
from tests.log_stream import LogStream
from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import HOLDS, hold
from tests.web.spends import SPEND, item, read, refund, spend, spend_batch, spent
from tests.web.table_rows import ACCOUNT, Rows

pytestmark = ONE_LOOP


async def test_it_is_given_back_in_parts_and_what_is_left_is_told(
    store: StoreClient, rows: Rows
) -> None:
    await spent(store, "order-1", 30)
    answer = await refund(store, "order-1", "refund-1", 10)
    assert data_of(answer, 201) == {
        "request_id": "refund-1",
        "spend_request_id": "order-1",
        "amount": 10,
        "refundable": 20,
        "balance": 80,
    }
    assert answer.headers["x-credits-remaining"] == "80"
    before = await rows.counts()
    error = error_of(await refund(store, "order-1", "refund-2", 21), 422, "REFUND_EXCEEDS_SPEND")
    assert error["refundable"] == 20
    assert await rows.counts() == before
    rest = data_of(await refund(store, "order-1", "refund-2"), 201)
    assert (rest["amount"], rest["refundable"], rest["balance"]) == (20, 0, 100)
    for amount in (1, None):
        answer = await refund(store, "order-1", "refund-3", amount)
        assert error_of(answer, 422, "REFUND_EXCEEDS_SPEND")["refundable"] == 0
    assert [
        (row["request_id"], row["amount"], row["balance_after"])
        for row in await rows.ledger(store.store_id, "refund")
    ] == [("refund-1", 10, 80), ("refund-2", 20, 100)]


async def test_the_same_refund_is_made_once_and_another_under_its_id_is_none(
    store: StoreClient, rows: Rows
) -> None:
    for spend_id in ("order-1", "order-2"):
        await spent(store, spend_id, 20)
    answers = await asyncio.gather(*(refund(store, "order-1", "refund-1", 5) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {200: 9, 201: 1}
    for answer in answers:
        told = answer.headers.get("idempotent-replayed")
        assert told == ("true" if answer.status_code == 200 else None)
        data = data_of(answer, answer.status_code)
        assert (data["amount"], data["refundable"], data["balance"]) == (5, 15, 65)
    data_of(await refund(store, "order-2", "refund-2"), 201)
    assert data_of(await refund(store, "order-2", "refund-2"), 200)["amount"] == 20
    await store.created("generation-1")
    before = await rows.counts()
    for spend_id, refund_id, amount in (
        ("order-1", "refund-1", 6),  # another amount
        ("order-2", "refund-1", 5),  # another spend
        ("order-1", "order-2", 5),  # a spend's own id
        ("order-1", "generation-1", 5),
    ):
        error_of(await refund(store, spend_id, refund_id, amount), 422, "IDEMPOTENCY_CONFLICT")
    assert await rows.counts() == before
    error_of(await spend(store, "refund-1", 5), 422, "IDEMPOTENCY_CONFLICT")


async def test_parts_that_race_never_give_back_more_than_was_taken(
    store: StoreClient, rows: Rows
) -> None:
    await spent(store, "order-1", 50)
    answers = await asyncio.gather(
        *(refund(store, "order-1", f"refund-{place}", 4) for place in range(25)),
        *(refund(store, "order-1", f"rest-{place}") for place in range(3)),
    )
    made = [data_of(answer, 201) for answer in answers if answer.status_code == 201]
    assert sum(each["amount"] for each in made) == 50
    for answer in answers:
        if answer.status_code != 201:
            error_of(answer, 422, "REFUND_EXCEEDS_SPEND")
    assert await store.balance() == 100
    assert sum(row["amount"] for row in await rows.ledger(store.store_id, "refund")) == 50
    found = await read(store, "order-1")
    assert (found["refunded"], found["refundable"]) == (50, 0)


async def test_what_is_no_spend_of_this_store_is_not_found(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    other = await operator.store()
    await spent(other, "theirs", 5)
    await store.created("generation-1")
    before = await rows.counts()
    for unknown in ("theirs", "generation-1", UNKNOWN, "a/b", "\0", "\N{SNOWMAN}", "r" * 300):
        answer = await refund(store, unknown, "refund-1", 1)
        error_of(answer, 404, "NOT_FOUND")
        error_of(await store.get(f"{SPEND}/{UNKNOWN}"), 404, "NOT_FOUND")
    assert await rows.counts() == before


async def test_what_a_captured_hold_took_is_given_back_in_parts(store: StoreClient) -> None:
    made = await hold(store, "film-1", 10, description="A film", metadata={"a": "b"})
    hold_id = data_of(made, 201)["hold_id"]
    error_of(await refund(store, "film-1", "refund-1", 1), 404, "NOT_FOUND")
    data_of(await store.send("POST", f"{HOLDS}/{hold_id}/capture", json={"amount": 7}))
    part = data_of(await refund(store, "film-1", "refund-1", 3), 201)
    assert (part["refundable"], part["balance"]) == (4, 96)
    error = error_of(await refund(store, "film-1", "refund-2", 5), 422, "REFUND_EXCEEDS_SPEND")
    assert error["refundable"] == 4
    found = await read(store, "film-1")
    told = ("amount", "charged_as", "metadata", "refunded")
    assert [found[name] for name in told] == [7, "balance", {"a": "b"}, 3]


async def test_beside_a_refund_by_the_function_that_knows_no_parts(
    store: StoreClient, admin: asyncpg.Connection
) -> None:
    """That one stands under the spend's own id, which a part may have, too: once."""
    for spend_id in ("order-1", "order-2"):
        await spent(store, spend_id, 9)
    whole = "SELECT refund_store_credits($1, 4, $2, 'By hand')"
    await admin.execute(whole, store.store_id, "order-1")
    found = await read(store, "order-1")
    assert (found["refunded"], found["refundable"]) == (4, 5)
    for amount in (4, 5, None):
        error_of(await refund(store, "order-1", "order-1", amount), 422, "IDEMPOTENCY_CONFLICT")
    assert data_of(await refund(store, "order-1", "refund-1"), 201)["amount"] == 5
    part = data_of(await refund(store, "order-2", "order-2", 4), 201)
    assert data_of(await refund(store, "order-2", "order-2", 4), 200) == part
    error_of(await refund(store, "order-2", "order-2", 5), 422, "IDEMPOTENCY_CONFLICT")
    assert await store.balance() == 95


async def close_month(admin: asyncpg.Connection, store: StoreClient) -> None:
    """Bill what the store used beyond its balance."""
    await admin.execute(
        f"SELECT close_overage({ACCOUNT}, date_trunc('month', now())::date, 1, 'USD')",
        store.store_id,
    )


async def test_overage_comes_off_what_is_used_and_once_billed_is_given_as_credits(
    operator: Operator, admin: asyncpg.Connection, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=20))
    assert (await spent(store, "order-1", 12))["charged_as"] == "overage"
    first = data_of(await refund(store, "order-1", "refund-1", 5), 201)
    assert (first["refundable"], first["balance"]) == (7, 0)
    balance = data_of(await store.get("/api/v1/credits/balance"))
    assert (balance["balance"], balance["overage_used"]) == (0, 7)
    await close_month(admin, store)
    second = data_of(await refund(store, "order-1", "refund-2"), 201)
    assert (second["amount"], second["refundable"], second["balance"]) == (7, 0, 7)
    # Told as it was made, also of the part from before the bill.
    again = data_of(await refund(store, "order-1", "refund-1", 5), 200)
    assert (again["amount"], again["refundable"], again["balance"]) == (5, 0, 7)
    error_of(await refund(store, "order-1", "refund-3"), 422, "REFUND_EXCEEDS_SPEND")
    given = await rows.ledger(store.store_id, "overage_refund", "overage_credit")
    assert [(row["type"], row["amount"]) for row in given] == [
        ("overage_refund", 5),
        ("overage_credit", 7),
    ]


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b'{"amount": null}'])
async def test_without_an_amount_all_that_is_left_comes_back(
    store: StoreClient, content: bytes
) -> None:
    await spent(store, "order-1", 9)
    answer = await store.send("POST", f"{SPEND}/order-1/refund", content=content)
    assert data_of(answer, 201)["amount"] == 9


async def test_bad_input_is_named_and_gives_nothing_back(store: StoreClient, rows: Rows) -> None:
    await spent(store, "order-1", 9)
    before = await rows.counts()
    for content, key in (
        (b'{"amount": 0}', "amount"),
        (b'{"amount": -1}', "amount"),
        (b'{"amount": 1.5}', "amount"),
        (b'{"amount": 1000000001}', "amount"),
        (b'{"amount": "many"}', "amount"),
        (b'{"amuont": 1}', "amuont"),
        (b"[]", ""),
        (b"{", ""),
    ):
        answer = await store.send("POST", f"{SPEND}/order-1/refund", content=content)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail.get("key", "") == key, content
    assert await rows.counts() == before


async def test_whatever_an_id_is_made_of_its_spend_can_be_read_and_given_back(
    store: StoreClient,
) -> None:
    names = ["a/b", "100%", "%2F", "a b", "a?b#c", "batch", "refund", "\\", '"', "r" * 200]
    answers = await spend_batch(store, *(item(name, 2) for name in names))
    assert {each["outcome"] for each in answers} == {"spent"}
    for place, name in enumerate(names):
        data = data_of(await refund(store, name, f"refund-{place}", 1), 201)
        assert (data["spend_request_id"], data["refundable"]) == (name, 1)
        found = await read(store, name)
        assert (found["request_id"], found["refunded"]) == (name, 1)


async def test_only_a_working_key_is_let_in_by_post(operator: Operator, store: StoreClient) -> None:
    path = f"{SPEND}/order-1/refund"
    await assert_only_a_working_key_is_let_in(operator, "POST", path)
    await assert_other_methods_are_refused(store, path, "POST")


async def test_it_is_counted_and_logged_by_what_came_back(
    store: StoreClient, service: Service, log: LogStream
) -> None:
    name = "storecredit_credits_refunded_total"
    value = service.parts.metrics.registry.get_sample_value
    before = value(name) or 0.0
    await spent(store, "order-1", 9)
    log.forget()
    data_of(await refund(store, "order-1", "refund-1"), 201)
    data_of(await refund(store, "order-1", "refund-1"), 200)
    lines = log.events("request")
    assert [(line["request_id"], line["amount"]) for line in lines] == [("refund-1", 9)] * 2
    assert {line["route"] for line in lines} == {f"{SPEND}/{{spend_request_id}}/refund"}
    assert value(name) == before + 9
