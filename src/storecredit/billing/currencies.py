"""What an amount of money is in a currency's main unit, as people write it.

Amounts come and are kept in a currency's smallest unit, as payment providers tell them. How many of
them make the main unit is ISO 4217's to say; what a language's habits leave out (nobody pays in
fillér) does not change it.
"""

from decimal import Decimal
from functools import cache
from typing import Final

DECIMALS_OF_MOST: Final = 2
"""Also of what the standard does not list yet, or gives no smaller unit."""


@cache
def decimals(currency: str) -> int:
    """Of a currency's main unit, by its code of three letters: 2 of USD, 0 of JPY, 3 of KWD."""
    # It reads its table when it is loaded: not where no money is shown.
    from iso4217 import Currency  # noqa: PLC0415 - see above

    try:
        found = Currency(currency).exponent
    except ValueError:
        return DECIMALS_OF_MOST
    return DECIMALS_OF_MOST if found is None else found


def in_main_unit(amount: int | Decimal, currency: str) -> Decimal:
    """An amount in the smallest unit, in the main one with all its decimals: 12.30 of 1230."""
    return Decimal(amount).scaleb(-decimals(currency))
