"""The B2C door as an app's tRPC client meets it: end users with tokens, calls and their answers."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import jwt
import msgspec

from storecredit.web.trpc.superjson import UNDEFINED, deserialize, serialize
from tests.web.doors import ENDING_SECONDS_MAX, IMAGE, bearer

JWT_SECRET = "the secret of the app's own sign-in service"
TRPC = "/api/trpc"
APP_ORIGIN = "https://app.example"


def token_of(user_id: UUID | str, **claims: object) -> str:
    """A token as the app's sign-in service gives it out."""
    said = {"sub": str(user_id), "aud": "authenticated", "exp": int(time.time()) + 600}
    return jwt.encode(said | claims, JWT_SECRET, algorithm="HS256")


def result_of(answer: httpx.Response, status: int = 200) -> Any:
    """What a call that was not in a batch gave."""
    assert answer.status_code == status, answer.text
    return result_in(body_of(answer))


def result_in(shape: Any) -> Any:
    """What one call gave, as the app's client reads it."""
    assert set(shape) == {"result"}, shape
    assert set(shape["result"]) == {"data"}
    return deserialize(shape["result"]["data"])


def error_in(shape: Any, status: int, code: str, path: str | None) -> str:
    """The message of one call's error."""
    assert set(shape) == {"error"}, shape
    error = deserialize(shape["error"])
    assert set(error) == {"message", "code", "data"}
    wanted: dict[str, object] = {"code": code, "httpStatus": status}
    assert error["data"] == (wanted if path is None else wanted | {"path": path})
    assert isinstance(error["code"], int)
    for hidden in ("Traceback", "SELECT", "asyncpg", "litestar", "msgspec", "storecredit."):
        assert hidden not in error["message"]
    message: str = error["message"]
    return message


def refusal_of(answer: httpx.Response, status: int, code: str, path: str | None = None) -> str:
    """The message of a refusal."""
    assert answer.status_code == status, answer.text
    return error_in(body_of(answer), status, code, path)


def body_of(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    return answer.json()


Calls = Sequence[tuple[str, object]]
"""Procedures and their inputs, UNDEFINED: none."""


@dataclass(frozen=True, slots=True)
class UserClient:
    """An end user's app: calls as httpLink and httpBatchLink make them."""

    http: httpx.AsyncClient
    user_id: UUID
    token: str

    async def query(
        self, path: str, input_: object = UNDEFINED, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self.send("GET", path, serialize(input_), headers=headers)

    async def mutate(
        self, path: str, input_: object = UNDEFINED, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self.send("POST", path, serialize(input_), headers=headers)

    async def batch(
        self, method: str, calls: Calls, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        paths = ",".join(path for path, _ in calls)
        inputs = {str(place): serialize(input_) for place, (_, input_) in enumerate(calls)}
        return await self.send(method, f"{paths}?batch=1", inputs, headers=headers)

    async def send(
        self, method: str, path: str, content: object, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        text = msgspec.json.encode(content)
        named = bearer(self.token) | dict(headers or {})
        if method == "GET":
            url = f"{TRPC}/{path}{'&' if '?' in path else '?'}input={quote(text)}"
            return await self.http.get(url, headers=named)
        named = {"Content-Type": "application/json"} | named
        return await self.http.request(method, f"{TRPC}/{path}", headers=named, content=text)

    async def create(self, request_id: str | None = None, **input_: object) -> httpx.Response:
        """Ask for a generation; unless `input_` says otherwise, of one small image."""
        named = {"X-Request-Id": request_id} if request_id else {}
        return await self.mutate(
            "generation.create", {"modelImageUrl": IMAGE} | input_, headers=named
        )

    async def created(self, request_id: str | None = None, **input_: object) -> str:
        """The id of a session that was asked for."""
        session_id: str = result_of(await self.create(request_id, **input_))["sessionId"]
        return session_id

    async def balance(self) -> int:
        balance: int = result_of(await self.query("credits.getBalance"))["balance"]
        return balance

    async def generation(self, session_id: str) -> dict[str, Any]:
        answer = await self.query("generation.getById", {"sessionId": session_id})
        generation: dict[str, Any] = result_of(answer)
        return generation


def user_of(http: httpx.AsyncClient, user_id: UUID | None = None, **claims: object) -> UserClient:
    """A user who has signed in."""
    user_id = user_id or uuid4()
    return UserClient(http, user_id, token_of(user_id, **claims))


async def ended(user: UserClient, session_id: str) -> dict[str, Any]:
    """The generation, once its status is final."""
    async with asyncio.timeout(ENDING_SECONDS_MAX):
        while True:
            generation = await user.generation(session_id)
            if generation["status"] in {"completed", "failed"}:
                return generation
            await asyncio.sleep(0.02)
