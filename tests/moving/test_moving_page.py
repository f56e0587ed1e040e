"""docs/moving.md: its commands and statements as they stand there, and its tables as things are."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from storecredit.moving.findings import WHAT_FOLLOWS
from storecredit.moving.tables import TABLES
from tests.conftest import Databases, connect_as_superuser
from tests.e2e.page_commands import Page, run, running
from tests.moving.imported import ledger
from tests.moving.old_system import OldSystem
from tests.moving.test_csv import exported
from tests.sql.ledgers import sqlstate_of

PAGE = Page("docs/moving.md")
INSUFFICIENT_PRIVILEGE = "42501"


@pytest.fixture
def new_url(databases: Databases) -> Iterator[str]:
    """A database of which nobody has made anything yet."""
    with databases.copied("template0") as url:
        yield url


@pytest.fixture
def reader(environment: dict[str, str], old: OldSystem, new_url: str) -> dict[str, str]:
    """What the shell of somebody has who moves in."""
    return environment | {
        "STORECREDIT_DATABASE_URL": new_url,
        "STORECREDIT_IMPORT_FROM": old.url,
    }


def statement(first_words: str) -> str:
    """The page's one block of SQL that begins so."""
    (found,) = [block for block in PAGE.blocks("sql") if block.startswith(first_words)]
    return found


async def test_step_by_step(
    reader: dict[str, str], old: OldSystem, new_url: str, tmp_path: Path
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 7)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -3, "req_1")

    assert run(PAGE.block("storecredit migrate\n"), reader, tmp_path).endswith(
        "All of it fits.\nNothing was changed.\n"
    )
    await old.connection.execute(statement("REVOKE"))
    async with old.connection.transaction():
        await old.connection.execute("SET LOCAL ROLE service_role")
        writing = old.connection.execute("UPDATE store_credits SET balance = 8")
        assert await sqlstate_of(writing) == INSUFFICIENT_PRIVILEGE
    told = run(PAGE.block("storecredit import --history\n"), reader, tmp_path)
    assert told.endswith("All of it agrees.\n")
    new = await connect_as_superuser(new_url)
    assert [row[2] for row in await ledger(new, store_id)] == [10, 7]
    told = run(PAGE.block("storecredit store list"), reader, tmp_path)
    assert str(store_id) in told
    with running(PAGE.block("storecredit serve"), reader, tmp_path / "log", tmp_path):
        pass
    # And back again.
    await old.connection.execute(statement("GRANT INSERT"))
    async with old.connection.transaction():
        await old.connection.execute("SET LOCAL ROLE service_role")
        await old.connection.execute("UPDATE store_credits SET balance = 8")
    await new.execute(statement("DROP SCHEMA"))
    run(PAGE.block("storecredit migrate\n"), reader, tmp_path)
    run(PAGE.block("storecredit import --history\n"), reader, tmp_path)
    assert [row[2] for row in await ledger(new, store_id)][-1] == 8
    await new.close()


async def test_files_and_the_same_database(
    reader: dict[str, str], old: OldSystem, new_url: str, tmp_path: Path
) -> None:
    await old.shows(await old.store(), 7)
    await exported(old, tmp_path / "exported")
    del reader["STORECREDIT_IMPORT_FROM"]
    run("storecredit migrate", reader, tmp_path)

    told = run(PAGE.block("storecredit import --from exported"), reader, tmp_path)
    assert "Written: 1 owners, 1 movements, 0 events." in told
    here = reader | {"STORECREDIT_DATABASE_URL": old.url}
    told = run(PAGE.block("storecredit migrate --interface credits"), here, tmp_path)
    assert "Written: 1 owners, 1 movements, 0 events." in told
    assert await old.connection.fetchval("SELECT balance FROM credits.store_credits") == 7


def test_every_block_is_run() -> None:
    assert len(PAGE.blocks()) == 6
    assert len(PAGE.blocks("sql")) == 4


def test_what_does_not_fit_is_as_it_is_told() -> None:
    shown = re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", PAGE.text, re.MULTILINE)
    assert shown == [(kind.value, sentence) for kind, sentence in WHAT_FOLLOWS.items()]


def test_every_table_and_column_that_is_read_is_shown() -> None:
    for table in TABLES:
        (columns,) = re.findall(
            rf"^\| `{table.name}`, `{table.name}\.csv` \| (.*?) \|", PAGE.text, re.MULTILINE
        )
        assert set(re.findall(r"`(\w+)`", columns)) <= {
            name for column in table.columns for name in column.names
        }
        for column in table.columns:
            assert any(f"`{name}`" in columns for name in column.names), (table.name, column.name)


async def test_the_kinds_in_sql_are_those_in_python(admin: asyncpg.Connection) -> None:
    texts = await admin.fetch(
        """SELECT prosrc FROM pg_proc WHERE pronamespace = 'storecredit'::regnamespace
             AND proname LIKE 'find_misfit_%'"""
    )
    in_sql = set(
        re.findall(
            r"(?:THEN|ELSE|SELECT) +'([a-z]+_[a-z_]+)'",
            " ".join(re.sub(r"\s+", " ", text["prosrc"]) for text in texts),
        )
    )
    assert in_sql == {kind.value for kind in WHAT_FOLLOWS}
