"""Errors as pages: what happened, what to do, and that nothing was lost."""

import contextlib
from typing import Any, Final

from litestar import Litestar, Request, Response
from litestar.types import Receive, Scope, Send

from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.web.http.envelope import JSON, ErrorCode, Failure, answer_to, invalid
from storecredit.web.http.visits import visit_of
from storecredit.web.pages.forms import FormRefused
from storecredit.web.pages.rendering import page
from storecredit.web.pages.signed_in import SignInNeeded, recognise, to_sign_in

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


class UnroutedPage(Response[Any]):
    """The answer to what came to no page, such as an unknown address: the page of the door it was.

    No guard has looked who is signed in, whose name and ways stand around each page. A program that
    takes JSON alone is told by that.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(None)
        self._error = error

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **given: Any
    ) -> Any:
        """What the framework has send the answer, and may wait for the database in it."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            answer = await self._answer(request)
            await answer.to_asgi_response(app=app, request=request, **given)(scope, receive, send)

        return answer

    async def _answer(self, request: Request[Any, Any, Any]) -> Response[Any]:
        if takes_json_alone(visit_of(request.scope).sent.get(b"accept")):
            answer = answer_to(self._error).response()
            # A cache on the way might hand it to a browser, or keep it beyond what it was so.
            answer.headers |= {"Cache-Control": "no-store", "Vary": "Accept, Cookie"}
            return answer
        with contextlib.suppress(DatabaseUnavailable, Failure):
            await recognise(request)
        return error_page(request, self._error)


def takes_json_alone(accept: str | None) -> bool:
    """Whether this Accept header (RFC 9110, 12.5.1) is of a program that no page is of use to."""
    types = [each.partition(";")[0].strip().lower() for each in (accept or "").split(",")]
    return all(each == JSON or each.endswith("+json") for each in types)


def failure_page(
    request: Request[Any, Any, Any], failure: Failure, link: tuple[str, str] | None = None
) -> Response[Any]:
    """The page for an error of the one table. `link`: where to go on, and what that is called."""
    heading = HEADINGS.get(failure.code, HEADING)
    message = MESSAGES.get(failure.code, failure.message)
    may_try_again = failure.code is ErrorCode.SERVICE_UNAVAILABLE and request.method == "GET"
    values = {
        "heading": heading,
        "message": message,
        "link": link,
        "may_try_again": may_try_again,
    }
    answer = page(request, "error.html", status=failure.status, **values)
    answer.headers.update(failure.headers)
    return answer
