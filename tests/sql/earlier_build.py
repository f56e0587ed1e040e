"""Databases of builds before, whose tables were in `public`.

`earlier_build.sql.gz` is of the last one, `earlier_build_0008.sql.gz` of one with six migrations
less. Each was filled by that build's own functions with every kind of movement, session, payment,
bill, event and job, found clean by its `storecredit verify`, and written by `pg_dump --inserts`.
"""

import gzip
from pathlib import Path

import asyncpg

LAST = "earlier_build"
WITH_0008 = "earlier_build_0008"


async def load_earlier_build(url: str, build: str = LAST) -> None:
    """Fill an empty database; the roles that it names are there."""
    dump = Path(__file__).with_name(f"{build}.sql.gz")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(gzip.decompress(dump.read_bytes()).decode())
    finally:
        await connection.close()
