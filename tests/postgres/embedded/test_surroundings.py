"""The embedded PostgreSQL and what is around it: users, terminal, environment, paths, logs."""

import os
import stat
import tempfile
from pathlib import Path

import asyncpg
import pytest

from storecredit.postgres.embedded import cluster as postgres_cluster
from storecredit.postgres.embedded import system_user
from storecredit.postgres.embedded.embedded_postgres import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    NoCluster,
)
from tests.postgres.embedded.clusters import (
    ask,
    running,
    socket_dir,
)


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
    (data_dir / "postgres.log").write_bytes(b"old\n" + b"x" * postgres_cluster.LOG_MAX_BYTES)
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    await postgres.stop()
    assert (data_dir / "postgres.log.1").read_bytes().startswith(b"old\n")
    assert (data_dir / "postgres.log").stat().st_size < postgres_cluster.LOG_MAX_BYTES


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
        (
            "PG_VERSION",
            "16\n",
            "made by PostgreSQL 16, .* brings 18.*upgrade-postgres",
        ),
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


async def test_the_operator_may_switch_on_the_extensions(
    postgres: EmbeddedPostgres, data_dir: Path
) -> None:
    assert await ask(postgres, "SHOW shared_preload_libraries") == ""
    page = (Path(__file__).parents[3] / "docs" / "embedded.md").read_text(encoding="utf-8")
    switch_on, create = page.split("```sql\n")[1].split("\n```")[0].splitlines()
    await ask(postgres, switch_on)
    await postgres.stop()
    await postgres.start()
    for statement in (create, "CREATE EXTENSION amcheck"):
        await ask(postgres, statement)
    assert await ask(postgres, "SELECT count(*) > 0 FROM pg_stat_statements")
    await ask(postgres, "SELECT bt_index_check('pg_class_oid_index', heapallindexed => true)")
    (data_dir / "postgres" / "postgresql.auto.conf").write_text("")


def test_without_the_system_user_root_is_told_what_to_do(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    # No name of a user: nothing that could make one does.
    monkeypatch.setattr(system_user, "SYSTEM_USER", "no:user")
    sentence = "refuses to run as root, .*no:user .* could not be made: .+ Make that user"
    with pytest.raises(EmbeddedPostgresError, match=sentence):
        system_user.Account.of(empty_dir)
