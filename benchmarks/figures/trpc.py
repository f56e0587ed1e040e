"""F19: an end user's `generation.create` over tRPC, against a store's create over HTTP.

The same service, the same image, 64 connections; one store with one key, one user with one token,
both with many credits.
"""

import time
from dataclasses import replace
from uuid import UUID

import jwt

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.database_under_test import keys_file
from benchmarks.load import Load
from benchmarks.results import Goal, NotMeasured, Result, per_second, ratios
from benchmarks.service_under_test import ServiceUnderTest

PATH = "/api/trpc/generation.create"
BODY = '{"json": {"modelImageUrl": "https://images.example/hat-on-a-chair.png"}}'
USER = UUID("01900000-0000-7000-8002-000000000001")
SECRET = "the secret of the benchmarks' own sign-in service"  # noqa: S105 - it opens nothing else
TOKEN_SECONDS = 3600
SETTINGS = {
    "STORECREDIT_JWT_SECRET": SECRET,
    "STORECREDIT_STARTER_CREDITS": "1000000",
}
_COUNTS = """
    SELECT (SELECT count(*) FROM movements WHERE type = 'deduction'),
        (SELECT count(*) FROM sessions WHERE status IN ('queued', 'processing'))
"""
_SETTLE = """
    UPDATE sessions
    SET status = 'completed', started_at = now(), completed_at = now(), attempts = 1, input = NULL
    WHERE status IN ('queued', 'processing')
"""


def measure(bench: Bench) -> list[Result]:
    """F19, as a share of the store's rate."""
    with bench.service(settings=SETTINGS) as service:
        tokens = keys_file(service.keys.parent / "tokens", [_token()])
        load = replace(service.load(PATH, keys=tokens), body=BODY)
        _create(service, load, WARM_UP_SECONDS)
        service.create(WARM_UP_SECONDS)
        seconds = bench.plan.seconds
        measured = bench.rounds(
            {
                "tRPC": lambda: _create(service, load, seconds),
                "store": lambda: service.create(seconds).report.per_second,
            }
        )
    return [
        Result(
            figure="F19",
            what="tRPC generation.create, one user, against a store's create",
            goal=Goal(at_least=0.8),
            rounds=ratios(measured["tRPC"], measured["store"]),
            absolute=per_second(measured),
        )
    ]


def _token() -> str:
    claims = {
        "sub": str(USER),
        "aud": "authenticated",
        "exp": int(time.time()) + TOKEN_SECONDS,
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


def _create(service: ServiceUnderTest, load: Load, seconds: int) -> float:
    """Answers per second, each held against a credit and a session. Raises NotMeasured."""
    before = _counts(service)
    report = load.run(seconds)
    service.database.await_quiet()
    spent, sessions = (now - was for now, was in zip(_counts(service), before, strict=True))
    if not report.answers <= spent == sessions <= report.answers + load.connections:
        raise NotMeasured(
            f"{report.answers} creates were answered, which left {spent} deductions and "
            f"{sessions} sessions"
        )
    service.database.admin.execute(_SETTLE)
    service.database.settle()
    return report.per_second


def _counts(service: ServiceUnderTest) -> tuple[int, int]:
    row = service.database.admin.execute(_COUNTS).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
