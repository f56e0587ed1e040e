"""Whose credits they are: a store's (B2B) or an end user's (B2C).

Every owner has one account, made together with it. A user may bear a store's UUID: these are two
owners with two accounts, which never meet.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec


class OwnerKind(StrEnum):
    """What an owner is."""

    STORE = "store"
    USER = "user"

    @property
    def id_name(self) -> str:
        """What its id is called: as field of a log line, of a queued job, of an answer."""
        return f"{self.value}_id"


_STORE: Final = OwnerKind.STORE
"""Named, as looking up a member of an enum takes long, and every request of a store does."""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """A store or an end user."""

    kind: OwnerKind
    id: UUID

    @classmethod
    def store(cls, store_id: UUID) -> "Owner":
        """The owner of store credits."""
        return cls(_STORE, store_id)

    @classmethod
    def user(cls, user_id: UUID) -> "Owner":
        """The owner of user credits."""
        return cls(OwnerKind.USER, user_id)


class Account(msgspec.Struct, frozen=True, gc=False):
    """An owner and the id of its account, which the ledger knows it by; neither ever changes."""

    id: int
    owner: Owner
