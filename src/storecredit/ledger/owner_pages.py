"""Stores and end users in pages: which of them, in which order, and where a page ends.

Hides the SQL. Promises that nobody comes twice and nobody is left out
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

Of several buckets each is asked for a page after the same place, and they are merged in the order
that each has them in. Names are put in order by the database, as only it knows its collation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from storecredit.ledger.owner_cursors import (
    ByAge,
    ByBalance,
    ByName,
    CursorMisplaced,
    OwnerCursor,
    OwnerSort,
    cursor_after,
    written,
)
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
SEARCH_LENGTH_MAX: Final = 253


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every bucket is asked.

    `moment`: whose balances are meant, or when the user of the cursor was made, where that has to
    be told; None: whoever is asked knows.
    """

    kind: OwnerKind
    wanted: OwnerFilter
    sort: OwnerSort
    cursor: OwnerCursor | None
    moment: datetime | None

    @property
    def asks_for_balances(self) -> bool:
        """Whether it depends on balances who is listed, or in which order."""
        return self.sort is OwnerSort.BALANCE or self.wanted.below is not None


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
    (OwnerKind.STORE, OwnerSort.CREATED): "NULL",
    (OwnerKind.STORE, OwnerSort.NAME): "o.name",
    (OwnerKind.STORE, OwnerSort.BALANCE): "b.balance",
    (OwnerKind.USER, OwnerSort.CREATED): "o.created_at",
    (OwnerKind.USER, OwnerSort.BALANCE): "b.balance",
}
_OLDER: Final = {
    OwnerKind.STORE: "o.owner_id < {cursor}",
    OwnerKind.USER: """(o.created_at, o.owner_id) <
        (SELECT u.created_at, u.user_id FROM users u WHERE u.user_id = {cursor})""",
}
# The same in the buckets that the user of the cursor does not live in.
_OLDER_THAN: Final = "(o.created_at, o.owner_id) < ({moment}::timestamptz, {cursor}::uuid)"
_CREATED_AT: Final = "SELECT created_at FROM users WHERE user_id = $1"
_BY_NAME: Final = """
    SELECT n.number::int FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY n (name, id, number)
    ORDER BY n.name, n.id
"""
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
    WHERE ledger_pages() <= u.page + {UNCOUNTED_PAGES_MAX}
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

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

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
        moment = await self._moment(kind, sort, cursor) if self._buckets.several else None
        asked = _Asked(kind, wanted, sort, cursor, moment)
        pages = await self._buckets.each(lambda database: _rows(database, asked, limit + 1))
        rows = pages[0] if len(pages) == 1 else await self._merged(pages, kind, sort)
        return OwnerPage(
            tuple(row["owner_id"] for row in rows[:limit]),
            written(cursor_after(sort, rows[limit - 1])) if len(rows) > limit else None,
        )

    async def _moment(
        self, kind: OwnerKind, sort: OwnerSort, cursor: OwnerCursor | None
    ) -> datetime | None:
        """What all buckets must be told alike: whose balances are meant, or where a page ended."""
        moment: datetime | None = None
        if sort is OwnerSort.BALANCE and cursor is None:
            moment = await self._buckets.home.fetchval("SELECT now()")
        if kind is OwnerKind.USER and isinstance(cursor, ByAge):
            of_user = await self._buckets.of_user(cursor.owner_id)
            moment = await of_user.fetchval(_CREATED_AT, cursor.owner_id)
        return moment

    async def _merged(
        self, pages: Sequence[Sequence[Record]], kind: OwnerKind, sort: OwnerSort
    ) -> Sequence[Record]:
        """The rows of all pages in their common order."""
        rows = [row for page in pages for row in page]
        match sort:
            case OwnerSort.NAME:
                names, ids = [row["key"] for row in rows], [row["owner_id"] for row in rows]
                ordered = await self._buckets.home.fetch(_BY_NAME, names, ids)
                return [rows[row["number"] - 1] for row in ordered]
            case OwnerSort.CREATED if kind is OwnerKind.STORE:
                return sorted(rows, key=lambda row: row["owner_id"], reverse=True)
            case _:
                is_down = sort is OwnerSort.CREATED
                return sorted(rows, key=lambda row: (row["key"], row["owner_id"]), reverse=is_down)


async def _rows(database: Database, asked: _Asked, limit: int) -> list[Record]:
    """The first rows after the cursor in one bucket."""
    uncounted = await database.fetchrow(_UNCOUNTED) if asked.asks_for_balances else None
    query = _Query(asked, uncounted)
    return await database.fetch(query.text(limit), *query.arguments)


class _Query:
    """One statement, put together of what is asked for; what callers send are its arguments.

    `uncounted`: where and since when movements are; None: what was counted is of no use, or not
    asked for.
    """

    def __init__(self, asked: _Asked, uncounted: Record | None) -> None:
        self.arguments: list[Any] = []
        self._kind = asked.kind
        self._sort = asked.sort
        self._at = "now()"
        self._uncounted = uncounted
        # Of the table with the order, where there is one: no other is read by it.
        self._owner = "b" if self._is_in_order() else "o"
        self._conditions = ["true", *self._after(asked), *self._wanted(asked.wanted)]

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
        key = _KEY[self._kind, self._sort]
        return f"{known} SELECT o.owner_id, {key} AS key, {self._at} AS at {found}"

    def _is_in_order(self) -> bool:
        return self._sort is OwnerSort.BALANCE and self._uncounted is not None

    def _argument(self, value: object) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def _after(self, asked: _Asked) -> Iterator[str]:
        match asked.sort, asked.cursor:
            case OwnerSort.BALANCE, None if asked.moment is not None:
                self._at = f"{self._argument(asked.moment)}::timestamptz"
            case _, None:
                pass
            case OwnerSort.BALANCE, ByBalance(owner_id, balance, at):
                self._at = f"{self._argument(at)}::timestamptz"
                place = f"{self._argument(balance)}::bigint, {self._argument(owner_id)}::uuid"
                yield f"(b.balance, {self._owner}.owner_id) > ({place})"
            case OwnerSort.NAME, ByName(owner_id, name):
                place = f"{self._argument(name)}::text, {self._argument(owner_id)}::uuid"
                yield f"(o.name, o.owner_id) > ({place})"
            case OwnerSort.CREATED, ByAge(owner_id) if asked.moment is not None:
                place = self._argument(owner_id)
                yield _OLDER_THAN.format(cursor=place, moment=self._argument(asked.moment))
            case OwnerSort.CREATED, ByAge(owner_id):
                yield _OLDER[asked.kind].format(cursor=self._argument(owner_id))
            case sort, _:
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
