"""What goes wrong as expected is told in one sentence on standard error, with the exit status."""

import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Storecredit

NOBODY = "0198f9b0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "command",
    ["verify", f"credits add {NOBODY} 5", "upgrade-postgres"],
)
def test_where_there_is_no_database_a_command_says_so_and_makes_none(
    new_storecredit: Storecredit, command: str
) -> None:
    told = new_storecredit(*command.split()).sentence()
    assert "no database" in told
    assert str(new_storecredit.data_dir) in told
    assert not new_storecredit.data_dir.exists()


@pytest.mark.parametrize("command", ["serve", "worker", "migrate", "verify", "backup backups"])
def test_a_data_directory_that_is_a_file_is_named(
    new_storecredit: Storecredit, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    told = new_storecredit(*command.split(), "--data-dir", file).sentence()
    assert str(file) in told
    assert "Not a directory" in told or "File exists" in told


def test_an_external_database_is_upgraded_by_its_own_tools(new_storecredit: Storecredit) -> None:
    url = "postgresql://owner@db.example/storecredit"
    told = new_storecredit("upgrade-postgres", STORECREDIT_DATABASE_URL=url).sentence(2)
    assert "STORECREDIT_DATABASE_URL names a PostgreSQL of your own" in told


def test_an_unknown_store_or_key_is_named(new_storecredit: Storecredit, database_url: str) -> None:
    where = ("--database-url", database_url)
    for command in ("store show", "key create"):
        assert NOBODY in new_storecredit(*command.split(), NOBODY, *where).sentence()
    assert NOBODY in new_storecredit("credits", "add", NOBODY, 5, *where).sentence()
    made = new_storecredit(
        *("store", "create", "--name", "N", "--shop-domain", "n.example", "--json", *where)
    ).json()
    told = new_storecredit("key", "rotate", made["store_id"], NOBODY, *where).sentence()
    assert NOBODY in told


@pytest.mark.parametrize(
    "command, named",
    [
        (f"key revoke {NOBODY} nonsense", "KEY_ID"),
        (f"credits add {NOBODY} 0", "AMOUNT"),
        (f"credits add {NOBODY} -50", "greater than or equal to 1"),
        (f"credits add {NOBODY} 5 --tpye refund", "--tpye"),
        (f"credits add {NOBODY} 5 --type refund", "--type"),
        (f"credits add {NOBODY} 5 --request-id é", "--request-id"),
        (f"key create {NOBODY} --origin nonsense", "--origin"),
        (f"key create {NOBODY} --expires-at soon", "--expires-at"),
        (f"key create {NOBODY} --expires-at 2020-01-01", "--expires-at"),
        (f"key create {NOBODY} --expires-at 0001-01-01T00:00+14:00", "--expires-at"),
        (f"webhook resend {NOBODY} --since 0001-01-01T00:00+14:00", "--since"),
        (f"webhook deliveries {NOBODY} --type *", "--type"),
        (f"webhook deliveries {NOBODY} --cursor {2**63}", "--cursor"),
        (f"credits add {NOBODY} 5 --description a\udcffb", "Argument 6"),
        ("store create --name N", "--shop-domain"),
        ("store list --limit 101", "--limit"),
        ("sell", "sell"),
    ],
)
def test_a_wrong_argument_is_named(new_storecredit: Storecredit, command: str, named: str) -> None:
    done = new_storecredit(*command.split())
    assert (done.status, done.output) == (2, "")
    assert "Traceback" not in done.errors
    assert named in done.errors
    assert not new_storecredit.data_dir.exists()


@pytest.mark.parametrize(
    "variable, value",
    [
        ("STORECREDIT_PORT", "99999"),
        ("STORECREDIT_PROCESSES", "0"),
        ("STORECREDIT_PUBLIC_URL", "same.example"),
        ("STORECREDIT_PUBLIC_URL", "ftp://same.example"),
        ("STORECREDIT_PUBLIC_URL", "https:///same"),
        ("STORECREDIT_PUBLIC_URL", "http://[same"),
        ("STORECREDIT_RATE_LIMITS", "open sesame"),
        ("STORECREDIT_SIGNING_KEY", "open sesame"),
    ],
)
def test_a_wrong_setting_is_told_by_its_variable_and_not_by_its_value(
    new_storecredit: Storecredit, variable: str, value: str
) -> None:
    told = new_storecredit("serve", **{variable: value}).sentence(2)
    assert variable in told
    assert "same" not in told
    assert not new_storecredit.data_dir.exists()


def test_a_misspelt_setting_is_told_with_the_nearest_and_without_its_value(
    new_storecredit: Storecredit, database_url: str
) -> None:
    misspelt = {"STORECREDIT_PORTS": "swordfish", "storecredit_xyzzy": "swordfish"}
    known = {"storecredit_log_level": "warning", "STORECREDIT_TEST_SEED": "7"}
    worker = new_storecredit.start("worker", "--database-url", database_url, **misspelt, **known)
    first = worker.await_event("setting_unknown")
    assert (first["level"], first["nearest"]) == ("warning", "STORECREDIT_PORT")
    # It comes while the loop is being made, and is not lost.
    assert worker.stop() == 0
    told = {event["variable"]: event["nearest"] for event in worker.events("setting_unknown")}
    assert told == {"STORECREDIT_PORTS": "STORECREDIT_PORT", "storecredit_xyzzy": None}
    assert all("swordfish" not in str(event) for event in worker.log)


def test_a_wrong_flag_is_told_by_its_name(new_storecredit: Storecredit) -> None:
    assert "--port" in new_storecredit("serve", "--port", 99999).sentence(2)


def test_an_address_that_is_taken_is_told_before_anything_is_made(
    new_storecredit: Storecredit,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = new_storecredit("serve", "--port", port).sentence()
    assert f"port {port}" in told
    assert "in use" in told
    assert "--port" in told
    assert not new_storecredit.data_dir.exists()


def test_a_generator_that_is_not_there_is_told(
    new_storecredit: Storecredit, database_url: str
) -> None:
    done = new_storecredit(
        *("worker", "--database-url", database_url), STORECREDIT_GENERATOR="painter"
    )
    told = done.sentence(2)
    assert "painter" in told
    assert "STORECREDIT_GENERATOR" in told


def test_a_setting_that_a_part_refuses_is_told_by_its_variable(
    new_storecredit: Storecredit, database_url: str
) -> None:
    done = new_storecredit(
        *("serve", "--port", 0, "--database-url", database_url),
        STORECREDIT_RATE_LIMITS='{"gold": [1, 2]}',
    )
    assert "STORECREDIT_RATE_LIMITS" in done.sentence(2)
