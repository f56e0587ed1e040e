"""What owners have: the state that an account's newest movement left, and what has ended since.

A grant that expires and a hold whose time is over count as ended from their instant of the
database's clock on, whether the movement of their end is written or not. An account of which
nothing will end by itself is read by one statement, which looks at its newest movement and no
further.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record

EXPIRING_MAX: Final = 100
"""Moments at which credits expire that a balance tells of."""
# What an account has is what its newest movement left: the last one in the order of its key. Where
# nothing of it ends by itself, nothing is held.
BALANCES: Final = """
    SELECT a.account_id, a.owner_id, a.overage_limit, a.low_threshold, a.next_expiry,
        m.balance_after AS balance, m.spent_after AS spent, m.clawed_back_after AS clawed_back,
        m.overage_used_after AS overage_used, m.expired_after AS expired,
        m.removed_after AS removed, coalesce(m.created_at, a.created_at) AS moved_at
    FROM accounts a LEFT JOIN LATERAL (
        SELECT n.balance_after, n.spent_after, n.clawed_back_after, n.overage_used_after,
            n.expired_after, n.removed_after, n.created_at
        FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
"""
# When a grant with credits left is over. One that has ended is told of here only where its credits
# live on: carried over, or given back after its end, and nobody has written that yet.
ENDS_AT: Final = """CASE
    WHEN g.expires_at IS NULL OR g.expires_at > now() THEN g.expires_at
    WHEN g.rollover_until > now() THEN g.rollover_until
    ELSE now() + g.grace END"""


def grant_of(account_id: str, seq: str) -> str:
    """The terms of one grant. OFFSET 0: each by its key, not all that an account ever had."""
    return f"SELECT * FROM grants x WHERE x.account_id = {account_id} AND x.seq = {seq} OFFSET 0"  # noqa: S608 - constants


_STATES: Final = f"""
    SELECT a.account_id, s.balance, s.spent, s.clawed_back, s.overage_used, s.held, s.expired,
        s.removed, e.amounts, e.moments
    FROM accounts a
    CROSS JOIN LATERAL state_of_account(a.account_id, now()) s
    CROSS JOIN LATERAL (
        SELECT array_agg(t.amount ORDER BY t.ends_at) AS amounts,
            array_agg(t.ends_at ORDER BY t.ends_at) AS moments
        FROM (
            SELECT x.ends_at, sum(x.credits)::bigint AS amount
            FROM (
                SELECT p.credits, p.ends_at
                FROM generate_series(1, cardinality(s.grants), 2) i
                CROSS JOIN LATERAL ({grant_of("a.account_id", "s.grants[i]")}) g
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN g.expires_at > now()
                        THEN least(coalesce(g.rollover_max, 0), s.grants[i + 1]) ELSE 0 END AS kept
                ) k
                CROSS JOIN LATERAL (VALUES
                    (s.grants[i + 1] - k.kept, {ENDS_AT}), (k.kept, g.rollover_until)
                ) p (credits, ends_at)
            ) x
            WHERE x.ends_at IS NOT NULL AND x.credits > 0
            GROUP BY x.ends_at ORDER BY x.ends_at LIMIT {EXPIRING_MAX}
        ) t
    ) e
    WHERE a.account_id = ANY ($1)
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Expiring:
    """Credits that can be spent until a moment, and no longer from it on."""

    amount: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """What an owner can spend, and what became of all that came in.

    `total_added` = `balance` + `held` + `total_spent` (less refunds) + `total_clawed_back` (with
    their payment) + `total_expired` + `total_removed` (by the operator). `overage_used`: used
    beyond the balance and not billed yet; `overage_limit`: at most so many. The used may exceed a
    limit that was lowered since. `low_threshold`: at or below so many credits the balance is low;
    0: never; None: at a tenth of the last addition. `moved_at`: when they last moved. `expiring`:
    what of the balance will end, the soonest first, one of each moment, at most `EXPIRING_MAX`;
    what lives on then, as a plan may let it, is told by the moment at which it ends after all.
    """

    balance: int
    total_added: int
    total_spent: int
    total_clawed_back: int
    total_expired: int
    total_removed: int
    held: int
    overage_used: int
    overage_limit: int
    low_threshold: int | None
    moved_at: datetime
    expiring: tuple[Expiring, ...]


async def balances_of(
    source: Database | Connection, account_ids: Sequence[int]
) -> dict[int, Balance]:
    """The credits of these accounts; one that there is not is left out."""
    rows = await source.fetch(f"{BALANCES} WHERE a.account_id = ANY ($1)", account_ids)
    states = await _states(source, rows)
    return {row["account_id"]: _balance(row, states.get(row["account_id"])) for row in rows}


async def balances_of_owners(
    source: Database | Connection, kind: OwnerKind, owner_ids: Sequence[UUID]
) -> dict[UUID, Balance]:
    """The credits of several owners of a kind; one without an account is left out."""
    rows = await source.fetch(
        f"{BALANCES} WHERE a.owner_kind = $1 AND a.owner_id = ANY ($2)", kind, owner_ids
    )
    states = await _states(source, rows)
    return {row["owner_id"]: _balance(row, states.get(row["account_id"])) for row in rows}


async def _states(source: Database | Connection, rows: Sequence[Record]) -> Mapping[int, Record]:
    """The state now of those accounts of which something ends by itself."""
    ending = [row["account_id"] for row in rows if row["next_expiry"] is not None]
    if not ending:
        return {}
    return {row["account_id"]: row for row in await source.fetch(_STATES, ending)}


def _balance(row: Record, ending: Record | None) -> Balance:
    # Unpacked, which takes less than looking each column up by its name.
    _, _, limit, low, _, balance, spent, clawed_back, overage_used, expired, removed, moved_at = row
    held = 0
    expiring: tuple[Expiring, ...] = ()
    if ending is not None:
        _, balance, spent, clawed_back, overage_used, held, expired, removed, *told = ending
        expiring = _expiring(*told)
    balance, spent, clawed_back = balance or 0, spent or 0, clawed_back or 0
    expired, removed = expired or 0, removed or 0
    return Balance(
        balance,
        # Nothing else changes a balance: what came in is what is there and what went out.
        balance + held + spent + clawed_back + expired + removed,
        spent,
        clawed_back,
        expired,
        removed,
        held,
        overage_used or 0,
        limit,
        low,
        moved_at,
        expiring,
    )


def _expiring(
    amounts: Sequence[int] | None, moments: Sequence[datetime] | None
) -> tuple[Expiring, ...]:
    return tuple(map(Expiring, amounts or (), moments or ()))
