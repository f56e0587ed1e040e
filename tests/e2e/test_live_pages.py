"""Pages that are open while `serve` is told to stop: it stops at once, and without a word."""

import signal
from contextlib import ExitStack, closing

import httpx
import pytest

from tests.e2e.conftest import Storecredit

TOKEN = "operator-token-for-tests"
PAGES = 10
SAID_AT_THE_START = {"directory_made_passable", "rate_limits_counted_per_process"}
HIDDEN_FIELD = '<input type="hidden" name="form_id" value="'


def signed_in(url: str) -> httpx.Client:
    """A browser of an operator."""
    client = httpx.Client(base_url=url, headers={"Origin": url})
    page = client.get("/console/sign-in")
    form_id = page.text.partition(HIDDEN_FIELD)[2].partition('"')[0]
    form = {"token": TOKEN, "form_id": form_id}
    assert client.post("/console/sign-in", data=form).status_code == 303
    return client


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_open_pages_keep_no_service_from_stopping(
    storecredit: Storecredit, how: signal.Signals, processes: int
) -> None:
    serving = storecredit.serve(
        "--processes", processes, "--no-worker", STORECREDIT_ADMIN_TOKEN=TOKEN
    )
    with closing(signed_in(serving.url)) as client, ExitStack() as open_pages:
        lines = []
        for _ in range(PAGES):
            answer = open_pages.enter_context(client.stream("GET", "/console/events"))
            assert answer.status_code == 200
            lines.append(answer.iter_lines())
        for each in lines:
            while not next(each).startswith("event: latest"):
                pass
        assert serving.stop(how) == 0
        # Whole answers: httpx raises where one was cut off.
        assert all(list(each) for each in lines)
    # A server that waits for a connection says so before it cuts it, ten seconds later.
    told = {line["event"] for line in serving.log if line["level"] != "info"}
    assert told <= SAID_AT_THE_START
    assert "Traceback" not in serving.log_path.read_text()
