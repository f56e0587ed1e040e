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
from tests.billing.desk import Desk, completed, only
from tests.billing.sales import Movement, everything
from tests.web.doors import error_of


async def lured(desk: Desk, buyer: Owner, paid: Opened, lure: Opened) -> list[Any]:
    """Events of a checkout that was paid under the custom data of another, dearer one."""
    account = desk.paddle.account
    transaction = account.transactions[paid.transaction_id]
    transaction["custom_data"] = dict(account.transactions[lure.transaction_id]["custom_data"])
    return list(account.pay(paid.transaction_id))


async def test_custom_data_of_a_dearer_checkout_brings_none_of_its_credits(desk: Desk) -> None:
    store = await desk.store()
    dear = await desk.opened(store, CreditsOrder(5000), "dear")
    cheap = await desk.opened(store, CreditsOrder(4), "cheap")

    events = await lured(desk, store, cheap, dear)
    await desk.told(events)

    assert await desk.status(completed(events)) == "set_aside"
    assert await desk.ledger(store) == []


async def test_custom_data_of_a_dearer_plan_brings_neither_its_tier_nor_its_credits(
    desk: Desk,
) -> None:
    store = await desk.store()
    dear = await desk.opened(store, PlanOrder("scale"), "dear")
    cheap = await desk.opened(store, PlanOrder("starter"), "cheap")

    events = await lured(desk, store, cheap, dear)
    await desk.told(events)
    (subscription_id,) = desk.paddle.account.subscriptions
    await desk.told(desk.paddle.account.renew(subscription_id))
    await desk.told(desk.paddle.account.change_subscription(subscription_id, "past_due"))

    assert await desk.ledger(store) == []
    assert await desk.tier(store) == "default"
    assert await desk.service.parts.subscriptions.of_store(store.id) == ()


async def test_custom_data_of_another_buyer_gives_and_takes_nothing(desk: Desk) -> None:
    store, user, other = await desk.store(), await desk.user(), await desk.store(7)
    plan = await desk.opened(store, PlanOrder("growth"), "plan")
    pack = await desk.opened(user, PackOrder(desk.pack_id), "pack")
    theirs = await desk.opened(other, PlanOrder("scale"), "theirs")

    for paid in (plan, pack):
        await desk.told(await lured(desk, store, paid, theirs))

    assert await desk.ledger(store) == await desk.ledger(user) == []
    assert await desk.ledger(other) == [Movement("grant", 7, 7, "opening")]
    assert await desk.tier(other) == await desk.tier(store) == "default"


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


async def test_who_pays_less_or_in_other_money_gets_nothing(desk: Desk) -> None:
    store = await desk.store()
    for place, lies in enumerate(LESS):
        event = completed(await desk.paid(store, request_id=f"order-{place}")).altered(lies)
        await desk.told([event])
        assert await desk.status(event) == "set_aside", lies
    assert await desk.ledger(store) == []
    assert await desk.admin.fetchval("SELECT count(*) FROM payments") == 0


GIVEN_BACK: tuple[dict[str, object], ...] = (
    {"totals.subtotal": "-1800"},
    {"totals.subtotal": "-1800", "type": "full"},
    {"currency_code": "JPY"},
    {"action": "credit"},
    {"action": "chargeback_reverse"},
    {"status": "reversed"},
)


async def test_money_that_goes_back_never_adds_credits(desk: Desk) -> None:
    store = await desk.store()
    paid = completed(await desk.paid(store))
    await desk.told([paid])
    for lies in GIVEN_BACK:
        event = desk.paddle.account.adjust(paid.data["id"], status="approved").altered(lies)
        await desk.told([event])
        assert await desk.status(event) == "set_aside", lies
    assert await desk.ledger(store) == [Movement("purchase", 100, 100, "order")]


@pytest.mark.parametrize(
    "secret", ["", "pdl_sdbx_apikey_not_a_real_one", "pdl_ntfset_not_a_real_one ", "\0"]
)
async def test_no_other_secret_signs_a_webhook(desk: Desk, secret: str) -> None:
    """Above all not Paddle's API key, which more people may know."""
    event = completed(await desk.paid(await desk.store()))
    before = await everything(desk.admin)

    signature = sign(event.body(), secret)

    error_of(await desk.webhooks.send(event, signature=signature), 401, "INVALID_SIGNATURE")
    assert await everything(desk.admin) == before


async def test_a_good_webhook_that_is_sent_again_later_or_with_another_body_is_refused(
    desk: Desk,
) -> None:
    event = completed(await desk.paid(await desk.store()))
    body, old = event.body(), time.time() - 301
    good, stale = sign(body, desk.webhooks.secret), sign(body, desk.webhooks.secret, at=old)
    # The old signature under a new time, and a good one in front of a bad one's time.
    renewed = f"ts={int(time.time())};{stale.partition(';')[2]}"
    twice = f"{good};{stale}"
    before = await everything(desk.admin)

    for signature in (stale, renewed, twice):
        answer = await desk.webhooks.send(event, signature=signature, body=body)
        error_of(answer, 401, "INVALID_SIGNATURE")
    answer = await desk.webhooks.send(event, signature=good, body=body.replace(b"1800", b"1"))
    error_of(answer, 401, "INVALID_SIGNATURE")
    assert await everything(desk.admin) == before


async def test_a_subscription_begins_only_by_the_event_that_names_its_transaction(
    desk: Desk,
) -> None:
    """Of all others only the custom data says which checkout began it, and a buyer can write it."""
    store = await desk.store()
    events = await desk.paid(store, PlanOrder("growth"), "plan")
    activated = only(events, "subscription.activated")

    assert set(await desk.webhooks.send_all([activated])) == {200}
    await desk.told([only(events, "subscription.created"), completed(events)])
    await desk.settled()

    assert await desk.status(activated) in {"processed", "ignored"}
    assert await desk.tier(store) == "growth"
    assert await desk.balance(store) == 800
