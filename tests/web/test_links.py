"""Where links in answers lead: as the settings say, or as named proxies tell, and nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import ValidationError

from storecredit.service import Service
from storecredit.settings import Settings
from tests.web.conftest import WorkerStarter
from tests.web.doors import CREATE, StoreClient, data_of, error_of
from tests.web.frameworks import application
from tests.web.wire import ANSWER_SECONDS_MAX, BODY, Wire, request

PROXY = "10.0.0.5"
ALL = ("x-forwarded-proto", "x-forwarded-host")
RFC_7239 = ("forwarded",)
Asked = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def ask(
    service: Service, settings: Settings, store: StoreClient, worker: WorkerStarter
) -> Asked:
    """Reads a completed generation, under these settings, with these headers, from this peer."""
    async with worker():
        generation = await store.ended(await store.created())

    async def ask(*headers: tuple[str, str], peer: str = PROXY, **changes: Any) -> httpx.Response:
        own = Settings(**{**settings.model_dump(), **changes})
        app: Any
        with application(replace(service.parts, settings=own)) as app:
            transport = httpx.ASGITransport(app, client=(peer, 40_000))
            async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
                key = ("Authorization", f"Bearer {store.api_key}")
                path = f"/api/v1/generation/{generation['session_id']}"
                return await client.get(path, headers=[key, *headers])

    return ask


def base_of(answer: httpx.Response) -> str:
    scheme, host, path, *_ = urlsplit(data_of(answer)["result_url"])
    assert path.startswith("/results/")
    return f"{scheme}://{host}"


TOLD = (
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "told.example"),
    ("X-Forwarded-For", PROXY),
    ("Forwarded", f"for={PROXY};host=told.example;proto=https"),
)


async def test_what_nobody_vouches_for_changes_no_link(ask: Asked) -> None:
    every = ("x-forwarded-proto", "x-forwarded-host", "forwarded")
    assert base_of(await ask(*TOLD)) == "http://api.test", "no proxy is named by default"
    assert base_of(await ask(*TOLD, peer="127.0.0.1")) == "http://api.test"
    named = {"trusted_proxies": f"{PROXY}, 192.0.2.0/24, 2001:db8::/32", "forwarded_headers": every}
    for peer in ("10.0.0.6", "127.0.0.1", "::1", "192.0.3.1", "testclient"):
        assert base_of(await ask(*TOLD, peer=peer, **named)) == "http://api.test", peer
    for peer in (PROXY, "192.0.2.77", "2001:db8::7", f"::ffff:{PROXY}"):
        assert base_of(await ask(*TOLD, peer=peer, **named)) == "https://told.example", peer


async def test_of_a_named_proxy_those_headers_are_read_that_it_sets(ask: Asked) -> None:
    for headers, base in (
        (None, "https://api.test"),
        (ALL, "https://told.example"),
        (RFC_7239, "https://told.example"),
        ("x-forwarded-host", "http://told.example"),
        ((), "http://api.test"),
    ):
        chosen = {} if headers is None else {"forwarded_headers": headers}
        answer = await ask(*TOLD, trusted_proxies=PROXY, **chosen)
        assert base_of(answer) == base, headers


async def test_what_a_client_sends_through_a_proxy_is_not_taken_for_the_proxys(ask: Asked) -> None:
    through = {"trusted_proxies": f"{PROXY}, 10.0.0.9"}
    evil = "for=10.0.0.9;host=evil.example;proto=http"
    for sent, headers in (
        ([("X-Forwarded-Host", "evil.example, shop.example")], ALL),
        ([("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "shop.example")], ALL),
        ([("Forwarded", f"{evil}, for=203.0.113.7;host=shop.example")], RFC_7239),
        ([("Forwarded", evil), ("Forwarded", "for=203.0.113.7;host=shop.example")], RFC_7239),
        ([("Forwarded", f"{evil}, for=unknown;host=shop.example")], RFC_7239),
        ([("Forwarded", f'{evil}, for="[2001:db8::1]:99" ; Host="shop.example"')], RFC_7239),
        # Two of ours: the outer one was asked for shop.example, the inner one for a name inside.
        (
            [("Forwarded", f"{evil}, for=203.0.113.7;host=shop.example, for=10.0.0.9;host=inside")],
            RFC_7239,
        ),
        (
            [("Forwarded", f"{evil}, for=203.0.113.7;host=shop.example, for=10.0.0.9:80")],
            RFC_7239,
        ),
    ):
        answer = await ask(*sent, forwarded_headers=headers, **through)
        assert base_of(answer) == "http://shop.example", sent


async def test_our_own_pages_are_known_by_the_same_address(ask: Asked) -> None:
    """The documentation calls the API from there: no key has to list that origin."""
    page = ("Origin", "https://told.example")
    named = {"trusted_proxies": PROXY, "forwarded_headers": ALL}
    data_of(await ask(page, *TOLD, **named))
    error_of(await ask(page, *TOLD, peer="10.0.0.6", **named), 403, "DOMAIN_MISMATCH")
    error_of(await ask(page, *TOLD), 403, "DOMAIN_MISMATCH")


async def test_headers_that_name_no_address_are_refused(ask: Asked) -> None:
    every = {"trusted_proxies": PROXY, "forwarded_headers": (*ALL, *RFC_7239)}
    for name, value in (
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", "shop.example/evil"),
        ("X-Forwarded-Host", "user@shop.example"),
        ("X-Forwarded-Host", "shop.example:99999"),
        ("X-Forwarded-Host", "shop example"),
        ("Forwarded", 'host="shop.example'),
        ("Forwarded", 'for="x, for="[2001:db8::1]";host=shop.example'),
        ("Forwarded", "host=shop.example;proto=ftp"),
        ("Forwarded", "nonsense"),
        ("Host", "api.test/evil"),
    ):
        error_of(await ask((name, value), **every), 400, "VALIDATION_ERROR")
    assert base_of(await ask(("Forwarded", " , ;host=shop.example:8443; "), **every)) == (
        "http://shop.example:8443"
    )


async def test_the_public_address_goes_before_all_of_them(ask: Asked) -> None:
    own = {"public_url": "https://images.example/", "trusted_proxies": PROXY}
    assert base_of(await ask(*TOLD, **own)) == "https://images.example"


@pytest.fixture
def wire_settings(wire_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Uvicorn would believe whoever speaks from where this variable says, or from 127.0.0.1."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    return wire_settings.model_copy(update={"worker": True})


async def test_the_server_itself_believes_no_header_either(wire: Wire, key: str) -> None:
    lines = [f"{name}: {value}" for name, value in TOLD]
    made = await wire.ask(request("POST", CREATE, key, *lines, body=BODY))
    link = None
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while link is None:
            read = await wire.ask(request("GET", made.headers["location"], key, *lines))
            link = read.json()["data"]["result_url"]
    assert link.startswith("http://api.test/results/")


@pytest.mark.parametrize(
    "wrong", [{"trusted_proxies": "nginx"}, {"forwarded_headers": "x-forwarded-for"}]
)
def test_a_setting_that_means_nothing_is_refused_at_once(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]  # as from the environment
