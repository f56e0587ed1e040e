"""The API as its callers meet it: a store's developer with a key, the operator with the token."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.image_files import data_url, picture

OPERATOR_TOKEN = "the-operators-token"
CREATE = "/api/v1/generation/create"
ENDING_SECONDS_MAX = 30.0
REVOCATION_SECONDS = 1.0
"""What is revoked or suspended is refused this long afterwards, on every process."""

IMAGE = data_url(picture())
"""A small red PNG that every generator takes."""


def data_of(answer: httpx.Response, status: int = 200) -> Any:
    """The `data` of a successful answer in the envelope."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert set(body) == {"data", "error"}
    assert body["error"] is None
    return body["data"]


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The `error` of a refusal in the envelope."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert set(body) == {"data", "error"}
    assert body["data"] is None
    error: dict[str, Any] = body["error"]
    assert error["code"] == code
    assert error["message"].endswith("."), "a message is a sentence for people"
    for hidden in ("Traceback", "SELECT", "asyncpg", "litestar", "msgspec"):
        assert hidden not in answer.text
    return error


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@dataclass(frozen=True, slots=True)
class StoreClient:
    """A store that calls the API with its key."""

    http: httpx.AsyncClient
    store_id: str
    key_id: str
    api_key: str

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        headers = bearer(self.api_key) | dict(headers or {})
        return await self.http.request(method, path, headers=headers, **options)

    async def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        wanted = {name.rstrip("_"): str(value) for name, value in query.items()}
        return await self.send("GET", path, headers=headers, params=wanted or None)

    async def create(
        self,
        request_id: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Ask for a generation; unless `body` says otherwise, of one small image."""
        named = {"X-Request-Id": request_id} if request_id else {}
        body = {"image_urls": [IMAGE]} | body
        return await self.send("POST", CREATE, headers=named | dict(headers or {}), json=body)

    async def create_raw(self, content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send(
            "POST", CREATE, headers={"content-type": "application/json"} | named, content=content
        )

    async def created(self, request_id: str | None = None, **body: Any) -> str:
        """The id of a new session."""
        session_id: str = data_of(await self.create(request_id, **body), 201)["session_id"]
        return session_id

    async def balance(self) -> int:
        balance: int = data_of(await self.get("/api/v1/credits/balance"))["balance"]
        return balance

    async def generation(self, session_id: str) -> dict[str, Any]:
        generation: dict[str, Any] = data_of(await self.get(f"/api/v1/generation/{session_id}"))
        return generation

    async def ended(self, session_id: str) -> dict[str, Any]:
        """The generation, once its status is final."""
        async with asyncio.timeout(ENDING_SECONDS_MAX):
            while True:
                generation = await self.generation(session_id)
                if generation["status"] in {"completed", "failed"}:
                    return generation
                await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator, who calls `/api/admin` with the token."""

    http: httpx.AsyncClient

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        headers = bearer(OPERATOR_TOKEN) | dict(headers or {})
        return await self.http.request(method, f"/api/admin{path}", headers=headers, **options)

    async def get(self, path: str, **query: Any) -> httpx.Response:
        wanted = {name.rstrip("_"): str(value) for name, value in query.items()}
        return await self.send("GET", path, params=wanted or None)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.send("POST", path, json=body)

    async def patch(self, path: str, **body: Any) -> httpx.Response:
        return await self.send("PATCH", path, json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self.send("DELETE", path)

    async def store(
        self,
        *,
        credits: int = 100,
        tier: str = "unlimited",
        allowed_origins: tuple[str, ...] = (),
        name: str = "A shop",
    ) -> StoreClient:
        """Make a store; it calls through the same HTTP client."""
        answer = await self.post(
            "/stores",
            name=name,
            shop_domain="shop.example",
            tier=tier,
            credits=credits,
            allowed_origins=allowed_origins,
        )
        made = data_of(answer, 201)
        return StoreClient(self.http, made["store_id"], made["key_id"], made["api_key"])
