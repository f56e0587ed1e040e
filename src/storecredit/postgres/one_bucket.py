"""A bucket as the only one of its database: every question belongs to it.

What `SeveralBuckets` of `buckets.py` decides by a directory is decided here without one, so that
whoever asks need not know how many there are.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self, TypeVar
from uuid import UUID

T = TypeVar("T")


class Owned(Protocol):
    """Who lives in a bucket: an owner of credits."""

    @property
    def kind(self) -> str:
        """A store, or an end user."""

    @property
    def id(self) -> UUID:
        """Which one."""


class OneBucket:
    """What `SeveralBuckets` answers, where there is one."""

    several = False

    @property
    def all(self) -> tuple[Self, ...]:
        """Itself."""
        return (self,)

    @property
    def home(self) -> Self:
        """Itself."""
        return self

    def numbered(self, _number: int) -> Self:
        """The bucket of this number."""
        return self

    def of_account(self, _account_id: int) -> Self:
        """Where an account is."""
        return self

    async def of(self, _owner: Owned) -> Self:
        """Where an owner lives."""
        return self

    async def of_store(self, _store_id: UUID) -> Self:
        """Where a store lives."""
        return self

    async def of_user(self, _user_id: UUID) -> Self:
        """Where an end user lives."""
        return self

    async def of_new_store(self, _store_id: UUID, _asked_under: str | None = None) -> Self:
        """Where a store is to be made."""
        return self

    async def of_new_user(self, _user_id: UUID) -> Self:
        """Where an end user is to be made."""
        return self

    async def of_keys(self, key_hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The number of the bucket that knows each of these API keys, if any does."""
        return dict.fromkeys(key_hashes, 0)

    async def place_key(self, _key_hash: bytes, _database: Self) -> None:
        """Note which bucket will know a new API key: there is no need to."""

    async def each(self, ask: Callable[[Self], Awaitable[T]]) -> list[T]:
        """What it answers."""
        return [await ask(self)]
