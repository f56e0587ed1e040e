"""The real application over real PostgreSQL, and callers for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from storecredit.generation.generators import load_generator
from storecredit.generation.worker import Worker
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.log_stream import LogStream
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient
from tests.web.frameworks import application
from tests.web.table_rows import Rows
from tests.web.users import APP_ORIGIN, JWT_SECRET, UserClient, user_of
from tests.web.wire import Wire, request, running_wire


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return web_settings(data_dir)


def web_settings(data_dir: Path) -> Settings:
    """Patient with a busy machine, quick to retry; two tiers small enough to be used up."""
    return Settings(
        data_dir=data_dir,
        admin_token=SecretStr(OPERATOR_TOKEN),
        jwt_secret=SecretStr(JWT_SECRET),
        trpc_origins=(APP_ORIGIN,),
        rate_limits={"default": (5, 50), "tight": (1, 2), "unlimited": None},
        rate_limit_read_factor=2,
        commit_deadline_seconds=30,
        generator_backoff_seconds=0.01,
        blocked_terms=("forbidden",),
        sweep_interval_seconds=3600,
        sums_interval_seconds=3600,
    )


@pytest.fixture
async def service(settings: Settings, database: Database, log: LogStream) -> AsyncIterator[Service]:
    async with assembled(settings, database) as assembled_service:
        yield assembled_service


@asynccontextmanager
async def http_client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole HTTP application of this service."""
    app: Any  # The two libraries spell ASGI's types differently.
    with application(service.parts) as app:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api.test"
        ) as client:
            yield client


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with http_client(service) as client:
        yield client


@pytest.fixture
def operator(api: httpx.AsyncClient) -> Operator:
    return Operator(api)


@pytest.fixture
async def store(operator: Operator) -> StoreClient:
    """A store with 100 credits and no rate limit."""
    return await operator.store()


@pytest.fixture
def user(api: httpx.AsyncClient) -> UserClient:
    """An end user who has signed in, for the first time."""
    return user_of(api)


@pytest.fixture
def rows(admin: asyncpg.Connection) -> Rows:
    return Rows(admin)


@pytest.fixture
def wire_settings(settings: Settings, database_url: str) -> Settings:
    """Those of the server of `wire`."""
    own = {"database_url": SecretStr(database_url), "worker": False, "port": 0}
    return settings.model_copy(update=own)


@pytest.fixture
async def wire(wire_settings: Settings, log: LogStream) -> AsyncIterator[Wire]:
    """The real server on a real socket."""
    async with running_wire(wire_settings) as running_server:
        yield running_server


@pytest.fixture
async def key(wire: Wire) -> str:
    """The `Authorization` line of a store with 100 credits."""
    body = {"name": "A", "shop_domain": "a.example", "tier": "unlimited", "credits": 100}
    line = f"Authorization: Bearer {OPERATOR_TOKEN}"
    answer = await wire.ask(
        request("POST", "/api/admin/stores", line, body=json.dumps(body).encode())
    )
    return f"Authorization: Bearer {answer.json()['data']['api_key']}"


@asynccontextmanager
async def working(service: Service, settings: Settings) -> AsyncIterator[None]:
    """The real worker with the generator that the settings name."""
    generator = load_generator(settings)
    parts = service.parts
    worker = Worker(
        service.queue, parts.lifecycle, generator, parts.results, settings, parts.metrics
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running
        await generator.aclose()


class WorkerStarter(Protocol):
    def __call__(self, **changes: object) -> AbstractAsyncContextManager[None]: ...


@pytest.fixture
def worker(service: Service, settings: Settings) -> WorkerStarter:
    """Starts workers, each for the length of a context, with settings of their own."""

    def start(**changes: object) -> AbstractAsyncContextManager[None]:
        return working(service, settings.model_copy(update=changes))

    return start
