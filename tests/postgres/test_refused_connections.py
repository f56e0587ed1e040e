"""A database that cannot be used is told in one sentence: what is wrong, and what to do."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.errors import DatabaseMisconfigured, DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import APP_ROLE

Open = Callable[[str], Awaitable[object]]
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
BOTH = pytest.mark.parametrize("use", [Database.open, migrate])


async def sentence(error: type[Exception], use: Open, url: str) -> str:
    with pytest.raises(error) as raised:
        await use(url)
    said = str(raised.value)
    assert said
    assert "\n" not in said
    return said


def message(kind: bytes, body: bytes) -> bytes:
    """One message of PostgreSQL's protocol (its documentation, chapter 55.7)."""
    return kind + struct.pack("!i", len(body) + 4) + body


def refusal(sqlstate: str, text: str) -> bytes:
    fields = (b"SFATAL", b"VFATAL", b"C" + sqlstate.encode(), b"M" + text.encode())
    return message(b"E", b"\0".join(fields) + b"\0\0")


def welcome(version: str) -> bytes:
    ready = message(b"R", struct.pack("!i", 0))
    for name, value in (("server_version", version), ("client_encoding", "UTF8")):
        ready += message(b"S", f"{name}\0{value}\0".encode())
    return ready + message(b"K", struct.pack("!ii", 1, 1)) + message(b"Z", b"I")


class StandIn(asyncio.Protocol):
    """A server that gives one answer to whoever connects.

    It says what no server at hand can be made to say: that the password is wrong where none is
    asked for, that it is of an old version.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data == SSL_REQUEST:
            self._transport.write(b"N")
        elif self._is_answered:
            self._transport.close()
        else:
            self._transport.write(self._answer)
            self._is_answered = True


@asynccontextmanager
async def stand_in(answer: bytes) -> AsyncIterator[str]:
    """The URL of such a server."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StandIn(answer), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    yield f"postgresql://someone:secret@127.0.0.1:{port}/books"
    server.close()


@BOTH
async def test_a_port_where_nobody_listens_is_unavailable(use: Open) -> None:
    async with stand_in(b"") as url:
        pass

    assert "not available" in await sentence(DatabaseUnavailable, use, url)


@BOTH
async def test_a_server_that_never_answers_is_unavailable(use: Open) -> None:
    async with stand_in(b"") as url:
        said = await sentence(DatabaseUnavailable, use, f"{url}?connect_timeout=1")
    assert "no answer in time" in said


@BOTH
async def test_a_server_that_starts_up_is_unavailable(use: Open) -> None:
    async with stand_in(refusal("57P03", "the database system is starting up")) as url:
        assert "starting up" in await sentence(DatabaseUnavailable, use, url)


@BOTH
async def test_a_server_without_a_free_connection_is_unavailable(use: Open) -> None:
    async with stand_in(refusal("53300", "sorry, too many clients already")) as url:
        assert "too many clients" in await sentence(DatabaseUnavailable, use, url)


@BOTH
async def test_a_pooler_that_takes_no_start_up_parameters_is_a_misconfiguration(use: Open) -> None:
    """PgBouncer's words, and the SQLSTATE under which it says that a server is away, too."""
    async with stand_in(refusal("08P01", "unsupported startup parameter: role")) as url:
        said = await sentence(DatabaseMisconfigured, use, url)
    assert "unsupported startup parameter: role" in said
    assert "direct address" in said


@BOTH
async def test_a_server_without_tls_is_a_misconfiguration_where_tls_is_a_must(use: Open) -> None:
    async with stand_in(b"") as url:
        said = await sentence(DatabaseMisconfigured, use, f"{url}?sslmode=require")
    assert "rejected SSL" in said
    assert "sslmode" in said


@BOTH
async def test_a_wrong_password_is_a_misconfiguration(use: Open) -> None:
    reason = 'password authentication failed for user "someone"'
    async with stand_in(refusal("28P01", reason)) as url:
        said = await sentence(DatabaseMisconfigured, use, url)

    assert reason in said
    assert "secret" not in said


@BOTH
async def test_a_server_that_is_too_old_is_a_misconfiguration(use: Open) -> None:
    async with stand_in(welcome("14.9")) as url:
        said = await sentence(DatabaseMisconfigured, use, url)

    assert said == "PostgreSQL 14 is too old: storecredit needs 15 or later."


async def test_a_database_that_was_never_migrated_says_to_migrate_it() -> None:
    reason = f'role "{APP_ROLE}" does not exist'
    async with stand_in(refusal("22023", reason)) as url:
        said = await sentence(DatabaseMisconfigured, Database.open, url)

    assert "run `storecredit migrate`" in said


async def test_a_login_without_the_applications_role_says_to_grant_it(
    server_url: str, template: str
) -> None:
    name = f"login_{uuid4().hex}"
    superuser = await asyncpg.connect(server_url)
    await superuser.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{name}:{name}@{host}"))

    said = await sentence(DatabaseMisconfigured, Database.open, url)

    await superuser.execute(f"DROP ROLE {name}")
    await superuser.close()
    assert f"this login may not work as {APP_ROLE}, and is to be granted it" in said


@BOTH
async def test_a_database_that_does_not_exist_is_a_misconfiguration(
    server_url: str, use: Open
) -> None:
    url = urlunsplit(urlsplit(server_url)._replace(path="/no_such_database"))

    assert "no_such_database" in await sentence(DatabaseMisconfigured, use, url)


@BOTH
async def test_a_role_that_does_not_exist_is_a_misconfiguration(server_url: str, use: Open) -> None:
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"no_such_role:x@{host}"))

    assert "no_such_role" in await sentence(DatabaseMisconfigured, use, url)


@BOTH
@pytest.mark.parametrize(
    "url",
    [
        "mysql://someone:secret@127.0.0.1/books",
        "127.0.0.1/books",
        "postgresql://127.0.0.1:port/books",
        "postgresql://127.0.0.1:99999/books",
        "postgresql://[::1/books",
        "postgresql://127.0.0.1/books?sslmode=maybe",
        "postgresql://someone:secret#word@127.0.0.1/books",
    ],
)
async def test_a_url_that_is_none_is_a_misconfiguration(use: Open, url: str) -> None:
    said = await sentence(DatabaseMisconfigured, use, url)

    assert "The database URL" in said
    assert "secret" not in said
