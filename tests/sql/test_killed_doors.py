"""A door of the ledger whose backend dies at any of its statements has written nothing at all.

Triggers count what a call does: before and after each statement that writes, after each row, and
at its commit. At the n-th of them the call waits for an advisory lock that the test holds, is
killed there, and comes again; with the next n, until it comes to its end.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from storecredit.postgres.servers import SCHEMA, connect
from tests.conftest import SEARCH_PATH

Call = tuple[str, tuple[Any, ...]]

LOCK = 4711
WRITTEN = (
    "accounts",
    "movements",
    "sessions",
    "subscription_charges",
    "pgqueuer",
    "stores",
    "users",
)
STOPS_MAX = 100
"""More than any call of these has: one that never ends fails here."""
PRINT = bytes(32)

COUNT = f"""
CREATE FUNCTION count_and_stop() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_passed int := coalesce(nullif(current_setting('killed.passed', true), ''), '0')::int + 1;
BEGIN
    PERFORM set_config('killed.passed', v_passed::text, false);
    IF v_passed::text = current_setting('killed.stop_at', true) THEN
        PERFORM pg_advisory_xact_lock({LOCK});
    END IF;
    RETURN NULL;
END;
$$
"""
STOPS = """
CREATE TRIGGER zz_before BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION count_and_stop();
CREATE TRIGGER zz_after_row AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION count_and_stop();
CREATE TRIGGER zz_after AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION count_and_stop();
CREATE CONSTRAINT TRIGGER zz_at_commit AFTER INSERT OR UPDATE OR DELETE ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_and_stop();
"""


@pytest.fixture
async def stops(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Triggers on all that the doors write, and the lock for which they wait."""
    await admin.execute(COUNT)
    for table in WRITTEN:
        await admin.execute(STOPS.format(table=f"storecredit.{table}"))
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK)
    yield
    await admin.execute("SELECT pg_advisory_unlock_all()")


@pytest.fixture
async def accounts(admin: asyncpg.Connection) -> list[int]:
    """A store that goes beyond its balance, and an end user with credits."""
    await admin.execute("SELECT create_store($1, 'x', 'x')", uuid7())
    await admin.execute("SELECT ensure_user($1, 10)", uuid7())
    rows = await admin.fetch("SELECT account_id FROM accounts ORDER BY account_id")
    store, user = [row["account_id"] for row in rows]
    await admin.execute("SELECT set_overage_limit($1, 10)", store)
    return [store, user]


async def everything(connection: asyncpg.Connection) -> list[list[str]]:
    """All rows of all tables that the doors write."""
    return [
        [row["row"] for row in await connection.fetch(f"SELECT t::text AS row FROM {table} t")]
        for table in map("storecredit.{}".format, WRITTEN)
    ]


async def killed_at(
    admin: asyncpg.Connection, url: str, stop: int, call: Call, schema: str = SCHEMA
) -> list[asyncpg.Record] | None:
    """Kill the call's backend at its n-th stop; what it answers if it has not as many."""
    connection = await connect(url, schema=schema)
    pid = connection.get_server_pid()
    await connection.execute("SELECT set_config('killed.stop_at', $1, false)", str(stop))
    query, arguments = call
    answer = asyncio.create_task(connection.fetch(query, *arguments))
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"
    # Another session's wait sets no event.
    while not answer.done() and not await admin.fetchval(waits, pid):  # noqa: ASYNC110
        await asyncio.sleep(0)
    if answer.done():
        await connection.close()
        return answer.result()
    assert await admin.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
    with pytest.raises((asyncpg.PostgresError, asyncpg.PostgresConnectionError, OSError)):
        await answer
    return None


def calls_of(accounts: list[int], sessions: list[UUID]) -> dict[str, Call]:
    """Each door, for both accounts."""
    nothing = [None] * len(accounts)
    ones = [1] * len(accounts)
    store, user = accounts
    deduct, refund = (
        f"SELECT * FROM {door}($1, $2, $3, $4)"
        for door in ("deduct_from_accounts", "refund_to_accounts")
    )
    return {
        "deduct": (deduct, (accounts, ones, ["new"] * 2, nothing)),
        "refund": (refund, (accounts, ones, ["old"] * 2, nothing)),
        "create": (
            "SELECT * FROM create_generations($1, $2, $3, $4, $5, $6, $6, 'generation', $7)",
            (
                *(accounts, [uuid7() for _ in accounts], ["new"] * 2),
                *(ones, [PRINT] * 2, nothing, nothing),
            ),
        ),
        "start": ("SELECT * FROM start_generations($1, $2)", (accounts, sessions)),
        "complete": (
            "SELECT * FROM complete_generations($1, $2, $3)",
            (accounts, sessions, ["key"] * 2),
        ),
        "fail": (
            "SELECT * FROM fail_generations($1, $2, $3, $3, $4)",
            (accounts, sessions, ["CODE"] * 2, nothing),
        ),
        "add": ("SELECT add_to_account($1, 5, 'grant', 'new')", (user,)),
        "claw back": ("SELECT claw_back_from_account($1, 5, 'new')", (user,)),
        "limit": ("SELECT set_overage_limit($1, 7)", (store,)),
        "close": ("SELECT close_overage($1, '2026-01-01', 16, 'USD')", (store,)),
        "store": ("SELECT create_store($1, 'x', 'x', 'default', 5, 'opening')", (uuid7(),)),
        "user": ("SELECT * FROM ensure_user($1, 5)", (uuid7(),)),
    }


@pytest.mark.parametrize(
    "door",
    [
        "deduct",
        "refund",
        "create",
        "start",
        "complete",
        "fail",
        "add",
        "claw back",
        "limit",
        "close",
        "store",
        "user",
    ],
)
@pytest.mark.usefixtures("stops")
async def test_a_door_killed_at_any_statement_has_written_nothing(
    admin: asyncpg.Connection, database_url: str, accounts: list[int], door: str
) -> None:
    sessions = [uuid7() for _ in accounts]
    before = await connect(database_url)
    await before.execute(f"SET search_path = {SEARCH_PATH}")
    nothing = [None] * len(accounts)
    # A charge of a direct call, and a generation that a worker has begun.
    await before.fetch(
        "SELECT * FROM deduct_from_accounts($1, $2, $3, $4)",
        accounts,
        [1] * len(accounts),
        ["old"] * len(accounts),
        nothing,
    )
    await before.fetch(
        "SELECT * FROM create_generations($1, $2, $3, $4, $5, $6, $6, 'generation', $7)",
        accounts,
        sessions,
        ["generation"] * len(accounts),
        [1] * len(accounts),
        [PRINT] * len(accounts),
        nothing,
        nothing,
    )
    if door != "start":
        await before.fetch("SELECT * FROM start_generations($1, $2)", accounts, sessions)
    await before.close()
    call = calls_of(accounts, sessions)[door]

    untouched = await everything(admin)
    answer, stop = None, 0
    while answer is None:
        stop += 1
        assert stop < STOPS_MAX
        assert await everything(admin) == untouched, f"killed at stop {stop - 1}"
        answer = await killed_at(admin, database_url, stop, call)

    # Once before and after its statement, after its row, and at the commit: at the least.
    assert stop > 4
    assert await everything(admin) != untouched
