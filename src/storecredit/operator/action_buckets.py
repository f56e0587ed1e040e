"""In which bucket an action is done, so that under an idempotency key it is done in one at most.

An action and its entry stand in the bucket of the owner it is about. A key that comes again may be
sent for another owner, in another bucket, and is to be refused there. So the directory says in
which bucket a key may have been used: that one is asked first, and is the only one where it can be
used until it was seen, with the key locked, that nothing was done there.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database

TRIES_MAX: Final = 10
"""So often may others take a key elsewhere while it is about to be used."""

Look = Callable[[Database], Awaitable[Mapping[str, Any] | None]]
"""Locks the key in a bucket's transaction, and finds what was done under it there."""


@asynccontextmanager
async def begun(
    buckets: Buckets, key: str | None, wanted: Database, look: Look, *, is_wide: bool
) -> AsyncIterator[tuple[Database, Mapping[str, Any] | None]]:
    """A transaction in `wanted`, or in the bucket where something was done under the key before.

    With what was done, if anything was. `is_wide`: it works in other buckets, too. Raises
    DatabaseUnavailable.
    """
    if key is None or isinstance(buckets, Database):
        async with wanted.transaction(is_wide=is_wide):
            yield wanted, None if key is None else await look(wanted)
        return
    for _ in range(TRIES_MAX):
        placed = await buckets.place_action(key, wanted)
        async with placed.transaction(is_wide=is_wide):
            found = await look(placed)
            # Before the key was locked, somebody may have taken it elsewhere.
            if found is not None or (
                placed is wanted and await buckets.place_action(key, wanted) is wanted
            ):
                yield placed, found
                return
            if placed is not wanted:
                await buckets.move_action(key, placed, wanted)
    raise DatabaseUnavailable("an idempotency key is sent for many owners at once")
