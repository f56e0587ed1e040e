"""Reads request bodies: whatever cannot be read is the sender's mistake, never ours."""

import asyncio
from typing import Any, Final

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Scope

from storecredit.web.envelope import ErrorCode, Failure, invalid

BODY_MAX_SECONDS: Final = 60.0
_AWAITED: Final = "body_awaited"


def note_body(state: dict[str, Any], *, is_awaited: bool) -> None:
    """For the server to say, in a scope's state, whether more of the body is on its way here."""
    state[_AWAITED] = is_awaited


def body_is_awaited(scope: Scope) -> bool:
    """Whether reading the body may have to wait, and so needs a time limit."""
    return bool(scope["state"].get(_AWAITED))


class JsonRequest(Request[Any, Any, Any]):
    """The framework's request; it knows of broken JSON, this one of all else that can be wrong."""

    async def body(self) -> bytes:
        """The whole body. Raises Failure when it is too large, too slow, or does not arrive."""
        try:
            if not body_is_awaited(self.scope):
                return await super().body()
            async with asyncio.timeout(BODY_MAX_SECONDS):
                return await super().body()
        except TimeoutError:
            raise invalid(f"The body did not arrive within {BODY_MAX_SECONDS:g} s.") from None
        except RequestEntityTooLarge:
            bytes_max = self.route_handler.resolve_request_max_body_size()
            raise Failure(
                ErrorCode.PAYLOAD_TOO_LARGE, f"The body is larger than {bytes_max:,} bytes."
            ) from None
        except InternalServerException:
            raise invalid("The body did not arrive whole.") from None

    async def json(self) -> Any:
        """The body's content. Raises Failure for broken UTF-8 and for absurd nesting."""
        try:
            return await super().json()
        except UnicodeDecodeError:
            raise invalid("The body is not UTF-8.") from None
        except RecursionError:
            raise invalid("The body is nested too deeply.") from None
