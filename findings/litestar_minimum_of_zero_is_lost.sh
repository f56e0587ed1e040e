#!/usr/bin/env bash
# Litestar 2.25.0: an optional parameter that must be at least 0 has no minimum in the OpenAPI document.
#
# Of `int | None` with `Parameter(ge=0, le=60)` the bounds are enforced: -1 is answered with 400. The document says
# `maximum: 60` and nothing of the minimum, while `ge=1` is told as `minimum: 1`, and `ge=0` of a plain `int` as 0.
# So clients made of the document send what the service refuses.
#
# Seen: the answers to -1 of both, and the document's bounds. Expected: `minimum: 0`. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check litestar==2.25.0 msgspec==0.22.0 httpx==0.28.1

cat >"$folder/bounds.py" <<'PYTHON'
from typing import Annotated

from litestar import Litestar, get
from litestar.params import Parameter
from litestar.testing import TestClient


@get("/from-zero")
async def from_zero(wait: Annotated[int | None, Parameter(ge=0, le=60)] = None) -> int | None:
    return wait


@get("/from-one")
async def from_one(wait: Annotated[int | None, Parameter(ge=1, le=60)] = None) -> int | None:
    return wait


app = Litestar([from_zero, from_one])
with TestClient(app) as client:
    refused = [client.get(path, params={"wait": -1}).status_code for path in ("/from-zero", "/from-one")]
paths = app.openapi_schema.to_schema()["paths"]
bounds = {
    path: {
        name: paths[path]["get"]["parameters"][0]["schema"].get(name) for name in ("minimum", "maximum")
    }
    for path in ("/from-zero", "/from-one")
}
print(refused, bounds)
assert refused == [400, 400]
assert bounds["/from-one"] == {"minimum": 1, "maximum": 60}
assert bounds["/from-zero"] == {"minimum": None, "maximum": 60}, "a minimum of 0 is told by now"
PYTHON

"$folder/venv/bin/python" "$folder/bounds.py"
echo "litestar 2.25.0: a minimum of 0 is enforced, and missing in the document"
