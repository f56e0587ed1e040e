"""Credits set aside for work whose price is known when it is done: held, then captured or released.

Each change is one call of a SQL function, and many share a transaction (group commit). A hold ends
once, by whichever of capture, release and the end of its time commits first; who comes later is
told how it ended. The database's clock is the only one.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from storecredit.ledger.batches import actors, as_sent, ascending, fingerprint
from storecredit.ledger.credits import Cause
from storecredit.ledger.hold_records import HoldStatus
from storecredit.ledger.owners import Account
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

SECONDS_DEFAULT: Final = 600
SECONDS_MAX: Final = 7 * 24 * 3600
"""How long a hold may last, from its beginning or from when it is extended."""


class Held(msgspec.Struct, frozen=True):
    """The credits were set aside."""

    hold_id: UUID
    expires_at: datetime
    balance: int


class HoldReplayed(msgspec.Struct, frozen=True):
    """This very request set them aside before, and that hold may have ended since."""

    hold_id: UUID
    expires_at: datetime
    balance: int


class Insufficient(msgspec.Struct, frozen=True):
    """The balance does not hold as many; nothing was set aside. Overage is never held."""

    balance: int


class HoldConflict(msgspec.Struct, frozen=True):
    """The request id was used for something else; nothing was set aside or extended."""


HoldOutcome = Held | HoldReplayed | Insufficient | HoldConflict


class Ended(msgspec.Struct, frozen=True):
    """The hold has ended as was asked for, now or (`is_replay`) by an earlier request for the same.

    Of its `amount`, `captured` were spent, and the others are part of the balance again.
    """

    status: HoldStatus
    amount: int
    captured: int
    ended_at: datetime
    balance: int
    is_replay: bool = False


class EndedOtherwise(msgspec.Struct, frozen=True):
    """The hold had ended before, in another way than was asked for; nothing changed."""

    status: HoldStatus
    captured: int
    ended_at: datetime


class ExceedsHold(msgspec.Struct, frozen=True):
    """More was to be captured than is held; nothing changed, and the hold is alive."""

    held: int


class NoSuchHold(msgspec.Struct, frozen=True):
    """This account has no hold of that id."""


EndOutcome = Ended | EndedOtherwise | ExceedsHold | NoSuchHold


class Extended(msgspec.Struct, frozen=True):
    """The hold lasts until then, never sooner than before; `is_replay`: since this very request."""

    expires_at: datetime
    balance: int
    is_replay: bool = False


ExtendOutcome = Extended | HoldConflict | EndedOtherwise | NoSuchHold


class _Hold(msgspec.Struct, frozen=True):
    account_id: int
    hold_id: UUID
    amount: int
    request_id: str
    fingerprint: bytes
    seconds: int
    description: str
    metadata: str | None
    actor: str | None


class _End(msgspec.Struct, frozen=True):
    account_id: int
    hold_id: UUID
    action: Literal["capture", "release"]
    amount: int | None
    actor: str | None


class _Extend(msgspec.Struct, frozen=True):
    account_id: int
    hold_id: UUID
    seconds: int
    request_id: str


class _Commits:
    """The steps of one bucket's holds, each a group commit."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        bounds = Bounds.of(settings)
        self.hold: GroupCommit[_Hold, HoldOutcome] = GroupCommit(
            "hold", database, _hold_all, bounds, metrics
        )
        self.end: GroupCommit[_End, EndOutcome] = GroupCommit(
            "end_hold", database, _end_all, bounds, metrics
        )
        self.extend: GroupCommit[_Extend, ExtendOutcome] = GroupCommit(
            "extend_hold", database, _extend_all, Bounds.of(settings, lanes=1), metrics
        )
        self.all = (self.hold, self.end, self.extend)


class Holds:
    """Sets credits aside, and ends that. `open()` before use, `close()` after."""

    def __init__(self, buckets: Buckets, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._commits = [_Commits(database, settings, metrics) for database in buckets.all]

    async def open(self) -> None:
        """Begin to serve; what nobody asks for opens no connection."""
        for commits in self._commits:
            for commit in commits.all:
                await commit.start()

    async def close(self) -> None:
        """Finish what is under way, then end."""
        await asyncio.gather(*(commit.stop() for each in self._commits for commit in each.all))

    async def hold(
        self,
        account: Account,
        amount: int,
        cause: Cause,
        *,
        seconds: int = SECONDS_DEFAULT,
        metadata: dict[str, str] | None = None,
    ) -> HoldOutcome:
        """Set credits aside for 1 to `SECONDS_MAX` seconds, once per request id.

        Raises WaitingLineFull, OutcomeUnknown, DatabaseUnavailable, as all that follows here.
        """
        item = _Hold(
            account_id=account.id,
            hold_id=uuid7(),
            amount=amount,
            request_id=cause.request_id,
            fingerprint=fingerprint(amount, seconds, cause.description, metadata),
            seconds=seconds,
            description=cause.description,
            metadata=None if metadata is None else msgspec.json.encode(metadata).decode(),
            actor=cause.actor,
        )
        outcome = await self._of(account).hold.submit(account.id, item)
        if isinstance(outcome, Insufficient):
            self._metrics.credits_refused.inc()
        return outcome

    async def capture(
        self, account: Account, hold_id: UUID, amount: int | None, actor: str | None = None
    ) -> EndOutcome:
        """Spend `amount` of a hold, all of it if None; the rest goes back at once."""
        item = _End(account.id, hold_id, "capture", amount, actor)
        outcome = await self._of(account).end.submit(account.id, item)
        if isinstance(outcome, Ended) and not outcome.is_replay:
            self._metrics.credits_deducted.inc(outcome.captured)
        return outcome

    async def release(
        self, account: Account, hold_id: UUID, actor: str | None = None
    ) -> EndOutcome:
        """Give all of a hold back."""
        item = _End(account.id, hold_id, "release", None, actor)
        return await self._of(account).end.submit(account.id, item)

    async def extend(
        self, account: Account, hold_id: UUID, seconds: int, request_id: str
    ) -> ExtendOutcome:
        """Let a hold last so many seconds from now on, or as long as it would have if longer.

        The request that extended it last is known again, and changes nothing.
        """
        item = _Extend(account.id, hold_id, seconds, request_id)
        return await self._of(account).extend.submit(account.id, item)

    def _of(self, account: Account) -> "_Commits":
        return self._commits[bucket_of(account.id)]


async def _hold_all(connection: Connection, items: Sequence[_Hold]) -> Sequence[HoldOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    row = await connection.fetchrow(
        "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [item.account_id for item in ordered],
        [item.hold_id for item in ordered],
        [item.amount for item in ordered],
        [item.request_id for item in ordered],
        [item.fingerprint for item in ordered],
        [item.seconds for item in ordered],
        [item.description for item in ordered],
        [item.metadata for item in ordered],
        actors(ordered),
    )
    if row is None:
        raise AssertionError("holding credits has one answer")
    answers = map(
        _hold_outcome, row["outcomes"], row["hold_ids"], row["expires_ats"], row["balances"]
    )
    return as_sent(places, list(answers))


def _hold_outcome(outcome: str, hold_id: UUID, expires_at: datetime, balance: int) -> HoldOutcome:
    match outcome:
        case "held":
            return Held(hold_id, expires_at, balance)
        case "replayed":
            return HoldReplayed(hold_id, expires_at, balance)
        case "insufficient":
            return Insufficient(balance)
        case "conflict":
            return HoldConflict()
        case other:
            raise AssertionError(f"holding credits answered {other!r}")


async def _end_all(connection: Connection, items: Sequence[_End]) -> Sequence[EndOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    row = await connection.fetchrow(
        "SELECT * FROM end_holds($1, $2, $3, $4, $5)",
        [item.account_id for item in ordered],
        [item.hold_id for item in ordered],
        [item.action for item in ordered],
        [item.amount for item in ordered],
        actors(ordered),
    )
    if row is None:
        raise AssertionError("ending holds has one answer")
    answers = map(
        _end_outcome,
        row["outcomes"],
        row["statuses"],
        row["captureds"],
        row["amounts"],
        row["ended_ats"],
        row["balances"],
    )
    return as_sent(places, list(answers))


def _end_outcome(
    outcome: str, status: str, captured: int, amount: int, ended_at: datetime, balance: int
) -> EndOutcome:
    match outcome:
        case "ended" | "replayed":
            is_replay = outcome == "replayed"
            return Ended(HoldStatus(status), amount, captured, ended_at, balance, is_replay)
        case "hold_ended":
            return EndedOtherwise(HoldStatus(status), captured, ended_at)
        case "exceeds_hold":
            return ExceedsHold(amount)
        case "not_found":
            return NoSuchHold()
        case other:
            raise AssertionError(f"ending a hold answered {other!r}")


async def _extend_all(connection: Connection, items: Sequence[_Extend]) -> Sequence[ExtendOutcome]:
    places = ascending([item.account_id for item in items])
    ordered = [items[place] for place in places]
    rows = await connection.fetch(
        """SELECT e.* FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::text[])
               WITH ORDINALITY AS i (account_id, hold_id, seconds, request_id, place),
               extend_hold(i.account_id, i.hold_id, i.seconds, i.request_id) e
           ORDER BY i.place""",
        [item.account_id for item in ordered],
        [item.hold_id for item in ordered],
        [item.seconds for item in ordered],
        [item.request_id for item in ordered],
    )
    answers = [_extend_outcome(**row) for row in rows]
    return as_sent(places, answers)


def _extend_outcome(
    outcome: str,
    status: str,
    expires_at: datetime,
    balance: int,
    captured: int,
    ended_at: datetime,
) -> ExtendOutcome:
    match outcome:
        case "extended" | "replayed":
            return Extended(expires_at, balance, is_replay=outcome == "replayed")
        case "conflict":
            return HoldConflict()
        case "hold_ended":
            return EndedOtherwise(HoldStatus(status), captured, ended_at)
        case "not_found":
            return NoSuchHold()
        case other:
            raise AssertionError(f"extending a hold answered {other!r}")
