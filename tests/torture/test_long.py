"""The whole torture, as long as one wants: `make torture`, with these in the environment.

`STORECREDIT_TORTURE_KILLS` (100) processes are killed, one in 25 of them in a failover;
`STORECREDIT_TORTURE_SEED` repeats its choices; in the directory `STORECREDIT_TORTURE_KEEP` the
record, the tables and the report are kept.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.postgres.replication.conftest import Base
from tests.torture.reports import Report
from tests.torture.run import Plan, run

KILLS_TO_A_FAILOVER = 25

pytestmark = [pytest.mark.torture, pytest.mark.timeout(0)]


async def test_nothing_is_lost_and_nothing_done_twice_whatever_is_killed(
    base: Base, place: Path, seed: str
) -> None:
    kills = int(os.environ.get("STORECREDIT_TORTURE_KILLS", "100"))
    plan = Plan(
        *(os.environ.get("STORECREDIT_TORTURE_SEED", seed), kills, kills // KILLS_TO_A_FAILOVER),
        counted=(("store", 10), ("user", 2)),
        answers_between_strikes=36,
        has_moved_clock=True,
        has_small_disk=True,
    )
    outcome = await run(plan, base.node, place)
    report = Report.of(outcome)
    print(report)  # noqa: T201 - it is what one has run it for
    if keep := os.environ.get("STORECREDIT_TORTURE_KEEP"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        shutil.copy(outcome.record, keep)
        outcome.tables.save(Path(keep) / "tables.json")
        (Path(keep) / "report").write_text(str(report), encoding="utf-8")
    assert report.violations == [], report
