"""Whose credits they are: a store's (B2B) or an end user's (B2C).

Every owner has one account, made together with it. A user may bear a store's UUID: these are two
owners with two accounts, which never meet.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class OwnerKind(StrEnum):
    """What an owner is."""

    STORE = "store"
    USER = "user"

    @property
    def id_name(self) -> str:
        """What its id is called: as field of a log line, of a queued job, of an answer."""
        return f"{self.value}_id"


@dataclass(frozen=True, slots=True)
class Owner:
    """A store or an end user."""

    kind: OwnerKind
    id: UUID

    @classmethod
    def store(cls, store_id: UUID) -> "Owner":
        """The owner of store credits."""
        return cls(OwnerKind.STORE, store_id)

    @classmethod
    def user(cls, user_id: UUID) -> "Owner":
        """The owner of user credits."""
        return cls(OwnerKind.USER, user_id)


@dataclass(frozen=True, slots=True)
class Account:
    """An owner and the id of its account, which the ledger knows it by; neither ever changes."""

    id: int
    owner: Owner
