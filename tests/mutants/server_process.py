"""The process behind `serving.Server`: PostgreSQL with a migrated database, until its input ends.

It imports the service so that whoever asks for it need not: a mutant of Python is there before
anything of the service is imported.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import fingerprint
from storecredit.postgres.servers import bucket_schema, search_path
from tests.conftest import SEVERAL_BUCKETS, with_database
from tests.mutants.serving import PRISTINE, SAID, SEVERAL, Served

SETTINGS: Final = ("fsync = off", "autovacuum = off", "track_functions = 'all'")


async def serve(directory: Path) -> None:
    """Make the server there, say where it is, and stop it when the input ends."""
    postgres = EmbeddedPostgres(directory)
    await postgres.start()
    try:
        await _make_databases(postgres.admin_url)
        # As tests/conftest.py calls what it copies: it takes one that is there for its own.
        name = f"storecredit_template_{fingerprint()[:12]}"
        told = Served(
            postgres.admin_url,
            {f"{name}_1": PRISTINE, f"{name}_{SEVERAL_BUCKETS}": SEVERAL},
            {each: search_path(each) for each in map(bucket_schema, range(SEVERAL_BUCKETS))},
            sql.text("shape.sql"),
        )
        print(SAID + json.dumps(asdict(told)), flush=True)  # noqa: T201 - whoever asked reads it
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await postgres.stop()


async def _make_databases(url: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        for setting in SETTINGS:
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        for name, buckets in ((PRISTINE, None), (SEVERAL, SEVERAL_BUCKETS)):
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            await migrate(with_database(url, name), buckets=buckets)
    finally:
        await admin.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
