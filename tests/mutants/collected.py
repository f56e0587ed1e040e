"""A pytest that collects once, and then does something else than run all of it."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import Phase, settings

from tests.mutants.trial import TEST_MAX_SECONDS

ONE_BUCKET = {"STORECREDIT_TEST_BUCKETS": "1"}
OPTIONS = (
    *("-q", "-s", "-p", "no:cacheprovider", "-n0", "--tb=line"),
    f"--timeout={TEST_MAX_SECONDS}",
    # What is imported before the fork is not rewritten, nor has it to be.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

Work = Callable[[Mapping[str, Sequence[pytest.Item]]], None]
"""Is given the tests of each file that was collected, by the file's name."""


class _Collected:
    """The plugin that takes the place of running them."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def pytest_collection(self) -> None:
        """A counterexample is enough: nobody reads the smallest."""
        quick = settings(phases=[Phase.explicit, Phase.generate], database=None)
        settings.register_profile("mutants", quick)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do it, with what was collected."""
        files: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            files[item.nodeid.partition("::")[0]].append(item)
        self._work(files)
        return True


def with_collected(files: Sequence[str], url: str, basetemp: str, work: Work) -> None:
    """Collect these files of tests, which are to run on the server at `url`, and do `work`.

    Raises RuntimeError if they cannot be collected.
    """
    # Of the run that this command may be a test of nothing is passed on.
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ.update({**ONE_BUCKET, "STORECREDIT_TEST_DATABASE_URL": url})
    status = pytest.main([*OPTIONS, f"--basetemp={basetemp}", *files], [_Collected(work)])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise RuntimeError(f"pytest: {status!r}")
