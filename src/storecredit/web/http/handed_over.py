"""A body that came whole, and an answer that goes out whole: handed over without messages.

ASGI hands both over as messages, each awaited through every layer in between, and the server looks
at each header of an answer twice: a tenth of what a busy request costs. So a connection of our
server offers, in the state of each request, to do either at one stroke. What it cannot do so is
left to the messages, which say the same: a body still on its way, a request that is not the newest
of its connection, HEAD, a long answer, a client that takes nothing, another server.
"""

from typing import Any, Final, Protocol

from litestar.types import HTTPScope

from storecredit.web.http.headers import RawHeaders

_CONNECTION: Final = "connection"


class HandsOver(Protocol):
    """A connection, as it is offered to whoever serves its requests."""

    def take_body(self, scope: HTTPScope) -> bytearray | None:
        """The whole body, as if all of it had been received; None: nothing was taken."""
        ...

    def answer(self, scope: HTTPScope, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Send a whole answer; False: nothing was sent. `headers` has its length."""
        ...


def offer(state: dict[str, Any], connection: HandsOver) -> None:
    """For the server to put a connection into the state that its requests have."""
    state[_CONNECTION] = connection


def withdraw(state: dict[str, Any]) -> None:
    """For the server, once the connection is lost: it is in the state that is in it."""
    state.pop(_CONNECTION, None)


def offered(scope: HTTPScope) -> HandsOver | None:
    """The connection of a request; None: it offers nothing."""
    connection: HandsOver | None = scope["state"].get(_CONNECTION)
    return connection
