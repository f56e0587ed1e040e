"""One fresh database per test module here, and a fresh store per test.

A store's rows are out of every other store's reach, which other tests prove; so tests of the
functions need no database of their own each, and can be many. Tests that change the schema or
look at whole tables take `database_url`, a fresh database per test.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.pool import connect
from tests.conftest import SEARCH_PATH, connect_as_superuser


@pytest.fixture(scope="module")
def books_url(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of the module's database."""
    name = f"test_{uuid4().hex}"
    copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
    asyncio.run(_execute(server_url, copy))
    asyncio.run(_execute(server_url, f"ALTER DATABASE {name} SET search_path = {SEARCH_PATH}"))
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """A superuser's URL of a fresh database in which nothing has been made yet."""
    name = f"test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def app(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the module's database that works as the application's role."""
    connection = await connect(books_url)
    await connection.execute(f"SET search_path = {SEARCH_PATH}")
    yield connection
    await connection.close()


@pytest.fixture
async def books(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the module's database, to read rows back and to tamper."""
    connection = await connect_as_superuser(books_url)
    yield connection
    await connection.close()
