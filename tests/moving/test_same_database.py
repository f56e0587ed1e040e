"""Into the database that one comes from: nothing of the system before is touched."""

import json
from typing import Any

import asyncpg
import pytest

from tests.e2e.page_commands import Page
from tests.moving.conftest import Command, command_on
from tests.moving.imported import everything, ledger
from tests.moving.old_system import OldSystem
from tests.sql.ledgers import sqlstate_of
from tests.sql.postgrest import rpc

PAGE = Page("docs/moving.md")
UNIQUE_VIOLATION = "23505"
UNDEFINED_FUNCTION = "42883"
INSUFFICIENT_PRIVILEGE = "42501"
TAKE_BACK = """
    REVOKE ALL ON SCHEMA credits, storecredit FROM service_role;
    REVOKE ALL ON ALL TABLES IN SCHEMA credits FROM service_role;
    REVOKE ALL ON ALL TABLES IN SCHEMA storecredit FROM service_role;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA credits FROM service_role;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA storecredit FROM service_role"""


@pytest.fixture
def here(old_url: str) -> Command:
    """The command, on the database of the system before."""
    return command_on(old_url)


async def filled(old: OldSystem) -> tuple[Any, Any]:
    """A store with 7 credits, and an end user with 9."""
    store_id = await old.store()
    await old.key(store_id)
    await old.shows(store_id, 7)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -3, "req_1")
    user_id = await old.user()
    await old.shows(user_id, 9, kind="user")
    await old.moved(user_id, "signup_bonus", 10, kind="user")
    await old.moved(user_id, "generation", -1, kind="user")
    await old.event("evt_1")
    return store_id, user_id


async def test_nothing_of_it_is_touched(old: OldSystem, here: Command) -> None:
    store_id, _ = await filled(old)
    before = await old.contents()
    assert len(before["rows"]) == 11

    assert (await here("migrate", "--interface", "credits")).status == 0
    done = await here("import", "--history")

    assert done.status == 0, done
    assert done.output.endswith("All of it agrees.\n")
    assert len(await ledger(old.connection, store_id)) == 2
    assert await old.contents() == before
    again = await everything(old.connection)
    assert (await here("import", "--history")).status == 0
    assert await everything(old.connection) == again
    assert await old.contents() == before


@pytest.fixture
async def moved_in(old: OldSystem, here: Command) -> tuple[Any, Any]:
    """The store and the end user, moved in; `service_role` has the rights that the page says."""
    ids = await filled(old)
    await here("migrate", "--interface", "credits")
    await here("import", "--history")
    (grants,) = [block for block in PAGE.blocks("sql") if block.startswith("GRANT USAGE")]
    await old.connection.execute(TAKE_BACK)
    await old.connection.execute(grants)
    return ids


async def called(connection: asyncpg.Connection, function: str, **body: object) -> Any:
    """By `service_role`, as PostgREST calls for `supabase.schema('credits').rpc(…)`."""
    return await rpc(connection, "credits", "service_role", function, json.dumps(body, default=str))


async def test_the_callers_own_calls_go_on_by_those_rights_alone(
    old: OldSystem, moved_in: tuple[Any, Any]
) -> None:
    store_id, user_id = moved_in
    asking = old.connection
    one = {"p_store_id": store_id, "p_amount": 2, "p_request_id": "req_2"}

    assert await called(asking, "deduct_store_credits", **one, p_description="Hat") is True
    assert await called(asking, "deduct_store_credits", **one) is True
    # Charged there, and sent again here.
    charged = one | {"p_request_id": "req_1", "p_amount": 3}
    assert await called(asking, "deduct_store_credits", **charged) is True
    much = one | {"p_request_id": "req_3", "p_amount": 90}
    assert await called(asking, "deduct_store_credits", **much) is False
    assert await called(asking, "refund_store_credits", **one) is True
    assert await called(asking, "refund_store_credits", **charged) is True
    assert await called(asking, "refund_store_credits", **charged) is False
    bought = one | {"p_type": "purchase", "p_request_id": "pack-2", "p_amount": 50}
    assert await called(asking, "add_store_credits", **bought) is True
    assert await called(asking, "set_store_overage_limit", p_store_id=store_id, p_overage_limit=5)
    of_user = {"p_user_id": user_id, "p_amount": 1, "p_request_id": "hat-1"}
    assert await called(asking, "deduct_credits", **of_user) is True
    assert await called(asking, "refund_credits", **of_user, p_description="No hat") is True

    async with asking.transaction():
        await asking.execute("SET LOCAL ROLE service_role; SET LOCAL search_path = credits")
        # As PostgREST reads `store_credits?select=balance&store_id=eq.…`.
        said = await asking.fetchval(
            """WITH pgrst_source AS (
                   SELECT "credits"."store_credits"."balance" FROM "credits"."store_credits"
                   WHERE "credits"."store_credits"."store_id" = $1)
               SELECT coalesce(json_agg(_postgrest_t), '[]') FROM (
                   SELECT * FROM pgrst_source) _postgrest_t""",
            store_id,
        )
        views = await asking.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'credits'")
        for (view,) in views:
            await asking.fetch(f"SELECT * FROM {view}")
    assert json.loads(said) == [{"balance": 60}]
    assert len(views) > 12


async def test_what_is_different_is_as_the_page_says(
    old: OldSystem, moved_in: tuple[Any, Any]
) -> None:
    store_id, user_id = moved_in
    asking = old.connection
    one = {"p_store_id": store_id, "p_amount": 1, "p_request_id": "req_1"}

    async def refused(function: str, **body: object) -> str | None:
        return await sqlstate_of(called(asking, function, **body))

    assert await refused("deduct_store_credits", **one) == "SC004"
    unsaid = one | {"p_request_id": None}
    assert await refused("deduct_store_credits", **unsaid) == "SC003"
    never = one | {"p_request_id": "never"}
    assert await refused("refund_store_credits", **never) == "SC005"
    assert await refused("refund_store_credits", **one | {"p_amount": 9}) == "SC006"
    assert await refused("add_store_credits", **never, p_type="promo") == "SC007"
    nobody = {"p_user_id": store_id, "p_amount": 1, "p_request_id": "r"}
    assert await refused("deduct_credits", **nobody) == "SC008"
    assert await refused("deduct_store_credits", **one | {"p_store_id": user_id}) == "SC001"
    unnamed = {"p_user_id": user_id, "p_amount": 1}
    assert await refused("deduct_credits", **unnamed) == UNDEFINED_FUNCTION
    # And as it was there.
    body = json.dumps(one, default=str)
    there = rpc(asking, "public", "service_role", "deduct_store_credits", body)
    assert await sqlstate_of(there) == UNIQUE_VIOLATION


@pytest.mark.parametrize("role", ["storecredit_app", "service_role"])
async def test_nobody_but_who_migrates_can_import(old: OldSystem, here: Command, role: str) -> None:
    await here("migrate", "--interface", "credits")
    functions = await old.connection.fetch(
        """SELECT p.oid::regprocedure::text AS signature, p.prosecdef FROM pg_proc p
           WHERE p.pronamespace = 'storecredit'::regnamespace
             AND p.proname ~ '^(begin_import|plan_import|import_|write_imported_)'"""
    )
    assert len(functions) >= 12
    for function in functions:
        assert not function["prosecdef"]
        may = await old.connection.fetchval(
            "SELECT has_function_privilege($1, $2, 'EXECUTE')", role, function["signature"]
        )
        if "import_findings" not in function["signature"]:
            assert not may, function["signature"]
    async with old.connection.transaction():
        await old.connection.execute(f"SET LOCAL ROLE {role}")
        calling = old.connection.execute("SELECT storecredit.begin_import()")
        assert await sqlstate_of(calling) == INSUFFICIENT_PRIVILEGE
