"""Who acts by a request of the operator's API, and why, for the audit log."""

from typing import Any, Final

from litestar import Request

from storecredit.operator.audit import REASON_MAX, ActionContext
from storecredit.web.http.envelope import Failure, invalid
from storecredit.web.http.headers import SentHeaders
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
        reason=_reason(visit.sent),
        idempotency_key=visit.request_id if is_keyed else None,
    )


def _reason(sent: SentHeaders) -> str:
    values = sent.all(REASON_HEADER.lower().encode())
    if len(values) > 1:
        raise _refusal("A reason stands in one header.")
    reason = _text("".join(values)).strip()
    if len(reason) > REASON_MAX:
        raise _refusal(f"A reason has at most {REASON_MAX} characters, not {len(reason)}.")
    return reason


def _text(value: str) -> str:
    # Most clients send UTF-8. A browser's fetch sends Latin-1, which hardly ever is UTF-8, too.
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def _refusal(message: str) -> Failure:
    message = f"{message} Nothing was done."
    detail = {"key": REASON_HEADER.lower(), "source": "header", "message": message}
    return invalid(message, [detail])
