"""Holds every test to it that nothing of ours has logged a secret meanwhile.

Read are the lines of the service within the test's own process, however its log is set up, and
whatever processes that it started have written to standard error: to a file, into a pipe that was
read to its end, or to where pytest keeps it. What a command prints to standard output is no log: a
new key is told there, once. Where both go into one file the log's lines are told by their form; and
by it, too, what a command says to whoever called it, who may hear of an address that they typed.
"""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import wraps
from pathlib import Path
from typing import IO, Any, Final, TextIO

import httpx
import pytest
import structlog

from storecredit import telemetry
from tests.log_secrets import Remembered

KEPT_SECTION: Final = "Captured stderr"
_LOG_LINE: Final = re.compile(
    r'^(?:\{.*"level":|\S+ \[(?:debug|info|warning|error|critical) *\]).*$', re.MULTILINE
)


class _Followed:
    """A file that a process writes its log to; it stays readable when it is removed."""

    def __init__(self, path: Path, *, is_mixed: bool) -> None:
        self._file = path.open("rb")
        self._is_mixed = is_mixed
        self._read = 0

    def news(self) -> str:
        """What was written since the last time."""
        if os.fstat(self._file.fileno()).st_size < self._read:
            self._read = 0
        self._file.seek(self._read)
        content = self._file.read()
        self._read += len(content)
        text = content.decode(errors="replace")
        return "\n".join(_LOG_LINE.findall(text)) if self._is_mixed else text

    def is_over(self) -> bool:
        """Nobody finds it any more."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def close(self) -> None:
        self._file.close()


class _Tee:
    """A log's stream, which has each text looked at later."""

    def __init__(self, stream: TextIO, keep: Callable[[str], object]) -> None:
        self._stream = stream
        self._keep = keep

    def write(self, text: str) -> int:
        self._keep(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Watch:
    """What was logged in the test under way, and what it has sent."""

    def __init__(self) -> None:
        self.remembered = Remembered()
        self._lines: list[str] = []
        self._words: list[str] = []
        self._files: dict[Path, _Followed] = {}

    def written(self, text: str) -> None:
        """Some lines of a log."""
        self._lines.append(text)

    def errors(self, text: str) -> None:
        """What a process wrote to standard error: lines of its log, and words to who called it."""
        self._lines += _LOG_LINE.findall(text)
        self._words.append(_LOG_LINE.sub("", text))

    def follow(self, path: Path, *, is_mixed: bool = False) -> None:
        """A log file, from now on; what it says by now is read, as it may be emptied at once."""
        before = self._files.pop(path, None)
        if before is not None:
            self.errors(before.news())
            before.close()
        if path.is_file():
            self._files[path] = _Followed(path, is_mixed=is_mixed)

    def verdict(self, *also: str) -> str | None:
        """What was given away since the last time, and where; None: nothing."""
        for file in self._files.values():
            self.errors(file.news())
        for text in also:
            self.errors(text)
        for path in [path for path, file in self._files.items() if file.is_over()]:
            self._files.pop(path).close()
        found = self.remembered.found_in("\n".join(self._lines))
        found = found or self.remembered.found_in("\n".join(self._words), is_log=False)
        self._lines.clear()
        self._words.clear()
        self.remembered.forget()
        return found

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


WATCH: Final = Watch()
_PATCHES: Final = pytest.StashKey[pytest.MonkeyPatch]()


def pytest_configure(config: pytest.Config) -> None:
    """From now on, everything that is logged goes past us."""
    config.stash[_PATCHES] = patches = pytest.MonkeyPatch()
    _watch_this_process(patches)
    _watch_others(patches)
    _watch_requests(patches)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_PATCHES].undo()
    WATCH.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test whose processes told a secret fails once its fixtures are over."""
    report = yield
    if call.when == "teardown":
        kept = [text for name, text in report.sections if name.startswith(KEPT_SECTION)]
        found = WATCH.verdict(*kept)
        if found is not None and report.passed:
            report.outcome = "failed"
            report.longrepr = f"A log line tells {found}"
    return report


def _watch_this_process(patches: pytest.MonkeyPatch) -> None:
    configure, printed = telemetry.configure, structlog.PrintLogger.msg

    def configured(log_format: str, log_level: str, stream: TextIO | None = None) -> None:
        given: Any = None if stream is None else _Tee(stream, WATCH.written)
        configure(log_format, log_level, given)

    def told(logger: structlog.PrintLogger, message: str) -> None:
        WATCH.written(message)
        printed(logger, message)

    patches.setattr(telemetry, "configure", configured)
    for name, method in list(vars(structlog.PrintLogger).items()):
        if method is printed:
            patches.setattr(structlog.PrintLogger, name, told)
    handler = logging.Handler(logging.WARNING)
    handler.setFormatter(logging.Formatter())
    patches.setattr(handler, "emit", lambda record: WATCH.written(handler.format(record)))
    logging.getLogger().addHandler(handler)


def _watch_others(patches: pytest.MonkeyPatch) -> None:
    start, communicate = subprocess.Popen.__init__, subprocess.Popen.communicate

    @wraps(start)
    def started(popen: Any, *args: Any, **kwargs: Any) -> None:
        if not _is_ours(args[0] if args else kwargs["args"]):
            start(popen, *args, **kwargs)
            return
        written, output = _path(kwargs.get("stderr")), _path(kwargs.get("stdout"))
        is_mixed = kwargs.get("stderr") == subprocess.STDOUT or written == output
        if (path := output if is_mixed else written) is not None:
            WATCH.follow(path, is_mixed=is_mixed)
        start(popen, *args, **kwargs)

    @wraps(communicate)
    def communicated(popen: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        output, errors = communicate(popen, *args, **kwargs)
        if errors and _is_ours(popen.args):
            WATCH.errors(errors if isinstance(errors, str) else errors.decode(errors="replace"))
        return output, errors

    patches.setattr(subprocess.Popen, "__init__", started)
    patches.setattr(subprocess.Popen, "communicate", communicated)


def _is_ours(command: object) -> bool:
    """Whether a process may be ours: the service, a script of Python, or a shell that runs them."""
    words = str(command)
    return any(word in words for word in ("storecredit", sys.executable, "bash"))


def _path(stream: IO[Any] | int | None) -> Path | None:
    name = getattr(stream, "name", None)
    return Path(name) if isinstance(name, str | os.PathLike) and Path(name).is_file() else None


def _watch_requests(patches: pytest.MonkeyPatch) -> None:
    ask, ask_async = httpx.Client.send, httpx.AsyncClient.send

    @wraps(ask)
    def asked(client: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        WATCH.remembered.request(request)
        response = ask(client, request, **kwargs)
        WATCH.remembered.response(response)
        return response

    @wraps(ask_async)
    async def asked_async(
        client: httpx.AsyncClient, request: httpx.Request, **kwargs: Any
    ) -> httpx.Response:
        WATCH.remembered.request(request)
        response = await ask_async(client, request, **kwargs)
        WATCH.remembered.response(response)
        return response

    patches.setattr(httpx.Client, "send", asked)
    patches.setattr(httpx.AsyncClient, "send", asked_async)
