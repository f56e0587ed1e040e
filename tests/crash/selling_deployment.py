"""A deployment that sells: end users of an app, and Paddle beside it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import asyncpg
import httpx

from stand_ins.paddle.api import API_KEY, WEBHOOK_SECRET
from storecredit.ledger.owners import OwnerKind
from tests.crash.audit import books_of
from tests.crash.deployment import ADMIN_TOKEN, Deployment
from tests.crash.generator_stand_in import Generator
from tests.crash.load import IMAGE_URL, Load
from tests.crash.paddle_process import DELIVERED_MAX_SECONDS, PaddleProcess
from tests.crash.processes import Processes, RunningProcess
from tests.crash.purchase_audit import assert_money_holds, assert_users_hold
from tests.crash.purchase_load import STARTER_CREDITS, PurchaseLoad, Shopper
from tests.web.users import JWT_SECRET, token_of

SHOPPERS = 3
POLL_SECONDS = 0.1
CARDHOLDER = "Nobody in Particular"
"""Whose card every payment at Paddle's stand-in is made with."""
TOKEN_SECONDS = 24 * 3600
UNSETTLED = "SELECT event_id, status, attempts, reason FROM paddle_events WHERE settled_at IS NULL"
SELLING = {
    "STORECREDIT_JWT_SECRET": JWT_SECRET,
    "STORECREDIT_STARTER_CREDITS": str(STARTER_CREDITS),
    "STORECREDIT_BILLING_ATTEMPTS": "12",
    "STORECREDIT_BILLING_BACKOFF_SECONDS": "0.05",
    "STORECREDIT_BILLING_INTERVAL_SECONDS": "0.5",
    "STORECREDIT_PADDLE_TIMEOUT_SECONDS": "5",
}


class SellingDeployment(Deployment):
    """Its stores buy, its end users generate and buy."""

    def __init__(
        self, processes: Processes, generator: Generator, seed: str, paddle: PaddleProcess
    ) -> None:
        super().__init__(processes, generator, seed, SELLING | paddle.settings)
        self.paddle = paddle
        users = [uuid4() for _ in range(SHOPPERS)]
        self._shoppers = [Shopper(id_, token_of(id_, exp=_later())) for id_ in users]

    async def serve(self, *options: str, **settings: str) -> RunningProcess:
        process = await super().serve(*options, **settings)
        stores = [each for each in self.accounts if each.owner.kind is OwnerKind.STORE]
        self.accounts = [replace(store, buys=True) for store in stores]
        await self.paddle.deliver_to(process.url)
        return process

    @asynccontextmanager
    async def purchase_load(self, *doors: RunningProcess) -> AsyncIterator[PurchaseLoad]:
        """The load, known for what it is."""
        async with self.load(*doors) as load:
            assert isinstance(load, PurchaseLoad)
            yield load

    def _new_load(self, client: httpx.AsyncClient) -> Load:
        return PurchaseLoad(client, self.accounts, self._seed, self._shoppers, self.paddle)

    async def assert_all_is_well(self, load: Load) -> None:
        """Let Paddle deliver and the service drain, and judge every row."""
        assert isinstance(load, PurchaseLoad)
        async with books_of(self.processes.data_dir) as books:
            await self._delivered(books)
        await super().assert_all_is_well(load)
        async with books_of(self.processes.data_dir) as books:
            await assert_users_hold(books, load, self.generator, self.processes.data_dir)
            await assert_money_holds(books, load, await self.paddle.state())
        self._assert_nothing_secret_is_logged()

    def _assert_nothing_secret_is_logged(self) -> None:
        """Whatever broke, and however it was reported."""
        logged = self.processes.logs()
        assert b'"event":"paddle_event_settled"' in logged
        secrets = [shopper.token for shopper in self._shoppers]
        secrets += [account.secret for account in self.accounts]
        secrets += [JWT_SECRET, ADMIN_TOKEN, API_KEY, WEBHOOK_SECRET, CARDHOLDER, IMAGE_URL]
        for secret in secrets:
            assert secret.encode() not in logged, secret

    async def _delivered(self, books: asyncpg.Connection) -> None:
        """Wait until every event is taken and settled."""
        undelivered, unsettled = -1, []
        try:
            async with asyncio.timeout(DELIVERED_MAX_SECONDS):
                while True:
                    undelivered = (await self.paddle.state())["undelivered"]
                    unsettled = await books.fetch(UNSETTLED)
                    if not undelivered and not unsettled:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            listed = "\n".join(str(dict(row)) for row in unsettled)
            raise AssertionError(
                f"{undelivered} events are not delivered, these are not settled:\n{listed}\n"
                f"{self.processes.log_tails()}"
            ) from None


def _later() -> int:
    return int(time.time()) + TOKEN_SECONDS
