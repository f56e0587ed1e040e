"""A buyer who tries to get much for little, and whoever pretends to be Paddle.

What a payment is worth is what we recorded when the checkout was opened; none of what reaches us
afterwards makes it more.
"""

import time
from typing import Any

import pytest

from stand_ins.paddle.webhooks import sign
from storecredit.billing.checkouts import CreditsOrder, Opened, PackOrder, PlanOrder
from storecredit.ledger.owners import Owner
from tests.billing.seller import Seller, completed, only
from tests.billing.sql_sales import Movement, everything
from tests.web.doors import error_of


async def lured(seller: Seller, buyer: Owner, paid: Opened, lure: Opened) -> list[Any]:
    """Events of a checkout that was paid under the custom data of another, dearer one."""
    account = seller.paddle.account
    transaction = account.transactions[paid.transaction_id]
    transaction["custom_data"] = dict(account.transactions[lure.transaction_id]["custom_data"])
    return list(account.pay(paid.transaction_id))


async def test_custom_data_of_a_dearer_checkout_brings_none_of_its_credits(seller: Seller) -> None:
    store = await seller.store()
    dear = await seller.opened(store, CreditsOrder(5000), "dear")
    cheap = await seller.opened(store, CreditsOrder(4), "cheap")

    events = await lured(seller, store, cheap, dear)
    await seller.told(events)

    assert await seller.status(completed(events)) == "set_aside"
    assert await seller.ledger(store) == []


async def test_custom_data_of_a_dearer_plan_brings_neither_its_tier_nor_its_credits(
    seller: Seller,
) -> None:
    store = await seller.store()
    dear = await seller.opened(store, PlanOrder("scale"), "dear")
    cheap = await seller.opened(store, PlanOrder("starter"), "cheap")

    events = await lured(seller, store, cheap, dear)
    await seller.told(events)
    (subscription_id,) = seller.paddle.account.subscriptions
    await seller.told(seller.paddle.account.renew(subscription_id))
    await seller.told(seller.paddle.account.change_subscription(subscription_id, "past_due"))

    assert await seller.ledger(store) == []
    assert await seller.tier(store) == "default"
    assert await seller.service.parts.subscriptions.of_store(store.id) == ()


async def test_custom_data_of_another_buyer_gives_and_takes_nothing(seller: Seller) -> None:
    store, user, other = await seller.store(), await seller.user(), await seller.store(7)
    plan = await seller.opened(store, PlanOrder("growth"), "plan")
    pack = await seller.opened(user, PackOrder(seller.pack_id), "pack")
    theirs = await seller.opened(other, PlanOrder("scale"), "theirs")

    for paid in (plan, pack):
        await seller.told(await lured(seller, store, paid, theirs))

    assert await seller.ledger(store) == await seller.ledger(user) == []
    assert await seller.ledger(other) == [Movement("grant", 7, 7, "opening")]
    assert await seller.tier(other) == await seller.tier(store) == "default"


LESS: tuple[dict[str, object], ...] = (
    {"details.totals.subtotal": "0"},
    {"details.totals.subtotal": "-1800"},
    {"details.totals.subtotal": "1799"},
    {"details.totals.discount": "1801"},
    {"details.totals.discount": "-1"},
    {"details.totals.subtotal": "0", "details.totals.discount": "1800"},
    {"currency_code": "IDR"},
    {"items.0.quantity": 0, "details.totals.subtotal": "0"},
    {"origin": "subscription_recurring"},
    {"origin": "subscription_update", "details.totals.subtotal": "18"},
)


async def test_who_pays_less_or_in_other_money_gets_nothing(seller: Seller) -> None:
    store = await seller.store()
    for place, lies in enumerate(LESS):
        event = completed(await seller.paid(store, request_id=f"order-{place}")).altered(lies)
        await seller.told([event])
        assert await seller.status(event) == "set_aside", lies
    assert await seller.ledger(store) == []
    assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 0


GIVEN_BACK: tuple[dict[str, object], ...] = (
    {"totals.subtotal": "-1800"},
    {"totals.subtotal": "-1800", "type": "full"},
    {"currency_code": "JPY"},
    {"action": "credit"},
    {"action": "chargeback_reverse"},
    {"status": "reversed"},
)


async def test_money_that_goes_back_never_adds_credits(seller: Seller) -> None:
    store = await seller.store()
    paid = completed(await seller.paid(store))
    await seller.told([paid])
    for lies in GIVEN_BACK:
        event = seller.paddle.account.adjust(paid.data["id"], status="approved").altered(lies)
        await seller.told([event])
        assert await seller.status(event) == "set_aside", lies
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]


@pytest.mark.parametrize(
    "secret", ["", "pdl_sdbx_apikey_not_a_real_one", "pdl_ntfset_not_a_real_one ", "\0"]
)
async def test_no_other_secret_signs_a_webhook(seller: Seller, secret: str) -> None:
    """Above all not Paddle's API key, which more people may know."""
    event = completed(await seller.paid(await seller.store()))
    before = await everything(seller.admin)

    signature = sign(event.body(), secret)

    error_of(await seller.webhooks.send(event, signature=signature), 401, "INVALID_SIGNATURE")
    assert await everything(seller.admin) == before


async def test_a_good_webhook_that_is_sent_again_later_or_with_another_body_is_refused(
    seller: Seller,
) -> None:
    event = completed(await seller.paid(await seller.store()))
    body, old = event.body(), time.time() - 301
    good, stale = sign(body, seller.webhooks.secret), sign(body, seller.webhooks.secret, at=old)
    # The old signature under a new time, and a good one in front of a bad one's time.
    renewed = f"ts={int(time.time())};{stale.partition(';')[2]}"
    twice = f"{good};{stale}"
    before = await everything(seller.admin)

    for signature in (stale, renewed, twice):
        answer = await seller.webhooks.send(event, signature=signature, body=body)
        error_of(answer, 401, "INVALID_SIGNATURE")
    answer = await seller.webhooks.send(event, signature=good, body=body.replace(b"1800", b"1"))
    error_of(answer, 401, "INVALID_SIGNATURE")
    assert await everything(seller.admin) == before


async def test_a_subscription_begins_only_by_the_event_that_names_its_transaction(
    seller: Seller,
) -> None:
    """Of all others only the custom data says which checkout began it, and a buyer can write it."""
    store = await seller.store()
    events = await seller.paid(store, PlanOrder("growth"), "plan")
    activated = only(events, "subscription.activated")

    assert set(await seller.webhooks.send_all([activated])) == {200}
    await seller.told([only(events, "subscription.created"), completed(events)])
    await seller.settled()

    assert await seller.status(activated) in {"processed", "ignored"}
    assert await seller.tier(store) == "growth"
    assert await seller.balance(store) == 800
