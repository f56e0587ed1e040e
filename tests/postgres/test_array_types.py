"""The driver knows PostgreSQL's own arrays, and a queue its tables, without asking the server."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.postgres.array_types import OIDS
from storecredit.postgres.job_queue import JobQueue
from storecredit.postgres.pool import Database
from tests.postgres.queued_jobs import Handled, add, working

VALUES: dict[str, list[Any]] = {
    "bytea": [b"\0", None],
    "int4": [1, None],
    "int8": [2**40],
    "text": ["a,b", ""],
    "uuid": [UUID(int=1)],
    "jsonb": ['{"a": 1}'],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What all connections made from here on ask the server."""
    texts: list[str] = []
    made = asyncpg.connect

    async def connect(*args: Any, **options: Any) -> asyncpg.Connection:
        connection: asyncpg.Connection = await made(*args, **options)
        connection.add_query_logger(lambda query: texts.append(query.query))
        return connection

    monkeypatch.setattr(asyncpg, "connect", connect)
    return texts


async def test_they_are_those_of_the_server(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(
        """SELECT e.typname, t.oid, e.oid AS element, t.typdelim FROM pg_type t
           JOIN pg_type e ON e.oid = t.typelem
           WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typname = '_' || e.typname"""
    )
    there = {row["typname"]: row for row in rows}
    for name, oids in OIDS.items():
        assert (there[name]["oid"], there[name]["element"]) == oids
        assert there[name]["typdelim"] == b","


async def test_a_new_connection_asks_for_none_of_them(asked: list[str], database_url: str) -> None:
    database = await Database.open(database_url)
    connection = await database.connect()
    asked.clear()
    for name, value in VALUES.items():
        assert await connection.fetchval(f"SELECT $1::{name}[]", value) == value
    await connection.close()
    assert asked == [f"SELECT $1::{name}[]" for name in VALUES]
    await database.close()


async def test_a_queue_that_starts_asks_for_its_jobs_and_not_for_its_tables(
    asked: list[str], database_url: str
) -> None:
    database = await Database.open(database_url)
    await add(database, "one")
    handled = Handled()
    async with working(JobQueue(database, ENTRYPOINT), handled):
        await asyncio.wait_for(handled.times(1), 60)
    assert any("pgqueuer" in text for text in asked)
    assert [text for text in asked if "information_schema" in text or "pg_indexes" in text] == []
    await database.close()
