"""`POST /api/v1/credits/holds`: credits are set aside. How they end is in test_hold_ends.py."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from storecredit.service import Service
from tests.log_stream import LogStream
from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import HOLDS, hold, read
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP

REFUSED = "storecredit_credits_refused_total"


async def test_credits_are_set_aside_and_written_down(
    store: StoreClient, rows: Rows, admin: asyncpg.Connection, log: LogStream
) -> None:
    metadata = {"order": "1001", "scene": "\N{SNOWMAN}"}
    answer = await hold(
        store, "film-1", 30, expires_in_seconds=60, description="A film", metadata=metadata
    )
    made = data_of(answer, 201)
    hold_id, expires_at = made.pop("hold_id"), made.pop("expires_at")
    assert made == {"amount": 30, "balance": 70, "request_id": "film-1", "status": "held"}
    assert answer.headers["x-request-id"] == "film-1"
    assert answer.headers["x-credits-remaining"] == "70"
    assert answer.headers["location"] == f"{HOLDS}/{hold_id}"
    assert "idempotent-replayed" not in answer.headers
    assert await rows.ledger(store.store_id, "hold") == [
        {
            "seq": 2,
            "type": "hold",
            "amount": 30,
            "balance_after": 70,
            "request_id": "film-1",
            "session_id": None,
        }
    ]
    row = await admin.fetchrow(
        """SELECT h.*, m.held_after FROM holds h JOIN movements m USING (account_id, seq)
           WHERE hold_id = $1""",
        UUID(hold_id),
    )
    assert row is not None
    assert (row["status"], row["captured"], row["ended_at"]) == ("held", None, None)
    assert row["held_after"] == 30
    assert row["expires_at"] - row["created_at"] == timedelta(seconds=60)
    assert datetime.fromisoformat(expires_at) == row["expires_at"]
    balance = data_of(await store.get("/api/v1/credits/balance"))
    assert balance == {"balance": 70, "total_purchased": 100, "total_spent": 0, "held": 30}
    assert await read(store, hold_id) == {
        "hold_id": hold_id,
        "status": "held",
        "request_id": "film-1",
        "amount": 30,
        "captured": None,
        "description": "A film",
        "metadata": metadata,
        "created_at": (await read(store, hold_id))["created_at"],
        "expires_at": expires_at,
        "ended_at": None,
    }
    [line] = [
        line for line in log.events("request") if line["method"] == "POST" and "hold_id" in line
    ]
    assert (line["hold_id"], line["amount"], line["request_id"]) == (hold_id, 30, "film-1")
    assert "A film" not in log.getvalue()
    assert "scene" not in log.getvalue()


async def test_the_same_request_holds_once_however_often_it_is_sent(
    store: StoreClient, rows: Rows
) -> None:
    body: dict[str, Any] = {"description": "A film", "metadata": {"a": "1", "b": "2"}}
    answers = await asyncio.gather(*(hold(store, "film-1", 7, **body) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {200: 19, 201: 1}
    other_order = body | {"metadata": {"b": "2", "a": "1"}, "expires_in_seconds": 600}
    again = await hold(store, "film-1", 7, **other_order)
    for answer in [*answers, again]:
        told = answer.headers.get("idempotent-replayed")
        assert told == ("true" if answer.status_code == 200 else None)
    told = {answer.text for answer in [*answers, again]}
    assert len(told) == 1, "each is answered as the first was"
    assert len(await rows.ledger(store.store_id, "hold")) == 1
    before = await rows.counts()
    others: list[dict[str, Any]] = [
        {"amount": 8},
        {"description": "Another film"},
        {"metadata": {"a": "1"}},
        {"expires_in_seconds": 601},
    ]
    for other in others:
        changed = {"amount": 7} | body | other
        error_of(await hold(store, "film-1", **changed), 422, "IDEMPOTENCY_CONFLICT")
    data_of(await store.create("picture-1"), 201)
    error_of(await hold(store, "picture-1", 1), 422, "IDEMPOTENCY_CONFLICT")
    error_of(await store.create("film-1"), 422, "IDEMPOTENCY_CONFLICT")
    assert (await rows.counts())["holds"] == before["holds"]
    assert await store.balance() == 92


async def test_more_than_there_is_is_refused_and_leaves_no_trace(
    operator: Operator, rows: Rows, service: Service
) -> None:
    registry = service.parts.metrics.registry
    refused_before = registry.get_sample_value(REFUSED) or 0
    store = await operator.store(credits=5)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=100))
    before = await rows.counts()
    answer = await hold(store, "film-1", 6)
    error = error_of(answer, 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (5, 6)
    assert answer.headers["x-credits-remaining"] == "5"
    assert await rows.counts() == before
    assert registry.get_sample_value(REFUSED) == refused_before + 1
    grant = {"amount": 1, "type": "grant", "request_id": "one-more"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **grant), 201)
    assert data_of(await hold(store, "film-1", 6), 201)["balance"] == 0


async def test_of_many_at_once_as_many_are_held_as_there_are_credits(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=10)
    answers = await asyncio.gather(*(hold(store, f"film-{n}", 3) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 402: 47}
    assert await store.balance() == 1
    assert [row["amount"] for row in await rows.ledger(store.store_id, "hold")] == [3] * 3


async def test_what_cannot_be_held_is_refused_and_named(store: StoreClient, rows: Rows) -> None:
    before = await rows.counts()
    cannot_be: list[dict[str, Any]] = [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": 10**9 + 1},
        {"amount": None},
        {"amount": True},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 604_801},
        {"expires_in_seconds": 1.5},
        {"expires_in_seconds": None},
        {"description": "d" * 201},
        {"description": "a\0b"},
        {"metadata": {"a": 1}},
        {"metadata": {str(n): "" for n in range(21)}},
        {"metadata": []},
        {"expires_at": "2027-01-01T00:00:00Z"},
    ]
    for wrong in cannot_be:
        answer = await hold(store, "film-1", **({"amount": 1} | wrong))
        details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert {detail["key"].partition("[")[0] for detail in details} == set(wrong), wrong
    [detail] = error_of(await store.send("POST", HOLDS, json={}), 400, "VALIDATION_ERROR")[
        "details"
    ]
    assert "amount" in detail["message"]
    error_of(await hold(store, "a" * 201, 1), 400, "VALIDATION_ERROR")
    assert await rows.counts() == before
    for fine in (1, 604_800):
        data_of(await hold(store, None, 1, expires_in_seconds=fine), 201)


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "POST", HOLDS)


async def test_other_methods_are_refused_and_holds_count_as_spends(
    operator: Operator, store: StoreClient
) -> None:
    await assert_other_methods_are_refused(store, HOLDS, "POST", "GET")
    tight = await operator.store(tier="tight")
    answer = await hold(tight, "film-1", 1)
    data_of(answer, 201)
    assert answer.headers["x-ratelimit-limit"] == "20"
    read_answer = await tight.get(HOLDS)
    assert read_answer.headers["x-ratelimit-limit"] == "2"
