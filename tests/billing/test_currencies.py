"""What an amount is in a currency's main unit, on the pages as in the commands."""

from decimal import Decimal
from typing import Any, cast

import pytest
from babel import Locale
from paddle_billing.Entities.Shared import CurrencyCode

from storecredit.billing.currencies import decimals, in_main_unit
from storecredit.web.pages.formats import money

SOLD_IN = sorted(code for code in vars(CurrencyCode) if code.isupper())
WHOLE = {"CLP", "JPY", "KRW", "VND"}
"""Of the currencies that Paddle takes, those without a smaller unit (ISO 4217, 2026-01-01)."""


def shown(amount: int, currency: str, language: str = "en") -> str:
    """On a page."""
    context = cast("Any", {"locale": Locale.parse(language)})
    return money(context, amount, currency)


def test_every_currency_that_paddle_takes_has_its_decimals() -> None:
    assert set(SOLD_IN) > WHOLE
    assert {code: decimals(code) for code in SOLD_IN} == {
        code: 0 if code in WHOLE else 2 for code in SOLD_IN
    }


@pytest.mark.parametrize(
    "amount, currency, value",
    [
        (1230, "USD", "12.30"),
        (-5, "EUR", "-0.05"),
        (1230, "JPY", "1230"),
        (1230, "KWD", "1.230"),
        (1230, "XAU", "12.30"),
        (1230, "QQQ", "12.30"),
    ],
)
def test_no_decimal_is_lost(amount: int, currency: str, value: str) -> None:
    assert str(in_main_unit(amount, currency)) == value
    assert in_main_unit(Decimal(amount), currency) == Decimal(value)


# The languages' data have no decimals for COP, HUF and IQD: for cash, not for cards.
@pytest.mark.parametrize(
    "amount, currency, language, text",
    [
        (123_456, "HUF", "en", "HUF1,234.56"),
        (123_456, "HUF", "de", "1.234,56\xa0HUF"),
        (50, "COP", "en", "COP0.50"),
        (1, "IQD", "en", "IQD0.001"),
        (123_456, "JPY", "en", "¥123,456"),
        (-123_456, "USD", "en", "-$1,234.56"),
        (123_456, "USD", "de", "1.234,56\xa0$"),
    ],
)
def test_pages_round_nothing_away(amount: int, currency: str, language: str, text: str) -> None:
    assert shown(amount, currency, language) == text
