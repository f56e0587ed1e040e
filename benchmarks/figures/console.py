"""F17: the console's overview over ten million movements, and creates while ten consoles are open.

The service, its database and its default settings are those of F7. A browser signs in with
STORECREDIT_ADMIN_TOKEN, and what it asks for is what it would ask for: the page itself, without its
style and script, which are kept; for an open console also its events, read as they come.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.figures.long_ledger import ROWS
from benchmarks.results import Goal, NotMeasured, Result, medians, per_second, ratios
from benchmarks.service_under_test import ServiceUnderTest

TOKEN = "the-token-of-the-benchmarks"  # noqa: S105 - it opens nothing else
SETTINGS = {"STORECREDIT_ADMIN_TOKEN": TOKEN}
PAGES_PER_ROUND = 300
CONSOLES = 10
SUMMED_MAX_SECONDS = 600
OPENED_MAX_SECONDS = 10
SILENCE_MAX_SECONDS = 4
MS = 1e3
_SUMMED = """
    SELECT count(*) = 0 FROM accounts a
    WHERE (SELECT max(seq) FROM movements m WHERE m.account_id = a.account_id)
        > coalesce((SELECT seq FROM summed_accounts s WHERE s.account_id = a.account_id), 0)
"""


def measure(bench: Bench) -> list[Result]:
    """F17: p99 of the overview, in ms; the rate of creates, as a share of that with none open."""
    with bench.service(rows=ROWS, settings=SETTINGS) as service:
        summed = _await_sums(bench, service)
        return [_overview(bench, service, summed), _creates(bench, service)]


def _overview(bench: Bench, service: ServiceUnderTest, summed_seconds: float) -> Result:
    p50s, p99s = [], []
    with _signed_in(service) as browser:
        _seconds_of_a_page(browser)
        for number in range(bench.plan.rounds):
            bench.say(f"the overview, round {number + 1} of {bench.plan.rounds}")
            each = sorted(_seconds_of_a_page(browser) for _ in range(PAGES_PER_ROUND))
            p50s.append(each[len(each) // 2] * MS)
            p99s.append(each[len(each) * 99 // 100] * MS)
    return Result(
        figure="F17",
        what="the console's overview with 10 million ledger rows, p99",
        unit="ms",
        goal=Goal(at_most=50),
        rounds=tuple(p99s),
        absolute=medians(
            {"p50, ms": p50s, "10 million rows summed up at first, s": [summed_seconds]}
        ),
    )


def _creates(bench: Bench, service: ServiceUnderTest) -> Result:
    seconds = bench.plan.seconds
    service.create(WARM_UP_SECONDS)

    def watched() -> float:
        with _open_consoles(service):
            return service.create(seconds).report.per_second

    measured = bench.rounds(
        {
            "no console open": lambda: service.create(seconds).report.per_second,
            "ten open": watched,
        }
    )
    return Result(
        figure="F17",
        what="create, one hot store, while ten consoles are open, against none",
        goal=Goal(at_least=0.95),
        rounds=ratios(measured["ten open"], measured["no console open"]),
        absolute=per_second(measured),
    )


def _await_sums(bench: Bench, service: ServiceUnderTest) -> float:
    """How long it took from here until the sums hold all of the ledger. Raises NotMeasured."""
    bench.say("the ledger is summed up for the first time")
    began = time.monotonic()
    while not _is_summed(service):
        if time.monotonic() - began > SUMMED_MAX_SECONDS:
            raise NotMeasured("the ledger was not summed up in time")
        time.sleep(0.5)
    return time.monotonic() - began


def _is_summed(service: ServiceUnderTest) -> bool:
    row = service.database.admin.execute(_SUMMED).fetchone()
    assert row is not None
    return bool(row[0])


@contextmanager
def _signed_in(service: ServiceUnderTest) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers={"Origin": service.url}) as browser:
        form = browser.get("/console/sign-in").text
        hidden = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form))
        answer = browser.post("/console/sign-in", data={**hidden, "token": TOKEN})
        if answer.headers.get("location") != "/console":
            raise NotMeasured(f"signing in was answered {answer.status_code}")
        yield browser


def _seconds_of_a_page(browser: httpx.Client) -> float:
    began = time.perf_counter()
    answer = browser.get("/console")
    taken = time.perf_counter() - began
    if answer.status_code != httpx.codes.OK or "</html>" not in answer.text:
        raise NotMeasured(f"the overview was answered {answer.status_code}")
    return taken


@contextmanager
def _open_consoles(service: ServiceUnderTest) -> Iterator[None]:
    """Ten of them, each with its events, until the end."""
    over = threading.Event()
    with ExitStack() as stack:
        for _ in range(CONSOLES):
            browser = stack.enter_context(_signed_in(service))
            _seconds_of_a_page(browser)
            stack.enter_context(_listening(browser, over))
        # Of all at once: none is to wait in vain while another is ended.
        stack.callback(over.set)
        yield


@contextmanager
def _listening(browser: httpx.Client, over: threading.Event) -> Iterator[None]:
    """The events of an open console, read as they come until it is over.

    Raises NotMeasured if none does.
    """
    begun = threading.Event()
    broken_off: list[str] = []

    def listen() -> None:
        # Under load something changes each second; once it is over, nothing does.
        with (
            suppress(httpx.ReadTimeout),
            browser.stream("GET", "/console/events", timeout=SILENCE_MAX_SECONDS) as stream,
        ):
            for _ in stream.iter_bytes():
                begun.set()
                if over.is_set():
                    return
        broken_off.extend([] if over.is_set() else ["an open console was told nothing any more"])

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    try:
        if not begun.wait(OPENED_MAX_SECONDS):
            raise NotMeasured("an open console was told nothing")
        yield
    finally:
        over.set()
        listening.join()
    if broken_off:
        raise NotMeasured(broken_off[0])
