"""`GET /api/admin/requests/{request_id}`: everything about a request, whoever's it is."""

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
import pytest

from stand_ins.http_server import json_answer, stand_in
from tests.impatient_reads import give_up_soon
from tests.log_stream import LogStream
from tests.web.checklist import (
    UNKNOWN,
    assert_bad_queries_are_refused,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.conftest import WorkerStarter
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import IMAGE, Operator, StoreClient, data_of, error_of
from tests.web.users import UserClient, ended

pytestmark = ONE_LOOP

MOVEMENT = {
    "seq",
    "type",
    "amount",
    "request_id",
    "origin_seq",
    "balance_after",
    "held_after",
    "total_expired_after",
    "total_removed_after",
    "actor",
    "total_spent_after",
    "total_clawed_back_after",
    "overage_used_after",
    "session_id",
    "description",
    "created_at",
}
BLOCKED = {"code": "MODERATION_BLOCKED", "message": "No hats."}


@pytest.fixture
def order() -> str:
    """A request id that no other test has used."""
    return f"order-{uuid4()}"


async def found(operator: Operator, identifier: str, **query: Any) -> list[dict[str, Any]]:
    """The requests that an id names."""
    answer = data_of(await operator.get(f"/requests/{quote(identifier, safe='')}", **query))
    assert answer["truncated"] is False
    assert answer["events"] == []
    records: list[dict[str, Any]] = answer["requests"]
    return records


async def test_a_generation_that_failed_is_shown_with_all_that_it_did(
    order: str, operator: Operator, store: StoreClient, worker: WorkerStarter, log: LogStream
) -> None:
    async with (
        stand_in(json_answer(BLOCKED, 422)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        session_id = await store.created(order, prompt="a secret hat")
        await store.ended(session_id)

    answer = await operator.get(f"/requests/{order}")
    [record] = data_of(answer)["requests"]

    assert (record["request_id"], record["found_as"]) == (order, ["request_id"])
    assert (record["store_id"], record["user_id"]) == (store.store_id, None)
    assert record["store_name"] == "A shop"
    assert all(set(movement) == MOVEMENT for movement in record["movements"])
    shown = [
        (each["seq"], each["type"], each["amount"], each["balance_after"], each["session_id"])
        for each in record["movements"]
    ]
    assert shown == [(2, "deduction", 1, 99, session_id), (3, "refund", 1, 100, session_id)]
    assert [each["total_spent_after"] for each in record["movements"]] == [1, 0]
    [session] = record["sessions"]
    assert session["credits_charged"] == 1
    assert (session["session_id"], session["status"]) == (session_id, "failed")
    assert (session["attempts"], session["error_code"]) == (1, "MODERATION_BLOCKED")
    assert "No hats" in session["generator_message"]
    assert session["job"] is None
    for hidden in ("secret hat", IMAGE[:40]):
        assert hidden not in answer.text
        assert hidden not in log.getvalue()


async def test_a_generation_that_waits_is_shown_with_its_job_and_without_its_input(
    order: str, operator: Operator, store: StoreClient
) -> None:
    session_id = await store.created(order, prompt="a secret hat", metadata={"cart": "c"})

    answer = await operator.get(f"/requests/{order}")

    [session] = data_of(answer)["requests"][0]["sessions"]
    assert (session["status"], session["job"]["status"]) == ("queued", "queued")
    assert set(session["job"]) == {"status", "created_at", "due_at", "seen_at"}
    assert session["metadata"] == {"cart": "c"}
    for hidden in ("secret hat", "base64"):
        assert hidden not in answer.text
    [of_session] = await found(operator, session_id)
    assert of_session["found_as"] == ["session_id"]
    assert of_session["sessions"] == [session]
    assert await found(operator, session_id.upper()) == [of_session]


async def test_all_who_used_the_same_request_id_are_shown(
    order: str, operator: Operator, store: StoreClient, user: UserClient, worker: WorkerStarter
) -> None:
    other = await operator.store(name=f"Shop {order}")
    sessions = [await each.created(order) for each in (store, other)]
    async with worker():
        await ended(user, await user.created(order))
        for each, session_id in zip((store, other), sessions, strict=True):
            await each.ended(session_id)
    await store.created(f"{order} 2")

    records = await found(operator, order)

    assert [record["store_id"] for record in records] == [store.store_id, other.store_id, None]
    assert [record["user_id"] for record in records] == [None, None, str(user.user_id)]
    assert {len(record["movements"]) for record in records} == {1}
    assert records[2]["sessions"][0]["status"] == "completed"
    assert await found(operator, order, store_id=other.store_id) == [records[1]]
    assert await found(operator, order, store_id=f"SHOP {order}") == [records[1]]
    assert await found(operator, order, user_id=str(user.user_id)) == [records[2]]
    error_of(
        await operator.get(f"/requests/{order}%202", store_id=other.store_id), 404, "NOT_FOUND"
    )
    error_of(await operator.get(f"/requests/{order}", store_id=UNKNOWN), 404, "NOT_FOUND")


async def test_a_session_that_nothing_paid_for_is_found_by_its_id(
    order: str, operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    session_id = str(UUID(int=9))
    await admin.execute(
        """INSERT INTO storecredit.sessions
               (account_id, session_id, request_id, fingerprint, credits)
           SELECT account_id, $2, $3, sha256(''), 1 FROM accounts WHERE owner_id = $1""",
        store.store_id,
        session_id,
        order,
    )
    [record] = await found(operator, session_id)
    assert (record["request_id"], record["movements"]) == (order, [])
    assert [each["session_id"] for each in record["sessions"]] == [session_id]


@pytest.mark.parametrize(
    "request_id", ["a/b", "/a//b/", "a b%2F?c#d", "subscription:sub_1:2026-11-01T00:00:00.000000Z"]
)
async def test_an_id_is_taken_as_it_is_whatever_is_in_it(
    operator: Operator, store: StoreClient, request_id: str
) -> None:
    path = f"/stores/{store.store_id}/credits"
    body = {"amount": 5, "type": "grant", "request_id": request_id}
    data_of(await operator.post(path, **body), 201)

    [record] = await found(operator, request_id)

    assert record["request_id"] == request_id
    assert [each["type"] for each in record["movements"]] == ["grant"]


async def test_more_requests_than_are_shown_are_told_of(
    order: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storecredit.operator.identifiers.NAMED_MAX", 2)
    for _ in range(3):
        await (await operator.store()).created(order)
    answer = data_of(await operator.get(f"/requests/{order}"))
    assert len(answer["requests"]) == 2
    assert answer["truncated"] is True


async def test_a_search_that_takes_too_long_is_given_up_and_says_how_to_ask_less(
    order: str,
    operator: Operator,
    store: StoreClient,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.created(order)
    with monkeypatch.context() as patch:
        give_up_soon(patch)
        async with admin.transaction():
            await admin.execute("LOCK TABLE storecredit.movements IN ACCESS EXCLUSIVE MODE")
            answer = await operator.get(f"/requests/{order}")
    told = error_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert "store_id" in told["message"]
    assert answer.headers["retry-after"]
    assert data_of(await operator.get(f"/requests/{order}"))["requests"]


async def test_what_names_nothing_is_not_found(
    order: str, operator: Operator, store: StoreClient
) -> None:
    await store.created(order)
    for unknown in (
        f"{order}8",
        order.upper(),
        order[:-1],
        UNKNOWN,
        "x" * 201,
        "é",
        "\0",
        "txn_1",
        "",
    ):
        answer = await operator.get(f"/requests/{quote(unknown, safe='')}")
        error_of(answer, 404, "NOT_FOUND")
    await assert_bad_queries_are_refused(
        operator, f"/requests/{order}", "store_id=%00", "user_id=x", "limit=1"
    )
    answer = await operator.get(f"/requests/{order}", store_id="nobody.example")
    error_of(answer, 404, "NOT_FOUND")
    both = await operator.get(f"/requests/{order}", store_id=UNKNOWN, user_id=UNKNOWN)
    assert "not both" in error_of(both, 400, "VALIDATION_ERROR")["message"]


async def test_only_the_operator_is_let_in_and_only_to_read(order: str, operator: Operator) -> None:
    await assert_only_the_operator_is_let_in(operator, "GET", f"/requests/{order}")
    await assert_other_methods_are_refused(operator, f"/requests/{order}", "GET")
