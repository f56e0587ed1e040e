"""Stores whose servers create generations without end, and what must be so of them afterwards."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import httpx

from storecredit.ledger.verify import verify
from storecredit.postgres.buckets import SeveralBuckets, opened
from storecredit.postgres.pool import Database
from tests.citus.conftest import BUCKET_COUNT, OPERATOR
from tests.e2e.conftest import Serving, until
from tests.e2e.steady_creates import DOT

STORES = 15


@dataclass(slots=True)
class Store:
    """A store's own server, which sends a request again with the same id until it is answered."""

    url: str
    store_id: str
    key: str
    bucket: int = 0
    created: list[str] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    failure: str | None = None

    def create_until(self, stop: Event) -> None:
        """One generation after the other."""
        with httpx.Client() as client:
            while not stop.is_set():
                request_id = uuid4().hex
                while not stop.is_set() and not self._is_created(client, request_id):
                    time.sleep(0.05)

    def _is_created(self, client: httpx.Client, request_id: str) -> bool:
        answer = client.post(
            f"{self.url}/api/v1/generation/create",
            json={"image_urls": [DOT]},
            headers={"Authorization": f"Bearer {self.key}", "Idempotency-Key": request_id},
        )
        if answer.status_code in {200, 201}:
            self.created.append(answer.json()["data"]["session_id"])
            return True
        self.refused[answer.status_code] += 1
        if answer.status_code != 503:
            self.failure = answer.text
        return False


@contextmanager
def creating(stores: Sequence[Store]) -> Iterator[None]:
    """All of them at once, for as long as the block lasts."""
    stop = Event()
    threads = [Thread(target=each.create_until, args=[stop], daemon=True) for each in stores]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def made(serving: Serving, number: int = STORES) -> list[Store]:
    """So many stores."""
    found = []
    for each in range(number):
        store = serving.made_store(
            OPERATOR, shop_domain=f"s{each}.example", credits=100_000, tier="unlimited"
        )
        found.append(Store(serving.url, store["store_id"], store["api_key"]))
    return found


async def settled(citus_url: str, stores: Sequence[Store]) -> None:
    """Every answer's session is there once, with its movement, where its store lives."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        for each in stores:
            database = await buckets.of_store(UUID(each.store_id))
            found = await database.fetch(
                """SELECT m.session_id::text AS id FROM movements m JOIN sessions s
                       ON s.account_id = m.account_id AND s.session_id = m.session_id
                   JOIN accounts a ON a.account_id = m.account_id
                   WHERE a.owner_id = $1 AND m.type = 'deduction'""",
                each.store_id,
            )
            ids = Counter(row["id"] for row in found)
            assert max(ids.values(), default=1) == 1
            assert set(each.created) <= set(ids), "nothing that was answered is lost"
            assert len(set(each.created)) == len(each.created)
        reports = [await verify(each) for each in buckets.all]
        assert [report.discrepancies for report in reports] == [()] * BUCKET_COUNT
    await home.close()


async def placed(citus_url: str, stores: Sequence[Store]) -> SeveralBuckets:
    """Where they are now; the bucket of each store is noted."""
    home = await Database.open(citus_url)
    async with opened(home) as buckets:
        assert isinstance(buckets, SeveralBuckets)
        for each in stores:
            each.bucket = buckets.all.index(await buckets.of_store(UUID(each.store_id)))
    await home.close()
    return buckets


def is_on(way: Any, node: tuple[str, int]) -> bool:
    return way is not None and (way.host, way.port) == node


async def until_it_is(is_so: Any, what: str) -> None:
    await asyncio.to_thread(until, is_so, what)
