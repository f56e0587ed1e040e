"""Balances, many read by one statement.

Requests that arrive while a read is under way share the next one, as deductions share their
commits: a balance is never older than the request that asks for it, and a busy service asks the
database once for many.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from storecredit.ledger.balances import Balance, balances_of
from storecredit.ledger.credits import AccountMissing
from storecredit.ledger.owners import Account
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import Bounds, GroupCommit, OutcomeUnknown
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

DEADLINE_SECONDS: Final = 1.0
"""A read is tried for so long, and refused then: nothing depends on its outcome. One that a server
took and does not answer is given up with its batch (BATCH_TIMEOUT_SECONDS)."""


class BalanceReads:
    """Reads balances for many at once. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        usual = Bounds.of(settings, lanes=1)
        bounds = replace(usual, deadline_seconds=min(DEADLINE_SECONDS, usual.deadline_seconds))
        self._reads: list[GroupCommit[int, Balance | None]] = [
            GroupCommit("balance", database, _read, bounds, metrics) for database in buckets.all
        ]

    async def open(self) -> None:
        """Begin to serve; the connection is opened when first needed."""
        for reads in self._reads:
            await reads.start()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        await asyncio.gather(*(reads.stop() for reads in self._reads))

    async def read(self, account: Account) -> Balance:
        """The account's credits, as of after this call.

        Raises AccountMissing, DatabaseUnavailable, WaitingLineFull.
        """
        try:
            balance = await self._reads[bucket_of(account.id)].submit(account.id, account.id)
        except OutcomeUnknown as error:
            raise DatabaseUnavailable(f"the balance could not be read: {error}") from error
        if balance is None:
            raise AccountMissing(f"{account.owner.kind} {account.owner.id} has no account")
        return balance


async def _read(connection: Connection, account_ids: Sequence[int]) -> Sequence[Balance | None]:
    found = await balances_of(connection, list(set(account_ids)))
    return [found.get(account_id) for account_id in account_ids]
