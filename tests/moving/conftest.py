"""A server with the roles of a Supabase project, and databases of the system before on it.

Apart from the other tests' server: roles belong to a whole server, and a migration gives
`service_role` its rights wherever it finds one.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.conftest import Databases, connect_as_superuser, roomy_memory, with_database
from tests.e2e.conftest import (  # noqa: F401 - fixtures
    Done,
    commands,
    environment,
    port,
    prepared_data_dir,
)
from tests.e2e.in_process import InProcess
from tests.moving.old_system import OldSystem

Command = Callable[..., Awaitable[Done]]
OLD_SYSTEM = Path(__file__).with_name("old_system.sql")
ROLES = ("anon", "authenticated", "service_role")


@pytest.fixture(scope="session")
def supabase_url() -> Iterator[str]:
    """A superuser's URL of a server of its own, where the roles are."""
    directory = roomy_memory() / f"storecredit-moving-{uuid4().hex}"
    directory.mkdir()
    postgres = EmbeddedPostgres(directory)
    asyncio.run(_started(postgres))
    yield postgres.admin_url
    asyncio.run(postgres.stop())
    shutil.rmtree(directory, ignore_errors=True)


async def _started(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    connection = await asyncpg.connect(postgres.admin_url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")
    for role in ROLES:
        await connection.execute(f"CREATE ROLE {role}")
    await connection.execute("ALTER ROLE service_role BYPASSRLS")
    await connection.execute("CREATE DATABASE old_system TEMPLATE template0")
    await connection.close()
    old = await asyncpg.connect(with_database(postgres.admin_url, "old_system"))
    await old.execute(OLD_SYSTEM.read_text())
    await old.close()


@contextmanager
def _copied(server_url: str) -> Iterator[str]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        databases = Databases(server_url, runner)
        with databases.copied("old_system") as url:
            yield url
        databases.close()


@pytest.fixture
def old_url(supabase_url: str) -> Iterator[str]:
    """A superuser's URL of a database of the system before, without rows."""
    with _copied(supabase_url) as url:
        yield url


@pytest.fixture
async def old(old_url: str) -> AsyncIterator[OldSystem]:
    """The system before, to be filled."""
    connection = await connect_as_superuser(old_url)
    yield OldSystem(old_url, connection)
    await connection.close()


@pytest.fixture
def storecredit(database_url: str) -> Command:
    """The command, on a fresh database."""
    return command_on(database_url)


def command_on(database_url: str) -> Command:
    """The command; in a thread, as it has a loop of its own."""

    async def run(*arguments: object) -> Done:
        return await asyncio.to_thread(InProcess(database_url), *arguments)

    return run
