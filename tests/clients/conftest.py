"""One real service on a real socket for a whole module, with its worker, and a relay before it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from tests.clients.relay import Relay, relay_to
from tests.log_stream import LogStream, logged
from tests.web.conftest import web_settings
from tests.web.doors import Operator, StoreClient
from tests.web.wire import Wire, running_wire


@dataclass(frozen=True, slots=True)
class ServedStore:
    """A store, the address of its service, and the relay before that."""

    url: str
    relay: Relay
    store: StoreClient

    @property
    def key(self) -> str:
        """Its API key."""
        return self.store.api_key


@pytest.fixture(scope="module")
def module_log() -> Iterator[LogStream]:
    yield from logged()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(
    books_url: str, module_log: LogStream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Wire]:
    """The real server, with the worker that makes pictures."""
    usual = web_settings(tmp_path_factory.mktemp("data"))
    changes = {"database_url": SecretStr(books_url), "worker": True, "port": 0}
    # Its receivers are here.
    changes |= {"allow_private_hosts": True}
    async with running_wire(usual.model_copy(update=changes)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(wire: Wire) -> AsyncIterator[Relay]:
    async with relay_to(wire.port) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(wire: Wire) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{wire.port}") as http:
        yield Operator(http)


@pytest_asyncio.fixture(loop_scope="module")
async def served(operator: Operator, relay: Relay, wire: Wire) -> ServedStore:
    """A store with 100 credits, and nothing behind the relay yet."""
    relay.fates.clear()
    relay.seen.clear()
    return ServedStore(f"http://127.0.0.1:{wire.port}", relay, await operator.store())
