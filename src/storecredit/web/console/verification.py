"""`/console/verify`: the ledger recomputed, with its progress, and what does not agree."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Stream
from markupsafe import Markup

from storecredit import telemetry
from storecredit.ledger.discrepancies import Report
from storecredit.ledger.verify import DiscrepancyUnnamed, Progress
from storecredit.operator.audit import ActionContext
from storecredit.operator.tokens import Scope
from storecredit.operator.verifications import VerificationUnderWay
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.web.http.scopes import needs
from storecredit.web.pages.rendering import HTML, headers, page, rendered
from storecredit.web.parts import Parts

TOLD_EVERY_SECONDS: Final = 0.5
UNDER_WAY: Final = (
    "Somebody else's verification is under way. What comes of it is shown here when it has ended: "
    "reload the page in a while."
)
RESULT: Final = Markup("<!-- what came of it -->")
"""Stands in the template where the progress is told, and then what came of it."""

log = telemetry.get_logger("web.console.verification")


@get("/verify")
async def verify_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """What the last verification said, and the button for another."""
    last = await parts.operator.verifications.last()
    return page(request, "verify.html", last=last, result="", notice="")


@post("/verify", status_code=200, **needs(Scope.READ))
async def verify(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Verifies the ledger, and tells how far it is while it does: the page grows at its end.

    Whoever closes it stops the verification, which changes nothing.
    """
    last = await parts.operator.verifications.last()
    if parts.operator.verifications.is_under_way:
        values = {"last": last, "result": "", "notice": UNDER_WAY}
        return page(request, "verify.html", status=503, **values)
    values = {"last": last, "result": RESULT, "notice": ""}
    whole = rendered(request, "console", "verify.html", values)
    before, _, after = whole.partition(RESULT)

    async def content() -> AsyncIterator[str]:
        yield before
        async for piece in _verified(request, parts, context):
            yield piece
        yield after

    return Stream(content(), headers=headers(), media_type=HTML)


async def _verified(
    request: Request[Any, Any, Any], parts: Parts, context: ActionContext
) -> AsyncIterator[str]:
    """The progress, a piece of page each time, and at last what came of it."""
    now = Progress(0, 0)

    def keep(progress: Progress) -> None:
        nonlocal now
        now = progress

    verifying = asyncio.create_task(parts.operator.verifications.verify(context, keep))
    try:
        while not verifying.done():
            yield rendered(request, "console", "verify_progress.html", {"progress": now})
            await asyncio.wait({verifying}, timeout=TOLD_EVERY_SECONDS)
        yield rendered(request, "console", "verify_result.html", await _came_of_it(verifying))
    finally:
        verifying.cancel()
        with suppress(
            asyncio.CancelledError, DatabaseUnavailable, DiscrepancyUnnamed, VerificationUnderWay
        ):
            await verifying


async def _came_of_it(verifying: "asyncio.Task[Report]") -> dict[str, object]:
    """What the result is rendered with. The page has begun: errors are told in it."""
    try:
        report = await verifying
    except VerificationUnderWay:
        return {"report": None, "error": UNDER_WAY}
    except DiscrepancyUnnamed as error:
        return {"report": None, "error": str(error)}
    except DatabaseUnavailable as error:
        log.warning("verification_not_ended", cause=type(error).__name__, error=str(error))
        return {"report": None, "error": "The database went away. Nothing was changed: try again."}
    return {"report": report, "error": ""}
