"""Every answer of the real application is as its OpenAPI document says, whatever is asked."""

import asyncio
import os
import re
from typing import Any

import httpx
import msgspec
import pytest

from tests.log_stream import LogStream
from tests.web.documented import PLANTED, Extent, Seen, hold
from tests.web.doors import OPERATOR_TOKEN, Operator, bearer
from tests.web.wire import Wire

SHORT = Extent(examples=2, sequences=10, steps=6)
LONG = Extent(examples=100, sequences=300, steps=20, has_edges=True)
SECRETS = re.compile(r"sc_live_[0-9A-Za-z]{36}|sc_admin_[0-9A-Za-z]{20,}|whsec_|Bearer |[\w.]@\w")
"""What keys, tokens, secrets of webhooks and addresses of people look like."""


async def seen_by(wire: Wire, seed: int, extent: Extent) -> tuple[Seen, dict[str, Any]]:
    """What a run has seen, and the document that was served."""
    url = f"http://127.0.0.1:{wire.port}"
    async with httpx.AsyncClient(base_url=url) as http:
        document = (await http.get("/api/openapi.json")).json()
        store = await Operator(http).store(credits=1_000_000)
        seen = await asyncio.to_thread(hold, document, url, store.api_key, seed, extent)
        # The next honest request is served.
        answer = await http.get("/api/admin/verify", headers=bearer(OPERATOR_TOKEN))
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["discrepancies"] == []
    return seen, document


def assert_no_secret_is_told(log: LogStream) -> None:
    """Of whatever was sent to whichever door, a request's id alone is logged as it came."""
    assert len(log.events("request")) > 100
    for line in log.lines():
        told = msgspec.json.encode({**line, "request_id": ""}).decode()
        assert SECRETS.search(told) is None, told
        for planted in (*PLANTED, OPERATOR_TOKEN):
            assert planted not in told, told


def operations(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }


async def test_every_answer_is_as_documented(wire: Wire, log: LogStream) -> None:
    seen, document = await seen_by(wire, 20, SHORT)

    assert seen.findings == {}, str(seen)
    assert set(seen.asked) == operations(document)
    assert len(seen.succeeded) > len(seen.asked) // 4, sorted(seen.succeeded)
    assert_no_secret_is_told(log)


@pytest.mark.torture
@pytest.mark.timeout(0)
async def test_nor_is_it_otherwise_in_many_requests(wire: Wire, log: LogStream) -> None:
    seed = int(os.environ.get("STORECREDIT_TEST_SEED", "20"))
    seen, document = await seen_by(wire, seed, LONG)

    assert seen.findings == {}, str(seen)
    assert set(seen.asked) == operations(document)
    assert_no_secret_is_told(log)
