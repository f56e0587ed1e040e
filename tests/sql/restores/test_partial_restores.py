"""Restores that are not what one thinks: halfway, over another database, of a newer version."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.verify import verify
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from tests.conftest import connect_as_superuser
from tests.sql.catalog import catalog
from tests.sql.ledgers import open_store
from tests.sql.restores.conftest import Source
from tests.sql.restores.working import assert_works, refusal_to_open, run

PLAIN, CUSTOM = ("--format=plain",), ("--format=custom",)


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect_as_superuser(empty_url)
    yield connection
    await connection.close()


async def refusal_to_migrate(url: str) -> str:
    """The sentence with which a migration leaves everything as it is."""
    connection = await connect_as_superuser(url)
    try:
        before = await catalog(connection)
        with pytest.raises(DatabaseMisconfigured) as raised:
            await migrate(url)
        assert await catalog(connection) == before
    finally:
        await connection.close()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def up_to(dump: Path, mark: str) -> Path:
    """A plain dump that ends before the first line that begins so."""
    head, found, _ = dump.read_text().partition(f"\n{mark}")
    assert found
    cut = dump.with_name("halfway.sql")
    cut.write_text(head + "\n")
    return cut


async def test_a_whole_restore_leaves_nothing_to_do(
    source: Source, empty_url: str, empty: asyncpg.Connection, data_dir: Path
) -> None:
    assert source.programs.pg_restore(empty_url, source.dump(*CUSTOM), "--jobs=2") == []
    before = await catalog(empty)

    migrated = await migrate(empty_url)

    assert (migrated.changed, migrated.renewed) == (False, ())
    assert await catalog(empty) == before
    await assert_works(empty_url, empty_url, source.store, data_dir)


async def test_the_interface_is_mended_wherever_it_is(
    source: Source, empty_url: str, empty: asyncpg.Connection, data_dir: Path
) -> None:
    await migrate(source.url, interface_schema='My "own" credits')
    try:
        dump = source.programs.dump(source.url, source.directory / "elsewhere.dump", *CUSTOM)
        made = await catalog_of(source.url)
    finally:
        await migrate(source.url, interface_schema="public")
        await run(source.url, 'DROP SCHEMA "My ""own"" credits"')
    source.programs.pg_restore(empty_url, dump, "--no-owner", "--no-privileges")
    # What an app has by the same names, and had not in the dump, is its own.
    await empty.execute("CREATE VIEW public.stores AS SELECT 1 AS mine")

    migrated = await migrate(empty_url)

    assert (migrated.changed, migrated.interface) == (True, 'My "own" credits')
    await empty.execute("DROP VIEW public.stores")
    assert await catalog(empty) == made
    await assert_works(empty_url, empty_url, source.store, data_dir)


async def catalog_of(url: str) -> list[str]:
    connection = await connect_as_superuser(url)
    try:
        return await catalog(connection)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "mark, opens, migrates",
    [
        ("CREATE TABLE storecredit.movements", "Everybody may call", "drop that schema"),
        ("COPY storecredit.sessions", "Everybody may call", "The tables lack the constraint "),
        ("CREATE INDEX", "Everybody may call", "The tables lack the constraint "),
    ],
)
async def test_a_restore_that_stopped_halfway_is_refused(
    source: Source, empty_url: str, mark: str, opens: str, migrates: str
) -> None:
    source.programs.psql(empty_url, up_to(source.dump(*PLAIN), mark))

    assert (await refusal_to_open(empty_url)).startswith(opens)
    assert migrates in await refusal_to_migrate(empty_url)


async def test_a_restore_that_stopped_before_the_rights_is_mended(
    source: Source, empty_url: str, empty: asyncpg.Connection, data_dir: Path
) -> None:
    source.programs.psql(empty_url, up_to(source.dump(*PLAIN), "GRANT"))
    assert "Everybody may call" in await refusal_to_open(empty_url)

    assert (await migrate(empty_url)).changed

    assert await catalog(empty) == await catalog_of(source.url)
    await assert_works(empty_url, empty_url, source.store, data_dir)


async def test_a_key_that_could_not_be_restored_is_told(
    source: Source, empty_url: str, empty: asyncpg.Connection
) -> None:
    source.programs.pg_restore(empty_url, source.dump(*CUSTOM))
    await empty.execute("ALTER TABLE storecredit.movements DROP CONSTRAINT movements_pkey")

    assert (await refusal_to_open(empty_url)).startswith(
        "The key storecredit.movements_pkey is missing, so the ledger is not guarded: "
    )
    assert "restore the dump again, into an empty database" in await refusal_to_migrate(empty_url)


async def test_rows_that_did_not_arrive_are_named_by_verify(
    source: Source, empty_url: str, empty: asyncpg.Connection
) -> None:
    source.programs.pg_restore(empty_url, source.dump(*CUSTOM))
    await empty.execute("DELETE FROM storecredit.sessions")

    assert not (await migrate(empty_url)).changed
    assert DiscrepancyKind.DEDUCTION_WITHOUT_SESSION in await kinds_found(empty_url)


async def kinds_found(url: str) -> set[DiscrepancyKind]:
    database = await Database.open(url)
    try:
        return {found.kind for found in (await verify(database)).discrepancies}
    finally:
        await database.close()


@pytest.mark.parametrize("dump", [PLAIN, (*PLAIN, "--data-only")], ids=["whole", "data only"])
async def test_a_restore_over_another_ledger_opens_nothing_and_is_named_by_verify(
    source: Source, empty_url: str, empty: asyncpg.Connection, dump: tuple[str, ...]
) -> None:
    await migrate(empty_url)
    before = await catalog(empty)
    await open_store(empty, 7)

    assert source.programs.psql(empty_url, source.dump(*dump))

    assert not (await migrate(empty_url)).changed
    assert await catalog(empty) == before
    assert await kinds_found(empty_url)


async def test_a_newer_versions_dump_is_that_versions_to_mend(
    source: Source, empty_url: str
) -> None:
    source.programs.pg_restore(empty_url, source.dump(*CUSTOM), "--no-privileges")
    await run(empty_url, "UPDATE storecredit.schema_version SET migration = '9999_newer'")

    assert "Everybody may call" in await refusal_to_open(empty_url)
    said = await refusal_to_migrate(empty_url)
    assert "newer storecredit, and everybody may call the function" in said
    assert said.endswith("run `storecredit migrate` of that one.")
