"""What a statement costs: the rows it reads."""

from storecredit.postgres.pool import Connection


async def rows_read(connection: Connection, query: str, *args: object) -> int:
    """How many table rows a statement reads, those read inside of functions included."""
    counter = (
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables"
    )
    before = await connection.fetchval(counter)
    await connection.fetch(query, *args)
    return int(await connection.fetchval(counter)) - int(before)
