"""The time line of a request: all that is known of it as one list of moments, in order.

Made of the rows that were read (`requests.py`), and of nothing else: what is kept nowhere is not
told. HTTP answers are kept nowhere, so what a request was answered is said as it follows from what
stands in the ledger, and said to be so.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from storecredit.operator.acted import ActionRow
from storecredit.operator.moments import Detail, Moment, MomentKind
from storecredit.operator.records import MovementRow, RequestRecord, RequestsFound
from storecredit.operator.time_line_sales import moments_of_event, moments_of_sales
from storecredit.operator.time_line_tellings import moments_of_tellings, moments_of_told
from storecredit.operator.time_line_work import moments_of_work, sent_along

MOMENTS_MAX: Final = 400
"""Of a longer time line the first and the last ones are told."""
NOT_KEPT: Final = "No answer is kept. This follows from what stands in the ledger."
CHARGES: Final = ("deduction", "overage")
DONE: Final[dict[str, str]] = {
    "deduction": "taken",
    "refund": "given back",
    "purchase": "bought",
    "subscription": "added by the subscription",
    "grant": "granted",
    "signup_bonus": "given to begin with",
    "clawback": "taken back, as their payment was given back",
    "overage": "used beyond the balance",
    "overage_bill": "used beyond the balance, closed into a bill",
    "overage_refund": "used beyond the balance, given back",
    "overage_credit": "given back for overage that was billed",
    "hold": "held",
    "capture": "of the hold captured",
    "release": "of the hold released",
    "hold_expiry": "back from the hold, whose time was over",
    "expiry": "expired",
    "rollover": "carried into the next period",
    "reissue": "given another end",
    "removal": "removed",
    "transfer_out": "transferred to another owner",
    "transfer_in": "transferred from another owner",
}
"""What became of the credits of each type of movement."""


def with_time_line(record: RequestRecord, now: datetime | None = None) -> RequestRecord:
    """The request with its time line; of one longer than `MOMENTS_MAX` the middle is left out.

    `now`: from when on moments are ahead.
    """
    now = now or datetime.now(UTC)
    moments = _in_order(_moments(record, now))
    left_out = max(len(moments) - MOMENTS_MAX, 0)
    if left_out:
        half = MOMENTS_MAX // 2
        moments = moments[:half] + moments[-half:]
    return msgspec.structs.replace(record, time_line=moments, left_out=left_out)


def other_moments(found: RequestsFound) -> list[Moment]:
    """What carries the id and belongs to no request, likewise."""
    moments = [_action(row, "") for row in found.actions]
    for event in found.events:
        moments += moments_of_event(event)
    for told in found.told:
        moments += moments_of_told(told)
    return _in_order(moments)[:MOMENTS_MAX]


def _in_order(moments: Iterable[Moment]) -> list[Moment]:
    return sorted(moments, key=lambda moment: (moment.is_ahead, moment.at))


def _moments(record: RequestRecord, now: datetime) -> Iterator[Moment]:
    """In this order where they have the same time, as those of one transaction have.

    What credits were taken for comes after that, and before what gives them back.
    """
    movements = [_movement(row, record) for row in record.movements]
    yield from _answer(record)
    yield from (_action(row, record.request_id) for row in record.actions)
    yield from moments_of_sales(record)
    yield from movements[:1]
    yield from moments_of_work(record, now)
    yield from movements[1:]
    yield from moments_of_tellings(record)


def _answer(record: RequestRecord) -> Iterator[Moment]:
    """That the request was accepted, and what it is answered when it is sent again."""
    own = [row for row in record.movements if row.request_id == record.request_id]
    began = [row.created_at for row in own] + [row.created_at for row in record.checkouts]
    if not began:
        return
    yield Moment(
        at=min(began),
        kind=MomentKind.ANSWER,
        title="Accepted",
        details=[Detail("Answer", NOT_KEPT), Detail("Sent again", _sent_again(record, own))],
    )


def _sent_again(record: RequestRecord, own: list[MovementRow]) -> str:
    """What a repetition is answered; the status codes are those of `docs/openapi.json`."""
    same = "With the same content it changes nothing and is answered 200, Idempotent-Replayed"
    other = "with other content it is refused, 422 IDEMPOTENCY_CONFLICT."
    if record.sessions:
        (session, *_) = record.sessions
        return f"{same}, with this generation (now: {session.status}); {other}"
    if record.archived:
        (archived, *_) = record.archived
        return f"{same}, with this generation ({archived.status}); {other}"
    if record.holds:
        (hold, *_) = record.holds
        return f"{same}, with this hold (now: {hold.status}); {other}"
    if record.checkouts:
        return f"{same}, with this checkout; {other}"
    if {row.type for row in own} & {"deduction", "refund", "grant", "removal", "transfer_out"}:
        return f"{same}; {other}"
    return "It is done once: nothing more is moved under this id."


def _action(row: ActionRow, request_id: str) -> Moment:
    return Moment(
        at=row.acted_at,
        kind=MomentKind.ACTION,
        title=f"Operator: {row.action}",
        details=[
            Detail("By", row.actor),
            Detail("Through", row.door),
            *([Detail("Reason", row.reason)] if row.reason else []),
            *_handed_over(row),
            *([Detail("Of", row.subject, leads_on=True)] if row.subject else []),
            *_request_of(row.request_id, request_id),
        ],
    )


def _handed_over(row: ActionRow) -> list[Detail]:
    """Of a transfer, from whom to whom."""
    giver, taker = row.store_id or row.user_id, row.other_store_id or row.other_user_id
    if taker is None:
        return []
    return [Detail("From", str(giver), leads_on=True), Detail("To", str(taker), leads_on=True)]


def _movement(row: MovementRow, record: RequestRecord) -> Moment:
    """Credits that moved, with what the account had after it."""
    noun = "credit" if row.amount == 1 else "credits"
    details = [
        Detail("Type", row.type),
        Detail("Balance after", number=row.balance_after),
        *([Detail("Held after", number=row.held_after)] if row.held_after else []),
        *(
            [Detail("Overage used after", number=row.overage_used_after)]
            if row.overage_used_after
            else []
        ),
        Detail("In the ledger", f"#{row.seq}"),
        *([Detail("For", row.description)] if row.description else []),
        *([Detail("By", row.actor)] if row.actor else []),
        *(_sent_with(record) if row.type in CHARGES else []),
        *_request_of(row.request_id, record.request_id),
    ]
    return Moment(
        at=row.created_at,
        kind=MomentKind.MOVEMENT,
        title=f"{row.amount:,} {noun} {DONE.get(row.type, row.type)}",
        details=details,
    )


def _sent_with(record: RequestRecord) -> list[Detail]:
    """What was sent with a spend."""
    return [detail for spend in record.spends for detail in sent_along(spend.metadata)]


def _request_of(named: str, own: str) -> list[Detail]:
    """By which request, where it was another."""
    return [] if named == own else [Detail("By request", named, leads_on=True)]
