"""What is said of stores and their API keys, by the operator's API and the console alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from storecredit.ledger.credits import AMOUNT_MAX
from storecredit.operator.stores import NewStore
from storecredit.settings import Settings
from storecredit.stores.api_keys import GRACE_SECONDS_MAX, LABEL_LENGTH_MAX, ORIGINS_MAX
from storecredit.stores.origins import normalise_origin
from storecredit.stores.shop_domains import (
    NO_DOMAIN,
    SHOP_DOMAIN_LENGTH_MAX,
    normalise_shop_domain,
)
from storecredit.web.http.bodies import Body
from storecredit.web.http.envelope import invalid
from storecredit.web.http.faults import Check, nearest, no_nul
from storecredit.web.http.moments import utc


def _tier_refusal(tier: str, settings: Settings) -> str | None:
    tiers = settings.rate_limits
    if tier in tiers:
        return None
    near = nearest(tier, tiers)
    known = f"There is no such tier; there are {', '.join(f'`{each}`' for each in tiers)}."
    return f"{known} Did you mean `{near}`?" if near else known


def _origin_refusal(origin: str, _settings: Settings) -> str | None:
    # Looked at before a store is made, too: one whose first key is refused would stand without any.
    if normalise_origin(origin) is None:
        return "This is no web origin: write scheme://host or scheme://host:port."
    return None


def _domain_refusal(text: str, _settings: Settings) -> str | None:
    return None if normalise_shop_domain(text) else f"This is no domain: {NO_DOMAIN}."


def _expiry_refusal(moment: datetime, _settings: Settings) -> str | None:
    try:
        is_past = utc(moment) <= datetime.now(UTC)
    except OverflowError:
        return "This time is beyond the years 1 to 9999."
    return "This time is past: the key would never work." if is_past else None


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200), Check(no_nul)]
Domain = Annotated[
    str, msgspec.Meta(min_length=1, max_length=SHOP_DOMAIN_LENGTH_MAX), Check(_domain_refusal)
]
"""The shop's. Of an address that is sent the domain is kept."""
Tier = Annotated[str, msgspec.Meta(min_length=1, max_length=50), Check(_tier_refusal)]
Status = Literal["active", "suspended"]
CreditCount = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
Label = Annotated[str, msgspec.Meta(max_length=LABEL_LENGTH_MAX), Check(no_nul)]
Origins = Annotated[
    list[Annotated[str, Check(_origin_refusal)]], msgspec.Meta(max_length=ORIGINS_MAX)
]
Expiry = Annotated[datetime, Check(_expiry_refusal)]
GraceSeconds = Annotated[int, msgspec.Meta(ge=0, le=GRACE_SECONDS_MAX)]


class StoreBody(Body, frozen=True):
    """A store to make, with its opening credits and the origins its first key may be used from."""

    name: Name
    shop_domain: Domain
    tier: Tier = "default"
    credits: CreditCount = 0
    allowed_origins: Origins = msgspec.field(default_factory=list)

    def new_store(self) -> NewStore:
        """What is to be made."""
        return NewStore(
            *(self.name, self.shop_domain, self.tier, self.credits), tuple(self.allowed_origins)
        )


@contextmanager
def refusing() -> Iterator[None]:
    """A value that the stores' room refuses is the sender's mistake; its message is for people."""
    try:
        yield
    except ValueError as error:
        raise invalid(f"{error}.".replace("..", ".")) from error
