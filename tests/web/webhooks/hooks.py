"""Webhook endpoints as their owner calls them, by whichever doors."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from tests.web.checklist import UNKNOWN
from tests.web.doors import Operator, StoreClient, data_of, error_of

URL = "https://hats.example/hooks?token=t0p-secret"


@dataclass(frozen=True, slots=True)
class Hooks:
    """One set of doors; `store_id` None: the operator's own endpoints."""

    caller: StoreClient | Operator
    base: str
    store_id: str | None

    async def send(self, method: str, path: str = "", **body: Any) -> httpx.Response:
        options = {"json": body} if body else {}
        return await self.caller.send(method, f"{self.base}{path}", **options)

    async def get(self, path: str = "", **query: Any) -> httpx.Response:
        return await self.caller.get(f"{self.base}{path}", **query)

    async def made(self, **body: Any) -> dict[str, Any]:
        """A new endpoint, with its secret."""
        made: dict[str, Any] = data_of(await self.send("POST", **{"url": URL, **body}), 201)
        return made

    async def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = data_of(await self.get())["items"]
        return items

    async def forget(self) -> None:
        """Delete what there is: the operator's are a whole module's."""
        for each in await self.listed():
            data_of(await self.send("DELETE", f"/{each['endpoint_id']}"))


async def secrets_of(
    admin: asyncpg.Connection, endpoint_id: str
) -> list[tuple[bytes, float | None]]:
    """The secrets that sign now, newest first, and for how many seconds more; None: for ever."""
    rows = await admin.fetch(
        """SELECT secret, extract(epoch FROM expires_at - now())::float8 AS seconds
           FROM storecredit.webhook_secrets
           WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now())
           ORDER BY created_at DESC""",
        UUID(endpoint_id),
    )
    return [(row["secret"], row["seconds"]) for row in rows]


async def assert_absent(hooks: Hooks, path: str) -> None:
    """Every door answers as if there were none, and nothing is told or changed."""
    answers = {}
    for method, below, body in (
        ("GET", "", {}),
        ("PATCH", "", {"description": "mine"}),
        ("DELETE", "", {}),
        ("POST", "/rotate", {}),
        ("POST", "/enable", {}),
        ("POST", "/disable", {}),
        ("POST", "/test", {}),
        ("GET", "/deliveries", {}),
        ("GET", f"/deliveries/evt_{UUID(UNKNOWN).hex}", {}),
        ("POST", f"/deliveries/evt_{UUID(UNKNOWN).hex}/resend", {}),
        ("POST", "/resend", {"since": "2026-01-01T00:00:00Z"}),
    ):
        answer = await hooks.send(method, path + below, **body)
        answers[below] = error_of(answer, 404, "NOT_FOUND")["message"]
    assert set(answers.values()) == {"There is no such webhook endpoint."}
