"""The load, and beside it end users of the app, and stores and users who buy credits at Paddle.

All of them send the same request id until it is acknowledged, some on two connections at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from tests.crash.load import (
    ACKNOWLEDGED_MAX_SECONDS,
    IMAGE_URL,
    REPLAYED,
    RETRY_WAIT_SECONDS,
    SENT_TWICE_AT_ONCE,
    THINK_MAX_SECONDS,
    Account,
    Load,
)
from tests.crash.paddle_process import PaddleProcess
from tests.crash.waiting import until

STARTER_CREDITS = 10_000
PLAN, PLAN_CREDITS = "growth", 800
PACK, PACK_CREDITS = "medium", 60
CREDITS_MIN = 4
CREDITS_MAX = 500
PACKS = 0.1
"""The share of what end users want that is a pack, not a generation."""
PAID = 0.9
"""The share of checkouts that somebody pays."""
CHARGED_BACK = 0.15
"""The share of payments whose money goes back."""
BUYING_WAIT_MAX_SECONDS = 3.0


class What(StrEnum):
    """What somebody wants, once, under one request id."""

    GENERATION = "generation"
    PACK = "pack"
    CREDITS = "credits"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class Shopper:
    """An end user of the app who is signed in."""

    user_id: UUID
    token: str


@dataclass(slots=True)
class Wanted:
    """One request id of an end user, or of a store that buys, and what came of it."""

    buyer: Account | Shopper
    what: What
    request_id: str
    credits: int
    """What it takes, or brings once it is paid."""
    ids: set[str] = field(default_factory=set)
    """The session or the transaction that was answered: one, however often it is sent."""
    paid: bool = False

    @property
    def acknowledged(self) -> bool:
        """Whether any sending of it was answered well."""
        return bool(self.ids)


class PurchaseLoad(Load):
    """The stores' load, with end users and purchases among it."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        accounts: Sequence[Account],
        seed: str,
        shoppers: Sequence[Shopper],
        paddle: PaddleProcess,
    ) -> None:
        super().__init__(client, accounts, seed)
        self.shoppers = shoppers
        self.wanted: dict[str, Wanted] = {}
        self._paddle = paddle

    @property
    def unacknowledged_wants(self) -> list[Wanted]:
        """What was sent, and nobody has been told what came of it."""
        return [wanted for wanted in self.wanted.values() if not wanted.acknowledged]

    def _count(self, *kinds: What) -> int:
        wants = [wanted for wanted in self.wanted.values() if wanted.what in kinds]
        return sum(wanted.paid or wanted.what is What.GENERATION for wanted in wants)

    async def until_bought(self, generations: int, payments: int) -> None:
        """Wait until end users were given so many more generations, and so much more was paid."""
        generated = self._count(What.GENERATION) + generations
        paid = self._count(What.PACK, What.CREDITS, What.SUBSCRIPTION) + payments
        await until(
            lambda: (
                (
                    self._count(What.GENERATION) >= generated
                    and self._count(What.PACK, What.CREDITS, What.SUBSCRIPTION) >= paid
                )
                or bool(self.wrong)
            ),
            f"{generated} generations of users and {paid} payments",
            ACKNOWLEDGED_MAX_SECONDS,
            lambda: f"answers so far: {dict(self.statuses)}",
        )
        assert self.wrong == [], "\n".join(self.wrong)

    async def ask_again(self) -> None:
        await super().ask_again()
        self._stopping.clear()
        answered = [wanted for wanted in self.wanted.values() if wanted.acknowledged]
        again = self._random.sample(answered, min(REPLAYED, len(answered)))
        try:
            async with asyncio.timeout(ACKNOWLEDGED_MAX_SECONDS):
                waiting = (*self.unacknowledged_wants, *again)
                await asyncio.gather(*(self._until_granted(wanted) for wanted in waiting))
        finally:
            self._stopping.set()
        assert self.wrong == [], "\n".join(self.wrong)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._run())
            for shopper in self.shoppers:
                group.create_task(self._use_app(shopper))
            for account in self.accounts:
                group.create_task(self._buy_on(account))

    async def _use_app(self, shopper: Shopper) -> None:
        while not self._stopping.is_set():
            if self._random.random() < PACKS:
                await self._want(shopper, What.PACK, PACK_CREDITS)
            else:
                await self._want(shopper, What.GENERATION, 1)
            await asyncio.sleep(self._random.uniform(0, THINK_MAX_SECONDS))

    async def _buy_on(self, account: Account) -> None:
        """Subscribe once, then buy credits by the piece."""
        if not any(w.buyer == account for w in self.wanted.values()):
            await self._want(account, What.SUBSCRIPTION, PLAN_CREDITS)
        while not self._stopping.is_set():
            await asyncio.sleep(self._random.uniform(0, BUYING_WAIT_MAX_SECONDS))
            await self._want(account, What.CREDITS, self._random.randint(CREDITS_MIN, CREDITS_MAX))

    async def _want(self, buyer: Account | Shopper, what: What, credits: int) -> None:
        wanted = Wanted(buyer, what, f"want-{len(self.wanted) + 1}", credits)
        self.wanted[wanted.request_id] = wanted
        sendings = 2 if self._random.random() < SENT_TWICE_AT_ONCE else 1
        await asyncio.gather(*(self._until_granted(wanted) for _ in range(sendings)))
        if what is not What.GENERATION and wanted.acknowledged and not self.wrong:
            await self._pay(wanted)

    async def _pay(self, wanted: Wanted) -> None:
        (transaction_id,) = wanted.ids
        wanted.paid = self._random.random() < PAID or wanted.what is What.SUBSCRIPTION
        if not wanted.paid:
            return
        await self._paddle.pay(transaction_id)
        if wanted.what is What.SUBSCRIPTION:
            await self._paddle.renew(transaction_id)
        elif self._random.random() < CHARGED_BACK:
            await self._paddle.charge_back(transaction_id)

    async def _until_granted(self, wanted: Wanted) -> None:
        while True:
            if await self._granted(wanted) or self._stopping.is_set():
                return
            await asyncio.sleep(RETRY_WAIT_SECONDS)

    async def _granted(self, wanted: Wanted) -> bool:
        """Send it once; whether it was answered well."""
        path, body = _request(wanted)
        buyer = wanted.buyer
        secret = buyer.secret if isinstance(buyer, Account) else buyer.token
        headers = {"X-Request-Id": wanted.request_id}
        answer = await self._call("POST", path, secret, headers=headers, json=body)
        if answer is None:
            return False
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            self._check_unavailable(answer)
            return False
        wanted.ids.add(_granted_id(wanted, answer.json()))
        if len(wanted.ids) > 1 or answer.headers["X-Request-Id"] != wanted.request_id:
            self.wrong.append(f"{wanted} was answered {answer.text}")
        return True

    def _check_unavailable(self, answer: httpx.Response) -> None:
        if "result" in answer.json() or "data" in answer.json():
            self._check_refusal(answer)
        elif answer.json()["error"]["json"]["data"]["code"] != "SERVICE_UNAVAILABLE":
            self.wrong.append(f"{answer.status_code} {answer.text}")


def _request(wanted: Wanted) -> tuple[str, Any]:
    match wanted.what:
        case What.GENERATION:
            input_ = {"modelImageUrl": IMAGE_URL}
            return "/api/trpc/generation.create", {"json": input_}
        case What.PACK:
            return "/api/trpc/credits.purchase", {"json": {"packId": PACK}}
        case What.CREDITS:
            return "/api/v1/billing/checkout", {"credits": wanted.credits}
        case What.SUBSCRIPTION:
            return "/api/v1/billing/checkout", {"plan": PLAN}


def _granted_id(wanted: Wanted, body: Any) -> str:
    """The id of what was answered, session or transaction."""
    match wanted.what:
        case What.GENERATION:
            return str(body["result"]["data"]["json"]["sessionId"])
        case What.PACK:
            return str(body["result"]["data"]["json"]["transactionId"])
        case What.CREDITS | What.SUBSCRIPTION:
            return str(body["data"]["transaction_id"])
