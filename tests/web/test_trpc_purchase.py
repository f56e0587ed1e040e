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
from tests.billing.desk import Desk, desk_of
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
class Till:
    """A running service that sells packs, and a user who buys."""

    desk: Desk
    user: UserClient

    async def buy(self, pack_id: str = "small", request_id: str | None = None) -> httpx.Response:
        headers = {"X-Request-Id": request_id} if request_id else {}
        return await self.user.mutate(PURCHASE, {"packId": pack_id}, headers=headers)

    @property
    def sold(self) -> int:
        """Transactions that Paddle was asked to make."""
        return len(self.desk.paddle.sent("POST", "/transactions"))


@pytest.fixture
async def till(database_url: str, admin: asyncpg.Connection, data_dir: Path) -> AsyncIterator[Till]:
    secret = SecretStr(JWT_SECRET)
    async with (
        paddle_stand_in() as paddle,
        desk_of(paddle, database_url, admin, data_dir, jwt_secret=secret) as desk,
        httpx.AsyncClient(base_url=desk.url) as http,
    ):
        yield Till(desk, user_of(http))


async def test_the_packs_are_those_of_the_catalogue(user: UserClient) -> None:
    packs = result_of(await user.query(PACKS))
    wanted = {"id": "small", "name": "25 credits", "credits": 25, "amount": 499, "currency": "USD"}
    assert packs[0] == wanted
    assert len({pack["id"] for pack in packs}) == 3


async def test_what_is_bought_comes_once_it_is_paid_and_once(till: Till) -> None:
    sale = result_of(await till.buy())
    assert set(sale) == {"checkoutUrl", "transactionId"}
    assert sale["checkoutUrl"].startswith("http")
    assert await till.user.balance() == 10
    events = till.desk.paddle.account.pay(sale["transactionId"])
    await till.desk.told([*events, *events])
    assert await till.user.balance() == 35
    [bought, _] = result_of(await till.user.query("credits.getTransactions"))
    assert (bought["type"], bought["amount"]) == ("purchase", 25)


async def test_a_payment_that_is_given_back_takes_the_credits_back(till: Till) -> None:
    sale = result_of(await till.buy())
    await till.desk.told(till.desk.paddle.account.pay(sale["transactionId"]))
    await till.desk.told(
        [till.desk.paddle.account.adjust(sale["transactionId"], status="approved")]
    )
    assert await till.user.balance() == 10
    moved = result_of(await till.user.query("credits.getTransactions"))
    assert [(row["type"], row["amount"]) for row in moved] == [
        ("clawback", -25),
        ("purchase", 25),
        ("signup_bonus", 10),
    ]


async def test_a_purchase_sent_again_is_the_same_checkout(till: Till) -> None:
    first = result_of(await till.buy(request_id="sale-1"))
    assert result_of(await till.buy(request_id="sale-1")) == first
    refusal_of(await till.buy("large", request_id="sale-1"), 409, "CONFLICT", PURCHASE)
    assert till.sold == 1
    assert result_of(await till.buy(request_id="sale-2")) != first


async def test_purchases_at_once_with_one_id_are_one_checkout(till: Till) -> None:
    await till.user.balance()
    answers = await asyncio.gather(*(till.buy(request_id="sale-1") for _ in range(5)))
    assert len({result_of(answer)["transactionId"] for answer in answers}) == 1


async def test_two_purchases_in_a_batch_are_two(till: Till) -> None:
    calls = [(PURCHASE, {"packId": "small"}), (PURCHASE, {"packId": "large"})]
    headers = {"X-Request-Id": "sale-1"}
    first = body_of(await till.user.batch("POST", calls, headers=headers))
    assert body_of(await till.user.batch("POST", calls, headers=headers)) == first
    assert len({result_in(shape)["transactionId"] for shape in first}) == 2
    assert till.sold == 2


@pytest.mark.parametrize("pack_id", ["", "huge", "SMALL", "starter", "__proto__", "\0", "x" * 9999])
async def test_what_is_not_on_sale_is_not_sold(till: Till, pack_id: str) -> None:
    message = refusal_of(await till.buy(pack_id), 400, "BAD_REQUEST", PURCHASE)
    assert "small" in message, "it says what is on sale"
    assert till.sold == 0


@pytest.mark.parametrize("failure", [Failure.REFUSE_503, Failure.BREAK_OFF])
async def test_a_provider_that_is_away_sells_nothing_and_the_retry_works(
    till: Till, failure: Failure
) -> None:
    till.desk.paddle.failures.append(failure)
    answer = await till.buy(request_id="sale-1")
    refusal_of(answer, 503, "SERVICE_UNAVAILABLE", PURCHASE)
    result_of(await till.buy(request_id="sale-1"))
    assert await till.user.balance() == 10


async def test_another_user_gets_a_checkout_of_their_own(till: Till) -> None:
    first = result_of(await till.buy(request_id="sale-1"))
    other = Till(till.desk, user_of(till.user.http))
    second = result_of(await other.buy(request_id="sale-1"))
    assert first["transactionId"] != second["transactionId"]
    await till.desk.told(till.desk.paddle.account.pay(second["transactionId"]))
    assert (await till.user.balance(), await other.user.balance()) == (10, 35)
    assert await till.desk.balance(Owner.user(other.user.user_id)) == 35


async def test_without_a_provider_purchases_are_off_and_say_so(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    answer = await user.mutate(PURCHASE, {"packId": "small"})
    message = refusal_of(answer, 412, "PRECONDITION_FAILED", PURCHASE)
    assert "Purchases are off" in message
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 0
