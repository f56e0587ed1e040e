"""Twenty processes are killed, and the primary is lost once, while clients do everything."""

from pathlib import Path

import pytest

from tests.postgres.replication.conftest import Base
from tests.torture.reports import Report
from tests.torture.run import Plan, run

KILLS = 20

pytestmark = pytest.mark.timeout(600)


async def test_twenty_kills_and_a_failover_lose_and_repeat_nothing(
    base: Base, place: Path, seed: str
) -> None:
    plan = Plan(
        *(seed, KILLS, 1),
        workers=1,
        counted=(("store", 4), ("user", 2)),
        answers_between_strikes=4,
        only_kills=True,
    )
    report = Report.of(await run(plan, base.node, place))
    assert report.violations == [], report
    assert report.outcome.kills >= KILLS
    assert report.outcome.failovers == 1
    assert report.counts["resolved"] > 0
