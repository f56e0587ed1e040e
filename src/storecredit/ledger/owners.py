"""Whose credits they are: a store's (B2B) or an end user's (B2C). The two never mix.

Every credit, session and payment has one owner; which tables and functions belong to it follows
from the owner's kind alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class OwnerKind(StrEnum):
    """Which of the two ledgers."""

    STORE = "store"
    USER = "user"


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
