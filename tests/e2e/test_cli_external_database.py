"""Commands on a PostgreSQL of the operator's own, and what is told when it cannot be used."""

import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import asyncpg
import pytest

from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from tests.conftest import with_database
from tests.e2e.conftest import WAIT_MAX_SECONDS, Storecredit

PASSWORD = "open%2Fsesame"
INTERFACE_IN = "Views and functions for other programs are in the schema"
NOT_MIGRATED = (
    "Error: The database has not been migrated: run `storecredit migrate`, or"
    " `storecredit serve --migrate`."
)


async def test_an_external_database_is_told_to_be_migrated_first(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    for command in ("demo", "serve --port 0"):
        told = new_storecredit(*command.split(), "--database-url", empty_url).sentence()
        assert told.startswith(NOT_MIGRATED)


async def test_an_external_database_is_migrated_and_worked_on(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    migrated = new_storecredit("migrate", **where)
    assert migrated.status == 0
    assert migrated.output.startswith("Applied 0001_ledger, ")
    assert migrated.output.endswith(f"{INTERFACE_IN} public.\n")
    assert new_storecredit("migrate", "--json", **where).json() == {
        "applied": [],
        "changed": False,
        "interface": "public",
        "interface_before": "public",
        "renewed": [],
        "notes": [],
        "buckets": 1,
    }
    made = new_storecredit(
        *("store", "create", "--name", "N", "--shop-domain", "n.example", "--json"), **where
    ).json()
    assert new_storecredit("credits", "add", made["store_id"], 5, **where).status == 0
    report = new_storecredit("verify", "--json", **where).json()
    assert (report["stores"], report["movements"]) == (1, 1)
    assert not new_storecredit.data_dir.exists()


async def test_a_function_that_is_open_to_everybody_is_told_until_it_is_closed(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    assert new_storecredit("migrate", **where).status == 0
    connection = await asyncpg.connect(empty_url)
    await connection.execute("GRANT EXECUTE ON FUNCTION storecredit.add_to_account TO PUBLIC")
    await connection.close()

    for command in ("serve --port 0", "worker", "verify"):
        assert new_storecredit(*command.split(), **where).sentence() == (
            "Error: Everybody may call the function storecredit.add_to_account, which writes "
            "credits: run `storecredit migrate`, or `storecredit serve --migrate`."
        )
    mended = new_storecredit("migrate", **where).output.splitlines()
    assert mended[:2] == [
        "No migration was to be applied; functions and privileges were renewed.",
        "Closed to everybody: 1 function (add_to_account).",
    ]
    assert new_storecredit("verify", **where).status == 0


async def test_where_the_interface_has_moved_to_and_from_is_told(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    where = {"STORECREDIT_DATABASE_URL": empty_url}
    assert new_storecredit("migrate", **where).status == 0

    moved = new_storecredit("migrate", "--interface", "credits", **where)
    gone = new_storecredit("migrate", "--interface", "none", **where)
    back = new_storecredit("migrate", "--interface", "public", **where)

    _, now, before = moved.output.splitlines()
    assert now == f"{INTERFACE_IN} credits."
    assert before.startswith("They were in the schema public, which stays, without them: ")
    _, nowhere, before = gone.output.splitlines()
    assert nowhere == "Views and functions for other programs are nowhere now."
    assert before.startswith("They were in the schema credits, which stays, without them: ")
    assert back.output.endswith(f"{INTERFACE_IN} public.\n")


async def test_an_app_in_the_same_database_is_told_of_and_left_alone(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    connection = await asyncpg.connect(empty_url)
    await connection.execute("CREATE TABLE users (id int); INSERT INTO users VALUES (7)")
    where = {"STORECREDIT_DATABASE_URL": empty_url}

    refused = new_storecredit("migrate", "--interface", "public", **where).sentence()
    assert "The schema public has something of its own named users" in refused
    migrated = new_storecredit("migrate", **where)
    assert migrated.status == 0
    assert migrated.output.count("other programs") == 1
    assert "nothing of it was touched" in migrated.output
    moved = new_storecredit("migrate", "--interface", "credits", "--json", **where).json()
    assert (moved["changed"], moved["interface"]) == (True, "credits")

    assert new_storecredit("store", "list", "--json", **where).json()["items"] == []
    assert await connection.fetchval("SELECT id FROM users") == 7
    assert await connection.fetchval("SELECT count(*) FROM credits.users") == 0
    await connection.close()


async def test_serve_migrates_an_external_database_when_told_to(
    new_storecredit: Storecredit, empty_url: str
) -> None:
    serving = new_storecredit.serve("--migrate", "--processes", 2, "--database-url", empty_url)
    assert serving.events("database_migrated")
    assert serving.stop() == 0
    assert not (new_storecredit.data_dir / "postgres").exists()


def test_a_url_that_is_none_is_told_and_not_quoted(new_storecredit: Storecredit) -> None:
    for url in ("postgresql://open:/sesame@127.0.0.1/store", "mysql://open:sesame@127.0.0.1/x"):
        told = new_storecredit("store", "list", STORECREDIT_DATABASE_URL=url).sentence()
        assert "database URL" in told
        assert "same" not in told


@pytest.mark.parametrize(
    "command",
    [
        "serve --port 0",
        "serve --port 0 --migrate",
        "worker",
        "migrate",
        "verify",
        "key list x",
        "demo",
    ],
)
def test_a_parameter_that_cannot_be_obeyed_is_named_by_every_command(
    new_storecredit: Storecredit, command: str
) -> None:
    command = command.replace(" x", " 0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2")
    url = f"postgres://open:{PASSWORD}@db.example:6543/store?pgbouncer=true"
    told = new_storecredit(*command.split(), STORECREDIT_DATABASE_URL=url).sentence()
    assert told.startswith("Error: Drop pgbouncer from the database URL")
    assert "sesame" not in told


async def test_a_database_that_is_not_there_is_told(
    new_storecredit: Storecredit, server_url: str
) -> None:
    url = with_database(server_url, "nowhere")
    told = new_storecredit("migrate", "--database-url", url).sentence()
    assert '"nowhere" does not exist' in told


@pytest.fixture
async def guarded_url(prepared_data_dir: Path, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a server that asks for a password, with the right one."""
    data_dir = tmp_path / "guarded"
    subprocess.run(["cp", "-a", prepared_data_dir, data_dir], check=True)
    rules = data_dir / "postgres" / "pg_hba.conf"
    rules.write_text(f"local all open scram-sha-256\n{rules.read_text()}")
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start(create=False)
    connection = await asyncpg.connect(postgres.admin_url)
    await connection.execute("CREATE ROLE open LOGIN PASSWORD 'open/sesame'")
    await connection.execute("GRANT storecredit_app TO open")
    await connection.close()
    yield postgres.app_url.replace("storecredit_app@", f"open:{PASSWORD}@")
    await postgres.stop()


async def test_a_wrong_password_is_told_and_never_shown(
    new_storecredit: Storecredit, guarded_url: str
) -> None:
    right = new_storecredit("store", "list", "--json", "--database-url", guarded_url)
    assert right.json() == {"items": [], "next_cursor": None}
    wrong = guarded_url.replace("sesame", "barley")
    told = new_storecredit("store", "list", "--database-url", wrong).sentence()
    assert "password authentication failed" in told
    assert "barley" not in told


@pytest.mark.parametrize(
    "change, said",
    [
        # What a login finds where nobody ever migrated, and where that was another database.
        ("ALTER ROLE storecredit_app RENAME TO another", 'role "storecredit_app" does not exist'),
        ("REVOKE storecredit_app FROM open", 'permission denied to set role "storecredit_app"'),
    ],
)
async def test_a_login_without_the_services_role_is_told_to_migrate_first(
    new_storecredit: Storecredit, guarded_url: str, change: str, said: str
) -> None:
    admin = await asyncpg.connect(guarded_url.replace(f"open:{PASSWORD}@", "postgres@"))
    await admin.execute(change)
    await admin.close()
    told = new_storecredit("store", "list", "--database-url", guarded_url).sentence()
    assert told.startswith(NOT_MIGRATED)
    assert said in told


@contextmanager
def server_of_version(version: str) -> Iterator[int]:
    """A port where a server says that it is PostgreSQL of this version, and no more."""
    greeting = b"R" + struct.pack("!ii", 8, 0)
    setting = b"server_version\0" + version.encode() + b"\0"
    greeting += b"S" + struct.pack("!i", 4 + len(setting)) + setting
    greeting += b"K" + struct.pack("!iii", 12, 1, 1) + b"Z" + struct.pack("!i", 5) + b"I"

    def greet() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(WAIT_MAX_SECONDS)
            for answer in (greeting, b""):  # to what opens a session, and to what ends it
                connection.recv(4096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(WAIT_MAX_SECONDS)
        thread = Thread(target=greet)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(WAIT_MAX_SECONDS)


@pytest.mark.parametrize("command", ["store list", "migrate"])
def test_a_server_that_is_too_old_is_told(new_storecredit: Storecredit, command: str) -> None:
    with server_of_version("14.9") as port:
        url = f"postgresql://open@127.0.0.1:{port}/store?sslmode=disable"
        told = new_storecredit(*command.split(), "--database-url", url).sentence()
    assert "PostgreSQL 14 is too old" in told
    assert "15" in told
