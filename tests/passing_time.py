"""Time that passes at once: all that the ledger has noted becomes so much older.

The database's clock is the only one that counts, and no test waits for it. To the functions it is
the same whether an hour passes or every moment that they stand on moves an hour back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import asyncpg

from storecredit.postgres.servers import Connection

_MOMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "accounts": ("created_at", "next_expiry"),
    "movements": ("created_at",),
    "grants": ("expires_at", "rollover_until"),
    "holds": ("created_at", "expires_at", "ended_at"),
    "spends": ("created_at",),
    "sessions": ("created_at", "started_at", "completed_at"),
}
# The sums of hours know what was counted by the hour it was in: they are made anew.
_FORGET_SUMS: Final = """
    SELECT pg_advisory_xact_lock(hashtextextended('storecredit sums {0}', 0));
    TRUNCATE {0}.hourly_sums, {0}.daily_sums, {0}.summed_accounts, {0}.summing
"""
_BUCKETS: Final = r"SELECT nspname FROM pg_namespace WHERE nspname ~ '^storecredit(_\d+)?$'"
_NAMED: Final = "(cardinality($1::bigint[]) = 0 OR account_id = ANY ($1))"


DAY_LEFT_MIN_SECONDS: Final = 30.0
_DAY_LEFT: Final = """
    SELECT extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now())::float8"""


async def well_within_a_day(superuser: Connection) -> None:
    """Wait for midnight, UTC, where it is near: what begins now is over on the day it began on."""
    left = await superuser.fetchval(_DAY_LEFT)
    if left < DAY_LEFT_MIN_SECONDS:
        await asyncio.sleep(left + 0.1)


async def pass_time(superuser: Connection, time: timedelta, *account_ids: int) -> None:
    """Let so much time pass for these accounts; for all of them where none is named."""
    for bucket in await superuser.fetch(_BUCKETS):
        await _pass_time(superuser, bucket["nspname"], time, account_ids)


async def _pass_time(
    superuser: Connection, bucket: str, time: timedelta, account_ids: Sequence[int]
) -> None:
    async with superuser.transaction():
        await superuser.execute(_FORGET_SUMS.format(bucket))
        # In the order in which all lock them, so that others may be at work meanwhile.
        await superuser.execute(
            f"SELECT FROM {bucket}.accounts WHERE {_NAMED} ORDER BY account_id FOR UPDATE",
            account_ids,
        )
        for table, columns in _MOMENTS.items():
            older = ", ".join(
                f"{column} = ({column} AT TIME ZONE 'UTC' - $2::interval) AT TIME ZONE 'UTC'"
                for column in columns
            )
            await superuser.execute(
                f"UPDATE {bucket}.{table} SET {older} WHERE {_NAMED}", account_ids, time
            )


_DUE: Final[Mapping[str, tuple[str, ...]]] = {
    "deliveries": ("next_attempt_at", "ended_at"),
    "delivery_attempts": ("attempted_at",),
    "webhook_endpoints": ("resumes_at", "failing_since", "disabled_at"),
    "webhook_secrets": ("created_at", "expires_at"),
}
DEADLOCKS_MAX: Final = 20


async def pass_delivery_time(superuser: Connection, time: timedelta) -> None:
    """Let so much time pass for all that is delivered: leases, waits, failures.

    Not for the events themselves: when they happened is part of what is told.
    """
    for _ in range(DEADLOCKS_MAX):
        try:
            await _pass_delivery_time(superuser, time)
        except asyncpg.DeadlockDetectedError:
            # Whoever delivers meanwhile locks what is due in an order of its own.
            continue
        return
    raise AssertionError("time does not pass beside those who deliver")


async def _pass_delivery_time(superuser: Connection, time: timedelta) -> None:
    async with superuser.transaction():
        for table, columns in _DUE.items():
            older = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
            await superuser.execute(f"UPDATE storecredit.{table} SET {older}", time)
