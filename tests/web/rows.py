"""What really stands in the tables, read as a superuser past all of the application's code."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg

LEDGER_COLUMNS = "seq, type, amount, balance_after, request_id, session_id::text"


@dataclass(frozen=True, slots=True)
class Rows:
    """Reads one test's database."""

    connection: asyncpg.Connection

    async def credits(self, store_id: str) -> dict[str, Any]:
        """The store's credit row."""
        row = await self.connection.fetchrow(
            "SELECT balance, total_purchased, total_spent, last_seq FROM store_credits"
            " WHERE store_id = $1",
            store_id,
        )
        assert row is not None
        return dict(row)

    async def ledger(self, store_id: str, *types: str) -> list[dict[str, Any]]:
        """The store's movements, oldest first; only of these types, if any are named."""
        rows = await self.connection.fetch(
            f"SELECT {LEDGER_COLUMNS} FROM store_credit_transactions WHERE store_id = $1"
            " AND (cardinality($2::text[]) = 0 OR type = ANY ($2)) ORDER BY seq",
            store_id,
            types,
        )
        return [dict(row) for row in rows]

    async def deductions(self) -> int:
        """How many deductions there are, of all stores."""
        count: int = await self.connection.fetchval(
            "SELECT count(*) FROM store_credit_transactions WHERE type = 'deduction'"
        )
        return count

    async def sessions(self, store_id: str) -> list[dict[str, Any]]:
        """The store's generation sessions, oldest first."""
        rows = await self.connection.fetch(
            "SELECT session_id::text, status, request_id, error_code, attempts, input, result_key"
            " FROM store_generation_sessions WHERE store_id = $1 ORDER BY session_id",
            store_id,
        )
        return [dict(row) for row in rows]

    async def jobs(self) -> list[dict[str, Any]]:
        """What waits in the queue or is being worked on."""
        rows = await self.connection.fetch("SELECT payload, dedupe_key, status FROM pgqueuer")
        return [{**json.loads(row["payload"]), "key": row["dedupe_key"]} for row in rows]

    async def counts(self) -> dict[str, int]:
        """How many rows every table has."""
        tables = await self.connection.fetch(
            "SELECT relname FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {
            table["relname"]: await self.connection.fetchval(
                f'SELECT count(*) FROM "{table["relname"]}"'
            )
            for table in tables
        }
