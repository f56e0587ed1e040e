"""What is stored and belongs to no session any more: drafts of killed processes, unwanted results.

Promises that nothing is deleted whose session is in any bucket; so where one of them cannot be
asked, or is not known of here, nothing is.
"""

import time
from collections.abc import Collection
from typing import Final
from uuid import UUID

from storecredit import telemetry
from storecredit.generation.results.store import ResultStore
from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.buckets import Buckets, fetched, knows_all
from storecredit.settings import Settings

log = telemetry.get_logger("generation.strays")

INTERVAL_SECONDS: Final = 3600.0
"""Looking through all files is seldom needed: what a killed process left takes space, no more."""


class Strays:
    """Deletes them, once in a while."""

    def __init__(self, buckets: Buckets, results: ResultStore, settings: Settings) -> None:
        self._buckets = buckets
        self._results = results
        # A result whose session refers to it is deleted by the sweep, by the database's clock.
        self._older_than_seconds = settings.result_retention_seconds + INTERVAL_SECONDS
        self._due_at = time.monotonic()

    async def delete(self) -> None:
        """Look through everything, unless that is not due. Raises DatabaseUnavailable, OSError."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + INTERVAL_SECONDS
        if not await knows_all(self._buckets):
            log.warning("strays_left", reason="there are buckets of which this process knows not")
            return
        deleted = await self._results.delete_strays(self._older_than_seconds, self._with_result)
        if deleted:
            log.info("strays_deleted", files=deleted)

    async def _with_result(self, sessions: Collection[tuple[UUID, UUID]]) -> Collection[UUID]:
        rows = await fetched(
            self._buckets,
            """SELECT s.session_id FROM unnest($1::uuid[], $2::uuid[]) AS f (owner_id, session_id)
               JOIN accounts a ON a.owner_kind = ANY ($3) AND a.owner_id = f.owner_id
               JOIN sessions s ON (s.account_id, s.session_id) = (a.account_id, f.session_id)
               WHERE s.result_key IS NOT NULL OR s.completed_at IS NULL""",
            [owner_id for owner_id, _ in sessions],
            [session_id for _, session_id in sessions],
            list(OwnerKind),
        )
        return {row["session_id"] for row in rows}
