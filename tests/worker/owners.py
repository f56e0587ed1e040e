"""A store or an end user with credits, and what really stands in the tables of either kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from storecredit.generation.lifecycle import GenerationJob
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.service import Service

OPENING: Final = 10
"""Credits of a new store here, and by default of every end user."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where an owner's rows stand, written down apart from the application's own list."""

    id: str
    credits: str
    ledger: str
    sessions: str
    deduction: str


TABLES: Final[Mapping[OwnerKind, Tables]] = {
    OwnerKind.STORE: Tables(
        "store_id",
        "store_credits",
        "store_credit_transactions",
        "store_generation_sessions",
        "deduction",
    ),
    OwnerKind.USER: Tables(
        "user_id", "user_credits", "credit_transactions", "generation_sessions", "generation"
    ),
}


async def store(service: Service, credit_count: int = OPENING) -> Owner:
    made = await service.parts.stores.create(
        name="Shop", shop_domain="shop.example", credit_count=credit_count, request_id="opening"
    )
    return Owner.store(made.store_id)


async def user(service: Service, user_id: UUID | None = None) -> Owner:
    owner = Owner.user(user_id or uuid4())
    await service.parts.users.ensure(owner.id)
    return owner


@dataclass(frozen=True, slots=True)
class Books:
    """Reads and tampers with one owner's rows, as a superuser."""

    owner: Owner
    connection: asyncpg.Connection

    @property
    def tables(self) -> Tables:
        return TABLES[self.owner.kind]

    async def session(self, job: GenerationJob) -> asyncpg.Record:
        row = await self.connection.fetchrow(
            f"SELECT * FROM {self.tables.sessions} WHERE {self.tables.id} = $1 AND session_id = $2",
            self.owner.id,
            job.session_id,
        )
        assert row is not None
        return row

    async def movements(self, request_id: str) -> list[tuple[str, int]]:
        """What this request moved, oldest first; a deduction under one name for both kinds."""
        rows = await self.connection.fetch(
            f"SELECT type, amount FROM {self.tables.ledger}"
            f" WHERE {self.tables.id} = $1 AND request_id = $2 ORDER BY seq",
            self.owner.id,
            request_id,
        )
        names = {self.tables.deduction: "deduction"}
        return [(names.get(row["type"], row["type"]), row["amount"]) for row in rows]

    async def balance(self) -> int:
        value = await self.connection.fetchval(
            f"SELECT balance FROM {self.tables.credits} WHERE {self.tables.id} = $1", self.owner.id
        )
        assert isinstance(value, int)
        return value

    async def make_older(self, column: str, minutes: int, job: GenerationJob) -> None:
        """As if a session had been created, or completed, so much earlier."""
        await self.connection.execute(
            f"UPDATE {self.tables.sessions}"
            f" SET {column} = {column} - make_interval(mins => $3)"
            f" WHERE {self.tables.id} = $1 AND session_id = $2",
            self.owner.id,
            job.session_id,
            minutes,
        )
