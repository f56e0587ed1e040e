"""F20: what it costs a worker that results go to a bucket, and not to files.

As F9: the real `storecredit worker` on sessions created before it starts, in the database's time.
In turn each result is a file, synced to disk, or an object that is put to a server on loopback,
which keeps it in memory and shares the machine's cores.
"""

from collections.abc import Mapping
from functools import partial

from benchmarks.baselines import bucket
from benchmarks.bench import Bench
from benchmarks.figures.worker import ROUNDS_MAX, Work, queue_sessions, worked_off
from benchmarks.results import Goal, Result, medians, per_second, ratios
from benchmarks.rounds import Plan, interleaved
from benchmarks.service_under_test import ServiceUnderTest, bucket_server
from benchmarks.worker_under_test import CONCURRENCY

FILES, BUCKET = "files", "a bucket"


def measure(bench: Bench) -> list[Result]:
    """F20, as a share of what the worker does with files."""
    plan = Plan(rounds=min(bench.plan.rounds, ROUNDS_MAX), seconds=bench.plan.seconds)
    with bench.service() as service, bucket_server(bench.fresh_directory()) as endpoint:
        in_bucket = {
            "STORECREDIT_RESULTS": f"s3://{bucket.NAME}/results",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "of no use",
            "AWS_SECRET_ACCESS_KEY": "of no use",
        }
        sides = {
            FILES: partial(_worked_off, service, {}),
            BUCKET: partial(_worked_off, service, in_bucket),
        }
        work = interleaved(plan, sides, on_step=bench.say)
    rates = {side: [each.per_second for each in done] for side, done in work.items()}
    cpu = {side: [each.microseconds for each in done] for side, done in work.items()}
    return [
        Result(
            figure="F20",
            what="generations whose results go to a bucket on loopback, against files",
            goal=Goal(at_least=0.9),
            rounds=ratios(rates[BUCKET], rates[FILES]),
            absolute=per_second({side: rates[side] for side in (BUCKET, FILES)})
            | medians({f"{side}, µs": cpu[side] for side in (BUCKET, FILES)}),
            notes=(f"STORECREDIT_WORKER_CONCURRENCY={CONCURRENCY}",),
        )
    ]


def _worked_off(service: ServiceUnderTest, settings: Mapping[str, str]) -> Work:
    database = service.database
    database.settle()
    since = queue_sessions(service)
    database.await_quiet()
    return worked_off(database, since, settings)
