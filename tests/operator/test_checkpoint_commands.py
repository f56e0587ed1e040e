"""`storecredit checkpoint`: signed, shown, given away, compared; what it says where it cannot."""

import asyncio
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import asyncpg
import pytest

from storecredit.cli import main
from storecredit.ledger.owners import OwnerKind
from tests.conftest import connect_as_superuser
from tests.e2e.conftest import Done
from tests.e2e.in_process import InProcess
from tests.log_stream import log_setup_restored
from tests.sql.ledgers import open_account

MADE = ("checkpoint", "make", "--json")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STORECREDIT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def of_keys(monkeypatch: pytest.MonkeyPatch, *words: str) -> Done:
    """A command about the keys, which asks no database."""
    monkeypatch.setattr(sys, "argv", ["storecredit", "checkpoint", *words])
    output, errors = io.StringIO(), io.StringIO()
    with (
        log_setup_restored(),
        redirect_stdout(output),
        redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Done(int(ended.value.code or 0), output.getvalue(), errors.getvalue())


def changed(url: str, *statements: str) -> None:
    """What a superuser does."""

    async def change() -> None:
        admin: asyncpg.Connection = await connect_as_superuser(url)
        for statement in statements:
            await admin.execute(statement)
        await admin.close()

    asyncio.run(change())


def opened(url: str) -> str:
    """The id of a new store with credits."""

    async def open_one() -> str:
        admin: asyncpg.Connection = await connect_as_superuser(url)
        account = await open_account(admin, OwnerKind.STORE, 10)
        await admin.close()
        return str(account.owner.id)

    return asyncio.run(open_one())


def test_a_checkpoint_is_made_shown_given_away_and_compared(
    command: InProcess, database_url: str, tmp_path: Path
) -> None:
    assert "There is no checkpoint yet" in command("checkpoint", "list").errors
    assert "There is no checkpoint yet" in command("checkpoint", "show").sentence()
    store_id = opened(database_url)
    first = command(*MADE).json()
    assert (first["number"], first["owners"], first["movements"]) == (1, 1, 1)
    assert "Nothing is new" in command("checkpoint", "make").sentence()
    opened(database_url)
    second = command(*MADE).json()

    assert command("checkpoint", "show", "--json").json() == second
    assert command("checkpoint", "show", 1, "--json").json() == first
    assert "of number 3" in command("checkpoint", "show", 3).sentence()
    listed = command("checkpoint", "list", "--json").json()["items"]
    assert listed == [second, first]
    assert command("checkpoint", "list", "--before", 2, "--json").json()["items"] == [first]

    held = command("checkpoint", "export", "--since", 1, "--owner", store_id).json()
    assert held["checkpoint"]["number"] == 2
    assert held["since"]["checkpoint"] == first
    assert held["ledger_proof"]["owner_id"] == store_id
    assert "earlier than 2" in command("checkpoint", "export", "--since", 2).sentence(2)
    file = tmp_path / "held.json"
    file.write_text(json.dumps(held))
    assert "has checkpoint 2 as it was signed" in command("checkpoint", "check", file).output

    file.write_text(json.dumps(held).replace("owners 2", "owners 3"))
    assert "not what was signed" in command("checkpoint", "check", file).sentence()
    file.write_text("{}")
    assert "is no exported checkpoint" in command("checkpoint", "check", file).sentence(2)


def test_verify_says_what_was_compared_and_ends_with_1_where_it_differs(
    command: InProcess, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_id = opened(database_url)
    command(*MADE).json()
    assert "Checkpoints: 1, signatures looked at: 1." in command("verify").output
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("STORECREDIT_DATA_DIR", str(tmp_path / "elsewhere"))
        assert "since no key is known here" in command("verify").output
    changed(database_url, "UPDATE movements SET description = 'a gift'")
    report = command("verify", "--json")
    assert report.status == 1
    (found,) = json.loads(report.output)["discrepancies"]
    assert (found["kind"], found["store_id"], found["seq"]) == ("movement_changed", store_id, 1)


def test_a_restored_database_is_accepted(
    command: InProcess, database_url: str, tmp_path: Path
) -> None:
    opened(database_url)
    command(*MADE).json()
    opened(database_url)
    command(*MADE).json()
    file = tmp_path / "held.json"
    file.write_text(command("checkpoint", "export").output)
    changed(
        database_url,
        "DELETE FROM checkpoints WHERE number = 2; DELETE FROM chain_links WHERE number = 2",
    )

    assert "restored to an earlier moment" in command("checkpoint", "check", file).sentence()
    refused = command("checkpoint", "make").sentence()
    assert "Checkpoint 2 was signed here, and the database does not have it" in refused
    assert "checkpoint_missing" in command("verify").output
    assert "goes on after checkpoint 1" in command("checkpoint", "accept").output
    assert command(*MADE).json()["number"] == 2
    assert "another checkpoint 2" in command("checkpoint", "check", file).sentence()
    changed(database_url, "DELETE FROM checkpoints; DELETE FROM chain_links")
    assert "the next one is the first" in command("checkpoint", "accept").output
    assert command("verify").status == 0


def test_keys_are_shown_and_replaced(
    command: InProcess, database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no key yet" in of_keys(monkeypatch, "key").errors
    opened(database_url)
    made = command(*MADE).json()
    (old,) = json.loads(of_keys(monkeypatch, "key", "--json").output)["items"]
    assert old["key_id"] == made["key_id"]
    new = json.loads(of_keys(monkeypatch, "rotate", "--json").output)
    assert json.loads(of_keys(monkeypatch, "key", "--json").output)["items"] == [old, new]
    opened(database_url)
    assert command(*MADE).json()["key_id"] == new["key_id"]
    assert "signatures looked at: 2" in command("verify").output

    file = data_dir / "checkpoint.key"
    private = file.read_text().split()[1]
    file.write_text("private nonsense\n")
    assert "is damaged" in of_keys(monkeypatch, "key").sentence()
    assert "is damaged" in command("checkpoint", "make").sentence()
    assert "is damaged" in command("verify").output
    file.unlink()
    monkeypatch.setenv("STORECREDIT_CHECKPOINT_KEY", private)
    assert "which is not known here" in command("verify").output
    monkeypatch.setenv("STORECREDIT_CHECKPOINT_OLD_KEYS", old["public_key"])
    assert command("verify").status == 0
    assert "STORECREDIT_CHECKPOINT_OLD_KEYS" in of_keys(monkeypatch, "rotate").sentence(2)
    monkeypatch.setenv("STORECREDIT_CHECKPOINT_KEY", "short")
    assert "64 hexadecimal digits" in command("checkpoint", "make").sentence(2)
