"""A database of the build before, whose tables were in `public`: `earlier_build.sql.gz`.

It was filled by that build's own functions with every kind of movement, session, payment, bill,
event and job, found clean by its `storecredit verify`, and written by `pg_dump --inserts`.
"""

import gzip
from pathlib import Path

import asyncpg

_DUMP = Path(__file__).with_suffix(".sql.gz")


async def load_earlier_build(url: str) -> None:
    """Fill an empty database; the roles that it names are there."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(gzip.decompress(_DUMP.read_bytes()).decode())
    finally:
        await connection.close()
