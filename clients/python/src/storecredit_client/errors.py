"""Every error of this package.

    StorecreditError
      ApiError             the service refused, and said why: look at `code`
      UnexpectedAnswer     an answer that is none of the service's: a proxy's page, say
      NoAnswer             every attempt ended without an answer
      GenerationNotEnded   the time to wait for a generation is over; it goes on
      WebhookRefused       a webhook that was not signed with this secret, or too long ago

After the first three it may be unknown whether a call was done: an answer can be lost on its way.
The call again with `idempotency_key=error.idempotency_key` finds out, and is done once.
"""

from http import HTTPStatus
from typing import Any

from storecredit_client.models import ErrorBody, ErrorCode, Generation


class StorecreditError(Exception):
    """Something went wrong; `idempotency_key` is that of the call, if it has one.

    `retry_after_seconds` is set where the service, or what stands before it, names a time to come
    back.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.idempotency_key = idempotency_key

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, whatever it was made of: job queues and process pools pickle errors."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[StorecreditError], args: tuple[Any, ...], state: dict[str, Any]
) -> StorecreditError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ApiError(StorecreditError):
    """The service refused the call.

    `code` says why, and a service newer than this package may have codes that `ErrorCode` does not
    list. What an error tells beside it (`balance` and `required`, `refundable`, `details`, …) is
    in `body`; the message names each field and parameter of `details`, too.
    """

    def __init__(
        self,
        status: int,
        body: ErrorBody,
        *,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(
            f"{body.code}: {body.message}{_faults(body)}",
            retry_after_seconds=retry_after_seconds,
            idempotency_key=idempotency_key,
        )
        self.status = status
        self.body = body
        self.request_id = request_id

    @property
    def code(self) -> ErrorCode:
        """Why."""
        return self.body.code

    def names(self, key: str) -> bool:
        """Whether the service found fault with this field or parameter."""
        return any(detail.get("key") == key for detail in self.body.details or ())


def _faults(body: ErrorBody) -> str:
    """What is wrong with which field or parameter; once, where the message says it."""
    faults = [
        detail["key"] + ("" if detail["message"] == body.message else f": {detail['message']}")
        for detail in body.details or ()
        if "key" in detail and "message" in detail
    ]
    return f" ({'; '.join(faults)})" if faults else ""


class UnexpectedAnswer(StorecreditError):
    """The answer is not of the service's form; `beginning` is how its body starts.

    `location` is where it leads, if it is a redirect: none is followed.
    """

    def __init__(
        self,
        status: int,
        beginning: str,
        *,
        location: str | None = None,
        retry_after_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        known = status in HTTPStatus.__members__.values()
        phrase = f" {HTTPStatus(status).phrase}" if known else ""
        leads = "" if location is None else f", which leads to {location!r}"
        super().__init__(
            f"Not an answer of storecredit: {status}{phrase}{leads}. Is the address right, and "
            f"what stands before the service? Its body begins: {beginning!r}",
            retry_after_seconds=retry_after_seconds,
            idempotency_key=idempotency_key,
        )
        self.status = status
        self.beginning = beginning
        self.location = location


class NoAnswer(StorecreditError):
    """No attempt was answered; `__cause__` is what the last one ended in."""

    def __init__(self, attempts: int, why: str, *, idempotency_key: str | None = None) -> None:
        again = (
            ""
            if idempotency_key is None
            else " Whether it was done is not known: the same call with the same idempotency key "
            "tells, and is done once."
        )
        times = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(
            f"No answer, asked {times}: {why.rstrip('.')}.{again}", idempotency_key=idempotency_key
        )
        self.attempts = attempts


class GenerationNotEnded(StorecreditError):
    """The time is over, the generation is not; `generation` is as it was last seen."""

    def __init__(self, generation: Generation) -> None:
        super().__init__(
            f"Generation {generation.session_id} is still {generation.status}. It goes on; wait "
            "again, or look later."
        )
        self.generation = generation


class WebhookRefused(StorecreditError):
    """Not signed with this secret, changed on its way, too old, or no webhook at all."""
