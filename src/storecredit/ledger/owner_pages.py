"""Stores and end users in pages: which of them, in which order, and where a page ends.

Hides the SQL and what stands in a cursor. Promises that nobody comes twice and nobody is left out
however credits move meanwhile: pages in order of balance are all of one moment, that of the first
page, which their cursor carries. (But for a movement that was just being committed then.)

No index of the ledger makes that quick, since every movement would have to be written into it. The
sums know, in order, what each account had when its movements were last counted (`summing.py`). So
looked at closer are those alone with movements that are not counted yet, which stand at the end of
the ledger, or that were made after the moment meant: what a page costs grows neither with the
owners nor with their movements. Where the sums are not whole, or nobody has counted for long, the
newest movement of each owner that the other filters leave is looked at, 2 to 8 µs each.

Two kinds of movement are missed until the sums have counted them, and their owners stand where the
movement before has them: one whose transaction went on for more than a minute, for some seconds;
and one that PostgreSQL put on an earlier page, until the sums have walked over all accounts. A
small one fits there beside larger ones, once a vacuum has told of the room. Of 10,000 owners the
walk takes 40 seconds. The balances shown beside are read anew, whatever the order.
"""

import contextlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, assert_never
from uuid import UUID

import msgspec

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
SEARCH_LENGTH_MAX: Final = 253
CURSOR_LENGTH_MAX: Final = 2_500
"""A name of 200 characters may take 1,200 bytes of JSON, and four thirds of that here."""


class OwnerSort(StrEnum):
    """The order of a list. balance: the lowest first; name: A to Z; created: the newest first."""

    BALANCE = "balance"
    NAME = "name"
    CREATED = "created"


class ByAge(msgspec.Struct, frozen=True):
    """Where a page in order of creation ended."""

    owner_id: UUID


class ByName(msgspec.Struct, frozen=True, array_like=True, tag="name"):
    """Where a page in order of name ended."""

    owner_id: UUID
    name: str


class ByBalance(msgspec.Struct, frozen=True, array_like=True, tag="balance"):
    """Where a page in order of balance ended, and the moment whose balances are meant."""

    owner_id: UUID
    balance: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]


OwnerCursor = ByAge | ByName | ByBalance


def read_cursor(text: str) -> OwnerCursor:
    """A cursor as it was given out. Raises ValueError for any other text."""
    with contextlib.suppress(ValueError):
        return ByAge(UUID(text))
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    try:
        cursor = msgspec.json.decode(urlsafe_b64decode(padded), type=ByName | ByBalance)
        if isinstance(cursor, ByBalance):
            # At the ends of time an offset leads to a year that there is not.
            return msgspec.structs.replace(cursor, at=cursor.at.astimezone(UTC))
    except (RecursionError, OverflowError) as error:
        raise ValueError("no cursor is like that") from error
    if "\0" in cursor.name:
        raise ValueError("no name has a NUL character")
    return cursor


def _written(cursor: OwnerCursor) -> str:
    if isinstance(cursor, ByAge):
        return str(cursor.owner_id)
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


class CursorMisplaced(ValueError):
    """The cursor is of a list in another order; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class OwnerFilter:
    """Which owners are wanted; None leaves a field out.

    `below`: those with fewer credits than that. `search`: those with this text, in any case, in
    their id or, of a store, in its name or domain. `tier`: of stores only.
    """

    below: int | None = None
    status: str | None = None
    tier: str | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerPage:
    """The ids of owners in their order; `next_cursor` continues the list, None at its end."""

    owner_ids: tuple[UUID, ...]
    next_cursor: str | None


# Each kind of owner in one form.
_OWNERS: Final = {
    OwnerKind.STORE: """
        SELECT s.store_id AS owner_id, s.owner_kind, s.status, s.tier, lower(s.name) AS name,
            lower(s.name || E'\\n' || s.shop_domain || E'\\n' || s.store_id) AS words
        FROM stores s""",
    OwnerKind.USER: """
        SELECT u.user_id AS owner_id, u.owner_kind, NULL AS tier, '' AS name, u.created_at,
            u.status, u.user_id::text AS words
        FROM users u""",
}
_ORDER: Final = {
    (OwnerKind.STORE, OwnerSort.CREATED): "o.owner_id DESC",
    (OwnerKind.STORE, OwnerSort.NAME): "o.name, o.owner_id",
    (OwnerKind.STORE, OwnerSort.BALANCE): "b.balance, o.owner_id",
    (OwnerKind.USER, OwnerSort.CREATED): "o.created_at DESC, o.owner_id DESC",
    (OwnerKind.USER, OwnerSort.BALANCE): "b.balance, o.owner_id",
}
_KEY: Final = {
    OwnerSort.CREATED: "NULL",
    OwnerSort.NAME: "o.name",
    OwnerSort.BALANCE: "b.balance",
}
_OLDER: Final = {
    OwnerKind.STORE: "o.owner_id < {cursor}",
    OwnerKind.USER: """(o.created_at, o.owner_id) <
        (SELECT u.created_at, u.user_id FROM users u WHERE u.user_id = {cursor})""",
}
# OFFSET 0 has it looked up once for each owner, and not wherever it is compared; where nothing asks
# for it, not at all. What had ended by then counts as ended, whether its movement was written by
# then, later, or is not yet: looked at closer is who had movements since, or is to have one.
_LOOKED_UP: Final = """
    SELECT coalesce((
        SELECT CASE WHEN n.created_at > {at} THEN balance_at(a.account_id, {at})
            WHEN a.next_expiry <= {at} THEN (state_of_account(a.account_id, {at})).balance
            ELSE n.balance_after END
        FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1), 0) AS balance
    OFFSET 0"""
UNCOUNTED_PAGES_MAX: Final = 4096
"""So much of the ledger is read at most for what is not counted yet; it takes about 20 ms."""
# From where on that stands, and how old it may be: a movement bears the moment at which its
# transaction began. Asked beforehand: what is counted meanwhile is looked at, too.
_UNCOUNTED: Final = f"""
    SELECT format('(%s,0)', u.page) AS place, u.since
    FROM (SELECT uncounted_from(s.ends) AS page,
              least(s.summed_at, now()) - interval '1 minute' AS since
          FROM summing s WHERE s.whole_at IS NOT NULL) u
    WHERE pg_relation_size('movements') / current_setting('block_size')::int
        <= u.page + {UNCOUNTED_PAGES_MAX}
"""  # noqa: S608 - constants
# Whose balance at that moment is not the one that was counted last, or may not be, and what it was.
# + 0: in an order that no index has, or all of the ledger may be read by its key.
_MOVED: Final = f"""
    WITH newest AS (
        SELECT m.account_id + 0 AS account_id, max(m.seq) AS seq FROM movements m
        WHERE m.ctid >= {{place}}::text::tid AND m.created_at > {{since}}::timestamptz GROUP BY 1
    ), moved AS (
        SELECT n.account_id FROM newest n LEFT JOIN LATERAL (
            SELECT x.seq FROM summed_accounts x WHERE x.account_id = n.account_id LIMIT 1) s ON true
        WHERE n.seq > coalesce(s.seq, 0)
        UNION SELECT s.account_id FROM summed_accounts s WHERE s.moved_at > {{at}}
        UNION SELECT a.account_id FROM accounts a WHERE a.next_expiry <= {{at}}
    ), told AS MATERIALIZED (
        SELECT a.account_id, a.owner_id, a.owner_kind, l.balance
        FROM moved d
        CROSS JOIN LATERAL (
            SELECT * FROM accounts x WHERE x.account_id = d.account_id LIMIT 1) a
        CROSS JOIN LATERAL ({_LOOKED_UP}) l
    )
"""  # noqa: S608 - constants
# `b` has the balance, by which way ever it was found.
_BY_LOOKING: Final = f"""
    FROM ({{owners}}) o LEFT JOIN accounts a USING (owner_id, owner_kind)
    CROSS JOIN LATERAL ({_LOOKED_UP}) b
    WHERE {{conditions}} ORDER BY {{order}} LIMIT {{limit}}
"""
_BY_COUNTED: Final = """
    FROM ({owners}) o LEFT JOIN accounts a USING (owner_id, owner_kind)
    LEFT JOIN told t ON t.account_id = a.account_id
    LEFT JOIN LATERAL (
        SELECT x.balance FROM summed_accounts x WHERE x.account_id = a.account_id LIMIT 1) s ON true
    CROSS JOIN LATERAL (SELECT coalesce(t.balance, s.balance, 0) AS balance) b
    WHERE {conditions} ORDER BY {order} LIMIT {limit}
"""
_IN_ORDER: Final = """
    FROM ((
        SELECT b.owner_id, b.balance FROM summed_accounts b JOIN ({owners}) o USING (owner_id)
        WHERE b.owner_kind = '{kind}' AND b.account_id NOT IN (SELECT t.account_id FROM told t)
            AND {conditions} ORDER BY b.balance, b.owner_id LIMIT {limit}
    ) UNION ALL (
        SELECT b.owner_id, b.balance FROM told b JOIN ({owners}) o USING (owner_id)
        WHERE b.owner_kind = '{kind}' AND {conditions} ORDER BY b.balance, b.owner_id LIMIT {limit}
    )) o CROSS JOIN LATERAL (SELECT o.balance) b
    ORDER BY {order} LIMIT {limit}
"""


class OwnerPages:
    """Lists the ids of stores and of end users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        kind: OwnerKind,
        wanted: OwnerFilter,
        *,
        sort: OwnerSort = OwnerSort.CREATED,
        limit: int,
        cursor: OwnerCursor | None = None,
    ) -> OwnerPage:
        """At most `limit` (1 to `PAGE_MAX`) owners of a kind, those after `cursor`.

        In order of name, a store that is renamed meanwhile stands where its new name belongs.
        Raises CursorMisplaced, ValueError (no such limit), KeyError (end users have no names),
        DatabaseUnavailable.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise ValueError(f"a page has 1 to {PAGE_MAX} owners, not {limit}")
        asks_for_balances = sort is OwnerSort.BALANCE or wanted.below is not None
        uncounted = await self._database.fetchrow(_UNCOUNTED) if asks_for_balances else None
        query = _Query(kind, wanted, sort, cursor, uncounted)
        rows = await self._database.fetch(query.text(limit + 1), *query.arguments)
        return OwnerPage(
            tuple(row["owner_id"] for row in rows[:limit]),
            _written(_cursor(sort, rows[limit - 1])) if len(rows) > limit else None,
        )


def _cursor(sort: OwnerSort, last: Record) -> OwnerCursor:
    match sort:
        case OwnerSort.BALANCE:
            return ByBalance(last["owner_id"], last["key"], last["at"])
        case OwnerSort.NAME:
            return ByName(last["owner_id"], last["key"])
        case OwnerSort.CREATED:
            return ByAge(last["owner_id"])
        case _:
            assert_never(sort)


class _Query:
    """One statement, put together of what is asked for; what callers send are its arguments.

    `uncounted`: where and since when movements are; None: what was counted is of no use, or not
    asked for.
    """

    def __init__(
        self,
        kind: OwnerKind,
        wanted: OwnerFilter,
        sort: OwnerSort,
        cursor: OwnerCursor | None,
        uncounted: Record | None,
    ) -> None:
        self.arguments: list[Any] = []
        self._kind = kind
        self._sort = sort
        self._at = "now()"
        self._uncounted = uncounted
        # Of the table with the order, where there is one: no other is read by it.
        self._owner = "b" if self._is_in_order() else "o"
        self._conditions = ["true", *self._after(kind, sort, cursor), *self._wanted(wanted)]

    def text(self, limit: int) -> str:
        """The statement, for so many rows: each has what a cursor in this order holds."""
        known, way = "", _BY_LOOKING
        if self._uncounted is not None:
            place, since = map(self._argument, self._uncounted)
            known = _MOVED.format(place=place, since=since, at=self._at)
            way = _IN_ORDER if self._is_in_order() else _BY_COUNTED
        found = way.format(
            owners=_OWNERS[self._kind],
            kind=self._kind.value,
            conditions=" AND ".join(self._conditions),
            order=_ORDER[self._kind, self._sort],
            limit=limit,
            at=self._at,
        )
        return f"{known} SELECT o.owner_id, {_KEY[self._sort]} AS key, {self._at} AS at {found}"

    def _is_in_order(self) -> bool:
        return self._sort is OwnerSort.BALANCE and self._uncounted is not None

    def _argument(self, value: object) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def _after(self, kind: OwnerKind, sort: OwnerSort, cursor: OwnerCursor | None) -> Iterator[str]:
        match sort, cursor:
            case _, None:
                pass
            case OwnerSort.BALANCE, ByBalance(owner_id, balance, at):
                self._at = f"{self._argument(at)}::timestamptz"
                place = f"{self._argument(balance)}::bigint, {self._argument(owner_id)}::uuid"
                yield f"(b.balance, {self._owner}.owner_id) > ({place})"
            case OwnerSort.NAME, ByName(owner_id, name):
                place = f"{self._argument(name)}::text, {self._argument(owner_id)}::uuid"
                yield f"(o.name, o.owner_id) > ({place})"
            case OwnerSort.CREATED, ByAge(owner_id):
                yield _OLDER[kind].format(cursor=self._argument(owner_id))
            case _:
                raise CursorMisplaced(f"This cursor is of no list sorted by {sort.value}.")

    def _wanted(self, wanted: OwnerFilter) -> Iterator[str]:
        if wanted.below is not None:
            yield f"b.balance < {self._argument(wanted.below)}::bigint"
        if wanted.status is not None:
            yield f"o.status = {self._argument(wanted.status)}"
        if wanted.tier is not None:
            yield f"o.tier = {self._argument(wanted.tier)}"
        if wanted.search is not None:
            yield f"position(lower({self._argument(wanted.search)}) IN o.words) > 0"
