"""The mark by which a charge for overage is known again at Paddle.

Paddle takes no idempotency key and does not say which transaction a charge became. So the price of
each charge carries custom data, `{"storecredit_charge": "overage_bill:<store>:<month>"}`, that
comes back with the transaction, in the API and in events alike.
https://developer.paddle.com/build/transactions/custom-data
"""

import re
from datetime import date
from typing import Annotated, Final
from uuid import UUID

import msgspec

CHARGE_KEY: Final = "storecredit_charge"
"""Where in a charged price's custom data the marker stands."""

Marker = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}(:[0-9a-f-]{1,40}){1,3}\Z")]

_OVERAGE: Final = re.compile(
    r"overage_bill:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{4}-(?:0[1-9]|1[0-2]))"
)


class ChargeMark(msgspec.Struct, frozen=True, omit_defaults=True):
    """The custom data of a price of ours."""

    marker: Marker | None = msgspec.field(default=None, name=CHARGE_KEY)


def charge_mark(marker: str) -> dict[str, object]:
    """The custom data of the price that is charged."""
    return {CHARGE_KEY: marker}


def marker_in(custom_data: object) -> str | None:
    """The marker in a price's custom data, in whatever form that is; None: it has none."""
    marker = custom_data.get(CHARGE_KEY) if isinstance(custom_data, dict) else None
    return marker if isinstance(marker, str) else None


def overage_marker(store_id: UUID, period: date) -> str:
    """The marker in the charge of one store and month."""
    return f"overage_bill:{store_id}:{period:%Y-%m}"


def marked_overage(marker: str) -> tuple[UUID, date] | None:
    """The store and month that a marker names; None: it is no marker of overage."""
    found = _OVERAGE.fullmatch(marker)
    if found is None or found[2].startswith("0000"):
        return None
    return UUID(found[1]), date.fromisoformat(f"{found[2]}-01")
