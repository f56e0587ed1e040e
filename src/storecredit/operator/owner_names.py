"""Whose credits the operator means: a store by id, name or domain, or an end user by id.

A user may bear a store's UUID. Then the one who is meant is written `store:ID` or `user:ID`, which
may be written always.
"""

from uuid import UUID

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.stores.stores import Stores

NAME_MAX = 260
"""Characters: those of a domain, with `store:` before them."""


class OwnerNames:
    """Finds owners by what they are called."""

    def __init__(self, buckets: Buckets, stores: Stores) -> None:
        self._buckets = buckets
        self._stores = stores

    async def named(self, text: str) -> tuple[Owner, ...]:
        """The owners that people may mean by a text: one, none, or several to choose from.

        Raises DatabaseUnavailable.
        """
        kind, colon, name = text.partition(":")
        match kind if colon else None:
            case OwnerKind.STORE:
                return await self._stores_named(name)
            case OwnerKind.USER:
                return await self._user(name)
            case _:
                return (*await self._stores_named(text), *await self._user(text))

    async def _stores_named(self, name: str) -> tuple[Owner, ...]:
        return tuple(Owner.store(store.store_id) for store in await self._stores.named(name))

    async def _user(self, text: str) -> tuple[Owner, ...]:
        try:
            user_id = UUID(text)
        except ValueError:
            return ()
        database = await self._buckets.of_user(user_id)
        known = await database.fetchval("SELECT 1 FROM users WHERE user_id = $1", user_id)
        return (Owner.user(user_id),) if known else ()


def spelled(owner: Owner) -> str:
    """The owner as it can always be named."""
    return f"{owner.kind.value}:{owner.id}"
