"""What is not imported, and what an import does not write over."""

from hashlib import sha256

import asyncpg
from uuid_utils.compat import uuid7

from tests.conftest import with_database
from tests.moving.conftest import Command, command_on
from tests.moving.imported import everything
from tests.moving.old_system import OLD_KEY, OldSystem
from tests.sql.ledgers import open_store


async def test_an_account_with_movements_of_its_own_stops_all_of_it(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    other_id = await open_store(admin, 10)
    await old.store(id=other_id)
    await old.shows(other_id, 5)
    await old.shows(await old.store("new.example"), 5)
    await old.event("evt_1")
    before = await everything(admin)

    done = await storecredit("import", "--from", old.url, "--history")

    assert done.status == 1
    assert "owner_has_movements: 1." in done.output
    assert f"store:{other_id}" in done.output
    assert done.output.endswith("Nothing can be imported.\n")
    assert await everything(admin) == before


async def test_a_store_that_is_there_without_credits_is_filled(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = uuid7()
    await admin.execute("SELECT create_store($1, 'Fine Hats', 'hats.example')", store_id)
    await old.store(id=store_id)
    await old.shows(store_id, 5)

    assert (await storecredit("import", "--from", old.url)).status == 0

    row = await admin.fetchrow(
        """SELECT s.name, c.balance FROM storecredit.stores s
           JOIN store_credits c USING (store_id)"""
    )
    assert tuple(row or ()) == ("Fine Hats", 5)


async def test_a_key_of_another_store_stops_all_of_it(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    taken_id = await open_store(admin, 0)
    digest = sha256(OLD_KEY.encode()).digest()
    await admin.execute(
        "SELECT create_store_api_key($1, $2, $3, 'wk_000000000')", taken_id, uuid7(), digest
    )
    await old.key(await old.store())
    before = await everything(admin)

    done = await storecredit("import", "--from", old.url)

    assert done.status == 1
    assert "key_taken: 1." in done.output
    assert await everything(admin) == before


async def test_keys_tiers_and_rows_that_cannot_be_are_left_out(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store(subscription_tier="gold")
    await old.key(store_id, key_hash="short")
    await old.key(store_id)
    await old.key(store_id)
    await old.generation(store_id, "paused")
    await old.connection.execute(
        """ALTER TABLE store_credits DROP CONSTRAINT store_credits_store_id_fkey;
           INSERT INTO store_credits (store_id, balance) VALUES (gen_random_uuid(), 5)"""
    )

    done = await storecredit("import", "--from", old.url, "--json")

    assert {each["kind"]: each["count"] for each in done.json()["does_not_fit"]} == {
        "unknown_status": 1,
        "unknown_owner": 1,
        "unknown_tier": 1,
        "unusable_key": 1,
        "equal_keys": 1,
    }
    assert await admin.fetchval("SELECT tier FROM storecredit.stores") == "default"
    keys = await admin.fetchval("SELECT array_agg(key_id) FROM storecredit.store_api_keys")
    assert len(keys) == 1


async def test_a_balance_that_changed_there_since_is_told_and_not_imported(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    store_id = await old.store()
    await old.shows(store_id, 5)
    await storecredit("import", "--from", old.url)
    await admin.execute("SELECT deduct_store_credits($1, 2, 'req_9')", store_id)
    await old.connection.execute("UPDATE store_credits SET balance = 4")
    before = await everything(admin)

    done = await storecredit("import", "--from", old.url)

    assert done.status == 0, done
    assert "changed_since: 1." in done.output
    assert "the balance is 4, and was 5 when it was imported" in done.output
    assert await everything(admin) == before


async def test_a_source_that_cannot_be_read_is_told(
    old: OldSystem, storecredit: Command, admin: asyncpg.Connection
) -> None:
    async def told(url: str) -> str:
        done = await storecredit("import", "--from", url)
        assert (done.status, done.output) == (1, "")
        (sentence,) = [line for line in done.errors.splitlines() if line.startswith("Error: ")]
        return sentence

    assert "refuses the connection" in await told(with_database(old.url, "nowhere"))
    assert "none of the tables" in await told(with_database(old.url, "postgres"))
    await old.store()
    await old.connection.execute("ALTER TABLE stores RENAME COLUMN id TO number")
    assert "stores has no column id" in await told(old.url)


async def test_rows_that_are_hidden_from_the_login_are_not_passed_over(
    old: OldSystem, storecredit: Command
) -> None:
    await old.shows(await old.user(), 5, kind="user")
    await old.connection.execute(
        """DO $$ BEGIN CREATE ROLE moving_reader LOGIN;
           EXCEPTION WHEN duplicate_object THEN NULL; END $$;
           GRANT SELECT ON ALL TABLES IN SCHEMA public TO moving_reader"""
    )

    done = await storecredit("import", "--from", old.url.replace("postgres@", "moving_reader@"))

    assert done.status == 1
    assert "row-level security" in done.errors


async def test_it_takes_the_login_that_migrates(
    old: OldSystem, database_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """DO $$ BEGIN CREATE ROLE moving_service LOGIN;
           EXCEPTION WHEN duplicate_object THEN NULL; END $$;
           GRANT storecredit_app TO moving_service"""
    )
    storecredit = command_on(database_url.replace("postgres@", "moving_service@"))

    done = await storecredit("import", "--from", old.url)

    assert done.status == 1
    assert "it takes the login that migrates" in done.errors
    await admin.execute("DROP ROLE moving_service")
