"""One fresh database per test module here, and fresh owners per test.

An owner's rows are out of every other owner's reach, which other tests prove; so tests of the
functions need no database of their own each, and can be many. Tests that change the schema or
look at whole tables take `database_url`, a fresh database per test. What holds for every kind of
owner alike takes `kind` and runs for each.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, connect
from tests.conftest import SEARCH_PATH, connect_as_superuser
from tests.sql.earlier_build import load_earlier_build
from tests.sql.sound_books import Opener, SoundBooks


async def connect_as_app(url: str) -> Connection:
    """A connection that works as the application's role and finds the interface, too."""
    connection = await connect(url)
    await connection.execute(f"SET search_path = {SEARCH_PATH}")
    return connection


@pytest.fixture(params=OwnerKind)
def kind(request: pytest.FixtureRequest) -> OwnerKind:
    """Each kind of owner in turn."""
    return OwnerKind(request.param)


@pytest.fixture
async def app(books_url: str) -> AsyncIterator[Connection]:
    """A connection to the module's database that works as the application's role."""
    connection = await connect_as_app(books_url)
    yield connection
    await connection.close()


Callers = Callable[[int], Awaitable[list[Connection]]]


@pytest.fixture
async def callers(books_url: str) -> AsyncIterator[Callers]:
    """So many connections as `app` is one, for what happens at once."""
    opened: list[Connection] = []

    async def open_some(count: int) -> list[Connection]:
        some = await asyncio.gather(*(connect_as_app(books_url) for _ in range(count)))
        opened.extend(some)
        return list(some)

    yield open_some
    await asyncio.gather(*(connection.close() for connection in opened))


@pytest.fixture
async def books(books_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the module's database, to read rows back and to tamper."""
    connection = await connect_as_superuser(books_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_books(books_url: str, opener: Opener) -> AsyncIterator[SoundBooks]:
    """What the module's `opener` opens; whatever the tests do to it, it ends sound."""
    database, superuser = await Database.open(books_url), await connect_as_superuser(books_url)
    kept = await SoundBooks.kept(database, superuser, await opener(superuser))
    yield kept
    assert (await verify(database, every_row=True)).clean
    await superuser.close()
    await database.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sound_books(kept_books: SoundBooks) -> AsyncIterator[SoundBooks]:
    """The module's books, to be tampered with."""
    yield kept_books
    await kept_books.put_back()


@pytest.fixture
async def earlier_url(empty_url: str, template: str) -> str:
    """A superuser's URL of a database of the build before."""
    await load_earlier_build(empty_url)
    return empty_url


@pytest.fixture
async def earlier(earlier_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(earlier_url)
    yield connection
    await connection.close()
