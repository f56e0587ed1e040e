"""The sums of each hour, counted once more from the rows of the ledger, one by one."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from storecredit.postgres.servers import Connection

Key = tuple[datetime, str, str, str]
"""An hour, a kind of owner, a type of movement, why a generation failed."""
Counts = tuple[int, int, int]
"""Movements, those of generations, credits."""

_LEDGER = """
    SELECT m.created_at, m.type, m.amount, m.session_id, a.owner_kind, s.error_code
    FROM storecredit.movements m JOIN storecredit.accounts a USING (account_id)
    LEFT JOIN storecredit.sessions s
        ON s.account_id = m.account_id AND s.session_id = m.session_id
    ORDER BY random()
"""
_KEPT = """
    SELECT hour, owner_kind, type, cause, movements, generations, credits
    FROM storecredit.hourly_sums
"""
DAYS_ANEW = """
    TRUNCATE storecredit.daily_sums;
    INSERT INTO storecredit.daily_sums
        (day, owner_kind, type, cause, movements, generations, credits)
    SELECT (hour AT TIME ZONE 'UTC')::date, owner_kind, type, cause, sum(movements)::bigint,
        sum(generations)::bigint, sum(credits)
    FROM storecredit.hourly_sums GROUP BY 1, 2, 3, 4
"""
"""For a test that makes up the sums of hours."""
_OTHER_DAYS = """
    SELECT * FROM storecredit.daily_sums d FULL JOIN (
        SELECT (hour AT TIME ZONE 'UTC')::date AS day, owner_kind, type, cause,
            sum(movements) AS movements, sum(generations) AS generations, sum(credits) AS credits
        FROM storecredit.hourly_sums GROUP BY 1, 2, 3, 4) h USING (day, owner_kind, type, cause)
    WHERE ((d.movements, d.generations, d.credits) = (h.movements, h.generations, h.credits))
        IS NOT TRUE
"""
RETURNS = {"refund", "overage_refund", "overage_credit"}


def counted(rows: Iterable[Any]) -> dict[Key, Counts]:
    """What these movements come to."""
    sums: dict[Key, Counts] = {}
    for row in rows:
        at = row["created_at"].astimezone(UTC)
        is_failure = row["type"] in RETURNS and row["session_id"] is not None
        key = (
            at.replace(minute=0, second=0, microsecond=0),
            row["owner_kind"],
            row["type"],
            (row["error_code"] or "") if is_failure else "",
        )
        movements, generations, credits = sums.get(key, (0, 0, 0))
        of_generation = int(row["session_id"] is not None)
        sums[key] = (movements + 1, generations + of_generation, credits + row["amount"])
    return sums


async def recounted(admin: Connection) -> dict[Key, Counts]:
    """What the ledger comes to now."""
    return counted(await admin.fetch(_LEDGER))


async def kept(admin: Connection) -> dict[Key, Counts]:
    """The sums of hours that the database keeps; those of days are the same."""
    assert await admin.fetch(_OTHER_DAYS) == []
    return {
        (row["hour"], row["owner_kind"], row["type"], row["cause"]): (
            row["movements"],
            row["generations"],
            int(row["credits"]),
        )
        for row in await admin.fetch(_KEPT)
    }
