"""The connections over which webhooks are sent: to addresses that were checked, and read in bounds.

A name is resolved once for each connection, all its addresses must be allowed, and the connection
is made to one of them, which is looked at again where it is made: so a name that leads elsewhere a
moment later (DNS rebinding) gains nothing.
"""

import asyncio
import socket
import ssl
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from storecredit.outbound.addresses import Resolver, is_public

KEEP_ALIVE_SECONDS: Final = 1.5
"""How long an idle connection is kept: shorter than servers keep theirs, or a request meets a
closed one. gunicorn keeps 2 s (keepalive), Node.js 5 s (server.keepAliveTimeout), uvicorn 5 s
(timeout_keep_alive), nginx 75 s (keepalive_timeout): as their documentation said in 2026."""
RECEIVED_MAX_BYTES: Final = 512 * 1024
"""Of all that comes after a request: heads, framing and content. Several times what is read of the
content, because a connection is read ahead of that."""


class AddressRefused(Exception):
    """The name leads to an address that may not be connected to."""


class Checked(AbstractResolver):
    """Resolves names to addresses, and makes sockets, both for allowed addresses only."""

    def __init__(self, resolve: Resolver, *, allow_private_hosts: bool) -> None:
        self._resolve = resolve
        self._allow_private_hosts = allow_private_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As `AbstractResolver` has it. Raises AddressRefused, or `socket.gaierror`."""
        assert family is socket.AF_UNSPEC, "no connector of ours asks for one family"
        addresses = await self._resolve(host, port)
        if not all(self._is_allowed(address) for address in addresses):
            raise AddressRefused
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for a connection to this very address. Raises AddressRefused."""
        family, kind, protocol, _name, address = info
        if not self._is_allowed(address[0]):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    def _is_allowed(self, address: str) -> bool:
        return self._allow_private_hosts or is_public(ip_address(address))


def keeping_connector(checked: Checked, context: ssl.SSLContext) -> aiohttp.TCPConnector:
    """Keeps connections that are idle, for a moment. Made where an event loop runs."""
    return _Connector(checked, context, keepalive_timeout=KEEP_ALIVE_SECONDS)


def closing_connector(checked: Checked, context: ssl.SSLContext) -> aiohttp.TCPConnector:
    """Makes a connection for each request, says so, and closes it whatever the server does.

    (RFC 9112, section 9.6: who sends "close" sends no further request on that connection. A
    keeping connector would, until the server closes it, whatever the request said: aiohttp 3.14.)
    """
    return _Connector(checked, context, force_close=True)


class _Connector(aiohttp.TCPConnector):
    def __init__(self, checked: Checked, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(
            resolver=checked,
            use_dns_cache=False,
            ssl=context,
            # How many there are at a time is the caller's to say.
            limit=0,
            socket_factory=checked.socket,
            **options,
        )
        bounded = partial(BoundedAnswers, loop=asyncio.get_running_loop())
        self._factory = cast("partial[ResponseHandler]", bounded)


class BoundedAnswers(ResponseHandler):
    """Ends a connection over which more comes than any answer needs.

    The client bounds the parts of an answer, and not all of it together (aiohttp 3.14).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.received = 0

    def set_response_params(self, **params: Any) -> None:
        """A request is sent; what comes from now on is its answer."""
        self.received = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol` has it."""
        self.received += len(data)
        if self.received <= RECEIVED_MAX_BYTES:
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()
