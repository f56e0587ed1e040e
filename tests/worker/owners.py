"""A store or an end user with credits, and what really stands in the tables about either."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from storecredit.generation.lifecycle import GenerationJob
from storecredit.ledger.owners import Account, Owner
from storecredit.postgres.buckets import bucket_of
from storecredit.postgres.servers import bucket_schema
from storecredit.service import Service

OPENING: Final = 10
"""Credits of a new store here, and by default of every end user."""


async def store(service: Service, credit_count: int = OPENING) -> Account:
    made = await service.parts.stores.create(
        name="Shop", shop_domain="shop.example", credit_count=credit_count, request_id="opening"
    )
    owner = Owner.store(made.store_id)
    return Account(await service.parts.credits.account_id(owner), owner)


async def user(service: Service, user_id: UUID | None = None) -> Account:
    owner = Owner.user(user_id or uuid4())
    return Account(await service.parts.users.ensure(owner.id), owner)


@dataclass(frozen=True, slots=True)
class Books:
    """Reads and tampers with one account's rows, as a superuser."""

    account: Account
    connection: asyncpg.Connection

    @property
    def bucket(self) -> str:
        """The schema that the account is in."""
        return bucket_schema(bucket_of(self.account.id))

    async def session(self, job: GenerationJob) -> asyncpg.Record:
        row = await self.connection.fetchrow(
            f"SELECT * FROM {self.bucket}.sessions WHERE account_id = $1 AND session_id = $2",
            self.account.id,
            job.session_id,
        )
        assert row is not None
        return row

    async def movements(self, request_id: str) -> list[tuple[str, int]]:
        """What this request moved, oldest first."""
        rows = await self.connection.fetch(
            f"SELECT type, amount FROM {self.bucket}.movements"
            " WHERE account_id = $1 AND request_id = $2 ORDER BY seq",
            self.account.id,
            request_id,
        )
        return [(row["type"], row["amount"]) for row in rows]

    async def balance(self) -> int:
        """What the account's newest movement left."""
        value = await self.connection.fetchval(
            f"SELECT balance_after FROM {self.bucket}.movements"
            " WHERE account_id = $1 ORDER BY seq DESC LIMIT 1",
            self.account.id,
        )
        assert isinstance(value, int)
        return value

    async def make_older(self, column: str, minutes: int, job: GenerationJob) -> None:
        """As if a session had been created, or completed, so much earlier."""
        await self.connection.execute(
            f"UPDATE {self.bucket}.sessions SET {column} = {column} - make_interval(mins => $3)"
            " WHERE account_id = $1 AND session_id = $2",
            self.account.id,
            job.session_id,
            minutes,
        )
