"""The embedded PostgreSQL: started, joined, left, killed and brought back, as real processes."""

import asyncio
import fcntl
import os
import subprocess
from pathlib import Path

import asyncpg
import psutil
import pytest

from storecredit.postgres.embedded import cluster as postgres_cluster
from storecredit.postgres.embedded import embedded_postgres as embedded
from storecredit.postgres.embedded import server
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.postgres.embedded.clusters import (
    WAIT_MAX_SECONDS,
    Service,
    ask,
    running,
    servers,
    until,
)


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


async def test_a_cluster_is_kept_unused_unless_somebody_uses_it(data_dir: Path) -> None:
    service = await Service.start(data_dir)
    with pytest.raises(EmbeddedPostgresError, match="is in use, and nothing was changed: stop"):
        async with EmbeddedPostgres(data_dir).kept_unused():
            raise AssertionError("it is used")
    assert [server.pid for server in servers(data_dir)] == [service.postmaster_pid]

    await service.kill()
    postgres = EmbeddedPostgres(data_dir)
    async with EmbeddedPostgres(data_dir).kept_unused():
        assert servers(data_dir) == []
        for lock in ("start", "users"):
            held = (data_dir / f"postgres.{lock}.lock").open()
            with held, pytest.raises(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    await postgres.start()
    await postgres.stop()


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


async def test_a_process_of_the_server_is_seen_until_it_is_gone(
    postgres: EmbeddedPostgres, data_dir: Path
) -> None:
    """While it ends it has no command line any more, but shared memory still."""
    connections = [await asyncpg.connect(postgres.admin_url) for _ in range(2)]
    for connection in connections:
        # The more memory it has, the longer it takes to end.
        await connection.execute(
            "SELECT length(set_config('test.ballast', repeat('x', 30000000), false))"
        )
    killed = running(postgres)
    ending = [psutil.Process(connection.get_server_pid()) for connection in connections]
    cluster = postgres_cluster.Cluster(data_dir)
    killed.kill()
    while ending:
        for process in ending:
            is_seen = cluster.process(process.pid) is not None
            assert is_seen or not postgres_cluster.lives(process)
        ending = [process for process in ending if postgres_cluster.lives(process)]
    for connection in connections:
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
    monkeypatch.setattr(server, "START_TIMEOUT_SECONDS", 1.0)
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
    command: list[str | Path] = [
        postgres_cluster.POSTGRES_BIN / "postgres",
        "-h",
        "",
        "-k",
        empty_dir,
    ]
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
