"""Which plan a price at Paddle is, and how many credits the lines of a transaction are worth.

By our own record alone: the price that Paddle made for our checkout, or one that the catalogue
names as a plan's (`paddle_price_ids`). Never by a name or a description; and by its amount only
where our record has no more than that: checkouts were once kept without their price's id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle.messages import BillingCycle, Item, Price, Transaction
from storecredit.postgres.servers import Record

MONTHLY: Final = BillingCycle("month", 1)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subscription is for: so many credits a month, for `amount` before tax.

    `rollover_max` of them live on into the next month; None: all, they do not expire.
    """

    plan: str
    credits: int
    amount: int
    currency: str
    rollover_max: int | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """What a transaction's lines come to.

    `credits` for the plans among them; below zero: more is given back than added. `plan` is that of
    the line with most, None without any, and `rollover_max` the plan's. `unknown`: the prices that
    are no plan; `is_open`: some of those stand for a part of a period, so that what they add or
    give back cannot be told.
    """

    credits: int
    plan: str | None
    unknown: tuple[str, ...]
    is_open: bool
    rollover_max: int | None = None


class PlanPrices:
    """Knows prices by the catalogue and by the checkout that began a subscription."""

    def __init__(self, catalogue: Catalogue, sold: Record | None) -> None:
        self._catalogue = catalogue
        self._sold = sold

    def terms(self, price: Price) -> Terms | None:
        """What the price is by our record; None: no plan that is billed each month."""
        sold = self._sold
        if price.id is None:
            return None
        if sold is not None and price.id == sold["provider_price_id"]:
            return _terms_of(sold)
        plan = self._catalogue.plan_of_price(price.id)
        if plan is None and sold is not None and _is_what_was_sold(price, sold):
            return _terms_of(sold)
        if plan is None or price.billing_cycle not in (None, MONTHLY):
            return None
        return Terms(plan.name, plan.credits, plan.amount, plan.currency, plan.rollover_max)

    def worth(self, billed: Transaction) -> Worth:
        """What was bought: of each line its plan's credits × quantity × the part of the period.

        Rounded towards zero, over all lines together: never a part of a credit too many is given
        or taken.
        """
        if self._is_a_period_without_lines(billed):
            assert self._sold is not None, "it was compared with that"
            sold = _terms_of(self._sold)
            return Worth(sold.credits, sold.plan, (), is_open=False, rollover_max=sold.rollover_max)
        total, most, largest = Fraction(0), Fraction(0), None
        unknown: list[str] = []
        is_open = False
        for price, line in billed.lines:
            terms = self.terms(price)
            if terms is None:
                unknown.append(price.id or "a price without an id")
                is_open = is_open or line.proration is not None
                continue
            credits = line.units * terms.credits
            total += credits
            if largest is None or credits > most:
                largest, most = terms, credits
        plan, rollover_max = (largest.plan, largest.rollover_max) if largest else (None, None)
        return Worth(int(total), plan, tuple(sorted(set(unknown))), is_open, rollover_max)

    def _is_a_period_without_lines(self, billed: Transaction) -> bool:
        """Whether it is one of what was sold, as far as an event says that was kept without lines.

        Earlier versions kept no more of it than its amount.
        """
        if self._sold is None or billed.details is None or billed.details.line_items is not None:
            return False
        costs = (billed.subtotal, billed.currency_code)
        is_period = billed.origin == "subscription_recurring"
        return is_period and costs == (self._sold["amount"], self._sold["currency"])

    def terms_of_items(self, items: Iterable[Item]) -> Terms | None:
        """What a subscription's items come to each month; None: no plan is among them."""
        found = [
            (terms, 1 if item.quantity is None else item.quantity)
            for item in items
            if item.recurring is not False and item.price is not None and item.quantity != 0
            for terms in [self.terms(item.price)]
            if terms is not None
        ]
        if not found:
            return None
        largest, _ = max(found, key=lambda each: each[0].credits)
        return Terms(
            plan=largest.plan,
            credits=sum(terms.credits * quantity for terms, quantity in found),
            amount=sum(terms.amount * quantity for terms, quantity in found),
            currency=largest.currency,
            rollover_max=largest.rollover_max,
        )


def _terms_of(sold: Record) -> Terms:
    return Terms(
        *(sold["plan"], sold["credits"], sold["amount"], sold["currency"]), sold["rollover_max"]
    )


def _is_what_was_sold(price: Price, sold: Record) -> bool:
    """Whether a checkout of which no price is known was for such a one, by amount and currency."""
    unit = price.unit_price
    if sold["provider_price_id"] is not None or unit is None or unit.currency_code is None:
        return False
    costs = (int(unit.amount), unit.currency_code.upper())
    return price.billing_cycle == MONTHLY and costs == (sold["amount"], sold["currency"])
