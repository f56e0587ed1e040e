"""A good client: it sends the same request under the same id until it is told what came of it.

Each sending is noted before it goes out, and again when it is answered or broken off.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from random import Random
from typing import Any, Final

import httpx

from tests.torture.record import Record

RETRY_MIN_SECONDS: Final = 0.03
RETRY_MAX_SECONDS: Final = 0.6
LIMIT_WAIT_MAX_SECONDS: Final = 1.0
ANSWER_MAX_SECONDS: Final = 6.0
SETUP_ANSWER_MAX_SECONDS: Final = 60.0
"""Nothing is struck yet, and what is sent then may not be sent a second time."""
SENT_TWICE_AT_ONCE: Final = 0.08
"""The share of requests that are sent on two connections at the same time."""
COME_AGAIN: Final = {
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
    # Its key was replaced meanwhile: the next sending goes out with the one in force.
    HTTPStatus.UNAUTHORIZED,
}
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that somebody wants done once."""

    kind: str
    owner: str
    """`store:…` or `user:…`."""
    method: str
    path: str
    secret: Callable[[], str]
    body: Mapping[str, Any] | None = None
    key: str | None = None
    """The request id; null: it changes nothing, or may be done twice."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What the checker is to know of it."""
    is_key_in_body: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a request came to: `data` of an answer that is well, else its error."""

    status: int
    replayed: bool
    data: Mapping[str, Any]

    @property
    def is_well(self) -> bool:
        return self.status in {HTTPStatus.OK, HTTPStatus.CREATED}


class Asking:
    """Any number of clients, who ask by several doors, and know when to go home."""

    def __init__(self, record: Record, doors: Sequence[Callable[[], str]], seed: str) -> None:
        """`doors` say where each process may be reached now."""
        self.stopping = asyncio.Event()
        """Set: nothing new is begun."""
        self.giving_up = asyncio.Event()
        """Set: nothing is sent again either."""
        self.doors = doors
        self.answered = 0
        self._record = record
        self._random = Random(f"{seed} asking")
        limits = httpx.Limits(max_connections=200, keepalive_expiry=2.0)
        self.http = httpx.AsyncClient(limits=limits, timeout=SETUP_ANSWER_MAX_SECONDS)

    def be_impatient(self) -> None:
        """From now on what is not answered soon is sent again: it may never be answered."""
        self.http.timeout = ANSWER_MAX_SECONDS

    async def ask(self, wish: Wish) -> Told | None:
        """Send it until it is answered; None: it was given up."""
        number = next(_NUMBERS)
        twice = wish.key is not None and self._random.random() < SENT_TWICE_AT_ONCE
        first, *others = await asyncio.gather(
            *(self._until_answered(wish, number, 1000 * place) for place in range(1 + twice))
        )
        # The one that did it says more than the one that found it done.
        return next((each for each in others if each and each.is_well and not each.replayed), first)

    async def _until_answered(self, wish: Wish, number: int, attempt: int) -> Told | None:
        while not self.giving_up.is_set():
            attempt += 1
            told = await self._send(wish, number, attempt)
            if told is not None:
                self.answered += 1
                return told
            wait = self._random.uniform(RETRY_MIN_SECONDS, RETRY_MAX_SECONDS)
            await asyncio.sleep(wait)
        return None

    async def _send(self, wish: Wish, number: int, attempt: int) -> Told | None:
        """One sending; None: nobody knows what came of it, or it may not be done now."""
        place = self._random.randrange(len(self.doors))
        named: dict[str, Any] = {"n": number, "attempt": attempt}
        self._record.note(
            "asked",
            **named,
            owner=wish.owner,
            kind=wish.kind,
            key=wish.key,
            door=place,
            said=dict(wish.said),
        )
        headers = {"Authorization": f"Bearer {wish.secret()}"}
        if wish.key is not None and not wish.is_key_in_body:
            name = "X-Request-Id" if wish.path.startswith("/api/trpc/") else "Idempotency-Key"
            headers[name] = wish.key
        try:
            answer = await self.http.request(
                wish.method, self.doors[place]() + wish.path, headers=headers, json=wish.body
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            self._record.note("unanswered", **named, why=type(error).__name__)
            return None
        told = _told(answer)
        self._record.note(
            "answered", **named, status=told.status, replayed=told.replayed, told=told.data
        )
        if told.status == HTTPStatus.TOO_MANY_REQUESTS:
            await asyncio.sleep(self._random.uniform(0.1, LIMIT_WAIT_MAX_SECONDS))
        return None if told.status in COME_AGAIN else told


def _told(answer: httpx.Response) -> Told:
    replayed = answer.headers.get("Idempotent-Replayed") == "true"
    try:
        body = answer.json()
    except ValueError:
        return Told(answer.status_code, replayed, {"code": "NO_JSON"})
    if "result" in body:
        return Told(answer.status_code, replayed, body["result"]["data"]["json"])
    error = body.get("error")
    if error and "json" in error:
        return Told(answer.status_code, replayed, error["json"]["data"])
    told = body.get("data") or error
    return Told(answer.status_code, replayed, told if isinstance(told, dict) else {"list": told})
