"""How many buckets a database has: schemas with the same tables, each with owners of its own.

A process that works with fewer knows no owner of the others. So new ones are opened ahead of time:
they stand in the table `buckets`, where every process looks often, and are given their first owner
when the last process has seen them (`opened_at`).
"""

from datetime import datetime
from typing import Final

from storecredit.postgres.errors import DatabaseMisconfigured, translated
from storecredit.postgres.schema.migration_locks import prepared
from storecredit.postgres.servers import ACCOUNT_BITS, SCHEMA, Connection, connect

NUMBER_MAX: Final = 1_000
"""Each has a pool and lanes of its own in every process."""
CONNECTIONS_EACH: Final = 16
"""What one process may have open to each: a full pool of the usual size, and as many beside it."""
OPEN_AFTER_SECONDS: Final = 60.0
"""How long after they were made new buckets take owners; a process looks far more often."""

# Who makes an owner or key, or acts, in the first bucket meanwhile waits, and notes it then.
_OPEN: Final = """
    LOCK TABLE accounts, store_api_keys, audit_log IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO buckets (number, opened_at)
        SELECT each, now() + {after} * interval '1 second' FROM generate_series(0, {last}) each
        ON CONFLICT DO NOTHING;
    INSERT INTO owner_buckets (owner_kind, owner_id, bucket)
        SELECT owner_kind, owner_id, 0 FROM accounts ON CONFLICT DO NOTHING;
    INSERT INTO key_buckets (key_hash, bucket)
        SELECT key_hash, 0 FROM store_api_keys ON CONFLICT DO NOTHING;
    INSERT INTO action_buckets (idempotency_key, bucket)
        SELECT idempotency_key, 0 FROM audit_log WHERE idempotency_key IS NOT NULL
        ON CONFLICT DO NOTHING"""
# Some are kept for superusers, and from version 16 on for others.
_CONNECTIONS: Final = """
    SELECT current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)"""
# Each table, and the column by which a row is known in all buckets.
_NUMBERED: Final = (("accounts", "account_id"), ("audit_log", "entry_id"))


async def count(connection: Connection) -> int:
    """How many buckets there are, asked in the first; 1 where nothing is said of others."""
    number: int = await connection.fetchval("SELECT greatest(count(*), 1) FROM buckets")
    return number


async def number_rows(connection: Connection, schema: str) -> None:
    """Have a new bucket's accounts and audit entries be known by their numbers, in all buckets.

    Each bucket has a range of its own.
    """
    for table, column in _NUMBERED:
        await connection.execute(
            f"ALTER TABLE {table} ALTER {column} RESTART WITH {first_of(schema) + 1}"
        )


def first_of(schema: str) -> int:
    """Where the range of a bucket begins, of the ids that are of all buckets."""
    number = int(schema.removeprefix(f"{SCHEMA}_")) if schema != SCHEMA else 0
    return number << ACCOUNT_BITS


def is_of_all(sequence: str) -> bool:
    """Whether a sequence of this name gives such ids."""
    return sequence in {f"{table}_{column}_seq" for table, column in _NUMBERED}


def refuse_number(wanted: int, there: int) -> None:
    """Raise DatabaseMisconfigured where a database that has `there` buckets cannot have so many."""
    if wanted < there:
        raise DatabaseMisconfigured(
            f"The database has {there} buckets, and none of them is ever taken away: name {there} "
            "or more."
        )
    if wanted > NUMBER_MAX:
        raise DatabaseMisconfigured(
            f"A database has at most {NUMBER_MAX} buckets: each takes connections in every process."
        )


async def refuse_without_room(url: str, wanted: int) -> None:
    """Raise DatabaseMisconfigured where one process could take all connections there are to them.

    Buckets are never taken away, and a server that has no connection left serves none of them.
    """
    connection = await connect(url, as_app=False)
    try:
        with translated():
            most: int = await connection.fetchval(_CONNECTIONS)
    finally:
        await connection.close()
    if wanted * CONNECTIONS_EACH > most:
        raise DatabaseMisconfigured(
            f"The server lets {most} connections in (max_connections), and each process may take "
            f"{CONNECTIONS_EACH} for each bucket: there is room for "
            f"{max(1, most // CONNECTIONS_EACH)}, not for {wanted}. Nothing was changed."
        )


async def open_buckets(url: str, number: int, *, after_seconds: float) -> datetime:
    """Have so many buckets be used for new owners some time from now; each has been migrated.

    Whoever is there lives in the first one, and is written down, with their keys. Returns from when
    on the last of them takes owners.
    """
    connection = await connect(url, as_app=False)
    try:
        with translated():
            async with prepared(connection):
                await connection.execute(_OPEN.format(last=number - 1, after=after_seconds))
                opened_at: datetime = await connection.fetchval(
                    "SELECT max(opened_at) FROM buckets"
                )
                return opened_at
    finally:
        await connection.close()
