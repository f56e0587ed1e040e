"""One request on its way through: what was sent, what is known by now, and who asks."""

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send

from storecredit.operator.sign_ins import SignIn
from storecredit.operator.tokens import Principal
from storecredit.stores.callers import Caller
from storecredit.web.http.headers import SentHeaders

HTTP: Final = ScopeType.HTTP
"""What is served; named here, as looking up a member of an enum takes long."""


class Visit(msgspec.Struct):
    """One request on its way through: what was sent and is known, and headers of its answer."""

    request_id: str
    sent: SentHeaders
    receive: Receive
    caller: Caller | None = None
    principal: Principal | None = None
    """Of the operator's API: who of them asks."""
    sign_in: SignIn | None = None
    """Of a page: who is signed in with the browser that asks."""
    headers: list[tuple[bytes, bytes]] = msgspec.field(default_factory=list)
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    is_answer_begun: bool = False
    leaving: "asyncio.Task[None] | None" = None
    waited_seconds: float = 0.0
    """For how much of its time it waited because it asked to."""

    def left(self) -> "asyncio.Task[None]":
        """Done when the client goes away. To be asked for once the body was read."""
        if self.leaving is None:
            self.leaving = asyncio.create_task(_left(self.receive), name="leaving")
        return self.leaving

    def close(self) -> None:
        """The request is served: nobody looks whether its client goes away."""
        if self.leaving is not None:
            self.leaving.cancel()
            self.leaving = None
        # The server's request has the scope, which has this, which has the server's request: all of
        # it would be left to the garbage collector, at a fifth of what a request costs.
        del self.receive

    def begin_answer(self, status: int) -> None:
        """The head of its answer goes out."""
        self.status = status
        self.is_answer_begun = True

    def send_through(self, send: Send) -> Send:
        """`send`, adding this visit's headers to the answer and noting its status."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.begin_answer(message["status"])
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        return send_with_headers


async def _left(receive: Receive) -> None:
    # What is left of a body nobody asked for; the server holds no more than a piece of it.
    while (await receive())["type"] != "http.disconnect":
        pass


def visit_of(scope: Scope) -> Visit:
    """The visit of a request, for its handler."""
    visit: Visit = scope["state"]["visit"]
    return visit


def caller_of(scope: Scope) -> Caller:
    """Who is asking, for a B2B handler: the API key alone decided it."""
    caller = visit_of(scope).caller
    if caller is None:
        raise AssertionError("every B2B request was authenticated first")
    return caller


def principal_of(scope: Scope) -> Principal:
    """Which operator is asking, for a handler of the operator's API."""
    principal = visit_of(scope).principal
    if principal is None:
        raise AssertionError("every request of an operator was authenticated first")
    return principal
