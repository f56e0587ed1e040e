"""The sweep of the ledger: what has ended by itself is written down, where nobody else comes by.

Grants and holds end at their moment whether that is written or not, and whoever moves an account's
credits writes it first. This is for the accounts that nobody moves: their expiries leave the ledger
within the interval. Any number of processes may sweep at once. The accounts are settled by group
commit, so that one which cannot be (somebody holds its lock, a defect) keeps no other waiting.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from storecredit import telemetry
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.group_commit import Bounds, GroupCommit, OutcomeUnknown, WaitingLineFull
from storecredit.postgres.pacing import every, pause, side_by_side
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

log = telemetry.get_logger("ledger.expiry")

BATCH_MAX: Final = 200
"""Accounts settled in one transaction: creates of theirs wait for it."""
DUE_MAX: Final = 10_000
"""Accounts looked up at once: each look passes over those settled since the last vacuum."""
ROUND_MAX: Final = 1_000_000
"""Accounts that one round settles; others are left to the next one."""
UNSETTLED_MAX: Final = 10_000
"""Accounts that could not be settled in a round and are passed over in it; then it ends."""
REST_SHARE: Final = 1.5
"""After a full batch it rests so many times as long as that took: others use the database, too."""
DEADLINE_SECONDS: Final = 2.0
"""How long an account is tried that somebody holds up: the next round tries it again."""


class ExpirySweep:
    """Writes the ends of grants and holds. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        self._interval_seconds = settings.sweep_interval_seconds
        self._each = [_BucketExpirySweep(database, metrics) for database in buckets.all]

    async def open(self) -> None:
        """Begin to serve; connections are opened when first needed."""
        for each in self._each:
            await each.open()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        for each in self._each:
            await each.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep at once and then at every interval, until `stop` is set; each bucket by itself."""
        seconds = self._interval_seconds
        await side_by_side(
            stop, *(every(seconds, stop, partial(each.sweep, stop)) for each in self._each)
        )

    async def sweep(self) -> int:
        """One round: how many accounts were settled."""
        return sum(await asyncio.gather(*(each.sweep() for each in self._each)))


class _BucketExpirySweep:
    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        bounds = Bounds(
            lanes=1,
            batch_max=BATCH_MAX,
            waiting_max=BATCH_MAX,
            deadline_seconds=DEADLINE_SECONDS,
        )
        self._settle: GroupCommit[int, None] = GroupCommit(
            "expiry", database, _settle_all, bounds, metrics
        )

    async def open(self) -> None:
        await self._settle.start()

    async def close(self) -> None:
        await self._settle.stop()

    async def sweep(self, stop: asyncio.Event | None = None) -> int:
        """One round: how many accounts were settled. It breaks off when `stop` is set."""
        settled = 0
        due: list[int] = []
        unsettled: list[int] = []
        try:
            while settled < ROUND_MAX and len(unsettled) < UNSETTLED_MAX:
                due = due or await self._due(unsettled)
                if not due or (stop is not None and stop.is_set()):
                    break
                batch, due = due[:BATCH_MAX], due[BATCH_MAX:]
                began = time.monotonic()
                failed = await self._settle_some(batch)
                unsettled += failed
                settled += len(batch) - len(failed)
                if len(batch) == BATCH_MAX:
                    await pause((time.monotonic() - began) * REST_SHARE, stop or asyncio.Event())
        except DatabaseUnavailable as error:
            log.warning("expiry_interrupted", error=str(error))
        if settled:
            log.info("accounts_settled", accounts=settled)
        return settled

    async def _due(self, unsettled: Sequence[int]) -> list[int]:
        rows = await self._database.fetch(
            """SELECT account_id FROM accounts
               WHERE next_expiry <= now() AND account_id <> ALL ($2)
               ORDER BY next_expiry LIMIT $1""",
            DUE_MAX,
            unsettled,
        )
        return [row["account_id"] for row in rows]

    async def _settle_some(self, account_ids: Sequence[int]) -> list[int]:
        """Settle these accounts; which of them could not be."""
        outcomes = await asyncio.gather(
            *(self._settle.submit(account_id, account_id) for account_id in account_ids),
            return_exceptions=True,
        )
        failed = {
            account_id: outcome
            for account_id, outcome in zip(account_ids, outcomes, strict=True)
            if outcome is not None
        }
        for account_id, error in failed.items():
            if not isinstance(error, Exception):
                raise error
            if not isinstance(error, DatabaseUnavailable | OutcomeUnknown | WaitingLineFull):
                log.error("account_not_settled", account_id=account_id, exc_info=error)
        if failed:
            first = next(iter(failed.values()))
            log.warning("accounts_not_settled", accounts=len(failed), error=str(first))
        return list(failed)


async def _settle_all(connection: Connection, account_ids: Sequence[int]) -> Sequence[None]:
    await connection.fetchval("SELECT expire_credits($1)", sorted(set(account_ids)))
    return [None] * len(account_ids)
