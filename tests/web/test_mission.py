"""What the service is for, driven through the HTTP door and read back from the tables.

M1 … M12 are the rows of the table in tests/README.md.
"""

import asyncio
from collections import Counter
from typing import Any

import pytest

from stand_ins.http_server import Answer, json_answer, stand_in
from storecredit.generation.sessions import SessionStatus
from storecredit.service import Service
from tests.log_stream import LogStream
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows, in_bucket_of

pytestmark = pytest.mark.several_buckets


def movement(seq: int, type_: str, balance_after: int, session_id: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "type": type_,
        "amount": 1,
        "balance_after": balance_after,
        "request_id": "order-1",
        "session_id": session_id,
    }


async def assert_nothing_adds_up_wrong(rows: Rows, store: StoreClient) -> None:
    """Every balance follows from the row before; the newest is the sum of all."""
    balance, taken, beyond = 0, 0, 0
    for seq, row in enumerate(await rows.ledger(store.store_id), start=1):
        overage = {"overage": 1, "overage_refund": -1, "overage_bill": -1}.get(row["type"])
        beyond += (overage or 0) * row["amount"]
        if overage is None:
            balance += (-1 if row["type"] == "deduction" else 1) * row["amount"]
        taken += {"deduction": 1, "refund": -1}.get(row["type"], 0) * row["amount"]
        assert (row["seq"], row["balance_after"]) == (seq, balance)
    credits = await rows.credits(store.store_id)
    assert credits["balance"] == balance
    assert credits["total_spent"] == taken
    assert await overage_used(rows, store) == beyond
    assert credits["balance"] == credits["total_purchased"] - credits["total_spent"]


async def test_m1_deduct_takes_exactly_one_credit_and_writes_it_down(
    store: StoreClient, rows: Rows
) -> None:
    session_id = await store.created("order-1")
    assert await rows.credits(store.store_id) == {
        "balance": 99,
        "total_purchased": 100,
        "total_spent": 1,
        "last_seq": 2,
    }
    assert (await rows.ledger(store.store_id))[1:] == [movement(2, "deduction", 99, session_id)]
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m2_refund_of_a_generation_that_moderation_blocked(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1", prompt="a forbidden hat")
    async with worker():
        ended = await store.ended(session_id)
    assert ended["error_code"] == "MODERATION_BLOCKED"
    await assert_refunded_once(rows, store, session_id)


async def test_m2_refund_of_a_generation_with_a_processing_error(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1")
    async with (
        stand_in(Answer(500)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        ended = await store.ended(session_id)
    assert ended["error_code"] == "GENERATOR_UNAVAILABLE"
    assert len(outside.received) == 3, "an error that may pass is tried again before"
    await assert_refunded_once(rows, store, session_id)


async def assert_refunded_once(rows: Rows, store: StoreClient, session_id: str) -> None:
    assert (await rows.ledger(store.store_id))[1:] == [
        movement(2, "deduction", 99, session_id),
        movement(3, "refund", 100, session_id),
    ]
    assert await rows.credits(store.store_id) == {
        "balance": 100,
        "total_purchased": 100,
        "total_spent": 0,
        "last_seq": 3,
    }
    [session] = await rows.sessions(store.store_id)
    assert (session["status"], session["input"]) == ("failed", None)
    assert await rows.jobs() == []


async def test_m2_no_refund_of_a_generation_that_completed(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1")
    async with worker():
        await store.ended(session_id)
    assert (await rows.ledger(store.store_id))[1:] == [movement(2, "deduction", 99, session_id)]
    [session] = await rows.sessions(store.store_id)
    assert (session["status"], session["input"]) == ("completed", None)


async def test_m2_a_failed_request_sent_again_is_not_made_again(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1", prompt="forbidden")
    async with worker():
        await store.ended(session_id)
        replay = data_of(await store.create("order-1", prompt="forbidden"))
    assert (replay["session_id"], replay["status"]) == (session_id, "failed")
    await assert_refunded_once(rows, store, session_id)


async def test_m3_balance_tells_this_store_alone(operator: Operator) -> None:
    store, other = await operator.store(credits=10), await operator.store(credits=20)
    await store.created()
    answer = await store.get("/api/v1/credits/balance")
    assert answer.json() == {
        "data": {"balance": 9, "total_purchased": 10, "total_spent": 1},
        "error": None,
    }
    answer = await other.get("/api/v1/credits/balance")
    assert answer.json()["data"] == {"balance": 20, "total_purchased": 20, "total_spent": 0}
    limited = await (await operator.store(tier="tight")).get("/api/v1/credits/balance")
    for name in ("Limit", "Remaining", "Reset"):
        assert limited.headers[f"X-RateLimit-{name}"].isdigit()


async def test_m4_no_credits_writes_nothing_and_queues_nothing(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=1)
    await store.created("order-1")
    before, jobs = await rows.counts(), await rows.jobs()
    for place in range(3):
        error = error_of(await store.create(f"late-{place}"), 402, "INSUFFICIENT_CREDITS")
        assert (error["balance"], error["required"]) == (0, 1)
    answers = await asyncio.gather(*(store.create() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {402}
    assert await rows.counts() == before
    assert await rows.jobs() == jobs
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m7_the_deduction_and_the_job_are_there_before_any_worker(
    store: StoreClient, rows: Rows
) -> None:
    session_id = await store.created("order-1")
    [job] = await rows.jobs()
    assert (job["session_id"], job["key"]) == (session_id, session_id)
    assert (await rows.ledger(store.store_id))[1:] == [movement(2, "deduction", 99, session_id)]
    [session] = await rows.sessions(store.store_id)
    assert (session["status"], session["attempts"]) == (SessionStatus.QUEUED, 0)


async def test_m7_a_worker_takes_nothing_however_often_it_tries(
    store: StoreClient, worker: WorkerStarter, rows: Rows
) -> None:
    session_id = await store.created("order-1")
    answers = iter([Answer(503), Answer(429), json_answer({"image_url": "data:,"}, status=503)])
    async with (
        stand_in(lambda _: next(answers)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        await store.ended(session_id)
    assert len(outside.received) == 3
    types = [row["type"] for row in await rows.ledger(store.store_id)]
    assert types == ["grant", "deduction", "refund"]


async def test_m8_one_request_id_from_the_header_to_the_refund_and_every_log_line(
    store: StoreClient, worker: WorkerStarter, rows: Rows, log: LogStream
) -> None:
    log.forget()
    answer = await store.create("order-1", prompt="forbidden")
    session_id = data_of(answer, 201)["session_id"]
    assert answer.headers["x-request-id"] == "order-1"
    [job] = await rows.jobs()
    assert job["request_id"] == "order-1"
    async with worker():
        await store.ended(session_id)
    [session] = await rows.sessions(store.store_id)
    assert session["request_id"] == "order-1"
    moved = (await rows.ledger(store.store_id))[1:]
    assert [row["request_id"] for row in moved] == ["order-1", "order-1"]
    events = {line["event"] for line in log.lines() if line.get("request_id") == "order-1"}
    assert {"request", "generation_failed"} <= events


async def allow_overage(rows: Rows, store: StoreClient, limit: int) -> None:
    """As the operator does."""
    account_id = await rows.account_id(store.store_id)
    await in_bucket_of(rows.connection, store.store_id)
    await rows.connection.execute("SELECT set_overage_limit($1, $2)", account_id, limit)


async def overage_used(rows: Rows, store: StoreClient) -> int:
    newest = await rows.fetch(
        """SELECT coalesce(overage_used_after, 0) AS used FROM movements
           WHERE account_id IN (SELECT account_id FROM accounts
               WHERE owner_kind = 'store' AND owner_id = $1) ORDER BY seq DESC LIMIT 1""",
        store.store_id,
    )
    return sum(row["used"] for row in newest)


async def test_m10_overage_begins_at_zero_and_ends_at_the_limit(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await allow_overage(rows, store, 2)
    session_ids = []
    for place in (1, 2):
        created = data_of(await store.create(f"order-{place}"), 201)
        assert (created["credits_charged"], created["charged_as"]) == (1, "overage")
        session_ids.append(created["session_id"])
    assert data_of(await store.create("order-1"))["charged_as"] == "overage", "a replay says so too"
    before = await rows.counts()
    error = error_of(await store.create("order-3"), 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (0, 1)
    assert await rows.counts() == before
    assert await rows.ledger(store.store_id) == [
        movement(place, "overage", 0, session_id) | {"request_id": f"order-{place}"}
        for place, session_id in enumerate(session_ids, start=1)
    ]
    assert await overage_used(rows, store) == 2
    assert {job["session_id"] for job in await rows.jobs()} == set(session_ids)
    answer = data_of(await store.get("/api/v1/credits/balance"))
    assert (answer["balance"], answer["total_spent"]) == (0, 0)
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m10_overage_is_off_until_the_operator_allows_it_to_that_store(
    operator: Operator, rows: Rows
) -> None:
    allowed, other = await operator.store(credits=0), await operator.store(credits=0)
    await allow_overage(rows, allowed, 2)
    error_of(await other.create(), 402, "INSUFFICIENT_CREDITS")
    assert await rows.ledger(other.store_id) == []
    await allowed.created("order-1")
    await allow_overage(rows, allowed, 0)
    error_of(await allowed.create("order-2"), 402, "INSUFFICIENT_CREDITS")
    assert data_of(await allowed.create("order-1"))["status"] == "queued", "a replay stands"
    assert await overage_used(rows, allowed) == 1


async def test_m10_what_a_request_comes_to_follows_from_balance_and_limit(
    operator: Operator, rows: Rows
) -> None:
    for credits in range(3):
        for limit in range(3):
            store = await operator.store(credits=credits)
            await allow_overage(rows, store, limit)
            answers = [await store.create() for _ in range(6)]
            made = [answer.status_code == 201 for answer in answers]
            assert made == [place < credits + limit for place in range(6)]
            beyond = [data_of(each, 201).get("charged_as") for each in answers[: credits + limit]]
            assert beyond == [None] * credits + ["overage"] * limit
            types = [row["type"] for row in await rows.ledger(store.store_id)]
            assert (
                types == ["grant"] * bool(credits) + ["deduction"] * credits + ["overage"] * limit
            )


async def test_m10_twenty_creates_at_once_at_the_edge_use_the_limit_exactly(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=3)
    await allow_overage(rows, store, 5)

    async def answered(request_id: str) -> int:
        """The status, once there is one: a busy service may have it sent again."""
        while (status := (await store.create(request_id)).status_code) == 503:
            continue
        return 201 if status == 200 else status

    statuses = await asyncio.gather(*(answered(f"order-{place}") for place in range(20)))
    assert Counter(statuses) == {201: 8, 402: 12}
    assert len(await rows.ledger(store.store_id, "deduction")) == 3
    assert len(await rows.ledger(store.store_id, "overage")) == 5
    assert len(await rows.jobs()) == len(await rows.sessions(store.store_id)) == 8
    assert await overage_used(rows, store) == 5
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m10_a_failed_overage_is_given_back_to_the_overage(
    operator: Operator, worker: WorkerStarter, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await allow_overage(rows, store, 1)
    session_id = await store.created("order-1", prompt="forbidden")
    async with worker():
        ended = await store.ended(session_id)
    assert ended["error_code"] == "MODERATION_BLOCKED"
    assert await rows.ledger(store.store_id) == [
        movement(1, "overage", 0, session_id),
        movement(2, "overage_refund", 0, session_id),
    ]
    assert await overage_used(rows, store) == 0
    await store.created("order-2")
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m10_a_failed_overage_that_is_billed_comes_back_as_a_credit(
    operator: Operator, worker: WorkerStarter, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await allow_overage(rows, store, 1)
    session_id = await store.created("order-1", prompt="forbidden")
    account_id = await rows.account_id(store.store_id)
    closed = "SELECT close_overage($1, '2026-09-01', 18, 'USD')"
    # In the store's bucket, where its overage was allowed.
    assert await rows.connection.fetchval(closed, account_id)
    async with worker():
        await store.ended(session_id)
    types = [(row["type"], row["balance_after"]) for row in await rows.ledger(store.store_id)]
    assert types == [("overage", 0), ("overage_bill", 0), ("overage_credit", 1)]
    assert (await overage_used(rows, store), await store.balance()) == (0, 1)
    await store.created("order-2")
    assert (await rows.ledger(store.store_id))[-1]["type"] == "deduction"
    await assert_nothing_adds_up_wrong(rows, store)


async def test_m11_the_key_alone_decides_the_store(operator: Operator, rows: Rows) -> None:
    owner, other = await operator.store(), await operator.store()
    session_id = await owner.created("order-1")
    naming = {"X-Store-Id": owner.store_id, "X-Shop-Domain": "shop.example"}
    for path in ("/api/v1/generations", "/api/v1/credits/transactions"):
        assert owner.store_id not in (await other.get(path, headers=naming)).text
        assert "order-1" not in (await other.get(path, headers=naming)).text
        answer = await other.get(path, headers=naming, store_id=owner.store_id)
        error_of(answer, 400, "VALIDATION_ERROR")
    answer = await other.get(f"/api/v1/generation/{session_id}", headers=naming)
    error_of(answer, 404, "NOT_FOUND")
    answer = await other.create("order-2", headers=naming, store_id=owner.store_id)
    error_of(answer, 400, "VALIDATION_ERROR")
    data = data_of(await other.create("order-2", headers=naming), 201)
    [session] = await rows.sessions(other.store_id)
    assert session["session_id"] == data["session_id"]
    assert (await owner.balance(), await other.balance()) == (99, 99)


async def test_two_hundred_creates_at_once_against_fifty_credits(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=50)
    answers = await asyncio.gather(*(store.create(f"order-{place}") for place in range(200)))
    assert Counter(answer.status_code for answer in answers) == {201: 50, 402: 150}
    made = [data_of(answer, 201) for answer in answers if answer.status_code == 201]
    assert {data["balance"] for data in made} == set(range(50))
    assert len({data["session_id"] for data in made}) == 50
    assert len(await rows.ledger(store.store_id, "deduction")) == 50
    assert {row["session_id"] for row in await rows.sessions(store.store_id)} == {
        job["session_id"] for job in await rows.jobs()
    }
    assert (await rows.credits(store.store_id))["balance"] == 0
    await assert_nothing_adds_up_wrong(rows, store)


async def test_one_request_id_sent_fifty_times_at_once(store: StoreClient, rows: Rows) -> None:
    answers = await asyncio.gather(*(store.create("order-1") for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    replays = [answer for answer in answers if answer.status_code == 200]
    assert {answer.headers["idempotent-replayed"] for answer in replays} == {"true"}
    assert len({answer.json()["data"]["session_id"] for answer in answers}) == 1
    assert {answer.json()["data"]["balance"] for answer in answers} == {99}
    assert len(await rows.ledger(store.store_id, "deduction")) == 1
    assert len(await rows.sessions(store.store_id)) == 1
    assert len(await rows.jobs()) == 1

    error_of(await store.create("order-1", prompt="other"), 422, "IDEMPOTENCY_CONFLICT")
    assert await store.balance() == 99


async def test_one_request_id_with_two_contents_at_once_makes_one_of_them(
    store: StoreClient, rows: Rows
) -> None:
    answers = await asyncio.gather(
        *(store.create("order-1", prompt=f"hat {place % 2}") for place in range(40))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19, 422: 20}
    assert len(await rows.ledger(store.store_id, "deduction")) == 1
    await assert_nothing_adds_up_wrong(rows, store)


async def test_refund_against_refund_gives_one_refund(
    store: StoreClient, service: Service, worker: WorkerStarter, rows: Rows
) -> None:
    """Two workers and a sweep past every deadline, all after the same generations."""
    session_ids = [await store.created(f"order-{place}", prompt="forbidden") for place in range(20)]
    await rows.fetch("UPDATE sessions SET created_at = '2020-01-01'")
    async with worker(), worker():
        await asyncio.gather(service.sweep.sweep(), service.sweep.sweep())
        for session_id in session_ids:
            assert (await store.ended(session_id))["credits_refunded"] == 1
    refunds = await rows.ledger(store.store_id, "refund")
    assert Counter(row["request_id"] for row in refunds) == {
        f"order-{place}": 1 for place in range(20)
    }
    assert await store.balance() == 100
    await assert_nothing_adds_up_wrong(rows, store)
