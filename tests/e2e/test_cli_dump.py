"""`storecredit backup --dump`: from the embedded server to any other, and back."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from tests.conftest import with_database
from tests.e2e.conftest import Storecredit


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """A superuser's URL of a database with nothing in it."""
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield with_database(server_url, name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def test_a_dump_moves_the_embedded_database_to_another_server_and_back(
    storecredit: Storecredit, empty_url: str
) -> None:
    there = ("--database-url", empty_url)
    make = ("store", "create", "--name", "Hats", "--shop-domain", "hats.example", "--credits", 7)
    made = storecredit(*make, "--json").json()
    taken = storecredit("backup", "dumps", "--dump", "--json").json()
    assert taken["kind"] == "logical"

    told = storecredit("restore", "dumps", *there, "--to", "2099-01-01").sentence()
    assert "A dump leads to its own moment only" in told
    restored = storecredit("restore", "dumps", *there, "--json").json()
    assert restored["verified"]["clean"]
    assert restored["verified"]["movements"] == 1
    assert "nothing was changed" in storecredit("restore", "dumps", *there).sentence()
    query = "SELECT current_user, balance FROM public.store_credits"
    assert storecredit("psql", *there, "-qAt", "-c", query).output == "storecredit_app|7\n"

    assert storecredit("backup", "external", *there).status == 0
    told = storecredit("restore", "external").sentence()
    assert "has a database, and nothing was changed" in told
    back = storecredit("restore", "external", "--data-dir", "back", "--json").json()
    assert back["verified"]["clean"]
    shown = storecredit("store", "list", "--data-dir", "back", "--json").json()
    assert [each["store_id"] for each in shown["items"]] == [made["store_id"]]


async def test_files_of_a_server_go_into_no_other_server(
    storecredit: Storecredit, empty_url: str
) -> None:
    assert storecredit("backup", "files").status == 0
    told = storecredit("restore", "files", "--database-url", empty_url).sentence()
    assert "move the database by `storecredit backup --dump`" in told
