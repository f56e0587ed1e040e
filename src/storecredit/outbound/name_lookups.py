"""Host names to addresses, as the machine's own resolver gives them (`getaddrinfo`).

That call cannot be given up: of a name whose servers do not answer it comes back after half a
minute (resolv.conf(5): `timeout`, `attempts`). Promises that such names hold up no other, nor the
end of the process: each name is looked up in a thread of its own, which nobody waits for at the
end, and by one thread however many ask for it. Of more names than `LOOKUPS_MAX` the last wait for
one that is done.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final

LOOKUPS_MAX: Final = 256
"""Names that are looked up at the same time, each by a thread."""
NAMES_MAX: Final = 10_000
"""With those that wait for it."""

Addresses = list[str]


def system_addresses(host: str) -> Addresses:
    """The addresses of `host`, in the order to try them. Raises `socket.gaierror`. It blocks."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class NameLookups:
    """A `Resolver`. Belongs to the event loop that it is first used on."""

    def __init__(self, look_up: Callable[[str], Addresses] = system_addresses) -> None:
        self._look_up = look_up
        self._asked: dict[str, asyncio.Future[Addresses | Exception]] = {}
        self._waiting: deque[str] = deque()

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        """The addresses of `host`. Raises `socket.gaierror`, EAI_AGAIN while too many are asked."""
        found = await asyncio.shield(self._asked.get(host) or self._ask(host))
        if isinstance(found, Exception):
            raise found
        return found

    def _ask(self, host: str) -> "asyncio.Future[Addresses | Exception]":
        if len(self._asked) >= NAMES_MAX:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
        asked = self._asked[host] = asyncio.get_running_loop().create_future()
        self._waiting.append(host)
        self._begin()
        return asked

    def _begin(self) -> None:
        """Look up as many of those that wait as there is room for."""
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._asked) - len(self._waiting) < LOOKUPS_MAX:
            host = self._waiting.popleft()
            thread = Thread(target=self._work, args=(loop, host), name="name-lookup", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives this process no more of them
                refused = socket.gaierror(socket.EAI_AGAIN, str(error))
                self._asked.pop(host).set_result(refused)

    def _work(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        found: Addresses | Exception
        try:
            found = self._look_up(host)
        except Exception as error:  # noqa: BLE001 - it is the answer of who asks
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for it any more
            loop.call_soon_threadsafe(self._tell, host, found)

    def _tell(self, host: str, found: Addresses | Exception) -> None:
        self._asked.pop(host).set_result(found)
        self._begin()
