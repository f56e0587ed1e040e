"""Who acts by a request of the operator's API, and why, for the audit log."""

from typing import Any, Final

from litestar import Request

from storecredit.operator.audit import REASON_MAX, ActionContext
from storecredit.web.http.envelope import invalid
from storecredit.web.http.visits import principal_of, visit_of

REASON_HEADER: Final = "X-Request-Reason"


async def acting(request: Request[Any, Any, Any]) -> ActionContext:
    """A dependency of every door that changes something.

    With an Idempotency-Key, which names the request, it is done once.
    """
    visit = visit_of(request.scope)
    is_keyed = b"idempotency-key" in visit.sent
    return ActionContext(
        actor=principal_of(request.scope).name,
        door="api",
        request_id=visit.request_id,
        reason=_reason(visit.sent.get(REASON_HEADER.lower().encode()) or ""),
        idempotency_key=visit.request_id if is_keyed else None,
    )


def _reason(sent: str) -> str:
    # Browsers and clients that send more than Latin-1 at all send UTF-8.
    reason = sent.encode("latin-1").decode("utf-8", "replace").strip()
    if len(reason) > REASON_MAX:
        message = f"A reason has at most {REASON_MAX} characters, not {len(reason)}."
        raise invalid(
            message, [{"key": REASON_HEADER.lower(), "source": "header", "message": message}]
        )
    return reason
