"""Parties whose credits also move by themselves: bought, billed, given for a time, held briefly."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.crash.paddle_process import PaddleProcess
from tests.torture.asking import Asking, Wish
from tests.torture.doings import Doer, Doing
from tests.torture.parties import Party
from tests.torture.record import Record

PLAN: Final = "growth"
PACK: Final = "medium"
CREDITS_MIN: Final = 4
CREDITS_MAX: Final = 300
BRIEF_HOLD_SECONDS: Final = 1
GRANT_MAX_SECONDS: Final = 3.0
PAID: Final = 0.9
CHARGED_BACK: Final = 0.2
"""The share of checkouts that somebody pays, and of payments whose money goes back."""
TOP_UP: Final = {"threshold": 100_000, "credits": 150, "max_per_day": 10, "max_per_month": 100}
ASKED_AGAIN_SECONDS: Final = 0.5


class Trader(Doer):
    """A client of a party that buys, and whose credits expire."""

    def __init__(
        self,
        party: Party,
        others: Sequence[Party],
        asking: Asking,
        name: str,
        seed: str,
        paddle: PaddleProcess,
        record: Record,
    ) -> None:
        super().__init__(party, others, asking, name, seed)
        self._paddle = paddle
        self._record = record

    def doings(self) -> Mapping[Doing, int]:
        usual = dict(super().doings())
        return usual | {self._be_given_for_a_time: 6, self._hold_briefly: 6, self._buy: 8}

    async def subscribe(self) -> None:
        """Once: what a store pays for each month, and has it buy by itself when it runs low."""
        transaction_id = await self._check_out({"plan": PLAN})
        if transaction_id is None:
            return
        await self._paddle.pay(transaction_id)
        self._record.note("paid", transaction=transaction_id)
        where = (self.party.owner, "PUT", "/api/v1/top-up", self.party.own_secret)
        # Only once Paddle has told of the subscription.
        while not self._asking.stopping.is_set():
            told = await self.ask(Wish("top_up", *where, TOP_UP))
            if told is not None and told.is_well:
                return
            await asyncio.sleep(ASKED_AGAIN_SECONDS)

    async def _be_given_for_a_time(self) -> None:
        ahead = timedelta(seconds=self.random.uniform(1.0, GRANT_MAX_SECONDS))
        await self.be_given_until(datetime.now(UTC) + ahead)

    async def be_given_until(self, end: datetime) -> None:
        """Credits that end then; an outage may last longer than they would have."""
        kind, priority = self.random.choice(("paid", "promo")), self.random.choice((1, 100))
        await self.be_given(expires_at=end.isoformat(), kind=kind, priority=priority)

    async def _hold_briefly(self) -> None:
        await self.hold(BRIEF_HOLD_SECONDS)

    async def _buy(self) -> None:
        if self.party.is_store:
            what: Mapping[str, Any] = {"credits": self.random.randint(CREDITS_MIN, CREDITS_MAX)}
        else:
            what = {"json": {"packId": PACK}}
        transaction_id = await self._check_out(what)
        if transaction_id is None or self.random.random() > PAID:
            return
        await self._paddle.pay(transaction_id)
        self._record.note("paid", transaction=transaction_id)
        if self.random.random() < CHARGED_BACK:
            await self._paddle.charge_back(transaction_id)
            self._record.note("charged_back", transaction=transaction_id)

    async def _check_out(self, what: Mapping[str, Any]) -> str | None:
        path = "/api/v1/billing/checkout" if self.party.is_store else "/api/trpc/credits.purchase"
        where = (self.party.owner, "POST", path, self.party.own_secret)
        told = await self.ask(Wish("checkout", *where, what, self.new_id()))
        if told is None or not told.is_well:
            return None
        return str(told.data["transaction_id" if self.party.is_store else "transactionId"])
