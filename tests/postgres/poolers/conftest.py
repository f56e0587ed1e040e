"""Logins for PgBouncer: the owner of the tables, and one that is set up as docs/poolers.md says."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.postgres.poolers.pgbouncer import PgBouncer, owner_of, pgbouncer

ROOT = Path(__file__).parents[3]
NAME_ON_THE_PAGE = "credits_service"


def documented(kind: str) -> str:
    """A block of docs/poolers.md."""
    page = (ROOT / "docs" / "poolers.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def owner(database_url: str) -> str:
    return owner_of(database_url)


@pytest.fixture
async def login(admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A role whose sessions begin as the service wants them, whatever is passed on."""
    name = f"login_{uuid4().hex}"
    await admin.execute(documented("sql").replace(NAME_ON_THE_PAGE, name))
    yield name
    await admin.execute(f"DROP ROLE {name}")


@pytest.fixture
def keeping_parameters(database_url: str) -> Iterator[PgBouncer]:
    """As the page has it: in session mode, keeping to itself what a session asks for."""
    lines = (line.split(" = ") for line in documented("ini").splitlines())
    with pgbouncer(database_url, **dict(lines)) as made:
        yield made
