"""`POST /api/v1/credits/holds/{hold_id}/capture`, `…/release` and `…/extend`."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.passing_time import pass_time
from tests.web.checklist import (
    UNKNOWN,
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import HOLDS, end, held, hold, keyed, read
from tests.web.spends import refund
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP

ENDS = ("capture", "release", "extend")
BODIES: dict[str, dict[str, object]] = {"extend": {"expires_in_seconds": 60}}


async def later(rows: Rows, store: StoreClient, **time: float) -> None:
    """Let time pass for this store."""
    await pass_time(rows.connection, timedelta(**time), await rows.account_id(store.store_id))


async def ledger_of(rows: Rows, store: StoreClient) -> list[tuple[str, int, int]]:
    """What followed the opening credits: type, amount, and the balance after it."""
    return [
        (row["type"], row["amount"], row["balance_after"])
        for row in (await rows.ledger(store.store_id))[1:]
    ]


async def test_all_of_it_is_captured_where_no_amount_is_named(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = await held(store, 30)
    answer = await end(store, hold_id, "capture")
    over = data_of(answer)
    assert datetime.fromisoformat(over.pop("ended_at")).utcoffset() == timedelta()
    assert over == {
        "hold_id": hold_id,
        "status": "captured",
        "amount": 30,
        "captured": 30,
        "released": 0,
        "balance": 70,
    }
    assert answer.headers["x-credits-remaining"] == "70"
    assert "idempotent-replayed" not in answer.headers
    assert await ledger_of(rows, store) == [("hold", 30, 70), ("capture", 30, 70)]
    found = await read(store, hold_id)
    assert (found["status"], found["captured"]) == ("captured", 30)
    balance = data_of(await store.get("/api/v1/credits/balance"))
    assert balance == {"balance": 70, "total_purchased": 100, "total_spent": 30}


async def test_what_is_not_captured_goes_back_at_once(store: StoreClient, rows: Rows) -> None:
    hold_id = await held(store, 30)
    over = data_of(await end(store, hold_id, "capture", amount=7))
    assert (over["captured"], over["released"], over["balance"]) == (7, 23, 93)
    assert await ledger_of(rows, store) == [
        ("hold", 30, 70),
        ("capture", 7, 70),
        ("release", 23, 93),
    ]


async def test_more_than_is_held_is_not_captured_and_the_hold_lives_on(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = await held(store, 30)
    before = await rows.counts()
    error = error_of(await end(store, hold_id, "capture", amount=31), 422, "CAPTURE_EXCEEDS_HOLD")
    assert error["held"] == 30
    assert await rows.counts() == before
    assert (await read(store, hold_id))["status"] == "held"
    assert data_of(await end(store, hold_id, "capture", amount=30))["balance"] == 70


async def test_all_of_it_is_released(store: StoreClient, rows: Rows) -> None:
    hold_id = await held(store, 30)
    over = data_of(await end(store, hold_id, "release"))
    assert (over["status"], over["captured"], over["released"]) == ("released", 0, 30)
    assert over["balance"] == 100
    assert await ledger_of(rows, store) == [("hold", 30, 70), ("release", 30, 100)]


async def test_the_same_end_is_answered_as_the_first_time_and_another_is_told_how_it_ended(
    store: StoreClient, rows: Rows
) -> None:
    captured, released = await held(store, 30), await held(store, 20)
    first = data_of(await end(store, captured, "capture", amount=7))
    data_of(await end(store, released, "release"))
    before = await rows.counts()
    again = await end(store, captured, "capture", amount=7)
    assert again.headers["idempotent-replayed"] == "true"
    # The balance is told as it is now.
    assert data_of(again) == first | {"balance": 93}
    again = await end(store, released, "release")
    assert again.headers["idempotent-replayed"] == "true"
    for hold_id, action, body, how in (
        (captured, "release", {}, ("captured", 7)),
        (captured, "capture", {"amount": 8}, ("captured", 7)),
        (captured, "capture", {}, ("captured", 7)),
        (captured, "capture", {"amount": 31}, ("captured", 7)),
        (captured, "extend", BODIES["extend"], ("captured", 7)),
        (released, "capture", {}, ("released", 0)),
        (released, "extend", BODIES["extend"], ("released", 0)),
    ):
        error = error_of(await end(store, hold_id, action, **body), 409, "HOLD_ENDED")
        assert (error["status"], error["captured"]) == how, (action, body)
        assert error["ended_at"] == (await read(store, hold_id))["ended_at"]
    assert await rows.counts() == before


async def test_a_hold_is_over_at_its_moment_whether_anything_has_written_that_or_not(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = await held(store, 30, expires_in_seconds=3600)
    await later(rows, store, minutes=59)
    assert await store.balance() == 70
    await later(rows, store, minutes=1)
    before = await rows.counts()
    found = await read(store, hold_id)
    assert (found["status"], found["captured"]) == ("expired", 0)
    assert found["ended_at"] == found["expires_at"]
    assert await store.balance() == 100
    assert await rows.counts() == before, "reading writes nothing"
    for action in ENDS:
        body = BODIES.get(action, {})
        error = error_of(await end(store, hold_id, action, **body), 409, "HOLD_ENDED")
        assert (error["status"], error["captured"]) == ("expired", 0), action
        assert error["ended_at"] == found["expires_at"]
    assert await ledger_of(rows, store) == [("hold", 30, 70), ("hold_expiry", 30, 100)]
    assert await read(store, hold_id) == found


async def test_a_hold_that_is_extended_lasts_longer_and_never_shorter(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = await held(store, 30, expires_in_seconds=120)
    await later(rows, store, seconds=60)
    answer = await end(store, hold_id, "extend", expires_in_seconds=600)
    extended = data_of(answer)
    assert set(extended) == {"hold_id", "status", "expires_at", "balance"}
    assert (extended["status"], extended["balance"]) == ("held", 70)
    assert answer.headers["x-credits-remaining"] == "70"
    shorter = data_of(await end(store, hold_id, "extend", expires_in_seconds=1))
    assert shorter["expires_at"] == extended["expires_at"]
    await later(rows, store, seconds=540)
    assert (await read(store, hold_id))["status"] == "held"
    assert data_of(await end(store, hold_id, "capture"))["balance"] == 70
    for wrong in ({}, {"expires_in_seconds": 0}, {"expires_in_seconds": 604_801}):
        path = f"{HOLDS}/{hold_id}/extend"
        error_of(await store.send("POST", path, json=wrong), 400, "VALIDATION_ERROR")


async def test_a_hold_is_extended_once_by_a_request(store: StoreClient, rows: Rows) -> None:
    hold_id = await held(store, 30)

    async def extend(request_id: str, seconds: int) -> httpx.Response:
        body = {"expires_in_seconds": seconds}
        path = f"{HOLDS}/{hold_id}/extend"
        return await store.send("POST", path, headers=keyed(request_id), json=body)

    first = data_of(await extend("longer-1", 3600))
    await later(rows, store, seconds=60)
    until = (await read(store, hold_id))["expires_at"]
    assert until != first["expires_at"], "the hold is in the past by now, and so is its end"
    again = await extend("longer-1", 3600)
    assert again.headers["idempotent-replayed"] == "true"
    assert data_of(again) == first | {"expires_at": until}
    error_of(await extend("longer-1", 7200), 422, "IDEMPOTENCY_CONFLICT")
    assert (await read(store, hold_id))["expires_at"] == until
    more = await extend("longer-2", 3600)
    assert "idempotent-replayed" not in more.headers
    assert data_of(more)["expires_at"] > until
    data_of(await end(store, hold_id, "capture"))
    error = error_of(await extend("longer-2", 3600), 409, "HOLD_ENDED")
    assert error["status"] == "captured"


async def test_of_a_hundred_captures_at_once_one_takes_the_credits(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = await held(store, 30)
    answers = await asyncio.gather(*(end(store, hold_id, "capture", amount=7) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    replayed = Counter("idempotent-replayed" in answer.headers for answer in answers)
    assert replayed == {False: 1, True: 99}
    assert len({answer.text for answer in answers}) == 1
    assert await ledger_of(rows, store) == [
        ("hold", 30, 70),
        ("capture", 7, 70),
        ("release", 23, 93),
    ]


@pytest.mark.parametrize("seconds_before", [60, 0.02, 0])
async def test_of_capture_release_and_the_end_of_its_time_one_wins_and_all_agree(
    store: StoreClient, rows: Rows, seconds_before: float
) -> None:
    hold_id = await held(store, 30, expires_in_seconds=120)
    await later(rows, store, seconds=120 - seconds_before)
    actions = ["capture", "release"] * 25
    answers = await asyncio.gather(*(end(store, hold_id, action) for action in actions))
    found = await read(store, hold_id)
    winners = {"captured": ["capture"], "released": ["release"], "expired": []}[found["status"]]
    if seconds_before != 0.02:  # else it is the database's clock that says who was first
        assert (found["status"] == "expired") == (seconds_before == 0)
    for action, answer in zip(actions, answers, strict=True):
        if action in winners:
            assert data_of(answer)["status"] == found["status"]
        else:
            assert error_of(answer, 409, "HOLD_ENDED")["status"] == found["status"]
    assert len(await ledger_of(rows, store)) == 2, "the hold, and its one end"
    assert await store.balance() == (70 if winners == ["capture"] else 100)


async def test_what_is_held_can_be_spent_from_the_moment_on_at_which_the_hold_is_over(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=1)
    hold_id = await held(store, 1, expires_in_seconds=120)
    await later(rows, store, seconds=60)
    error_of(await store.create("order-1"), 402, "INSUFFICIENT_CREDITS")
    await later(rows, store, seconds=60)
    data_of(await store.create("order-1"), 201)
    assert await ledger_of(rows, store) == [
        ("hold", 1, 0),
        ("hold_expiry", 1, 1),
        ("deduction", 1, 0),
    ]
    assert (await read(store, hold_id))["status"] == "expired"


async def test_a_capture_is_given_back_in_parts_by_the_request_of_its_hold(
    store: StoreClient, rows: Rows
) -> None:
    hold_id = data_of(await hold(store, "film-1", 30), 201)["hold_id"]
    error_of(await refund(store, "film-1", "refund-1", 5), 404, "NOT_FOUND")
    data_of(await end(store, hold_id, "capture", amount=20))
    first = data_of(await refund(store, "film-1", "refund-1", 5), 201)
    assert (first["amount"], first["refundable"], first["balance"]) == (5, 15, 85)
    error_of(await refund(store, "film-1", "refund-2", 16), 422, "REFUND_EXCEEDS_SPEND")
    rest = data_of(await refund(store, "film-1", "refund-2"), 201)
    assert (rest["amount"], rest["refundable"], rest["balance"]) == (15, 0, 100)
    assert (await read(store, hold_id))["captured"] == 20
    assert [each[0] for each in await ledger_of(rows, store)] == [
        "hold",
        "capture",
        "release",
        "refund",
        "refund",
    ]


async def test_what_is_no_hold_of_this_store_is_not_found(
    store: StoreClient, operator: Operator, rows: Rows
) -> None:
    other = await operator.store()
    hold_id = await held(other, 30)
    before = await rows.counts()
    for action in ENDS:
        for nothing in (hold_id, UNKNOWN, "film-1"):
            body = BODIES.get(action, {})
            error_of(await end(store, nothing, action, **body), 404, "NOT_FOUND")
    assert await rows.counts() == before
    assert (await read(other, hold_id))["status"] == "held"


async def test_bodies_that_cannot_be_are_refused(store: StoreClient) -> None:
    hold_id = await held(store, 30)
    for wrong in ({"amount": 0}, {"amount": "all"}, {"amount": 1.5}, {"credits": 3}):
        path = f"{HOLDS}/{hold_id}/capture"
        error_of(await store.send("POST", path, json=wrong), 400, "VALIDATION_ERROR")
    assert data_of(await end(store, hold_id, "capture", amount=None))["captured"] == 30


async def test_a_part_cannot_be_released(store: StoreClient) -> None:
    hold_id = await held(store, 30)
    error = error_of(await end(store, hold_id, "release", amount=3), 400, "VALIDATION_ERROR")
    assert [detail["key"] for detail in error["details"]] == ["amount"]
    assert (await read(store, hold_id))["status"] == "held"
    answer = await store.send("POST", f"{HOLDS}/{hold_id}/release", json={})
    assert data_of(answer)["released"] == 30


@pytest.mark.parametrize("action", ENDS)
async def test_doors_are_shut_to_others(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection, action: str
) -> None:
    path = f"{HOLDS}/{UUID(int=7)}/{action}"
    await assert_only_a_working_key_is_let_in(operator, "POST", path)
    await assert_other_methods_are_refused(store, path, "POST")
