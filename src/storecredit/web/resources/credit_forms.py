"""What is asked for of an owner's credits: add, take out, hand over, end at another time."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from storecredit.ledger.credits import AMOUNT_MAX
from storecredit.ledger.outcomes import AdditionType
from storecredit.operator.audit import REASON_MAX
from storecredit.operator.owner_names import NAME_MAX
from storecredit.settings import Settings
from storecredit.web.http.bodies import Body
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.moments import utc
from storecredit.web.http.request_ids import RequestId
from storecredit.web.resources.grant_terms import ExpiresAt, Kind, Priority


def _reason_refusal(reason: str, _settings: Settings) -> str | None:
    return None if reason.strip() else "Say why, for the ledger."


def _expiry_refusal(moment: datetime, _settings: Settings) -> str | None:
    try:
        is_past = utc(moment) <= datetime.now(UTC)
    except OverflowError:
        return "This time is beyond the years 1 to 9999."
    return "This time is past." if is_past else None


Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
Description = Annotated[str, msgspec.Meta(max_length=500), Check(no_nul)]
Reason = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=REASON_MAX, description="Why; stands in the ledger."),
    Check(no_nul),
    Check(_reason_refusal),
]
OwnerName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=NAME_MAX,
        description="A store by id, name or domain, or an end user by id; `store:ID` or `user:ID` "
        "where an id is both.",
    ),
    Check(no_nul),
]
Expiry = Annotated[datetime, Check(_expiry_refusal)]


class CreditsBody(Body, frozen=True):
    """Credits to add, once per request id."""

    amount: Amount
    type: AdditionType
    request_id: RequestId
    description: Description = ""
    expires_at: ExpiresAt = None
    kind: Kind = None
    priority: Priority = None


class RemovalBody(Body, frozen=True):
    """Credits to take out, once per request id: so many, or (`all`) what is there."""

    request_id: RequestId
    reason: Reason
    amount: Amount | None = None
    all: bool = False


class TransferBody(Body, frozen=True):
    """Credits to hand from one owner to another, once per request id."""

    from_: OwnerName = msgspec.field(name="from")
    to: OwnerName
    amount: Amount
    request_id: RequestId
    reason: Reason


class GrantChange(Body, frozen=True):
    """When what is left of a grant is to end; null: never."""

    expires_at: Expiry | None
    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX), Check(no_nul)] = ""
