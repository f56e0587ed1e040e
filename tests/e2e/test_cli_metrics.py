"""`/metrics` of several processes, of a worker alone, and on an address of its own."""

import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import Serving, Storecredit, standing_still, until
from tests.e2e.page_commands import Page, running
from tests.free_ports import free_port
from tests.web.scrapes import Samples, samples_in, total

LIVE = {"method": "GET", "route": "/health/live", "status": "200"}
OWN_ADDRESS = {"STORECREDIT_METRICS_ADDRESS": "127.0.0.1:0"}


def scraped(url: str) -> Samples:
    return samples_in(httpx.get(f"{url}/metrics").raise_for_status().text)


def processes_of(serving: Serving, starts: int) -> list[psutil.Process]:
    """All processes of a service, the first one first, once so many have started in all."""
    until(lambda: len(serving.events("serving")) >= starts, f"{starts} processes serve")
    parent = psutil.Process(serving.process.pid)
    return [parent, *(child for child in parent.children() if "serve" in child.cmdline())]


def ask_each(
    serving: Serving, processes: Sequence[psutil.Process], metrics_url: str, counted: int
) -> None:
    """One request to each process, which is alone with the socket meanwhile.

    A process counts a request after it has answered: until as many are counted, they are waited
    for.
    """
    for asked in processes:
        with standing_still([process for process in processes if process != asked]):
            httpx.get(f"{serving.url}/health/live").raise_for_status()
    until(
        lambda: total(scraped(metrics_url), "requests_total", **LIVE) == counted,
        f"{counted} requests are counted",
    )


def test_several_processes_count_as_one_and_a_dead_one_leaves_no_ghost(
    storecredit: Storecredit,
) -> None:
    serving = storecredit.serve("--processes", 3, **OWN_ADDRESS)
    url = serving.await_event("serving_metrics")["address"]
    processes = processes_of(serving, 3)
    assert httpx.get(f"{serving.url}/metrics").status_code == 404
    assert httpx.get(f"{url}/health/live").status_code == 404

    ask_each(serving, processes, url, 3)
    before = scraped(url)
    assert total(before, "requests_total", **LIVE) == 3
    assert total(before, "request_seconds_count", route="/health/live") == 3

    directory = Path(processes[1].environ()["STORECREDIT_METRICS_DIR"])
    files = {file.name for file in directory.iterdir()}
    processes[1].kill()
    ask_each(serving, processes_of(serving, 4), url, 6)
    after = scraped(url)
    assert total(after, "requests_total", **LIVE) == 6, "no counter falls"
    gauges = [labels for labels, _ in after["storecredit_queue_depth"]]
    assert sorted(gauges, key=str) == [{"status": "processing"}, {"status": "queued"}]
    assert len(after["storecredit_queue_oldest_job_seconds"]) == 1
    assert set(after) == set(before)
    assert {file.name for file in directory.iterdir()} == files, "however many have died"
    assert serving.stop(signal.SIGTERM) == 0
    assert not directory.exists()


def test_each_of_several_processes_tells_of_all(storecredit: Storecredit) -> None:
    serving = storecredit.serve("--processes", 2)
    processes = processes_of(serving, 2)
    ask_each(serving, processes, serving.url, 2)
    for suspended in processes:
        with standing_still([suspended]):
            assert total(scraped(serving.url), "requests_total", **LIVE) == 2


def test_a_worker_alone_has_metrics_where_it_is_told(storecredit: Storecredit) -> None:
    assert storecredit("verify").status == 0
    worker = storecredit.start("worker", **OWN_ADDRESS)
    samples = scraped(worker.await_event("serving_metrics")["address"])
    assert total(samples, "queue_depth") == 0
    assert total(samples, "stores_at_zero") == 0
    assert samples["storecredit_verify_discrepancies"] == [({}, 0)], "the command recorded it"
    assert worker.stop() == 0


def test_the_page_moves_them_as_it_says(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    own_port = free_port()
    page = Page("docs/metrics.md").block("STORECREDIT_METRICS_ADDRESS")
    with running(page.replace(":9090", f":{own_port}"), environment, tmp_path / "log", tmp_path):
        assert total(scraped(f"http://127.0.0.1:{own_port}"), "requests_total") >= 1
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 404


def test_an_address_that_is_taken_or_none_is_told(storecredit: Storecredit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = storecredit("worker", STORECREDIT_METRICS_ADDRESS=address).sentence()
    assert "Cannot listen" in told
    assert "STORECREDIT_METRICS_ADDRESS" in told
    told = storecredit("worker", STORECREDIT_METRICS_ADDRESS="no-host.invalid:1").sentence()
    assert "STORECREDIT_METRICS_ADDRESS" in told


@pytest.mark.parametrize("address", ["9090", ":9090", "localhost", "localhost:x", "[::1]:65536"])
def test_what_is_no_address_is_told(storecredit: Storecredit, address: str) -> None:
    told = storecredit("worker", STORECREDIT_METRICS_ADDRESS=address).sentence(2)
    assert "STORECREDIT_METRICS_ADDRESS" in told
