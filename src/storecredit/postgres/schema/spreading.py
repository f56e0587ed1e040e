"""Buckets on the nodes of a Citus cluster: what a migration does there besides.

The first bucket stays on the coordinator, with all that concerns no owner: each process asks it in
any case. Every other bucket is made there, too, and then handed to Citus, which keeps its tables
whole on one node and may move them. What Citus does not bring along has to be on each node that a
bucket may come to: roles, functions and their rights.

Ids come from sequences, of which each node has its own. They are drawn in turns: a node's ids are
the cluster's, 256 apart, so that no two nodes give the same; and those of a node that a bucket
moves to begin beyond what was given before, so that what is newer has the greater one.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from storecredit.postgres.errors import DatabaseMisconfigured, translated
from storecredit.postgres.nodes import NODES_SCHEMA, Worker, is_citus, is_spread, workers
from storecredit.postgres.schema import functions, privileges, shape
from storecredit.postgres.schema.buckets import first_of, is_of_all
from storecredit.postgres.schema.migration_locks import prepared
from storecredit.postgres.schema.schema_version import fingerprint
from storecredit.postgres.servers import (
    ACCOUNT_BITS,
    APP_ROLE,
    Connection,
    Node,
    Servers,
    connect,
    read_url,
)

TURNS: Final = 256
"""Nodes that may give ids; Citus never gives a node's number again."""
AHEAD: Final = 2**24
"""Ids that a node leaves free when it begins: more than are drawn while a bucket moves to it."""

_TWO_PHASES: Final = f"""
    CREATE SCHEMA IF NOT EXISTS {NODES_SCHEMA};
    CREATE TABLE IF NOT EXISTS {NODES_SCHEMA}.two_phases (number int PRIMARY KEY);
    GRANT USAGE ON SCHEMA {NODES_SCHEMA} TO {APP_ROLE};
    GRANT SELECT, DELETE ON {NODES_SCHEMA}.two_phases TO {APP_ROLE}"""
_IS_OF_CITUS: Final = f"""
    SELECT EXISTS (SELECT FROM pg_dist_partition
        WHERE logicalrelid = to_regclass('{NODES_SCHEMA}.two_phases'))"""  # noqa: S608 - a name
_TYPES: Final = """
    SELECT c.relname::text AS name, string_agg(
        format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum
        ) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'c' GROUP BY c.relname"""
_HAS_TYPE: Final = "SELECT to_regtype(format('%I.%I', $1::text, $2::text)) IS NOT NULL"
# Not the tables: a bucket that comes brings its own.
_FUNCTIONS: Final = r"""
    SELECT md5(string_agg(concat_ws(' ', p.proname, p.proargtypes, pg_get_userbyid(p.proowner),
        p.proacl, p.proconfig, md5(p.prosrc)), E'\n'
        ORDER BY p.proname COLLATE "C", p.proargtypes::text COLLATE "C"))
    FROM pg_proc p WHERE p.pronamespace = $1::text::regnamespace"""
_SEQUENCES: Final = """
    SELECT sequencename::text AS name, min_value, increment_by AS step,
        coalesce(last_value, 0) AS last
    FROM pg_sequences WHERE schemaname = $1"""


@dataclass(frozen=True, slots=True)
class _Sequence:
    """A row of `pg_sequences`; `last` is the last id that was drawn, 0: none was."""

    name: str
    min_value: int
    step: int
    last: int


class Cluster:
    """The nodes of a Citus cluster, by the login that migrates."""

    def __init__(self, url: str, there: list[Worker]) -> None:
        self._url = url
        self._workers = there

    @classmethod
    async def of(cls, url: str) -> "Cluster | None":
        """That of which a URL names the coordinator; None: it is a PostgreSQL without nodes."""
        connection = await connect(url, as_app=False)
        try:
            with translated():
                async with prepared(connection):
                    there = await workers(connection) if await is_citus(connection) else []
        finally:
            await connection.close()
        return cls(url, there) if there else None

    async def spread(self, schema: str) -> bool:
        """Have a bucket that was migrated on the coordinator be on one node, and at home on all.

        Whether something was to do. Raises DatabaseUnavailable, also if a node is away.
        """
        coordinator = await connect(self._url, as_app=False, schema=schema)
        try:
            with translated():
                return await self._spread(coordinator, schema)
        finally:
            await coordinator.close()

    async def _spread(self, coordinator: asyncpg.Connection, schema: str) -> bool:
        async with prepared(coordinator, schema):
            types = await coordinator.fetch(_TYPES, schema)
            is_new = not await is_spread(coordinator, schema)
        changed = is_new
        for worker in self._workers:
            changed |= await self._on(worker, schema, types)
        if is_new:
            await _hand_over(coordinator, schema)
        for worker in self._workers:
            changed |= await self._on(worker, schema, types)
        changed |= await _make_two_phases(coordinator, schema)
        if changed:
            await self._number(coordinator, schema)
            await _record(coordinator, schema)
        return changed

    async def _on(self, worker: Worker, schema: str, types: list[asyncpg.Record]) -> bool:
        """Have on a node what Citus does not bring there."""
        connection = await self._connected(worker, schema)
        try:
            async with prepared(connection, schema):
                if await _is_right(connection, schema):
                    return False
                await _make(connection, schema, types)
        finally:
            await connection.close()
        return True

    async def _connected(self, worker: Worker, schema: str) -> asyncpg.Connection:
        servers = Servers(read_url(self._url), schema).of_node(worker.node)
        servers.lead_to(None)
        return await servers.connect(as_app=False)

    async def _number(self, coordinator: asyncpg.Connection, schema: str) -> None:
        """Have each node give ids of its own, beyond those that were given."""
        there = {0: coordinator}
        try:
            for worker in self._workers:
                there[worker.number] = await self._connected(worker, schema)
            found = [await _sequences(each, schema) for each in there.values()]
            given = _given(found)
            for number, connection in there.items():
                async with prepared(connection, schema):
                    for sequence in await _sequences(connection, schema):
                        if sequence.step != TURNS:
                            await connection.execute(
                                _taking_turns(sequence.name, schema, number, given[sequence.name])
                            )
        finally:
            for number, connection in there.items():
                if number:
                    await connection.close()

    async def make_way(self, schema: str, node: str) -> None:
        """Before a bucket moves to a node: have its ids begin there beyond all that were given.

        Raises DatabaseMisconfigured where the node is not ready for it.
        """
        wanted = [each for each in self._workers if str(each.node) == node]
        if not wanted:
            names = ", ".join(str(each.node) for each in self._workers)
            raise DatabaseMisconfigured(f"There is no node {node}: the cluster has {names}.")
        target = await self._connected(wanted[0], schema)
        holders = [await self._connected(each, schema) for each in self._workers]
        try:
            async with prepared(target, schema):
                if not await _is_right(target, schema):
                    raise DatabaseMisconfigured(
                        f"The node {node} has not what a bucket needs: run `storecredit migrate`."
                    )
                given_by_name = _given([await _sequences(each, schema) for each in holders])
                for sequence in await _sequences(target, schema):
                    if not given_by_name[sequence.name]:
                        continue
                    given = given_by_name[sequence.name] + AHEAD
                    value = given - given % TURNS + sequence.min_value % TURNS
                    await target.execute(
                        "SELECT setval($1::text::regclass, $2)",
                        f"{schema}.{sequence.name}",
                        value,
                    )
        finally:
            for each in (target, *holders):
                await each.close()

    async def make_way_everywhere(self, schema: str, holder: Node) -> None:
        """Likewise on each node that it may come to."""
        for worker in self._workers:
            if worker.node != holder:
                await self.make_way(schema, str(worker.node))


async def _hand_over(coordinator: asyncpg.Connection, schema: str) -> None:
    async with prepared(coordinator, schema):
        # Of the job queue's; it tells whoever listens, and does nothing else.
        await coordinator.execute("SET LOCAL citus.enable_unsafe_triggers = on")
        await coordinator.execute("SELECT citus_schema_distribute($1::text::regnamespace)", schema)


async def _make_two_phases(coordinator: asyncpg.Connection, schema: str) -> bool:
    """Have what transactions of several nodes are committed by; whether it was not there."""
    async with prepared(coordinator, schema):
        if await coordinator.fetchval(_IS_OF_CITUS):
            return False
        await coordinator.execute(_TWO_PHASES)
        await coordinator.execute(
            "SELECT citus_add_local_table_to_metadata($1::text::regclass)",
            f"{NODES_SCHEMA}.two_phases",
        )
    return True


async def _is_right(connection: asyncpg.Connection, schema: str) -> bool:
    if await connection.fetchval("SELECT to_regnamespace($1)", schema) is None:
        return False
    said = await connection.fetchval(
        "SELECT obj_description($1::text::regnamespace, 'pg_namespace')", schema
    )
    return bool(said == await _as_it_is(connection, schema))


async def _make(connection: asyncpg.Connection, schema: str, types: list[asyncpg.Record]) -> None:
    await privileges.mend_roles(connection)
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for each in types:
        if not await connection.fetchval(_HAS_TYPE, schema, each["name"]):
            await connection.execute(f"CREATE TYPE {each['name']} AS ({each['columns']})")
    if await connection.fetchval("SELECT to_regclass('movements')") is None:
        return
    await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO storecredit_writer")
    await functions.make(connection, schema)
    await privileges.mend_rights(connection)
    said = await _as_it_is(connection, schema)
    await connection.execute(f"COMMENT ON SCHEMA {schema} IS '{said}'")


async def _as_it_is(connection: asyncpg.Connection, schema: str) -> str:
    return f"storecredit {fingerprint()} {await connection.fetchval(_FUNCTIONS, schema)}"


async def _sequences(connection: asyncpg.Connection, schema: str) -> list[_Sequence]:
    return [_Sequence(**row) for row in await connection.fetch(_SEQUENCES, schema)]


def _given(found: list[list[_Sequence]]) -> dict[str, int]:
    """The greatest id that any node has given, by the sequence's name; 0: none."""
    names = {each.name for sequences in found for each in sequences}
    return {
        name: max(each.last for sequences in found for each in sequences if each.name == name)
        for name in names
    }


def _taking_turns(name: str, schema: str, number: int, given: int) -> str:
    """Have a node's sequence give every 256th id, beyond what was given and will be meanwhile."""
    first = first_of(schema) if is_of_all(name) else 0
    last = first + (1 << ACCOUNT_BITS) - 1 if is_of_all(name) else 2**63 - 1
    lowest = first + number + 1
    turns_over = -(-max(0, given + AHEAD - lowest) // TURNS) if given else 0
    return (
        f"ALTER SEQUENCE {name} INCREMENT BY {TURNS} MINVALUE {lowest} MAXVALUE {last} "
        f"START WITH {lowest} RESTART WITH {lowest + turns_over * TURNS}"
    )


async def _record(coordinator: Connection, schema: str) -> None:
    """Say of a bucket that it is as it ought to be; Citus has changed what a migration had left."""
    there = await shape.look(coordinator, schema)
    await coordinator.execute("UPDATE schema_version SET shape = $1", there.hash)
