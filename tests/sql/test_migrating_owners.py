"""Who may migrate: a superuser, an owner who may make roles, an owner who was given them."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import APP_ROLE, WRITER_ROLE
from tests.conftest import with_database
from tests.sql.catalog import catalog, login
from tests.sql.ledgers import open_store, sqlstate_of

ROLES = f"{APP_ROLE}, {WRITER_ROLE}"
FORGET_WHAT_WAS_APPLIED = "UPDATE storecredit.schema_version SET fingerprint = 'another'"


@pytest.fixture
async def superuser(server_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server_url)
    yield connection
    await connection.close()


@pytest.fixture
async def owner_url(
    server_url: str, template: str, superuser: asyncpg.Connection
) -> AsyncIterator[str]:
    """An empty database that belongs to a login which is no superuser but may make roles."""
    name = f"owner_{uuid4().hex}"
    await superuser.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'")
    await superuser.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0")
    if superuser.get_server_version().major >= 16:
        # What the maker of a role holds since then. This server's roles were made by another.
        await superuser.execute(
            f"GRANT {ROLES} TO {name} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE"
        )
    yield login(server_url, name)
    await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await superuser.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def assert_migrated_by(url: str, superuser_url: str) -> None:
    """Migrated, renewed, moved, and worked on as the application."""
    assert (await migrate(url)).interface == "public"
    assert not (await migrate(url)).changed
    owner = await asyncpg.connect(url)
    made = await catalog(owner)
    await owner.execute(FORGET_WHAT_WAS_APPLIED)
    assert (await migrate(url)).changed
    assert await catalog(owner) == made
    assert (await migrate(url, interface_schema="api")).interface == "api"
    await owner.close()

    database = await Database.open(url)
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT current_user") == APP_ROLE
        store_id = await open_store(connection, 1)
        assert await connection.fetchval("SELECT api.deduct_store_credits($1, 1, 'r')", store_id)
        assert await sqlstate_of(connection.execute("DELETE FROM movements")) == "42501"
        assert await connection.fetchval("SELECT balance FROM api.store_credits") == 0
    await database.close()


async def test_an_owner_who_is_no_superuser_can_migrate_and_run(
    owner_url: str, server_url: str
) -> None:
    await assert_migrated_by(owner_url, server_url)


@pytest.mark.parametrize("inherits", [True, False])
async def test_an_owner_who_was_given_the_roles_can_migrate_and_run(
    server_url: str, owner_url: str, superuser: asyncpg.Connection, inherits: bool
) -> None:
    name = str(urlsplit(owner_url).username)
    await superuser.execute(
        f"""REVOKE {ROLES} FROM {name};
            ALTER ROLE {name} NOCREATEROLE {"" if inherits else "NO"}INHERIT;
            GRANT {ROLES} TO {name}"""
    )
    # Who inherits nothing does not have the rights of the database's owner either, before 16.
    there = await asyncpg.connect(with_database(server_url, name))
    await there.execute(f"GRANT ALL ON SCHEMA public TO {name} WITH GRANT OPTION")
    await there.close()
    await assert_migrated_by(owner_url, server_url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER DATABASE {name} OWNER TO CURRENT_USER",
        "ALTER ROLE {name} NOCREATEROLE; REVOKE {role} FROM {name}",
    ],
)
async def test_a_login_that_may_not_migrate_is_told_in_one_sentence(
    server_url: str, owner_url: str, superuser: asyncpg.Connection, change: str
) -> None:
    name = str(urlsplit(owner_url).username)
    await superuser.execute(change.format(name=name, role=ROLES))
    onlooker = await asyncpg.connect(with_database(server_url, name))
    before = await catalog(onlooker)

    with pytest.raises(DatabaseMisconfigured) as raised:
        await migrate(owner_url)

    assert "This login may not migrate the database" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert await catalog(onlooker) == before
    await onlooker.close()


async def test_an_interface_in_a_schema_of_somebody_else_is_left_out_or_refused(
    server_url: str, owner_url: str, superuser: asyncpg.Connection
) -> None:
    name = str(urlsplit(owner_url).username)
    other = await asyncpg.connect(with_database(server_url, name))
    await other.execute("ALTER SCHEMA public OWNER TO CURRENT_USER; CREATE SCHEMA theirs")
    await other.close()

    migrated = await migrate(owner_url)
    assert migrated.interface is None
    assert "the schema public may not be used by this login" in migrated.notes[0]
    with pytest.raises(DatabaseMisconfigured):
        await migrate(owner_url, interface_schema="theirs")
    assert not (await migrate(owner_url)).changed
