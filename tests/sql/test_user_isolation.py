"""B2C and B2B credits never mix: one id as store and as user, and each call of either kind."""

import re
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest
from tests.sql.user_generations import session as user_session
from uuid_utils.compat import uuid7

from tests.sql.books import sqlstate_of

# {owner}: a store and a user; {begun}, {done}: a session of each of them, under the request ids
# 'begun' and 'done'. Each call changes something of its own kind.
NEW_SESSION = "'{new}', sha256('c'), '{{}}', '{{}}'"
NEW_SESSIONS = "'{{new}}', ARRAY[sha256('c')], '{{NULL}}', '{{NULL}}'"
STORE_CALLS = (
    "deduct_store_credits('{owner}', 1, 'direct')",
    "refund_store_credits('{owner}', 1, 'done')",
    "add_store_credits('{owner}', 5, 'grant', 'gift')",
    "claw_back_store_credits('{owner}', 5, 'refunded')",
    "set_store_overage_limit('{owner}', 5)",
    "create_store_generations('{owner}', ARRAY['{new}'::uuid], " + NEW_SESSIONS + ")",
    "start_store_generations('{owner}', ARRAY['{begun}'::uuid])",
    "complete_store_generation('{owner}', '{begun}', 'k')",
    "fail_store_generation('{owner}', '{begun}', 'E', 'e')",
    "postpone_store_generation('{owner}', '{begun}', 'said', true)",
    "forget_store_generation_result('{owner}', '{done}')",
    "forget_store_generator_message('{owner}', '{done}')",
    "update_store('{owner}', p_name => 'Other')",
)
USER_CALLS = (
    "deduct_credits('{owner}', 1, 'direct')",
    "refund_credits('{owner}', 1, 'done')",
    "add_credits('{owner}', 5, 'grant', 'gift')",
    "claw_back_credits('{owner}', 5, 'refunded')",
    "create_generation('{owner}', '{new}', " + NEW_SESSION + ")",
    "create_generations_across_users(ARRAY['{owner}'::uuid], ARRAY['{new}'::uuid], "
    + NEW_SESSIONS
    + ")",
    "start_generation('{owner}', '{begun}')",
    "start_generations_across_users(ARRAY['{owner}'::uuid], ARRAY['{begun}'::uuid])",
    "complete_generation('{owner}', '{begun}', 'k')",
    "complete_generations_across_users(ARRAY['{owner}'::uuid], ARRAY['{begun}'::uuid], '{{k}}')",
    "fail_generation('{owner}', '{begun}', 'E', 'e')",
    """fail_generations_across_users(
        ARRAY['{owner}'::uuid], ARRAY['{begun}'::uuid], '{{E}}', '{{e}}')""",
    "postpone_generation('{owner}', '{begun}', 'said', true)",
    "forget_generation_result('{owner}', '{done}')",
    "forget_generator_message('{owner}', '{done}')",
)
# With which a user comes to be: it changes nothing of one who is there.
USER_MAKING = "ensure_user('{owner}', 10)"

TABLES_WITH = """
    SELECT a.attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = $1
    ORDER BY 1"""
FUNCTIONS_OF = """
    SELECT p.proname AS name, p.prosrc AS source,
        has_function_privilege('storecredit_app', p.oid, 'EXECUTE') AS is_granted
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.provolatile = 'v'
      AND p.proargnames[1] IN ($1, $1 || 's')"""


class Ids(NamedTuple):
    """What a store and a user have in common by chance."""

    owner: UUID
    begun: UUID
    done: UUID
    new: UUID


def new_ids() -> Ids:
    return Ids(uuid7(), uuid7(), uuid7(), uuid7())


async def rows_of(books: asyncpg.Connection, column: str, owner_id: UUID) -> dict[str, Any]:
    """Every row of any table that belongs to this store_id or user_id."""
    return {
        table: [
            row["row"]
            for row in await books.fetch(
                f"SELECT to_jsonb(t) AS row FROM {table} t WHERE t.{column} = $1 ORDER BY 1",
                owner_id,
            )
        ]
        for (table,) in await books.fetch(TABLES_WITH, column)
    }


async def call(app: asyncpg.Connection, text: str, ids: Ids) -> None:
    await app.execute(f"SELECT {text.format(**ids._asdict())}")


async def make_store(app: asyncpg.Connection, ids: Ids) -> None:
    for text in (
        "create_store('{owner}', 'Test', 'test.example', 'default', 10, 'opening')",
        """create_store_generations('{owner}', ARRAY['{begun}', '{done}']::uuid[],
            '{{begun,done}}', ARRAY[sha256('c'), sha256('c')], '{{NULL,NULL}}', '{{NULL,NULL}}')""",
        "start_store_generations('{owner}', ARRAY['{begun}', '{done}']::uuid[])",
        "postpone_store_generation('{owner}', '{done}', 'said', false)",
        "complete_store_generation('{owner}', '{done}', 'k')",
    ):
        await call(app, text, ids)


async def make_user(app: asyncpg.Connection, ids: Ids) -> None:
    for text in (
        USER_MAKING,
        "create_generation('{owner}', '{begun}', 'begun', sha256('c'), NULL, NULL)",
        "create_generation('{owner}', '{done}', 'done', sha256('c'), NULL, NULL)",
        "start_generation('{owner}', '{begun}')",
        "start_generation('{owner}', '{done}')",
        "postpone_generation('{owner}', '{done}', 'said', false)",
        "complete_generation('{owner}', '{done}', 'k')",
    ):
        await call(app, text, ids)


@pytest.mark.parametrize("text", USER_CALLS)
async def test_a_users_call_leaves_the_store_of_the_same_id_alone(
    app: asyncpg.Connection, books: asyncpg.Connection, text: str
) -> None:
    ids = new_ids()
    await make_store(app, ids)
    await make_user(app, ids)
    of_store = await rows_of(books, "store_id", ids.owner)
    of_user = await rows_of(books, "user_id", ids.owner)

    await call(app, text, ids)

    assert await rows_of(books, "store_id", ids.owner) == of_store
    assert await rows_of(books, "user_id", ids.owner) != of_user, "the call did nothing"


@pytest.mark.parametrize("text", STORE_CALLS)
async def test_a_stores_call_leaves_the_user_of_the_same_id_alone(
    app: asyncpg.Connection, books: asyncpg.Connection, text: str
) -> None:
    ids = new_ids()
    await make_store(app, ids)
    await make_user(app, ids)
    of_store = await rows_of(books, "store_id", ids.owner)
    of_user = await rows_of(books, "user_id", ids.owner)

    await call(app, text, ids)

    assert await rows_of(books, "user_id", ids.owner) == of_user
    assert await rows_of(books, "store_id", ids.owner) != of_store, "the call did nothing"


@pytest.mark.parametrize("text", USER_CALLS)
async def test_a_store_is_no_user(
    app: asyncpg.Connection, books: asyncpg.Connection, text: str
) -> None:
    ids = new_ids()
    await make_store(app, ids)
    of_store = await rows_of(books, "store_id", ids.owner)

    if re.match("start|postpone|complete|forget", text):
        await call(app, text, ids)  # answers not_found
    else:
        assert await sqlstate_of(call(app, text, ids)) == "SC008"

    assert await rows_of(books, "store_id", ids.owner) == of_store
    assert not any((await rows_of(books, "user_id", ids.owner)).values())


@pytest.mark.parametrize("text", STORE_CALLS)
async def test_a_user_is_no_store(
    app: asyncpg.Connection, books: asyncpg.Connection, text: str
) -> None:
    ids = new_ids()
    await make_user(app, ids)
    of_user = await rows_of(books, "user_id", ids.owner)

    if re.match("start|postpone|complete|forget|update|set", text):
        await call(app, text, ids)  # answers not_found or false
    else:
        assert await sqlstate_of(call(app, text, ids)) == "SC001"

    assert await rows_of(books, "user_id", ids.owner) == of_user
    assert not any((await rows_of(books, "store_id", ids.owner)).values())


async def test_a_user_made_beside_a_store_of_the_same_id_has_its_own_credits(
    app: asyncpg.Connection, books: asyncpg.Connection
) -> None:
    ids = new_ids()
    await make_store(app, ids)
    of_store = await rows_of(books, "store_id", ids.owner)

    await make_user(app, ids)

    assert await rows_of(books, "store_id", ids.owner) == of_store
    assert (await user_session(books, ids.owner, ids.done))["status"] == "completed"


async def test_every_function_for_a_user_is_called_here(books: asyncpg.Connection) -> None:
    functions = await books.fetch(FUNCTIONS_OF, "p_user_id")

    granted = {row["name"] for row in functions if row["is_granted"]}
    assert {text.partition("(")[0] for text in (*USER_CALLS, USER_MAKING)} == granted


@pytest.mark.parametrize(
    "argument, of_the_other_kind",
    [
        ("p_user_id", r"\bstore_\w+|\bstores\b"),
        ("p_store_id", r"\b(users|user_\w+|credit_transactions|generation_sessions)\b"),
    ],
)
async def test_no_function_for_one_kind_names_anything_of_the_other(
    books: asyncpg.Connection, argument: str, of_the_other_kind: str
) -> None:
    functions = await books.fetch(FUNCTIONS_OF, argument)

    assert len(functions) > 10
    named = {row["name"]: re.findall(of_the_other_kind, row["source"]) for row in functions}
    assert {name: words for name, words in named.items() if words} == {}
