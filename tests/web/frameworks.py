"""The routes of services that are over, for those that come: half of what a service costs here."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

from litestar import Litestar
from litestar.types import ASGIApp

from storecredit.settings import Settings
from storecredit.web.app import create_app, framework_for
from storecredit.web.parts import Parts


@contextmanager
def framework_used_again(settings: Settings) -> Iterator[Litestar]:
    """One for settings like these, which serves nobody else until the block ends."""
    idle = _idle_frameworks(settings.body_max_bytes, settings.metrics_address is None)
    framework = idle.pop() if idle else framework_for(settings)
    yield framework
    idle.append(framework)


@contextmanager
def application(parts: Parts, *, is_direct: bool = True) -> Iterator[ASGIApp]:
    """The whole HTTP application over these parts, on such a framework."""
    with served_by_one_used_again(parts.settings):
        yield create_app(parts, is_direct=is_direct)


@contextmanager
def served_by_one_used_again(settings: Settings) -> Iterator[None]:
    """Have the next service that is started here, and only that one, take such a framework."""
    with framework_used_again(settings) as framework:
        unused = [framework]

        def take(settings: Settings) -> Litestar:
            return unused.pop() if unused else framework_for(settings)

        with patch("storecredit.web.app.framework_for", take):
            yield


@cache
def _idle_frameworks(body_max_bytes: int, serves_metrics: bool) -> list[Litestar]:
    """Those that were made for settings like these, and serve nobody."""
    return []
