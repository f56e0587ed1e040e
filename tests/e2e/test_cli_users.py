"""`storecredit user`: what each command does, prints and gives as JSON."""

import json
import shlex
from pathlib import Path
from typing import get_args
from uuid import uuid4

import asyncpg
import pytest

from storecredit.cli import users as users_commands
from tests.e2e.in_process import InProcess
from tests.e2e.page_commands import Page

API = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
B2C = Page("docs/b2c.md")
NOBODY = "0198f9b0-0000-7000-8000-000000000000"


def fields(view: str) -> set[str]:
    """The field names of an answer of the HTTP API, as it is documented."""
    return set(API["components"]["schemas"][view]["properties"])


@pytest.fixture
async def user_id(admin: asyncpg.Connection) -> str:
    """An end user with 10 credits."""
    user_id = uuid4()
    await admin.execute("SELECT ensure_user($1, 10)", user_id)
    return str(user_id)


@pytest.fixture
def storecredit(database_url: str) -> InProcess:
    return InProcess(database_url)


def test_a_user_is_listed_shown_and_given_credits(storecredit: InProcess, user_id: str) -> None:
    page = storecredit("user", "list", "--json").json()
    assert set(page) == fields("UserList")
    [listed] = page["items"]
    assert set(listed) == fields("UserView")
    assert storecredit("user", "show", user_id, "--json").json() == listed
    assert (listed["user_id"], listed["status"], listed["balance"]) == (user_id, "active", 10)
    assert user_id in storecredit("user", "list", "--below", 11, "--sort", "balance").output
    assert "no such end users" in storecredit("user", "list", "--status", "blocked").errors
    assert "no such end users" in storecredit("user", "list", "--search", "none").errors

    order = ("--type", "purchase", "--request-id", "order-7", "--description", "Invoice 7")
    added = storecredit("user", "credits", "add", user_id, 20, *order, "--json").json()
    assert added == {"added": True, "balance": 30, "request_id": "order-7"}
    again = storecredit("user", "credits", "add", user_id, 20, *order)
    assert "already added" in again.output
    assert (
        "Nothing was added" in storecredit("user", "credits", "add", user_id, 21, *order).sentence()
    )
    shown = storecredit("user", "credits", user_id, "--json").json()
    assert shown == storecredit("user", "credits", "balance", user_id, "--json").json()
    assert (shown["balance"], shown["total_purchased"], shown["total_spent"]) == (30, 30, 0)
    assert storecredit("user", "credits", user_id).output.startswith("balance ")

    page = storecredit("user", "history", user_id, "--limit", 1, "--json").json()
    [newest] = page["items"]
    assert (newest["type"], newest["request_id"]) == ("purchase", "order-7")
    rest = ("--cursor", page["next_cursor"], "--type", "signup_bonus")
    assert "signup" in storecredit("user", "history", user_id, *rest).output


def test_a_user_is_blocked_let_in_again_and_erased(storecredit: InProcess, user_id: str) -> None:
    blocked = storecredit("user", "block", user_id, "--json").json()
    assert (set(blocked), blocked["status"]) == (fields("UserView"), "blocked")
    assert storecredit("user", "unblock", user_id, "--json").json()["status"] == "active"
    done = storecredit("user", "erase", user_id, "--json")
    erased = done.json()
    assert (erased["status"], erased["balance"]) == ("erased", 10)
    assert "next sweep" in done.errors, "the results may be on another machine"
    assert storecredit("user", "erase", user_id, "--json").json() == erased
    assert "stays blocked" in storecredit("user", "unblock", user_id).sentence()
    assert user_id in storecredit("user", "list", "--status", "erased").output
    assert storecredit("user", "history", user_id).status == 0
    assert storecredit("verify").status == 0


def test_the_commands_of_the_page_do_what_it_says(storecredit: InProcess, user_id: str) -> None:
    in_the_page = "0b8f0e9c-7a53-4c38-9d0a-2f5d7c1f6c11"
    for block in ("storecredit user list", "storecredit user erase"):
        for line in B2C.block(block).replace(in_the_page, user_id).splitlines():
            assert storecredit(*shlex.split(line)[1:]).status == 0, line
    shown = storecredit("user", "show", user_id, "--json").json()
    assert (shown["status"], shown["balance"]) == ("erased", 15)


def test_an_unknown_user_and_a_wrong_argument_are_named(storecredit: InProcess) -> None:
    for command in ("show", "credits", "history", "block", "unblock", "erase"):
        told = storecredit("user", command, NOBODY).sentence()
        assert told == f"Error: There is no end user {NOBODY}. `storecredit user list` lists them."
        wrong = storecredit("user", command, "nonsense")
        assert (wrong.status, wrong.output) == (2, "")
        assert "USER" in wrong.errors
    assert NOBODY in storecredit("user", "credits", "add", NOBODY, 5).sentence()
    for wrong_words in (
        ("credits", "add", NOBODY, -5),
        ("credits", "add", NOBODY, 5, "--type", "subscription"),
        ("list", "--sort", "name"),
        ("history", NOBODY, "--type", "overage"),
    ):
        done = storecredit("user", *wrong_words)
        assert (done.status, done.output) == (2, ""), wrong_words


async def test_the_types_of_movements_are_those_that_users_have(admin: asyncpg.Connection) -> None:
    types = await admin.fetch("SELECT type FROM movement_types WHERE 'user' = ANY (owner_kinds)")
    assert set(get_args(users_commands.MovementName)) == {row["type"] for row in types}
