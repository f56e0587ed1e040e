"""Credits that the operator takes out, hands over, or lets end at another time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.web.checklist import (
    UNKNOWN,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows, of_all_buckets
from tests.web.users import UserClient

pytestmark = ONE_LOOP

REMOVAL = {"request_id": "fix-1", "reason": "Added twice"}
TRANSFERRED = ("transfer_in", "transfer_out")


def removal_of(store: StoreClient) -> str:
    return f"/stores/{store.store_id}/credits/remove"


async def told(admin: asyncpg.Connection, store: StoreClient, *types: str) -> list[tuple[Any, ...]]:
    """What a store's ledger says of these types of movement."""
    rows = await of_all_buckets(
        admin,
        """SELECT m.type, m.amount, m.balance_after, m.request_id, m.description, m.actor
           FROM movements m JOIN accounts a USING (account_id)
           WHERE a.owner_id = $1 AND a.owner_kind = 'store' AND m.type = ANY ($2)
           ORDER BY m.seq""",
        store.store_id,
        types,
    )
    return [tuple(row) for row in rows]


async def test_credits_are_taken_out_once_and_the_ledger_says_why_and_by_whom(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection, database: Database
) -> None:
    answer = await operator.post(removal_of(store), amount=30, **REMOVAL)
    done = {"removed": True, "amount": 30, "balance": 70, "request_id": "fix-1"}
    assert data_of(answer, 201) == done
    again = await operator.post(removal_of(store), amount=30, **REMOVAL)
    assert data_of(again, 200) == done | {"removed": False}
    assert again.headers["idempotent-replayed"] == "true"
    other = await operator.post(removal_of(store), amount=31, **REMOVAL)
    error_of(other, 422, "IDEMPOTENCY_CONFLICT")
    [removal] = await told(admin, store, "removal")
    assert removal == ("removal", 30, 70, "fix-1", "Added twice", "admin")
    assert await store.balance() == 70
    assert (await verify(database)).clean


async def test_all_credits_are_taken_out_but_none_that_are_not_there(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    error = error_of(
        await operator.post(removal_of(store), amount=101, **REMOVAL), 402, "INSUFFICIENT_CREDITS"
    )
    assert (error["balance"], error["required"]) == (100, 101)
    answer = await operator.post(removal_of(store), all=True, **REMOVAL)
    assert data_of(answer, 201)["amount"] == 100
    again = data_of(await operator.post(removal_of(store), all=True, **REMOVAL), 200)
    assert (again["amount"], again["balance"]) == (100, 0)
    error_of(
        await operator.post(removal_of(store), all=True, request_id="fix-2", reason="None left"),
        402,
        "INSUFFICIENT_CREDITS",
    )
    assert len(await told(admin, store, "removal")) == 1


async def test_a_removal_that_says_too_little_or_too_much_is_refused(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    for body in (
        {},
        {"all": False},
        {"amount": 1, "all": True},
        {"amount": 0},
        {"amount": -5},
        {"amount": 1, "reason": ""},
        {"amount": 1, "reason": "  "},
        {"amount": 1, "reason": "r" * 501},
        {"amount": 1, "request_id": ""},
        {"amount": 1, "expires_at": "2027-01-01"},
    ):
        answer = await operator.post(removal_of(store), **(REMOVAL | body))
        error_of(answer, 400, "VALIDATION_ERROR")
    for missing in REMOVAL:
        given = {name: text for name, text in REMOVAL.items() if name != missing}
        answer = await operator.post(removal_of(store), amount=1, **given)
        error_of(answer, 400, "VALIDATION_ERROR")
    unknown = await operator.post(f"/stores/{UNKNOWN}/credits/remove", amount=1, **REMOVAL)
    error_of(unknown, 404, "NOT_FOUND")
    assert await rows.counts() == before


def transfer(source: str, target: str, amount: int, request_id: str = "move-1") -> dict[str, Any]:
    return {
        "from": source,
        "to": target,
        "amount": amount,
        "request_id": request_id,
        "reason": "A merger",
    }


async def test_credits_are_handed_over_once_both_movements_under_one_request(
    operator: Operator,
    store: StoreClient,
    user: UserClient,
    admin: asyncpg.Connection,
    database: Database,
) -> None:
    assert await user.balance() == 10
    other = await operator.store(name="Another shop", credits=5)

    answer = await operator.post(
        "/credits/transfer", **transfer(store.store_id, "another SHOP", 40)
    )
    done = {"transferred": True, "amount": 40, "from_balance": 60, "to_balance": 45}
    assert data_of(answer, 201) == done | {"request_id": "move-1"}
    again = await operator.post("/credits/transfer", **transfer(store.store_id, other.store_id, 40))
    assert data_of(again, 200) == done | {"request_id": "move-1", "transferred": False}
    error_of(
        await operator.post("/credits/transfer", **transfer(store.store_id, other.store_id, 41)),
        422,
        "IDEMPOTENCY_CONFLICT",
    )
    assert await told(admin, store, *TRANSFERRED) == [
        ("transfer_out", 40, 60, "move-1", "A merger", "admin")
    ]
    assert await told(admin, other, *TRANSFERRED) == [
        ("transfer_in", 40, 45, "move-1", "A merger", "admin")
    ]
    to_user = transfer(store.store_id, str(user.user_id), 60, "move-2")
    assert data_of(await operator.post("/credits/transfer", **to_user), 201)["to_balance"] == 70
    assert await user.balance() == 70
    too_much = transfer(other.store_id, store.store_id, 46, "move-3")
    error = error_of(
        await operator.post("/credits/transfer", **too_much), 402, "INSUFFICIENT_CREDITS"
    )
    assert (error["balance"], error["required"]) == (45, 46)
    assert (await verify(database)).clean


async def test_a_transfer_to_nobody_or_to_itself_is_refused(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    for source, target in ((UNKNOWN, store.store_id), (store.store_id, "nobody.example")):
        answer = await operator.post("/credits/transfer", **transfer(source, target, 1))
        error_of(answer, 404, "NOT_FOUND")
    itself = transfer(store.store_id, f"store:{store.store_id}", 1)
    error_of(await operator.post("/credits/transfer", **itself), 400, "VALIDATION_ERROR")
    assert await rows.counts() == before


async def test_an_id_of_a_store_and_of_a_user_must_say_which(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    other = await operator.store()
    await admin.execute("SELECT storecredit.ensure_user($1, 10)", store.store_id)
    answer = await operator.post("/credits/transfer", **transfer(store.store_id, other.store_id, 1))
    message = error_of(answer, 400, "VALIDATION_ERROR")["message"]
    assert f"store:{store.store_id}, user:{store.store_id}" in message
    done = await operator.post(
        "/credits/transfer",
        **transfer(f"user:{store.store_id}", f"store:{store.store_id}", 10),
    )
    assert data_of(done, 201)["to_balance"] == 110


async def test_transfers_in_both_directions_at_once_wait_for_each_other_and_lose_nothing(
    operator: Operator, store: StoreClient, rows: Rows, database: Database
) -> None:
    other = await operator.store(credits=100)
    there, back = (store.store_id, other.store_id), (other.store_id, store.store_id)
    answers = await asyncio.gather(
        *(
            operator.post("/credits/transfer", **transfer(source, target, 3, f"{number} {source}"))
            for number in range(20)
            for source, target in (there, back)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert await store.balance() == await other.balance() == 100
    for store_id in there:
        assert len(await rows.ledger(store_id, *TRANSFERRED)) == 40
    assert (await verify(database)).clean


async def test_two_who_remove_the_last_credits_take_them_once(
    operator: Operator, store: StoreClient
) -> None:
    answers = await asyncio.gather(
        *(
            operator.post(removal_of(store), amount=60, request_id=f"fix-{number}", reason="Both")
            for number in range(2)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 402]
    assert await store.balance() == 40


async def grant_of(admin: asyncpg.Connection, store: StoreClient, expires_at: datetime) -> int:
    """The seq of a grant of 20 credits with an end."""
    await admin.execute(
        """SELECT add_to_account(account_of('store', $1), 20, 'grant', 'promo-1', 'A gift', $2)""",
        store.store_id,
        expires_at,
    )
    return 2


async def test_what_is_left_of_a_grant_ends_at_another_time(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection, database: Database
) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    later = "2999-12-31T00:00:00Z"
    seq = await grant_of(admin, store, soon)
    path = f"/stores/{store.store_id}/grants/{seq}"

    body = {"expires_at": later, "reason": "They asked"}
    changed = data_of(await operator.send("PUT", path, json=body))

    assert changed == {"grant_id": seq + 1, "credits": 20, "expires_at": later}
    assert data_of(await operator.send("PUT", path, json=body)) == changed, "a replay"
    assert await told(admin, store, "reissue") == [
        ("reissue", 20, 120, f"grant:{seq}", "They asked", "admin")
    ]
    never = await operator.send(
        "PUT", f"/stores/{store.store_id}/grants/{seq + 1}", json={"expires_at": None}
    )
    assert data_of(never) == {"grant_id": seq + 2, "credits": 20, "expires_at": None}
    gone = await operator.send("PUT", path, json=body)
    assert "used up" in error_of(gone, 404, "NOT_FOUND")["message"]
    assert await store.balance() == 120
    assert (await verify(database)).clean


async def test_credits_that_come_back_to_a_grant_end_when_it_does_now(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection, database: Database
) -> None:
    seq = await grant_of(admin, store, datetime.now(UTC) + timedelta(days=1))
    path = f"/stores/{store.store_id}/grants/{seq}"
    await admin.execute("SELECT public.deduct_store_credits($1, 5, 'order-7')", store.store_id)
    body = {"expires_at": "2999-12-31T00:00:00Z"}
    assert data_of(await operator.send("PUT", path, json=body))["credits"] == 15
    await admin.execute("SELECT public.refund_store_credits($1, 5, 'order-7')", store.store_id)

    again = data_of(await operator.send("PUT", path, json=body))

    assert again == {"grant_id": seq + 2, "credits": 20, "expires_at": body["expires_at"]}
    assert [row[3] for row in await told(admin, store, "reissue")] == [f"grant:{seq}"]
    assert await store.balance() == 120
    assert (await verify(database)).clean


async def test_a_grant_that_is_none_or_an_end_that_is_over_is_refused(
    operator: Operator, store: StoreClient
) -> None:
    grants = f"/stores/{store.store_id}/grants"
    later = {"expires_at": "2999-12-31T00:00:00Z"}
    for unknown in ("99", "0", "-1", "1.5", "9" * 19, UNKNOWN):
        answer = await operator.send("PUT", f"{grants}/{unknown}", json=later)
        error_of(answer, 404, "NOT_FOUND")
    for body in ({}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "soon"}):
        answer = await operator.send("PUT", f"{grants}/1", json=body)
        error_of(answer, 400, "VALIDATION_ERROR")


async def test_an_end_users_credits_are_corrected_likewise(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    assert await user.balance() == 10
    users = f"/users/{user.user_id}"
    done = await operator.post(f"{users}/credits/remove", amount=4, **REMOVAL)
    assert data_of(done, 201) == {
        "removed": True,
        "amount": 4,
        "balance": 6,
        "request_id": "fix-1",
    }
    later = {"expires_at": "2999-12-31T00:00:00Z"}
    changed = data_of(await operator.send("PUT", f"{users}/grants/1", json=later))
    assert (changed["credits"], changed["expires_at"]) == (6, later["expires_at"])
    for method, path, body in (
        ("POST", f"/users/{UNKNOWN}/credits/remove", REMOVAL | {"all": True}),
        ("PUT", f"/users/{UNKNOWN}/grants/1", later),
    ):
        error_of(await operator.send(method, path, json=body), 404, "NOT_FOUND")
    assert await user.balance() == 6


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", f"/users/{UNKNOWN}/credits/remove"),
        ("PUT", f"/users/{UNKNOWN}/grants/1"),
        ("POST", f"/stores/{UNKNOWN}/credits/remove"),
        ("POST", "/credits/transfer"),
        ("PUT", f"/stores/{UNKNOWN}/grants/1"),
    ],
)
async def test_only_the_operator_is_let_in(operator: Operator, method: str, path: str) -> None:
    await assert_only_the_operator_is_let_in(operator, method, path)
    await assert_other_methods_are_refused(operator, path, method)
