"""Starting a purchase: our record, Paddle's transaction, and the two tied together once."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from stand_ins.paddle.api import Failure, PaddleStandIn
from storecredit.billing.catalogue import Catalogue, load_catalogue
from storecredit.billing.checkouts import (
    BillingOff,
    Checkouts,
    CreditsOrder,
    NotOnSale,
    Opened,
    Order,
    PackOrder,
    PlanOrder,
    PurchaseType,
    RequestConflict,
    UnknownBuyer,
)
from storecredit.billing.paddle.gateway import Paddle, PaddleRefused, PaddleUnavailable
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.pool import Database
from tests.billing.sql_sales import open_owner

CATALOGUE = load_catalogue()


@pytest.fixture
def checkouts(database: Database, gateway: Paddle) -> Checkouts:
    return Checkouts(database, gateway, CATALOGUE)


@pytest.fixture
async def store(database: Database) -> Owner:
    return await open_owner(database, OwnerKind.STORE)


@pytest.fixture
async def user(database: Database) -> Owner:
    return await open_owner(database, OwnerKind.USER)


async def opened(checkouts: Checkouts, owner: Owner, order: Order, request_id: str = "r") -> Opened:
    started = await checkouts.start(owner, order, request_id)
    assert isinstance(started, Opened), started
    return started


def transaction(paddle: PaddleStandIn, started: Opened) -> dict[str, Any]:
    """What Paddle has under the checkout's transaction."""
    return paddle.account.transactions[started.transaction_id]


async def test_a_plan_is_sold_monthly_at_its_price(
    checkouts: Checkouts, store: Owner, paddle: PaddleStandIn
) -> None:
    started = await opened(checkouts, store, PlanOrder("growth"))

    assert started.purchase_type is PurchaseType.SUBSCRIPTION
    assert (started.plan, started.credits, started.amount) == ("growth", 800, 9900)
    assert (started.currency, started.replayed) == ("USD", False)
    made = transaction(paddle, started)
    assert started.checkout_url == made["checkout"]["url"]
    assert made["details"]["totals"]["subtotal"] == "9900"
    (item,) = made["items"]
    assert item["price"]["billing_cycle"] == {"interval": "month", "frequency": 1}


async def test_credits_are_sold_by_the_piece(
    checkouts: Checkouts, store: Owner, paddle: PaddleStandIn
) -> None:
    started = await opened(checkouts, store, CreditsOrder(5000))

    assert started.purchase_type is PurchaseType.CREDITS
    assert (started.credits, started.amount) == (5000, 90_000)
    made = transaction(paddle, started)
    assert made["details"]["totals"]["subtotal"] == "90000"
    (item,) = made["items"]
    assert item["price"]["billing_cycle"] is None


async def test_a_pack_is_sold_to_a_user(
    checkouts: Checkouts, user: Owner, paddle: PaddleStandIn
) -> None:
    pack = CATALOGUE.packs[-1]

    started = await opened(checkouts, user, PackOrder(pack.pack_id))

    assert (started.plan, started.credits, started.amount) == (
        pack.pack_id,
        pack.credits,
        pack.amount,
    )
    assert transaction(paddle, started)["details"]["totals"]["subtotal"] == str(pack.amount)


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_the_custom_data_names_the_record_and_nothing_else(
    checkouts: Checkouts,
    database: Database,
    admin: asyncpg.Connection,
    paddle: PaddleStandIn,
    kind: OwnerKind,
) -> None:
    owner = await open_owner(database, kind)
    order = CreditsOrder(7) if kind is OwnerKind.STORE else PackOrder(CATALOGUE.packs[0].pack_id)

    started = await opened(checkouts, owner, order, "invoice-7")

    record = await admin.fetchrow("SELECT * FROM checkouts")
    assert record is not None
    assert record["provider_transaction_id"] == started.transaction_id
    assert record["checkout_url"] == started.checkout_url
    assert transaction(paddle, started)["custom_data"] == {
        "checkout_id": str(record["checkout_id"]),
        f"{kind}_id": str(owner.id),
        "purchase_type": "credits",
        "credits": str(record["credits"]),
        "request_id": "invoice-7",
    }


async def test_the_same_request_gives_the_same_checkout(
    checkouts: Checkouts, store: Owner, paddle: PaddleStandIn
) -> None:
    first = await opened(checkouts, store, CreditsOrder(10))
    second = await opened(checkouts, store, CreditsOrder(10))

    assert second.replayed
    assert (second.transaction_id, second.checkout_url) == (
        first.transaction_id,
        first.checkout_url,
    )
    assert len(paddle.account.transactions) == 1
    for other in (CreditsOrder(11), PlanOrder("growth")):
        assert await checkouts.start(store, other, "r") == RequestConflict()
    assert len(paddle.account.transactions) == 1


async def test_a_replay_keeps_the_price_of_the_first_time(
    checkouts: Checkouts, database: Database, gateway: Paddle, store: Owner
) -> None:
    first = await opened(checkouts, store, PlanOrder("growth"))
    dearer = Catalogue(
        plans=tuple(
            type(plan)(plan.name, plan.credits, 2 * plan.amount, plan.currency, 1)
            for plan in CATALOGUE.plans
        ),
        packs=CATALOGUE.packs,
    )

    again = await opened(Checkouts(database, gateway, dearer), store, PlanOrder("growth"))

    assert (again.transaction_id, again.amount) == (first.transaction_id, first.amount)
    assert again.replayed


async def test_the_same_request_id_of_another_buyer_is_another_request(
    checkouts: Checkouts, database: Database, store: Owner, user: Owner
) -> None:
    other = await open_owner(database, OwnerKind.STORE)
    pack = PackOrder(CATALOGUE.packs[0].pack_id)
    started = [
        await opened(checkouts, store, CreditsOrder(10)),
        await opened(checkouts, other, CreditsOrder(10)),
        await opened(checkouts, user, pack),
    ]
    assert len({one.transaction_id for one in started}) == 3


async def test_a_request_sent_many_times_at_once_sells_one_transaction(
    checkouts: Checkouts, store: Owner, paddle: PaddleStandIn, admin: asyncpg.Connection
) -> None:
    started = await asyncio.gather(*(opened(checkouts, store, CreditsOrder(10)) for _ in range(12)))

    (transaction_id,) = {one.transaction_id for one in started}
    (url,) = {one.checkout_url for one in started}
    rows = await admin.fetch("SELECT provider_transaction_id, checkout_url FROM checkouts")
    assert [tuple(row) for row in rows] == [(transaction_id, url)]


async def test_a_request_id_that_has_added_credits_sells_nothing(
    checkouts: Checkouts, database: Database, store: Owner, paddle: PaddleStandIn
) -> None:
    await database.fetchval("SELECT public.add_store_credits($1, 5, 'grant', 'r')", store.id)

    assert await checkouts.start(store, CreditsOrder(5), "r") == RequestConflict()
    assert not paddle.requests


@pytest.mark.parametrize(
    "failure",
    [
        Failure.REFUSE_503,
        Failure.REFUSE_429,
        Failure.BREAK_OFF,
        Failure.DO_THEN_500,
        Failure.DO_THEN_BREAK_OFF,
        Failure.DO_THEN_GARBLE,
    ],
)
async def test_whatever_paddle_does_the_request_can_be_sent_again(
    checkouts: Checkouts,
    store: Owner,
    paddle: PaddleStandIn,
    admin: asyncpg.Connection,
    failure: Failure,
) -> None:
    paddle.failures.append(failure)

    with pytest.raises(PaddleUnavailable):
        await checkouts.start(store, CreditsOrder(10), "r")
    assert await admin.fetchval("SELECT provider_transaction_id FROM checkouts") is None
    started = await opened(checkouts, store, CreditsOrder(10))

    assert len(paddle.sent("POST", "/transactions")) == 2, "nothing was repeated unasked"
    assert await admin.fetchval("SELECT provider_transaction_id FROM checkouts") == (
        started.transaction_id
    )
    assert started.transaction_id == list(paddle.account.transactions)[-1]


async def test_what_paddle_refuses_can_be_sent_again_too(
    database: Database, store: Owner, paddle: PaddleStandIn, gateway: Paddle
) -> None:
    paddle.api_key, right = "another", paddle.api_key
    checkouts = Checkouts(database, gateway, CATALOGUE)
    with pytest.raises(PaddleRefused):
        await checkouts.start(store, CreditsOrder(10), "r")

    paddle.api_key = right
    assert not (await opened(checkouts, store, CreditsOrder(10))).replayed


async def test_what_is_not_on_sale_is_not_recorded(
    checkouts: Checkouts, store: Owner, user: Owner, admin: asyncpg.Connection
) -> None:
    pack = PackOrder(CATALOGUE.packs[0].pack_id)
    for owner, order in (
        (store, PlanOrder("gold")),
        (store, CreditsOrder(0)),
        (store, CreditsOrder(-5)),
        (store, CreditsOrder(5001)),
        (store, pack),
        (user, PackOrder("gold")),
        (user, PlanOrder("growth")),
        (user, CreditsOrder(10)),
    ):
        refused = await checkouts.start(owner, order, "r")
        assert isinstance(refused, NotOnSale)
        assert refused.message.endswith(".")
    assert await admin.fetchval("SELECT count(*) FROM checkouts") == 0


async def test_nobody_buys_nothing(checkouts: Checkouts, paddle: PaddleStandIn) -> None:
    pack = PackOrder(CATALOGUE.packs[0].pack_id)
    assert await checkouts.start(Owner.store(uuid4()), CreditsOrder(4), "r") == UnknownBuyer()
    assert await checkouts.start(Owner.user(uuid4()), pack, "r") == UnknownBuyer()
    assert not paddle.requests


async def test_without_paddle_nothing_is_sold(database: Database, store: Owner) -> None:
    off = Checkouts(database, None, CATALOGUE)
    assert await off.start(store, CreditsOrder(1), "r") == BillingOff()


async def test_paddle_is_asked_for_no_more_than_the_terms(
    checkouts: Checkouts, store: Owner, paddle: PaddleStandIn
) -> None:
    await opened(checkouts, store, PlanOrder("starter"))
    (sent,) = paddle.sent("POST", "/transactions")
    asked = json.loads(sent.body)
    (item,) = asked["items"]
    assert item["quantity"] == 1
    assert item["price"]["unit_price"] == {"amount": "4900", "currency_code": "USD"}
    assert item["price"]["tax_mode"] == "external"
