"""How many buckets a database has: schemas with the same tables, each with owners of its own."""

from typing import Final

from storecredit.postgres.errors import translated
from storecredit.postgres.schema.migration_locks import prepared
from storecredit.postgres.servers import ACCOUNT_BITS, SCHEMA, Connection, connect

# Who makes an owner or key, or acts, in the first bucket meanwhile waits, and notes it then.
_OPEN: Final = """
    LOCK TABLE accounts, store_api_keys, audit_log IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO buckets (number) SELECT generate_series(0, {last}) ON CONFLICT DO NOTHING;
    INSERT INTO owner_buckets (owner_kind, owner_id, bucket)
        SELECT owner_kind, owner_id, 0 FROM accounts ON CONFLICT DO NOTHING;
    INSERT INTO key_buckets (key_hash, bucket)
        SELECT key_hash, 0 FROM store_api_keys ON CONFLICT DO NOTHING;
    INSERT INTO action_buckets (idempotency_key, bucket)
        SELECT idempotency_key, 0 FROM audit_log WHERE idempotency_key IS NOT NULL
        ON CONFLICT DO NOTHING"""
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
    number = int(schema.removeprefix(f"{SCHEMA}_")) if schema != SCHEMA else 0
    for table, column in _NUMBERED:
        await connection.execute(
            f"ALTER TABLE {table} ALTER {column} RESTART WITH {(number << ACCOUNT_BITS) + 1}"
        )


async def number_of_buckets(url: str) -> int:
    """The same of a database that was migrated. Raises DatabaseUnavailable."""
    connection = await connect(url, as_app=False)
    try:
        with translated():
            async with prepared(connection):
                return await count(connection)
    finally:
        await connection.close()


async def open_buckets(url: str, number: int) -> None:
    """Have so many buckets be used for new owners from now on; each has been migrated.

    Whoever is there lives in the first one, and is written down, with their keys.
    """
    connection = await connect(url, as_app=False)
    try:
        with translated():
            async with prepared(connection):
                await connection.execute(_OPEN.format(last=number - 1))
    finally:
        await connection.close()
