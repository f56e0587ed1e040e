"""What a request costs as a share of doing nothing: with the framework we use, and without one.

Hides the two empty servers. Promises that they get the requests of the load they are given, byte
for byte but for path and port, and are measured in the same rounds as what is compared with them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from benchmarks.bench import WARM_UP_SECONDS, Bench
from benchmarks.load import Load
from benchmarks.results import Goal, Result, per_second, ratios
from benchmarks.service_under_test import ASGI, EMPTY_PATH, LITESTAR, empty_server

EMPTY, BARE = f"empty ({LITESTAR})", f"empty ({ASGI})"


@contextmanager
def empty_contenders(bench: Bench, load: Load) -> Iterator[dict[str, Callable[[], float]]]:
    """Both empty servers, warm; each call sends them the load's requests: answers per second."""
    with ExitStack() as stack:
        contenders: dict[str, Callable[[], float]] = {}
        for name, kind in ((EMPTY, LITESTAR), (BARE, ASGI)):
            url = stack.enter_context(empty_server(kind, bench.fresh_directory()))
            empty = replace(load, path=EMPTY_PATH).to(url)
            empty.run(WARM_UP_SECONDS)
            contenders[name] = partial(rate, bench, empty)
        yield contenders


def rate(bench: Bench, load: Load) -> float:
    """Answers per second, measured for as long as the plan says."""
    return load.run(bench.plan.seconds).per_second


def shares(
    figure: str,
    what: str,
    goals: tuple[Goal, Goal | None],
    name: str,
    measured: Mapping[str, Sequence[float]],
) -> list[Result]:
    """The rate of `name` beside both, each with its goal: the framework's endpoint, and none."""

    def share(beside: str, of: str, goal: Goal | None) -> Result:
        return Result(
            figure=figure,
            what=f"{what}, as a share of {of}",
            goal=goal,
            rounds=ratios(measured[name], measured[beside]),
            absolute=per_second({beside: measured[beside], name: measured[name]}),
        )

    return [
        share(EMPTY, "an empty endpoint", goals[0]),
        share(BARE, "a bare ASGI application on the same server", goals[1]),
    ]
