"""Name servers that say what a test wants them to."""

import socket
from collections.abc import Mapping, Sequence


class Names:
    """A resolver that knows some names, and remembers what it was asked.

    `then` is what it says from the second time on that it is asked for a name.
    """

    def __init__(
        self,
        known: Mapping[str, Sequence[str]],
        *,
        then: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self._known = known
        self._then = then or {}

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        known = self._then if host in self.asked and host in self._then else self._known
        self.asked.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]
