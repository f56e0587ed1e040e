"""What of an event's data is kept: a copy of it without anybody in it.

The copy is wider than what is read today, so that an event which this version cannot read can be
read by a later one. Two rules keep people out of it. Of an object only the fields named here are
taken, none of which Paddle fills with a name, address, text or means of payment; and of a text
only one in the form of an id, word, amount or time: any other is replaced by `REMOVED`, which no
reader takes for a value. Custom data is whatever its writer put there: it is kept in the form in
which we write it, or not at all.

The names are those of https://developer.paddle.com/webhooks, and of the SDKs' types.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

REMOVED: Final = "(removed)"
"""Stands where a value was that may not be kept."""
DEPTH_MAX: Final = 8
"""Objects and lists in one another; the published entities have six."""
NUMBER_MAX: Final = 10**15

_TEXT: Final = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_.:+-]{0,99}", re.ASCII)

CUSTOM_DATA: Final = "custom_data"

_IDS: Final = frozenset(
    {
        *("id", "transaction_id", "subscription_id", "item_id", "price_id", "product_id"),
        *("discount_id", "invoice_id"),
    }
)
_WORDS: Final = frozenset(
    {
        *("status", "origin", "action", "type", "collection_mode", "tax_mode", "interval"),
        *("recurring", "credit_applied_to_balance"),
    }
)
_AMOUNTS: Final = frozenset(
    {
        *("amount", "currency_code", "subtotal", "discount", "tax", "total", "credit", "balance"),
        *("credit_to_balance", "grand_total", "grand_total_tax", "fee", "retained_fee"),
        *("earnings", "quantity", "minimum", "maximum", "frequency", "rate", "tax_rate"),
    }
)
_TIMES: Final = frozenset(
    {
        *("created_at", "updated_at", "billed_at", "revised_at", "started_at", "paused_at"),
        *("first_billed_at", "next_billed_at", "previously_billed_at", "canceled_at"),
        *("effective_at", "resume_at", "starts_at", "ends_at"),
    }
)
_PARTS: Final = frozenset(
    {
        *("details", "totals", "adjusted_totals", "unit_totals", "line_items", "items"),
        *("price", "unit_price", "billing_cycle", "billing_period", "current_billing_period"),
        *("trial_period", "trial_dates", "proration", "scheduled_change"),
    }
)
KEPT: Final = _IDS | _WORDS | _AMOUNTS | _TIMES | _PARTS
"""The fields that are taken, wherever they stand; `custom_data` has rules of its own."""


Judge = Callable[[object], object]
"""What is kept of custom data; None: it is in no form of ours."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Makes the copies; `claims` judges an entity's custom data, `marks` that of its parts."""

    claims: Judge
    marks: Judge

    def copy(self, entity: dict[str, object]) -> dict[str, object]:
        """What is kept of an entity."""
        return self._object(entity, self.claims, DEPTH_MAX)

    def _object(self, data: dict[str, object], judge: Judge, depth: int) -> dict[str, object]:
        kept = {name: self._value(value, depth) for name, value in data.items() if name in KEPT}
        if CUSTOM_DATA in data:
            kept[CUSTOM_DATA] = judge(data[CUSTOM_DATA])
        return kept

    def _value(self, value: object, depth: int) -> object:
        match value:
            case None | bool():
                return value
            case int() | float() if abs(value) < NUMBER_MAX:
                return value
            case str() if _TEXT.fullmatch(value):
                return value
            case dict() if depth > 1:
                return self._object(value, self.marks, depth - 1)
            case list() if depth > 1:
                return [self._value(each, depth - 1) for each in value]
            case _:
                return REMOVED
