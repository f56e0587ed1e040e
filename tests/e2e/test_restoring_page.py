"""docs/restoring.md: its commands, as they stand there, from one database into another."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.conftest import with_database
from tests.e2e.page_commands import Page, run
from tests.sql.ledgers import open_store
from tests.sql.restores.servers import Programs, major_version

PAGE = Page("docs/restoring.md")


@pytest.fixture
async def new_url(server_url: str) -> AsyncIterator[str]:
    """A new, empty database."""
    name = f"restored_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield with_database(server_url, name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_the_page_restores_a_dump(
    database_url: str, new_url: str, admin: asyncpg.Connection, tmp_path: Path, commands: str
) -> None:
    await open_store(admin, 5)
    programs = Programs.of(await major_version(database_url))
    path = os.pathsep.join([str(programs.directory), commands])
    dump, restore = PAGE.blocks()

    run(dump, {"PATH": path, "STORECREDIT_DATABASE_URL": database_url}, tmp_path)
    told = run(restore, {"PATH": path, "STORECREDIT_DATABASE_URL": new_url}, tmp_path)

    assert "No migration was to be applied; functions and privileges were renewed." in told
    assert "Closed to everybody: " in told
    assert "Stores: 1, movements: 1, " in told
    assert told.endswith("All of it agrees.\n")
