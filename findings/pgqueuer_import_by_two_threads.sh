#!/usr/bin/env bash
# PgQueuer 1.6.0: two threads that import different parts of it for the first time, at once, both fail.
#
# Python's imports are safe to make in any thread, and a program that loads a heavy library late does so:
# one thread wants the queue's manager, another its queries. PgQueuer's modules import each other in
# circles (core.qm, queries, db, adapters), and each thread holds the lock of a module that the other
# waits for: Python breaks the tie with an ImportError about a "partially initialized module", or a
# deadlock error of its import machinery. In one thread, in any order, the same imports work.
#
# Seen: of ten runs with a short switch interval at least one fails. Expected: none. Fails if that
# changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pgqueuer==1.6.0 asyncpg==0.32.0

cat >"$folder/load.py" <<'PYTHON'
import importlib
import sys
import threading

NAMES = ("pgqueuer.core.qm", "pgqueuer.queries")
wrong: list[str] = []


def load(name: str) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:  # whatever it is: it is not expected
        wrong.append(f"{name}: {type(error).__name__}")


if sys.argv[1] == "one after the other":
    for name in NAMES:
        load(name)
else:
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=load, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("; ".join(wrong) or "loaded")
sys.exit(bool(wrong))
PYTHON
"$folder/venv/bin/python" "$folder/load.py" "one after the other"
failed=0
for _ in $(seq 10); do
    "$folder/venv/bin/python" "$folder/load.py" "at once" || failed=$((failed + 1))
done
echo "at once: $failed of 10 runs failed"
((failed > 0))
