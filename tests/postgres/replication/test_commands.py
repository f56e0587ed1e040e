"""Every command of the command line that opens the database, at servers that changed places."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import typer

from storecredit import cli
from storecredit.postgres.servers import connect
from tests.conftest import roomy_memory
from tests.e2e.conftest import Storecredit
from tests.log_stream import log_setup_restored
from tests.postgres.replication.callers import Shop
from tests.postgres.replication.conftest import Base
from tests.postgres.replication.nodes import WAIT_MAX_SECONDS, Pair, url_of

GOES_ON: Final = ("serve", "worker", "webhook test")
"""Commands that do not end by themselves, or wait for what a worker does."""
ARGUMENTS: Final = {
    "amount": "5",
    "backup": "no-backups",
    "credits": "5",
    "event_id": "evt_01",
    "file": "no-file",
    "grant": "1",
    "identifier": "no-request",
    "limit": "7",
    "name": "Shoes",
    "number": "0",
    "place": "backups",
    "problem_id": "evt_01",
    "reason": "by mistake",
    "scope": "read",
    "shop_domain": "shoes.example",
    "to": "10.0.0.12:5432",
    "transaction_id": "txn_01hv8wptq8987qeep44cyrewp9",
    "url": "https://receiver.example/hook",
}
"""What a command cannot do without, by its name; a store, a key, an endpoint and an end user are
there."""
ONE_OF: Final = {
    "billing checkout": ["--credits", "100"],
    "credits remove": ["1"],
    "credits set-expiry": ["--never"],
    "key update": ["--label", "till"],
    "session archive": ["--days", "90", "--dry-run"],
    "store update": ["--name", "Hats and more"],
    "webhook resend": ["--since", "2026-01-01"],
    "webhook update": ["--description", "till"],
}
"""What the command asks for though each option is optional."""
ENDS: Final = {
    "billing book": 1,
    "billing checkout": 2,
    "billing dismiss": 1,
    "billing retry": 1,
    "bucket move": 1,
    "bucket rebalance": 1,
    "checkpoint check": 2,
    "import": 1,
    "request show": 1,
    "restore": 1,
    "session find": 1,
}
"""Exit statuses other than 0: billing is off, nothing is there to be imported, or there is no such
event, transaction, request, file or backup; one node has all buckets."""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that takes a database URL, by its words."""
    for name, each in getattr(group, "commands", {}).items():
        yield from commands(each, (*path, name))
    if any("--database-url" in parameter.opts for parameter in group.params):
        yield " ".join(path), group


COMMANDS: Final = dict(commands(typer.main.get_command(cli.app)))
ENDING: Final = sorted(set(COMMANDS) - set(GOES_ON))


@pytest.fixture(scope="module")
def standing(base: Base) -> Iterator[Pair]:
    """One pair for all of these, since they are many and change little."""
    directory = Path(tempfile.mkdtemp(prefix="storecredit-pair-", dir=roomy_memory()))
    directory.chmod(0o755)
    pair = Pair.start(base.node, directory)
    yield pair
    pair.end()
    shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended."""

    status: int
    output: str
    errors: str


Run = Callable[[Sequence[str], str], Told]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process: a process each would take a second each."""

    def run_it(words: Sequence[str], url: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["storecredit", *words, "--database-url", url])
        capsys.readouterr()
        status: Any = 0
        with log_setup_restored():
            try:
                cli.main()
            except SystemExit as ended:
                status = ended.code or 0
        return Told(int(status), *capsys.readouterr())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    # One for all of these, which have a data directory each.
    monkeypatch.setenv("STORECREDIT_CHECKPOINT_KEY", "07" * 32)
    return run_it


def made_user(url: str) -> str:
    """The id of a new end user."""

    async def make() -> str:
        connection = await connect(url)
        user_id = uuid4()
        await connection.execute("SELECT ensure_user($1, 10)", user_id)
        await connection.close()
        return str(user_id)

    return asyncio.run(make())


def words_of(name: str, shop: Shop, run: Run, url: str) -> list[str]:
    """The command with all that it needs."""
    needed = [parameter for parameter in COMMANDS[name].params if parameter.required]
    store_id = str(shop.store_id)
    values = ARGUMENTS | dict.fromkeys(("store", "owner", "source"), store_id)
    if any(parameter.name in {"user_id", "target"} for parameter in needed):
        values["user_id"] = values["target"] = made_user(url)
    if any(parameter.name == "key_id" for parameter in needed):
        made = run(["key", "create", store_id, "--json"], url)
        values["key_id"] = json.loads(made.output)["key_id"]
    if any(parameter.name == "endpoint_id" for parameter in needed):
        made = run(["webhook", "create", ARGUMENTS["url"], "--json"], url)
        values["endpoint_id"] = json.loads(made.output)["endpoint_id"]
    if any(parameter.name == "token" for parameter in needed):
        made = run(["token", "create", "till", "--scope", "read", "--json"], url)
        values["token"] = json.loads(made.output)["name"]
    if name in {"checkpoint export", "checkpoint make", "checkpoint show"}:
        # There is something new to sign; of what is signed already, one is there to be shown.
        made_user(url)
        if name != "checkpoint make":
            run(["checkpoint", "make"], url)
    words = name.split()
    for parameter in needed:
        option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
        words += [*option, values[parameter.name]]
    return words + ONE_OF.get(name, [])


@pytest.mark.parametrize("name", ENDING)
def test_a_command_finds_the_primary_among_the_servers_of_the_url(
    standing: Pair, shop: Shop, run: Run, name: str
) -> None:
    url = url_of(standing.standby, standing.primary)
    told = run(words_of(name, shop, run, standing.primary.url), url)
    assert told.status == ENDS.get(name, 0), told
    assert "PostgreSQL" not in told.errors


def test_a_command_waits_a_moment_and_says_that_there_is_a_standby_only(
    standing: Pair, command: Storecredit
) -> None:
    url = url_of(standing.standby)
    # At once: each waits for its promotion.
    started = [
        command.start(*words.split(), "--database-url", url)
        for words in ("migrate", "store list", "verify")
    ]
    for each in started:
        assert each.process.wait(WAIT_MAX_SECONDS) == 1
        assert each.output == ""
        *_, sentence = each.log_path.read_text().splitlines()
        assert sentence.startswith("Error: PostgreSQL is not available: this server is a standby")


def test_a_worker_finds_the_primary(standing: Pair, command: Storecredit) -> None:
    url = url_of(standing.standby, standing.primary)
    worker = command.start("worker", "--database-url", url)
    worker.await_event("working")
    assert worker.stop() == 0
