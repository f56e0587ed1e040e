"""`credits.getPacks` and `credits.purchase`: an app sells credits, Paddle's stand-in is paid."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from stand_ins.paddle.api import Failure, paddle_stand_in
from storecredit.ledger.owners import Owner
from tests.billing.seller import Seller, running_seller
from tests.web.users import (
    JWT_SECRET,
    UserClient,
    body_of,
    refusal_of,
    result_in,
    result_of,
    user_of,
)

PACKS = "credits.getPacks"
PURCHASE = "credits.purchase"


@dataclass(frozen=True, slots=True)
class Buyer:
    """A running service that sells packs, and a user who buys."""

    seller: Seller
    user: UserClient

    async def buy(self, pack_id: str = "small", request_id: str | None = None) -> httpx.Response:
        headers = {"X-Request-Id": request_id} if request_id else {}
        return await self.user.mutate(PURCHASE, {"packId": pack_id}, headers=headers)

    @property
    def sold(self) -> int:
        """Transactions that Paddle was asked to make."""
        return len(self.seller.paddle.sent("POST", "/transactions"))


@pytest.fixture
async def buyer(
    database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> AsyncIterator[Buyer]:
    secret = SecretStr(JWT_SECRET)
    async with (
        paddle_stand_in() as paddle,
        running_seller(paddle, database_url, admin, data_dir, jwt_secret=secret) as seller,
        httpx.AsyncClient(base_url=seller.url) as http,
    ):
        yield Buyer(seller, user_of(http))


async def test_the_packs_are_those_of_the_catalogue(user: UserClient) -> None:
    packs = result_of(await user.query(PACKS))
    wanted = {"id": "small", "name": "25 credits", "credits": 25, "amount": 499, "currency": "USD"}
    assert packs[0] == wanted
    assert len({pack["id"] for pack in packs}) == 3


async def test_what_is_bought_comes_once_it_is_paid_and_once(buyer: Buyer) -> None:
    sale = result_of(await buyer.buy())
    assert set(sale) == {"checkoutUrl", "transactionId"}
    assert sale["checkoutUrl"].startswith("http")
    assert await buyer.user.balance() == 10
    events = buyer.seller.paddle.account.pay(sale["transactionId"])
    await buyer.seller.told([*events, *events])
    assert await buyer.user.balance() == 35
    [bought, _] = result_of(await buyer.user.query("credits.getTransactions"))
    assert (bought["type"], bought["amount"]) == ("purchase", 25)


async def test_a_payment_that_is_given_back_takes_the_credits_back(buyer: Buyer) -> None:
    sale = result_of(await buyer.buy())
    await buyer.seller.told(buyer.seller.paddle.account.pay(sale["transactionId"]))
    await buyer.seller.told(
        [buyer.seller.paddle.account.adjust(sale["transactionId"], status="approved")]
    )
    assert await buyer.user.balance() == 10
    moved = result_of(await buyer.user.query("credits.getTransactions"))
    assert [(row["type"], row["amount"]) for row in moved] == [
        ("clawback", -25),
        ("purchase", 25),
        ("signup_bonus", 10),
    ]


async def test_a_purchase_sent_again_is_the_same_checkout(buyer: Buyer) -> None:
    first = result_of(await buyer.buy(request_id="sale-1"))
    assert result_of(await buyer.buy(request_id="sale-1")) == first
    refusal_of(await buyer.buy("large", request_id="sale-1"), 409, "CONFLICT", PURCHASE)
    assert buyer.sold == 1
    assert result_of(await buyer.buy(request_id="sale-2")) != first


async def test_purchases_at_once_with_one_id_are_one_checkout(buyer: Buyer) -> None:
    await buyer.user.balance()
    answers = await asyncio.gather(*(buyer.buy(request_id="sale-1") for _ in range(5)))
    assert len({result_of(answer)["transactionId"] for answer in answers}) == 1


async def test_two_purchases_in_a_batch_are_two(buyer: Buyer) -> None:
    calls = [(PURCHASE, {"packId": "small"}), (PURCHASE, {"packId": "large"})]
    headers = {"X-Request-Id": "sale-1"}
    first = body_of(await buyer.user.batch("POST", calls, headers=headers))
    assert body_of(await buyer.user.batch("POST", calls, headers=headers)) == first
    assert len({result_in(shape)["transactionId"] for shape in first}) == 2
    assert buyer.sold == 2


@pytest.mark.parametrize("pack_id", ["", "huge", "SMALL", "starter", "__proto__", "\0", "x" * 9999])
async def test_what_is_not_on_sale_is_not_sold(buyer: Buyer, pack_id: str) -> None:
    message = refusal_of(await buyer.buy(pack_id), 400, "BAD_REQUEST", PURCHASE)
    assert "small" in message, "it says what is on sale"
    assert buyer.sold == 0


@pytest.mark.parametrize("failure", [Failure.REFUSE_503, Failure.BREAK_OFF])
async def test_a_provider_that_is_away_sells_nothing_and_the_retry_works(
    buyer: Buyer, failure: Failure
) -> None:
    buyer.seller.paddle.failures.append(failure)
    answer = await buyer.buy(request_id="sale-1")
    refusal_of(answer, 503, "SERVICE_UNAVAILABLE", PURCHASE)
    result_of(await buyer.buy(request_id="sale-1"))
    assert await buyer.user.balance() == 10


async def test_another_user_gets_a_checkout_of_their_own(buyer: Buyer) -> None:
    first = result_of(await buyer.buy(request_id="sale-1"))
    other = Buyer(buyer.seller, user_of(buyer.user.http))
    second = result_of(await other.buy(request_id="sale-1"))
    assert first["transactionId"] != second["transactionId"]
    await buyer.seller.told(buyer.seller.paddle.account.pay(second["transactionId"]))
    assert (await buyer.user.balance(), await other.user.balance()) == (10, 35)
    assert await buyer.seller.balance(Owner.user(other.user.user_id)) == 35


async def test_without_a_provider_purchases_are_off_and_say_so(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    answer = await user.mutate(PURCHASE, {"packId": "small"})
    message = refusal_of(answer, 412, "PRECONDITION_FAILED", PURCHASE)
    assert "Purchases are off" in message
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 0
