"""Stores and end users that hold credits and spend, and are given some that soon expire.

They capture, release and extend, and send each request until it is answered. What the answers say
is what must stand in the ledger: all of it, once, and nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import Any, Final

from storecredit.ledger.owners import OwnerKind
from storecredit.web.http.paths import encoded_request
from tests.crash.deployment import ADMIN_TOKEN
from tests.crash.load import IMAGE_URL, Account
from tests.crash.patient_client import PatientClient, Request

BRIEF_SECONDS: Final = 1
LONG_SECONDS: Final = 600
"""How long a hold lasts: over while its client thinks, or longer than the test."""
THINK_MAX_SECONDS: Final = 1.2
GRANT_MAX_SECONDS: Final = 2.0
AMOUNT_MAX: Final = 30
EXTENDED: Final = 0.3
LEFT_ALONE: Final = 0.2
ENDED_TWICE_AT_ONCE: Final = 0.2
"""The shares of holds that are extended, never ended by anybody, captured and released at once."""

Moved = tuple[str, str, int]
"""A movement: its type, the request that it is of, and how many credits."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where an owner's credits are moved: by a store itself, by the operator for an end user."""

    account: Account
    moves: str
    secret: str
    additions: str

    @classmethod
    def of(cls, account: Account) -> "Doors":
        own = f"/api/admin/{account.owner.kind}s/{account.owner.id}"
        if account.owner.kind is OwnerKind.USER:
            return cls(account, own, ADMIN_TOKEN, f"{own}/credits")
        return cls(account, "/api/v1/credits", account.secret, f"{own}/credits")


@dataclass(slots=True)
class ToldHold:
    """A hold as its client knows it."""

    hold_id: str
    request_id: str
    amount: int
    expires_at: datetime
    end: tuple[str, int] | None = None
    """How it ended and how much was captured, by whichever answer told so first."""

    def ended(self, status: str, captured: int) -> None:
        """A further answer tells how it ended: all tell the same."""
        assert self.end in {None, (status, captured)}, f"{self} is now told {status}, {captured}"
        self.end = (status, captured)


class Holder:
    """One client of an owner."""

    def __init__(self, client: PatientClient, doors: Doors, name: str, seed: str) -> None:
        self.account = doors.account
        self.moved: Counter[Moved] = Counter()
        """What was acknowledged, but for the holds."""
        self.holds: list[ToldHold] = []
        self._client = client
        self._doors = doors
        self._name = name
        self._ids = 0
        self._random = Random(f"{seed} {name}")
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Do one thing after the other until told to stop; what was begun is finished."""
        doings = [self._hold, self._hold, self._hold, self._spend, self._be_granted]
        if self.account.owner.kind is OwnerKind.STORE:
            doings.append(self._create)
        while not self._stopping.is_set():
            await self._random.choice(doings)()

    def stop(self) -> None:
        self._stopping.set()

    async def _hold(self) -> None:
        amount, request_id = self._random.randint(1, AMOUNT_MAX), self._new_id()
        seconds = self._random.choice((BRIEF_SECONDS, BRIEF_SECONDS, LONG_SECONDS))
        data = await self._done(
            "/holds", {"amount": amount, "expires_in_seconds": seconds}, request_id
        )
        assert (data["request_id"], data["amount"]) == (request_id, amount)
        expires_at = datetime.fromisoformat(data["expires_at"])
        hold = ToldHold(data["hold_id"], request_id, amount, expires_at)
        self.holds.append(hold)
        if self._random.random() < EXTENDED:
            await self._extend(hold)
        await asyncio.sleep(self._random.uniform(0, THINK_MAX_SECONDS))
        chance = self._random.random()
        if chance < LEFT_ALONE:
            return
        actions = [self._random.choice(("capture", "release"))]
        if chance > 1 - ENDED_TWICE_AT_ONCE:
            actions = ["capture", "release"]
        await asyncio.gather(*(self._end(hold, action) for action in actions))
        if hold.end is not None and hold.end[0] == "captured":
            await self._give_back(hold.request_id, hold.end[1])

    async def _extend(self, hold: ToldHold) -> None:
        seconds = self._random.choice((BRIEF_SECONDS, LONG_SECONDS))
        body = {"expires_in_seconds": seconds}
        answer = await self._client.ask(
            self._request(f"/holds/{hold.hold_id}/extend", body, self._new_id())
        )
        if answer.status == HTTPStatus.OK:
            expires_at = datetime.fromisoformat(answer.told["expires_at"])
            assert expires_at >= hold.expires_at, "a hold never lasts shorter"
            hold.expires_at = expires_at
        else:
            self._has_ended(hold, answer.status, answer.told)

    async def _end(self, hold: ToldHold, action: str) -> None:
        body, captured = None, 0
        if action == "capture":
            captured = self._random.choice((hold.amount, self._random.randint(1, hold.amount)))
            body = {"amount": captured}
        answer = await self._client.ask(self._request(f"/holds/{hold.hold_id}/{action}", body))
        if answer.status == HTTPStatus.OK:
            assert answer.told["captured"] == captured, answer
            assert answer.told["released"] == hold.amount - captured, answer
            hold.ended(answer.told["status"], answer.told["captured"])
        else:
            self._has_ended(hold, answer.status, answer.told)

    def _has_ended(self, hold: ToldHold, status: int, told: Mapping[str, Any]) -> None:
        assert (status, told["code"]) == (HTTPStatus.CONFLICT, "HOLD_ENDED"), told
        hold.ended(told["status"], told["captured"])

    async def _spend(self) -> None:
        amount, request_id = self._random.randint(1, AMOUNT_MAX), self._new_id()
        data = await self._done("/spend", {"amount": amount}, request_id)
        assert (data["amount"], data["charged_as"]) == (amount, "balance")
        self.moved["deduction", request_id, amount] += 1
        # Meanwhile what it was taken from may expire.
        await asyncio.sleep(self._random.uniform(0, THINK_MAX_SECONDS))
        await self._give_back(request_id, amount)

    async def _give_back(self, request_id: str, amount: int) -> None:
        """Nothing, or a part, or all of what was taken under a request id."""
        left = amount
        while left and self._random.random() < 0.5:
            part, refund_id = self._random.randint(1, left), self._new_id()
            path = f"/spend/{encoded_request(request_id)}/refund"
            data = await self._done(path, {"amount": part}, refund_id)
            left -= part
            assert (data["amount"], data["refundable"]) == (part, left)
            self.moved["refund", refund_id, part] += 1

    async def _create(self) -> None:
        request_id = self._new_id()
        path, body = "/api/v1/generation/create", {"image_urls": [IMAGE_URL]}
        data = await self._client.acknowledged(Request(path, self._doors.secret, body, request_id))
        assert data["request_id"] == request_id
        self.moved["deduction", request_id, data["credits_charged"]] += 1

    async def _be_granted(self) -> None:
        amount, request_id = self._random.randint(1, AMOUNT_MAX), self._new_id()
        ahead = timedelta(seconds=self._random.uniform(0.2, GRANT_MAX_SECONDS))
        body = {
            "amount": amount,
            "type": "grant",
            "request_id": request_id,
            "expires_at": (datetime.now(UTC) + ahead).isoformat(),
            "kind": self._random.choice(("paid", "promo")),
            "priority": self._random.choice((1, 100)),
        }
        answer = await self._client.ask(Request(self._doors.additions, ADMIN_TOKEN, body))
        if answer.status == HTTPStatus.BAD_REQUEST:
            [fault] = answer.told["details"]
            assert fault["key"] == "expires_at", "an outage lasted longer than they would have"
            return
        assert answer.status in {HTTPStatus.CREATED, HTTPStatus.OK}, answer
        self.moved["grant", request_id, amount] += 1

    async def _done(self, path: str, body: Mapping[str, Any], request_id: str) -> Mapping[str, Any]:
        return await self._client.acknowledged(self._request(path, body, request_id))

    def _request(
        self, path: str, body: Mapping[str, Any] | None, request_id: str | None = None
    ) -> Request:
        return Request(self._doors.moves + path, self._doors.secret, body, request_id)

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._name}/{self._ids}"
