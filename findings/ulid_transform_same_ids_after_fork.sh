#!/usr/bin/env bash
# ulid-transform 2.2.9: processes forked from one another make the same ids.
#
# A ULID is a moment of 48 bits and 80 random ones. ulid-transform draws these from a generator of its own, seeded
# once in each thread, and a fork inherits it: whatever forks once an id has been made (the workers of gunicorn with
# an application loaded before, of Celery, of multiprocessing where it forks) gives every child the same sequence of
# random bits. Two children that make their next id within one millisecond make the same one, and at 500 ids in a
# row all 500 may be alike. As request ids or idempotency keys they are the worst that can be: two orders of two
# customers bear one key, the second is answered as a repetition of the first, and nobody is told.
# The package says that it is not cryptographically secure, and nothing of processes. Python's own random and uuid,
# uuid-utils 1.2.0, fastuuid 0.14.0 and python-ulid 4.1.0 give each child its own.
#
# Seen: for one and the same moment four children make the same 100 ids; python-ulid makes 400 different ones.
# Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for package in ulid-transform==2.2.9 python-ulid==4.1.0; do
    python3 -m venv "$folder/${package%%=*}"
    "$folder/${package%%=*}/bin/pip" install --quiet --disable-pip-version-check "$package"
done

cat >"$folder/workers.py" <<'PYTHON'
import multiprocessing
import sys

MOMENT = 1_800_000_000.0  # In seconds; so that it does not depend on how fast the children are.
CHILDREN, IDS = 4, 100

if sys.argv[1] == "ulid-transform":
    from ulid_transform import ulid_at_time as make
else:
    from ulid import ULID

    def make(moment: float) -> str:
        return str(ULID.from_timestamp(moment))


def work(queue: "multiprocessing.Queue[list[str]]") -> None:
    queue.put([make(MOMENT) for _ in range(IDS)])


make(MOMENT - 1)  # The process has made one before it forks.
fork = multiprocessing.get_context("fork")
queue = fork.Queue()
children = [fork.Process(target=work, args=(queue,)) for _ in range(CHILDREN)]
for child in children:
    child.start()
made = [queue.get() for _ in children]
for child in children:
    child.join()
alike = made.count(made[0]) == CHILDREN
different = len({each for ids in made for each in ids})
print(f"{sys.argv[1]}: {CHILDREN} children made {CHILDREN * IDS} ids, {different} different ones; all alike: {alike}")
if sys.argv[1] == "ulid-transform":
    assert alike and different == IDS, "each child has a sequence of its own"
else:
    assert different == CHILDREN * IDS, "it gives children the same ids, too"
PYTHON
for package in ulid-transform python-ulid; do
    "$folder/$package/bin/python" "$folder/workers.py" "$package"
done
