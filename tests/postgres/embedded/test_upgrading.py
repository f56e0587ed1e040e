"""The embedded database is brought up from an older major version, or left as it is."""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import asyncpg
import psutil
import pytest

from storecredit.postgres.embedded import upgrade as upgrade_module
from storecredit.postgres.embedded.cluster import POSTGRES_BIN, Cluster
from storecredit.postgres.embedded.contents import Contents, tables_of
from storecredit.postgres.embedded.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    NoCluster,
)
from storecredit.postgres.embedded.server import Server
from storecredit.postgres.embedded.system_user import Account
from storecredit.postgres.embedded.upgrade import upgrade
from tests.e2e.conftest import Storecredit, processes_naming, storecredit_in, until
from tests.e2e.page_commands import Page
from tests.postgres.embedded.clusters import ask, new_directory
from tests.postgres.embedded.old_clusters import (
    MOVEMENTS,
    OLD_BIN,
    OLD_VERSION,
    STORES,
    USER_MOVEMENTS,
    USERS,
    copied,
    make_old_cluster,
    names_in,
    version_of,
)


class DiskUsage(NamedTuple):
    free: int


(SHOWN,) = Page("docs/embedded.md").blocks("text")


@pytest.fixture(scope="module")
def kept_old_dir() -> Iterator[Path]:
    """A data directory of PostgreSQL 16, to copy."""
    directory = new_directory()
    make_old_cluster(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def old_dir(kept_old_dir: Path) -> Iterator[Path]:
    """A data directory of PostgreSQL 16, of the test's own."""
    with copied(kept_old_dir) as copy:
        yield copy


@pytest.fixture
def storecredit(old_dir: Path) -> Iterator[Storecredit]:
    """The command, with that data directory."""
    with storecredit_in(old_dir.parent) as command:
        yield command


@pytest.fixture
def unread_dir(empty_dir: Path) -> Path:
    """What is looked at before PostgreSQL is, and no more: of version 16."""
    for part in ("postgres/pg_tblspc", "postgres/base"):
        (empty_dir / part).mkdir(parents=True)
    (empty_dir / "postgres" / "PG_VERSION").write_text("16\n")
    return empty_dir


@pytest.fixture
def stranger(old_dir: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Another process of the user that PostgreSQL runs as."""
    manner = Account.of(old_dir / "postgres").manner()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, **manner) as process:
        yield process
        process.kill()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a copy: the last that is looked at before an upgrade begins."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(2**20))


def is_at_work(program: str, directory: Path) -> bool:
    """Whether the program runs, with something in this directory among its arguments."""
    for process in processes_naming(directory):
        with suppress(psutil.NoSuchProcess):
            if process.name() == program:
                return True
    return False


def told(lines: str, data_dir: Path) -> set[str]:
    """What the command said, without numbers of rows and the data directory's place."""
    return {
        re.sub(r"\d+ (rows|tables)", r"n \1", line.replace(str(data_dir), "data"))
        for line in lines.splitlines()
        if not line.startswith("{")
    }


async def prove_nothing(url: str) -> None:
    raise AssertionError(f"there is nothing to prove at {url}")


def tell(step: str) -> None:
    """Nobody listens."""


async def test_a_killed_upgrade_is_run_again_and_brings_every_row(
    storecredit: Storecredit, old_dir: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    arguments = ("upgrade-postgres", "--old-bin", OLD_BIN)
    cut_short = storecredit.start(*arguments)
    until(lambda: is_at_work("pg_upgrade", old_dir), "pg_upgrade is at work")
    cut_short.process.kill()
    cut_short.process.wait()
    assert version_of(old_dir / "postgres") == str(OLD_VERSION)
    # As a server that is killed with the machine leaves it; its number is a stranger's by now.
    lock = old_dir / "postgres" / ".s.PGSQL.50432.lock"
    lock.unlink(missing_ok=True)
    lock.write_text(f"{stranger.pid}\n")
    with pytest.raises(EmbeddedPostgresError, match="with `storecredit upgrade-postgres`"):
        await EmbeddedPostgres(old_dir).start()

    done = storecredit(*arguments)

    log = old_dir / "postgres.upgrade.log"
    assert done.status == 0, (done.errors, log.read_text() if log.exists() else "no log")
    assert told(done.errors + done.output, old_dir) == told(SHOWN, Path("data"))
    assert processes_naming(old_dir) == []
    assert names_in(old_dir) == {"postgres", "postgres.old-16"}
    assert version_of(old_dir / "postgres.old-16") == str(OLD_VERSION)
    postgres = EmbeddedPostgres(old_dir)
    await postgres.start(create=False)
    for setting, value in {"data_checksums": "on", "work_mem": "5MB"}.items():
        assert await ask(postgres, f"SHOW {setting}") == value
    # As before it, also what PostgreSQL knows of how values are spread.
    assert await ask(postgres, "SELECT count(*) FROM pg_stats WHERE tablename = 'movements'") > 0
    made = storecredit(
        *("store", "create", "--name", "New", "--shop-domain", "new.example"),
        *("--credits", 5, "--json"),
    ).json()
    assert made["balance"] == 5
    found = storecredit("verify", "--every-row", "--json").json()
    assert found["clean"], found
    assert (found["stores"], found["movements"]) == (STORES + 1, MOVEMENTS + 1)
    assert (found["users"], found["user_movements"]) == (USERS, USER_MOVEMENTS)
    await postgres.stop()
    assert await upgrade(old_dir, prove_nothing, tell=tell) is None


async def test_what_pg_upgrade_refuses_is_told_and_leaves_the_old_one(old_dir: Path) -> None:
    cluster = Cluster(old_dir, OLD_BIN)
    server = Server(cluster, "storecredit")
    await server.bring_up(Account.of(cluster.path))
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
    await connection.close()
    await server.shut_down()
    before = names_in(old_dir)

    with pytest.raises(EmbeddedPostgresError) as refused:
        await upgrade(old_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)

    sentence, *said = str(refused.value).splitlines()
    assert sentence.startswith("PostgreSQL's pg_upgrade could not upgrade")
    assert "nothing was changed" in sentence
    assert str(old_dir / "postgres.upgrade.log") in sentence
    assert "closed" in said
    log = (old_dir / "postgres.upgrade.log").read_text()
    assert "pg_upgrade_server.log:" in log
    assert names_in(old_dir) == before
    assert processes_naming(old_dir) == []


async def test_where_somebody_uses_it_it_is_left_alone(unread_dir: Path) -> None:
    with (unread_dir / "postgres.users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with pytest.raises(EmbeddedPostgresError, match="is in use, and nothing was changed"):
            await upgrade(unread_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)


async def test_without_room_for_both_nothing_is_begun(unread_dir: Path, full_disk: None) -> None:
    before = names_in(unread_dir)
    sentence = r"needs 0\.\d GiB in .*, where 0\.0 GiB are free\. Nothing was changed"
    with pytest.raises(EmbeddedPostgresError, match=sentence):
        await upgrade(unread_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)
    assert names_in(unread_dir) == before


async def test_killed_between_the_two_renames_the_old_one_comes_back(
    unread_dir: Path, full_disk: None
) -> None:
    (unread_dir / "postgres").rename(unread_dir / "postgres.old-16")
    (unread_dir / "postgres.new-upgrade").mkdir()
    # Above all, no empty database is made in its place.
    with pytest.raises(EmbeddedPostgresError, match=r"no .*/postgres, but .*/postgres\.old-16"):
        await EmbeddedPostgres(unread_dir).start()

    with pytest.raises(EmbeddedPostgresError, match=r"where 0\.0 GiB are free"):
        await upgrade(unread_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)
    assert names_in(unread_dir) == {"postgres"}
    assert version_of(unread_dir / "postgres") == str(OLD_VERSION)


async def test_a_kept_one_is_not_replaced(unread_dir: Path) -> None:
    (unread_dir / "postgres.old-16").mkdir()
    with pytest.raises(EmbeddedPostgresError, match=r"postgres\.old-16 is there already"):
        await upgrade(unread_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)


async def test_tablespaces_are_refused(unread_dir: Path) -> None:
    (unread_dir / "postgres" / "pg_tblspc" / "16500").mkdir()
    with pytest.raises(EmbeddedPostgresError, match=r"has tablespaces.*Nothing was changed"):
        await upgrade(unread_dir, prove_nothing, old_programs=OLD_BIN, tell=tell)


async def test_the_programs_of_before_are_found_or_asked_for(
    unread_dir: Path, tmp_path: Path, full_disk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(named: Path | None) -> str:
        with pytest.raises(EmbeddedPostgresError) as raised:
            await upgrade(unread_dir, prove_nothing, old_programs=named, tell=tell)
        return str(raised.value)

    monkeypatch.setattr(upgrade_module, "INSTALLED", (f"{tmp_path}/{{}}/bin",))
    assert "are not where packages put them. Nothing was changed" in await refused(None)
    assert f"are not in {tmp_path}. Nothing was changed" in await refused(tmp_path)
    wrong = await refused(POSTGRES_BIN)
    assert "was made by PostgreSQL 16, and " in wrong
    assert " has 18.6. Nothing was changed" in wrong

    (tmp_path / "16").mkdir()
    (tmp_path / "16" / "bin").symlink_to(OLD_BIN)
    assert "where 0.0 GiB are free" in await refused(None)


async def test_no_database_and_one_of_a_newer_version_are_told_of(empty_dir: Path) -> None:
    for directory in (empty_dir, empty_dir / "absent"):
        with pytest.raises(NoCluster, match="There is no database in"):
            await upgrade(directory, prove_nothing, tell=tell)
    assert list(empty_dir.iterdir()) == []
    (empty_dir / "postgres").mkdir()
    (empty_dir / "postgres" / "PG_VERSION").write_text("19\n")
    with pytest.raises(EmbeddedPostgresError, match=r"use a release .* that brings PostgreSQL 19"):
        await upgrade(empty_dir, prove_nothing, tell=tell)


async def test_a_row_that_is_otherwise_is_seen(admin: asyncpg.Connection) -> None:
    await admin.execute("""CREATE TABLE public."a ""table" (t int, u text)""")
    await admin.execute("""INSERT INTO public."a ""table" VALUES (1, 'x'), (2, NULL)""")
    await admin.execute("CREATE SEQUENCE public.numbers")
    before = Contents({"d": await tables_of(admin)})
    # Neither the order of rows nor where they lie is of account.
    await admin.execute("""DELETE FROM public."a ""table" WHERE t = 1""")
    await admin.execute("""INSERT INTO public."a ""table" VALUES (1, 'x')""")
    assert before.difference(Contents({"d": await tables_of(admin)})) is None

    for change, named in [
        ("SELECT nextval('public.numbers')", "public.numbers in the database d has 1 rows"),
        ("""UPDATE public."a ""table" SET u = 'y' WHERE t = 1""", 'public."a ""table" in the'),
        ("""DROP TABLE public."a ""table\"""", "has nothing, not 2 rows"),
    ]:
        await admin.execute(change)
        difference = before.difference(Contents({"d": await tables_of(admin)}))
        assert difference is not None
        assert named in difference
        before = Contents({"d": await tables_of(admin)})
    assert before.difference(Contents({})) == "the database d is missing"
