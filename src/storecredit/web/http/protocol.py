"""One HTTP connection (uvicorn's, on httptools), with the bounds and the manners it leaves out.

- A request's head may be of any size and take any time there; here it has a maximum of both, and
  trailer fields and what else stands around the chunks of a body one of size.
- An offer to upgrade is ignored, for no other protocol is spoken here (RFC 9110, 7.8): the request
  is served with its body, and so are those after it. There, the body is lost.
- Idle connections are kept long, so there is a maximum of connections: beyond it, the one that has
  been idle for longest is closed.
- What is no request is answered after the requests that came before it, not in their place.
- Requests that are sent ahead of their answers are queued; here there is a maximum of them, too.
- An answer may wait for its client for ever there; here one that takes nothing of it is cut off.
- Trailer fields are never taken for header fields (RFC 9110, 6.5.1).
"""

import asyncio
import resource
from heapq import nsmallest
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from storecredit.web.http import unread
from storecredit.web.http.bodies import note_body
from storecredit.web.http.envelope import ErrorCode, Failure, invalid, unavailable
from storecredit.web.http.handed_over import offer, withdraw
from storecredit.web.http.headers import RawHeaders
from storecredit.web.http.packets import Joined, write_whole

HEAD_MAX_BYTES: Final = 64 * 1024
"""Also of what comes after a head or a piece of a body, until the next of them."""
HEAD_MAX_SECONDS: Final = 30.0
STALLED_MAX_SECONDS: Final = 8.0
"""How long a stop waits for a client that takes nothing of what is sent to it."""
CONNECTIONS_MAX: Final = 10_000
"""Of one process. An idle one holds a descriptor and some 20 KB of memory."""
ROOM_PARTS: Final = 100
"""Beyond the maximum, room is made for one hundredth of it: looking for the oldest takes long."""
DESCRIPTORS_KEPT: Final = 256
"""What connections leave of the process's descriptors, for the database, images and the log."""
PIPELINED_MAX: Final = 32
"""Requests of one connection that wait for the answer of one before them. Each is some KB here, and
what comes at once may hold ten thousand."""


class Connections(ServerState):
    """Those of one server, and whether it is about to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.is_draining = False

    @property
    def has_unheard(self) -> bool:
        """Whether somebody has connected and was not heard yet: closed now, it would be reset."""
        return any(
            isinstance(each, BoundedProtocol) and each.is_unheard for each in self.connections
        )

    def drain(self) -> None:
        """From now on the next answer of each is its last, and says so (RFC 9112, 9.6)."""
        self.is_draining = True
        for each in self.connections:
            if isinstance(each, BoundedProtocol):
                each.drain()


class BoundedProtocol(HttpToolsProtocol):
    """One connection; a head that is too large is answered 431, one that takes too long is cut."""

    server_state: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = unread.Unread()
        self._framing_bytes = 0  # came since the last head or piece of a body
        self._head_began_at: float | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._last_words: bytes | None = None
        self.app_state = dict(self.app_state)  # of which each request has a copy
        offer(self.app_state, self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """It is idle as long as nothing is sent: load balancers connect in advance."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        self._watch()
        most = connections_max()
        if len(self.connections) > most:
            self._make_room(max(1, most // ROOM_PARTS))

    def data_received(self, data: bytes) -> None:
        """Read what came; requests begin and end in it at any place."""
        if self._last_words is not None:
            return
        self._framing_bytes += len(data)
        try:
            self._read(data)
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            # What is no HTTP request is answered in the envelope, too.
            self._refuse(invalid("What came is no HTTP request, or none that can be read."))
        if self._framing_bytes > HEAD_MAX_BYTES:
            self._refuse(
                invalid("The headers of the request, or its trailers, are too large."),
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            )

    def _read(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as offer:
                rest = memoryview(rest)[offer.args[0] :]  # no copy: a packet may be full of offers
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(_no_tunnel())
                    return
                self._decline_upgrade()
            else:
                return

    def _decline_upgrade(self) -> None:
        """Read the head that was just read again, without its offer, by a parser of its own.

        The first one ended the message at its head and cannot be told otherwise. All that it found
        is in the new head, to the byte: both see the same request. What follows is of the new one.
        """
        lines = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        version = self.parser.get_http_version().encode()
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parser.feed_data(b"\r\n".join([first, *lines, b"", b""]))

    def on_message_begin(self) -> None:
        """The first byte of a request: its time begins."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._head_began_at = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is there; its body has bounds of its own."""
        if self.parser.should_upgrade():
            return  # to be read again
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(invalid("Too many requests were sent ahead of their answers."))
            raise _SentAhead
        self._head_began_at = None
        self._framing_bytes = 0
        note_body(self.scope["state"], is_awaited=True)
        super().on_headers_complete()
        if self.server_state.is_draining:
            self.cycle.keep_alive = False
        self.headers = []  # what comes now is a trailer, and the scope keeps the list it has
        if self.scope["method"] != "HEAD":  # to which a head is the whole answer
            self.cycle.transport = Joined(self.transport)  # type: ignore[assignment]  # all it uses

    def on_body(self, body: bytes) -> None:
        """A piece of the body; its size is bounded where it is read."""
        self._framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there as well."""
        if self.parser.should_upgrade():
            return
        note_body(self.scope["state"], is_awaited=False)
        super().on_message_complete()

    def take_body(self, scope: object) -> bytearray | None:
        """The body of the newest request if all of it is there (`HandsOver`)."""
        cycle: RequestResponseCycle = self.cycle
        is_there = not cycle.more_body and not cycle.waiting_for_100_continue
        is_over = cycle.disconnected or cycle.response_complete
        if cycle.scope is not scope or not is_there or is_over:
            return None
        self.flow.resume_reading()
        cycle.message_event.clear()
        body, cycle.body = cycle.body, bytearray()
        return body

    def answer(self, scope: object, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Send the whole answer to the newest request, if that can be done (`HandsOver`)."""
        # To HEAD a head is the whole answer; where GET answers it, the scope is a copy.
        is_its_own = self.cycle.scope is scope and self.cycle.scope["method"] != "HEAD"
        return is_its_own and write_whole(self.transport, self.cycle, status, headers, body)

    def on_response_complete(self) -> None:
        """Go on with the next request, or end if what came after the last one was none."""
        was_last = not self.pipeline
        super().on_response_complete()
        if self._head_began_at is not None:  # not idle
            self._unset_keepalive_if_required()
        if was_last and self._last_words is not None:
            self._end()

    @property
    def is_unheard(self) -> bool:
        """Whether no request has come as yet, and one may."""
        newest: RequestResponseCycle | None = self.cycle
        return newest is None and not self.transport.is_closing()

    def drain(self) -> None:
        """The answer under way says that it is the last, unless it has begun without saying so."""
        newest = self._unanswered()
        if newest is not None and not newest.response_started:
            newest.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: the answer under way is the last, if its client takes it."""
        super().shutdown()
        if not self.transport.is_closing():
            self.loop.call_later(STALLED_MAX_SECONDS, self._end_if_stalled)

    def _end_if_stalled(self) -> None:
        # Whoever sends waits for room, and would be cancelled by the server, with a traceback.
        if self.flow.write_paused:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        self._unset_keepalive_if_required()
        withdraw(self.app_state)
        if self.scope is not None:
            withdraw(self.scope["state"])
        super().connection_lost(exc)

    def _refuse(self, failure: Failure, status: int | None = None) -> None:
        """Take no more requests, and say why after the answers that are still due."""
        body = failure.body()
        status = status or failure.status
        more = "".join(f"{name.lower()}: {value}\r\n" for name, value in failure.headers.items())
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: req_{uuid4()}\r\n{more}connection: close\r\n\r\n"
        )
        self._end_after_answers(head.encode() + body)

    def _end_after_answers(self, last_words: bytes) -> None:
        if self._last_words is not None:
            return
        self._last_words = last_words
        if self._has_answers_due():
            self.flow.pause_reading()
        else:
            self._end()

    def _has_answers_due(self) -> bool:
        """Whether whole requests wait for their answer. One cut off in its body gets none."""
        newest = self._unanswered()
        if newest is None:
            return False
        if newest.more_body and self.pipeline:  # the broken one, which waits behind others
            self.pipeline.popleft()
            return True
        return not newest.more_body

    def _unanswered(self) -> RequestResponseCycle | None:
        """The newest request whose head has come, unless its answer is complete."""
        newest: RequestResponseCycle | None = self.cycle
        return None if newest is None or newest.response_complete else newest

    def _end(self) -> None:
        newest = self._unanswered()
        # In the middle of an answer further words would be taken for a part of it.
        may_speak = newest is None or not newest.response_started
        if self._last_words and may_speak and not self.transport.is_closing():
            self.transport.write(self._last_words)
        self.transport.close()

    def _watch(self) -> None:
        """Cut the connection if a head is overdue, or nobody reads; else look again in time.

        One timer, moved on, instead of one for each head: those would cost more than the heads.
        """
        began_at, now = self._head_began_at, self.loop.time()
        left = HEAD_MAX_SECONDS if began_at is None else began_at + HEAD_MAX_SECONDS - now
        if left <= 0:
            self._head_began_at = None
            self._end_after_answers(b"")
            left = HEAD_MAX_SECONDS
        # Nothing more is written then: whoever sends waits for room, or all has been sent.
        waits = self.flow.write_paused or self.transport.is_closing()
        if self._unread.is_stuck(self.transport.get_write_buffer_size() if waits else 0, now):
            unread.leave(self.transport)
            return
        left = min(left, unread.UNREAD_MAX_SECONDS)
        self._watch_timer = self.loop.call_later(left, self._watch)

    def _make_room(self, room: int) -> None:
        """Close those that have been idle for longest, a few at once; if none is, this new one."""
        idle_since = {
            each: each.timeout_keep_alive_task.when()
            for each in self.connections
            if isinstance(each, BoundedProtocol)
            and each.timeout_keep_alive_task is not None
            and not each.transport.is_closing()
        }
        idle_since.pop(self, None)
        for each in nsmallest(room, idle_since, key=idle_since.__getitem__):
            each.timeout_keep_alive_handler()
        if not idle_since:
            self._refuse(unavailable("Too many connections are open, and all are busy. Try again."))


def connections_max() -> int:
    """How many one process takes: the named maximum, or what `ulimit -n` leaves if it is less."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, descriptors - min(DESCRIPTORS_KEPT, descriptors // 2))


def waiters_max() -> int:
    """How many of them may wait for something to happen: half, for the others are to be served."""
    return connections_max() // 2


def _no_tunnel() -> Failure:
    """To CONNECT. What follows it is for somebody else, and nothing here takes that method."""
    return Failure(
        ErrorCode.METHOD_NOT_ALLOWED,
        "This is not a proxy: it connects nowhere.",
        headers={"Allow": ""},
    )


class _SentAhead(Exception):
    """Ends the reading of what came: it has more requests than may wait."""
