"""`credits.*` of `/api/trpc`: an end user's balance and ledger."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from storecredit.web.trpc.superjson import UNDEFINED
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.conftest import http_client
from tests.web.doors import IMAGE
from tests.web.users import UserClient, refusal_of, result_of, user_of

BALANCE = "credits.getBalance"
TRANSACTIONS = "credits.getTransactions"


async def test_the_balance_of_a_new_user_is_the_starter_credits(user: UserClient) -> None:
    balance = result_of(await user.query(BALANCE))
    updated_at = balance.pop("updated_at")
    assert balance == {"balance": 10, "total_earned": 10, "total_spent": 0}
    assert abs(datetime.now(UTC) - updated_at) < timedelta(minutes=1)


async def test_the_balance_moves_and_says_when(user: UserClient) -> None:
    before = result_of(await user.query(BALANCE))
    await user.created()
    after = result_of(await user.query(BALANCE))
    assert (after["balance"], after["total_earned"], after["total_spent"]) == (9, 10, 1)
    assert after["updated_at"] >= before["updated_at"]


async def test_the_first_calls_of_a_user_make_one_account_however_many_race(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(
        *(user.query(path) for path in (BALANCE, TRANSACTIONS, "generation.getStats") * 10),
        *(user.create(f"order-{place}") for place in range(5)),
    )
    assert {answer.status_code for answer in answers} == {200}
    movements = await admin.fetch("SELECT type, amount FROM credit_transactions ORDER BY seq")
    assert [tuple(row) for row in movements] == [("signup_bonus", 10)] + [("generation", 1)] * 5
    assert await admin.fetchval("SELECT count(*) FROM users") == 1
    assert await user.balance() == 5


@pytest.mark.parametrize("path", [BALANCE, TRANSACTIONS, "generation.getStats"])
async def test_any_first_call_makes_the_account(
    user: UserClient, admin: asyncpg.Connection, path: str
) -> None:
    result_of(await user.query(path))
    [row] = await admin.fetch("SELECT user_id, type, request_id FROM credit_transactions")
    assert tuple(row) == (user.user_id, "signup_bonus", "signup")


async def test_a_call_that_there_is_not_makes_no_account(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    refusal_of(await user.query("credits.nothing"), 404, "NOT_FOUND", "credits.nothing")
    assert await admin.fetchval("SELECT count(*) FROM users") == 0


async def test_the_ledger_is_signed_and_newest_first(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    await user.created("order-1")
    await admin.execute("SELECT add_credits($1, 50, 'purchase', 'sale-1', 'Pack')", user.user_id)
    await admin.execute("SELECT claw_back_credits($1, 20, 'back-1', 'Back')", user.user_id)
    rows = result_of(await user.query(TRANSACTIONS))
    assert [(row["amount"], row["type"]) for row in rows] == [
        (-20, "clawback"),
        (50, "purchase"),
        (-1, "generation"),
        (10, "signup_bonus"),
    ]
    assert set(rows[0]) == {"id", "amount", "type", "description", "created_at"}
    assert all(isinstance(row["created_at"], datetime) for row in rows)
    assert rows[1]["description"] == "Pack"
    assert sum(row["amount"] for row in rows) == await user.balance()


async def test_a_rows_id_is_its_own_and_stays(user: UserClient, api: httpx.AsyncClient) -> None:
    await user.created()
    first = result_of(await user.query(TRANSACTIONS))
    again = result_of(await user.query(TRANSACTIONS))
    others = result_of(await user_of(api).query(TRANSACTIONS))
    ids = [UUID(row["id"]) for row in first]
    assert [UUID(row["id"]) for row in again] == ids
    assert len({*ids, *(UUID(row["id"]) for row in others)}) == 3


async def test_pages_of_the_ledger(user: UserClient, admin: asyncpg.Connection) -> None:
    result_of(await user.query(BALANCE))
    for place in range(120):
        await admin.execute("SELECT add_credits($1, 1, 'grant', $2, '')", user.user_id, f"g{place}")
    everything = [
        row
        for offset in (0, 100)
        for row in result_of(await user.query(TRANSACTIONS, {"limit": 100, "offset": offset}))
    ]
    assert len({row["id"] for row in everything}) == 121
    assert everything[-1]["type"] == "signup_bonus"
    for input_ in (UNDEFINED, {}, {"limit": UNDEFINED, "offset": UNDEFINED}, {"other": 1}):
        assert result_of(await user.query(TRANSACTIONS, input_)) == everything[:50]
    assert result_of(await user.query(TRANSACTIONS, {"limit": 1})) == everything[:1]
    assert result_of(await user.query(TRANSACTIONS, {"limit": 2.0, "offset": 3})) == everything[3:5]
    assert result_of(await user.query(TRANSACTIONS, {"offset": 121})) == []
    assert result_of(await user.query(TRANSACTIONS, {"offset": 2**53 - 1})) == []


@pytest.mark.parametrize(
    "input_",
    [
        None,
        [],
        "x",
        {"limit": 0},
        {"limit": 101},
        {"limit": "5"},
        {"limit": None},
        {"limit": True},
        {"limit": 1.5},
        {"limit": datetime.now(UTC)},
        {"offset": -1},
        {"offset": 2**53},
        {"offset": 10**30},
    ],
)
async def test_bad_input_of_the_ledger(user: UserClient, input_: object) -> None:
    message = refusal_of(await user.query(TRANSACTIONS, input_), 400, "BAD_REQUEST", TRANSACTIONS)
    assert message.startswith("[\n  {"), "an app reads zod's issues out of it"


async def test_another_users_credits_are_out_of_reach(api: httpx.AsyncClient) -> None:
    owner, other = user_of(api), user_of(api)
    await owner.created()
    naming = {"user_id": str(owner.user_id), "userId": str(owner.user_id)}
    headers = {"X-User-Id": str(owner.user_id)}
    assert result_of(await other.query(BALANCE, naming, headers=headers))["balance"] == 10
    rows = result_of(await other.query(TRANSACTIONS, naming, headers=headers))
    assert [row["type"] for row in rows] == ["signup_bonus"]


async def test_a_balance_that_cannot_be_read_is_an_error_never_a_zero(
    user: UserClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    await user.balance()
    await admin.execute("REVOKE SELECT ON movements FROM storecredit_app")
    refusal_of(await user.query(BALANCE), 500, "INTERNAL_SERVER_ERROR", BALANCE)
    assert "InsufficientPrivilege" in log.events("request_broke")[0]["exception"]
    log.forget()


async def test_an_account_that_is_lost_is_an_error_never_a_zero_and_never_made_again(
    user: UserClient,
    admin: asyncpg.Connection,
    log: LogStream,
    settings: Settings,
    database: Database,
    service: Service,
) -> None:
    await until(service.listener.is_fresh)  # from then on a user is remembered
    await user.balance()
    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM accounts")
    refusal_of(await user.query(BALANCE), 500, "INTERNAL_SERVER_ERROR", BALANCE)
    [line] = log.events("request_not_served")
    assert line["cause"] == "AccountMissing"
    # Of a process that has not met the user, too.
    async with assembled(settings, database) as other, http_client(other) as api:
        answer = await replace(user, http=api).query(BALANCE)
        refusal_of(answer, 500, "INTERNAL_SERVER_ERROR", BALANCE)
    assert await admin.fetchval("SELECT count(*) FROM accounts") == 0
    log.forget()


async def test_an_account_is_made_by_a_batch_once(api: httpx.AsyncClient) -> None:
    user = user_of(api, uuid4())
    answer = await user.batch("POST", [("generation.create", {"modelImageUrl": IMAGE})] * 3)
    assert answer.status_code == 200, answer.text
    assert await user.balance() == 7
