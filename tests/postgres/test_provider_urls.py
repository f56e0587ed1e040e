"""Database URLs as providers print them, on a real PostgreSQL: for the service and for migrations.

Each spelling migrates an empty database and is then worked on.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.database_url import DatabaseUrl
from storecredit.postgres.errors import DatabaseMisconfigured
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from tests.free_ports import free_port
from tests.postgres.proxies import deaf_pooler, tls_proxy


@pytest.fixture
async def login(empty_url: str) -> AsyncIterator[str]:
    """A superuser with an odd name and password, percent-encoded."""
    connection = await asyncpg.connect(empty_url)
    name = f"me@corp {uuid4().hex}"
    await connection.execute(f"CREATE ROLE \"{name}\" SUPERUSER LOGIN PASSWORD 'open/sesame:@%'")
    yield f"{name.replace('@', '%40').replace(' ', '%20')}:open%2Fsesame%3A%40%25"
    await connection.execute(f'REASSIGN OWNED BY "{name}" TO CURRENT_USER')
    await connection.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
    await connection.close()


async def assert_served(url: str) -> None:
    """Migrated and worked on, with the settings that the URL names."""
    assert (await migrate(url)).applied
    database = await Database.open(url)
    try:
        assert await database.fetchval("SELECT current_user") == "storecredit_app"
        assert await database.fetchval("SHOW application_name") == "shop"
        assert await database.fetchval("SHOW lock_timeout") == "7s"
        assert await database.fetchval("SHOW statement_timeout") == "9s"
    finally:
        await database.close()


SESSION = "application_name=shop&options=-c%20lock_timeout%3D7s&statement_timeout=9s"
MARKS = (
    "supa=base-pooler.x&connect_timeout=10&target_session_attrs=read-write&channel_binding=prefer"
)


def on_loopback(login: str, hosts: str, empty_url: str, parameters: str) -> str:
    database = DatabaseUrl.read(empty_url).servers[0]["database"]
    return f"postgres://{login}@{hosts}/{database}?{SESSION}&{MARKS}&{parameters}"


@pytest.mark.parametrize("parameters", ["sslmode=require", "ssl=true", "sslmode=prefer"])
async def test_a_server_with_tls_is_taken(
    empty_url: str, login: str, tmp_path: Path, parameters: str
) -> None:
    async with tls_proxy(empty_url, tmp_path) as port:
        await assert_served(on_loopback(login, f"localhost:{port}", empty_url, parameters))


@pytest.mark.parametrize("certificates", ["file", "system"])
async def test_a_server_is_made_sure_of_by_both_drivers(
    empty_url: str,
    login: str,
    tmp_path: Path,
    certificates: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tls_proxy(empty_url, tmp_path) as port:
        file = tmp_path / "ca.pem"
        if certificates == "system":
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
        root = "system" if certificates == "system" else str(file)
        sure = f"sslmode=verify-full&sslrootcert={root}"
        url = on_loopback(login, f"localhost:{port}", empty_url, sure)
        await assert_served(url)
        # The certificate does not name the address.
        elsewhere = url.replace("@localhost:", "@127.0.0.1:")
        for use in (migrate, Database.open):
            with pytest.raises(DatabaseMisconfigured, match=r"(?i)certificate.*sslrootcert"):
                await use(elsewhere)


async def test_a_server_that_is_not_the_first_of_several_is_found(
    empty_url: str, login: str, tmp_path: Path
) -> None:
    away = free_port()
    async with tls_proxy(empty_url, tmp_path) as port:
        hosts = f"localhost:{away},localhost:{port}"
        await assert_served(on_loopback(login, hosts, empty_url, "sslmode=require"))


async def test_the_same_server_without_tls_is_taken(empty_url: str) -> None:
    """By its socket, or as the server of the tests is named."""
    query = "&" if "?" in empty_url else "?"
    await assert_served(f"{empty_url}{query}{SESSION}&{MARKS}&sslmode=disable")


@pytest.mark.parametrize(
    "parameter", ["sslmod=require", "max_connections=5", "statement_timeout=soon", "options=x"]
)
async def test_what_the_server_does_not_take_is_named(server_url: str, parameter: str) -> None:
    query = "&" if "?" in server_url else "?"
    name = parameter.partition("=")[0]
    for use in (migrate, Database.open):
        with pytest.raises(DatabaseMisconfigured) as raised:
            await use(f"{server_url}{query}{parameter}")
        if name != "options":
            assert str(raised.value).startswith(f"Drop {name} from the database URL")
        assert "\n" not in str(raised.value)


async def test_a_pooler_that_keeps_the_role_back_is_noticed_at_the_start(
    database_url: str,
) -> None:
    """Else the service would work as the login, here the owner of the tables."""
    async with deaf_pooler(database_url) as port:
        (place,) = DatabaseUrl.read(database_url).servers
        url = f"postgresql://{place['user']}@localhost:{port}/{place['database']}?sslmode=disable"
        with pytest.raises(DatabaseMisconfigured, match=r"role is .*, not storecredit_app"):
            await Database.open(url)
