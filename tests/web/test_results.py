"""`GET /results/{token}`: the signed link to a result image."""

import io
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from storecredit.generation.results.links import ResultLinks
from storecredit.service import Service
from storecredit.settings import Settings
from tests.web.conftest import WorkerStarter
from tests.web.doors import StoreClient, error_of


@pytest.fixture
async def completed(store: StoreClient, worker: WorkerStarter) -> dict[str, str]:
    """A generation with its result."""
    async with worker():
        generation = await store.ended(await store.created())
    assert generation["status"] == "completed"
    return generation


def token_of(generation: dict[str, str]) -> str:
    return urlsplit(generation["result_url"]).path.removeprefix("/results/")


async def test_the_link_opens_a_portrait_png_without_a_key(
    api: httpx.AsyncClient, completed: dict[str, str]
) -> None:
    answer = await api.get(completed["result_url"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "private" in answer.headers["cache-control"]
    assert answer.headers["x-request-id"]
    with Image.open(io.BytesIO(answer.content)) as image:
        image.load()
        assert image.format == "PNG"
        assert image.width * 4 == image.height * 3


async def test_every_reading_gives_a_link_that_opens(
    store: StoreClient, api: httpx.AsyncClient, completed: dict[str, str]
) -> None:
    again = await store.generation(completed["session_id"])
    listed = (await store.get("/api/v1/generations")).json()["data"]["items"][0]
    for generation in (completed, again, listed):
        assert (await api.get(generation["result_url"])).status_code == 200


async def test_a_link_that_was_tampered_with_opens_nothing(
    api: httpx.AsyncClient, completed: dict[str, str], data_dir: Path
) -> None:
    token = token_of(completed)
    key = f"{completed['session_id']}/{completed['session_id']}.png"
    foreign = ResultLinks(data_dir / "elsewhere", SecretStr("another signing key"))
    for wrong in (
        token[:-1],
        token + "A",
        token.swapcase(),
        "A" + token[1:],
        token.replace(".", ""),
        token.split(".")[0],
        foreign.sign(key, lifetime_seconds=60),
        key,
        "..%2f..%2fsigning.key",
        "%00",
        "é",
        "t" * 600,
    ):
        error_of(await api.get(f"/results/{wrong}"), 404, "NOT_FOUND")
    error_of(await api.get("/results/"), 404, "NOT_FOUND")


async def test_an_expired_link_opens_nothing_and_the_next_reading_gives_a_new_one(
    store: StoreClient, api: httpx.AsyncClient, service: Service, completed: dict[str, str]
) -> None:
    key = f"{store.store_id}/{completed['session_id']}.png"
    sign = service.parts.result_links.sign
    assert (await api.get(f"/results/{sign(key, lifetime_seconds=60)}")).status_code == 200
    answer = await api.get(f"/results/{sign(key, lifetime_seconds=0)}")
    assert "expired" in error_of(answer, 404, "NOT_FOUND")["message"]
    again = await store.generation(completed["session_id"])
    assert (await api.get(again["result_url"])).status_code == 200


async def test_the_sweep_deletes_a_result_after_its_retention(
    store: StoreClient,
    api: httpx.AsyncClient,
    service: Service,
    admin: asyncpg.Connection,
    completed: dict[str, str],
    settings: Settings,
) -> None:
    await service.sweep.sweep()
    assert (await api.get(completed["result_url"])).status_code == 200, "not before its time"
    await admin.execute(
        "UPDATE sessions SET completed_at = completed_at - $1 * interval '1 s'",
        settings.result_retention_seconds,
    )
    await service.sweep.sweep()
    error_of(await api.get(completed["result_url"]), 404, "NOT_FOUND")
    generation = await store.generation(completed["session_id"])
    assert (generation["status"], generation["result_url"]) == ("completed", None)
    results = list((settings.data_dir / "results").rglob("*.png"))
    assert results == []


async def test_a_page_of_any_origin_can_read_and_show_it(
    api: httpx.AsyncClient, completed: dict[str, str]
) -> None:
    page = {"Origin": "https://any.example"}
    for link, status in ((completed["result_url"], 200), ("/results/none", 404)):
        for asked in (page, {}):
            answer = await api.get(link, headers=asked)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_for_it_is_answered_to_any_origin(api: httpx.AsyncClient) -> None:
    asks = {
        "Origin": "https://any.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-request-id,range",
    }
    answer = await api.options("/results/token", headers=asks)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"GET", "HEAD"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert answer.headers["access-control-allow-headers"] == "x-request-id,range"
    plain = await api.options("/results/token")
    assert set(plain.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_other_methods_are_refused(api: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = await api.request(method, "/results/token")
        error_of(answer, 405, "METHOD_NOT_ALLOWED")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
