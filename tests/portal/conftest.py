"""The portal over the real application."""

import httpx
import pytest

from tests.console.conftest import Browser
from tests.web.conftest import api, log, operator, rows, service, settings, store

__all__ = ["api", "log", "operator", "rows", "service", "settings", "store"]


@pytest.fixture
def browser(api: httpx.AsyncClient) -> Browser:
    """Nobody is signed in with it."""
    return Browser(api)
