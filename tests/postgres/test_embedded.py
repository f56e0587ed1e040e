"""The embedded PostgreSQL: started, joined, left, killed and brought back, as real processes."""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from storecredit.postgres import embedded
from storecredit.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError, NoCluster

WAIT_MAX_SECONDS = 60.0

# A service in a process of its own: says what it found, stops when its input ends.
SERVICE = """
import asyncio, sys
from pathlib import Path
from storecredit.postgres.embedded import EmbeddedPostgres

async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    await postgres.start()
    print(postgres.pid(), file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await postgres.stop()

asyncio.run(main())
"""


def new_directory() -> Path:
    # Not pytest's tmp_path, whose parent pytest shuts again for every user but its own.
    return Path(tempfile.mkdtemp(prefix="storecredit-test-")).resolve()


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


def servers(data_dir: Path) -> list[psutil.Process]:
    """Every postmaster of this data directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "postgres" and str(data_dir / "postgres") in process.cmdline():
                found.append(process)
    return found


def kill_servers(data_dir: Path) -> None:
    for server in servers(data_dir):
        server.kill()


def running(postgres: EmbeddedPostgres) -> psutil.Process:
    pid = postgres.pid()
    assert pid is not None
    return psutil.Process(pid)


def socket_dir(postgres: EmbeddedPostgres) -> Path:
    return Path(parse_qs(urlsplit(postgres.admin_url).query)["host"][0])


async def ask(postgres: EmbeddedPostgres, query: str) -> Any:
    connection = await asyncpg.connect(postgres.admin_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        # Another process makes it true, which sends no event.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Service:
    """A child process that uses the cluster."""

    process: asyncio.subprocess.Process
    postmaster_pid: int

    @classmethod
    async def start(cls, data_dir: Path) -> "Service":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVICE, str(data_dir)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(WAIT_MAX_SECONDS):
            return cls(process, int(await process.stderr.readline()))

    async def stop(self) -> None:
        await self.process.communicate(b"")
        assert self.process.returncode == 0

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


async def test_a_new_cluster_answers_and_has_the_database(empty_dir: Path) -> None:
    postgres = EmbeddedPostgres(empty_dir)
    await postgres.start()
    assert postgres.is_new
    assert await ask(postgres, "SELECT current_database()") == "storecredit"
    assert (await ask(postgres, "SHOW server_version")).startswith("18")
    await ask(postgres, "CREATE ROLE storecredit_app LOGIN")
    connection = await asyncpg.connect(postgres.app_url)
    assert await connection.fetchval("SELECT current_user") == "storecredit_app"
    await connection.close()
    await postgres.stop()


async def test_commits_are_durable_and_text_is_the_same_everywhere(
    postgres: EmbeddedPostgres,
) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await ask(postgres, f"SHOW {setting}") == "on"
    assert await ask(postgres, "SHOW server_encoding") == "UTF8"
    assert await ask(postgres, "SELECT upper('é') = 'É' AND 'Z' < 'a'")


async def test_data_stays_over_stop_and_start(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    await ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    await postgres.stop()
    assert servers(data_dir) == []
    await postgres.start(create=False)
    assert not postgres.is_new
    assert await ask(postgres, "SELECT answer FROM kept") == 42


async def test_starting_twice_is_starting_once(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    before = postgres.pid()
    await postgres.start()
    assert postgres.pid() == before
    await postgres.stop()
    await postgres.stop()
    assert servers(data_dir) == []


async def test_only_the_last_process_to_leave_stops_the_server(data_dir: Path) -> None:
    first = await Service.start(data_dir)
    second = await Service.start(data_dir)
    assert second.postmaster_pid == first.postmaster_pid

    await first.stop()
    assert [server.pid for server in servers(data_dir)] == [first.postmaster_pid]
    await second.stop()
    assert servers(data_dir) == []


async def test_many_that_start_at_once_make_one_cluster_and_one_server(empty_dir: Path) -> None:
    users = [EmbeddedPostgres(empty_dir) for _ in range(5)]
    await asyncio.gather(*(user.start() for user in users))
    assert [user.is_new for user in users].count(True) == 1
    assert len({user.pid() for user in users}) == 1
    await asyncio.gather(*(user.stop() for user in users))
    assert servers(empty_dir) == []


async def test_a_killed_service_leaves_a_server_that_the_next_joins_and_stops(
    data_dir: Path,
) -> None:
    service = await Service.start(data_dir)
    await service.kill()
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    assert postgres.pid() == service.postmaster_pid
    await postgres.stop()
    assert servers(data_dir) == []


async def test_a_killed_server_is_started_again_with_its_data(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SUPERVISE_INTERVAL_SECONDS", 0.02)
    supervision = asyncio.create_task(postgres.supervise())
    await ask(postgres, "CREATE TABLE kept_too AS SELECT 42 AS answer")
    killed = running(postgres)
    killed.kill()
    await until(lambda: postgres.pid() not in {None, killed.pid})
    await postgres.start()
    assert await ask(postgres, "SELECT answer FROM kept_too") == 42
    supervision.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervision


async def test_a_start_waits_for_the_orphans_of_a_killed_server(
    postgres: EmbeddedPostgres,
) -> None:
    connection = await asyncpg.connect(postgres.admin_url)
    backend = psutil.Process(connection.get_server_pid())
    backend.suspend()
    killed = running(postgres)
    killed.kill()
    start = asyncio.create_task(postgres.start())
    done, _ = await asyncio.wait([start], timeout=0.5)
    assert not done
    assert postgres.pid() is None

    backend.resume()
    await start
    assert postgres.pid() not in {None, killed.pid}
    connection.terminate()


async def test_supervision_ends_with_the_use(
    postgres: EmbeddedPostgres, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SUPERVISE_INTERVAL_SECONDS", 0.02)
    supervision = asyncio.create_task(postgres.supervise())
    await asyncio.sleep(0)
    await postgres.stop()
    await asyncio.wait_for(supervision, WAIT_MAX_SECONDS)
    assert servers(data_dir) == []


async def test_a_cancelled_start_leaves_no_server(deaf_dir: Path) -> None:
    start = asyncio.create_task(EmbeddedPostgres(deaf_dir).start())
    await until(lambda: servers(deaf_dir))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert servers(deaf_dir) == []


async def test_a_start_that_takes_too_long_says_so_and_lets_the_server_go_on(
    deaf_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_SECONDS", 1.0)
    with pytest.raises(EmbeddedPostgresError, match=r"no connections after 1 s.*start again later"):
        await EmbeddedPostgres(deaf_dir).start()
    assert len(servers(deaf_dir)) == 1


@pytest.mark.parametrize("stranger", ["gone", "alive"])
async def test_a_stale_pid_file_is_no_running_server(data_dir: Path, stranger: str) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    files = [data_dir / "postgres" / name for name in ("postmaster.pid", ".s.PGSQL.5432.lock")]
    stale = [(path, path.read_text()) for path in files]
    old_pid = str(postgres.pid())
    await postgres.stop()

    # Of the same system user: PostgreSQL itself takes such a one for a running server.
    owner = (data_dir / "postgres").stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=owner) as process:
        if stranger == "gone":
            process.kill()
            process.wait()
        for path, text in stale:
            path.write_text(text.replace(old_pid, str(process.pid), 1))
            path.chmod(0o644)
        assert postgres.pid() is None
        await postgres.start()
        assert postgres.pid() not in {None, process.pid}
        await postgres.stop()
        assert (process.poll() is None) == (stranger == "alive")
        process.kill()


@pytest.mark.parametrize(
    "named,sentence",
    [
        (True, r"someone else started .* open to others"),
        (False, r"did not start[\s\S]* lock file \"postmaster.pid\" already exists"),
    ],
)
async def test_a_server_that_someone_else_started_in_the_cluster_is_left_alone(
    data_dir: Path, empty_dir: Path, named: bool, sentence: str
) -> None:
    cluster = data_dir / "postgres"
    owner = cluster.stat()
    os.chown(empty_dir, owner.st_uid, owner.st_gid)
    empty_dir.chmod(0o755)
    command: list[str | Path] = [embedded.POSTGRES_BIN / "postgres", "-h", "", "-k", empty_dir]
    with subprocess.Popen(
        [*command, "-D", cluster] if named else command,
        env={} if named else {"PGDATA": str(cluster)},
        cwd="/",
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
    ) as server:
        await until((empty_dir / ".s.PGSQL.5432").exists)
        try:
            with pytest.raises(EmbeddedPostgresError, match=sentence):
                await EmbeddedPostgres(data_dir).start()
            assert (cluster / "postmaster.pid").read_text().startswith(f"{server.pid}\n")
            assert server.poll() is None
        finally:
            server.terminate()


async def test_a_kill_before_the_database_was_made_is_repaired(postgres: EmbeddedPostgres) -> None:
    other = await asyncpg.connect(postgres.admin_url, database="postgres")
    await other.execute("DROP DATABASE storecredit")
    await other.close()
    await postgres.start()
    assert await ask(postgres, "SELECT current_database()") == "storecredit"


async def test_a_half_made_cluster_is_cleared_away(empty_dir: Path) -> None:
    abandoned = empty_dir / "postgres.new-abandoned"
    abandoned.mkdir()
    (abandoned / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(empty_dir)
    await postgres.start()
    await postgres.stop()
    assert postgres.is_new
    assert list(empty_dir.glob("postgres.new-*")) == []


async def test_the_server_can_be_reached_by_its_own_user_only(
    postgres: EmbeddedPostgres, data_dir: Path
) -> None:
    directory = socket_dir(postgres)
    assert (directory / ".s.PGSQL.5432").is_socket()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid == running(postgres).uids().real
    assert stat.S_IMODE((data_dir / "postgres.log").stat().st_mode) == 0o600

    assert await ask(postgres, "SHOW listen_addresses") == ""
    assert "listening on IP" not in (data_dir / "postgres.log").read_text()


async def test_the_server_is_out_of_reach_of_the_terminal(postgres: EmbeddedPostgres) -> None:
    assert os.getsid(running(postgres).pid) != os.getsid(0)


async def test_nothing_of_the_environment_reaches_the_server(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORECREDIT_ADMIN_TOKEN", "made-up-secret")
    monkeypatch.setenv("PGPORT", "1")
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    connection = await asyncpg.connect(postgres.admin_url)
    await connection.execute("CREATE TEMP TABLE environment (line text)")
    await connection.execute("COPY environment FROM PROGRAM 'env'")
    lines = await connection.fetchval("SELECT string_agg(line, ' ') FROM environment")
    assert "TZ=UTC" in lines
    assert "made-up-secret" not in lines
    await connection.close()
    await postgres.stop()


async def test_the_log_holds_no_statement_and_no_value(
    postgres: EmbeddedPostgres, data_dir: Path
) -> None:
    connection = await asyncpg.connect(postgres.admin_url)
    await connection.execute("CREATE TABLE t (prompt text CHECK (prompt = ''))")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO t VALUES ($1)", "a red bicycle")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO t VALUES ('a red bicycle')")
    await connection.close()
    written = (data_dir / "postgres.log").read_text()
    assert "violates check constraint" in written
    assert "bicycle" not in written


async def test_a_large_log_is_set_aside_at_start(data_dir: Path) -> None:
    (data_dir / "postgres.log").write_bytes(b"old\n" + b"x" * embedded.LOG_MAX_BYTES)
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    await postgres.stop()
    assert (data_dir / "postgres.log.1").read_bytes().startswith(b"old\n")
    assert (data_dir / "postgres.log").stat().st_size < embedded.LOG_MAX_BYTES


async def test_a_long_path_gets_a_private_socket_directory_that_others_find(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = EmbeddedPostgres(empty_dir / ("d" * 100))
    await postgres.start()
    directory = socket_dir(postgres)
    assert directory.parent == Path(tempfile.gettempdir()).resolve()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700

    # Another process may have another directory for temporary files.
    monkeypatch.setattr(tempfile, "tempdir", str(empty_dir))
    other = EmbeddedPostgres(empty_dir / ("d" * 100))
    await other.start(create=False)
    assert other.admin_url == postgres.admin_url
    await other.stop()
    await postgres.stop()

    # A link that someone else may have put in its place is not followed.
    directory.rmdir()
    directory.symlink_to(empty_dir)
    monkeypatch.undo()
    with pytest.raises(EmbeddedPostgresError, match="must be a directory of the user"):
        await postgres.start()
    directory.unlink()


async def test_no_cluster_is_one_sentence_and_makes_nothing(empty_dir: Path) -> None:
    for directory in (empty_dir, empty_dir / "absent"):
        with pytest.raises(NoCluster, match=r"no database in .* yet\. Start the service"):
            await EmbeddedPostgres(directory).start(create=False)
    assert list(empty_dir.iterdir()) == []


@pytest.mark.parametrize(
    "name,text,sentence",
    [
        ("PG_VERSION", "16\n", "made by PostgreSQL 16, and this release brings 18.*pg_dump"),
        ("notes", "mine", "holds files, but no PostgreSQL cluster.*move it away"),
    ],
)
async def test_what_is_no_cluster_of_this_version_is_left_alone(
    empty_dir: Path, name: str, text: str, sentence: str
) -> None:
    (empty_dir / "postgres").mkdir()
    (empty_dir / "postgres" / name).write_text(text)
    with pytest.raises(EmbeddedPostgresError, match=sentence):
        await EmbeddedPostgres(empty_dir).start()
    assert (empty_dir / "postgres" / name).read_text() == text


async def test_a_server_that_cannot_start_shows_its_own_log(data_dir: Path) -> None:
    with (data_dir / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="did not start") as caught:
        await EmbeddedPostgres(data_dir).start()
    assert str(data_dir / "postgres.log") in str(caught.value)
    assert "no_such_setting" in str(caught.value)


async def test_a_data_directory_that_cannot_be_used_is_one_sentence(empty_dir: Path) -> None:
    (empty_dir / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"cannot use .*file/data.*may write there"):
        await EmbeddedPostgres(empty_dir / "file" / "data").start()


def test_there_is_no_url_before_the_start(empty_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="has not been started"):
        _ = EmbeddedPostgres(empty_dir).admin_url
