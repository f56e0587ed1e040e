"""The stand-in as others meet it: checkout page, delivery of events, remote control.

`POST /control/<what>` with a JSON body:

    pay       {"transaction_id"}                          the buyer completes the checkout
    renew     {"subscription_id", "paid"?}                the next month begins
    recover   {"transaction_id"}                          a past due payment succeeds
    change    {"subscription_id", "status"}               pause, resume, cancel
    adjust    {"transaction_id", "action"?, "subtotal"?, "status"?}
    decide    {"adjustment_id", "status"}                 of a refund that waits for approval
    fail      {"failures": ["DO_THEN_BREAK_OFF", …]}      of the API's next requests
    deliver   {"on": true|false, "to"?}                   hold deliveries back, let them go there

Each answers `{"events": [event ids]}`. `GET /control/state` shows everything, and how many events
are still to be delivered. `GET /pay?_ptxn=…` is a checkout page with one button.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from stand_ins.http_server import Answer, Received, StandIn, json_answer
from stand_ins.paddle.account import Account, Event
from stand_ins.paddle.api import API_KEY, WEBHOOK_SECRET, Failure, PaddleStandIn
from stand_ins.paddle.webhooks import ANSWER_LIMIT_SECONDS, Webhooks

RETRY_SECONDS = 0.25
"""Wait after a delivery that was not taken; Paddle's own waits go from a minute to hours."""
BATCH_MAX = 20
"""Events that are shuffled among each other."""

PAGE = """<!doctype html><meta charset="utf-8"><title>Paddle stand-in</title>
<h1>{title}</h1><p>{amount} {currency}, tax included. Status: {status}.</p>
<form method="post"><button>Pay (no real money)</button></form>"""


class Deliveries:
    """Delivers each event until it is taken; some twice, and not always in order."""

    def __init__(
        self, account: Account, webhooks: Webhooks, duplicates: float, rng: Random
    ) -> None:
        self.on = asyncio.Event()
        self.on.set()
        self.delivered = 0
        self._account = account
        self._webhooks = webhooks
        self._duplicates = duplicates
        self._rng = rng

    @property
    def waiting(self) -> int:
        """How many events were not taken yet."""
        return len(self._account.events) - self.delivered

    def to(self, url: str) -> None:
        """Deliver there from now on."""
        self._webhooks.url = url

    async def run(self, *, shuffle: bool) -> None:
        """Until cancelled."""
        while True:
            await self.on.wait()
            batch = self._account.events[self.delivered : self.delivered + BATCH_MAX]
            if not batch:
                await asyncio.sleep(RETRY_SECONDS / 5)
                continue
            queue = [event for event in batch for _ in range(self._copies())]
            if shuffle:
                self._rng.shuffle(queue)
            for event in queue:
                await self._deliver(event)
            self.delivered += len(batch)

    def _copies(self) -> int:
        return 2 if self._rng.random() < self._duplicates else 1

    async def _deliver(self, event: Event) -> None:
        while True:
            await self.on.wait()
            with contextlib.suppress(httpx.HTTPError):
                answer = await self._webhooks.send(event)
                if answer.status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Control:
    """The API, and beside it the ways that are not Paddle's."""

    paddle: PaddleStandIn
    deliveries: Deliveries | None

    def handle(self, request: Received) -> Answer:
        """Answer any request."""
        path = urlsplit(request.path).path
        if path == "/pay":
            return self._checkout(request)
        if not path.startswith("/control/"):
            return self.paddle.handle(request)
        if path == "/control/state":
            return json_answer(self._state())
        try:
            events = self._obey(path.removeprefix("/control/"), request.json())
        except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)
        return json_answer({"events": [event.event_id for event in events]})

    def _obey(self, what: str, asked: dict[str, Any]) -> Iterable[Event]:
        account = self.paddle.account
        match what:
            case "pay":
                return account.pay(**asked)
            case "renew":
                return account.renew(**asked)
            case "recover":
                return account.recover(**asked)
            case "change":
                return account.change_subscription(**asked)
            case "adjust":
                return [account.adjust(**asked)]
            case "decide":
                return [account.decide(**asked)]
            case "fail":
                self.paddle.failures.extend(Failure[name] for name in asked["failures"])
                return []
            case "deliver":
                return self._hold(**asked)
            case _:
                raise ValueError(f"no such control: {what}")

    def _hold(self, *, on: bool, to: str | None = None) -> list[Event]:
        if self.deliveries is None:
            raise ValueError("started without --webhook-url")
        if to is not None:
            self.deliveries.to(to)
        if on:
            self.deliveries.on.set()
        else:
            self.deliveries.on.clear()
        return []

    def _state(self) -> dict[str, object]:
        account = self.paddle.account
        return {
            "transactions": list(account.transactions.values()),
            "subscriptions": list(account.subscriptions.values()),
            "adjustments": list(account.adjustments.values()),
            "events": [[event.event_id, event.event_type] for event in account.events],
            "undelivered": self.deliveries.waiting if self.deliveries else 0,
            "requests": [[request.method, request.path] for request in self.paddle.requests],
        }

    def _checkout(self, request: Received) -> Answer:
        account = self.paddle.account
        id_ = parse_qs(urlsplit(request.path).query).get("_ptxn", [""])[0]
        if id_ not in account.transactions:
            return Answer(404, b"No such transaction.")
        transaction = account.transactions[id_]
        if request.method == "POST" and transaction["status"] in ("draft", "ready"):
            account.pay(id_)
        totals = transaction["details"]["totals"]
        page = PAGE.format(
            title=transaction["items"][0]["price"]["description"],
            amount=f"{int(totals['total']) / 100:.2f}",
            currency=totals["currency_code"],
            status=transaction["status"],
        )
        return Answer(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where events are delivered to ("": nowhere), the share that comes twice, and the order."""

    to: str = ""
    duplicates: float = 0.0
    shuffle: bool = False
    seed: int = 0


@contextlib.asynccontextmanager
async def paddle_on(
    listening: socket.socket,
    delivery: Delivery,
    api_key: str = API_KEY,
    webhook_secret: str = WEBHOOK_SECRET,
) -> AsyncIterator[PaddleStandIn]:
    """All of the stand-in, served on that socket, until the block ends."""
    account = Account("")
    paddle = PaddleStandIn(account, api_key, webhook_secret)
    paddle.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    account.checkout_page = f"{paddle.url}/pay"
    deliveries = None
    if delivery.to:
        webhooks = paddle.webhooks(delivery.to, wait_max_seconds=ANSWER_LIMIT_SECONDS)
        deliveries = Deliveries(account, webhooks, delivery.duplicates, Random(delivery.seed))
    server = StandIn(Control(paddle, deliveries).handle)
    async with (
        await asyncio.start_server(server.serve, sock=listening),
        asyncio.TaskGroup() as group,
    ):
        delivering = deliveries and group.create_task(deliveries.run(shuffle=delivery.shuffle))
        yield paddle
        if delivering:
            delivering.cancel()
