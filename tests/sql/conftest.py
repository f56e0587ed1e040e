"""One fresh database and one loop per test module here, and fresh owners per test.

An owner's rows are out of every other owner's reach, which other tests prove; so tests of the
functions need no database of their own each, and can be many. Tests that change the schema or
look at whole tables take `database_url`, a fresh database per test. What holds for every kind of
owner alike takes `kind` and runs for each.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

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

OF_THE_MODULE = {"app", "books", "callers"}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the module's connections run on the module's loop.

    pytest hands over the tests of all directories; others have fixtures of these names, too.
    """
    for item in items:
        if HERE in item.path.parents and OF_THE_MODULE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


async def connect_as_app(url: str) -> Connection:
    """A connection that works as the application's role and finds the interface, too."""
    connection = await connect(url)
    await connection.execute(f"SET search_path = {SEARCH_PATH}")
    return connection


@pytest.fixture(params=OwnerKind)
def kind(request: pytest.FixtureRequest) -> OwnerKind:
    """Each kind of owner in turn."""
    return OwnerKind(request.param)


class KeptConnections:
    """Connections of one kind to the module's database, which one test after another has.

    A new one costs ten times what most tests do on it: all that it calls is planned anew.
    """

    def __init__(self, open_one: Callable[[], Awaitable[Connection]]) -> None:
        self._open_one = open_one
        self._kept: list[Connection] = []

    async def take(self, count: int) -> list[Connection]:
        """So many of them, as they are when they are opened."""
        self._kept = [each for each in self._kept if not each.is_closed()]
        missing = range(count - len(self._kept))
        self._kept += await asyncio.gather(*(self._open_one() for _ in missing))
        return self._kept[:count]

    async def give_back(self, connections: Sequence[Connection]) -> None:
        """Undo what a test has set, and what it has left open."""
        for each in connections:
            if not each.is_closed():
                await each.reset()
                await each.execute(f"SET search_path = {SEARCH_PATH}")

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._kept))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_of_app(books_url: str) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(lambda: connect_as_app(books_url))
    yield kept
    await kept.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_of_callers(books_url: str) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(lambda: connect_as_app(books_url))
    yield kept
    await kept.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_of_superuser(books_url: str) -> AsyncIterator[KeptConnections]:
    kept = KeptConnections(lambda: connect_as_superuser(books_url))
    yield kept
    await kept.close()


@pytest_asyncio.fixture(loop_scope="module")
async def app(kept_of_app: KeptConnections) -> AsyncIterator[Connection]:
    """A connection to the module's database that works as the application's role."""
    (connection,) = await kept_of_app.take(1)
    yield connection
    await kept_of_app.give_back([connection])


Callers = Callable[[int], Awaitable[list[Connection]]]


@pytest_asyncio.fixture(loop_scope="module")
async def callers(kept_of_callers: KeptConnections) -> AsyncIterator[Callers]:
    """So many connections as `app` is one, for what happens at once."""
    taken: list[Connection] = []

    async def take(count: int) -> list[Connection]:
        more = (await kept_of_callers.take(len(taken) + count))[len(taken) :]
        taken.extend(more)
        return more

    yield take
    await kept_of_callers.give_back(taken)


@pytest_asyncio.fixture(loop_scope="module")
async def books(kept_of_superuser: KeptConnections) -> AsyncIterator[Connection]:
    """A superuser's connection to the module's database, to read rows back and to tamper."""
    (connection,) = await kept_of_superuser.take(1)
    yield connection
    await kept_of_superuser.give_back([connection])


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
