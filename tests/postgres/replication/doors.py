"""Every door by which somebody is told that something was done."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from storecredit.generation.lifecycle import GenerationJob
from storecredit.generation.sessions import Failure, FailureCode
from storecredit.ledger.owners import Account, Owner
from tests.billing.seller import Seller
from tests.postgres.replication.callers import Shop, served
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.users import UserClient, user_of

Answer = Awaitable[httpx.Response]
FOREIGN_PRICE = {
    "name": "Custom",
    "description": "5,000 credits",
    "unit_price": {"amount": "50000", "currency_code": "USD"},
    "billing_cycle": None,
    "product": {"name": "Custom", "tax_category": "standard"},
}


@dataclass(frozen=True, slots=True)
class Doors:
    """A store's developer, an end user, the operator and Paddle, at one running service."""

    seller: Seller
    operator: Operator
    store: StoreClient
    user: UserClient
    sold_elsewhere: str
    """A transaction at Paddle that is none of ours, and paid."""
    spare_key: str
    failing: GenerationJob
    """A generation that was paid for, and is to fail."""

    @classmethod
    async def open(cls, seller: Seller, http: httpx.AsyncClient, shop: Shop) -> "Doors":
        """With all that has to be there before."""
        operator = Operator(http)
        store = StoreClient(http, str(shop.store_id), "", shop.api_key)
        user = user_of(http)
        await user.balance()
        account = seller.paddle.account
        sold = account.open([{"price": FOREIGN_PRICE, "quantity": 1}], "USD", None)
        account.pay(sold["id"])
        spare = data_of(await operator.post(f"/stores/{shop.store_id}/keys"), 201)
        owner = Owner.store(shop.store_id)
        account_id = await seller.service.parts.credits.account_id(owner)
        # Where the deadline is short, a busy machine may need more than one.
        made = await served(lambda: store.create("to-fail"))
        session_id = data_of(made, made.status_code)["session_id"]
        failing = GenerationJob(Account(account_id, owner), UUID(session_id), "to-fail")
        return cls(seller, operator, store, user, sold["id"], spare["key_id"], failing)

    def replayable(self) -> Mapping[str, Callable[[], Answer]]:
        """Those that may be asked again, and then answer what was done the first time."""
        credits = {"amount": 5, "type": "grant", "request_id": "added"}
        booking = {"credits": 5000, "store_id": self.store.store_id}
        event = self.seller.paddle.account.events[-1]
        return {
            "create": lambda: self.store.create("created"),
            "create, as an end user": lambda: self.user.create("created"),
            "add credits": lambda: self._of_store("/credits", **credits),
            "take in an event": lambda: self.seller.webhooks.send(event),
            "open a checkout": lambda: self.store.send(
                "POST",
                "/api/v1/billing/checkout",
                headers={"X-Request-Id": "bought"},
                json={"credits": 100},
            ),
            "book by hand": lambda: self.operator.post(
                f"/billing/transactions/{self.sold_elsewhere}/book", **booking
            ),
            "revoke a key": lambda: self.operator.delete(
                f"/stores/{self.store.store_id}/keys/{self.spare_key}"
            ),
            "set the overage limit": lambda: self.operator.patch(
                f"/stores/{self.store.store_id}", overage_limit=7
            ),
        }

    def others(self) -> Mapping[str, Callable[[], Answer]]:
        """Those that do something more each time."""
        return {
            "make a store": lambda: self.operator.post(
                "/stores", name="N", shop_domain="n.example"
            ),
            "make a key": lambda: self._of_store("/keys"),
            "make a user": lambda: user_of(self.store.http).query("credits.getBalance"),
            "rename a store": lambda: self.operator.patch(
                f"/stores/{self.store.store_id}", name="Hats and more"
            ),
        }

    def all(self) -> dict[str, Callable[[], Answer]]:
        return {**self.replayable(), **self.others()}

    async def fail(self) -> bool:
        """The worker's door: the generation fails, and its credit comes back."""
        failure = Failure(FailureCode.GENERATION_FAILED, "It failed.")
        return await self.seller.service.parts.lifecycle.fail_and_refund(self.failing, failure)

    async def _of_store(self, path: str, **body: Any) -> httpx.Response:
        return await self.operator.post(f"/stores/{self.store.store_id}{path}", **body)

    async def assert_done_once(self, admin: asyncpg.Connection) -> None:
        """What the replayable doors came to, however often they were asked."""
        rows = await admin.fetch(
            """SELECT a.owner_kind, m.type, m.request_id, m.amount FROM storecredit.movements m
               JOIN storecredit.accounts a USING (account_id)
               WHERE a.owner_id IN ($1, $2) AND m.request_id NOT IN ('opening', 'signup')""",
            UUID(self.store.store_id),
            self.user.user_id,
        )
        assert sorted(tuple(row) for row in rows) == [
            ("store", "deduction", "created", 1),
            ("store", "deduction", "to-fail", 1),
            ("store", "grant", "added", 5),
            ("store", "purchase", f"booking:{self.sold_elsewhere}", 5000),
            ("user", "deduction", "created", 1),
        ]
        for table in ("checkouts", "provider_events"):
            assert await admin.fetchval(f"SELECT count(*) FROM storecredit.{table}") == 1
