"""Reads request bodies: whatever cannot be read is the sender's mistake, never ours."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException, SerializationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import HTTPScope, Receive, Scope
from litestar.types.asgi_types import HTTPRequestEvent, ReceiveMessage

from storecredit.web.http.envelope import INVALID_BODY, ErrorCode, Failure, invalid
from storecredit.web.http.faults import Fault, details_of, faults_of
from storecredit.web.http.handed_over import offered
from storecredit.web.http.visits import visit_of

T = TypeVar("T")

BODY_MAX_SECONDS: Final = 60.0
_AWAITED: Final = "body_awaited"
_OTHER_MEDIA_TYPES: Final = frozenset(
    {
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "application/xml",
        "text/xml",
        "text/csv",
        "text/plain",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
    }
)
"""What a body that is no JSON may be told to be; any other text is the sender's own."""
_JSON_STARTS: Final = (b"{", b"[")


def note_body(state: dict[str, Any], *, is_awaited: bool) -> None:
    """For the server to say, in a scope's state, whether more of the body is on its way here."""
    state[_AWAITED] = is_awaited


def _is_awaited(scope: Scope) -> bool:
    """Whether reading the body may have to wait. If not, a timer would take longer than that."""
    return bool(scope["state"].get(_AWAITED))


async def _in_time(reading: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(BODY_MAX_SECONDS):
            return await reading
    except TimeoutError:
        raise unreadable(f"The body did not arrive within {BODY_MAX_SECONDS:g} s.") from None


def unreadable(message: str) -> Failure:
    """400: there is nothing that could be read; `message` says why, for it is all there is to say.

    `/api/trpc` and the webhooks show no details.
    """
    detail = Fault("", message).detail("body")
    return invalid(f"{message} Nothing was charged or changed.", [detail])


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request's body is made of. A field nobody knows is a typo, and may not be charged."""


class JsonRequest(Request[Any, Any, Any]):
    """The framework's request; it knows of broken JSON, this one of all else that can be wrong."""

    async def body(self) -> bytes:
        """The whole body. Raises Failure when it is too large, too slow, or does not arrive."""
        reading = super().body()
        try:
            return await (_in_time(reading) if _is_awaited(self.scope) else reading)
        except RequestEntityTooLarge:
            bytes_max = self.route_handler.resolve_request_max_body_size()
            raise Failure(
                ErrorCode.PAYLOAD_TOO_LARGE,
                f"The body is larger than {bytes_max:,} bytes. Nothing was charged: send a large "
                "image by its https URL, or make it smaller.",
            ) from None
        except InternalServerException:
            raise unreadable("The body did not arrive whole.") from None

    async def json(self) -> Any:
        """The body's content, fit for its handler.

        Raises Failure for what is no JSON, and one for all that is wrong in it.
        """
        try:
            content = await super().json()
        except RecursionError:
            raise unreadable("The body is nested too deeply.") from None
        except (SerializationException, UnicodeDecodeError) as error:
            raise unreadable(await self._why_no_json(error)) from None
        taken = self.route_handler.parsed_data_field
        if taken is not None:
            faults = faults_of(content, taken.annotation, self.app.state["settings"])
            if details := details_of(faults, "body"):
                raise invalid(INVALID_BODY, details)
        return content

    async def _why_no_json(self, error: Exception) -> str:
        """A form or a file is told by its media type: where in it JSON ends helps nobody.

        curl calls every body a form, so that one which begins as JSON is told as broken JSON.
        """
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        starts_as_json = (await self.body()).lstrip().startswith(_JSON_STARTS)
        if media_type in _OTHER_MEDIA_TYPES and not starts_as_json:
            return f"The body is {media_type}; send JSON, with images as URLs or data: URLs."
        return "The body is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"{error}."


class DirectBody:
    """A body read without the framework, which can be given to it after all."""

    def __init__(self, scope: HTTPScope, receive: Receive, *, bytes_max: int) -> None:
        self._scope = scope
        self._receive = receive
        self._bytes_max = bytes_max
        self._content = bytearray()
        self._has_more = True
        self._end: ReceiveMessage | None = None

    async def read(self) -> bytearray | None:
        """The whole body; None: it is too large, or cut off.

        Raises Failure when it is too slow, ValueError for a length that nobody could mean.
        """
        announced = visit_of(self._scope).sent.get(b"content-length")
        if announced is not None and not self._is_bearable(announced):
            return None
        connection = offered(self._scope) if self._has_more else None
        body = None if connection is None else connection.take_body(self._scope)
        if body is not None:
            self._content, self._has_more = body, False
            return body if len(body) <= self._bytes_max else None
        return await (_in_time(self._read()) if _is_awaited(self._scope) else self._read())

    async def _read(self) -> bytearray | None:
        while self._has_more:
            message = await self._receive()
            if message["type"] != "http.request":
                self._end = message
                return None
            self._content += message["body"]
            self._has_more = message.get("more_body", False)
            if len(self._content) > self._bytes_max:
                return None
        return self._content

    def _is_bearable(self, announced: str) -> bool:
        return announced.isdecimal() and int(announced) <= self._bytes_max

    def given_back(self) -> Receive:
        """`receive` as if nothing had been read: what was comes again, as one message."""
        first: HTTPRequestEvent = {
            "type": "http.request",
            "body": bytes(self._content),
            "more_body": self._has_more,
        }
        taken: list[ReceiveMessage] = [first] if self._end is None else [first, self._end]

        async def receive() -> ReceiveMessage:
            return taken.pop(0) if taken else await self._receive()

        return receive


def wrong(name: str, message: str) -> Failure:
    """400 for one value of the body, by its name."""
    return invalid(message, [{"key": name, "source": "body", "message": message}])
