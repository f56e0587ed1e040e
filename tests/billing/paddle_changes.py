"""What is done to a subscription at Paddle: by its dashboard, its customer portal or its API.

https://developer.paddle.com/build/subscriptions/replace-products-prices-upgrade-downgrade
https://developer.paddle.com/concepts/subscriptions/proration
https://developer.paddle.com/changelog/2024/proration-improvements
"""

from collections.abc import Sequence
from enum import StrEnum

from stand_ins.paddle import entities
from stand_ins.paddle.account import Account, Event, rfc3339
from stand_ins.paddle.entities import Entity

CATALOGUE = {
    "starter": ("pri_01starter", 4900),
    "growth": ("pri_01growth", 9900),
    "scale": ("pri_01scale", 19900),
}
"""Prices of the seller's own, for plans; see `PLANS_FILE`."""

PLANS_FILE = """
currency = "USD"
[pay_as_you_go]
unit_amount = 18
[[plans]]
name = "starter"
credits = 350
amount = 4900
overage_unit_amount = 16
paddle_price_ids = ["pri_01starter"]
[[plans]]
name = "growth"
credits = 800
amount = 9900
overage_unit_amount = 14
paddle_price_ids = ["pri_01growthold", "pri_01growth"]
[[plans]]
name = "scale"
credits = 1800
amount = 19900
overage_unit_amount = 12
paddle_price_ids = ["pri_01scale"]
[[packs]]
pack_id = "small"
name = "25 credits"
credits = 25
amount = 499
"""
"""A catalogue that names them."""


class Mode(StrEnum):
    """`proration_billing_mode` of an update."""

    PRORATED_NOW = "prorated_immediately"
    PRORATED_LATER = "prorated_next_billing_period"
    FULL_NOW = "full_immediately"
    FULL_LATER = "full_next_billing_period"
    DO_NOT_BILL = "do_not_bill"


def catalogue_price(plan: str) -> Entity:
    """The price of that plan in the seller's catalogue, with its product."""
    id_, amount = CATALOGUE[plan]
    return price(id_, amount)


def price(id_: str, amount: int, interval: str = "month") -> Entity:
    """A price in the seller's catalogue, with its product."""
    return {
        "id": id_,
        "type": "standard",
        "description": "A price",
        "unit_price": {"amount": str(amount), "currency_code": "USD"},
        "billing_cycle": {"interval": interval, "frequency": 1},
        "product": {
            "id": id_.replace("pri_", "pro_"),
            "name": "A product",
            "tax_category": "standard",
        },
    }


def change_items(
    account: Account,
    subscription_id: str,
    prices: Sequence[tuple[Entity, int]],
    mode: Mode = Mode.PRORATED_NOW,
    *,
    rate: str = "0.5",
) -> tuple[Event, ...]:
    """Replace a subscription's items, at `rate` of its period before the end."""
    first, now = len(account.events), rfc3339(account.now())
    subscription = account.subscriptions[subscription_id]
    before = [
        {
            "price": item["price"] | {"product": item["product"]},
            "quantity": item["quantity"],
        }
        for item in subscription["items"]
    ]
    after = [{"price": each, "quantity": quantity} for each, quantity in prices]
    subscription["items"] = [_item(each, now) for each in after]
    subscription["updated_at"] = now
    account.happened("subscription.updated", subscription)
    lines = _lines(before, after, mode, rate, subscription["current_billing_period"])
    if mode in (Mode.PRORATED_NOW, Mode.FULL_NOW):
        currency = subscription["currency_code"]
        account.collect(subscription, lines, currency, "subscription_update")
    else:
        account.billed_later.setdefault(subscription_id, []).extend(lines)
    return tuple(account.events[first:])


def change_plan(
    account: Account,
    subscription_id: str,
    plan: str,
    mode: Mode = Mode.PRORATED_NOW,
    *,
    rate: str = "0.5",
) -> tuple[Event, ...]:
    """Replace a subscription's items by a plan's price in the catalogue."""
    return change_items(account, subscription_id, [(catalogue_price(plan), 1)], mode, rate=rate)


def keep_with_discount(account: Account, subscription_id: str, percent: int) -> tuple[Event, ...]:
    """A retention discount: every bill from now on is lower by so much."""
    first = len(account.events)
    subscription = account.subscriptions[subscription_id]
    subscription["discount"] = {
        "id": account.discount(percent),
        "starts_at": rfc3339(account.now()),
        "ends_at": None,
        "type": "percentage",
    }
    account.happened("subscription.updated", subscription)
    return tuple(account.events[first:])


def _item(given: Entity, now: str) -> Entity:
    whole = dict(given["price"])
    product = entities.product(whole.pop("product"), now)
    priced = given | {"price": entities.price(whole, product["id"], now)}
    return entities.subscription_item(priced, product, now)


def _lines(
    before: Sequence[Entity], after: Sequence[Entity], mode: Mode, rate: str, period: Entity
) -> list[Entity]:
    """What is billed for the change: new prices, and old ones taken off again."""
    proration = {"rate": rate, "billing_period": dict(period)}
    match mode:
        case Mode.PRORATED_NOW | Mode.PRORATED_LATER:
            back = [item | {"quantity": -item["quantity"]} for item in before]
            return [item | {"proration": proration} for item in (*after, *back)]
        case Mode.FULL_NOW | Mode.FULL_LATER:
            return [dict(item) for item in after]
        case Mode.DO_NOT_BILL:
            return []
