"""Sign-outs that the database could not be told of, and is told of once it answers again.

Whoever signs out is out in their browser at once. A copy of the cookie would come in again, as
nobody could end the sign-in itself: until that is done, this process lets nobody in by it. If the
process ends before, the sign-in lasts until its time is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from storecredit import telemetry
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import every

AGAIN_SECONDS: Final = 1.0
LATE_MAX: Final = 10_000
"""Kept at once; of more the oldest last until their time is over."""

log = telemetry.get_logger("operator.late_sign_outs")


class LateSignOuts:
    """Those of this process, by the hash of their secret and their door, oldest first.

    `end` ends one; it raises DatabaseUnavailable.
    """

    def __init__(self, end: Callable[[bytes, str], Awaitable[object]]) -> None:
        self._end = end
        self._late: dict[tuple[bytes, str], None] = {}

    def __contains__(self, sign_in: tuple[bytes, str]) -> bool:
        return sign_in in self._late

    def add(self, secret_hash: bytes, door: str) -> None:
        """Have it ended as soon as it can be."""
        self._late[secret_hash, door] = None
        if len(self._late) > LATE_MAX:
            del self._late[next(iter(self._late))]

    async def run(self, stop: asyncio.Event) -> None:
        """End them, until `stop` is set."""
        await every(AGAIN_SECONDS, stop, self.end)

    async def end(self) -> None:
        """End all of them, if the database answers."""
        for each in tuple(self._late):
            try:
                await self._end(*each)
            except DatabaseUnavailable:
                return
            self._late.pop(each, None)
            log.info("signed_out_late", left=len(self._late))
