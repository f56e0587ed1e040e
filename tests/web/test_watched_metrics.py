"""What alerts and dashboard ask for is what the service serves on `/metrics`, label by label."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from stand_ins.http_server import Answer, Received, json_answer, stand_in
from storecredit.settings import Settings
from tests.crash.waiting import until_true
from tests.log_stream import LogStream
from tests.web.doors import Operator
from tests.web.real_clients import program
from tests.web.scrapes import Samples, samples_in
from tests.web.wire import running_wire

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
WAIT_MAX_SECONDS: Final = 60.0
NOT_OURS: Final = {"up": {"job", "instance"}}
"""What Prometheus itself says of whom it scrapes."""
OF_PROMETHEUS: Final = {"job", "instance", "alertname"}
"""Labels that it gives to every sample."""


def alert_queries() -> Iterator[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "storecredit.rules.yml").read_text())
    for group in rules["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def dashboard() -> Any:
    return json.loads((DEPLOY / "grafana" / "storecredit.json").read_text(encoding="utf-8"))


def dashboard_queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


QUERIES: Final = [*alert_queries(), *dashboard_queries()]


@pytest.fixture
async def served(wire_settings: Settings, log: LogStream, tmp_path: Path) -> Samples:
    """Of a whole service where everything has happened that is counted."""
    # One result finds no place.
    results = tmp_path / "results"
    results.write_bytes(b"")
    chosen = {"worker": True, "allow_private_hosts": True, "sweep_interval_seconds": 0.1}
    chosen |= {"checkpoint_interval_seconds": 0.1}
    settings = wire_settings.model_copy(update={**chosen, "data_dir": tmp_path})
    async with (
        stand_in(acknowledged) as receiver,
        running_wire(settings) as wire,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{wire.port}") as http,
    ):
        store = await Operator(http).store()
        await store.send("POST", "/api/v1/webhooks", json={"url": receiver.url()})
        first = await store.created()
        await until_served(http, 'outcome="not_stored"')
        results.unlink()
        for session_id in (first, await store.created(prompt="forbidden")):
            await store.ended(session_id)
        await Operator(http).get("/verify")
        asked = ("verify_discrepancies ", "checkpoint_timestamp_seconds ")
        for sample in ('outcome="delivered"', 'status="queued"', *asked):
            await until_served(http, sample)
        return samples_in((await http.get("/metrics")).text)


async def acknowledged(_received: Received) -> Answer:
    return json_answer({})


async def until_served(http: httpx.AsyncClient, sample: str) -> None:
    async def is_served() -> bool:
        return sample in (await http.get("/metrics")).text

    await until_true(is_served, sample, WAIT_MAX_SECONDS, str)


def asked_for(query: str) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Each metric in a query, with what its labels are compared with, and how."""
    for name, matchers in re.findall(r"\b(storecredit_\w+|up)\b(?:\{([^}]*)\})?", query):
        found = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers)
        yield name, {label: (how, value) for label, how, value in found}


def grouped_by(query: str) -> set[str]:
    lists = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", query)
    return {label.strip() for each in lists for label in each.split(",") if label.strip()}


def assert_all_is_on_the_dashboard(served: Samples) -> None:
    shown = {name for query in dashboard_queries() for name, _ in asked_for(query)}
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in shown}
    known = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in served}
    known = {name for name in known if name.startswith("storecredit_")}
    # Prometheus' own client says beside each counter since when it counts.
    known -= {name.removesuffix("_total") for name in known if name.endswith("_total")}
    assert known <= families


def test_every_metric_label_and_value_is_served_and_every_metric_is_on_the_dashboard(
    served: Samples,
) -> None:
    assert len(QUERIES) > 30
    for query in QUERIES:
        names = [name for name, _ in asked_for(query)]
        assert names, query
        labels = set(OF_PROMETHEUS)
        for name, matchers in asked_for(query):
            if name in NOT_OURS:
                assert set(matchers) <= NOT_OURS[name], query
                continue
            assert name in served, f"{name} is not served: {query}"
            of_metric = {label for known, _ in served[name] for label in known}
            assert set(matchers) <= of_metric, query
            labels |= of_metric
            for label, (how, value) in matchers.items():
                values = {known[label] for known, _ in served[name]}
                # One status of the five hundreds is not made here; its form is that of the others.
                if how == "=":
                    assert value in values, query
                elif label != "status":
                    assert any(re.fullmatch(value, each) for each in values), query
        assert grouped_by(query) <= labels, query
    assert_all_is_on_the_dashboard(served)


def test_prometheus_reads_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(dashboard_queries())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
