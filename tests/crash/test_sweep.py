"""The sweep gives credits back whatever else is broken; it never brings the service down."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storecredit.generation.lifecycle import Created, GenerationInput, GenerationJob
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.worker.owners import store, user


@pytest.fixture
async def service(data_dir: Path, database: Database) -> AsyncIterator[Service]:
    async with assembled(Settings(data_dir=data_dir), database) as running:
        yield running


@pytest.fixture(params=list(OwnerKind))
async def account(request: pytest.FixtureRequest, service: Service) -> Account:
    """A store and, in a run of its own, an end user: each with ten credits."""
    return await (store if request.param is OwnerKind.STORE else user)(service)


async def overdue(
    service: Service, admin: asyncpg.Connection, account: Account, request_id: str
) -> GenerationJob:
    """A generation that should have ended a minute ago."""
    input_ = GenerationInput(("https://images.example/a.png",))
    outcome = await service.parts.lifecycle.create(account, request_id, input_, None, 1)
    assert isinstance(outcome, Created)
    await admin.execute(
        """UPDATE sessions SET created_at = now() - interval '61 minutes'
           WHERE session_id = $1""",
        outcome.session_id,
    )
    return GenerationJob(account, outcome.session_id, request_id)


async def statuses(admin: asyncpg.Connection) -> dict[str, str]:
    rows = await admin.fetch("SELECT request_id, status FROM sessions")
    return {row["request_id"]: row["status"] for row in rows}


async def test_a_session_whose_credit_was_never_taken_keeps_no_other_from_its_refund(
    service: Service, admin: asyncpg.Connection, account: Account
) -> None:
    await overdue(service, admin, account, "tampered")
    await overdue(service, admin, account, "sound")
    await admin.execute("DELETE FROM movements WHERE request_id = 'tampered'")
    await service.sweep.sweep()
    assert await statuses(admin) == {"tampered": "queued", "sound": "failed"}


async def test_a_result_that_cannot_be_deleted_stops_neither_the_sweep_nor_its_refunds(
    service: Service, admin: asyncpg.Connection, account: Account, data_dir: Path
) -> None:
    kept = await overdue(service, admin, account, "kept")
    await service.parts.lifecycle.start(kept)
    key = f"{account.owner.id}/{kept.session_id}.png"
    assert await service.parts.lifecycle.complete(kept, key)
    await admin.execute("UPDATE sessions SET completed_at = now() - interval '361 minutes'")
    # A directory cannot be unlinked like a file.
    (data_dir / "results" / key / "in the way").mkdir(parents=True)
    stop = asyncio.Event()
    sweeping = asyncio.create_task(service.sweep.run(stop))
    late = await overdue(service, admin, account, "late")
    await service.sweep.sweep()
    assert (await statuses(admin))[late.request_id] == "failed"
    assert not sweeping.done()
    stop.set()
    await sweeping
