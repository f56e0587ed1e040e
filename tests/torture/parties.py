"""Whose credits are moved: stores by their own key, end users by their app and by the operator."""

from dataclasses import dataclass
from typing import Final

ADMIN_TOKEN: Final = "operator-of-the-torture"


@dataclass(slots=True)
class Party:
    """One owner of credits."""

    owner: str
    """`store:…` or `user:…`, as the record names it."""
    secret: str
    """The store's API key, which may be replaced at any time; the user's token."""
    key_id: str = ""
    is_counted: bool = True
    """Whether every movement of its balance is somebody's request, or follows from one."""
    clients: int = 2

    @property
    def is_store(self) -> bool:
        return self.owner.startswith("store:")

    @property
    def id(self) -> str:
        return self.owner.partition(":")[2]

    @property
    def administered(self) -> str:
        """Where the operator finds it."""
        return f"/api/admin/{'stores' if self.is_store else 'users'}/{self.id}"

    @property
    def moves(self) -> str:
        """Where its credits are spent and held: by the store itself, by the operator for a user."""
        return "/api/v1/credits" if self.is_store else self.administered

    def own_secret(self) -> str:
        """What it comes in with itself."""
        return self.secret

    def moving_secret(self) -> str:
        """What its credits are moved with."""
        return self.secret if self.is_store else ADMIN_TOKEN


def admin_secret() -> str:
    """What the operator comes in with."""
    return ADMIN_TOKEN
