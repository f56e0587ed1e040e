"""The process behind `serving.Server`: PostgreSQL with a migrated database, until its input ends.

It imports the service so that whoever asks for it need not: a mutant of Python is there before
anything of the service is imported.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import asyncpg

from storecredit import sql
from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgres
from storecredit.postgres.schema.migrate import migrate
from storecredit.postgres.schema.schema_version import fingerprint
from storecredit.postgres.servers import SCHEMA, search_path
from tests.conftest import with_database
from tests.mutants.serving import PRISTINE, SAID, Served

SETTINGS: Final = ("fsync = off", "autovacuum = off", "track_functions = 'all'")


async def serve(directory: Path) -> None:
    """Make the server there, say where it is, and stop it when the input ends."""
    postgres = EmbeddedPostgres(directory)
    await postgres.start()
    try:
        await _make_database(postgres.admin_url)
        # As tests/conftest.py calls what it copies: it takes one that is there for its own.
        template = f"storecredit_template_{fingerprint()[:12]}_1"
        told = (postgres.admin_url, template, search_path(SCHEMA), sql.text("shape.sql"))
        said = json.dumps(dict(zip(Served.__slots__, told, strict=True)))
        print(SAID + said, flush=True)  # noqa: T201 - whoever asked reads it
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await postgres.stop()


async def _make_database(url: str) -> None:
    admin = await asyncpg.connect(url)
    try:
        for setting in SETTINGS:
            await admin.execute(f"ALTER SYSTEM SET {setting}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.execute(f"CREATE DATABASE {PRISTINE} TEMPLATE template0")
    finally:
        await admin.close()
    await migrate(with_database(url, PRISTINE))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
