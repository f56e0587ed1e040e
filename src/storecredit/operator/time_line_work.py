"""Of a time line what was done for the credits: generations with their attempts, holds, grants."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from storecredit.operator.moments import Detail, Moment, MomentKind
from storecredit.operator.records import ArchivedRow, GrantRow, HoldRow, RequestRecord, SessionRow

METADATA: Final = "Metadata"
"""The label of what a caller sent along, whose text is a JSON object."""
SAID_NOTHING: Final = "nothing, or it is not kept any longer"


def moments_of_work(record: RequestRecord, now: datetime) -> Iterator[Moment]:
    """Generations, holds and grants of a request."""
    for session in record.sessions:
        yield from _generation(session)
    for archived in record.archived:
        yield _archived(archived)
    for hold in record.holds:
        yield from _hold(hold, now)
    for grant in record.grants:
        yield from _grant(grant, now)


def sent_along(metadata: dict[str, str] | None) -> list[Detail]:
    """The caller's own metadata."""
    if not metadata:
        return []
    return [Detail(METADATA, msgspec.json.encode(metadata).decode())]


def _generation(row: SessionRow) -> Iterator[Moment]:
    yield Moment(
        at=row.created_at,
        kind=MomentKind.GENERATION,
        title="Generation queued",
        details=[
            Detail("Generation", str(row.session_id), leads_on=True),
            Detail("Credits charged", number=row.credits_charged),
            *sent_along(row.metadata),
            *_job(row),
        ],
    )
    if row.started_at is not None:
        yield Moment(at=row.started_at, kind=MomentKind.ATTEMPT, title="Attempt 1 begun")
    yield from _failed_attempts(row)
    if row.completed_at is not None:
        yield _end(row, row.completed_at)
    elif row.job is not None and row.job.status == "queued":
        title = "Next attempt is due" if row.started_at else "First attempt is due"
        yield Moment(at=row.job.due_at, kind=MomentKind.ATTEMPT, title=title, is_ahead=True)


def _archived(row: ArchivedRow) -> Moment:
    return Moment(
        at=row.archived_at,
        kind=MomentKind.GENERATION,
        title="Generation archived",
        details=[
            Detail("Generation", str(row.session_id), leads_on=True),
            Detail("It had", row.status),
            Detail("Archive", number=row.number),
            Detail("File", f"{row.place}/{row.file}"),
        ],
    )


def _job(row: SessionRow) -> list[Detail]:
    """Of one that has not ended, who looks after it."""
    if row.completed_at is not None:
        return []
    if row.job is None:
        return [Detail("Job", "none lives; the sweep makes one within seconds")]
    return [Detail("Job", "waits" if row.job.status == "queued" else "is worked on")]


def _failed_attempts(row: SessionRow) -> Iterator[Moment]:
    """Each with the generator's own words. The last one of all may stand in the session alone."""
    for each in row.failed_attempts:
        title = f"Attempt {each.attempt} failed"
        if not each.counts:
            title = "The generator asked to be asked later; the attempt does not count"
        yield _failed(each.failed_at, title, each.said)
    if row.generator_message and row.completed_at and not row.failed_attempts:
        yield _failed(row.completed_at, f"Attempt {row.attempts} failed", row.generator_message)


def _failed(at: datetime, title: str, said: str | None) -> Moment:
    said = SAID_NOTHING if said is None else said
    return Moment(
        at=at,
        kind=MomentKind.ATTEMPT,
        title=title,
        details=[Detail("The generator said", said)],
        is_trouble=True,
    )


def _end(row: SessionRow, at: datetime) -> Moment:
    attempts = Detail("Attempts counted", number=row.attempts)
    if row.status == "completed":
        return Moment(
            at=at, kind=MomentKind.GENERATION, title="Generation completed", details=[attempts]
        )
    details = [Detail("Cause", row.error_code), attempts]
    if row.error_message:
        details.insert(1, Detail("The caller was told", row.error_message))
    return Moment(
        at=at,
        kind=MomentKind.GENERATION,
        title="Generation failed",
        details=details,
        is_trouble=True,
    )


def _hold(row: HoldRow, now: datetime) -> Iterator[Moment]:
    """How it was set up, and how it ended or will: its movements tell the credits."""
    details = [
        Detail("Hold", str(row.hold_id), leads_on=True),
        Detail("Until", at=row.expires_at),
        *sent_along(row.metadata),
    ]
    if row.extended_by is not None:
        # When is kept nowhere.
        seconds = f"by {row.extended_seconds:,} s from then on" if row.extended_seconds else ""
        details += [
            Detail("Last extended", seconds),
            Detail("Extended by request", row.extended_by, leads_on=True),
        ]
    yield Moment(at=row.created_at, kind=MomentKind.HOLD, title="Hold taken", details=details)
    if row.ended_at is not None:
        captured = Detail("Captured", number=row.captured)
        yield Moment(
            at=row.ended_at,
            kind=MomentKind.HOLD,
            title=f"Hold {row.status}",
            details=[captured, Detail("Of", number=row.amount)],
        )
    elif row.expires_at > now:
        yield Moment(
            at=row.expires_at,
            kind=MomentKind.HOLD,
            title="Hold expires, unless it is captured or released before",
            is_ahead=True,
        )


def _grant(row: GrantRow, now: datetime) -> Iterator[Moment]:
    """That its owner was told of its end, and the end; its beginning is its movement."""
    grant = Detail("Grant", f"#{row.seq}, {row.kind}")
    if row.noticed_at is not None:
        title = "Owner told that the credits will expire"
        yield Moment(at=row.noticed_at, kind=MomentKind.GRANT, title=title, details=[grant])
    if row.expires_at is not None and row.expires_at > now:
        yield Moment(
            at=row.expires_at,
            kind=MomentKind.GRANT,
            title="What is left of these credits expires",
            details=[grant],
            is_ahead=True,
        )
