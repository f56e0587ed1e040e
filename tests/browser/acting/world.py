"""The service that people act on in these tests, and what stands around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import asyncpg

from stand_ins.http_server import Answer, Received, StandIn
from stand_ins.paddle.api import PaddleStandIn
from tests.browser.conftest import Site
from tests.browser.furnished.furnishing import until
from tests.web.doors import Operator, StoreClient, data_of

NOTHING_WRITTEN: Final = """
    LOCK TABLE storecredit.audit_log, storecredit.sign_ins, storecredit.sign_in_links
    IN SHARE MODE"""
UNSETTLED: Final = (
    "SELECT count(*) FROM storecredit.provider_events WHERE status IN ('received', 'failing')"
)


@dataclass
class Receiver:
    """Takes webhooks, each endpoint's at a path that is its name, but while that is `down`."""

    server: StandIn = field(init=False)
    down: set[str] = field(default_factory=set)

    def answer(self, received: Received) -> Answer:
        return Answer(503 if received.path.strip("/") in self.down else 200)

    def ids(self, name: str) -> list[str]:
        """Of the events that came to an endpoint, in order."""
        came = [each for each in self.server.received if each.path == f"/{name}"]
        return [each.headers["webhook-id"] for each in came]


@dataclass(frozen=True)
class World:
    """`locks`: a connection besides, by which the service is held up."""

    site: Site
    admin: asyncpg.Connection
    locks: asyncpg.Connection
    paddle: PaddleStandIn
    receiver: Receiver

    @property
    def operator(self) -> Operator:
        return self.site.operator

    @asynccontextmanager
    async def nothing_written(self) -> AsyncIterator[None]:
        """Meanwhile no action is completed, and nobody signed in or out: who asks waits."""
        async with self.locks.transaction():
            await self.locks.execute(NOTHING_WRITTEN)
            yield

    async def count(self, query: str, *args: Any) -> int:
        """What a query that counts has found."""
        return int(await self.admin.fetchval(query, *args))

    async def was_told(self, name: str) -> bool:
        """Whether anything came to an endpoint."""
        return bool(self.receiver.ids(name))

    async def subscribed(self) -> StoreClient:
        """A store with a plan, paid for."""
        store = await self.operator.store()
        await self.bought(store, plan="growth")
        return store

    async def bought(self, store: StoreClient, **order: object) -> None:
        """A checkout, paid, and settled."""
        webhooks = self.paddle.webhooks(f"{self.site.url}/webhooks/paddle")
        paid = self.paddle.account.pay(await self.checkout(store, **order))
        assert set(await webhooks.send_all(paid)) == {200}
        await until(self._is_settled)

    async def checkout(self, store: StoreClient, **order: object) -> str:
        """The id at Paddle of a checkout, not paid yet."""
        path = f"/stores/{store.store_id}/checkout"
        opened = data_of(await self.operator.post(path, **order), 201)
        return str(opened["transaction_id"])

    async def endpoint(self, whose: StoreClient | None) -> tuple[str, str]:
        """A webhook endpoint of a store, or the operator's own: its id, and what it is for.

        It hears of test events alone, and is told at that path of the receiver.
        """
        name = str(uuid4())
        url = self.receiver.server.url(f"/{name}")
        body = {"url": url, "description": name, "event_types": ["credits.low"]}
        made = data_of(await self.operator.post(self.endpoints_of(whose), **body), 201)
        return str(made["endpoint_id"]), name

    def endpoints_of(self, whose: StoreClient | None) -> str:
        """Below the operator's API."""
        return "/webhooks" if whose is None else f"/stores/{whose.store_id}/webhooks"

    async def told(self, whose: StoreClient | None, endpoint_id: str, *, attempts: int = 1) -> str:
        """A test event, once the endpoint was asked so often; its id."""
        at = f"{self.endpoints_of(whose)}/{endpoint_id}"
        event_id = str(data_of(await self.operator.post(f"{at}/test"), 201)["event_id"])
        await until(lambda: self.was_asked(whose, endpoint_id, event_id, attempts))
        return event_id

    async def was_asked(
        self, whose: StoreClient | None, endpoint_id: str, event_id: str, times: int
    ) -> bool:
        """Whether the endpoint was sent the event so often, and answered."""
        at = f"{self.endpoints_of(whose)}/{endpoint_id}/deliveries/{event_id}"
        attempts: int = data_of(await self.operator.get(at))["attempts"]
        return attempts >= times

    async def _is_settled(self) -> bool:
        return not await self.admin.fetchval(UNSETTLED)
