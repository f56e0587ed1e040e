"""Stores and end users who keep asking for generations, each by its own door.

They send the same request id until it is acknowledged.

That is what clients are told to do. Keeps what was asked and what was answered, and notices every
answer that no outage excuses.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx

from storecredit.ledger.owners import Owner, OwnerKind
from tests.crash.waiting import until

IMAGE_URL = "https://images.example/a.png"
CONNECTIONS = 16
CLIENT_TIMEOUT_SECONDS = 30.0
IDLE_CONNECTION_SECONDS = 1.0
ACKNOWLEDGED_MAX_SECONDS = 60.0
RETRY_WAIT_SECONDS = 0.05
THINK_MAX_SECONDS = 0.2
READ_INTERVAL_SECONDS = 0.1
SENT_TWICE_AT_ONCE = 0.15
"""The share of requests that are sent on two connections at the same time."""
REPLAYED = 10
"""How many acknowledged requests are sent once more after a crash."""


@dataclass(frozen=True, slots=True)
class Account:
    """A store as its own server knows it, or an end user as the app does."""

    owner: Owner
    secret: str
    """The store's API key, the user's token."""
    credits: int
    buys: bool = False
    """Whether more is added to its credits meanwhile, and taken back."""


@dataclass(slots=True)
class Asked:
    """One request id, and what came of it."""

    account: Account
    request_id: str
    answers: list[int] = field(default_factory=list)
    session_ids: set[UUID] = field(default_factory=set)
    end: str | None = None
    """`completed` or `failed`, once the session was seen to be so."""

    @property
    def acknowledged(self) -> bool:
        """Whether any sending of it was answered 201 or 200."""
        return bool(self.session_ids)


class Load:
    """A bounded number of clients, asking again and again until told to stop."""

    def __init__(self, client: httpx.AsyncClient, accounts: Sequence[Account], seed: str) -> None:
        self.urls: list[str] = []
        """Where the service may be reached now; a test changes them as it starts processes."""
        self.asked: dict[str, Asked] = {}
        self.wrong: list[str] = []
        """Answers that are never right here: not 201, 200 or 503, or not what they must say."""
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []
        """Requests whose connection was not made, or broke: no outage, no such thing."""
        self._client = client
        self.accounts = accounts
        self._random = Random(seed)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def acknowledged(self) -> list[Asked]:
        """What was answered 201 or 200."""
        return [asked for asked in self.asked.values() if asked.acknowledged]

    @property
    def unacknowledged(self) -> list[Asked]:
        """What was sent, and whose client has not been told what came of it."""
        return [asked for asked in self.asked.values() if not asked.acknowledged]

    async def until_acknowledged(self, more: int) -> None:
        """Wait until that many more requests than now are acknowledged."""
        goal = len(self.acknowledged) + more
        await until(
            lambda: len(self.acknowledged) >= goal or bool(self.wrong),
            f"{goal} requests are acknowledged",
            ACKNOWLEDGED_MAX_SECONDS,
            lambda: f"{len(self.acknowledged)} are; answers so far: {dict(self.statuses)}",
        )
        assert self.wrong == [], "\n".join(self.wrong)

    def start(self) -> None:
        """Begin to ask, or go on."""
        self._stopping.clear()
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ask for nothing more and retry nothing; returns when no answer is awaited any more."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def ask_again(self) -> None:
        """Send everything unacknowledged again until it is answered; replay some of the rest."""
        await self.stop()
        self._stopping.clear()
        answered = self.acknowledged
        again = self._random.sample(answered, min(REPLAYED, len(answered)))
        goal = len(self.unacknowledged)
        sendings = [self._until_acknowledged(asked) for asked in (*self.unacknowledged, *again)]
        answers = asyncio.gather(*sendings)
        try:
            await self.until_acknowledged(goal)
        finally:
            self._stopping.set()
            await answers

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._ask_on())
            group.create_task(self._watch())

    async def _ask_on(self) -> None:
        while not self._stopping.is_set():
            asked = Asked(self._random.choice(self.accounts), f"ask-{len(self.asked) + 1}")
            self.asked[asked.request_id] = asked
            sendings = 2 if self._random.random() < SENT_TWICE_AT_ONCE else 1
            await asyncio.gather(*(self._until_acknowledged(asked) for _ in range(sendings)))
            await asyncio.sleep(self._random.uniform(0, THINK_MAX_SECONDS))

    async def _until_acknowledged(self, asked: Asked) -> None:
        while True:
            if await self._send(asked) or self._stopping.is_set():
                return
            await asyncio.sleep(RETRY_WAIT_SECONDS)

    async def _send(self, asked: Asked) -> bool:
        """Send one request; whether it was acknowledged."""
        path, body = _creation(asked)
        headers = {"X-Request-Id": asked.request_id}
        answer = await self._call("POST", path, asked.account.secret, headers=headers, json=body)
        if answer is None:
            return False
        asked.answers.append(answer.status_code)
        if answer.status_code not in {HTTPStatus.CREATED, HTTPStatus.OK}:
            self._check_refusal(answer)
            return False
        if asked.account.owner.kind is OwnerKind.USER:
            asked.session_ids.add(UUID(_given(answer)["sessionId"]))
            return True
        data = answer.json()["data"]
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        if data["request_id"] != asked.request_id or replayed is not (answer.status_code == 200):
            self.wrong.append(f"{asked.request_id} was answered {answer.text}")
        asked.session_ids.add(UUID(data["session_id"]))
        return True

    async def _watch(self) -> None:
        """Read all the while: an outage is told, never papered over with a number or a 404."""
        while not self._stopping.is_set():
            await self._read_balance(self._random.choice(self.accounts))
            if self.acknowledged:
                await self._read_session(self._random.choice(self.acknowledged))
            await asyncio.sleep(READ_INTERVAL_SECONDS)

    async def _read_balance(self, account: Account) -> None:
        is_user = account.owner.kind is OwnerKind.USER
        data = await self._read(
            "/api/trpc/credits.getBalance" if is_user else "/api/v1/credits/balance", account
        )
        if data is None:
            return
        added = data["total_earned" if is_user else "total_purchased"]
        clawed_back = added - data["total_spent"] - data["balance"]
        bought = added - account.credits
        if min(clawed_back, bought) < 0 or (not account.buys and (clawed_back or bought)):
            self.wrong.append(f"the balance was answered {data}")

    async def _read_session(self, asked: Asked) -> None:
        """What was acknowledged is there, and once it has ended it stays as it is."""
        (session_id,) = asked.session_ids
        path = f"/api/v1/generation/{session_id}"
        if asked.account.owner.kind is OwnerKind.USER:
            named = quote(f'{{"json":{{"sessionId":"{session_id}"}}}}')
            path = f"/api/trpc/generation.getById?input={named}"
        data = await self._read(path, asked.account)
        if data is None:
            return
        end = data["status"] if data["status"] in {"completed", "failed"} else None
        # An end user is told so by the status alone.
        refunded = data.get("credits_refunded", end == "failed")
        if asked.end not in {None, end} or refunded != (end == "failed"):
            self.wrong.append(f"{asked} was answered {data}")
        asked.end = end

    async def _read(self, path: str, account: Account) -> dict[str, Any] | None:
        """The answer's data; None while there is an outage."""
        answer = await self._call("GET", path, account.secret)
        if answer is not None and answer.status_code == HTTPStatus.OK:
            return _given(answer)
        if answer is not None:
            self._check_refusal(answer)
        return None

    def _check_refusal(self, answer: httpx.Response) -> None:
        """During an outage 503 is right, and says when to come back; nothing else ever is."""
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or (
            _code(answer) != "SERVICE_UNAVAILABLE" or int(answer.headers["Retry-After"]) < 1
        ):
            self.wrong.append(f"{answer.status_code} {answer.text}")

    async def _call(
        self,
        method: str,
        path: str,
        secret: str,
        headers: dict[str, str] | None = None,
        json: Any = None,
    ) -> httpx.Response | None:
        """The answer; None when the connection broke or nobody listens."""
        bearer = {"Authorization": f"Bearer {secret}"}
        url = self._random.choice(self.urls) + path
        try:
            answer = await self._client.request(
                method, url, headers=bearer | (headers or {}), json=json
            )
        except httpx.TransportError as error:
            self.broken.append(f"{method} {path}: {error!r}")
            return None
        self.statuses[answer.status_code] += 1
        return answer


def _creation(asked: Asked) -> tuple[str, Any]:
    """Where a generation is asked for by such an owner, and with what."""
    if asked.account.owner.kind is OwnerKind.USER:
        return "/api/trpc/generation.create", {"json": {"modelImageUrl": IMAGE_URL}}
    body = {"image_urls": [IMAGE_URL], "prompt": asked.request_id}
    return "/api/v1/generation/create", body


def _given(answer: httpx.Response) -> dict[str, Any]:
    """What a call gave, by either door."""
    body = answer.json()
    given: dict[str, Any] = body["result"]["data"]["json"] if "result" in body else body["data"]
    return given


def _code(answer: httpx.Response) -> str:
    """Why a call was refused, by either door."""
    error = answer.json()["error"]
    return str(error["json"]["data"]["code"] if "json" in error else error["code"])


L = TypeVar("L", bound=Load)


@asynccontextmanager
async def load_on(
    urls: Sequence[str], new_load: Callable[[httpx.AsyncClient], L]
) -> AsyncIterator[L]:
    """Clients at work for as long as the block lasts, and their answers judged at its end."""
    limits = httpx.Limits(
        max_connections=2 * CONNECTIONS + 1, keepalive_expiry=IDLE_CONNECTION_SECONDS
    )
    async with httpx.AsyncClient(limits=limits, timeout=CLIENT_TIMEOUT_SECONDS) as client:
        load = new_load(client)
        load.urls = list(urls)
        load.start()
        try:
            yield load
        finally:
            await load.stop()
        assert load.wrong == [], "\n".join(load.wrong)
