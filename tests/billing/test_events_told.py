"""What billing tells stores and the operator: once each, by the real door of Paddle's webhooks."""

import asyncpg
import pytest

from storecredit.ledger.owners import Owner
from tests.billing.everywhere import tamper
from tests.billing.overages import bills, store_with_overage
from tests.billing.seller import SETTLING_SECONDS_MAX, Seller, completed
from tests.billing.sql_sales import account_of
from tests.crash.waiting import until_true
from tests.sql.listening import OPERATOR, listen
from tests.web.webhooks.hearing import Ear

CREDITS = 100


async def ear(admin: asyncpg.Connection, owner: Owner | None, event_type: str) -> Ear:
    """An endpoint of a store's, or of the operator's, for one type of event."""
    account = OPERATOR if owner is None else await account_of(admin, owner)
    assert account is not None
    return Ear(admin, await listen(admin, account, event_type))


@pytest.fixture
async def problems(admin: asyncpg.Connection) -> Ear:
    return await ear(admin, None, "billing.problem")


async def test_a_purchase_and_a_chargeback_that_finds_some_of_it_spent(
    seller: Seller, admin: asyncpg.Connection, problems: Ear
) -> None:
    store = await seller.store()
    added = await ear(admin, store, "credits.added")
    clawed_back = await ear(admin, store, "credits.clawed_back")
    low = await ear(admin, store, "credits.low")
    paid = completed(await seller.paid(store))
    await seller.told([paid, paid])
    await seller.spend(store, 70, "spent")
    adjusted = seller.paddle.account.adjust(paid.data["id"], "chargeback")
    await seller.told([adjusted, adjusted])

    whose = {"store_id": str(store.id)}
    terms = {"type": "purchase", "kind": "paid", "expires_at": None}
    [told] = await added.said()
    assert told == whose | terms | {"amount": 100, "balance": 100, "request_id": "order"}
    taken = {"amount": 30, "balance": 0, "request_id": adjusted.data["id"]}
    assert await clawed_back.said() == [whose | taken]
    [crossed] = await low.said()
    assert (crossed["balance"], crossed["request_id"]) == (0, adjusted.data["id"])
    assert await problems.said() == [
        {
            "kind": "clawback",
            "provider": "paddle",
            "id": adjusted.data["id"],
            "about": "chargeback",
            "store_id": str(store.id),
        }
    ]


async def test_an_event_that_is_set_aside_at_once_or_after_failures(
    seller: Seller, admin: asyncpg.Connection, problems: Ear
) -> None:
    store = await seller.store()
    unlike = completed(await seller.paid(store, request_id="a")).altered(
        {"custom_data.request_id": "other"}
    )
    await seller.told([unlike, unlike])
    [told] = await problems.said()
    assert (told["kind"], told["id"]) == ("event", unlike.event_id)
    assert told["about"] == "transaction.completed"

    await tamper(admin, "ALTER TABLE payments ADD CONSTRAINT broken CHECK (credits < 0)")
    failing = completed(await seller.paid(store, request_id="b"))
    await seller.told([failing])
    assert [each["id"] for each in await problems.said()] == [unlike.event_id, failing.event_id]


async def test_overage_that_is_billed_and_cannot_be_charged(
    seller: Seller, admin: asyncpg.Connection, problems: Ear
) -> None:
    store = Owner.store(await store_with_overage(admin, CREDITS))
    billed = await ear(admin, store, "overage.billed")

    async def is_noted() -> bool:
        return any(bill["last_error"] for bill in await bills(admin, store.id))

    await until_true(is_noted, "a bill that cannot be charged", SETTLING_SECONDS_MAX, lambda: "")
    [bill] = await bills(admin, store.id)
    again = "SELECT note_subscription_charge_failure($1, $2, 'Declined.', '1 day', false)"
    await seller.database.fetchval(again, await account_of(admin, store), bill["request_id"])

    expected = {"store_id": str(store.id), "credits": CREDITS, "request_id": bill["request_id"]}
    assert await billed.said() == [expected]
    [told] = await problems.said()
    assert (told["kind"], told["store_id"]) == ("overage_bill", str(store.id))
    assert told["id"] == bill["period"].isoformat()
