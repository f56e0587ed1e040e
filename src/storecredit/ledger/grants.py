"""What remains of each addition of credits, in the order in which the credits are spent.

The lower priority is spent first, then what expires sooner, then promo, then the older. From the
moment at which a grant expires none of it can be spent, and it is not listed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from storecredit.ledger.balances import ENDS_AT, grant_of
from storecredit.ledger.outcomes import MovementType
from storecredit.ledger.owners import Owner
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Record

PAGE_MAX: Final = 100
LIVE_MAX: Final = 100
"""Grants with terms of their own that one owner may have credits of at once.

Each movement of the owner's credits carries what is left of each.
"""
PRIORITY_DEFAULT: Final = 100
PRIORITY_MAX: Final = 1000
GRACE_DEFAULT: Final = timedelta(days=30)


class GrantKind(StrEnum):
    """Whether credits were paid for. Of what is alike else, promo is spent first."""

    PAID = "paid"
    PROMO = "promo"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is said of credits when they are added; None: as usual.

    Usual is that they never expire, the priority `PRIORITY_DEFAULT`, and promo for what the
    operator grants. `expires_in`: so long after they are added, in the place of `expires_at`.
    """

    expires_at: datetime | None = None
    expires_in: timedelta | None = None
    kind: GrantKind | None = None
    priority: int | None = None


USUAL: Final = Terms()


@dataclass(frozen=True, slots=True)
class Grant:
    """One addition of credits, named by the seq of its movement, and what of it is left."""

    seq: int
    type: MovementType
    kind: GrantKind
    priority: int
    amount: int
    remaining: int
    expires_at: datetime | None
    request_id: str
    description: str
    created_at: datetime


# What is left of an account's grants, in the order of spending; $2: one that may have none left by
# now, to go on behind its place.
_GRANTS: Final = f"""
    SELECT g.seq, m.type, g.kind, g.priority, g.amount, o.grants[i + 1] AS remaining,
        {ENDS_AT} AS expires_at, m.request_id, m.description, m.created_at
    FROM state_of_account($1, now()) s
    CROSS JOIN LATERAL (
        SELECT CASE WHEN $2::bigint IS NULL THEN s.grants
            ELSE add_to_grants($1, s.grants, ARRAY[$2::bigint, 1]) END AS grants) o
    CROSS JOIN LATERAL generate_series(1, cardinality(o.grants), 2) i
    CROSS JOIN LATERAL ({grant_of("$1", "o.grants[i]")}) g
    CROSS JOIN LATERAL (
        SELECT n.type, n.request_id, n.description, n.created_at FROM movements n
        WHERE n.account_id = $1 AND n.seq <= g.seq
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m
    WHERE true"""  # noqa: S608 - constants
_BEHIND: Final = """($2::bigint IS NULL OR i > (
    SELECT j FROM generate_series(1, cardinality(o.grants), 2) j WHERE o.grants[j] = $2))"""


@dataclass(frozen=True, slots=True)
class GrantPage:
    """Grants in the order of spending; `next_after` continues the list, None at its end."""

    items: tuple[Grant, ...]
    next_after: int | None


class Grants:
    """Reads the grants of one account at a time."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def list(self, account_id: int, *, limit: int, after: int | None = None) -> GrantPage:
        """The grants that have credits left, at most `PAGE_MAX` at once.

        `after` is the seq of a grant of this account. It need not have any credits left by now:
        the list goes on behind the place that it would have.
        """
        limit = min(limit, PAGE_MAX)
        rows = await self._buckets.of_account(account_id).fetch(
            f"{_GRANTS} AND {_BEHIND} ORDER BY i LIMIT $3", account_id, after, limit + 1
        )
        items = tuple(_grant(row) for row in rows[:limit])
        return GrantPage(items, items[-1].seq if len(rows) > limit else None)

    async def get(self, account_id: int, seq: int) -> Grant | None:
        """One grant, by the seq of its movement; None: it has no credits left, or there is none."""
        row = await self._buckets.of_account(account_id).fetchrow(
            f"{_GRANTS} AND o.grants[i] = $3", account_id, None, seq
        )
        return None if row is None else _grant(row)


async def has_no_room(database: Database, owner: Owner, request_id: str) -> bool:
    """Whether the owner has as many grants with terms as it may, and none by this request."""
    has: bool = await database.fetchval(
        """SELECT count(*) >= $4 AND NOT EXISTS (
               SELECT FROM movements x JOIN accounts b USING (account_id)
               WHERE b.owner_kind = $1 AND b.owner_id = $2 AND x.request_id = $3)
           FROM accounts a
           CROSS JOIN LATERAL (
               SELECT n.grants_after FROM movements n WHERE n.account_id = a.account_id
               ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m
           CROSS JOIN LATERAL generate_series(1, cardinality(m.grants_after), 2) i
           JOIN grants g ON g.account_id = a.account_id AND g.seq = m.grants_after[i]
           WHERE a.owner_kind = $1 AND a.owner_id = $2
             AND (g.expires_at > now() OR g.priority <> $5)""",
        owner.kind,
        owner.id,
        request_id,
        LIVE_MAX,
        PRIORITY_DEFAULT,
    )
    return has


def _grant(row: Record) -> Grant:
    return Grant(
        seq=row["seq"],
        type=MovementType(row["type"]),
        kind=GrantKind(row["kind"]),
        priority=row["priority"],
        amount=row["amount"],
        remaining=row["remaining"],
        expires_at=row["expires_at"],
        request_id=row["request_id"],
        description=row["description"],
        created_at=row["created_at"],
    )
