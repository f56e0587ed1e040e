"""`POST /api/v1/credits/spend`: credits taken for whatever they pay for.

Bad input is in test_spend_input.py, answers that are lost in crash/test_lost_answers.py.
"""

import asyncio
from collections import Counter
from typing import Any

from storecredit.service import Service
from storecredit.telemetry import Metrics
from tests.log_stream import LogStream
from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import HOLDS, hold, keyed
from tests.web.spends import SPEND, read, refund, spend, spent
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP


async def test_credits_are_taken_and_written_down(store: StoreClient, rows: Rows) -> None:
    metadata = {"order": "1001", "page": "\N{SNOWMAN}\0"}
    answer = await spend(store, "order-1", 30, description="Translation", metadata=metadata)
    assert data_of(answer, 201) == {
        "request_id": "order-1",
        "amount": 30,
        "balance": 70,
        "charged_as": "balance",
    }
    assert answer.headers["x-request-id"] == "order-1"
    assert answer.headers["x-credits-remaining"] == "70"
    assert "idempotent-replayed" not in answer.headers
    assert await rows.ledger(store.store_id, "deduction") == [
        {
            "seq": 2,
            "type": "deduction",
            "amount": 30,
            "balance_after": 70,
            "request_id": "order-1",
            "session_id": None,
        }
    ]
    assert await rows.jobs() == []
    found = data_of(await store.get(answer.headers["location"]))
    assert (found["request_id"], found["metadata"]) == ("order-1", metadata)
    newest = data_of(await store.get("/api/v1/credits/transactions"))["items"][0]
    assert newest["description"] == "Translation"


async def test_the_same_request_takes_once_however_often_it_is_sent(
    store: StoreClient, rows: Rows
) -> None:
    answers = await asyncio.gather(
        *(spend(store, "order-1", 7, metadata={"a": "1", "b": "2"}) for _ in range(20))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 19, 201: 1}
    again = await spend(store, "order-1", 7, metadata={"b": "2", "a": "1"})
    for answer in [*answers, again]:
        told = answer.headers.get("idempotent-replayed")
        assert told == ("true" if answer.status_code == 200 else None)
        data = data_of(answer, answer.status_code)
        assert (data["amount"], data["balance"], data["charged_as"]) == (7, 93, "balance")
        assert answer.headers["location"]
    before = await rows.counts()
    for other in (
        {"amount": 8},
        {"description": "b"},
        {"metadata": {"a": "1"}},
        {"metadata": None},
    ):
        body = {"amount": 7, "metadata": {"a": "1", "b": "2"}} | other
        answer = await store.send("POST", SPEND, headers=keyed("order-1"), json=body)
        error_of(answer, 422, "IDEMPOTENCY_CONFLICT")
    assert await rows.counts() == before
    assert await store.balance() == 93


async def test_an_id_is_made_where_none_is_sent_and_names_the_spend(store: StoreClient) -> None:
    first = data_of(await spend(store, None, 1), 201)
    second = data_of(await spend(store, None, 1, headers={"X-Request-Id": "trace-1"}), 201)
    assert first["request_id"].startswith("req_")
    assert second["request_id"] == "trace-1"
    assert (await read(store, first["request_id"]))["amount"] == 1
    data_of(await spend(store, '"trace-1"', 1), 200)


async def test_what_the_credits_do_not_suffice_for_leaves_no_trace(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=10)
    before = await rows.counts()
    answer = await spend(store, "order-1", 11)
    error = error_of(answer, 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (10, 11)
    assert answer.headers["x-credits-remaining"] == "10"
    assert await rows.counts() == before
    error_of(await store.get(f"{SPEND}/order-1"), 404, "NOT_FOUND")
    grant = {"amount": 1, "type": "grant", "request_id": "order-1"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **grant), 201)
    assert (await spent(store, "order-1", 11))["balance"] == 0


async def test_beyond_the_balance_it_is_overage(operator: Operator, rows: Rows) -> None:
    store = await operator.store(credits=10)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=20))
    assert (await spent(store, "all", 10))["charged_as"] == "balance"
    beyond = await spent(store, "beyond", 20)
    assert (beyond["balance"], beyond["charged_as"]) == (0, "overage")
    assert data_of(await spend(store, "beyond", 20), 200)["charged_as"] == "overage"
    assert (await read(store, "beyond"))["charged_as"] == "overage"
    error_of(await spend(store, "further", 1), 402, "INSUFFICIENT_CREDITS")
    [movement] = await rows.ledger(store.store_id, "overage")
    assert (movement["amount"], movement["balance_after"]) == (20, 0)


async def test_fifty_at_once_share_the_last_credits(operator: Operator, rows: Rows) -> None:
    store = await operator.store(credits=100)
    answers = await asyncio.gather(*(spend(store, f"call-{place}", 7) for place in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 14, 402: 36}
    assert await store.balance() == 2
    assert len(await rows.ledger(store.store_id, "deduction")) == 14


async def test_a_request_id_belongs_to_a_generation_a_spend_a_refund_or_a_hold(
    store: StoreClient, rows: Rows
) -> None:
    await store.created("generation-1")
    await spent(store, "spend-1", 2)
    data_of(await refund(store, "spend-1", "refund-1", 1), 201)
    hold_id = data_of(await hold(store, "hold-1", 1), 201)["hold_id"]
    taken = {"generation-1", "spend-1", "refund-1", "hold-1"}
    before = await rows.counts()
    for request_id in taken - {"spend-1"}:
        for amount in (1, 2):
            error_of(await spend(store, request_id, amount), 422, "IDEMPOTENCY_CONFLICT")
        error_of(await store.get(f"{SPEND}/{request_id}"), 404, "NOT_FOUND")
    for request_id in taken - {"generation-1"}:
        error_of(await store.create(request_id), 422, "IDEMPOTENCY_CONFLICT")
    for request_id in taken - {"hold-1"}:
        error_of(await hold(store, request_id, 1), 422, "IDEMPOTENCY_CONFLICT")
    for request_id in taken - {"refund-1"}:
        answer = await refund(store, "spend-1", request_id, 1)
        assert answer.status_code == (201 if request_id == "spend-1" else 422), request_id
    assert await rows.counts() == before | {"movements": before["movements"] + 1}
    assert await store.balance() == 98
    # What a hold was captured for is a spend, by the hold's name.
    data_of(await store.send("POST", f"{HOLDS}/{hold_id}/capture"))
    assert (await read(store, "hold-1"))["refundable"] == 1
    error_of(await spend(store, "hold-1", 1), 422, "IDEMPOTENCY_CONFLICT")


async def test_two_stores_may_use_the_same_request_id(operator: Operator) -> None:
    one, other = await operator.store(), await operator.store()
    assert (await spent(one, "order-1", 1))["balance"] == 99
    assert (await spent(other, "order-1", 2))["balance"] == 98


async def test_spends_are_limited_apart_from_generations_and_reads(
    operator: Operator, service: Service
) -> None:
    factor = service.parts.settings.rate_limit_spend_factor
    store = await operator.store(tier="tight")
    data_of(await store.create(), 201)
    answer = await spend(store, "order-1", 1)
    assert answer.headers["x-ratelimit-limit"] == str(factor)
    assert answer.headers["x-ratelimit-remaining"] == str(factor - 1)
    for place in range(factor - 1):
        answer = await spend(store, f"call-{place}", 1)
    assert answer.headers["x-ratelimit-remaining"] == "0"
    answer = await spend(store, "beyond", 1)
    error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert await store.balance() == 99 - factor


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "POST", SPEND)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, SPEND, "POST")


async def test_it_is_counted_and_logged_without_what_it_was_for(
    store: StoreClient, service: Service, log: LogStream
) -> None:
    before = counted(service.parts.metrics)
    secret: dict[str, Any] = {"description": "swordfish", "metadata": {"swordfish": "swordfish"}}
    await spent(store, "order-1", 30, **secret)
    data_of(await spend(store, "order-1", 30, **secret), 200)
    error_of(await spend(store, "order-2", 71, **secret), 402, "INSUFFICIENT_CREDITS")
    lines = [line for line in log.events("request") if line["route"] == SPEND]
    assert [(line["request_id"], line["amount"]) for line in lines] == [
        ("order-1", 30),
        ("order-1", 30),
        ("order-2", 71),
    ]
    assert "swordfish" not in log.getvalue()
    after = counted(service.parts.metrics)
    assert [now - then for now, then in zip(after, before, strict=True)] == [30, 0, 1]


def counted(metrics: Metrics) -> list[float]:
    """Credits deducted and refunded, and requests refused."""
    names = ("credits_deducted", "credits_refunded", "credits_refused")
    value = metrics.registry.get_sample_value
    return [value(f"storecredit_{name}_total") or 0.0 for name in names]
