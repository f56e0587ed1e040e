"""Verifications that are asked for over the network: one at a time in each process.

One keeps a connection of the pool and one beside it for as long as it takes, which is minutes where
there are many millions of movements. A few at once would leave none to whoever moves credits, and
anybody whose token may read can ask.
"""

import asyncio
from collections.abc import Callable

from storecredit.ledger.checkpoints.tampering import Evidence
from storecredit.ledger.discrepancies import Report
from storecredit.ledger.verification import LastVerification, last
from storecredit.ledger.verify import Progress
from storecredit.ledger.verify_all import verify_all
from storecredit.operator.audit import ActionContext, AuditLog
from storecredit.postgres.buckets import Buckets
from storecredit.settings import Settings


class VerificationUnderWay(Exception):
    """Somebody else's is under way in this process; nothing was done."""


class Verifications:
    """Verifies the ledger, and writes down who had it done and what came of it."""

    def __init__(self, buckets: Buckets, settings: Settings, audit: AuditLog) -> None:
        self._buckets = buckets
        self._settings = settings
        self._audit = audit
        self._is_under_way = False

    @property
    def is_under_way(self) -> bool:
        """Whether one is now, so that another would be refused."""
        return self._is_under_way

    async def last(self) -> LastVerification | None:
        """The last one, whoever had it done; None: there was none yet."""
        return await last(self._buckets)

    async def verify(
        self, context: ActionContext, on_progress: Callable[[Progress], None] | None = None
    ) -> Report:
        """What came of it; as `ledger.verify_all`, whose errors it raises.

        Raises VerificationUnderWay besides.
        """
        if self._is_under_way:
            raise VerificationUnderWay
        self._is_under_way = True
        try:
            evidence = await asyncio.to_thread(Evidence.known, self._buckets, self._settings)
            report = await verify_all(self._buckets, on_progress=on_progress, evidence=evidence)
        finally:
            self._is_under_way = False
        await self._audit.verified(context, report)
        return report
