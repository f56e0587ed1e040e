"""One attempt at one event, by the bucket that keeps it: booked and settled in one transaction.

What is booked is decided in `settlement`. What cannot be booked yet, or broke, counts as an attempt
of `billing_attempts`; then it is set aside: the operator sees it, and may have it tried again.
"""

from datetime import timedelta
from typing import Final, assert_never

from storecredit import telemetry
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.messages import COMPLETED_EVENT
from storecredit.billing.paddle.ownership import nearness
from storecredit.billing.paddle.reading import (
    UnreadableContent,
    read_content,
    read_references,
)
from storecredit.billing.paddle.settlement import settle
from storecredit.billing.paddle.verdicts import Ignored, NotYet, Processed, SetAside, Verdict
from storecredit.billing.paddle.whereabouts import Whereabouts
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pacing import backoff
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, Record
from storecredit.settings import Settings

log = telemetry.get_logger("billing.events")

BACKOFF_MAX_SECONDS: Final = 3600.0
_IS_PAID: Final = """
    SELECT EXISTS (SELECT FROM payments WHERE provider = $1 AND provider_transaction_id = $2)"""
NOT_OURS: Final = "It is about nothing that was sold here."


class _PlacedElsewhere(Exception):
    """The payment is another bucket's: what was booked here is to be undone."""

    def __init__(
        self, event: Record, transaction_id: str, verdict: Verdict, place: Database
    ) -> None:
        self.event = event
        self.transaction_id = transaction_id
        self.verdict = verdict
        self.place = place


class Processing:
    """Books what the events of one bucket come to."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        catalogue: Catalogue,
        whereabouts: Whereabouts,
    ) -> None:
        self._database = database
        self._settings = settings
        self._catalogue = catalogue
        self._whereabouts = whereabouts

    async def attempt(self, event_id: str) -> float | None:
        """Book and settle; the seconds until the next attempt, None if there is to be none.

        Raises DatabaseUnavailable.
        """
        try:
            return await self._attempt(event_id)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # Whatever broke was rolled back; the event stays, for an operator who can mend it.
            log.exception("paddle_event_broke")
            async with self._database.acquire() as connection:
                return await self._note(
                    connection, event_id, f"Processing broke: {type(error).__name__}."
                )

    async def _attempt(self, event_id: str) -> float | None:
        database = self._database
        try:
            # Of the task: what is asked of the first bucket's directory takes part, if it is here.
            async with database.transaction(), database.acquire() as connection:
                event = await connection.fetchrow(
                    """SELECT event_id, event_type, occurred_at, content FROM provider_events
                       WHERE provider = $1 AND event_id = $2
                         AND status IN ('received', 'failing')""",
                    PROVIDER,
                    event_id,
                )
                if event is None:
                    log.info("paddle_event_already_settled")
                    return None
                verdict = await self._verdict(connection, event)
                return await self._conclude(connection, event, verdict)
        except _PlacedElsewhere as elsewhere:
            verdict = await _verdict_of(elsewhere)
            async with database.acquire() as connection, connection.transaction():
                return await self._conclude(connection, elsewhere.event, verdict)

    async def _verdict(self, connection: Connection, event: Record) -> Verdict:
        """What the event comes to; whose it is comes first, so that others' may be of any form."""
        event_type, kept = event["event_type"], event["content"]
        try:
            names = read_references(event_type, kept)
            if await nearness(connection, names) is None:
                return Ignored(NOT_OURS, names.subscription_id, names.transaction_id)
            content = read_content(event_type, kept)
        except UnreadableContent as error:
            return SetAside(
                f"It cannot be read: {error}. Try it again after an upgrade, or book it by hand."
            )
        grace = timedelta(days=self._settings.refund_grace_days)
        verdict = await settle(connection, content, event["occurred_at"], self._catalogue, grace)
        if event_type == COMPLETED_EVENT and self._whereabouts.several:
            await self._refuse_elsewhere(event, names.transaction_id, verdict)
        return verdict

    async def _refuse_elsewhere(
        self, event: Record, transaction_id: str | None, verdict: Verdict
    ) -> None:
        """The operator may have booked the transaction by hand for an owner of another bucket.

        Raises _PlacedElsewhere.
        """
        assert transaction_id is not None, "it is the event's own"
        if isinstance(verdict, Processed):
            place = await self._whereabouts.place(transaction_id, self._database)
        else:
            place = await self._whereabouts.placed(transaction_id) or self._database
        if place is not self._database:
            raise _PlacedElsewhere(event, transaction_id, verdict, place)

    async def _conclude(
        self, connection: Connection, event: Record, verdict: Verdict
    ) -> float | None:
        subject: str | None = None
        foreign: tuple[str | None, str | None] = (None, None)
        match verdict:
            case Processed(note):
                status, reason = "processed", note
            case Ignored(reason, subscription_id, transaction_id):
                status, foreign = "ignored", (subscription_id, transaction_id)
            case SetAside(reason, subject):
                status = "set_aside"
            case NotYet(reason):
                return await self._note(connection, event["event_id"], reason)
            case _:
                assert_never(verdict)
        await connection.fetchval(
            "SELECT settle_provider_event($1, $2, $3, $4, $5, $6, $7)",
            PROVIDER,
            event["event_id"],
            status,
            reason,
            subject,
            *foreign,
        )
        say = log.error if status == "set_aside" else log.info
        say("paddle_event_settled", event_type=event["event_type"], status=status, reason=reason)
        return None

    async def _note(self, connection: Connection, event_id: str, reason: str) -> float | None:
        attempts: int | None = await connection.fetchval(
            "SELECT note_provider_event_failure($1, $2, $3, $4)",
            PROVIDER,
            event_id,
            reason,
            self._settings.billing_attempts,
        )
        if attempts is None:
            log.error("paddle_event_set_aside", reason=reason)
            return None
        wait_seconds = backoff(
            self._settings.billing_backoff_seconds, attempts, BACKOFF_MAX_SECONDS
        )
        log.warning(
            "paddle_event_failing", reason=reason, attempt=attempts, again_in_seconds=wait_seconds
        )
        return wait_seconds


async def _verdict_of(elsewhere: _PlacedElsewhere) -> Verdict:
    """Of a payment that another bucket has, or is about to."""
    if await elsewhere.place.fetchval(_IS_PAID, PROVIDER, elsewhere.transaction_id):
        return Processed("Booked before.")
    if isinstance(elsewhere.verdict, Processed):
        return NotYet(
            f"Transaction {elsewhere.transaction_id} was begun to be booked by hand, for another "
            "owner: repeat that."
        )
    return elsewhere.verdict
