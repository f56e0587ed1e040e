"""The sweep gives credits back whatever else is broken; it never brings the service down."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.lifecycle import Created, GenerationInput, GenerationJob
from storecredit.ledger.owners import Owner
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings


@pytest.fixture
async def service(data_dir: Path, database: Database) -> AsyncIterator[Service]:
    async with assembled(Settings(data_dir=data_dir), database) as running:
        yield running


@pytest.fixture
async def store_id(service: Service) -> UUID:
    store = await service.parts.stores.create(
        name="Shop", shop_domain="shop.example", credit_count=10, request_id="opening"
    )
    return store.store_id


async def overdue(
    service: Service, admin: asyncpg.Connection, store_id: UUID, request_id: str
) -> GenerationJob:
    """A generation that should have ended a minute ago."""
    input_ = GenerationInput(("https://images.example/a.png",))
    outcome = await service.parts.lifecycle.create(Owner.store(store_id), request_id, input_, None)
    assert isinstance(outcome, Created)
    await admin.execute(
        """UPDATE store_generation_sessions SET created_at = now() - interval '61 minutes'
           WHERE session_id = $1""",
        outcome.session_id,
    )
    return GenerationJob(Owner.store(store_id), outcome.session_id, request_id)


async def statuses(admin: asyncpg.Connection) -> dict[str, str]:
    rows = await admin.fetch("SELECT request_id, status FROM store_generation_sessions")
    return {row["request_id"]: row["status"] for row in rows}


async def test_a_session_whose_credit_was_never_taken_keeps_no_other_from_its_refund(
    service: Service, admin: asyncpg.Connection, store_id: UUID
) -> None:
    await overdue(service, admin, store_id, "tampered")
    await overdue(service, admin, store_id, "sound")
    await admin.execute("DELETE FROM store_credit_transactions WHERE request_id = 'tampered'")
    await service.sweep.sweep()
    assert await statuses(admin) == {"tampered": "queued", "sound": "failed"}


async def test_a_result_that_cannot_be_deleted_stops_neither_the_sweep_nor_its_refunds(
    service: Service, admin: asyncpg.Connection, store_id: UUID, data_dir: Path
) -> None:
    kept = await overdue(service, admin, store_id, "kept")
    await service.parts.lifecycle.start(kept)
    key = f"{store_id}/{kept.session_id}.png"
    assert await service.parts.lifecycle.complete(kept, key)
    await admin.execute(
        "UPDATE store_generation_sessions SET completed_at = now() - interval '361 minutes'"
    )
    # A directory cannot be unlinked like a file.
    (data_dir / "results" / key / "in the way").mkdir(parents=True)
    stop = asyncio.Event()
    sweeping = asyncio.create_task(service.sweep.run(stop))
    late = await overdue(service, admin, store_id, "late")
    await service.sweep.sweep()
    assert (await statuses(admin))[late.request_id] == "failed"
    assert not sweeping.done()
    stop.set()
    await sweeping
