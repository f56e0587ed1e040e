"""The torture can fail: each planted defect is found, in a run of less than five minutes."""

from pathlib import Path

import pytest

from tests.postgres.replication.conftest import Base
from tests.torture.checking.violations import Rule
from tests.torture.faults import DROPPED_REPLAY_CHECK, LOST_LOCK, REFUND_TWICE, Fault
from tests.torture.reports import Report
from tests.torture.run import Plan, run

KILLS = 20
REST_MAX_SECONDS = 30.0
SOUGHT_MAX_SECONDS = 300

pytestmark = [pytest.mark.torture, pytest.mark.timeout(2 * SOUGHT_MAX_SECONDS)]


def plan_of(seed: str, api_module: str | None = None) -> Plan:
    """Many clients of one store, who are answered often between two strikes."""
    counted = (("store", 10), ("user", 2))
    return Plan(
        *(seed, KILLS, 1),
        counted=counted,
        answers_between_strikes=30,
        # What a fault has broken may never come to rest.
        rest_max_seconds=REST_MAX_SECONDS,
        api_module=api_module,
    )


@pytest.mark.parametrize(
    "fault, rules",
    [
        pytest.param(LOST_LOCK, {Rule.ANSWERED_AS_DOCUMENTED, Rule.LINEARIZABLE}, id="a lost lock"),
        pytest.param(DROPPED_REPLAY_CHECK, {Rule.ONE_EFFECT}, id="a dropped replay check"),
        pytest.param(REFUND_TWICE, {Rule.ONE_EFFECT}, id="a refund twice"),
    ],
)
async def test_a_fault_in_a_function_is_found(
    base: Base, place: Path, seed: str, fault: Fault, rules: set[Rule]
) -> None:
    outcome = await run(plan_of(seed), base.node, place, fault.plant)
    report = Report.of(outcome)
    assert rules & {violation.rule for violation in report.violations}, report
    assert outcome.seconds < SOUGHT_MAX_SECONDS


async def test_an_answer_before_the_commit_is_found(base: Base, place: Path, seed: str) -> None:
    plan = plan_of(seed, api_module="tests.torture.hasty_service")
    outcome = await run(plan, base.node, place)
    report = Report.of(outcome)
    assert Rule.ACKNOWLEDGED_IS_RECORDED in {each.rule for each in report.violations}, report
    assert outcome.seconds < SOUGHT_MAX_SECONDS
