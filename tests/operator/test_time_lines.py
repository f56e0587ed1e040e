"""What a time line makes of rows: words for every type of movement, and a bounded list."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from storecredit.ledger.outcomes import MovementType
from storecredit.operator import time_lines
from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.records import FailedAttemptRow, MovementRow, RequestRecord, SessionRow
from storecredit.operator.time_lines import MOMENTS_MAX, with_time_line

BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)


def moved(seq: int, type_: str = "refund") -> MovementRow:
    return MovementRow(
        seq=seq,
        type=type_,
        amount=seq,
        request_id="r" if seq == 1 else f"back-{seq}",
        origin_seq=None if seq == 1 else 1,
        balance_after=0,
        held_after=0,
        total_spent_after=0,
        total_clawed_back_after=0,
        total_expired_after=0,
        total_removed_after=0,
        overage_used_after=0,
        actor=None,
        session_id=None,
        description="",
        created_at=BEGIN + timedelta(seconds=seq),
    )


def record(*movements: MovementRow) -> RequestRecord:
    return RequestRecord(
        request_id="r",
        store_id=None,
        store_name=None,
        user_id=None,
        found_as=(IdentifierKind.REQUEST,),
        movements=list(movements),
    )


def test_every_type_of_movement_is_told_in_words() -> None:
    assert set(time_lines.DONE) == set(MovementType)
    assert len(set(time_lines.DONE.values())) == len(time_lines.DONE)


def test_of_a_long_life_the_middle_is_left_out_and_said_to_be() -> None:
    count = MOMENTS_MAX + 100
    told = with_time_line(record(*(moved(seq + 1) for seq in range(count))))
    assert len(told.time_line) == MOMENTS_MAX
    assert told.left_out == count + 1 - MOMENTS_MAX
    assert told.time_line[0].title == "Accepted"
    assert told.time_line[-1].title == f"{count} credits given back"


def test_what_is_kept_nowhere_is_not_told() -> None:
    assert with_time_line(record()).time_line == []
    others = with_time_line(record(moved(2)))
    assert [moment.title for moment in others.time_line] == ["2 credits given back"]


def test_words_that_were_forgotten_are_said_to_be_no_longer_kept() -> None:
    attempt = FailedAttemptRow(1, BEGIN + timedelta(seconds=3), counts=True, said=None)
    session = SessionRow(
        session_id=UUID(int=1),
        status="failed",
        credits_charged=1,
        attempts=2,
        error_code="GENERATION_FAILED",
        error_message=None,
        generator_message=None,
        metadata=None,
        created_at=BEGIN,
        started_at=BEGIN,
        completed_at=BEGIN + timedelta(seconds=9),
        failed_attempts=[attempt],
        job=None,
    )
    told = record(moved(1, "deduction"))
    told.sessions.append(session)
    line = with_time_line(told).time_line
    assert [moment.title for moment in line][-2:] == ["Attempt 1 failed", "Generation failed"]
    [said] = line[-2].details
    assert said.text is not None
    assert "not kept" in said.text
