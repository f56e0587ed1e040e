"""What stands before a service, and may lose an answer or give one of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
import msgspec

from stand_ins.http_server import Answer, Received, StandIn, json_answer, stand_in

FATES = "/fates"
"""Where a client outside this process says what is to become of its next requests."""
_OF_A_CONNECTION = {"connection", "content-length", "transfer-encoding", "content-encoding", "host"}

Fate = Literal["pass", "lose"] | Answer
"""`lose`: the service is asked, and what it answers is never heard."""


@dataclass(slots=True)
class Relay:
    """Passes requests on; `fates` are those of the next ones, in order, and then all pass."""

    service: httpx.AsyncClient
    fates: list[Fate] = field(default_factory=list)
    seen: list[Received] = field(default_factory=list)
    server: StandIn | None = None

    @property
    def url(self) -> str:
        """Its address."""
        assert self.server is not None
        return self.server.url("")

    async def answer(self, request: Received) -> Answer:
        """What becomes of one request."""
        if request.path == FATES:
            self.fates[:] = [_fate(told) for told in msgspec.json.decode(request.body)]
            return json_answer({})
        self.seen.append(request)
        fate = self.fates.pop(0) if self.fates else "pass"
        if isinstance(fate, Answer):
            return fate
        answered = await self._passed_on(request)
        return Answer(break_off=True) if fate == "lose" else answered

    async def _passed_on(self, request: Received) -> Answer:
        answer = await self.service.request(
            request.method,
            request.path,
            headers={n: v for n, v in request.headers.items() if n not in _OF_A_CONNECTION},
            content=request.body,
        )
        headers = {n: v for n, v in answer.headers.items() if n not in _OF_A_CONNECTION}
        return Answer(answer.status_code, answer.content, headers)


def _fate(told: str | dict[str, str]) -> Fate:
    """As it is told in JSON: a word, or the `Retry-After` of a refusal."""
    match told:
        case "pass" | "lose":
            return told
        case {"retry_after": str(seconds)}:
            return too_many(seconds)
        case _:
            raise ValueError(f"no fate: {told!r}")


def too_many(retry_after: str) -> Answer:
    """429, as a proxy says it: with a page of its own."""
    return Answer(429, b"<h1>Too many requests</h1>", {"Retry-After": retry_after})


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    """A relay before the service on this port."""
    # It waits for as long as clients do.
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as service:
        relay = Relay(service)
        async with stand_in(relay.answer) as server:
            relay.server = server
            yield relay
