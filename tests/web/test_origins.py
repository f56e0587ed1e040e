"""Which pages may call with which key: `Origin`, CORS headers, preflights."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from storecredit.service import Service
from storecredit.settings import Settings
from tests.web.conftest import http_client
from tests.web.doors import CREATE, REVOCATION_SECONDS, Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

BALANCE = "/api/v1/credits/balance"
SHOP = "https://shop.example"


@pytest.fixture
async def shop(operator: Operator) -> StoreClient:
    """A store whose key may be used from its shop's pages."""
    return await operator.store(tier="tight", allowed_origins=(SHOP, "http://localhost:3000"))


async def test_a_listed_origin_may_call_and_read_the_answer(shop: StoreClient) -> None:
    answer = await shop.get(BALANCE, headers={"Origin": SHOP})
    data_of(answer)
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["vary"] == "Origin"
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-request-id", "retry-after", "ratelimit", "x-ratelimit-limit"} <= set(exposed)
    assert {"idempotent-replayed", "x-next-cursor", "x-credits-remaining"} <= set(exposed)
    assert {"location", "ratelimit-policy", "x-ratelimit-remaining"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers


async def test_errors_can_be_read_across_origins_too(shop: StoreClient) -> None:
    for answer in [
        await shop.get("/api/v1/nothing", headers={"Origin": SHOP}),
        await shop.get(BALANCE, headers={"Origin": SHOP}),
        await shop.get(BALANCE, headers={"Origin": SHOP}),
    ]:
        assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.status_code == 429


async def test_a_page_of_ours_needs_no_listed_origin(store: StoreClient) -> None:
    for host in ("api.shop.example", "127.0.0.1:8080", "[::1]:8080"):
        for scheme in ("http", "https"):  # whoever ends TLS before us
            headers = {"Host": host, "Origin": f"{scheme}://{host}"}
            data_of(await store.get(BALANCE, headers=headers))
    for origin in ("http://127.0.0.1:8081", "http://127.0.0.1", "127.0.0.1:8080", "null"):
        headers = {"Host": "127.0.0.1:8080", "Origin": origin}
        error_of(await store.get(BALANCE, headers=headers), 403, "DOMAIN_MISMATCH")
    error_of(
        await store.get(BALANCE, headers={"Host": "", "Origin": "null"}), 403, "DOMAIN_MISMATCH"
    )


async def test_where_our_address_is_configured_no_other_name_of_ours_counts(
    store: StoreClient, settings: Settings, service: Service
) -> None:
    public = settings.model_copy(update={"public_url": "https://api.shop.example/credits"})
    parts = replace(service.parts, settings=public)
    async with http_client(replace(service, parts=parts)) as api:
        ours = replace(store, http=api)
        named = {"Host": "10.0.0.7:8080", "Origin": "https://api.shop.example"}
        data_of(await ours.get(BALANCE, headers=named))
        rebound = {"Host": "evil.example", "Origin": "https://evil.example"}
        error_of(await ours.get(BALANCE, headers=rebound), 403, "DOMAIN_MISMATCH")


async def test_any_other_origin_is_refused(operator: Operator, shop: StoreClient) -> None:
    lists_none = await operator.store()
    for origin in (
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://sub.shop.example",
        "null",
        "*",
        "",
        "https://shop.example/path",
        "o" * 5000,
    ):
        for store in (shop, lists_none):
            answer = await store.get(BALANCE, headers={"Origin": origin})
            error_of(answer, 403, "DOMAIN_MISMATCH")
            assert "access-control-allow-origin" not in answer.headers


async def test_a_refused_origin_creates_nothing(shop: StoreClient, rows: Rows) -> None:
    before = await rows.counts()
    answer = await shop.create(headers={"Origin": "https://evil.example"})
    error_of(answer, 403, "DOMAIN_MISMATCH")
    assert await rows.counts() == before


async def test_a_preflight_is_answered_for_an_origin_that_some_working_key_lists(
    operator: Operator, shop: StoreClient, api: httpx.AsyncClient
) -> None:
    asks = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await api.options(CREATE, headers=asks)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    for header in ("authorization", "content-type", "idempotency-key", "x-request-id"):
        assert header in allowed
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.headers["vary"] == "Origin"

    for origin in ("https://evil.example", "null", ""):
        answer = await api.options(CREATE, headers=asks | {"Origin": origin})
        error_of(answer, 403, "DOMAIN_MISMATCH")
        assert "access-control-allow-origin" not in answer.headers
    error_of(await api.options(CREATE), 403, "DOMAIN_MISMATCH")

    data_of(await operator.delete(f"/stores/{shop.store_id}/keys/{shop.key_id}"))
    await asyncio.sleep(REVOCATION_SECONDS)
    error_of(await api.options(CREATE, headers=asks), 403, "DOMAIN_MISMATCH")
