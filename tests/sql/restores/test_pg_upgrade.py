"""From the oldest version that is supported to the embedded one: `pg_upgrade`, and our dump."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storecredit.ledger.owners import Account
from storecredit.postgres.embedded.cluster import POSTGRES_VERSION
from storecredit.postgres.programs import dump
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import OLDEST_SUPPORTED
from tests.conftest import connect_as_superuser, roomy_memory
from tests.sql.catalog import rows_of
from tests.sql.restores.conftest import fill
from tests.sql.restores.servers import ENVIRONMENT, SUPERUSER, Cluster, Programs
from tests.sql.restores.working import assert_works, run

OWNER = "owner_of_one"
# As every column is that was made before PostgreSQL 15.20 (November 2026): without a version. Those
# made since have one in the catalogue, and pg_upgrade of a PostgreSQL from before that month, as
# the embedded one is, cannot take it along (docs/restoring.md). No row of ours needs one.
WITHOUT_VERSIONS = """UPDATE pg_attribute SET attoptions = nullif(
        ARRAY(SELECT o FROM unnest(attoptions) o WHERE NOT starts_with(o, 'pg_attver=')), '{}')
    WHERE attoptions IS NOT NULL"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where both clusters are; deep enough for a socket's name, and no deeper."""
    path = Path(tempfile.mkdtemp(prefix="upgrade-", dir=roomy_memory()))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def upgrade(old: Cluster, new: Cluster) -> None:
    """As its page has it; both servers are stopped. It writes where it is run."""
    account = new.account
    subprocess.run(
        [
            *(new.programs.path("pg_upgrade"), "--username", SUPERUSER, "--no-sync"),
            *("--old-bindir", str(old.programs.directory), "--old-datadir", str(old.data)),
            *("--new-bindir", str(new.programs.directory), "--new-datadir", str(new.data)),
            *("--old-port", str(old.port), "--new-port", str(new.port)),
            *("--socketdir", str(new.directory)),
        ],
        check=True,
        cwd=new.directory,
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        env=ENVIRONMENT,
    )


async def test_a_server_that_was_upgraded_has_all_of_it(directory: Path, data_dir: Path) -> None:
    old = Cluster.make(Programs.of(OLDEST_SUPPORTED), directory / "old")
    # From 18 on initdb has checksums by default, and pg_upgrade takes no other than there were.
    new = Cluster.make(Programs.of(POSTGRES_VERSION), directory / "new", "--no-data-checksums")
    with old.running():
        await run(old.url("postgres"), f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        before = {login: await made(old, login) for login in (OWNER, SUPERUSER)}
        for login in before:
            await run(old.url(database_of(login)), WITHOUT_VERSIONS)

    upgrade(old, new)

    with new.running():
        for login, (store, rows) in before.items():
            url = new.url(database_of(login), login)
            migrated = await migrate(url)
            assert (migrated.changed, migrated.renewed) == (False, ())
            assert await rows_in(url) == rows
            await assert_works(url, new.url(database_of(login)), store, data_dir)


async def test_a_dump_of_it_goes_into_the_embedded_one(
    directory: Path, data_dir: Path, empty_url: str
) -> None:
    old = Cluster.make(Programs.of(OLDEST_SUPPORTED), directory / "old")
    with old.running():
        store, rows = await made(old, SUPERUSER)
        await dump.take(old.url(database_of(SUPERUSER)), directory / "dump")

    await dump.load(empty_url, directory / "dump")

    assert (await migrate(empty_url)).applied == ()
    assert await rows_in(empty_url) == rows
    await assert_works(empty_url, empty_url, store, data_dir)


def database_of(login: str) -> str:
    return f"storecredit_of_{login}"


async def made(cluster: Cluster, login: str) -> tuple[Account, dict[str, list[str]]]:
    """A database that this login has migrated, with rows: a store in it, and the rows."""
    database = database_of(login)
    await run(cluster.url("postgres"), f"CREATE DATABASE {database} OWNER {login}")
    url = cluster.url(database, login)
    assert (await migrate(url)).changed
    return await fill(cluster.url(database)), await rows_in(url)


async def rows_in(url: str) -> dict[str, list[str]]:
    connection = await connect_as_superuser(url)
    try:
        rows = await rows_of(connection, "storecredit")
    finally:
        await connection.close()
    # With a hash of what there is, which the server's version has a part in.
    del rows["schema_version"]
    return rows
