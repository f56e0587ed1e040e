"""The interface through PostgREST, by its convention, as the backend role of a host (Supabase)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.postgres.schema import privileges
from storecredit.postgres.servers import search_path
from tests.sql.ledgers import open_store, sqlstate_of
from tests.sql.postgrest import rpc

INSUFFICIENT_PRIVILEGE = "42501"


@pytest.fixture
async def backend(admin: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in a database of which `service_role` and `anon` know, until the test ends."""
    # Rolled back, so that no other database of this server ever meets the roles.
    transaction = admin.transaction()
    await transaction.start()
    for role in ("service_role", "anon"):
        await admin.execute(
            f"""DO $$ BEGIN CREATE ROLE {role};
                EXCEPTION WHEN duplicate_object THEN NULL; END $$"""
        )
    await admin.execute(f"SET LOCAL search_path = {search_path()}")
    await privileges.mend_rights(admin)
    yield admin
    await transaction.rollback()


async def called(backend: asyncpg.Connection, function: str, **body: object) -> Any:
    """Called as `service_role`."""
    return await rpc(backend, "public", "service_role", function, json.dumps(body, default=str))


async def test_a_stores_credits_are_used_by_named_arguments(backend: asyncpg.Connection) -> None:
    store_id = await open_store(backend, 10)
    taken = {"p_store_id": store_id, "p_amount": 3, "p_request_id": "order-1"}

    assert await called(backend, "deduct_store_credits", **taken) is True
    assert await called(backend, "deduct_store_credits", **taken, p_description="again") is True
    assert await called(backend, "refund_store_credits", **taken) is True
    assert await called(backend, "refund_store_credits", **taken) is False
    added = {"p_type": "purchase", "p_amount": 5, "p_store_id": store_id, "p_request_id": "paid"}
    assert await called(backend, "add_store_credits", **added) is True
    assert await called(backend, "claw_back_store_credits", **taken | {"p_amount": 2}) == 2
    limit = {"p_overage_limit": 7, "p_store_id": store_id}
    assert await called(backend, "set_store_overage_limit", **limit) is True
    many = {"p_store_id": store_id, "p_amounts": [9, 9], "p_request_ids": ["a", "b"]}
    assert await called(
        backend, "deduct_store_credits_many", **many, p_descriptions=None, p_session_ids=None
    ) == [
        {"ord": 1, "outcome": "deducted", "balance": 4},
        {"ord": 2, "outcome": "insufficient", "balance": 4},
    ]
    assert await called(
        backend, "refund_store_credits_many", **many, p_descriptions=["x", "y"]
    ) == [
        {"ord": 1, "outcome": "refunded", "balance": 13},
        {"ord": 2, "outcome": "no_deduction", "balance": 13},
    ]


async def test_a_users_credits_are_used_by_named_arguments(backend: asyncpg.Connection) -> None:
    user_id = uuid7()
    await backend.execute("SELECT ensure_user($1, 10)", user_id)
    taken = {"p_user_id": user_id, "p_amount": 3, "p_request_id": "hat"}

    assert await called(backend, "deduct_credits", **taken) is True
    assert await called(backend, "refund_credits", **taken) is True
    added = {"p_user_id": user_id, "p_amount": 5, "p_type": "grant", "p_request_id": "gift"}
    assert await called(backend, "add_credits", **added, p_description="Thanks") is True
    assert await called(backend, "claw_back_credits", **taken | {"p_amount": 90}) == 15
    await backend.execute("SET LOCAL ROLE service_role; SET LOCAL search_path = public")
    row = await backend.fetchrow("SELECT * FROM user_credits WHERE user_id = $1", user_id)
    assert row is not None
    assert (row["balance"], row["total_clawed_back"]) == (0, 15)


async def test_errors_come_with_their_sqlstate(backend: asyncpg.Connection) -> None:
    nobody = {"p_store_id": uuid7(), "p_amount": 1, "p_request_id": "r"}
    assert await sqlstate_of(called(backend, "deduct_store_credits", **nobody)) == "SC001"
    store_id = await open_store(backend, 10)
    taken = nobody | {"p_store_id": store_id}
    assert await called(backend, "deduct_store_credits", **taken) is True
    conflict = called(backend, "deduct_store_credits", **taken | {"p_amount": 2})
    assert await sqlstate_of(conflict) == "SC004"


async def test_the_backend_role_reads_the_views_and_nobody_else_does(
    backend: asyncpg.Connection,
) -> None:
    async def read(role: str, view: str) -> None:
        async with backend.transaction():
            await backend.execute(f"SET LOCAL ROLE {role}; SET LOCAL search_path = public")
            await backend.fetch(f"SELECT * FROM {view}")

    views = await backend.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert len(views) > 12
    for (view,) in views:
        await read("service_role", view)
        assert await sqlstate_of(read("anon", view)) == INSUFFICIENT_PRIVILEGE


async def test_nobody_else_may_call_a_function(backend: asyncpg.Connection) -> None:
    body = json.dumps({"p_store_id": str(uuid7()), "p_amount": 1, "p_request_id": "r"})
    calling = rpc(backend, "public", "anon", "deduct_store_credits", body)
    assert await sqlstate_of(calling) == INSUFFICIENT_PRIVILEGE
