"""What the app does, done by the official tRPC client against the real application."""

import httpx
import pytest

from storecredit.service import Service
from tests.web.doors import IMAGE
from tests.web.node import run_app, served
from tests.web.users import TRPC, user_of

WAYS = (
    "httpLink",
    "httpBatchLink",
    "httpBatchStreamLink",
    "streamHeader",
    "methodOverride",
    "methodOverrideAlone",
    "maxURLLength",
    "splitLink",
)


@pytest.mark.parametrize("way", WAYS)
async def test_the_official_client_does_not_notice(
    service: Service, api: httpx.AsyncClient, way: str
) -> None:
    async with served(service) as port:
        url = f"http://127.0.0.1:{port}{TRPC}"
        await run_app(url, way, user_of(api).token, user_of(api).token, IMAGE)
