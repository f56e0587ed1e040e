"""API keys as pages of console and portal ask for them and show them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from storecredit.stores.api_keys import ApiKey
from storecredit.web.resources.store_fields import Expiry, GraceSeconds, Label, Origins

KEYS_SHOWN: Final = 50
"""On a page."""
GRACES: Final = (
    ("0", "not at all"),
    (str(int(timedelta(hours=1).total_seconds())), "for an hour"),
    (str(int(timedelta(days=1).total_seconds())), "for a day"),
    (str(int(timedelta(days=7).total_seconds())), "for a week"),
    (str(int(timedelta(days=30).total_seconds())), "for 30 days"),
)
"""How long a key may work on after it was replaced: seconds, and what the page calls them."""


class NewKey(msgspec.Struct):
    """A key to make."""

    label: Label = ""
    allowed_origins: Origins = msgspec.field(default_factory=list)
    expires_at: Expiry | None = None


class KeyChanges(msgspec.Struct):
    """A key's label and origins as they are to be."""

    label: Label = ""
    allowed_origins: Origins = msgspec.field(default_factory=list)


class Replacement(msgspec.Struct):
    """How long the replaced key works on."""

    grace_seconds: GraceSeconds = 0


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key, and what is to be said of it now."""

    key: ApiKey
    standing: Literal["works", "expired", "revoked"]

    @property
    def works(self) -> bool:
        """Whether it lets anybody in."""
        return self.standing == "works"

    @classmethod
    def of(cls, key: ApiKey) -> "ShownKey":
        """How it stands at this moment, by this machine's clock."""
        if key.revoked_at is not None:
            return cls(key, "revoked")
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            return cls(key, "expired")
        return cls(key, "works")
