#!/usr/bin/env bash
# Litestar 2.25.0: `request.query_params.multi_items()` does not keep the order of the query.
#
# It goes through the names as a set, so their order follows Python's hash seed, and changes from one
# process to the next; `items()` keeps it. Processes behind one address read the same request in
# different orders: pairs that are signed, hashed, logged or forwarded differ.
#
# Seen: more than one order of the same five parameters in 20 processes. Expected: the order in which
# they were sent. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litestar==2.25.0 httpx==0.28.1

cat >"$folder/ask.py" <<'PYTHON'
from litestar import Litestar, Request, get
from litestar.testing import TestClient


@get("/", sync_to_thread=False)
def read(request: Request) -> dict[str, list[str]]:
    parameters = request.query_params
    return {
        "multi_items": [name for name, _ in parameters.multi_items()],
        "items": [name for name, _ in parameters.items()],
    }


with TestClient(Litestar([read], logging_config=None)) as client:
    for method, names in client.get("/?from=1&to=2&type=3&limit=4&cursor=5").json().items():
        print(method, *names)
PYTHON

for seed in $(seq 20); do
    PYTHONHASHSEED=$seed "$folder/venv/bin/python" "$folder/ask.py"
done | sort | uniq -c | tee "$folder/seen"

(($(grep -c ' items ' "$folder/seen") == 1)) || { echo 'items() has several orders now'; exit 1; }
(($(grep -c ' multi_items ' "$folder/seen") > 1)) || { echo 'multi_items() has one order now'; exit 1; }
