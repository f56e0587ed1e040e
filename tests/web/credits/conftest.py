"""One application per module here, over one database, and fresh owners per test.

An owner's credits are out of every other owner's reach, which other tests prove; so these need no
database of their own each. A module says `pytestmark = ONE_LOOP`: what is shared lives on one loop.
"""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
import pytest_asyncio

from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.conftest import connect_as_superuser
from tests.log_stream import LogStream, logged
from tests.web.conftest import http_client, web_settings
from tests.web.doors import Operator, StoreClient
from tests.web.table_rows import Rows
from tests.web.users import UserClient, user_of

ONE_LOOP = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def module_log() -> Iterator[LogStream]:
    yield from logged()


@pytest.fixture
def log(module_log: LogStream) -> LogStream:
    """What is logged from here on; what is forgotten for it must not tell of a broken request."""
    assert module_log.events("request_broke") == []
    module_log.forget()
    return module_log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(books_url: str) -> AsyncIterator[Database]:
    """The application's pool; works as role storecredit_app."""
    opened = await Database.open(books_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return web_settings(tmp_path_factory.mktemp("data"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    settings: Settings, database: Database, module_log: LogStream
) -> AsyncIterator[Service]:
    async with assembled(settings, database) as assembled_service:
        yield assembled_service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with http_client(service) as client:
        yield client


@pytest.fixture(scope="module")
def operator(api: httpx.AsyncClient) -> Operator:
    return Operator(api)


@pytest_asyncio.fixture(loop_scope="module")
async def store(operator: Operator) -> StoreClient:
    """A store with 100 credits and no rate limit."""
    return await operator.store()


@pytest.fixture
def user(api: httpx.AsyncClient) -> UserClient:
    """An end user who has signed in, for the first time."""
    return user_of(api)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, for reading rows back and letting time pass."""
    connection = await connect_as_superuser(books_url)
    yield connection
    await connection.close()


@pytest.fixture
def rows(admin: asyncpg.Connection) -> Rows:
    return Rows(admin)
