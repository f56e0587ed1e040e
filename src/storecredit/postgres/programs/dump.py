"""A dump of our schema, which goes into any PostgreSQL, of another major version too: pg_dump.

Hides the tools. Promises that a dump goes into a database whole or not at all. It has the tables
and functions of our schema and nobody's rights: `migrate` makes those, and the interface, anew.
"""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg

from storecredit.postgres.errors import DatabaseMisconfigured, translated
from storecredit.postgres.nodes import is_citus, places
from storecredit.postgres.programs.base_backup import Copied, schema_of
from storecredit.postgres.programs.client_programs import (
    ProgramFailed,
    last_words,
    run,
    started,
    stop,
    variables_of,
)
from storecredit.postgres.schema.buckets import count
from storecredit.postgres.servers import SCHEMA, bucket_schema, connect

DUMP: Final = "storecredit.dump"
_BUCKETS: Final = f"^{SCHEMA}(_[0-9]+)?$"
_TAKEN: Final = "SELECT min(nspname::text) FROM pg_namespace WHERE nspname ~ $1"
_PIECE_BYTES: Final = 1024 * 1024
_SAID_MAX_BYTES: Final = 16 * 1024
_DEFINITIONS_MAX_BYTES: Final = 64 * 1024 * 1024
# The first of a table's rows, which follow on all definitions of tables and functions.
_ROWS: Final = re.compile(rb"^COPY .+ FROM stdin;$", re.MULTILINE)
# From its minor releases of November 2026 on PostgreSQL keeps a version of each column among the
# column's options, for itself alone. pg_dump of before takes it for an option that was set, and a
# server of before refuses it: "unrecognized parameter". Those since heed none but their own.
# https://www.postgresql.org/docs/15/catalog-pg-attribute.html, attoptions
_COLUMN_VERSION: Final = b"pg_attver="
_COLUMN_OPTIONS: Final = re.compile(
    rb"^(ALTER TABLE ONLY .+ ALTER COLUMN .+ SET \()(.+)\);\n", re.MULTILINE
)
# pg_restore 18 sets it whatever the server; it came with PostgreSQL 17.
_SET_TRANSACTION_TIMEOUT: Final = b"\nSET transaction_timeout = 0;\n"
_HAS_TRANSACTION_TIMEOUT: Final = 17


async def take(url: str, directory: Path) -> Copied:
    """Dump our schema from one snapshot into `directory`, which is made.

    Nobody waits for it but migrations. Raises `ProgramFailed`, DatabaseUnavailable,
    DatabaseMisconfigured if there is nothing of ours.
    """
    await asyncio.to_thread(directory.mkdir, 0o700)
    connection = await connect(url, as_app=False)
    try:
        with translated():
            schema = await schema_of(connection)
            if schema is None:
                raise DatabaseMisconfigured("There is nothing of storecredit in this database.")
            begun_at: datetime = await connection.fetchval("SELECT clock_timestamp()")
            await run(
                "pg_dump",
                *("--format=custom", "--compress=gzip:1", "--no-owner"),
                *(f"--schema={each}" for each in await _schemas(connection)),
                *("--no-privileges", "--no-password", "--file", directory / DUMP),
                variables=variables_of(url),
            )
            ended_at: datetime = await connection.fetchval("SELECT clock_timestamp()")
            postgres: str = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return Copied(postgres, "", schema, begun_at, ended_at, wal=None)


async def load(url: str, directory: Path) -> None:
    """Put a dump into a database that has nothing of ours; all of it, or nothing.

    To be followed by `migrate`. Raises `ProgramFailed`, DatabaseUnavailable, DatabaseMisconfigured.
    """
    connection = await connect(url, as_app=False)
    try:
        with translated():
            taken = await connection.fetchval(_TAKEN, _BUCKETS)
            if taken is not None:
                raise DatabaseMisconfigured(
                    f"The database has a schema {taken}, and nothing was changed: name an empty "
                    "database, or rename the schema."
                )
            major = connection.get_server_version().major
    finally:
        await connection.close()
    await _pass_on(url, directory / DUMP, has_timeout=major >= _HAS_TRANSACTION_TIMEOUT)


async def _schemas(connection: asyncpg.Connection) -> list[str]:
    """That of each bucket. Raises DatabaseMisconfigured where some are on other nodes."""
    if await is_citus(connection) and await places(connection):
        raise DatabaseMisconfigured(
            "The buckets are on several nodes of a Citus cluster, and a dump is of one moment of "
            "one: back up each node by its own means (docs/scaling.md). Nothing was made."
        )
    # One that only has the first migrations has no table of buckets.
    known = "SELECT to_regclass('buckets') IS NOT NULL"
    number = await count(connection) if await connection.fetchval(known) else 1
    return [bucket_schema(each) for each in range(number)]


async def _pass_on(url: str, dump: Path, *, has_timeout: bool) -> None:
    """Have pg_restore write SQL, and psql run it as one transaction."""
    reader = await started("pg_restore", "--no-owner", "--no-privileges", "--file=-", dump)
    writer = await started(
        *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
        *("--no-password", "--output=/dev/null", "--file=-"),
        variables=variables_of(url),
    )
    try:
        said = asyncio.gather(_all(reader.stderr), _all(writer.stderr))
        await _pump(reader, writer, has_timeout=has_timeout)
        if await reader.wait() == 0 and writer.stdin is not None:
            # Only now does psql commit.
            writer.stdin.close()
            await writer.wait()
        else:
            await stop(writer)
        of_reader, of_writer = await said
    finally:
        await stop(reader)
        await stop(writer)
    for name, process, words in (
        ("psql", writer, of_writer),
        ("pg_restore", reader, of_reader),
    ):
        if process.returncode != 0:
            raise ProgramFailed(f"The dump could not be restored. {name} says: {last_words(words)}")


async def _pump(
    reader: asyncio.subprocess.Process, writer: asyncio.subprocess.Process, *, has_timeout: bool
) -> None:
    source, sink = reader.stdout, writer.stdin
    if source is None or sink is None:
        raise AssertionError("both are pipes")
    head = b""
    while (
        not _ROWS.search(head)
        and len(head) < _DEFINITIONS_MAX_BYTES
        and (piece := await source.read(_PIECE_BYTES))
    ):
        head += piece
    piece = _understood(head, has_timeout=has_timeout)
    try:
        while piece:
            sink.write(piece)
            await sink.drain()
            piece = await source.read(_PIECE_BYTES)
    except (BrokenPipeError, ConnectionResetError):
        # psql has given up, and says why.
        await stop(reader)


def _understood(head: bytes, *, has_timeout: bool) -> bytes:
    """A dump's definitions without what the server may not know; what follows, as it is."""
    rows = _ROWS.search(head)
    end = rows.start() if rows else len(head)
    definitions = _COLUMN_OPTIONS.sub(_without_version, head[:end])
    if not has_timeout:
        definitions = definitions.replace(_SET_TRANSACTION_TIMEOUT, b"\n", 1)
    return definitions + head[end:]


def _without_version(statement: re.Match[bytes]) -> bytes:
    """The statement with those options that somebody set; nothing if there are none."""
    options = [each for each in statement[2].split(b", ") if not each.startswith(_COLUMN_VERSION)]
    return statement[1] + b", ".join(options) + b");\n" if options else b""


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    if stream is None:
        raise AssertionError("it is a pipe")
    said = b""
    while piece := await stream.read(_PIECE_BYTES):
        said = (said + piece)[-_SAID_MAX_BYTES:]
    return said
