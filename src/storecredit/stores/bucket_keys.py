"""Whose keys those of one bucket are, looked up apart from those of every other one.

A bucket that is away, or does not answer, is so for the callers that it knows and for nobody else:
what is asked of it shares no statement and no wait with what is asked of others.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final
from uuid import UUID

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.kept_connections import KeptConnections
from storecredit.postgres.listener import Listener
from storecredit.postgres.pool import Database
from storecredit.stores.callers import Caller, Refused, callers_by_hash, listed_origins
from storecredit.stores.lookups import Answer, Lookups

CACHED_ORIGINS_MAX: Final = 5_000


class KeysOfBucket:
    """Its callers, by the hash of their key, and the origins that its keys list."""

    def __init__(
        self,
        database: Database,
        listener: Listener,
        *,
        clock: Callable[[], float],
        cached_max: int,
    ) -> None:
        """At most `cached_max` callers are kept; `clock` gives seconds and never goes back."""
        self._connections = KeptConnections(database)
        self.callers: Lookups[bytes, Caller | Refused] = Lookups(
            self._callers_by_hash,
            listener,
            clock=clock,
            cached_max=cached_max,
            subject_of=lambda caller: caller.store_id,
        )
        self.origins: Lookups[str, bool] = Lookups(
            self._listed_origins, listener, clock=clock, cached_max=CACHED_ORIGINS_MAX
        )

    async def close(self) -> None:
        """Close the connections that callers were looked up by."""
        await self._connections.close()

    def forget(self, store_id: UUID | None) -> None:
        """Forget a store that was changed; None: whichever."""
        if store_id is None:
            self.callers.forget_all()
        else:
            self.callers.forget(store_id)
        # Any change of any store may change who lists an origin.
        self.origins.forget_all()

    async def _callers_by_hash(
        self, digests: Sequence[bytes]
    ) -> dict[bytes, Answer[Caller | Refused]]:
        return await callers_by_hash(self._connections, digests)

    async def _listed_origins(self, origins: Sequence[str]) -> dict[str, Answer[bool]]:
        return await listed_origins(self._connections, origins)


async def any_of(asking: Sequence[Coroutine[Any, Any, bool | None]]) -> bool:
    """Whether one of them says so, as soon as one does, whatever becomes of the others.

    Raises DatabaseUnavailable where none does, and one could not be asked.
    """
    tasks = [asyncio.create_task(each) for each in asking]
    away: DatabaseUnavailable | None = None
    try:
        for answer in asyncio.as_completed(tasks):
            try:
                if await answer:
                    return True
            except DatabaseUnavailable as error:
                away = error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if away is not None:
        raise away
    return False
