"""The alerts in `deploy/prometheus`: Prometheus' own tool reads them, and says when they fire."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_docs import ROOT, addresses_in_titles
from tests.web.real_clients import program

RULES = ROOT / "deploy" / "prometheus" / "storecredit.rules.yml"
MINUTES = 90
UP = 'up{job="storecredit", instance="a"}'
OTHER_UP = 'up{job="storecredit", instance="b"}'
AT_ZERO = 'storecredit_stores_at_zero{instance="a"}'
VERIFIED = 'storecredit_verify_timestamp_seconds{instance="a"}'
SIGNED = 'storecredit_checkpoint_timestamp_seconds{instance="a"}'
GIVEN_UP = 'storecredit_webhook_endpoints{standing="given_up", instance="a"}'
CREATE = 'route="/api/v1/generation/create"'
GENERATIONS = "storecredit_generations_total"
ATTEMPTS = "storecredit_generation_seconds_count"

Series = dict[str, str]

# In Prometheus' notation: `1+5x90` is 1 and ninety times 5 more. A series has a value each minute,
# the first at the beginning of 1970.
FIRES: dict[str, list[Series]] = {
    "StorecreditDown": [{UP: "1x80 0x10"}, {}],
    "StorecreditErrors": [
        {
            'storecredit_requests_total{status="201"}': "0+98x90",
            'storecredit_requests_total{status="503"}': "0+2x90",
        }
    ],
    "StorecreditDatabaseAway": [{UP: "1x90", AT_ZERO: "4x80"}],
    "StorecreditSlow": [
        {
            f'storecredit_request_seconds_bucket{{{CREATE}, le="1.0"}}': "0+98x90",
            f'storecredit_request_seconds_bucket{{{CREATE}, le="2.5"}}': "0+100x90",
            f'storecredit_request_seconds_bucket{{{CREATE}, le="+Inf"}}': "0+100x90",
        }
    ],
    "StorecreditQueueWaits": [{"storecredit_queue_oldest_job_seconds": "0x50 61+60x40"}],
    "StorecreditGenerationsFail": [
        {
            f'{GENERATIONS}{{outcome="completed"}}': "0+70x90",
            f'{GENERATIONS}{{outcome="generator_timeout"}}': "0+30x90",
        }
    ],
    "StorecreditLedgerWrong": [{"storecredit_verify_discrepancies": "0x89 1"}],
    "StorecreditLedgerNotProven": [
        {AT_ZERO: "4x90"},
        {AT_ZERO: "4x90", VERIFIED: "-129000x90"},
    ],
    "StorecreditCheckpointLate": [
        {AT_ZERO: "4x90"},
        {AT_ZERO: "4x90", SIGNED: "-3600x90"},
    ],
    "StorecreditBillingProblems": [
        {
            'storecredit_billing_problems{kind="bills"}': "0x50 1x40",
            'storecredit_billing_problems{kind="events"}': "0x90",
        }
    ],
    "StorecreditWebhooksLate": [{"storecredit_webhook_oldest_due_seconds": "0x50 301+60x40"}],
    "StorecreditEndpointGivenUp": [{GIVEN_UP: "2x70 3x20"}],
    "StorecreditResultsNotStored": [{f'{ATTEMPTS}{{outcome="not_stored"}}': "0x50 1+1x40"}],
    "StorecreditArchiveFailing": [{"storecredit_archive_failing": "0x20 1x70"}],
}
CALM: dict[str, list[Series]] = {
    "StorecreditDown": [{UP: "1x85 0 1x4", OTHER_UP: "1x90"}],
    "StorecreditErrors": [
        {
            'storecredit_requests_total{status="201"}': "0+995x90",
            'storecredit_requests_total{status="503"}': "0+5x90",
            'storecredit_requests_total{status="402"}': "0+500x90",
        },
        {},
    ],
    "StorecreditDatabaseAway": [
        {UP: "1x90", AT_ZERO: "0x90"},
        # One that is down is another alert's.
        {UP: "0x90", OTHER_UP: "1x90", 'storecredit_stores_at_zero{instance="b"}': "4x90"},
    ],
    "StorecreditSlow": [
        {
            f'storecredit_request_seconds_bucket{{{CREATE}, le="1.0"}}': "0+100x90",
            f'storecredit_request_seconds_bucket{{{CREATE}, le="+Inf"}}': "0+100x90",
            'storecredit_request_seconds_bucket{route="/api/admin/report", le="1.0"}': "0x90",
            'storecredit_request_seconds_bucket{route="/api/admin/report", le="+Inf"}': "0+50x90",
        }
    ],
    "StorecreditQueueWaits": [{"storecredit_queue_oldest_job_seconds": "0x86 61+60x4"}],
    "StorecreditGenerationsFail": [
        {
            f'{GENERATIONS}{{outcome="completed"}}': "0+70x90",
            f'{GENERATIONS}{{outcome="generator_timeout"}}': "0+10x90",
            f'{GENERATIONS}{{outcome="moderation_blocked"}}': "0+60x90",
        }
    ],
    "StorecreditLedgerWrong": [{"storecredit_verify_discrepancies": "0x90"}, {}],
    "StorecreditLedgerNotProven": [
        {AT_ZERO: "4x90", VERIFIED: "-100000x90"},
        # While the database is away nobody knows: another alert tells of that.
        {UP: "1x90"},
    ],
    "StorecreditCheckpointLate": [
        {AT_ZERO: "4x90", SIGNED: "0+60x90"},
        {AT_ZERO: "4x90", SIGNED: "0x59 3540x31"},
        {UP: "1x90"},
    ],
    "StorecreditBillingProblems": [
        {'storecredit_billing_problems{kind="bills"}': "0x40 1x5 0x45"},
    ],
    "StorecreditWebhooksLate": [{"storecredit_webhook_oldest_due_seconds": "20x90"}],
    "StorecreditEndpointGivenUp": [{GIVEN_UP: "3x90"}, {GIVEN_UP: "3x70 2x20"}],
    "StorecreditResultsNotStored": [
        {
            f'{ATTEMPTS}{{outcome="not_stored"}}': "7x90",
            f'{ATTEMPTS}{{outcome="completed"}}': "0+10x90",
        }
    ],
    "StorecreditArchiveFailing": [{"storecredit_archive_failing": "0x20 1x30 0x40"}],
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule["alert"] for rule in rules()]


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def group(alert: str, series: Series, *, fires: bool) -> dict[str, Any]:
    """One course of things for `promtool test rules`; whether the alert is there at its end."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_prometheus_reads_the_rules() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_not_else(tmp_path: Path) -> None:
    assert ALERTS == list(FIRES) == list(CALM)
    groups = [
        group(alert, series, fires=fires)
        for courses, fires in ((FIRES, True), (CALM, False))
        for alert, all_series in courses.items()
        for series in all_series
    ]
    tests = tmp_path / "tests.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": groups}
    tests.write_text(yaml.safe_dump(document))
    promtool("test", "rules", tests)


@pytest.mark.parametrize("rule", rules(), ids=ALERTS)
def test_each_alert_says_what_to_do_and_where_that_stands(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    assert set(said) == {"summary", "do", "page"}
    assert said["do"].endswith(".")
    path, _, title = said["page"].partition("#")
    assert title == rule["alert"].lower()
    assert title in addresses_in_titles(ROOT / path)


def test_the_page_has_every_alert_and_no_other() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == ALERTS
