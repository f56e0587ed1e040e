"""Ledgers that are chained and signed: a fresh database each, whose keys are in a directory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from storecredit.ledger.checkpoints.checkpoint import Checkpoint
from storecredit.ledger.checkpoints.making import Checkpoints
from storecredit.ledger.checkpoints.tampering import Evidence, Tampering
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.conftest import connect_as_superuser
from tests.sql.full_accounts import open_with_everything
from tests.sql.ledgers import open_account


@dataclass(frozen=True)
class Signed:
    """A ledger, who signs it, and a superuser who has the database at hand."""

    buckets: Buckets
    superuser: asyncpg.Connection
    settings: Settings

    @property
    def database(self) -> Database:
        return self.buckets.home

    @property
    def elsewhere(self) -> "Signed":
        """The same on another machine, which has no files of this one."""
        settings = self.settings.model_copy(update={"data_dir": self.settings.data_dir / "other"})
        return replace(self, settings=settings)

    async def sign(self) -> Checkpoint:
        """Chain all that is new, which there must be, and sign it."""
        made = await Checkpoints(self.buckets, self.settings).make(at_once=True)
        assert made is not None
        return made

    async def spend(self, account: Account, request_id: str, amount: int = 1) -> None:
        """One movement more."""
        await self.superuser.execute(
            """SELECT count(*) FROM deduct_from_accounts(
                   ARRAY[$1::bigint], ARRAY[$2::int], ARRAY[$3], NULL)""",
            account.id,
            amount,
            request_id,
        )

    async def look(self) -> Tampering:
        """What is found of tampering."""
        return await Evidence.known(self.buckets, self.settings).find(1000)


@pytest.fixture
async def signed(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Signed]:
    """An empty ledger."""
    superuser = await connect_as_superuser(database_url)
    yield Signed(database, superuser, Settings(data_dir=tmp_path))
    await superuser.close()


@pytest.fixture
async def store(signed: Signed) -> Account:
    """A store with 100 credits, nine of which were spent in movements 2 to 10."""
    account = await open_account(signed.superuser, OwnerKind.STORE, 100)
    for place in range(9):
        await signed.spend(account, f"r{place}")
    return account


@pytest.fixture
async def others(signed: Signed) -> list[Account]:
    """Owners of both kinds with every type of movement."""
    return [await open_with_everything(signed.superuser, kind) for kind in OwnerKind]
