"""What really stands in the tables, read as a superuser past all of the application's code."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import asyncpg

ACCOUNT = "(SELECT account_id FROM accounts WHERE owner_kind = 'store' AND owner_id = $1)"
COMES_IN = ("purchase", "subscription", "grant", "overage_credit")
BUCKETS = r"SELECT nspname FROM pg_namespace WHERE nspname ~ '^storecredit(_\d+)?$' ORDER BY oid"
LEDGER_COLUMNS = "seq, type, amount, balance_after, request_id, session_id::text"


async def of_all_buckets(
    connection: asyncpg.Connection, query: str, *args: object
) -> list[asyncpg.Record]:
    """The rows of a statement that names no schema, of each bucket, one's after the other's."""
    found: list[asyncpg.Record] = []
    async with connection.transaction():
        for bucket in await connection.fetch(BUCKETS):
            await connection.execute(f"SET LOCAL search_path = {bucket['nspname']}")
            # A statement of its own each: what was prepared for one's tables is none of another's.
            found += await connection.fetch(f"{query}\n-- in {bucket['nspname']}", *args)
    return found


async def in_bucket_of(connection: asyncpg.Connection, owner_id: object) -> None:
    """Have a session find the tables first that this owner's credits stand in."""
    for bucket in await connection.fetch(BUCKETS):
        name = bucket["nspname"]
        if await connection.fetchval(
            f"SELECT 1 FROM {name}.accounts WHERE owner_id::text = $1", str(owner_id)
        ):
            await connection.execute(f"SET search_path = {name}, public")


@dataclass(frozen=True, slots=True)
class Rows:
    """Reads one test's database, all its buckets."""

    connection: asyncpg.Connection

    async def account_id(self, store_id: str) -> int:
        """The store's account."""
        (row,) = await self.fetch(
            f"SELECT account_id FROM accounts WHERE account_id = {ACCOUNT}", store_id
        )
        account_id: int = row["account_id"]
        return account_id

    async def credits(self, store_id: str) -> dict[str, Any]:
        """What the store's newest movement left, and what came in, summed up."""
        rows = await self.fetch(
            f"""SELECT balance_after AS balance, spent_after AS total_spent, seq AS last_seq,
                    (coalesce(sum(amount) FILTER (WHERE type = ANY ($2)) OVER (), 0))::bigint
                        AS total_purchased
                FROM movements WHERE account_id = {ACCOUNT} ORDER BY seq DESC LIMIT 1""",
            store_id,
            COMES_IN,
        )
        if not rows:
            assert await self.account_id(store_id)
            return {"balance": 0, "total_purchased": 0, "total_spent": 0, "last_seq": 0}
        return dict(rows[0])

    async def ledger(self, store_id: str, *types: str) -> list[dict[str, Any]]:
        """The store's movements, oldest first; only of these types, if any are named."""
        rows = await self.fetch(
            f"SELECT {LEDGER_COLUMNS} FROM movements WHERE account_id = {ACCOUNT}"
            " AND (cardinality($2::text[]) = 0 OR type = ANY ($2)) ORDER BY seq",
            store_id,
            types,
        )
        return [dict(row) for row in rows]

    async def deductions(self) -> int:
        """How many deductions there are, of all accounts."""
        rows = await self.fetch("SELECT count(*) FROM movements WHERE type = 'deduction'")
        return sum(row["count"] for row in rows)

    async def sessions(self, store_id: str) -> list[dict[str, Any]]:
        """The store's generation sessions, oldest first."""
        rows = await self.fetch(
            "SELECT session_id::text, status, request_id, error_code, attempts, input, result_key"
            f" FROM sessions WHERE account_id = {ACCOUNT} ORDER BY session_id",
            store_id,
        )
        return [dict(row) for row in rows]

    async def jobs(self) -> list[dict[str, Any]]:
        """What waits in the queue or is being worked on."""
        rows = await self.fetch("SELECT payload, dedupe_key, status::text FROM pgqueuer")
        return [{**json.loads(row["payload"]), "key": row["dedupe_key"]} for row in rows]

    async def counts(self) -> dict[str, int]:
        """How many rows every table has."""
        tables = await self.connection.fetch(
            f"""SELECT relname, relnamespace::regnamespace::text AS bucket FROM pg_class
            WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ({BUCKETS})"""
        )
        found: Counter[str] = Counter()
        for table in tables:
            found[table["relname"]] += await self.connection.fetchval(
                f'SELECT count(*) FROM {table["bucket"]}."{table["relname"]}"'
            )
        return dict(found)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """The rows of one statement asked of each bucket."""
        return await of_all_buckets(self.connection, query, *args)
