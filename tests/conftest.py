"""Real PostgreSQL for every test: a fresh database each, copied from a migrated template.

`STORECREDIT_TEST_DATABASE_URL` names a server (a superuser's URL) to run on; unset: the embedded
PostgreSQL, started once for all test processes. `STORECREDIT_TEST_BUCKETS` is how many buckets its
databases have, of tests that do not say so themselves (`several_buckets`). Where the server is the
coordinator of a Citus cluster, they are databases of the cluster.
"""

import asyncio
import gc
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from inspect import signature
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from hypothesis import HealthCheck, settings

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.buckets import opened as buckets_of
from storecredit.postgres.embedded.cluster import SERVER_SETTINGS
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import fingerprint
from tests import log_watch
from tests.citus.cluster import Cluster
from tests.log_stream import LogStream, logged

SERVER_URL = os.environ.get("STORECREDIT_TEST_DATABASE_URL")
BUCKETS = int(os.environ.get("STORECREDIT_TEST_BUCKETS", "1"))
SEVERAL_BUCKETS = 3
# A test's own sessions see what outside callers see, and behind it what is internal. The service's
# name their search path themselves.
SEARCH_PATH = "public, storecredit"
# Any fixed number: one test process makes the template, the others wait for it.
TEMPLATE_LOCK = 1_835_004_821
# Of the server that all test processes share: a service of three buckets takes thirty and more, and
# a test may have several. A hundred more are 7 MB of it.
CONNECTIONS_MAX = 300
MEMORY_MIN_BYTES = 6 * 2**30
# Their tests take seconds each: begun last, one of them would keep all other cores waiting.
LONGEST_FIRST = ("torture", "crash", "model", "e2e", "clients", "postgres", "backups", "browser")

# As the service itself writes them: with all local variables, which is what structlog does unasked
# where there is rich, one traceback takes a tenth of a second, or many of a busy machine.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
# A busy machine may take longer for an answer than the five seconds that httpx waits unasked.
ANSWER_MAX_SECONDS = 60.0
for _phase in ("connect", "read", "write", "pool"):
    setattr(signature(httpx.Client).parameters["timeout"].default, _phase, ANSWER_MAX_SECONDS)
# Nor does an example fail for the fifth of a second that hypothesis allows each unasked.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Every test is held to it that nothing of ours logs a secret."""
    config.pluginmanager.register(log_watch)


def pytest_xdist_auto_num_workers() -> int:
    """One test process more than there are cores: some always wait, for what crashed or is away."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays for the whole run: nothing of it is ever garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; all others stay in their order."""
    rank = {room: number for number, room in enumerate(LONGEST_FIRST)}
    here = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(here).parts[0], len(rank)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What must hold however many buckets there are is seen with one and with several."""
    has_database = "bucket_count" in metafunc.fixturenames
    if has_database and metafunc.definition.get_closest_marker("several_buckets"):
        numbers = (BUCKETS, SEVERAL_BUCKETS) if BUCKETS != SEVERAL_BUCKETS else (BUCKETS,)
        words = [f"{number}_bucket{'s'[: number > 1]}" for number in numbers]
        metafunc.parametrize("bucket_count", numbers, ids=words, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def certificate_authorities_read_once() -> Iterator[None]:
    """A client of httpx reads all of them when it is made: 20 ms, for what no test asks."""
    made = ssl.create_default_context
    of_file = cache(lambda cafile: made(cafile=cafile))

    def create(
        purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH,
        *,
        cafile: str | None = None,
        capath: str | None = None,
        cadata: str | None = None,
    ) -> ssl.SSLContext:
        if cafile and purpose is ssl.Purpose.SERVER_AUTH and not (capath or cadata):
            return of_file(cafile)
        return made(purpose, cafile=cafile, capath=capath, cadata=cadata)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create)
        yield


def with_database(url: str, name: str) -> str:
    """The same server's URL with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def server_url(testrun_uid: str) -> Iterator[str]:
    """A superuser's URL of a PostgreSQL server, alive for the whole run."""
    if SERVER_URL:
        yield SERVER_URL
        return
    # Not below pytest's own directory: as root, another run of pytest shuts that one to the
    # server's user.
    directory = roomy_memory() / f"storecredit-tests-{testrun_uid}"
    directory.mkdir(exist_ok=True)
    postgres = EmbeddedPostgres(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SERVER_SETTINGS, "max_connections", str(CONNECTIONS_MAX))
        asyncio.run(postgres.start())
    asyncio.run(_wait_for_no_disk(postgres.admin_url))
    yield postgres.admin_url
    asyncio.run(postgres.stop())
    if postgres.pid() is None:
        shutil.rmtree(directory, ignore_errors=True)


def roomy_memory() -> Path:
    """Memory as a file system, where there is enough: copying a database takes a tenth there."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory made in it is the run's own
    if memory.is_dir() and shutil.disk_usage(memory).free >= MEMORY_MIN_BYTES:
        return memory
    return Path(gettempdir())


async def _wait_for_no_disk(url: str) -> None:
    """Tests kill processes, not the power supply: what the kernel has been given is safe."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("ALTER SYSTEM SET autovacuum = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def bucket_count(request: pytest.FixtureRequest) -> int:
    """How many buckets the test's databases have."""
    number: int = getattr(request, "param", BUCKETS)
    return number


@pytest.fixture(scope="session")
def template(server_url: str, bucket_count: int) -> str:
    """The name of a migrated database to copy."""
    return asyncio.run(_make_template(server_url, bucket_count))


async def _make_template(server_url: str, bucket_count: int) -> str:
    name = f"storecredit_template_{fingerprint()[:12]}_{bucket_count}"
    cluster = await Cluster.of(server_url)
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
        known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
        if not known and cluster:
            await cluster.made("template_under_way", bucket_count)
            await cluster.renamed("template_under_way", name)
        elif not known:
            await connection.execute("DROP DATABASE IF EXISTS template_under_way")
            await connection.execute("CREATE DATABASE template_under_way TEMPLATE template0")
            url = with_database(server_url, "template_under_way")
            await migrate(url, buckets=bucket_count if bucket_count > 1 else None)
            await connection.execute(f"ALTER DATABASE template_under_way RENAME TO {name}")
    finally:
        await connection.close()
    return name


class Databases:
    """Makes databases over one connection for a whole test process: a new one costs a backend.

    It has an event loop of its own, so that tests may have theirs.
    """

    def __init__(self, server_url: str, runner: asyncio.Runner) -> None:
        self._server_url = server_url
        self._runner = runner
        self._cluster = runner.run(Cluster.of(server_url))
        self._connections = runner.run(self._connected())

    @contextmanager
    def copied(self, template: str, *, search_path: str | None = None) -> Iterator[str]:
        """A superuser's URL of a fresh copy, which is dropped when the block ends."""
        name = f"test_{uuid4().hex}"
        # Copied as files, which costs less than half of writing all of it to the WAL.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            if search_path is not None:
                self._execute(f"ALTER DATABASE {name} SET search_path = {search_path}")
            yield with_database(self._server_url, name)
        finally:
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        for connection in self._connections:
            self._runner.run(connection.close())

    async def _connected(self) -> list[asyncpg.Connection]:
        """To the server, or to each node of a cluster, which has databases of its own."""
        if self._cluster is None:
            return [await asyncpg.connect(self._server_url)]
        return [await self._cluster.connect(node, "postgres") for node in self._cluster.nodes]

    def _execute(self, statement: str) -> None:
        for connection in self._connections:
            self._runner.run(connection.execute(statement))


@pytest.fixture(scope="session")
def databases(server_url: str) -> Iterator[Databases]:
    """Copies of databases. To be used where no event loop runs: in fixtures that are not async."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = Databases(server_url, runner)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def books_url(databases: Databases, template: str) -> Iterator[str]:
    """A superuser's URL of the module's database."""
    with databases.copied(template, search_path=SEARCH_PATH) as url:
        yield url


@pytest.fixture
def database_url(databases: Databases, template: str) -> Iterator[str]:
    """A superuser's URL of a fresh, migrated database, dropped afterwards."""
    with databases.copied(template, search_path=SEARCH_PATH) as url:
        yield url


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    """A superuser's URL of a fresh database that nobody migrated, dropped afterwards."""
    with databases.copied("template0") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The application's pool on the fresh database; works as role storecredit_app."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def buckets(database: Database) -> AsyncIterator[Buckets]:
    """All its buckets: `database` itself, where there is one."""
    async with buckets_of(database) as found:
        yield found


async def connect_as_superuser(url: str) -> asyncpg.Connection:
    """A connection that finds the interface first, and our tables behind it."""
    return await asyncpg.connect(url, server_settings={"search_path": SEARCH_PATH})


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the fresh database, for reading rows back and tampering."""
    connection = await connect_as_superuser(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of the test's own."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def log() -> Iterator[LogStream]:
    """The log of this test."""
    yield from logged()
