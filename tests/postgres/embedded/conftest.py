"""Data directories of the embedded PostgreSQL: empty, cluster at rest, cluster running."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.postgres.embedded.clusters import kill_servers, new_directory


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    directory = new_directory()
    yield directory
    kill_servers(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def shared_dir() -> Iterator[Path]:
    """A data directory with a cluster that one test after the other starts and stops."""
    directory = new_directory()

    async def make() -> None:
        postgres = EmbeddedPostgres(directory)
        await postgres.start()
        await postgres.stop()

    asyncio.run(make())
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def data_dir(shared_dir: Path) -> Iterator[Path]:
    """A data directory with a cluster at rest; its configuration may be changed."""
    configuration = shared_dir / "postgres" / "postgresql.conf"
    before = configuration.read_bytes()
    yield shared_dir
    kill_servers(shared_dir)
    configuration.write_bytes(before)


@pytest.fixture
async def postgres(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    yield postgres
    await postgres.stop()


@pytest.fixture
def deaf_dir(data_dir: Path) -> Iterator[Path]:
    """The server of this cluster starts, but is a standby that takes no connections."""
    cluster = data_dir / "postgres"
    signal_file = cluster / "standby.signal"
    signal_file.touch()
    os.chown(signal_file, cluster.stat().st_uid, cluster.stat().st_gid)
    with (cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("hot_standby = off\n")
    yield data_dir
    signal_file.unlink()
