"""The servers that a database URL names, and the sessions that are opened on them.

Every connection is made here: to the server that takes writes now, as the role `storecredit_app` in
our schema, with our settings, and seen to have them.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import asyncpg
import asyncpg.pool

from storecredit.postgres import array_types, poolers
from storecredit.postgres.database_url import UNREADABLE, DatabaseUrl, WrongDatabaseUrl
from storecredit.postgres.errors import (
    NOT_AVAILABLE,
    CommitInDoubt,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    translated,
)

APP_ROLE: Final = "storecredit_app"
WRITER_ROLE: Final = "storecredit_writer"
"""Owns the functions, and may do what they do; nobody logs in as it."""
READER_ROLE: Final = "storecredit_reader"
"""Reads, and changes nothing; there where the operator has made it."""
SCHEMA: Final = "storecredit"
"""Of a database that has one bucket; the first of several."""
ACCOUNT_BITS: Final = 40
"""Accounts of bucket n have ids from n * 2^40 + 1 on."""
_BUCKET: Final = re.compile(rf"{SCHEMA}(_[0-9]+)?")
# A plan lives as long as its connection, or until ANALYZE: one made while a table held a page would
# read all of it when it has grown. The service looks rows up: an index serves all its statements.
_APP_SETTINGS: Final = {
    "role": APP_ROLE,
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Before 18 a plan that has to read a whole table all the same is counted as 10^10 dear, and
    # would be compiled for it: a second for reading a table of one row.
    "jit": "off",
    # A snapshot of before the wait for an account's lock would not show what was moved meanwhile.
    "default_transaction_isolation": "read committed",
    # `DoubtfulCommits` has to hear a warning.
    "client_min_messages": "warning",
}
_READER_SETTINGS: Final = _APP_SETTINGS | {
    "role": READER_ROLE,
    "default_transaction_read_only": "on",
}
_TAKES_WRITES: Final = ("pg_is_in_recovery()", "current_setting('default_transaction_read_only')")
COMMAND_TIMEOUT_SECONDS: Final = 10.0
STATEMENTS_KEPT: Final = 100
"""Prepared statements of a connection, at most."""
OLDEST_SUPPORTED: Final = 15
MIGRATE_FIRST: Final = "run `storecredit migrate`, or `storecredit serve --migrate`"
"""What the operator is to do."""

DETOUR_SECONDS: Final = 5.0
"""How long a bucket is asked through the coordinator when its node did not let us in."""
# Else Citus hides each table's shards from each look into the catalogue, row by row: the driver's
# first question about types takes seconds.
_CITUS_SETTINGS: Final = {
    "citus.override_table_visibility": "off",
    # Else a statement may call no function of ours that asks another one.
    "citus.allow_nested_distributed_execution": "on",
}

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Record = asyncpg.Record


def bucket_schema(number: int) -> str:
    """The schema of a bucket; that of a database which has one is number 0."""
    return f"{SCHEMA}_{number}" if number else SCHEMA


def is_bucket(schema: str) -> bool:
    """Whether a schema of this name is, or could be, a bucket's."""
    return _BUCKET.fullmatch(schema) is not None


def search_path(schema: str = SCHEMA) -> str:
    """Where a session finds what is ours: no statement names a schema.

    What a session makes for itself comes last.
    """
    return f"{schema}, pg_temp"


@dataclass(frozen=True, slots=True)
class Node:
    """One PostgreSQL of a Citus cluster."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class DoubtfulCommits:
    """Hears on a connection whether PostgreSQL ended a wait for its synchronous standby early.

    When somebody cancels a session that waits (pg_cancel_backend, or a client's request), the
    server answers success, with a warning: the transaction is committed here, and might not be
    on the standby. Its words are translated; the name of the function that says so, in PostgreSQL's
    src/backend/replication/syncrep.c, is not.
    """

    def __init__(self) -> None:
        self._heard = False

    def __call__(self, _connection: object, message: object) -> None:
        """Take a message of the server's; asyncpg hands it on before the statement's own answer."""
        if getattr(message, "server_source_function", None) == "SyncRepWaitForLSN":
            self._heard = True

    def refuse(self) -> None:
        """Raise CommitInDoubt if there was one since the last time."""
        if self._heard:
            self._heard = False
            raise CommitInDoubt("PostgreSQL stopped waiting for its synchronous standby")


class Servers:
    """The servers that one URL names: connections are made to the one that takes writes now.

    They are asked in their order, each within its own time limit, and first of all the one that it
    was last. One that is away, silent, starting up or a standby is passed over; one that refuses
    the login is not, as it would be of no use to ask another.

    In a Citus cluster they are the coordinator, which can be asked anything; a bucket that is on
    another node is asked there, as long as that lets us in.
    """

    def __init__(
        self, url: DatabaseUrl, schema: str = SCHEMA, *, may_only_read: bool = False
    ) -> None:
        """`may_only_read`: a login that may work as READER_ROLE alone will do."""
        self._url = url
        self.schema = schema
        self._may_only_read = may_only_read
        self.only_reads = False
        """Whether this login works as READER_ROLE; known once there is a connection."""
        self._primary = 0
        self._node: Node | None = None
        self._detour_until = 0.0
        self._is_citus = False

    def of_bucket(self, number: int) -> "Servers":
        """The same servers, for sessions that work in another bucket."""
        return self._alike(self._url, bucket_schema(number))

    def of_node(self, node: Node) -> "Servers":
        """One node of the cluster that these are the coordinator of, with the same login."""
        server = {**self._url.servers[0], "host": node.host, "port": node.port}
        return self._alike(replace(self._url, servers=(server,), hosts=(node.host,)), self.schema)

    def _alike(self, url: DatabaseUrl, schema: str) -> "Servers":
        alike = Servers(url, schema, may_only_read=self._may_only_read)
        alike.only_reads = self.only_reads
        return alike

    def lead_to(self, node: Node | None) -> None:
        """Have new sessions be on this node of a Citus cluster; None: on the coordinator."""
        self._is_citus = True
        if node != self._node:
            self._node, self._detour_until = node, 0.0

    @property
    def is_citus(self) -> bool:
        """Whether buckets may be on several nodes."""
        return self._is_citus

    @property
    def way(self) -> Node | None:
        """Where a session leads that is opened now; one that was opened on another is outdated."""
        if self._node is None or time.monotonic() < self._detour_until:
            return None
        return self._node

    def of_coordinator(self) -> "Servers":
        """The same servers and schema, for sessions on the coordinator whatever node it is on."""
        coordinator = self._alike(self._url, self.schema)
        coordinator.lead_to(None)
        return coordinator

    @property
    def place(self) -> Hashable:
        """Where sessions are opened: whoever listens there hears what is announced there."""
        return self.way or tuple(
            (server.get("host"), server.get("port"), server.get("database"))
            for server in self._url.servers
        )

    @property
    def connect_seconds(self) -> int:
        """How long a connection may take to be made: all servers may have to be asked."""
        return self._url.connect_seconds * len(self._url.servers)

    async def connect(
        self,
        *,
        as_app: bool = True,
        settings: Mapping[str, str] | None = None,
        command_seconds: float | None = None,
    ) -> asyncpg.Connection:
        """Open one connection; as the application's role unless `as_app` is false.

        `settings` are the session's, besides ours; the application's statements are given up after
        `command_seconds`, COMMAND_TIMEOUT_SECONDS where it is None. Raises DatabaseUnavailable, or
        DatabaseMisconfigured when the login is refused.
        """
        seconds = COMMAND_TIMEOUT_SECONDS if command_seconds is None else command_seconds
        if as_app and (node := self.way) is not None:
            try:
                straight = self.of_node(node)
                straight.lead_to(None)
                return await straight.connect(settings=settings, command_seconds=seconds)
            except DatabaseUnavailable:
                self._detour_until = time.monotonic() + DETOUR_SECONDS
        count = len(self._url.servers)
        refusals: list[str] = []
        for number in range(self._primary, self._primary + count):
            place = number % count
            try:
                connection = await self._connect_to(
                    place,
                    as_app=as_app,
                    settings=settings or {},
                    command_seconds=seconds if as_app else None,
                )
            except DatabaseUnavailable as error:
                if count == 1:
                    _refuse_wrong_tls(error)
                    raise
                host = self._url.servers[place].get("host")
                refusals.append(f"{host}: {str(error).removeprefix(NOT_AVAILABLE)}")
            else:
                self._primary = place
                return connection
        raise DatabaseUnavailable(f"{NOT_AVAILABLE}{'; '.join(refusals)}")

    async def _connect_to(
        self,
        place: int,
        *,
        as_app: bool,
        settings: Mapping[str, str],
        command_seconds: float | None,
    ) -> asyncpg.Connection:
        """As the application's role; as the one that reads where that is all this login may be."""
        opening = partial(
            self._open, place, as_app=as_app, settings=settings, command_seconds=command_seconds
        )
        try:
            return await opening()
        except DatabaseMisconfigured as error:
            refused = isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError)
            if self.only_reads or not (refused and as_app and self._may_only_read):
                raise
            self.only_reads = True
            try:
                return await opening()
            except DatabaseMisconfigured:
                self.only_reads = False
                raise error from error.__cause__

    async def _open(
        self,
        place: int,
        *,
        as_app: bool,
        settings: Mapping[str, str],
        command_seconds: float | None,
    ) -> asyncpg.Connection:
        url = self._url
        asked_for = self._asked_for(as_app=as_app)
        try:
            with translated():
                async with asyncio.timeout(url.connect_seconds):
                    connection: asyncpg.Connection = await asyncpg.connect(
                        **url.servers[place],
                        command_timeout=command_seconds,
                        # As start-up parameters they are what RESET returns to.
                        server_settings={**url.server_settings, **asked_for},
                        # What a migration prepares must not stay in a pooler's session.
                        statement_cache_size=STATEMENTS_KEPT if as_app else 0,
                    )
                    try:
                        await self._check_session(connection, asked_for if as_app else {})
                        await _set(connection, settings)
                        array_types.make_known(connection)
                    except BaseException:
                        connection.terminate()
                        raise
                    return connection
        except (
            asyncpg.PostgresError,  # password, role, pg_hba, no such database or setting
            asyncpg.ClientConfigurationError,
            ValueError,
        ) as error:
            raise DatabaseMisconfigured(_login_advice(error, url)) from error
        except poolers.UnfitSession as error:
            raise DatabaseMisconfigured(str(error)) from error

    def _asked_for(self, *, as_app: bool) -> dict[str, str]:
        settings = (_READER_SETTINGS if self.only_reads else _APP_SETTINGS) if as_app else {}
        if self._is_citus:
            settings = settings | _CITUS_SETTINGS
        return {"search_path": search_path(self.schema)} | settings

    async def _check_session(
        self, connection: asyncpg.Connection, asked_for: Mapping[str, str]
    ) -> None:
        """Raise DatabaseUnavailable of a server that takes no writes, UnfitSession of a pooler."""
        check_version(connection.get_server_version().major)
        # Servers say both of themselves at the start; a pooler says what it once heard.
        is_standby, only_reads = await poolers.refuse_unfit(
            connection, asked_for, also=_TAKES_WRITES
        )
        if is_standby == "t":
            raise DatabaseUnavailable(
                f"{NOT_AVAILABLE}this server is a standby, and takes no writes"
            )
        if only_reads == "on" and self._url.must_be_writable and not self.only_reads:
            raise DatabaseUnavailable(f"{NOT_AVAILABLE}this server takes no writes for now")


async def connect(url: str, *, as_app: bool = True, schema: str = SCHEMA) -> asyncpg.Connection:
    """Open one connection, as `Servers` does."""
    return await Servers(read_url(url), schema).connect(as_app=as_app)


def read_url(url: str) -> DatabaseUrl:
    """What a database URL says. Raises DatabaseMisconfigured."""
    try:
        return DatabaseUrl.read(url)
    except WrongDatabaseUrl as error:
        raise DatabaseMisconfigured(str(error)) from error


async def _set(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """By statements: poolers know few start-up parameters."""
    if settings:
        await connection.execute(
            "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())
        )


def _login_advice(error: Exception, url: DatabaseUrl) -> str:
    said = str(error).split("\n", maxsplit=1)[0]  # what follows is advice on the server
    if "role" in said and APP_ROLE in said:
        return (
            f"The database has not been migrated: {MIGRATE_FIRST}. Or this login may not work as "
            f"{APP_ROLE}, and is to be granted it. PostgreSQL says {said}."
        )
    if isinstance(error, asyncpg.PostgresError):
        for name in url.server_settings:
            if f'"{name}"' in said:
                return f"Drop {name} from the database URL, or mend it: PostgreSQL says {said}."
        return f"PostgreSQL refuses the connection: {said}. Check the database URL."
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"The database URL cannot be used: {said}."
    return UNREADABLE  # the error itself may quote a part of the password


def _refuse_wrong_tls(error: DatabaseUnavailable) -> None:
    """Raise DatabaseMisconfigured where no wait helps, although nobody was let in."""
    said = str(error).removeprefix(NOT_AVAILABLE)
    # The driver's words (asyncpg, connect_utils.py) for a server that has no TLS.
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "rejected SSL" in said:
        raise DatabaseMisconfigured(
            f"PostgreSQL cannot be reached as the database URL wants it ({said}): mend sslmode, "
            "sslrootcert or the host's name."
        ) from error


def check_version(major: int) -> None:
    """Raise DatabaseMisconfigured when the server is older than what is supported."""
    if major < OLDEST_SUPPORTED:
        raise DatabaseMisconfigured(
            f"PostgreSQL {major} is too old: storecredit needs {OLDEST_SUPPORTED} or later."
        )
