"""Time that passes at once: every moment in the tables moves back, as only a superuser can."""

from datetime import timedelta
from typing import Final

import asyncpg

from storecredit.ledger.owners import Account

_MOMENTS: Final = {
    "accounts": ("next_expiry",),
    "movements": ("created_at",),
    "grants": ("expires_at", "rollover_until"),
    "holds": ("created_at", "expires_at", "ended_at"),
}


async def pass_time(superuser: asyncpg.Connection, account: Account, passed: timedelta) -> None:
    """For this account it is later by so much than it was."""
    async with superuser.transaction():
        for table, columns in _MOMENTS.items():
            moved = ", ".join(f"{column} = {column} - $2::interval" for column in columns)
            await superuser.execute(
                f"UPDATE storecredit.{table} SET {moved} WHERE account_id = $1", account.id, passed
            )
