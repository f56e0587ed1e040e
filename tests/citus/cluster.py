"""The servers of a Citus cluster, and databases of this name and that on all of them."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg

from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.servers import read_url

_HAS_NODES = "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL"
_NODES = """
    SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"""
# As after a crash; and up again by itself.
_STOP_AND_START = (
    "cat >/dev/null; setsid sh -c '{bin}/pg_ctl -D {data} -m immediate -w stop; sleep {seconds};"
    " {bin}/pg_ctl -D {data} -l {data}.log -w start' >/dev/null 2>&1 </dev/null &"
)
# Citus looks after each database it is in.
_LEAVE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


class Cluster:
    """The nodes, the coordinator first; `url` is a superuser's of that one."""

    def __init__(self, url: str, nodes: list[tuple[str, int]]) -> None:
        self.url = url
        self.nodes = nodes

    @classmethod
    async def of(cls, url: str) -> "Cluster | None":
        """That of which a URL names the coordinator; None: it is a PostgreSQL by itself."""
        connection = await asyncpg.connect(url)
        is_one = await connection.fetchval(_HAS_NODES)
        rows = await connection.fetch(_NODES) if is_one else []
        await connection.close()
        return cls(url, [(row["nodename"], row["nodeport"]) for row in rows]) if rows else None

    def url_of(self, database: str) -> str:
        """The coordinator's URL with another database."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    async def connect(self, node: tuple[str, int], database: str) -> asyncpg.Connection:
        """A superuser's connection to a database of one node."""
        server = dict(read_url(self.url_of(database)).servers[0])
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

    async def made(self, name: str, buckets: int) -> None:
        """Have a template: migrated, spread, and left by everybody."""
        await self.on_all(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        await self.joined(name)
        await migrate(self.url_of(name), buckets=buckets)
        await self.on_all(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")

    async def renamed(self, before: str, name: str) -> None:
        """Have a database that nobody is in be known by another name, on each node."""
        await self.on_all(_LEAVE.format(name=before), f"ALTER DATABASE {before} RENAME TO {name}")

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
            await connection.execute(_LEAVE.format(name=template))
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            await connection.close()
