"""Deliveries of one type, page by page, among many of others."""

from functools import partial
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.ledger.owners import Account
from storecredit.postgres.pool import Database
from storecredit.webhooks import delivery_records
from storecredit.webhooks.delivery_records import DeliveryRecords, DeliveryStatus
from tests.webhooks.endpoints import add_endpoint


async def pages(
    records: DeliveryRecords, account_id: int, endpoint_id: UUID, **options: Any
) -> list[int]:
    """The events of type credits.low on all pages."""
    found, before = list[int](), None
    while True:
        page = await records.list(
            account_id, endpoint_id, type_="credits.low", before=before, **options
        )
        assert len(page.items) <= options["limit"]
        found += [item.seq for item in page.items]
        before = page.next_before
        if before is None:
            return found


async def test_a_rare_type_is_found_however_few_are_looked_at_for_a_page(
    admin: asyncpg.Connection,
    database: Database,
    store: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = await add_endpoint(admin, store.id, "https://shop.example/", ["*"])
    types = ["credits.low" if n in {3, 4, 9} else "credits.added" for n in range(12)]
    await admin.execute("SELECT storecredit.tell($1, $2, $3)", types, [store.id] * 12, ["{}"] * 12)
    await admin.execute(
        """UPDATE storecredit.deliveries
           SET status = 'failed', ended_at = now(), next_attempt_at = NULL WHERE seq % 2 = 1"""
    )
    rows = await admin.fetch(
        """SELECT seq FROM storecredit.events WHERE type = 'credits.low' ORDER BY seq DESC"""
    )
    low = [row["seq"] for row in rows]
    for looked_at, limit in product((1, 3, 4, 12, 100), (1, 2, 100)):
        monkeypatch.setattr(delivery_records, "LOOKED_AT_MAX", looked_at)
        asked = partial(pages, DeliveryRecords(database), store.id, endpoint.id, limit=limit)
        assert await asked() == low
        assert await asked(status=DeliveryStatus.FAILED) == [seq for seq in low if seq % 2]
        assert await asked(status=DeliveryStatus.DELIVERED) == []
