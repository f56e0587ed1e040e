"""The rows of the requests that an id names, each put to the request that it is of.

What is an account's is read in its bucket. What may be about several, or nobody's, is asked of all
that take part: events of the payment provider, webhooks of ours, what operators did.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from storecredit.billing.paddle import PROVIDER
from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.acted import Acted, ActionRow, acted_on
from storecredit.operator.identifiers import IdentifierKind, Place, uuid_of, webhook_of
from storecredit.operator.records import (
    ArchivedRow,
    EventRow,
    FailedAttemptRow,
    RequestRecord,
    SessionRow,
)
from storecredit.operator.request_statements import ARCHIVED, EVENTS, OWNERS, ROWS, SESSIONS
from storecredit.operator.things import ThingRow, in_order, things_named
from storecredit.operator.told import Told, ToldRow, relayed, told_about, told_by_id
from storecredit.postgres.buckets import Buckets, bucket_of, together
from storecredit.postgres.job_queue import living_jobs
from storecredit.postgres.servers import Connection, Record

ROWS_MAX: Final = 1000
"""Rows of a kind in a bucket, of all requests that an id names together; a request has few."""

RECEIVED: Final = "transfer_in"

T = TypeVar("T")
K = TypeVar("K")
_Session = tuple[int, UUID]
"""An account and the generation's id."""


class Reading:
    """Reads them, inside one snapshot of each bucket."""

    def __init__(
        self,
        buckets: Buckets,
        connections: Mapping[int, Connection],
        identifier: str,
        account_id: int | None,
        places: dict[Place, tuple[IdentifierKind, ...]],
    ) -> None:
        """`connections`: by bucket. `account_id`: whose alone is to be told, None: everybody's."""
        self._buckets = buckets
        self._connections = connections
        self._identifier = identifier
        self._account_id = account_id
        self._found_as = places
        self.records: dict[Place, RequestRecord] = {}

    async def requests(self) -> None:
        """Whose they are, and all rows that carry their ids."""
        if not self._found_as:
            return
        in_buckets = _in_buckets(self._found_as, lambda place: place.account_id)
        rows = await self._in_each(
            in_buckets,
            lambda connection, places: connection.fetch(
                OWNERS, [place.account_id for place in places]
            ),
        )
        owners = {row["account_id"]: row for row in rows}
        for place, found_as in self._found_as.items():
            self.records[place] = _record(place, found_as, owners.get(place.account_id))
        await self._in_each(in_buckets, self._rows)
        of_sessions = _in_buckets(self._sessions(), lambda session: session[0][0])
        await self._in_each(of_sessions, self._generations)

    async def events(self) -> list[EventRow]:
        """Put the provider's webhooks to their requests; what is left are those about none.

        Whose such a one is nobody knows: it is told only where no owner was asked for.
        """
        ids = {place: self._provider_ids(record) for place, record in self.records.items()}
        wanted = sorted({self._identifier}.union(*ids.values()))
        rows = await self._of_all(
            lambda connection: connection.fetch(EVENTS, wanted, [PROVIDER], ROWS_MAX)
        )
        # One that is being taken to its owner's bucket stands in the first one, too.
        events = {row["event_id"]: EventRow(**row) for row in rows}
        others = []
        for event in sorted(events.values(), key=lambda event: (event.occurred_at, event.event_id)):
            places = [place for place, known in ids.items() if not known.isdisjoint(event.about)]
            for place in places:
                self.records[place].events.append(event)
            if not places and self._account_id is None:
                others.append(event)
        return others

    async def told(self) -> list[ToldRow]:
        """Put our own webhooks to the requests they tell of; what is left tells of none."""
        names = {place: self._names(record) for place, record in self.records.items()}
        found = _distinct(await self._told_by_id() + await self._told_about(names))
        if self._buckets.several:
            found = await self._relayed(found)
        others = []
        for each in sorted(found, key=lambda told: told.row.created_at):
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
        request_ids = sorted({self._identifier}.union(place.request_id for place in subjects))
        named = sorted({self._identifier}.union(*subjects.values()))
        found = await self._acted(request_ids, named)
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

    async def things(self, owner: Owner | None) -> list[ThingRow]:
        """What bears the id and is no request, of everybody or of one owner."""
        as_uuid = uuid_of(self._identifier)
        if as_uuid is None:
            return []
        found = await self._of_all(lambda connection: things_named(connection, as_uuid, owner))
        return in_order(found)

    async def _acted(self, request_ids: Sequence[str], subjects: Sequence[str]) -> list[Acted]:
        """What all buckets' logs have of it, in the order of time.

        An entry stands with whoever it is about first: of a transfer with the giver, who may live
        in a bucket that takes no part otherwise.
        """
        found = await self._of_all(lambda source: acted_on(source, request_ids, subjects))
        if not self._buckets.several:
            return found
        if any(row.type == RECEIVED for each in self.records.values() for row in each.movements):
            others = [
                database
                for number, database in enumerate(self._buckets.all)
                if number not in self._connections
            ]
            for database in others:
                found += await acted_on(database, request_ids, subjects)
        named = [each.handed_to(await self._owner_of(each.elsewhere)) for each in found]
        return sorted(named, key=lambda each: each.row.acted_at)

    async def _owner_of(self, account_id: int | None) -> Owner | None:
        if account_id is None:
            return None
        row = await self._buckets.of_account(account_id).fetchrow(OWNERS, [account_id])
        return None if row is None else Owner(OwnerKind(row["owner_kind"]), row["owner_id"])

    async def _rows(self, connection: Connection, places: Sequence[Place]) -> list[None]:
        """All rows of the requests of one bucket, but for those of generations."""
        accounts = [place.account_id for place in places]
        request_ids = [place.request_id for place in places]
        for field, row_type, statement in ROWS:
            rows = await connection.fetch(statement, accounts, request_ids, ROWS_MAX)
            for row in rows:
                fields = _fields(row)
                record = self.records[Place(fields.pop("account_id"), fields.pop("of_request"))]
                getattr(record, field).append(row_type(**fields))
        return []

    def _sessions(self) -> Iterator[tuple[_Session, Place]]:
        """The generations that the movements are for, and the one that was asked for."""
        for place, record in self.records.items():
            ids = {
                movement.session_id
                for movement in record.movements
                if movement.request_id == place.request_id
            }
            if IdentifierKind.SESSION in record.found_as:
                ids.add(uuid_of(self._identifier))
            for each in ids:
                if each is not None:
                    yield (place.account_id, each), place

    async def _generations(
        self, connection: Connection, sessions: Sequence[tuple[_Session, Place]]
    ) -> list[None]:
        """Those of one bucket, archived or not."""
        place_of = dict(sessions)
        accounts = [account_id for account_id, _ in place_of]
        session_ids = [session_id for _, session_id in place_of]
        for row in await connection.fetch(ARCHIVED, accounts, session_ids, ROWS_MAX):
            fields = _fields(row)
            place = place_of[fields.pop("account_id"), fields["session_id"]]
            self.records[place].archived.append(ArchivedRow(**fields))
        rows = await connection.fetch(SESSIONS, accounts, session_ids, ROWS_MAX)
        jobs = await living_jobs(connection, ENTRYPOINT, [str(row["session_id"]) for row in rows])
        for row in rows:
            fields = _fields(row)
            place = place_of[fields.pop("account_id"), fields["session_id"]]
            job = jobs.get(str(fields["session_id"]))
            fields["failed_attempts"] = msgspec.json.decode(
                fields["failed_attempts"] or "[]", type=list[FailedAttemptRow]
            )
            self.records[place].sessions.append(SessionRow(**fields, job=job))
        return []

    async def _told_by_id(self) -> list[Told]:
        event_id = webhook_of(self._identifier)
        if event_id is None:
            return []
        return await self._of_all(
            lambda connection: told_by_id(connection, event_id, self._account_id)
        )

    async def _told_about(self, names: Mapping[Place, set[str]]) -> list[Told]:
        """What every bucket told of its own accounts, and of nobody's."""
        every_name = sorted(set().union(*names.values()))
        moments = [moment for record in self.records.values() for moment in _told_at(record)]
        accounts: dict[int, set[int]] = {number: set() for number in self._connections}
        for place in names:
            accounts[bucket_of(place.account_id)].add(place.account_id)
        found = await together(
            *(
                told_about(connection, sorted(accounts[number]), every_name, moments)
                for number, connection in self._connections.items()
            )
        )
        return [each for of_bucket in found for each in of_bucket]

    async def _relayed(self, found: Sequence[Told]) -> list[Told]:
        """Those of other buckets, with what the operator's endpoints in the first were sent."""
        own = [each for each in found if not each.is_relayed]
        abroad = [
            each.row.webhook_id for each in own if each.account_id and bucket_of(each.account_id)
        ]
        copies = await relayed(self._connections[0], abroad)
        return [each.relayed(copies.get(each.row.webhook_id)) for each in own]

    async def _of_all(self, ask: Callable[[Connection], Coroutine[Any, Any, list[T]]]) -> list[T]:
        """What all buckets answer, one's after the other's."""
        found = await together(*(ask(connection) for connection in self._connections.values()))
        return [each for of_bucket in found for each in of_bucket]

    async def _in_each(
        self,
        in_buckets: Mapping[int, Sequence[K]],
        ask: Callable[[Connection, Sequence[K]], Coroutine[Any, Any, list[T]]],
    ) -> list[T]:
        """What each bucket answers about its own, likewise."""
        found = await together(
            *(ask(self._connections[number], own) for number, own in in_buckets.items())
        )
        return [each for of_bucket in found for each in of_bucket]

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


def _in_buckets(things: Iterable[K], account_id_of: Callable[[K], int]) -> dict[int, list[K]]:
    """Things of accounts, by the bucket that these are in."""
    found: dict[int, list[K]] = {}
    for each in things:
        found.setdefault(bucket_of(account_id_of(each)), []).append(each)
    return found


def _told_at(record: RequestRecord) -> list[datetime]:
    """When what webhooks may tell of happened."""
    moments = [row.created_at for row in record.movements]
    moments += [row.created_at for row in record.clawbacks]
    ended = [row.completed_at for row in record.sessions]
    ended += [row.dropped_at for row in record.top_ups]
    ended += [row.settled_at for row in record.events]
    return moments + [moment for moment in ended if moment is not None]


def _distinct(found: list[Told]) -> list[Told]:
    """Each once; where a bucket has a copy of another one's, that one."""
    found = sorted(found, key=lambda each: not each.is_relayed)
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
