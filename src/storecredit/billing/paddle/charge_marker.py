"""The mark by which a charge to a subscription is known again at Paddle.

Paddle takes no idempotency key and does not say which transaction a charge became. So the price of
each charge carries custom data, `{"storecredit_charge": "overage_bill:<store>:<month>"}` or
`"top_up:<store>:<number>"`, that comes back with the transaction, in the API and in events alike.
https://developer.paddle.com/build/transactions/custom-data
"""

import re
from types import MappingProxyType
from typing import Annotated, Final
from uuid import UUID

import msgspec

CHARGE_KEY: Final = "storecredit_charge"
"""Where in a charged price's custom data the marker stands."""

Marker = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,40}(:[0-9a-f-]{1,40}){1,3}\Z")]

_REQUEST_IDS: Final = MappingProxyType({"overage_bill": "overage-", "top_up": "top-up-"})
"""How the request id of a charge begins, by the first word of its marker; both end alike."""
_MARKER: Final = re.compile(
    r"(overage_bill|top_up):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,10}(?:-[0-9]{2})?)"
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


def charge_marker(store_id: UUID, request_id: str) -> str:
    """The marker in the charge of a store's with that request id."""
    for word, beginning in _REQUEST_IDS.items():
        if request_id.startswith(beginning):
            return f"{word}:{store_id}:{request_id.removeprefix(beginning)}"
    raise ValueError(f"no charge has the request id {request_id}")


def marked_charge(marker: str) -> tuple[UUID, str] | None:
    """The store and request id that a marker names; None: it is no marker of a charge."""
    found = _MARKER.fullmatch(marker)
    if found is None:
        return None
    return UUID(found[2]), f"{_REQUEST_IDS[found[1]]}{found[3]}"
