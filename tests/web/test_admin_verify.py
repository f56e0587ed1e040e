"""`GET /api/admin/verify`: the operator asks whether everything adds up."""

import asyncpg

from tests.sql.user_books import open_user
from tests.web.checklist import (
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

PATH = "/verify"
FIELDS = {"kind", "store_id", "user_id", "seq", "request_id", "session_id", "detail"}


async def test_what_happened_through_the_api_adds_up(
    operator: Operator, store: StoreClient, worker: WorkerStarter
) -> None:
    session_ids = [await store.created(), await store.created(prompt="forbidden")]
    async with worker():
        for session_id in session_ids:
            await store.ended(session_id)
    await store.created()
    assert data_of(await operator.get(PATH)) == {
        "clean": True,
        "stores": 1,
        "movements": 5,
        "sessions": 3,
        "users": 0,
        "user_movements": 0,
        "user_sessions": 0,
        "payments": 0,
        "discrepancies": [],
        "truncated": False,
    }


async def test_nothing_at_all_adds_up_too(operator: Operator) -> None:
    data = data_of(await operator.get(PATH))
    assert data["clean"] is True
    assert data["stores"] == 0


async def test_a_balance_that_was_tampered_with_is_named(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    other = await operator.store()
    await store.created()
    await admin.execute(
        "UPDATE store_credits SET balance = balance + 5, total_purchased = total_purchased + 5"
        " WHERE store_id = $1",
        store.store_id,
    )
    data = data_of(await operator.get(PATH))
    assert data["clean"] is False
    assert data["stores"] == 2
    assert data["discrepancies"]
    for found in data["discrepancies"]:
        assert set(found) == FIELDS
        assert found["store_id"] == store.store_id != other.store_id
        assert found["user_id"] is None
        assert found["kind"]
        assert found["detail"]


async def test_a_balance_of_an_end_user_that_was_tampered_with_is_named(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    user_ids = [str(await open_user(admin, 10)) for _ in range(2)]
    await admin.execute(
        "UPDATE user_credits SET balance = 11, total_earned = 11 WHERE user_id = $1", user_ids[0]
    )
    data = data_of(await operator.get(PATH))
    assert data["clean"] is False
    assert (data["users"], data["user_movements"]) == (2, 2)
    assert {found["kind"] for found in data["discrepancies"]} == {"balance", "total_earned"}
    for found in data["discrepancies"]:
        assert set(found) == FIELDS
        assert (found["user_id"], found["store_id"]) == (user_ids[0], None)


async def test_a_vanished_deduction_is_named_with_its_session(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    session_id = await store.created("order-1")
    await admin.execute("DELETE FROM store_credit_transactions WHERE type = 'deduction'")
    data = data_of(await operator.get(PATH))
    assert data["clean"] is False
    assert session_id in {found["session_id"] for found in data["discrepancies"]}


async def test_verifying_changes_nothing_and_is_no_hindrance(
    operator: Operator, store: StoreClient
) -> None:
    before = data_of(await operator.get(f"/stores/{store.store_id}"))
    data_of(await operator.get(PATH))
    assert data_of(await operator.get(f"/stores/{store.store_id}")) == before
    await store.created()


async def test_only_the_operator_is_let_in(operator: Operator) -> None:
    await assert_only_the_operator_is_let_in(operator, "GET", PATH)


async def test_other_methods_are_refused(operator: Operator) -> None:
    await assert_other_methods_are_refused(operator, PATH, "GET")
