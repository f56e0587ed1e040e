"""Stores that used overage last month, a Paddle that can be held up, and the bills."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from stand_ins.http_server import Answer, Received, stand_in
from stand_ins.paddle.account import Account
from stand_ins.paddle.api import API_KEY, WEBHOOK_SECRET, PaddleStandIn
from stand_ins.paddle.entities import Entity
from storecredit.ledger.owners import Owner
from tests.billing.sql_sales import account_of
from tests.passing_time import well_within_a_day
from tests.sql.ledgers import open_store

LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Hold:
    """A place at which Paddle stands still: it was reached, and may go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_(self) -> None:
        self.reached.set()
        await self.may_go_on.wait()


@dataclass(slots=True)
class Paddle:
    """The stand-in. Its next charge can be held, before or after it is made; so can a listing."""

    api: PaddleStandIn
    before_charge: Hold | None = None
    after_charge: Hold | None = None
    at_listing: Hold | None = None
    lists_charges: bool = True

    @property
    def account(self) -> Account:
        return self.api.account

    def charges(self) -> list[Entity]:
        """Every charge that was made, by whomever."""
        return [
            transaction
            for transaction in self.account.transactions.values()
            if transaction["origin"] == "subscription_charge"
        ]

    def subscribe(self) -> str:
        """The id of a new, active subscription."""
        price = {
            "description": "starter",
            "unit_price": {"amount": "4900", "currency_code": "USD"},
            "billing_cycle": {"interval": "month", "frequency": 1},
            "product": {"name": "starter", "tax_category": "standard"},
        }
        opened = self.account.open([{"price": price, "quantity": 1}], "USD", None)
        self.account.pay(opened["id"])
        return str(opened["subscription_id"])

    async def answer(self, received: Received) -> Answer:
        """Let the stand-in answer, now or when the test allows it."""
        if received.method == "POST":
            before, self.before_charge = self.before_charge, None
            after, self.after_charge = self.after_charge, None
        else:
            before, after, self.at_listing = self.at_listing, None, None
        if before is not None:
            await before.pass_()
        listed = self.lists_charges or received.method == "POST"
        answer = self.api.handle(received) if listed else self._without_charges(received)
        if after is not None:
            await after.pass_()
        return answer

    def _without_charges(self, received: Received) -> Answer:
        known = self.account.transactions
        listed = {id_: t for id_, t in known.items() if t["origin"] != "subscription_charge"}
        self.account.transactions = listed
        try:
            return self.api.handle(received)
        finally:
            self.account.transactions = known


@asynccontextmanager
async def holdable_paddle() -> AsyncIterator[Paddle]:
    """Run it on a free port of loopback for as long as the block lasts."""
    api = PaddleStandIn(Account("https://shop.example/pay"), API_KEY, WEBHOOK_SECRET)
    paddle = Paddle(api)
    async with stand_in(paddle.answer) as server:
        api.url = server.url("")
        yield paddle


async def store_with_overage(admin: asyncpg.Connection, credits: int) -> UUID:
    """A store that used so much beyond its balance, all of it last month."""
    store_id = await open_store(admin)
    await use_overage(admin, store_id, credits, last_month=True)
    return store_id


async def use_overage(
    admin: asyncpg.Connection, store_id: UUID, credits: int, *, last_month: bool
) -> str:
    """One deduction beyond the balance; its request id."""
    await well_within_a_day(admin)
    request_id = f"over-{uuid4()}"
    account_id = await account_of(admin, Owner.store(store_id))
    assert await admin.fetchval("SELECT set_overage_limit($1, $2)", account_id, LIMIT)
    deduct = "SELECT outcomes FROM deduct_from_accounts(ARRAY[$1::bigint], ARRAY[$2::int], $3, $3)"
    assert await admin.fetchval(deduct, account_id, credits, [request_id]) == ["overage"]
    if last_month:
        await admin.execute(
            """UPDATE movements
               SET created_at = date_trunc('month', now(), 'UTC') - interval '1 second'
               WHERE account_id = $1 AND request_id = $2""",
            account_id,
            request_id,
        )
    return request_id


async def subscribe(
    admin: asyncpg.Connection, store_id: UUID, subscription_id: str, plan: str = "starter"
) -> None:
    """Paddle told us of the store's subscription."""
    await admin.execute(
        """WITH sold AS (
               INSERT INTO storecredit.checkouts
                   (checkout_id, account_id, provider, purchase_type, plan, credits, amount,
                    currency, request_id)
               SELECT $1, a.account_id, 'paddle', 'subscription', $4, 350, 4900, 'USD', $3
               FROM accounts a WHERE a.owner_kind = 'store' AND a.owner_id = $2
               RETURNING *)
           INSERT INTO subscriptions
               (provider, provider_subscription_id, account_id, checkout_id, occurred_at, status,
                plan, credits, amount, currency)
           SELECT s.provider, $3, s.account_id, s.checkout_id, now(), 'active', s.plan, s.credits,
               s.amount, s.currency
           FROM sold s""",
        uuid4(),
        store_id,
        subscription_id,
        plan,
    )


async def bills(admin: asyncpg.Connection, store_id: UUID) -> list[dict[str, Any]]:
    """The store's bills, oldest first."""
    rows = await admin.fetch(
        "SELECT *, charged_at IS NOT NULL AS charged FROM subscription_charges"
        " WHERE account_id = $1 ORDER BY seq",
        await account_of(admin, Owner.store(store_id)),
    )
    return [dict(row) for row in rows]


@asynccontextmanager
async def held(database_url: str, store_id: UUID) -> AsyncIterator[None]:
    """A transaction of somebody else's that has the store's account, and does not end."""
    somebody = await asyncpg.connect(database_url)
    try:
        async with somebody.transaction():
            account = "account_id = storecredit.account_of('store', $1)"
            locking = f"SELECT FROM storecredit.accounts WHERE {account} FOR UPDATE"
            await somebody.execute(locking, store_id)
            yield
    finally:
        await somebody.close()
