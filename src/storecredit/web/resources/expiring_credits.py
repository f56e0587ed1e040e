"""What of a balance will expire, as whoever reads the balance is told."""

from datetime import datetime
from typing import Annotated

import msgspec

from storecredit.ledger.balances import Balance
from storecredit.web.http.moments import utc
from storecredit.web.http.openapi import said


class ExpiringView(msgspec.Struct, frozen=True):
    """Credits that can be spent until a moment."""

    amount: Annotated[int, said("How many credits.")]
    expires_at: Annotated[datetime, said("From then on they are no part of the balance.")]


def expiring_views(credits: Balance) -> list[ExpiringView]:
    """What of a balance will expire, the soonest first."""
    return [ExpiringView(each.amount, utc(each.expires_at)) for each in credits.expiring]
