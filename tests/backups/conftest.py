"""One backup with everything in it, to be copied and damaged."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from storecredit.backups.places import Directory
from storecredit.backups.taking import take
from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.generation.results.links import ResultLinks
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from tests.postgres.embedded.clusters import new_directory

RESULT = f"{uuid4()}/{uuid4()}.png"


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """Of a short path, that the server's user can reach also when another run shuts pytest's."""
    directory = new_directory()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def whole(directory: Path) -> Path:
    """A backup of database, keys and one result."""
    data_dir = directory / "data"
    ResultLinks(data_dir, None)
    CheckpointKeys.made(Settings(data_dir=data_dir))
    image = data_dir / "results" / RESULT
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    os.utime(image, (1_700_000_000, 1_700_000_000))

    async def make() -> str:
        postgres = EmbeddedPostgres(data_dir)
        await postgres.start()
        try:
            await migrate(postgres.admin_url, app_may_login=True)
        finally:
            await postgres.stop()
        settings = Settings(data_dir=data_dir)
        return (await take(settings, Directory(directory / "backups"), results=True)).where

    return Path(asyncio.run(make()))


@pytest.fixture
def backup(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, of the test's own."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))
