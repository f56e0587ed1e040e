"""The upgrade of a database of the builds before: their tables were in the schema `public`.

What is there is taken for ours only if it is exactly what those builds had made, and moved only if
every ledger follows: a balance that the movements do not come to would be made right by moving
them, and nobody would ever see it again.
"""

import asyncio
import contextlib
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.servers import Connection

MIGRATION: Final = "0014_foreign_transactions"
"""The last one of that build."""
EARLIEST: Final = "0008_hot_updates"
"""From here on, what is missing is columns that hold nothing yet."""
_OURS: Final = (
    *("stores", "store_api_keys", "store_credits", "store_credit_transactions"),
    *("store_generation_sessions", "store_overage_bills", "store_subscriptions"),
    *("users", "user_credits", "credit_transactions", "generation_sessions"),
    *("checkouts", "payments", "clawbacks", "paddle_events"),
    *("last_verification", "storecredit_schema"),
)
# From what its doors begin with to what they end with, for most of them.
_LOCKED: Final = (
    *("paddle_events", "checkouts", "store_subscriptions", "payments", "clawbacks"),
    *("store_credits", "user_credits", "store_credit_transactions", "credit_transactions"),
    *("store_overage_bills", "stores", "store_api_keys", "users"),
    *("store_generation_sessions", "generation_sessions"),
    *("last_verification", "storecredit_schema"),
)
LOCK_TRIES_MAX = 200
_LOCK_PAUSE_SECONDS: Final = 0.1
_TABLES: Final = """
    SELECT string_agg(format('public.%I', c.relname), ', '
        ORDER BY array_position($1::text[], c.relname::text), c.relname)
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND (c.relname = ANY ($1::text[]) OR c.relname ~ '^pgqueuer(_|$)')"""
# Tables, columns and their types as that build had made them, in order of their names.
_COLUMNS_MD5: Final = "fdeee7d96dbf374164626a1e049a0ea0"
_COLUMNS: Final = """
    SELECT md5(string_agg(format('%s.%s %s', c.relname, a.attname,
        format_type(a.atttypid, a.atttypmod)), ',' ORDER BY c.relname, a.attname))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND c.relname = ANY ($1::text[]) AND a.attnum > 0 AND NOT a.attisdropped"""


async def are_there(connection: Connection) -> bool:
    """Whether an earlier build has migrated this database, and no later one."""
    # Today there is a view of this name.
    there: bool = await connection.fetchval(
        """SELECT EXISTS (SELECT FROM pg_class
           WHERE oid = to_regclass('public.storecredit_schema') AND relkind = 'r')"""
    )
    return there


async def lock(connection: asyncpg.Connection) -> None:
    """Keep everybody else from its tables until the transaction ends: all of them at once, or none.

    Its doors take them in orders of their own (a payment's event before or after the checkout), so
    there is none in which to wait for all. What has been got is given back before anybody's wait
    for it is long enough for the server to look for a circle (`deadlock_timeout`), and tried anew:
    no door of a service that is still at work ends with a deadlock. Raises DatabaseMisconfigured
    when somebody keeps a table for too long, such as a dump.
    """
    tables = await connection.fetchval(_TABLES, _LOCKED)
    for _ in range(LOCK_TRIES_MAX):
        with contextlib.suppress(asyncpg.QueryCanceledError):
            async with connection.transaction():
                await connection.execute(
                    """SELECT set_config('statement_timeout',
                           least(greatest(setting::int / 2, 50), 500)::text, true)
                       FROM pg_settings WHERE name = 'deadlock_timeout'"""
                )
                await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
                await connection.execute("SET LOCAL statement_timeout = 0")
            return
        await asyncio.sleep(_LOCK_PAUSE_SECONDS)
    raise DatabaseMisconfigured(
        "Somebody is at the tables of the earlier storecredit all the time, and nothing was "
        "changed: stop its service and whatever else reads them (a dump, a report), and migrate "
        "again."
    )


async def refuse_unless_known(connection: asyncpg.Connection) -> None:
    """Raise DatabaseMisconfigured unless the tables are as one of those builds has left them."""
    newest = await connection.fetchval("SELECT migration FROM public.storecredit_schema")
    if newest is not None and EARLIEST <= newest < MIGRATION:
        with contextlib.suppress(asyncpg.UndefinedTableError):
            async with connection.transaction():
                await connection.execute(sql.text("from_public/0_earlier.sql"))
                newest = MIGRATION
    if newest == MIGRATION and await connection.fetchval(_COLUMNS, _OURS) == _COLUMNS_MD5:
        return
    raise DatabaseMisconfigured(
        "The schema public has storecredit's tables, but not as one of its builds with migrations "
        f"{EARLIEST} to {MIGRATION} left them, and nothing was changed: run `storecredit migrate` "
        "of such a build first, and take out columns of your own."
    )


async def move(connection: asyncpg.Connection) -> None:
    """Move every row into today's tables, and drop the old ones; the new ones are there, empty.

    Whoever calls has locked the old ones. Raises DatabaseMisconfigured for a ledger that does not
    follow; the caller's transaction is to be undone then.
    """
    await connection.execute(sql.text("from_public/1_jobs.sql"))
    await connection.execute(sql.text("from_public/2_accounts.sql"))
    unproven = await connection.fetchrow(sql.text("from_public/3_unproven.sql"))
    if unproven is not None:
        raise DatabaseMisconfigured(
            f"The credits of {unproven['owner_kind']} {unproven['owner_id']} do not follow from "
            "its ledger, and nothing was changed: run `storecredit verify` of the build before, "
            "and migrate once it finds nothing."
        )
    await connection.execute(sql.text("from_public/4_rows.sql"))
    await connection.execute(sql.text("from_public/5_drop.sql"))
