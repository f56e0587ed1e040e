"""What every request passes before its handler: its id, its key, the order of checks, its address.

Origins are in test_origins.py, rate limits in test_rate_limits.py.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from storecredit.web.http.visits import Visit
from tests.web.conftest import http_client
from tests.web.doors import (
    CREATE,
    IMAGE,
    REVOCATION_SECONDS,
    Operator,
    StoreClient,
    bearer,
    data_of,
    error_of,
)
from tests.web.table_rows import Rows

BALANCE = "/api/v1/credits/balance"
SHOP = "https://shop.example"
BODY = {"image_urls": [IMAGE]}


@pytest.fixture
async def shop(operator: Operator) -> StoreClient:
    """A store whose key may be used from its shop's pages."""
    return await operator.store(tier="tight", allowed_origins=(SHOP, "http://localhost:3000"))


# Request ids


async def test_a_request_id_is_echoed_whatever_its_characters(store: StoreClient) -> None:
    for request_id in ("1", "a b", '"quoted"', "~!@#$%^&*()_+{}|:<>?,./;'[]\\=-`", "r" * 200):
        answer = await store.get(BALANCE, headers={"X-Request-Id": request_id})
        assert answer.status_code == 200
        assert answer.headers.get_list("x-request-id") == [request_id]


async def test_what_is_no_request_id_is_refused_and_another_made(
    store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    for request_id in (b"", b"r" * 201, b"r" * 60_000, b"\xc3\xa9", b"\xff", b"a\tb", b"a\x7fb"):
        headers = [
            (b"authorization", f"Bearer {store.api_key}".encode()),
            (b"x-request-id", request_id),
        ]
        answer = await store.http.post(CREATE, headers=headers, json=BODY)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert (detail["key"], detail["source"]) == ("x-request-id", "header")
        assert answer.headers["x-request-id"].startswith("req_")
    twice = [("X-Request-Id", "one"), ("X-Request-Id", "two")]
    answer = await store.http.get(BALANCE, headers=[*bearer(store.api_key).items(), *twice])
    error_of(answer, 400, "VALIDATION_ERROR")
    assert await rows.counts() == before


async def test_the_idempotency_key_takes_the_place_of_the_request_id(
    store: StoreClient, rows: Rows
) -> None:
    both = {"X-Request-Id": "trace-1", "Idempotency-Key": "order-1"}
    first = await store.create(headers=both)
    assert data_of(first, 201)["request_id"] == "order-1"
    assert first.headers["x-request-id"] == "order-1"
    for same in (
        {"Idempotency-Key": '"order-1"'},
        {"Idempotency-Key": "order-1"},
        {"X-Request-Id": "order-1"},
        {"X-Request-Id": "trace-2", "Idempotency-Key": "order-1"},
    ):
        again = await store.create(headers=same)
        assert data_of(again)["request_id"] == "order-1", same
        assert again.headers["idempotent-replayed"] == "true"
    assert len(await rows.ledger(store.store_id, "deduction")) == 1


async def test_a_quoted_idempotency_key_is_read_as_its_standard_says(store: StoreClient) -> None:
    for sent, request_id in {
        r'"say \"hi\""': 'say "hi"',
        r'"back\\slash"': r"back\slash",
        '"half': '"half',
        "two words": "two words",
    }.items():
        answer = await store.create(headers={"Idempotency-Key": sent})
        assert data_of(answer, 201)["request_id"] == request_id
    for wrong in ('""', "", "k" * 201):
        answer = await store.create(headers={"Idempotency-Key": wrong})
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == "idempotency-key"


async def test_the_idempotency_key_means_nothing_elsewhere(store: StoreClient) -> None:
    answer = await store.get(BALANCE, headers={"Idempotency-Key": "order-1"})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_the_request_id_is_echoed_on_every_kind_of_answer(
    store: StoreClient, operator: Operator
) -> None:
    poor = await operator.store(credits=0, tier="tight")
    echo = {"X-Request-Id": "trace-1"}
    key, poor_key = bearer(store.api_key) | echo, bearer(poor.api_key) | echo
    large = b" " * 5_000_000
    for method, path, headers, content, status in (
        ("GET", BALANCE, key, b"", 200),
        ("POST", CREATE, key, b"{", 400),
        ("GET", BALANCE, echo, b"", 401),
        ("GET", "/api/admin/stores", echo, b"", 401),
        ("POST", CREATE, poor_key, f'{{"image_urls": ["{IMAGE}"]}}'.encode(), 402),
        ("GET", BALANCE, key | {"Origin": SHOP}, b"", 403),
        ("OPTIONS", BALANCE, echo, b"", 403),
        ("GET", "/api/v1/nothing", key, b"", 404),
        ("GET", "/nothing", echo, b"", 404),
        ("PUT", BALANCE, key, b"", 405),
        ("POST", CREATE, key, large, 413),
        ("POST", CREATE, poor_key, b"{}", 429),
        ("GET", "/health/live", echo, b"", 200),
        ("GET", "/metrics", echo, b"", 200),
        ("GET", "/api/docs", echo, b"", 200),
    ):
        answer = await store.http.request(method, path, headers=headers, content=content)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        assert answer.headers.get_list("x-request-id") == ["trace-1"], f"{method} {path}"


# The order of checks


async def test_the_request_id_is_looked_at_before_the_key(api: httpx.AsyncClient) -> None:
    error_of(await api.get(BALANCE, headers={"X-Request-Id": ""}), 400, "VALIDATION_ERROR")


async def test_the_key_is_looked_at_before_the_origin_and_the_address(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.get("/api/v1/nothing", headers={"Origin": "https://evil.example"})
    error_of(answer, 401, "INVALID_API_KEY")
    error_of(await api.put(BALANCE), 401, "INVALID_API_KEY")


async def test_the_origin_is_looked_at_before_the_rate_limit_and_costs_nothing_of_it(
    shop: StoreClient,
) -> None:
    for _ in range(5):
        answer = await shop.get(BALANCE, headers={"Origin": "https://evil.example"})
        error_of(answer, 403, "DOMAIN_MISMATCH")
    assert (await shop.get(BALANCE)).headers["x-ratelimit-remaining"] == "1"


async def test_the_rate_limit_is_looked_at_before_the_address_and_the_body(
    shop: StoreClient,
) -> None:
    error_of(await shop.get("/api/v1/nothing"), 404, "NOT_FOUND")
    error_of(await shop.send("PUT", BALANCE), 405, "METHOD_NOT_ALLOWED")
    error_of(await shop.get("/api/v1/nothing"), 429, "RATE_LIMIT_EXCEEDED")
    error_of(await shop.create_raw(b"{"), 400, "VALIDATION_ERROR")
    error_of(await shop.create_raw(b"{"), 429, "RATE_LIMIT_EXCEEDED")


async def test_a_refused_request_leaves_nothing_behind_in_memory(api: httpx.AsyncClient) -> None:
    """An error object that is raised again and again keeps everything of every time."""
    for _ in range(50):
        await api.get(BALANCE)
        await api.get("/api/admin/stores")
        await api.get("/nothing")
    gc.collect()
    assert sum(isinstance(each, Visit) for each in gc.get_objects()) < 10


async def test_the_case_of_the_scheme_does_not_matter(store: StoreClient) -> None:
    """RFC 9110, section 11.1."""
    for scheme in ("bearer", "BEARER"):
        answer = await store.get(BALANCE, headers={"Authorization": f"{scheme} {store.api_key}"})
        data_of(answer)


# Several processes


@pytest.fixture
async def second_service(
    settings: Settings, database_url: str, service: Service
) -> AsyncIterator[Service]:
    """Another process of the same service: its own pool, caches and listener."""
    database = await Database.open(database_url)
    async with assembled(settings, database) as other:
        yield other
    await database.close()


async def test_a_revocation_holds_within_a_second_on_another_process(
    operator: Operator, second_service: Service
) -> None:
    async with http_client(second_service) as elsewhere:
        revoked, suspended = await operator.store(), await operator.store()
        for store in (revoked, suspended):
            data_of(await replace(store, http=elsewhere).get(BALANCE))
        await operator.delete(f"/stores/{revoked.store_id}/keys/{revoked.key_id}")
        await operator.patch(f"/stores/{suspended.store_id}", status="suspended")
        await asyncio.sleep(REVOCATION_SECONDS)
        error_of(await replace(revoked, http=elsewhere).get(BALANCE), 401, "API_KEY_REVOKED")
        error_of(await replace(suspended, http=elsewhere).get(BALANCE), 403, "STORE_SUSPENDED")


async def test_a_new_key_works_at_once_on_another_process(
    operator: Operator, second_service: Service
) -> None:
    async with http_client(second_service) as elsewhere:
        store = replace(await operator.store(), http=elsewhere)
        data_of(await store.get(BALANCE))


# Addresses


async def test_an_unknown_address_is_told_in_the_envelope(
    store: StoreClient, operator: Operator, api: httpx.AsyncClient
) -> None:
    for path in ("/nothing", "/api", "/api/", "/api/v1", "/api/v2/health", "/api/redoc"):
        error_of(await api.get(path), 404, "NOT_FOUND")
    for path in ("/api/v1/nothing", "/api/v1/generation", "/api/v1/credits"):
        error_of(await store.get(path), 404, "NOT_FOUND")
    error_of(await operator.get("/nothing"), 404, "NOT_FOUND")
    error_of(await api.get("/api/" + "deep/" * 500), 404, "NOT_FOUND")


async def test_another_spelling_of_an_address_is_no_way_around_the_key(
    api: httpx.AsyncClient, store: StoreClient
) -> None:
    for path in (
        "/api/admin/stores",
        "/api//admin/stores",
        "/api/admin//stores",
        "/api/admin/stores/",
        "/%61pi/admin/stores",
        "/api%2Fadmin%2Fstores",
        "/api/%2Fadmin/stores",
        "/api/v1/../admin/stores",
    ):
        error_of(await api.get(path), 401, "INVALID_API_KEY")
    slashes = httpx.Request("GET", httpx.URL("http://api.test//api/admin/stores"))
    assert slashes.url.raw_path == b"//api/admin/stores"
    error_of(await api.send(slashes), 401, "INVALID_API_KEY")
    for path in (f"{BALANCE}/", "/api//v1/credits/balance", "/api/v1/credits%2Fbalance"):
        error_of(await api.get(path), 401, "INVALID_API_KEY")
        data_of(await store.get(path))


async def test_without_a_configured_token_the_admin_api_is_off(
    settings: Settings, service: Service
) -> None:
    for token in (None, SecretStr("")):
        off = replace(service.parts, settings=settings.model_copy(update={"admin_token": token}))
        async with http_client(replace(service, parts=off)) as api:
            for headers in ({}, bearer(""), bearer("None"), bearer("anything")):
                answer = await api.get("/api/admin/stores", headers=headers)
                error_of(answer, 404, "NOT_FOUND")
