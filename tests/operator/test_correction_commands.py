"""`storecredit credits remove | transfer | set-expiry`, and who the ledger says did it."""

import asyncio
import getpass
from typing import Any
from uuid import UUID

import asyncpg

from tests.conftest import connect_as_superuser
from tests.e2e.in_process import InProcess

STORE, USER = UUID(int=1), UUID(int=2)
REASON = ("--reason", "Added twice")


async def _open(url: str) -> None:
    connection = await connect_as_superuser(url)
    await connection.execute(
        "SELECT create_store($1, 'Hats', 'hats.example', 'default', 50, 'opening')", STORE
    )
    await connection.execute("SELECT ensure_user($1, 10)", USER)
    await connection.close()


async def _ledger(url: str) -> list[asyncpg.Record]:
    connection = await connect_as_superuser(url)
    rows: list[asyncpg.Record] = await connection.fetch(
        "SELECT type, amount, request_id, description, actor FROM storecredit.movements"
        " ORDER BY account_id, seq"
    )
    await connection.close()
    return rows


def ledger(url: str) -> list[tuple[Any, ...]]:
    """The movements that are no openings."""
    openings = {"grant", "signup_bonus"}
    return [tuple(row) for row in asyncio.run(_ledger(url)) if row["type"] not in openings]


def test_credits_are_removed_once_by_whoever_is_named(
    command: InProcess, database_url: str
) -> None:
    asyncio.run(_open(database_url))
    remove = ("credits", "remove", "Hats", 20, *REASON, "--request-id", "fix-1", "--as", "ann")

    done = command(*remove, "--json").json()
    assert done == {"removed": True, "amount": 20, "balance": 30, "request_id": "fix-1"}
    again = command(*remove)
    assert again.output == "20 had been removed before, request id fix-1.\nThe balance is 30.\n"
    assert ledger(database_url) == [("removal", 20, "fix-1", "Added twice", "ann")]

    assert "did something else" in command(*remove[:3], 21, *remove[4:]).sentence()
    assert "There are 30 credits" in command("credits", "remove", "Hats", 31, *REASON).sentence()
    assert (
        "no store or end user Caps" in command("credits", "remove", "Caps", 1, *REASON).sentence()
    )
    for wrong in ((), (5, "--all")):
        assert "--all" in command("credits", "remove", "Hats", *wrong, *REASON).sentence(2)
    for too_few in (0, -5):
        refused = command("credits", "remove", "Hats", too_few, *REASON)
        assert (refused.status, "AMOUNT" in refused.errors) == (2, True), "it is no option"
    assert command("credits", "remove", "Hats", 1).status == 2, "why is not said"
    assert command("credits", "remove", "Hats", 1, "--reason", " ").status == 2

    rest = command("credits", "remove", "hats.example", "--all", *REASON)
    assert rest.output.startswith("Removed 30, request id req_")
    assert ledger(database_url)[-1][-1] == getpass.getuser()


def test_credits_are_transferred_between_stores_and_users(
    command: InProcess, database_url: str
) -> None:
    asyncio.run(_open(database_url))
    move = ("credits", "transfer", "Hats", USER, 20, *REASON, "--request-id", "move-1", "--as", "b")

    done = command(*move, "--json").json()
    assert done == {
        "transferred": True,
        "amount": 20,
        "from_balance": 30,
        "to_balance": 30,
        "request_id": "move-1",
    }
    assert command(*move).output.splitlines() == [
        "20 had been transferred before, request id move-1.",
        "The balances are 30 and 30.",
    ]
    assert ledger(database_url) == [
        ("transfer_out", 20, "move-1", "Added twice", "b"),
        ("transfer_in", 20, "move-1", "Added twice", "b"),
    ]
    assert "AMOUNT" in command("credits", "transfer", "Hats", USER, -5, *REASON).errors
    itself = ("credits", "transfer", "Hats", f"store:{STORE}", 1, *REASON)
    assert "same owner" in command(*itself).sentence()
    back = command("credits", "transfer", f"user:{USER}", "hats.example", 30, *REASON)
    assert back.output.splitlines()[1] == "The balances are 0 and 60."
    assert "clean" not in command("verify").errors
    assert command("verify").status == 0


def test_a_grant_ends_at_another_time(command: InProcess, database_url: str) -> None:
    asyncio.run(_open(database_url))
    change = ("credits", "set-expiry", "Hats", 1)

    changed = command(
        *change, "--expires-at", "2999-01-31", "--reason", "Extended", "--json"
    ).json()
    assert changed == {"grant_id": 2, "credits": 50, "expires_at": "2999-01-31T00:00:00Z"}
    assert ledger(database_url) == [("reissue", 50, "grant:1", "Extended", getpass.getuser())]
    assert command("credits", "set-expiry", "Hats", 2, "--never").output.splitlines() == [
        "grant_id    3",
        "credits     50",
        "expires_at  –",
    ]
    assert "no such grant" in command("credits", "set-expiry", "Hats", 9, "--never").sentence()
    assert "past" in command(*change[:3], 3, "--expires-at", "2020-01-01").sentence()
    assert "--never" in command(*change).sentence(2)
    unreadable = command(*change, "--expires-at", "tomorrow")
    assert (unreadable.status, "2027-01-31" in unreadable.errors) == (2, True)


def test_the_grants_of_stores_and_of_users_are_listed(
    command: InProcess, database_url: str
) -> None:
    asyncio.run(_open(database_url))
    for owner, credit_count in ((USER, 10), ("Hats", 50)):
        listed = command("credits", "grants", owner, "--json").json()
        assert [(each["grant_id"], each["remaining"]) for each in listed["items"]] == [
            (1, credit_count)
        ]
    assert command("credits", "set-expiry", USER, 1, "--expires-at", "2999-01-31").status == 0
    assert "2999-01-31" in command("credits", "grants", USER).output
    nobody = command("credits", "grants", "Caps").sentence()
    assert "no store or end user Caps" in nobody
    assert "user list" in nobody


def test_who_adds_credits_stands_in_the_ledger_and_in_its_listing(
    command: InProcess, database_url: str
) -> None:
    asyncio.run(_open(database_url))
    create = ("store", "create", "--name", "Caps", "--shop-domain", "caps.example", "--credits", 5)
    assert command(*create, "--as", "ann").status == 0
    assert command("credits", "add", "Caps", 7, "--request-id", "g", "--as", " bob ").status == 0
    assert command("user", "credits", "add", USER, 1, "--request-id", "u").status == 0

    listed = command("credits", "history", "Caps", "--json").json()["items"]
    assert [item["actor"] for item in listed] == ["bob", "ann"]
    table = command("credits", "history", "Caps").output
    assert all(name in table for name in ("actor", "ann", "bob"))
    of_user = command("user", "history", USER, "--json").json()["items"]
    assert [item["actor"] for item in of_user] == [getpass.getuser(), None]
    for wrong in ("", "a\tb", "n" * 101):
        assert command("credits", "add", "Caps", 1, "--as", wrong).status == 2
