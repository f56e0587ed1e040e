"""F12: from `storecredit serve` to the first `201`, on a new and on an existing data directory.

The whole service as it comes: API, worker, embedded PostgreSQL.
"""

import re
import time
from pathlib import Path

import httpx

from benchmarks.bench import Bench
from benchmarks.load import CREATE_PATH
from benchmarks.processes import START_MAX_SECONDS, STORECREDIT, free_port, started, tail
from benchmarks.results import Goal, NotMeasured, Result
from storecredit.stores.api_keys import is_well_formed

POLL_SECONDS = 0.005
# An image that is in the request: the worker has nothing to fetch.
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mN8EevAgA0w"
    "MeAAg1MCADSdAZV4luLGAAAAAElFTkSuQmCC"
)


def measure(bench: Bench) -> list[Result]:
    """F12, in seconds; each round a new directory, and then the same one again."""
    new, existing = [], []
    for number in range(bench.plan.rounds):
        bench.say(f"start {number + 1} of {bench.plan.rounds}")
        directory = bench.fresh_directory()
        seconds, key = _first_created(directory, "--demo")
        new.append(seconds)
        seconds, _ = _first_created(directory, key=key)
        existing.append(seconds)
    return [
        _result("on a new data directory", new, Goal(at_most=1.5)),
        _result("on an existing data directory", existing, Goal(at_most=0.8)),
    ]


def _result(where: str, seconds: list[float], goal: Goal) -> Result:
    what = f"from `storecredit serve` to the first 201, {where}"
    return Result("F12", what, unit="s", goal=goal, rounds=tuple(seconds))


def _first_created(directory: Path, *options: str, key: str = "") -> tuple[float, str]:
    """Seconds to the first `201`, and the API key it was for: the printed one, unless given."""
    port = free_port()
    log_path = directory / f"serve-{port}.log"
    command = [STORECREDIT, "serve", "--port", str(port), "--data-dir", str(directory / "data")]
    url = f"http://127.0.0.1:{port}{CREATE_PATH}"
    with httpx.Client() as client:
        began = time.monotonic()
        with started([*command, *options], log_path) as process:
            while process.poll() is None and time.monotonic() < began + START_MAX_SECONDS:
                key = key or _printed_key(log_path)
                if key and _created(client, url, key):
                    return time.monotonic() - began, key
                time.sleep(POLL_SECONDS)
    raise NotMeasured(f"the service does not start; its log ends: {tail(log_path)}")


def _printed_key(log_path: Path) -> str:
    found = re.search(r"sc_live_[0-9A-Za-z]{36}", log_path.read_text())
    return found[0] if found and is_well_formed(found[0]) else ""


def _created(client: httpx.Client, url: str, key: str) -> bool:
    try:
        body = {"image_urls": [IMAGE]}
        answer = client.post(url, headers={"Authorization": f"Bearer {key}"}, json=body)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.CREATED
