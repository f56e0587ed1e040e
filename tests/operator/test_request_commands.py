"""`storecredit request show`: what it prints, and what it says where there is nothing."""

import asyncio
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from uuid import UUID

import pytest

from storecredit.cli.output import indented
from storecredit.postgres.servers import connect
from tests.e2e.in_process import InProcess

API = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
STORE, OTHER, USER = UUID(int=1), UUID(int=2), UUID(int=1)
"""A user may bear a store's UUID."""


async def _use_one_request_id(url: str) -> None:
    connection = await connect(url)
    for store_id, name in ((STORE, "Hats [b]"), (OTHER, "Caps")):
        await connection.execute(
            "SELECT create_store($1, $2, 'a.example', 'default', 10, 'opening')", store_id, name
        )
    await connection.execute("SELECT ensure_user($1, 10)", USER)
    await connection.execute("SELECT public.deduct_store_credits($1, 3, 'order-7')", STORE)
    await connection.execute("SELECT public.refund_store_credits($1, 2, 'order-7')", STORE)
    await connection.execute("SELECT public.deduct_credits($1, 4, 'order-7')", USER)
    await connection.close()


def test_all_that_carries_the_id_is_printed(command: InProcess, database_url: str) -> None:
    asyncio.run(_use_one_request_id(database_url))

    shown = command("request", "show", " order-7 ", "--json").json()
    assert set(shown) == set(API["components"]["schemas"]["RequestsFound"]["properties"])
    of_store, of_user = shown["requests"]
    assert set(of_store) == set(API["components"]["schemas"]["RequestRecord"]["properties"])
    assert (of_store["store_id"], of_store["user_id"]) == (str(STORE), None)
    assert (of_user["store_id"], of_user["user_id"]) == (None, str(USER))
    types = [(each["type"], each["amount"]) for each in of_store["movements"]]
    assert types == [("deduction", 3), ("refund", 2)]
    assert [each["balance_after"] for each in of_user["movements"]] == [6]

    text = command("request", "show", "order-7")
    for word in (str(STORE), "Hats [b]", "store_id", "user_id", "Accepted", "No answer is kept"):
        assert word in text.output
    lines = text.output.splitlines()
    [taken] = [
        place for place, line in enumerate(lines) if line.endswith("Z  movement: 3 credits taken")
    ]
    assert "    Balance after: 7" in lines[taken:]
    assert lines[taken + 1 :][:1] == ["    Type: deduction"]
    assert [line for line in lines if line.endswith("2 credits given back")]
    assert "Held after" not in text.output, "nothing is said where there is nothing"
    assert command("request", "show", "order-7", "--user", USER, "--json").json() == {
        **shown,
        "requests": [of_user],
    }


async def _spend_all(url: str) -> None:
    connection = await connect(url)
    await connection.execute(
        "SELECT create_store($1, 'Hats', 'a.example', 'default', 10, 'opening')", STORE
    )
    await connection.execute(
        "SELECT spend_credits(ARRAY[account_id], '{10}', '{order-7}', ARRAY[''::bytea],"
        """ '{""}', ARRAY['{"pages": "5"}'::json]) FROM accounts"""
    )
    await connection.close()


def test_an_empty_balance_and_metadata_are_shown_as_they_are(
    command: InProcess, database_url: str
) -> None:
    asyncio.run(_spend_all(database_url))
    text = command("request", "show", "order-7").output
    assert "Balance after: 0" in text
    assert 'Metadata: {"pages":"5"}' in text


def test_what_is_no_request_is_said_to_be_what_it_is(command: InProcess, database_url: str) -> None:
    asyncio.run(_use_one_request_id(database_url))
    text = command("request", "show", OTHER).output
    for word in ("store", str(OTHER), "Caps", "active"):
        assert word in text
    both = command("request", "show", STORE, "--json").json()
    assert [each["kind"] for each in both["things"]] == ["store", "user"]


def test_what_is_not_found_is_told_in_a_sentence(command: InProcess, database_url: str) -> None:
    asyncio.run(_use_one_request_id(database_url))
    assert "no request order-8" in command("request", "show", "order-8").sentence()
    assert (
        "no request order-7"
        in command(*("request", "show", "order-7", "--store", OTHER)).sentence()
    )
    both = command("request", "show", "order-7", "--store", STORE, "--user", USER)
    assert "one of the two" in both.sentence(2)
    assert command("request", "show", "é").status == 2


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_long_detail_goes_on_below_itself_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    identifier = "01a22e5c-415c-7683-bb50-9c0604a13bcd-01a22e5c-415c-7683-bb50-9c0604a13bcd"
    words = f"{'a word of some length ' * 6}{identifier}"
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with redirect_stdout(stream):
            indented(words)
    assert file.getvalue() == f"    {words}\n"
    lines = terminal.getvalue().splitlines()
    assert lines[-1] == f"      {identifier}", "an identifier is not broken"
    assert all(len(line) <= 60 for line in lines[:-1])
    assert [line[:7] for line in lines[1:-1]] == [f"      {line[6]}" for line in lines[1:-1]]
