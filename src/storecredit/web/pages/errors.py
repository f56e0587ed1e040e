"""Errors as pages: what happened, what to do, and that nothing was lost."""

from typing import Any, Final

from litestar import Request, Response

from storecredit.web.http.envelope import ErrorCode, Failure, answer_to, invalid
from storecredit.web.pages.forms import FormRefused
from storecredit.web.pages.rendering import page
from storecredit.web.pages.signed_in import SignInNeeded, to_sign_in

HEADINGS: Final = {
    ErrorCode.NOT_FOUND: "There is nothing here",
    ErrorCode.INSUFFICIENT_SCOPE: "Your token does not allow this",
    ErrorCode.DOMAIN_MISMATCH: "Nothing was done",
    ErrorCode.IDEMPOTENCY_CONFLICT: "This form was sent before",
    ErrorCode.SERVICE_UNAVAILABLE: "Not possible right now",
    ErrorCode.INTERNAL_ERROR: "Something went wrong on our side",
}
HEADING: Final = "This cannot be done"
MESSAGES: Final = {
    ErrorCode.SERVICE_UNAVAILABLE: "Nothing is lost. Reload the page in a moment; a form that you "
    "had sent may be sent again, and is done once.",
    ErrorCode.IDEMPOTENCY_CONFLICT: "It did something else then. Nothing was done now: reload the "
    "page that it stands on, and send it from there.",
}
"""What a person is told in other words than a program."""


class LookElsewhere(Exception):
    """A failure whose page leads on: to an address of ours, by a link of this text."""

    def __init__(self, failure: Failure, address: str, text: str) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.link = (address, text)


def error_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The page for an exception that a handler ended in; what nobody expected is logged."""
    if isinstance(error, SignInNeeded):
        return to_sign_in(request)
    if isinstance(error, LookElsewhere):
        return failure_page(request, error.failure, error.link)
    if isinstance(error, FormRefused):
        # Of a field that no page lets be wrong.
        return failure_page(request, invalid(f"{error} Nothing was done."))
    return failure_page(request, answer_to(error))


def failure_page(
    request: Request[Any, Any, Any], failure: Failure, link: tuple[str, str] | None = None
) -> Response[Any]:
    """The page for an error of the one table. `link`: where to go on, and what that is called."""
    heading = HEADINGS.get(failure.code, HEADING)
    message = MESSAGES.get(failure.code, failure.message)
    values = {"heading": heading, "message": message, "link": link}
    answer = page(request, "error.html", status=failure.status, **values)
    answer.headers.update(failure.headers)
    return answer
