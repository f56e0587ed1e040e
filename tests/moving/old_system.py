"""The system before, filled row by row as it had filled its tables itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

BEGAN: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD_KEY: Final = "wk_f3b1c2d4e5f60718293a4b5c6d7e8f90"


@dataclass(slots=True)
class OldSystem:
    """One database of it."""

    url: str
    connection: asyncpg.Connection
    _minutes: Iterator[int] = field(default_factory=count)

    async def store(self, domain: str = "hats.example", **columns: object) -> UUID:
        """A store without credits; `columns` besides."""
        given = {"id": uuid4(), "shop_domain": domain, "created_at": BEGAN} | columns
        await self._insert("stores", given)
        store_id = given["id"]
        assert isinstance(store_id, UUID)
        return store_id

    async def key(self, store_id: UUID, key: str = OLD_KEY, **columns: object) -> UUID:
        """One of its API keys."""
        key_id = uuid4()
        hashed = {"key_hash": sha256(key.encode()).hexdigest()}
        await self._insert(
            "store_api_keys", {"id": key_id, "store_id": store_id} | hashed | columns
        )
        return key_id

    async def user(self) -> UUID:
        """An end user, as the host's own table and the app's have them."""
        user_id = uuid4()
        email = f"{user_id.hex}@mail.example"
        await self._insert("auth.users", {"id": user_id, "email": email})
        await self._insert("users", {"id": user_id, "email": email})
        return user_id

    async def shows(self, owner_id: UUID, balance: int, *, kind: str = "store") -> None:
        """What the owner has, as people are told."""
        await self._insert(f"{kind}_credits", {f"{kind}_id": owner_id, "balance": balance})

    async def moved(
        self,
        owner_id: UUID,
        type_: str,
        amount: int,
        request_id: str | None = None,
        *,
        kind: str = "store",
        **columns: object,
    ) -> UUID:
        """One row of a ledger, a minute after the one before."""
        row_id = uuid4()
        row = {"id": row_id, f"{kind}_id": owner_id, "type": type_, "amount": amount}
        row |= {"created_at": self._moment()}
        if kind == "store":
            row["request_id"] = request_id
        table = {"store": "store_credit_transactions", "user": "credit_transactions"}[kind]
        await self._insert(table, row | columns)
        return row_id

    async def generation(
        self,
        owner_id: UUID,
        status: str,
        request_id: str | None = None,
        *,
        kind: str = "store",
        **columns: object,
    ) -> UUID:
        """One generation session."""
        session_id = uuid4()
        row: dict[str, object] = {"id": session_id, f"{kind}_id": owner_id, "status": status}
        row |= {"created_at": self._moment()}
        if kind == "store":
            row["request_id"] = request_id
        table = {"store": "store_generation_sessions", "user": "generation_sessions"}[kind]
        await self._insert(table, row | columns)
        return session_id

    async def event(self, event_id: str, **columns: object) -> None:
        """A webhook that it had been sent, and has booked."""
        row = {"provider": "paddle", "event_id": event_id, "event_type": "transaction.completed"}
        await self._insert("billing_webhook_events", row | columns)

    async def contents(self) -> dict[str, Any]:
        """Everything in its schemas: rows, who may do what, functions, policies."""
        tables = await self.connection.fetch(
            """SELECT c.oid::regclass::text AS name, c.relacl::text AS acl FROM pg_class c
               WHERE c.relnamespace IN ('public'::regnamespace, 'auth'::regnamespace)
                 AND c.relkind = 'r' ORDER BY 1"""
        )
        rows = {
            table["name"]: [
                str(row)
                for row in await self.connection.fetch(
                    f"SELECT ctid, xmin, t.* FROM {table['name']} t ORDER BY ctid"
                )
            ]
            for table in tables
        }
        functions = await self.connection.fetch(
            """SELECT pg_get_functiondef(oid), proacl::text FROM pg_proc
               WHERE pronamespace IN ('public'::regnamespace, 'auth'::regnamespace)
                 AND proowner <> coalesce(to_regrole('storecredit_writer'), 0) ORDER BY 1"""
        )
        policies = await self.connection.fetch("SELECT * FROM pg_policies ORDER BY 2, 3")
        return {
            "rows": rows,
            "rights": [tuple(table) for table in tables],
            "functions": [tuple(function) for function in functions],
            "policies": [str(policy) for policy in policies],
        }

    def _moment(self) -> datetime:
        return BEGAN + timedelta(minutes=next(self._minutes))

    async def _insert(self, table: str, row: dict[str, object]) -> None:
        names = ", ".join(row)
        values = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({values})", *row.values()
        )
