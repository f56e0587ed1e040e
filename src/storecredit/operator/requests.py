"""Everything about a request, whoever's it is: what the operator asks for with an id in hand.

Read in one snapshot, on a connection beside the pool, so that no request of the service waits for
it. Of a generation's input nothing is read: prompts and image URLs are not the operator's to see
here. What the generator said is (`generator_message`), for as long as it is kept.
"""

import asyncio
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from storecredit.billing.paddle import PROVIDER
from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.acted import ActionRow, acted_on
from storecredit.operator.identifiers import (
    IdentifierKind,
    Place,
    account_of,
    named_by,
    uuid_of,
    webhook_of,
)
from storecredit.operator.records import (
    ArchivedRow,
    EventRow,
    FailedAttemptRow,
    RequestRecord,
    RequestsFound,
    SessionRow,
)
from storecredit.operator.request_statements import ARCHIVED, EVENTS, OWNERS, ROWS, SESSIONS
from storecredit.operator.things import things_named
from storecredit.operator.time_lines import with_time_line
from storecredit.operator.told import Told, ToldRow, told_about, told_by_id
from storecredit.postgres.job_queue import living_jobs
from storecredit.postgres.kept_connections import KeptSnapshots
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record

STATEMENT_MAX_SECONDS: Final = 20.0
"""For each statement; the longest asks all accounts."""
AT_ONCE_MAX: Final = 2
"""Requests that are looked up at the same time in a process; further ones wait."""
ROWS_MAX: Final = 1000
"""Rows of a kind, of all requests that an id names together; a request has few."""


RESULTS_MAX: Final = 20
"""Results that are shown with what is found."""


class Requests:
    """Looks up what an id names. `close()` after use."""

    def __init__(self, database: Database) -> None:
        self._snapshots = KeptSnapshots(database, statement_seconds=STATEMENT_MAX_SECONDS)
        self._looking = asyncio.Semaphore(AT_ONCE_MAX)

    def close(self) -> None:
        """End the connection that is kept for the next one to ask."""
        self._snapshots.close()

    async def find(self, identifier: str, owner: Owner | None = None) -> RequestsFound:
        """Everything about the requests that `identifier` names, of `owner` or of everybody.

        `identifier` is any of `IdentifierKind`, up to `IDENTIFIER_MAX` characters. What names
        nothing, or an owner that there is not, finds nothing. Raises StatementCancelled where it
        takes longer than `STATEMENT_MAX_SECONDS`, DatabaseUnavailable.
        """
        async with (
            self._looking,
            self._snapshots.snapshot() as connection,
        ):
            account_id = None if owner is None else await account_of(connection, owner)
            if owner is not None and account_id is None:
                return RequestsFound()
            named = await named_by(connection, identifier, account_id, [PROVIDER])
            reading = _Reading(connection, identifier, account_id, named.places)
            await reading.requests()
            events = await reading.events()
            told = await reading.told()
            actions = await reading.actions()
            as_uuid = uuid_of(identifier)
            return RequestsFound(
                requests=[with_time_line(record) for record in reading.records.values()],
                events=events,
                told=told,
                actions=actions,
                things=[] if as_uuid is None else await things_named(connection, as_uuid, owner),
                truncated=named.truncated,
            )


class _Reading:
    """The rows of the requests that an id names, inside one snapshot."""

    def __init__(
        self,
        connection: Connection,
        identifier: str,
        account_id: int | None,
        places: dict[Place, tuple[IdentifierKind, ...]],
    ) -> None:
        """`account_id`: whose alone is to be told, None: everybody's."""
        self._connection = connection
        self._identifier = identifier
        self._account_id = account_id
        self._found_as = places
        self.records: dict[Place, RequestRecord] = {}

    async def requests(self) -> None:
        """Whose they are, and all rows that carry their ids."""
        if not self._found_as:
            return
        accounts = [place.account_id for place in self._found_as]
        request_ids = [place.request_id for place in self._found_as]
        rows = await self._connection.fetch(OWNERS, accounts)
        owners = {row["account_id"]: row for row in rows}
        for place, found_as in self._found_as.items():
            self.records[place] = _record(place, found_as, owners.get(place.account_id))
        for field, row_type, statement in ROWS:
            rows = await self._connection.fetch(statement, accounts, request_ids, ROWS_MAX)
            for row in rows:
                fields = _fields(row)
                record = self.records[Place(fields.pop("account_id"), fields.pop("of_request"))]
                getattr(record, field).append(row_type(**fields))
        await self._sessions()

    async def events(self) -> list[EventRow]:
        """Put the provider's webhooks to their requests; what is left are those about none.

        Whose such a one is nobody knows: it is told only where no owner was asked for.
        """
        ids = {place: self._provider_ids(record) for place, record in self.records.items()}
        wanted = sorted({self._identifier}.union(*ids.values()))
        others = []
        for row in await self._connection.fetch(EVENTS, wanted, [PROVIDER], ROWS_MAX):
            event = EventRow(**row)
            places = [place for place, known in ids.items() if not known.isdisjoint(event.about)]
            for place in places:
                self.records[place].events.append(event)
            if not places and self._account_id is None:
                others.append(event)
        return others

    async def told(self) -> list[ToldRow]:
        """Put our own webhooks to the requests they tell of; what is left tells of none."""
        event_id = webhook_of(self._identifier)
        found = (
            []
            if event_id is None
            else await told_by_id(self._connection, event_id, self._account_id)
        )
        names = {place: self._names(record) for place, record in self.records.items()}
        found += await told_about(
            self._connection,
            sorted({place.account_id for place in names}),
            sorted(set().union(*names.values())),
            (moment for record in self.records.values() for moment in _told_at(record)),
        )
        others = []
        for each in sorted(_distinct(found), key=lambda told: told.row.created_at):
            places = [
                place
                for place, known in names.items()
                if each.account_id in {None, place.account_id} and not known.isdisjoint(each.names)
            ]
            for place in places:
                self.records[place].told.append(each.row)
            if not places:
                others.append(each.row)
        return others

    async def actions(self) -> list[ActionRow]:
        """Put what operators did to the requests it was done by, or to; what is left, to none."""
        subjects = {
            place: self._names(record) | {str(webhook_of(told.webhook_id)) for told in record.told}
            for place, record in self.records.items()
        }
        found = await acted_on(
            self._connection,
            sorted({self._identifier}.union(place.request_id for place in subjects)),
            sorted({self._identifier}.union(*subjects.values())),
        )
        others = []
        for each in found:
            places = [
                place
                for place, known in subjects.items()
                if (not each.account_ids or place.account_id in each.account_ids)
                and (place.request_id == each.row.request_id or not known.isdisjoint(each.subjects))
            ]
            for place in places:
                self.records[place].actions.append(each.row)
            if not places and (self._account_id is None or self._account_id in each.account_ids):
                others.append(each.row)
        return others

    async def _sessions(self) -> None:
        """The generations that the movements are for, and the one that was asked for."""
        place_of: dict[tuple[int, UUID], Place] = {}
        for place, record in self.records.items():
            ids = {
                movement.session_id
                for movement in record.movements
                if movement.request_id == place.request_id
            }
            if IdentifierKind.SESSION in record.found_as:
                ids.add(uuid_of(self._identifier))
            place_of |= {(place.account_id, each): place for each in ids if each is not None}
        accounts = [account_id for account_id, _ in place_of]
        session_ids = [session_id for _, session_id in place_of]
        for row in await self._connection.fetch(ARCHIVED, accounts, session_ids, ROWS_MAX):
            fields = _fields(row)
            place = place_of[fields.pop("account_id"), fields["session_id"]]
            self.records[place].archived.append(ArchivedRow(**fields))
        rows = await self._connection.fetch(SESSIONS, accounts, session_ids, ROWS_MAX)
        jobs = await living_jobs(
            self._connection, ENTRYPOINT, [str(row["session_id"]) for row in rows]
        )
        for row in rows:
            fields = _fields(row)
            place = place_of[fields.pop("account_id"), fields["session_id"]]
            job = jobs.get(str(fields["session_id"]))
            fields["failed_attempts"] = msgspec.json.decode(
                fields["failed_attempts"] or "[]", type=list[FailedAttemptRow]
            )
            self.records[place].sessions.append(SessionRow(**fields, job=job))

    def _names(self, record: RequestRecord) -> set[str]:
        """By what others may mean the request: its own id, and those of what it led to."""
        events = {event.event_id for event in record.events}
        return {record.request_id} | self._provider_ids(record) | events

    def _provider_ids(self, record: RequestRecord) -> set[str]:
        """What the provider calls the things of a request that its webhooks may be about."""
        ids = [row.transaction_id for row in record.checkouts]
        ids += [row.transaction_id for row in record.payments]
        ids += [row.transaction_id for row in record.overage_bills]
        ids += [row.transaction_id for row in record.top_ups]
        ids += [row.adjustment_id for row in record.clawbacks]
        if IdentifierKind.SUBSCRIPTION in record.found_as:
            ids.append(self._identifier)
        return {each for each in ids if each is not None}


def _told_at(record: RequestRecord) -> list[datetime]:
    """When what webhooks may tell of happened."""
    moments = [row.created_at for row in record.movements]
    moments += [row.created_at for row in record.clawbacks]
    ended = [row.completed_at for row in record.sessions]
    ended += [row.dropped_at for row in record.top_ups]
    ended += [row.settled_at for row in record.events]
    return moments + [moment for moment in ended if moment is not None]


def _distinct(found: list[Told]) -> list[Told]:
    return list({each.row.webhook_id: each for each in found}.values())


def _fields(row: Record) -> dict[str, Any]:
    """A row's columns; the driver has JSON as its text."""
    fields = dict(row)
    if fields.get("metadata") is not None:
        fields["metadata"] = msgspec.json.decode(fields["metadata"], type=dict[str, str])
    return fields


def _record(
    place: Place, found_as: tuple[IdentifierKind, ...], owner: Record | None
) -> RequestRecord:
    """A request without its rows; an account that there is not has no owner."""
    kind = None if owner is None else owner["owner_kind"]
    owner_id = None if owner is None else owner["owner_id"]
    return RequestRecord(
        request_id=place.request_id,
        store_id=owner_id if kind == OwnerKind.STORE else None,
        store_name=None if owner is None else owner["name"],
        user_id=owner_id if kind == OwnerKind.USER else None,
        found_as=found_as,
    )
