"""A seller's account at Paddle, as the stand-in keeps it: what was sold, and what happened to it.

Entities are shaped as in Paddle's published API and webhooks, with every documented field, so
that code which reads one too many breaks here as it would there. Each change appends the events
that Paddle sends for it, in the order its scenarios give:
https://developer.paddle.com/webhooks/simulator/subscription-created
https://developer.paddle.com/webhooks/simulator/subscription-renewed
https://developer.paddle.com/api-reference/adjustments
"""

import calendar
import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import msgspec

from stand_ins.paddle import entities
from stand_ins.paddle.entities import Entity

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
FEE_PERCENT = 5


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as Paddle would notify of it."""

    event_id: str
    event_type: str
    occurred_at: str
    data: Entity

    def body(self, notification_id: str = "ntf_01h00000000000000000000000") -> bytes:
        """The webhook's body."""
        content = {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "occurred_at": self.occurred_at,
            "notification_id": notification_id,
            "data": self.data,
        }
        return msgspec.json.encode(content)

    def altered(self, changes: Mapping[str, object]) -> "Event":
        """The same event telling lies: `{"details.totals.subtotal": "1"}`; items by number."""
        data = copy.deepcopy(self.data)
        for path, value in changes.items():
            *way, last = path.split(".")
            place: Any = data
            for step in way:
                place = place[int(step)] if isinstance(place, list) else place[step]
            place[int(last) if isinstance(place, list) else last] = value
        return replace(self, data=data)


class Refusal(Exception):
    """An error answer of the API."""

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)


class Ids:
    """Ids in Paddle's form, `txn_` and 26 characters; later ones sort behind earlier ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._count = itertools.count(1)

    def __call__(self, prefix: str) -> str:
        """A new id: of 26 characters after the prefix, later ones sorted after earlier ones."""
        stamp = (int(time.time() * 1000) << 20) | next(self._count)
        digits = [ALPHABET[(stamp >> shift) & 31] for shift in range(60, -1, -5)]
        tail = self._random.choices(ALPHABET, k=26 - 2 - len(digits))
        return f"{prefix}_01{''.join(digits)}{''.join(tail)}"


def rfc3339(moment: datetime) -> str:
    """As Paddle writes it (RFC 3339, in UTC, with microseconds)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def month_after(moment: datetime, billing_day: int | None = None) -> datetime:
    """The same day of the next month, or its last one; `billing_day`: the day it should be."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    day = min(billing_day or moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)


class Account:
    """Transactions, subscriptions, adjustments by id, and every event since the beginning."""

    def __init__(
        self, checkout_page: str, *, tax_percent: int = 20, seed: int | None = None
    ) -> None:
        self.checkout_page = checkout_page
        self.tax_percent = tax_percent
        self.transactions: dict[str, Entity] = {}
        self.subscriptions: dict[str, Entity] = {}
        self.adjustments: dict[str, Entity] = {}
        self.discount_percents: dict[str, int] = {}
        """By the discount's id."""
        self.billed_later: dict[str, list[Entity]] = {}
        """Lines that go onto a subscription's next bill."""
        self._billing_days: dict[str, int] = {}
        self.events: list[Event] = []
        self._latest = datetime(2020, 1, 1, tzinfo=UTC)
        self._ids = Ids(time.time_ns() if seed is None else seed)

    def open(self, items: Sequence[Entity], currency: str, custom_data: Entity | None) -> Entity:
        """A draft transaction for those items (`{"price", "quantity"}`, the price with product)."""
        transaction = self._transaction(items, currency, custom_data, origin="api")
        transaction["checkout"] = {"url": f"{self.checkout_page}?_ptxn={transaction['id']}"}
        self.happened("transaction.created", transaction)
        return transaction

    def pay(self, transaction_id: str, *, coupon_percent: int = 0) -> tuple[Event, ...]:
        """The buyer completes the checkout: it is paid; a subscription that it sells begins.

        A coupon takes its percentage off this transaction.
        """
        first = len(self.events)
        transaction = self.transactions[transaction_id]
        if transaction["status"] not in ("draft", "ready"):
            raise ValueError(f"{transaction_id} is {transaction['status']}")
        transaction["customer_id"] = self._ids("ctm")
        transaction["address_id"] = self._ids("add")
        if coupon_percent:
            self._take_off(transaction, self.discount(coupon_percent))
        self._move(transaction, "ready")
        self._move(transaction, "paid")
        if any(item["price"]["billing_cycle"] for item in transaction["items"]):
            self._subscribe(transaction)
        self._complete(transaction)
        return tuple(self.events[first:])

    def discount(self, percent: int) -> str:
        """The id of a discount: a coupon, or for a subscription that is to be kept."""
        id_ = self._ids("dsc")
        self.discount_percents[id_] = percent
        return id_

    def cancel_transaction(self, transaction_id: str) -> tuple[Event, ...]:
        """It will never be paid."""
        first = len(self.events)
        self._move(self.transactions[transaction_id], "canceled")
        return tuple(self.events[first:])

    def charge(self, subscription_id: str, items: Sequence[Entity], currency: str) -> Entity:
        """Charge the subscription's payment method now; the transaction that is paid."""
        subscription = self.subscriptions[subscription_id]
        return self.collect(subscription, items, currency, "subscription_charge")

    def renew(self, subscription_id: str, *, paid: bool = True) -> tuple[Event, ...]:
        """The next month begins; without `paid` its payment fails, and it is past due."""
        first = len(self.events)
        subscription = self.subscriptions[subscription_id]
        period = subscription["current_billing_period"]
        starts_at = datetime.fromisoformat(period["ends_at"])
        self._set_period(subscription, starts_at, self._billing_days[subscription_id])
        self.happened("subscription.updated", subscription)
        self._collect_month(subscription, paid=paid)
        if not paid:
            self.change_subscription(subscription_id, "past_due")
        return tuple(self.events[first:])

    def recover(self, transaction_id: str) -> tuple[Event, ...]:
        """A past due transaction is paid after all, and its subscription is active again."""
        first = len(self.events)
        transaction = self.transactions[transaction_id]
        self._move(transaction, "paid")
        self._complete(transaction)
        self.change_subscription(transaction["subscription_id"], "active")
        return tuple(self.events[first:])

    def change_subscription(self, subscription_id: str, status: str) -> tuple[Event, ...]:
        """To active, past_due, paused or canceled."""
        first = len(self.events)
        subscription = self.subscriptions[subscription_id]
        before, now = subscription["status"], rfc3339(self.now())
        subscription |= {"status": status, "updated_at": now}
        if status == "paused":
            subscription |= {"paused_at": now, "next_billed_at": None}
        if status == "canceled":
            subscription |= {"canceled_at": now, "next_billed_at": None}
            subscription["current_billing_period"] = None
        self.happened("subscription.updated", subscription)
        if status != "active":
            self.happened(f"subscription.{status}", subscription)
        elif before == "paused":
            self._resume(subscription)
        return tuple(self.events[first:])

    def _resume(self, subscription: Entity) -> None:
        """Out of a pause begins a new month, paid at once."""
        subscription["paused_at"] = None
        self._set_period(subscription, self.now())
        self.happened("subscription.resumed", subscription)
        self._collect_month(subscription)

    def adjust(
        self,
        transaction_id: str,
        action: str = "refund",
        *,
        subtotal: int | None = None,
        status: str | None = None,
    ) -> Event:
        """Give a payment back, all of it or `subtotal` plus its tax.

        Refunds wait for Paddle's approval, unless `status` says otherwise; the rest is approved.
        """
        transaction = self.transactions[transaction_id]
        totals = transaction["details"]["totals"]
        whole = int(totals["subtotal"]) - int(totals["discount"])
        adjustment = entities.adjustment(
            transaction,
            self._totals(whole if subtotal is None else subtotal),
            self._ids,
            rfc3339(self.now()),
        ) | {
            "action": action,
            "type": "full" if subtotal in (None, whole) else "partial",
            "status": status or ("pending_approval" if action == "refund" else "approved"),
        }
        self.adjustments[adjustment["id"]] = adjustment
        return self.happened("adjustment.created", adjustment)

    def decide(self, adjustment_id: str, status: str) -> Event:
        """Paddle approves or rejects a refund, or an adjustment is reversed."""
        adjustment = self.adjustments[adjustment_id]
        adjustment |= {"status": status, "updated_at": rfc3339(self.now())}
        return self.happened("adjustment.updated", adjustment)

    def now(self) -> datetime:
        """The time, later at each call."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(milliseconds=1))
        return self._latest

    def happened(self, event_type: str, entity: Entity, **more: object) -> Event:
        """Paddle notifies of it."""
        data = {key: value for key, value in entity.items() if key != "management_urls"}
        event = Event(self._ids("evt"), event_type, rfc3339(self.now()), copy.deepcopy(data | more))
        self.events.append(event)
        return event

    def _move(self, transaction: Entity, status: str) -> None:
        transaction |= {"status": status, "updated_at": rfc3339(self.now())}
        if status in ("billed", "paid", "completed") and not transaction["billed_at"]:
            transaction["billed_at"] = transaction["updated_at"]
        if status != "billed":
            self.happened("transaction.updated", transaction)
        self.happened(f"transaction.{status}", transaction)

    def _complete(self, transaction: Entity) -> None:
        total = transaction["details"]["totals"]["total"]
        transaction["payments"] = [entities.payment(total, self._ids, rfc3339(self.now()))]
        transaction |= {"invoice_id": self._ids("inv"), "invoice_number": "325-10566"}
        transaction["details"] |= self._paid_totals(transaction)
        self._move(transaction, "completed")

    def _collect_month(self, subscription: Entity, *, paid: bool = True) -> None:
        items = [
            {"price": item["price"] | {"product": item["product"]}, "quantity": item["quantity"]}
            for item in subscription["items"]
        ]
        items += self.billed_later.pop(subscription["id"], [])
        currency = subscription["currency_code"]
        self.collect(subscription, items, currency, "subscription_recurring", paid=paid)

    def collect(
        self,
        subscription: Entity,
        items: Sequence[Entity],
        currency: str,
        origin: str,
        *,
        paid: bool = True,
    ) -> Entity:
        """A transaction of a subscription, billed and then paid by what is on file.

        An item may have a `proration`, and a quantity below zero if it is given back.
        """
        transaction = self._transaction(items, currency, subscription["custom_data"], origin)
        transaction |= {
            "subscription_id": subscription["id"],
            "customer_id": subscription["customer_id"],
            "address_id": subscription["address_id"],
            "billing_period": copy.deepcopy(subscription["current_billing_period"]),
            "checkout": {"url": f"{self.checkout_page}?_ptxn={transaction['id']}"},
            "status": "billed",
        }
        if subscription["discount"] is not None:
            self._take_off(transaction, subscription["discount"]["id"])
        self.happened("transaction.created", transaction)
        self._move(transaction, "billed")
        if paid:
            self._move(transaction, "paid")
            self._complete(transaction)
        else:
            self.happened("transaction.payment_failed", transaction)
            self._move(transaction, "past_due")
        return transaction

    def _subscribe(self, transaction: Entity) -> None:
        now = self.now()
        items = [item for item in transaction["items"] if item["price"]["billing_cycle"]]
        products = {
            line["price_id"]: line["product"] for line in transaction["details"]["line_items"]
        }
        subscription = entities.subscription(self._ids("sub"), transaction, rfc3339(now))
        subscription["items"] = [
            entities.subscription_item(item, products[item["price"]["id"]], rfc3339(now))
            for item in items
        ]
        self._set_period(subscription, now)
        self.subscriptions[subscription["id"]] = subscription
        transaction["subscription_id"] = subscription["id"]
        transaction["billing_period"] = copy.deepcopy(subscription["current_billing_period"])
        # Of all subscription events only this one names the transaction.
        self.happened("subscription.created", subscription, transaction_id=transaction["id"])
        self.happened("subscription.activated", subscription)

    def _set_period(
        self, subscription: Entity, starts_at: datetime, billing_day: int | None = None
    ) -> None:
        """A month begins. After one that was too short for its day, the day is that day again."""
        self._billing_days[subscription["id"]] = billing_day or starts_at.day
        starts, ends = rfc3339(starts_at), rfc3339(month_after(starts_at, billing_day))
        subscription["current_billing_period"] = {"starts_at": starts, "ends_at": ends}
        subscription |= {"next_billed_at": ends, "updated_at": rfc3339(self.now())}
        for item in subscription["items"]:
            item |= {"previously_billed_at": starts, "next_billed_at": ends}

    def _transaction(
        self, items: Sequence[Entity], currency: str, custom_data: Entity | None, origin: str
    ) -> Entity:
        now = rfc3339(self.now())
        lines = [self._line(item, now) for item in items]
        transaction = entities.transaction(self._ids("txn"), now) | {
            "origin": origin,
            "currency_code": currency,
            "custom_data": custom_data,
            "items": [
                {
                    "price": line.pop("price"),
                    "quantity": line["quantity"],
                    "proration": line["proration"],
                }
                for line in lines
            ],
            "details": self._details(lines, currency),
        }
        self.transactions[transaction["id"]] = transaction
        return transaction

    def _line(self, item: Entity, now: str) -> Entity:
        """A line item, with its price in it."""
        price = dict(item["price"])
        product = price.pop("product")
        price.setdefault("id", self._ids("pri"))
        product.setdefault("id", self._ids("pro"))
        price = entities.price(price, product["id"], now)
        proration = item.get("proration")
        part = Fraction(1) if proration is None else Fraction(proration["rate"])
        unit = int(int(price["unit_price"]["amount"]) * part)
        return {
            "id": self._ids("txnitm"),
            "price": price,
            "price_id": price["id"],
            "quantity": item["quantity"],
            "proration": proration,
            "tax_rate": str(self.tax_percent / 100),
            "unit_totals": self._totals(unit),
            "totals": self._totals(unit * item["quantity"]),
            "product": entities.product(product, now),
        }

    def _totals(self, subtotal: int, discount: int = 0) -> Entity:
        tax = (subtotal - discount) * self.tax_percent // 100
        return {
            "subtotal": str(subtotal),
            "discount": str(discount),
            "tax": str(tax),
            "total": str(subtotal - discount + tax),
        }

    def _take_off(self, transaction: Entity, discount_id: str) -> None:
        """A discount leaves the subtotals alone."""
        percent = self.discount_percents[discount_id]
        lines = transaction["details"]["line_items"]
        for line in lines:
            subtotal = int(line["totals"]["subtotal"])
            line["totals"] = self._totals(subtotal, subtotal * percent // 100)
        transaction["discount_id"] = discount_id
        transaction["details"] = self._details(lines, transaction["currency_code"])

    def _details(self, lines: Sequence[Entity], currency: str) -> Entity:
        totals = self._totals(
            sum(int(line["totals"]["subtotal"]) for line in lines),
            sum(int(line["totals"]["discount"]) for line in lines),
        )
        due = max(0, int(totals["total"]))
        grand = {
            "credit": "0",
            "credit_to_balance": str(due - int(totals["total"])),
            "balance": str(due),
            "grand_total": str(due),
            "grand_total_tax": str(max(0, int(totals["tax"]))),
            "fee": None,
            "earnings": None,
            "currency_code": currency,
        }
        return {
            "tax_rates_used": [{"tax_rate": str(self.tax_percent / 100), "totals": totals}],
            "totals": totals | grand,
            "adjusted_totals": totals | grand | {"retained_fee": "0"},
            "payout_totals": None,
            "adjusted_payout_totals": None,
            "line_items": list(lines),
        }

    def _paid_totals(self, transaction: Entity) -> Entity:
        totals = transaction["details"]["totals"]
        fee = int(totals["total"]) * FEE_PERCENT // 100
        paid = totals | {
            "balance": "0",
            "fee": str(fee),
            "earnings": str(int(totals["subtotal"]) - fee),
        }
        payout = paid | {"exchange_rate": "1", "fee_rate": "0.05"}
        return {"totals": paid, "payout_totals": payout}
