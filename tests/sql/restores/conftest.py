"""A small database with every kind of row, its dumps, and a server that knows none of our roles.

The programs are those of the tests' own server, since a dump of one version need not be read by
the programs of another.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storecredit.ledger.owners import Account, OwnerKind
from tests.conftest import connect_as_superuser, roomy_memory
from tests.sql.full_accounts import buy, open_with_everything, open_with_overage, subscribe
from tests.sql.restores.servers import Cluster, Programs, major_version


@dataclass(frozen=True, slots=True)
class Source:
    """A database with all there can be in it; the dumps of it are there when they are asked for."""

    url: str
    programs: Programs
    store: Account
    directory: Path

    def dump(self, *options: str) -> Path:
        """A dump made with these options, once."""
        file = self.directory / f"{' '.join(options).replace('/', '_')}.dump"
        return file if file.exists() else self.programs.dump(self.url, file, *options)


@pytest.fixture(scope="module")
def programs(server_url: str) -> Programs:
    """PostgreSQL's programs, of the version of the tests' server."""
    return Programs.of(asyncio.run(major_version(server_url)))


@pytest.fixture(scope="module")
def source(books_url: str, programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The module's database, filled."""
    store = asyncio.run(fill(books_url))
    return Source(books_url, programs, store, tmp_path_factory.mktemp("dumps"))


async def fill(url: str) -> Account:
    """A store with credits is returned; beside it there is everything else."""
    connection = await connect_as_superuser(url)
    try:
        store = await open_with_everything(connection, OwnerKind.STORE)
        await open_with_everything(connection, OwnerKind.USER)
        payer = await open_with_overage(connection)
        await subscribe(connection, payer)
        await buy(connection, payer)
        assert await connection.fetchval("SELECT summed FROM sum_up('0', 1000, 50000)") > 10
        return store
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def bare_server(programs: Programs) -> Iterator[Cluster]:
    """A server of nobody's: whoever makes roles on it takes them away."""
    directory = Path(tempfile.mkdtemp(prefix="storecredit-bare-", dir=roomy_memory()))
    try:
        cluster = Cluster.make(programs, directory / "bare")
        with cluster.running():
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)
