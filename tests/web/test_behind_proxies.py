"""The service behind real proxies, configured as in `deploy/`, over TLS."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from storecredit.settings import Settings
from tests.console.conftest import Browser
from tests.log_stream import LogStream
from tests.web.doors import IMAGE, OPERATOR_TOKEN, Operator, StoreClient, error_of
from tests.web.events import MEDIA_TYPE, events_in
from tests.web.reverse_proxies import HOST, PROXIES, START_SECONDS_MAX, behind
from tests.web.spends import refund, spend
from tests.web.wire import running_wire

ROOT = Path(__file__).parents[2]
LIES = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=http",
}
MEGABYTE = 1024 * 1024


def documented_settings(first_words: str) -> dict[str, str]:
    page = (ROOT / "docs" / "proxy.md").read_text(encoding="utf-8")
    block = re.compile(
        rf"^```sh\n(export STORECREDIT_{first_words}.*?)^```", re.DOTALL | re.MULTILINE
    )
    [found] = block.findall(page)
    lines = found.splitlines()
    pairs = (line.removeprefix("export STORECREDIT_").split("=") for line in lines if "=" in line)
    return {name.lower(): value for name, value in pairs}


async def link_base(http: httpx.AsyncClient) -> str:
    """The link to a result, made and read with headers that lie; it opens."""
    store = await Operator(http).store()
    session_id = (await store.create(headers=LIES)).json()["data"]["session_id"]
    generation = await ended(store, session_id)
    link: str = generation["result_url"]
    path = httpx.URL(link).path
    assert (await http.get(path)).headers["content-type"] == "image/png"
    return link.removesuffix(path)


async def assert_a_spend_is_found_whatever_its_name(http: httpx.AsyncClient) -> None:
    """A proxy that took its path apart would lead somewhere else."""
    store = await Operator(http).store()
    for name in ("order/7", "100%", "a//b", "%2F"):
        made = await spend(store, name, 2)
        assert (await refund(store, name, f"refund of {name}", 1)).status_code == 201
        address = httpx.URL(made.headers["location"]).raw_path.decode()
        found = (await store.get(address)).json()["data"]
        assert (found["request_id"], found["refundable"]) == (name, 1)


async def ended(store: StoreClient, session_id: str) -> Any:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            read = await store.get(f"/api/v1/generation/{session_id}", headers=LIES)
            if read.json()["data"]["status"] == "completed":
                return read.json()["data"]
            await asyncio.sleep(0.02)


async def assert_bodies_are_judged_by_the_service(http: httpx.AsyncClient) -> None:
    """Up to its own limit, and beyond it in its own words."""
    store = await Operator(http).store()
    head, _, image = IMAGE.partition(",")
    fitting = f"{head},{image.ljust(3 * MEGABYTE, '=')}"
    assert (await store.create(image_urls=[fitting])).status_code in {201, 400}
    error_of(await store.create(image_urls=[2 * fitting]), 413, "PAYLOAD_TOO_LARGE")


async def assert_a_cookie_is_kept_for_https_and_a_page_goes_on(http: httpx.AsyncClient) -> None:
    browser = Browser(http, {"Origin": f"https://{HOST}"})
    page = await browser.get("/console/sign-in")
    answer = await browser.send(page, "/console/sign-in", {"token": OPERATOR_TOKEN})
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-storecredit_console=")
    assert "; Secure" in cookie
    # One event after the other, in an answer that does not end.
    asked = {"Accept": MEDIA_TYPE, "Cookie": cookie.partition(";")[0]}
    async with asyncio.timeout(START_SECONDS_MAX):
        async with http.stream("GET", "/console/events", headers=asked) as events:
            assert events.headers["content-type"] == MEDIA_TYPE
            read = ""
            async for text in events.aiter_text():
                read += text
                if "queue" in {event.name for event in events_in(read.rpartition("\n\n")[0])}:
                    break


@pytest.mark.parametrize("first_words", ["PUBLIC_URL", "TRUSTED_PROXIES"])
@pytest.mark.parametrize("proxy", PROXIES)
async def test_everything_is_as_if_there_were_no_proxy(
    wire_settings: Settings, log: LogStream, tmp_path: Path, proxy: str, first_words: str
) -> None:
    chosen = documented_settings(first_words)
    settings = Settings(**{**wire_settings.model_dump(), **chosen, "worker": True})
    keeps_host = first_words == "PUBLIC_URL"
    async with (
        running_wire(settings) as wire,
        behind(proxy, tmp_path, wire.port, keeps_host=keeps_host) as http,
    ):
        assert await link_base(http) == f"https://{HOST}"
        await assert_a_spend_is_found_whatever_its_name(http)
        await assert_bodies_are_judged_by_the_service(http)
        await assert_a_cookie_is_kept_for_https_and_a_page_goes_on(http)
    if proxy == "nginx":
        kept = (tmp_path / "access.log").read_text()
        assert "GET 200" in kept
        # Those of results and of ways to sign in let in whoever has them.
        assert re.search("/(results|console|api)", kept) is None
