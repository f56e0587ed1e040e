"""`GET /api/admin/verify`: the operator asks whether everything adds up."""

import asyncpg

from tests.sql.ledgers import open_user
from tests.web.checklist import (
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient, data_of

PATH = "/verify"
FIELDS = {"kind", "store_id", "user_id", "seq", "request_id", "session_id", "detail"}


async def tamper(admin: asyncpg.Connection, owner_id: str, change: str) -> None:
    """Change the newest movement of an owner."""
    await admin.execute(
        f"""UPDATE storecredit.movements m SET {change} FROM storecredit.accounts a
            WHERE a.owner_id = $1 AND a.account_id = m.account_id AND m.seq = (
                SELECT max(n.seq) FROM storecredit.movements n WHERE n.account_id = m.account_id)
        """,
        owner_id,
    )


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
        "archived_sessions": 0,
        "payments": 0,
        "checkpoints": 0,
        "signatures": 0,
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
    await tamper(admin, store.store_id, "balance_after = balance_after + 5")
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
    await tamper(admin, user_ids[0], "balance_after = 11, spent_after = 1")
    data = data_of(await operator.get(PATH))
    assert data["clean"] is False
    assert (data["users"], data["user_movements"]) == (2, 2)
    assert {found["kind"] for found in data["discrepancies"]} == {"running_balance", "total_spent"}
    for found in data["discrepancies"]:
        assert set(found) == FIELDS
        assert (found["user_id"], found["store_id"]) == (user_ids[0], None)


async def test_a_vanished_deduction_is_named_with_its_session(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    session_id = await store.created("order-1")
    await admin.execute("DELETE FROM storecredit.movements WHERE type = 'deduction'")
    data = data_of(await operator.get(PATH))
    assert data["clean"] is False
    assert session_id in {found["session_id"] for found in data["discrepancies"]}


async def test_a_movement_that_vanished_since_the_last_time_is_missed(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    assert data_of(await operator.get(PATH))["clean"]
    await admin.execute("DELETE FROM storecredit.movements WHERE type = 'grant'")
    missing, grant = data_of(await operator.get(PATH))["discrepancies"]
    assert missing["kind"] == "movements_missing"
    assert (missing["store_id"], missing["user_id"]) == (None, None)
    assert missing["detail"].endswith(", which an earlier `verify` counted, 1 is missing")
    # The terms on which the credits came in are still there, and say whose they were.
    assert grant["kind"] == "grant_without_movement"
    assert (grant["store_id"], grant["seq"]) == (store.store_id, 1)
    assert grant["detail"] == "terms of a grant of 100 credits, which no movement begins"


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
