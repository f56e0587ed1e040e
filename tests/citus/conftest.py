"""A database on a Citus cluster for each test: copied on every node from a migrated one.

`STORECREDIT_TEST_CITUS_URL` names the coordinator, by a superuser who may log in to each node.
The first bucket is on the coordinator, the others are on its workers.
"""

import asyncio
import os
from collections.abc import Iterator
from uuid import uuid4

import asyncpg
import pytest

from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import fingerprint
from storecredit.postgres.servers import read_url
from tests.conftest import with_database
from tests.e2e.conftest import Serving, Storecredit, new_storecredit

__all__ = ("new_storecredit",)

CITUS_URL = os.environ.get("STORECREDIT_TEST_CITUS_URL")
BUCKET_COUNT = 3
OPERATOR = "operator-token-of-a-test"
_NODES = """
    SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"""
# As after a crash; and up again by itself.
_STOP_AND_START = (
    "cat >/dev/null; setsid sh -c '{bin}/pg_ctl -D {data} -m immediate -w stop; sleep {seconds};"
    " {bin}/pg_ctl -D {data} -l {data}.log -w start' >/dev/null 2>&1 </dev/null &"
)
_LEAVE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no cluster, say so; there is one reason, and no other."""
    reason = "no Citus cluster: STORECREDIT_TEST_CITUS_URL names no coordinator"
    for item in items:
        if "tests/citus/" not in item.path.as_posix():
            continue
        # Three servers do the work of one, and the first test has the template made.
        item.add_marker(pytest.mark.timeout(600))
        if CITUS_URL is None:
            item.add_marker(pytest.mark.skip(reason=reason))


class Cluster:
    """The nodes, the coordinator first, each as a superuser's URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.nodes = asyncio.run(self._found())

    async def _found(self) -> list[tuple[str, int]]:
        connection = await asyncpg.connect(self.url)
        rows = await connection.fetch(_NODES)
        await connection.close()
        return [(row["nodename"], row["nodeport"]) for row in rows]

    async def connect(self, node: tuple[str, int], database: str) -> asyncpg.Connection:
        """A superuser's connection to a database of one node."""
        server = dict(read_url(with_database(self.url, database)).servers[0])
        return await asyncpg.connect(**server | {"host": node[0], "port": node[1]})

    async def on_all(self, *statements: str, database: str = "postgres") -> None:
        """Run statements on each node, for itself."""
        for node in self.nodes:
            connection = await self.connect(node, database)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

    async def stop_for(self, seconds: int, node: tuple[str, int]) -> None:
        """Stop a node as a crash does; after so many seconds it starts again."""
        connection = await self.connect(node, "postgres")
        data = await connection.fetchval("SHOW data_directory")
        programs = await connection.fetchval("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        command = _STOP_AND_START.format(bin=programs, data=data, seconds=seconds)
        command = command.replace("'", "''")
        try:
            await connection.execute(f"COPY (SELECT 1) TO PROGRAM '{command}'")
        finally:
            connection.terminate()

    async def made(self, name: str) -> None:
        """Have a template: migrated, spread, and left by everybody."""
        await self.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        await self.joined(name)
        await migrate(with_database(self.url, name), buckets=BUCKET_COUNT)
        await self.on_all(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")

    async def joined(self, name: str) -> None:
        """Have the databases of this name be one cluster."""
        await self.on_all("CREATE EXTENSION citus", database=name)
        connection = await self.connect(self.nodes[0], name)
        await connection.fetchval("SELECT citus_set_coordinator_host($1, $2)", *self.nodes[0])
        for node in self.nodes[1:]:
            await connection.fetchval("SELECT citus_add_node($1, $2)", *node)
        await connection.close()

    async def copied(self, template: str, name: str) -> None:
        """Copy a template on each node."""
        for node in self.nodes:
            connection = await self.connect(node, "postgres")
            # Citus looks after each database it is in.
            await connection.fetch(_LEAVE, template)
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            await connection.close()


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that the tests were given."""
    assert CITUS_URL is not None, "else all is skipped"
    return Cluster(CITUS_URL)


@pytest.fixture(scope="session")
def citus_template(cluster: Cluster) -> Iterator[str]:
    """The name of a database of several buckets, on each node."""
    name = f"storecredit_citus_{fingerprint()[:12]}_{uuid4().hex[:8]}"
    asyncio.run(cluster.made(name))
    yield name
    asyncio.run(cluster.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def citus_url(cluster: Cluster, citus_template: str) -> Iterator[str]:
    """A superuser's URL of a fresh database, on the coordinator."""
    name = f"test_{uuid4().hex}"
    asyncio.run(cluster.copied(citus_template, name))
    yield with_database(cluster.url, name)
    asyncio.run(cluster.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def serving(new_storecredit: Storecredit, citus_url: str) -> Serving:
    """The API against the coordinator; without a worker, so that what is created stays."""
    return new_storecredit.serve(
        "--no-worker", STORECREDIT_ADMIN_TOKEN=OPERATOR, STORECREDIT_DATABASE_URL=citus_url
    )
