"""A database that an owner who is no superuser migrates, has more buckets made, and moves them."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from storecredit import sql
from storecredit.postgres.bucket_places import move
from storecredit.postgres.buckets import opened
from storecredit.postgres.nodes import places
from storecredit.postgres.pool import Database
from storecredit.postgres.schema import migrate as migrating
from storecredit.postgres.schema import schema_version, spreading
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.spreading import TURNS
from storecredit.postgres.servers import WRITER_ROLE, bucket_schema
from tests.citus.cluster import Cluster
from tests.citus.conftest import BUCKET_COUNT
from tests.conftest import with_database

# Those of a cluster are there once for all its databases.
_LET_IN = """
    SET citus.enable_create_role_propagation = off;
    CREATE ROLE {owner} LOGIN NOSUPERUSER;
    GRANT storecredit_app, storecredit_writer TO {owner} WITH ADMIN OPTION"""
_LET_OUT = """
    SET citus.enable_create_role_propagation = off;
    DROP ROLE IF EXISTS {owner}"""
_NEWEST = "9999_tried"
_CHANGE = """
    ALTER TABLE sessions ADD COLUMN tried int;
    ALTER TABLE sessions ADD CONSTRAINT sessions_tried_check CHECK (tried > 0);
    CREATE INDEX sessions_tried ON sessions (tried) WHERE tried IS NOT NULL;
    CREATE TABLE tries (
        account_id bigint NOT NULL REFERENCES accounts, number bigint GENERATED ALWAYS AS IDENTITY,
        at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (account_id, number));
    """
_NODES_OF_TABLES = """
    SELECT count(DISTINCT p.groupid) FROM pg_dist_shard h
    JOIN pg_dist_placement p ON p.shardid = h.shardid
    JOIN pg_class c ON c.oid = h.logicalrelid
    WHERE c.relnamespace = $1::text::regnamespace AND c.relname IN ('accounts', 'tries')
    HAVING count(DISTINCT c.relname) = 2"""
_STEP = "SELECT seqincrement FROM pg_sequence WHERE seqrelid = $1::text::regclass"
_COMPILED = """
    SELECT p.oid::regprocedure::text AS name, plpgsql_validator(p.oid)::text
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = $1::text::regnamespace AND l.lanname = 'plpgsql'
      AND p.prorettype <> 'trigger'::regtype"""


@pytest.fixture
def owner_url(cluster: Cluster, citus_template: str) -> Iterator[str]:
    """A new database, by its owner's URL; the roles are there since the template was made."""
    assert citus_template
    name = f"test_{uuid4().hex}"
    owner = f"owner_{name}"
    asyncio.run(
        cluster.on_all(_LET_IN.format(owner=owner), f"CREATE DATABASE {name} OWNER {owner}")
    )
    asyncio.run(cluster.joined(name))
    parts = urlsplit(with_database(cluster.url, name))
    yield urlunsplit(parts._replace(netloc=f"{owner}@{parts.hostname}:{parts.port}"))
    asyncio.run(cluster.on_all(f"DROP DATABASE {name} WITH (FORCE)", _LET_OUT.format(owner=owner)))


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version with one migration more."""
    text, files, before = sql.text, sql.files, schema_version.fingerprint()
    name = f"{_NEWEST}.sql"

    def with_newest(folder: str = "") -> Iterator[tuple[str, str]]:
        yield from files(folder)
        if folder == "migrations":
            yield name, _CHANGE

    monkeypatch.setattr(sql, "files", with_newest)
    monkeypatch.setattr(
        sql, "text", lambda path: _CHANGE if path == f"migrations/{name}" else text(path)
    )
    for module in (migrating, spreading, schema_version):
        monkeypatch.setattr(module, "fingerprint", lambda: before[::-1])


async def test_an_owner_migrates_makes_more_buckets_and_moves_them(
    cluster: Cluster, owner_url: str
) -> None:
    assert (await migrate(owner_url, buckets=2)).buckets == 2
    assert (await migrate(owner_url, buckets=4)).buckets == 4
    assert not (await migrate(owner_url)).changed
    connection = await asyncpg.connect(owner_url)
    there = await places(connection)
    assert set(there) == {bucket_schema(number) for number in (1, 2, 3)}
    target = next(
        f"{host}:{port}" for host, port in cluster.nodes[1:] if port != there["storecredit_1"].port
    )
    assert await move(owner_url, 1, target) == str(there["storecredit_1"])
    assert str((await places(connection))["storecredit_1"]) == target
    await connection.close()


@pytest.mark.usefixtures("newer")
async def test_a_migration_makes_and_changes_tables_and_renews_functions_on_all_nodes(
    cluster: Cluster, citus_url: str
) -> None:
    migrated = await migrate(citus_url)
    assert (migrated.changed, migrated.applied) == (True, (_NEWEST,))
    assert not (await migrate(citus_url)).changed
    name = citus_url.rpartition("/")[2]
    for node in cluster.nodes:
        connection = await cluster.connect(node, name)
        for schema in map(bucket_schema, range(1, BUCKET_COUNT)):
            # Each is compiled, which was put off when it was made.
            await connection.execute(f"SET search_path = {schema}")
            assert await connection.fetch(_COMPILED, schema)
            assert await connection.fetch(f"SELECT tried FROM {schema}.sessions") == []
            assert await connection.fetch(f"SELECT number FROM {schema}.tries") == []
        await connection.close()
    await _new_table_is_where_its_bucket_is(cluster, citus_url)


async def _new_table_is_where_its_bucket_is(cluster: Cluster, citus_url: str) -> None:
    home = await Database.open(citus_url)
    coordinator = await asyncpg.connect(citus_url)
    async with opened(home) as buckets:
        for bucket in buckets.all[1:]:
            nodes = await coordinator.fetchval(_NODES_OF_TABLES, bucket.schema)
            assert nodes == 1
            assert await bucket.fetch("SELECT number FROM tries") == []
            assert bucket.way is not None
            node = await cluster.connect(
                (bucket.way.host, bucket.way.port), citus_url.rpartition("/")[2]
            )
            await node.execute(f"SET search_path = {bucket.schema}; SET ROLE {WRITER_ROLE}")
            # It may write there, and what the table refers to is where it is.
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await node.execute("INSERT INTO tries (account_id) VALUES (1)")
            await node.close()
            # Each server's own ids: none of another one is among them.
            steps = await bucket.fetchval(_STEP, f"{bucket.schema}.tries_number_seq")
            assert steps == TURNS
    await coordinator.close()
    await home.close()
