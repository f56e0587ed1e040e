"""A client that sends each request until it is answered, wherever the service is by then.

It keeps what it has asked and was answered, so that all of it can be sent once more.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx

from tests.crash.load import RETRY_WAIT_SECONDS
from tests.crash.waiting import until
from tests.web.holding import keyed

ANSWERED_MAX_SECONDS: Final = 60.0
ACKNOWLEDGED: Final = {HTTPStatus.OK, HTTPStatus.CREATED}


@dataclass(frozen=True, slots=True)
class Request:
    """A POST, by whoever has this secret; None: it names no id of its own."""

    path: str
    secret: str
    body: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered in the end: `told` is the data, or the error."""

    status: int
    is_replay: bool
    told: Mapping[str, Any]


class PatientClient:
    """Any number of tasks may send at once."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.url = ""
        """Where the service may be reached now; a test changes it as it starts processes."""
        self.answered: list[tuple[Request, Answer]] = []
        self._http = http

    async def ask(self, request: Request) -> Answer:
        """Send a request until it is answered; an outage is told by 503, and by nothing else."""
        answer = await self._until_answered(request)
        self.answered.append((request, answer))
        return answer

    async def acknowledged(self, request: Request) -> Mapping[str, Any]:
        """What is told of a request that is done in the end."""
        answer = await self.ask(request)
        assert answer.status in ACKNOWLEDGED, f"{request} was answered {answer}"
        return answer.told

    async def until_answered(self, more: int) -> None:
        """Wait until that many more requests than now are answered."""
        goal = len(self.answered) + more
        await until(
            lambda: len(self.answered) >= goal,
            f"{goal} requests are answered",
            ANSWERED_MAX_SECONDS,
            lambda: f"{len(self.answered)} are",
        )

    async def replays(self) -> list[tuple[Request, Answer, Answer]]:
        """Send all that was answered once more: each with what it was told first, and now."""
        before = list(self.answered)
        return [
            (request, answer, await self._until_answered(request)) for request, answer in before
        ]

    async def _until_answered(self, request: Request) -> Answer:
        async with asyncio.timeout(ANSWERED_MAX_SECONDS):
            while True:
                answer = await self._sent(request)
                if answer is not None:
                    return answer
                await asyncio.sleep(RETRY_WAIT_SECONDS)

    async def _sent(self, request: Request) -> Answer | None:
        """The answer; None where there was none, or an outage was told."""
        headers = {"Authorization": f"Bearer {request.secret}"} | keyed(request.request_id)
        try:
            answer = await self._http.post(
                self.url + request.path, headers=headers, json=request.body
            )
        except httpx.TransportError:
            return None
        body = answer.json()
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            assert body["error"]["code"] == "SERVICE_UNAVAILABLE", body
            return None
        is_replay = answer.headers.get("Idempotent-Replayed") == "true"
        return Answer(answer.status_code, is_replay, body["data"] or body["error"])
