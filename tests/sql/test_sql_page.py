"""docs/sql.md: its statements answer as they say, and it names all that there is."""

import json
import re
from uuid import UUID

import asyncpg

from storecredit.postgres.schema import privileges
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import search_path
from tests.e2e.page_commands import Page
from tests.sql.postgrest import rpc

PAGE = Page("docs/sql.md")
STORE = UUID("01985f00-0000-7000-8000-000000000001")
USER = UUID("01985f00-0000-7000-8000-000000000002")
ANSWERED = re.compile(r"(.*?);(?:  -- (\S+))?\n", re.DOTALL)
REQUEST = re.compile(r"POST /rpc/(\w+)\n(.*?)\n\n(.*)", re.DOTALL)


async def test_every_statement_and_call_answers_as_shown(admin: asyncpg.Connection) -> None:
    await admin.execute(
        "SELECT storecredit.create_store($1, 'Hats', 'hats.example', 'default', 10, 'opening')",
        STORE,
    )
    await admin.execute("SELECT storecredit.ensure_user($1, 0)", USER)
    transaction = admin.transaction()
    await transaction.start()
    # Rolled back, so that no other database of this server ever meets the role.
    await admin.execute("CREATE ROLE service_role")
    await admin.execute(f"SET LOCAL search_path = {search_path()}")
    await privileges.mend_rights(admin)
    await admin.execute("SET LOCAL search_path = public")

    blocks = re.findall(r"^```(sql|http)\n(.*?)^```", PAGE.text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7
    for language, block in blocks:
        if language == "http":
            function, body, answer = REQUEST.fullmatch(block).groups()  # type: ignore[union-attr]  # or it fails
            told = await rpc(admin, "public", "service_role", function, body)
            assert told == json.loads(answer), function
            continue
        for statement, answer in ANSWERED.findall(block):
            rows = await admin.fetch(statement)
            assert rows, statement
            if answer:
                assert str(rows[0][0]).lower() == answer, statement
    await transaction.rollback()


async def test_the_command_moves_the_interface(
    database_url: str, admin: asyncpg.Connection
) -> None:
    (command,) = PAGE.blocks()
    (schema,) = re.fullmatch(r"storecredit migrate --interface (\w+)\n", command).groups()  # type: ignore[union-attr]  # or it fails

    assert (await migrate(database_url, interface_schema=schema)).interface == schema

    assert await admin.fetchval(f"SELECT count(*) FROM {schema}.store_credits") == 0


async def test_the_page_names_every_view_with_its_columns_and_every_function(
    admin: asyncpg.Connection,
) -> None:
    views = await admin.fetch(
        """SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS columns
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
             AND c.relname <> 'storecredit_schema' GROUP BY 1"""
    )
    shown = {
        name: re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", columns))
        for name, columns in re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.text, re.MULTILINE)
        if not name.startswith("SC")
    }
    shown["generation_sessions"] = ["user_id", *shown["store_generation_sessions"][1:]]
    assert shown == {view["relname"]: view["columns"] for view in views}

    functions = await admin.fetch(
        """SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' AS signature,
               obj_description(p.oid, 'pg_proc') AS comment, p.proname
           FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"""
    )
    rows = dict(
        re.findall(r"^\| `(\w+\([^|]*?\))`[^|]*\|[^|]*\| (.*) \|$", PAGE.text, re.MULTILINE)
    )
    assert rows.keys() == {
        re.sub(r"::[a-z ]+", "", row["signature"])
        .replace("integer", "int")
        .replace("timestamp with time zone", "timestamptz")
        for row in functions
    }
    for row in functions:
        (signature,) = [name for name in rows if name.startswith(f"{row['proname']}(")]
        said = set(re.findall(r"SC\d\d\d", row["comment"]))
        assert set(re.findall(r"SC\d\d\d", rows[signature])) == said, signature
