"""`GET /api/admin/verify`: the ledger recomputed, and what does not agree with it."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency

from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.verifications import VerificationUnderWay
from storecredit.web.http.envelope import Envelope, unavailable
from storecredit.web.http.openapi import operator_errors, said
from storecredit.web.parts import Parts


class DiscrepancyView(msgspec.Struct, frozen=True):
    """One thing that does not add up, at a store or at an end user; the other is null.

    Both are null where no owner is known.
    """

    kind: DiscrepancyKind
    store_id: UUID | None
    user_id: UUID | None
    seq: int | None
    request_id: str | None
    session_id: UUID | None
    detail: str


class Verification(msgspec.Struct, frozen=True):
    """What was recomputed from the ledger, and what does not agree with it.

    `movements` and `sessions` are the stores'; the end users' are counted apart, and those that
    were archived, of either.
    """

    clean: bool
    stores: int
    movements: int
    sessions: int
    users: int
    user_movements: int
    user_sessions: int
    archived_sessions: int
    payments: int
    checkpoints: Annotated[int, said("How many checkpoints the ledger was compared with.")]
    signatures: Annotated[int, said("Of how many the signature was looked at.")]
    discrepancies: list[DiscrepancyView]
    truncated: bool


@get(
    "/verify", summary="Prove the ledger right", operation_id="verify", responses=operator_errors()
)
async def verify(
    parts: NamedDependency[Parts], context: NamedDependency[ActionContext]
) -> Envelope[Verification]:
    """Recomputes every balance, of stores and end users, and names each discrepancy.

    One runs at a time: another is told to try again (503).
    """
    try:
        report = await parts.operator.verifications.verify(context)
    except VerificationUnderWay:
        raise unavailable("A verification is under way: try again when it has ended.") from None
    return Envelope(
        Verification(
            clean=report.clean,
            stores=report.stores,
            movements=report.movements,
            sessions=report.sessions,
            users=report.users,
            user_movements=report.user_movements,
            user_sessions=report.user_sessions,
            archived_sessions=report.archived_sessions,
            payments=report.payments,
            checkpoints=report.checkpoints,
            signatures=report.signatures,
            discrepancies=[
                msgspec.convert(found, DiscrepancyView, from_attributes=True)
                for found in report.discrepancies
            ],
            truncated=report.truncated,
        )
    )
