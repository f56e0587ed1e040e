"""CSV files in the place of a database, as the same tables are exported."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.moving.tables import TABLES
from tests.e2e.conftest import storecredit_in
from tests.moving.conftest import Command
from tests.moving.imported import everything, ledger
from tests.moving.old_system import OldSystem

STORE = UUID("01985f00-0000-4000-8000-000000000001")


async def exported(old: OldSystem, directory: Path) -> Path:
    """All tables of the system before, with all their columns, as `COPY` writes them."""
    directory.mkdir()
    for table in TABLES:
        await old.connection.copy_from_table(
            table.name, output=directory / f"{table.name}.csv", format="csv", header=True
        )
    return directory


async def test_files_are_imported_as_the_database_is(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    store_id = await old.store()
    await old.key(store_id, allowed_domains=["hats.example", "b.example"])
    await old.shows(store_id, 7)
    await old.moved(
        store_id, "purchase", 10, "pack", description='Two lines\n"quoted", and a comma'
    )
    await old.moved(store_id, "deduction", -3)
    await old.generation(store_id, "completed", "req_1")
    user_id = await old.user()
    await old.shows(user_id, 4, kind="user")
    await old.event("evt_1", payload='{"a": [1, 2]}')

    done = await storecredit("import", "--history", "--from", await exported(old, tmp_path / "csv"))

    assert done.status == 0, done
    assert done.output.endswith("All of it agrees.\n")
    assert [row[:3] for row in await ledger(admin, store_id)] == [
        ("purchase", 10, 10),
        ("deduction", 3, 7),
    ]
    row = await admin.fetchrow(
        """SELECT m.description, k.allowed_origins FROM storecredit.movements m,
               storecredit.store_api_keys k WHERE m.type = 'purchase'"""
    )
    assert tuple(row or ()) == (
        'Two lines\n"quoted", and a comma',
        ["https://b.example", "https://hats.example"],
    )
    before = await everything(admin)
    assert (await storecredit("import", "--history", "--from", old.url)).status == 0
    assert await everything(admin) == before


@pytest.mark.parametrize(
    "domains", ['["a.example","b.example"]', "{a.example,b.example}", "a.example,b.example"]
)
async def test_domains_are_a_list_in_any_usual_form(
    storecredit: Command, admin: asyncpg.Connection, tmp_path: Path, domains: str
) -> None:
    # With a byte order mark, as spreadsheets write it, columns in another order, and few of them.
    (tmp_path / "stores.csv").write_text(f"shop_domain,id\nhats.example,{STORE}\n", "utf-8-sig")
    quoted = domains.replace('"', '""')
    (tmp_path / "store_api_keys.csv").write_text(
        "id,store_id,key_hash,is_active,allowed_domains\n"
        f'{uuid4()},{STORE},{"ab" * 32},true,"{quoted}"\n'
    )

    assert (await storecredit("import", "--from", tmp_path)).status == 0

    origins = await admin.fetchval("SELECT allowed_origins FROM storecredit.store_api_keys")
    assert origins == ["https://a.example", "https://b.example"]


@pytest.mark.parametrize(
    "name, text, sentence",
    [
        (
            "store_credits",
            "store_id,balance\n{store},many\n",
            "store_credits.csv, row 1, column balance",
        ),
        ("store_credits", "store_id,balance\n{store},1\n{store},2\n", "duplicate key"),
        ("store_credits", "store_id\n{store}\n", "store_credits.csv has no column balance"),
        ("store_credits", "store_id,balance\n{store}\n", "row 1: 1 cells where the header has 2"),
        ("store_credits", 'store_id,balance\n"{store},1\n', "is no CSV in UTF-8"),
        ("stores", "id\n\n", None),
        (
            "store_credit_transactions",
            "id,store_id,amount,type\n{store},{store},3000000000,x\n",
            "amount",
        ),
        (
            "store_credit_transactions",
            "id,store_id,amount,type\n{store},{store},1,a\n{store},{store},1,b\n",
            "is duplicated.",
        ),
    ],
)
async def test_what_cannot_be_read_is_told_and_nothing_is_imported(
    storecredit: Command,
    admin: asyncpg.Connection,
    tmp_path: Path,
    name: str,
    text: str,
    sentence: str | None,
) -> None:
    before = await everything(admin)
    (tmp_path / "stores.csv").write_text(f"id\n{STORE}\n")
    (tmp_path / f"{name}.csv").write_text(text.format(store=STORE))

    done = await storecredit("import", "--from", tmp_path, "--json")

    if sentence is None:
        assert done.json()["found"]["stores"] == 0
        return
    told = [line for line in done.errors.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1
    assert sentence in told[0]
    assert (done.status, done.output) == (1, "")
    assert await everything(admin) == before


async def test_a_directory_without_any_of_the_files_is_none(
    storecredit: Command, tmp_path: Path
) -> None:
    done = await storecredit("import", "--from", tmp_path)
    assert "has none of the files stores.csv" in done.errors
    assert done.status == 1
    done = await storecredit("import", "--from", tmp_path / "missing")
    assert "is neither a database URL nor a directory" in done.errors
    assert done.status == 2


async def test_what_a_dry_run_says_is_what_an_import_says(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, -4)
    before = await everything(admin)

    dry = (await storecredit("import", "--from", old.url, "--dry-run", "--json")).json()

    assert await everything(admin) == before
    assert (dry["written"], dry["verification"]) == (None, None)
    done = (await storecredit("import", "--from", old.url, "--json")).json()
    assert done["does_not_fit"] == dry["does_not_fit"]
    assert done["found"] == dry["found"]
    assert json.dumps(dry).count(str(store_id)) == 2


def test_it_goes_into_a_database_of_the_services_own(
    tmp_path: Path, prepared_data_dir: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "stores.csv").write_text(f"id,shop_domain\n{STORE},hats.example\n")
    (files / "store_credits.csv").write_text(f"store_id,balance\n{STORE},7\n")

    with storecredit_in(tmp_path, prepared_data_dir) as own:
        unnamed = own("import")
        assert (
            unnamed.sentence(2)
            == "Error: Say where to import from: --from URL, or --from DIRECTORY."
        )
        done = own("import", "--from", files)

        assert done.status == 0, done
        assert done.output.endswith("All of it agrees.\n")
        shown = own("store", "show", STORE, "--json").json()
        assert (shown["name"], shown["balance"]) == ("hats.example", 7)
