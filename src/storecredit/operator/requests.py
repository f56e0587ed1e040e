"""Everything about a request, whoever's it is: what the operator asks for with an id in hand.

Read in one snapshot of each bucket, on connections beside the pool, so that no request of the
service waits for it. Of a generation's input nothing is read: prompts and image URLs are not the
operator's to see here. What the generator said is (`generator_message`), for as long as it is kept.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from storecredit.billing.paddle import PROVIDER
from storecredit.ledger.owners import Owner
from storecredit.operator.identifiers import (
    Named,
    account_of,
    named_by,
    transactions_of_event,
)
from storecredit.operator.records import RequestsFound
from storecredit.operator.request_reading import Reading
from storecredit.operator.time_lines import with_time_line
from storecredit.postgres.buckets import Buckets, together
from storecredit.postgres.kept_connections import KeptSnapshots
from storecredit.postgres.servers import Connection

STATEMENT_MAX_SECONDS: Final = 20.0
"""For each statement; the longest asks all accounts."""
AT_ONCE_MAX: Final = 2
"""Requests that are looked up at the same time in a process; further ones wait."""
RESULTS_MAX: Final = 20
"""Results that are shown with what is found."""


class Requests:
    """Looks up what an id names. `close()` after use."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._snapshots = [
            KeptSnapshots(database, statement_seconds=STATEMENT_MAX_SECONDS)
            for database in buckets.all
        ]
        self._looking = asyncio.Semaphore(AT_ONCE_MAX)

    def close(self) -> None:
        """End the connections that are kept for the next one to ask."""
        for snapshots in self._snapshots:
            snapshots.close()

    async def find(self, identifier: str, owner: Owner | None = None) -> RequestsFound:
        """Everything about the requests that `identifier` names, of `owner` or of everybody.

        `identifier` is any of `IdentifierKind`, up to `IDENTIFIER_MAX` characters. What names
        nothing, or an owner that there is not, finds nothing. Raises StatementCancelled where it
        takes longer than `STATEMENT_MAX_SECONDS`, DatabaseUnavailable.
        """
        async with self._looking, AsyncExitStack() as stack:
            lives_in = None if owner is None else await self._number_of(owner)
            asked = range(len(self._snapshots)) if lives_in is None else sorted({0, lives_in})
            connections: dict[int, Connection] = {
                number: await stack.enter_async_context(self._snapshots[number].snapshot())
                for number in asked
            }
            account_id = None
            if owner is not None and lives_in is not None:
                account_id = await account_of(connections[lives_in], owner)
                if account_id is None:
                    return RequestsFound()
            named = await _named(connections, identifier, lives_in, account_id)
            reading = Reading(self._buckets, connections, identifier, account_id, named.places)
            await reading.requests()
            events = await reading.events()
            told = await reading.told()
            actions = await reading.actions()
            return RequestsFound(
                requests=[with_time_line(record) for record in reading.records.values()],
                events=events,
                told=told,
                actions=actions,
                things=await reading.things(owner),
                truncated=named.truncated,
            )

    async def _number_of(self, owner: Owner) -> int:
        return self._buckets.all.index(await self._buckets.of(owner))


async def _named(
    connections: Mapping[int, Connection],
    identifier: str,
    lives_in: int | None,
    account_id: int | None,
) -> Named:
    """The requests that an id names: in all buckets, or in that of the one account that is asked.

    A payment stands in its owner's bucket, and the event about it may stand in the first.
    """
    providers = [PROVIDER]
    if len(connections) == 1:
        [connection] = connections.values()
        return await named_by(connection, identifier, account_id, providers)
    of_event = await together(
        *(transactions_of_event(each, identifier, providers) for each in connections.values())
    )
    transactions = sorted({each for ids in of_event for each in ids})
    asked = connections.values() if lives_in is None else [connections[lives_in]]
    return Named.of(
        await together(
            *(named_by(each, identifier, account_id, providers, transactions) for each in asked)
        )
    )
