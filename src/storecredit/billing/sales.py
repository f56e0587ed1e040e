"""What Paddle is asked to sell: by a checkout, or by a charge to a subscription."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sale:
    """What a checkout sells; `monthly`: now and again each month, else once.

    `unit_amount` is without tax, in the currency's smallest unit.
    """

    description: str
    quantity: int
    unit_amount: int
    currency: str
    monthly: bool
    custom_data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a subscription is charged besides its price, once; `marker` names this very charge."""

    marker: str
    description: str
    quantity: int
    unit_amount: int
    currency: str
