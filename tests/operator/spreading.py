"""Owners of the only bucket, moved to others with all that is theirs: the same history, spread.

So whatever is told of all owners together must be told as before, to the last row. Done past all
guards, as a superuser: nothing of the product moves owners.
"""

from typing import Final

import asyncpg

from storecredit.postgres.servers import ACCOUNT_BITS, bucket_schema

_TABLES: Final = """
    SELECT c.relname AS name, array_agg(a.attname ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'storecredit'::regnamespace AND c.relkind = 'r'
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    GROUP BY c.relname ORDER BY c.relname
"""
_OTHERWISE: Final = {
    "clawbacks": "provider_transaction_id IN ("
    "SELECT p.provider_transaction_id FROM storecredit.payments p JOIN chosen USING (account_id))"
}
_OF_THE_DATABASE: Final = ("summed_accounts", "owner_buckets", "key_buckets", "audit_log")
"""Made anew, or told by another way."""


async def spread(admin: asyncpg.Connection, number: int) -> None:
    """Spread all owners over so many buckets, which there are: one after the other, by their id."""
    tables = await admin.fetch(_TABLES)
    await admin.execute("SET session_replication_role = replica")
    for bucket in range(1, number):
        async with admin.transaction():
            await admin.execute(
                f"""CREATE TEMP TABLE chosen ON COMMIT DROP AS
                SELECT account_id, owner_id, owner_kind FROM (
                    SELECT *, row_number() OVER (ORDER BY account_id) AS place
                    FROM storecredit.accounts) a
                WHERE account_id >> {ACCOUNT_BITS} = 0
                    AND place % {number - bucket + 1} = 0"""
            )
            of_chosen = {
                table["name"]: condition
                for table in tables
                if (condition := _of_chosen(table["name"], table["columns"]))
            }
            for table in tables:
                if table["name"] in of_chosen:
                    await _copy(admin, table, bucket, of_chosen[table["name"]])
            # Those first that are found by what others say.
            for name in sorted(of_chosen, key=lambda name: name not in _OTHERWISE):
                await admin.execute(f"DELETE FROM storecredit.{name} WHERE {of_chosen[name]}")
            await admin.execute(
                f"""UPDATE storecredit.owner_buckets b SET bucket = {bucket} FROM chosen c
                WHERE b.owner_kind = c.owner_kind AND b.owner_id = c.owner_id"""
            )
    for bucket in range(number):
        schema = bucket_schema(bucket)
        await admin.execute(
            f"TRUNCATE {schema}.hourly_sums, {schema}.daily_sums, {schema}.summed_accounts,"
            f" {schema}.summing, {schema}.daily_money"
        )
    await admin.execute("RESET session_replication_role")


def _of_chosen(name: str, columns: list[str]) -> str | None:
    """Which rows of a table go along; None: none do."""
    if name in _OF_THE_DATABASE:
        return None
    if name in _OTHERWISE:
        return _OTHERWISE[name]
    if "account_id" in columns:
        return "account_id IN (SELECT account_id FROM chosen)"
    for column, kind in (("store_id", "store"), ("user_id", "user")):
        if column in columns:
            return f"{column} IN (SELECT owner_id FROM chosen WHERE owner_kind = '{kind}')"
    return None


async def _copy(
    admin: asyncpg.Connection, table: asyncpg.Record, bucket: int, condition: str
) -> None:
    shift = bucket << ACCOUNT_BITS
    read = [f"{name} + {shift}" if name == "account_id" else name for name in table["columns"]]
    await admin.execute(
        f"""INSERT INTO {bucket_schema(bucket)}.{table["name"]} ({", ".join(table["columns"])})
        OVERRIDING SYSTEM VALUE
        SELECT {", ".join(read)} FROM storecredit.{table["name"]} WHERE {condition}"""
    )
