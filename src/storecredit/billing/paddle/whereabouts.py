"""Which of several buckets has what a provider's id names. Where there is one, nobody is asked.

Whoever has a record of a transaction, a subscription or a checkout has its owner, and all that is
booked for it. So all buckets are asked, each by its indexes; one that is away keeps from nobody
what the others have. What two buckets must not both keep (an event, the payment of a transaction)
is written down in the first, before: who is written down first has it for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from storecredit.billing.paddle import PROVIDER
from storecredit.postgres.buckets import Buckets, SeveralBuckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database

_KEEPS: Final = """
    SELECT CASE WHEN EXISTS (SELECT FROM provider_events WHERE provider = $1 AND event_id = $2)
                  OR EXISTS (SELECT FROM clawbacks WHERE provider = $1 AND adjustment_id = $2)
           THEN 1 END"""

T = TypeVar("T")


class Whereabouts:
    """Finds the bucket of what has come from a provider. Each raises DatabaseUnavailable."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    @property
    def several(self) -> bool:
        """Whether there is anything to find."""
        return self._buckets.several

    async def nearest(self, ask: Callable[[Database], Awaitable[int | None]]) -> Database | None:
        """The bucket that answers with the lowest number; None: none answers with any.

        Raises DatabaseUnavailable where one is away that may have what no other has.
        """
        if not isinstance(self._buckets, SeveralBuckets):
            return self._buckets
        answers = await self._buckets.each(lambda database: _answer(database, ask))
        found = [
            (answer, place)
            for place, answer in enumerate(answers)
            if answer is not None and not isinstance(answer, DatabaseUnavailable)
        ]
        if found:
            return self._buckets.all[min(found)[1]]
        for answer in answers:
            if isinstance(answer, DatabaseUnavailable):
                raise answer
        return None

    async def of_problem(self, problem_id: str) -> Database:
        """Where an event or adjustment of this id is kept; the first bucket, if nowhere."""
        found = await self.nearest(lambda database: database.fetchval(_KEEPS, PROVIDER, problem_id))
        return self._buckets.home if found is None else found

    async def place(self, provider_id: str, database: Database) -> Database:
        """Where what this id names is kept for ever: there, unless another was said before."""
        if not isinstance(self._buckets, SeveralBuckets):
            return database
        number: int = await self._buckets.home.fetchval(
            "SELECT place_provider_id($1, $2, $3)",
            PROVIDER,
            provider_id,
            self._buckets.all.index(database),
        )
        return self._buckets.numbered(number)

    async def placed(self, provider_id: str) -> Database | None:
        """Where what this id names is kept for ever; None: nothing has been said of it."""
        number: int | None = await self._buckets.home.fetchval(
            "SELECT bucket FROM provider_buckets WHERE provider = $1 AND provider_id = $2",
            PROVIDER,
            provider_id,
        )
        return None if number is None else self._buckets.numbered(number)

    async def elsewhere(
        self, database: Database, ask: Callable[[Database], Awaitable[T]]
    ) -> list[T]:
        """What the other buckets answer, as far as they are there."""
        others = [each for each in self._buckets.all if each is not database]
        answers = await asyncio.gather(*(_answer(other, ask) for other in others))
        return [answer for answer in answers if not isinstance(answer, DatabaseUnavailable)]


async def _answer(
    database: Database, ask: Callable[[Database], Awaitable[T]]
) -> T | DatabaseUnavailable:
    try:
        return await ask(database)
    except DatabaseUnavailable as away:
        return away
