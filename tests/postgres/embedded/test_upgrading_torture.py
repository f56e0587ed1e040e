"""The embedded database is upgraded whatever is killed meanwhile, and from other versions."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

import asyncpg
import pytest

from storecredit.postgres.embedded import contents
from storecredit.postgres.embedded import upgrade as upgrading
from storecredit.postgres.embedded.cluster import Cluster
from storecredit.postgres.embedded.contents import Contents
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from storecredit.postgres.embedded.server import Server
from storecredit.postgres.embedded.system_user import Account
from tests.e2e.conftest import Storecredit, processes_naming, storecredit_in
from tests.postgres.embedded.clusters import ask, kill_servers, new_directory
from tests.postgres.embedded.old_clusters import (
    MOVEMENTS,
    OLD_BIN,
    STORES,
    copied,
    make_old_cluster,
    names_in,
    version_of,
)

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]

STEP_SECONDS = 0.3
DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")


LEFT = {"postgres.new-upgrade"}


@pytest.fixture
def old_dir() -> Iterator[Path]:
    """A data directory of PostgreSQL 16."""
    made = new_directory()
    make_old_cluster(made)
    with copied(made) as copy:
        yield copy
    shutil.rmtree(made)


@pytest.fixture
def debian_dir() -> Iterator[Path]:
    """One of Debian's PostgreSQL 15, made with other options."""
    if not DEBIAN_BIN.exists():
        pytest.skip("needs Debian's postgresql-15")
    made = new_directory()
    make_old_cluster(made, DEBIAN_BIN, "--data-checksums", "--wal-segsize=32")
    with copied(made) as copy:
        yield copy
    shutil.rmtree(made)


def assert_all_is_there(storecredit: Storecredit) -> None:
    found = storecredit("verify", "--every-row", "--json").json()
    assert (found["clean"], found["stores"], found["movements"]) == (True, STORES, MOVEMENTS)


def test_killed_at_any_moment_it_leaves_the_old_or_the_new(old_dir: Path) -> None:
    arguments = ("upgrade-postgres", "--old-bin", OLD_BIN)
    signals = cycle([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    with storecredit_in(old_dir.parent) as storecredit:
        for step, how in zip(count(1), signals):
            command = storecredit.start(*arguments)
            try:
                status = command.process.wait(step * STEP_SECONDS)
            except subprocess.TimeoutExpired:
                command.stop(how)
                versions = {version_of(old_dir / name) for name in names_in(old_dir) - LEFT}
                assert "16" in versions
                if how is signal.SIGINT and "Copying" in command.log_path.read_text():
                    # Asked to stop, it leaves nothing; what the one before left, it had removed.
                    assert processes_naming(old_dir) == []
                    assert names_in(old_dir) & LEFT == set()
                if version_of(old_dir / "postgres") == "18":
                    break
            else:
                assert status == 0, command.log_path.read_text()
                break
        assert step > 5
        assert names_in(old_dir) == {"postgres", "postgres.old-16"}
        assert_all_is_there(storecredit)


async def test_what_is_not_proven_does_not_take_over(old_dir: Path) -> None:
    class NotProven(Exception):
        pass

    async def prove(url: str) -> None:
        raise NotProven(url)

    with pytest.raises(NotProven):
        await upgrading.upgrade(old_dir, prove, old_programs=OLD_BIN, tell=lambda _: None)
    assert names_in(old_dir) == {"postgres"}
    assert version_of(old_dir / "postgres") == "16"
    assert processes_naming(old_dir) == []


async def test_a_row_less_does_not_take_over(
    old_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = count()

    async def contents_of(host: str, port: int, user: str) -> Contents:
        if next(readings) == 1:
            connection = await asyncpg.connect(host=host, user=user, database="storecredit")
            await connection.execute("DELETE FROM storecredit.pgqueuer_log")
            await connection.close()
        return await contents.contents_of(host, port, user)

    async def prove(url: str) -> None:
        raise AssertionError(f"there is nothing to prove at {url}")

    monkeypatch.setattr(upgrading, "contents_of", contents_of)
    sentence = r"not what was copied: storecredit\.pgqueuer_log in .* has 0 rows .*is as it was"
    with pytest.raises(EmbeddedPostgresError, match=sentence):
        await upgrading.upgrade(old_dir, prove, old_programs=OLD_BIN, tell=lambda _: None)
    assert names_in(old_dir) == {"postgres"}
    assert version_of(old_dir / "postgres") == "16"


async def test_a_damaged_table_is_told_of_and_not_copied(old_dir: Path) -> None:
    cluster = Cluster(old_dir, OLD_BIN)
    server = Server(cluster, "storecredit")
    await server.bring_up(Account.of(cluster.path))
    connection = await asyncpg.connect(server.url("postgres"))
    file = await connection.fetchval("SELECT pg_relation_filepath('storecredit.movements')")
    await connection.close()
    await server.shut_down()
    with (cluster.path / file).open("r+b") as table:
        table.write(b"\xff" * 64)

    async def prove(url: str) -> None:
        raise AssertionError(f"there is nothing to prove at {url}")

    with pytest.raises(EmbeddedPostgresError, match=r"could not be read: invalid page .*as it was"):
        await upgrading.upgrade(old_dir, prove, old_programs=OLD_BIN, tell=lambda _: None)
    assert names_in(old_dir) == {"postgres"}


async def test_a_killed_one_of_debian_is_upgraded_by_what_its_package_left(
    debian_dir: Path,
) -> None:
    cluster = Cluster(debian_dir, DEBIAN_BIN)
    await Server(cluster, "storecredit").bring_up(Account.of(cluster.path))
    kill_servers(debian_dir)
    with storecredit_in(debian_dir.parent) as storecredit:
        done = storecredit("upgrade-postgres", "--json").json()

        assert done["before"].startswith("15.")
        assert done["clean"]
        postgres = EmbeddedPostgres(debian_dir)
        await postgres.start(create=False)
        assert await ask(postgres, "SHOW data_checksums") == "on"
        assert await ask(postgres, "SHOW wal_segment_size") == "32MB"
        await postgres.stop()
        assert_all_is_there(storecredit)
