"""M5: end users buy credits, get free starter credits, spend and are refunded.

Driven through the running service: the tRPC calls that the app makes, its own worker, Paddle's
webhooks; the tables read back. What the app's real client sees of it is in test_trpc_app.py.
"""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from pydantic import SecretStr

from stand_ins.paddle.api import paddle_stand_in
from tests.billing.seller import Seller, running_seller
from tests.image_files import data_url
from tests.web.users import JWT_SECRET, UserClient, ended, refusal_of, result_of, user_of

BROKEN = data_url(b"\x89PNG\r\n\x1a\nand then nothing that an image would have")
"""An image at first sight, which is all that the door looks at."""


async def ledger_of(admin: asyncpg.Connection, user: UserClient) -> list[tuple[Any, ...]]:
    rows = await admin.fetch(
        "SELECT seq, type, amount, balance_after, request_id FROM credit_transactions"
        " WHERE user_id = $1 ORDER BY seq",
        user.user_id,
    )
    return [tuple(row) for row in rows]


async def bought(seller: Seller, user: UserClient, pack_id: str) -> None:
    """A pack, paid for; Paddle tells of it more than once, and out of order."""
    named = {"X-Request-Id": "sale-1"}
    sale = result_of(await user.mutate("credits.purchase", {"packId": pack_id}, headers=named))
    before = await user.balance()
    events = seller.paddle.account.pay(sale["transactionId"])
    assert await user.balance() == before, "nothing comes before it is told"
    await seller.told([*reversed(events), *events])


async def test_m5_end_users_get_buy_spend_and_are_refunded(
    database_url: str, admin: asyncpg.Connection, data_dir: Path
) -> None:
    secret = SecretStr(JWT_SECRET)
    async with (
        paddle_stand_in() as paddle,
        running_seller(paddle, database_url, admin, data_dir, jwt_secret=secret) as seller,
        httpx.AsyncClient(base_url=seller.url) as http,
    ):
        user, bystander = user_of(http), user_of(http)
        assert {await user.balance(), await bystander.balance()} == {10}
        done = await ended(user, await user.created("order-1"))
        assert done["status"] == "completed"
        failed = await ended(user, await user.created("order-2", modelImageUrl=BROKEN))
        assert (failed["status"], failed["error_code"]) == ("failed", "IMAGE_UNREADABLE")

        pack = result_of(await user.query("credits.getPacks"))[0]
        await bought(seller, user, pack["id"])
        assert await user.balance() == 9 + pack["credits"]
        assert await bystander.balance() == 10

        seen = result_of(await user.query("credits.getTransactions"))
        stats = result_of(await user.query("generation.getStats"))
    assert await ledger_of(admin, user) == [
        (1, "signup_bonus", 10, 10, "signup"),
        (2, "generation", 1, 9, "order-1"),
        (3, "generation", 1, 8, "order-2"),
        (4, "refund", 1, 9, "order-2"),
        (5, "purchase", pack["credits"], 9 + pack["credits"], "sale-1"),
    ]
    assert [row["amount"] for row in seen] == [pack["credits"], 1, -1, -1, 10]
    assert stats == {"total": 2, "completed": 1, "active": 0, "failed": 1}
    credits = await admin.fetchrow(
        "SELECT balance, total_earned, total_spent FROM user_credits WHERE user_id = $1",
        user.user_id,
    )
    assert credits is not None
    assert tuple(credits) == (9 + pack["credits"], 10 + pack["credits"], 1)
    of_stores = await admin.fetchval("SELECT count(*) FROM accounts WHERE owner_kind <> 'user'")
    assert of_stores == 0, "no store's are touched"


async def test_m5_starter_credits_come_once_however_many_first_calls_race(
    api: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    users = [user_of(api) for _ in range(5)]
    answers = await asyncio.gather(
        *(user.create(f"order-{place}") for place in range(14) for user in users)
    )
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 4 * len(users)
    for answer in refused:
        message = refusal_of(answer, 402, "PAYMENT_REQUIRED", "generation.create")
        assert message.startswith("Insufficient credits")
    for user in users:
        ledger = await ledger_of(admin, user)
        assert ledger[0] == (1, "signup_bonus", 10, 10, "signup")
        assert [row[1:4] for row in ledger[1:]] == [
            ("generation", 1, left) for left in range(9, -1, -1)
        ]
