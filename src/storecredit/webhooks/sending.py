"""Sends one delivery to its URL, without trusting whoever answers.

Hides the HTTP client. Promises that every connection goes to an address that was checked as it was
made: a name is resolved once, all its addresses must be allowed, and the connection is made to one
of them, so a name that leads elsewhere a moment later (DNS rebinding) gains nothing. A redirect is
an answer like any other and is not followed. Time and size are limited; proxies, `.netrc` and
cookies are not used. No message here contains the URL it speaks of.
"""

import asyncio
import socket
import ssl
import time
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from storecredit.outbound.addresses import Resolver, is_public
from storecredit.outbound.web_urls import UrlRefused, check_web_url
from storecredit.webhooks.answers import Answer
from storecredit.webhooks.deliveries import Delivery
from storecredit.webhooks.messages import body_of
from storecredit.webhooks.schedule import retry_after
from storecredit.webhooks.signing import headers_of

ANSWER_MAX_BYTES: Final = 64 * 1024
"""What is read of an answer; one that is longer is cut off, and counts by its status."""
KEPT_BYTES: Final = 500
"""What is kept of it."""
KEEP_ALIVE_SECONDS: Final = 1.5
"""How long an idle connection is kept: shorter than servers keep theirs, or a request meets a
closed one. gunicorn keeps 2 s (keepalive), Node.js 5 s (server.keepAliveTimeout), uvicorn 5 s
(timeout_keep_alive), nginx 75 s (keepalive_timeout): as their documentation said in 2026."""


class AddressRefused(Exception):
    """The name leads to an address that may not be connected to."""


class Sender:
    """Sends deliveries, many at a time. Made where an event loop runs; `close()` at the end."""

    def __init__(
        self,
        resolve: Resolver,
        *,
        timeout_seconds: float,
        allow_private_hosts: bool,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout_seconds` is for one attempt as a whole.

        `trust`: whose certificates are believed; None: those that all requests of ours believe.
        """
        self._timeout_seconds = timeout_seconds
        self._allow_private_hosts = allow_private_hosts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(resolve, allow_private_hosts),
                use_dns_cache=False,
                ssl=trust or httpx.create_ssl_context(),
                # How many there are at a time is the caller's to say.
                limit=0,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                socket_factory=self._socket,
            ),
            # One attempt has one limit, which is kept here.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, delivery: Delivery, *, keep_connection: bool) -> Answer:
        """One attempt, within the time limit. Raises nothing for what the receiver does.

        `keep_connection`: whether another delivery is soon to go the same way.
        """
        attempt = _Attempt()
        try:
            check_web_url(delivery.url, allow_private_hosts=self._allow_private_hosts)
            async with asyncio.timeout(self._timeout_seconds):
                await self._post(attempt, delivery, keep_connection=keep_connection)
        except UrlRefused as refused:
            return attempt.failed(f"The URL {refused}")
        except AddressRefused:
            return attempt.failed("The URL points to a private or local address.")
        except TimeoutError:
            limit = f"{self._timeout_seconds:g} s"
            return attempt.failed(f"It did not answer, or not to the end, within {limit}.")
        except (aiohttp.ClientError, ValueError) as error:
            return attempt.failed(_reason(error))
        return attempt.ended()

    async def _post(
        self, attempt: "_Attempt", delivery: Delivery, *, keep_connection: bool
    ) -> None:
        event = delivery.event
        body = body_of(event)
        headers = headers_of(event.event_id, body, delivery.secrets, attempt.attempted_at)
        async with self._session.post(
            # As it was registered, to the letter; what HTTP cannot carry is encoded.
            URL(delivery.url, encoded=delivery.url.isascii()),
            data=body.encode(),
            headers=headers if keep_connection else {**headers, "Connection": "close"},
            allow_redirects=False,
        ) as response:
            attempt.status_code = response.status
            attempt.retry_after = response.headers.get("Retry-After")
            while len(attempt.content) < ANSWER_MAX_BYTES:
                chunk = await response.content.readany()
                if not chunk:
                    return
                attempt.content += chunk
            response.close()

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for a connection to this very address, which is what is checked."""
        family, kind, protocol, _name, address = info
        if not self._allow_private_hosts and not is_public(ip_address(address[0])):
            raise AddressRefused
        return socket.socket(family, kind, protocol)


class _Attempt:
    """One attempt, as far as it has come."""

    def __init__(self) -> None:
        self.attempted_at = datetime.now(UTC)
        self.began_at = time.monotonic()
        self.status_code: int | None = None
        self.retry_after: str | None = None
        self.content = bytearray()

    def ended(self) -> Answer:
        """It was answered; the status says how."""
        return self._answer(None)

    def failed(self, error: str) -> Answer:
        """It was not answered, or not to the end."""
        return self._answer(error)

    def _answer(self, error: str | None) -> Answer:
        text = bytes(self.content[:KEPT_BYTES]).decode(errors="replace")
        return Answer(
            attempted_at=self.attempted_at,
            milliseconds=round((time.monotonic() - self.began_at) * 1000),
            status_code=self.status_code,
            error=error,
            # PostgreSQL's text knows no U+0000.
            kept=text.replace("\0", "\ufffd") if self.status_code is not None else None,
            asked_seconds=retry_after(self.retry_after, datetime.now(UTC)),
        )


class _CheckedResolver(AbstractResolver):
    """Resolves a name to addresses all of which may be connected to."""

    def __init__(self, resolve: Resolver, allow_private_hosts: bool) -> None:  # noqa: FBT001 - a setting
        self._resolve = resolve
        self._allow_private_hosts = allow_private_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As `AbstractResolver` has it. Raises AddressRefused, or `socket.gaierror`."""
        assert family is socket.AF_UNSPEC, "no connector of ours asks for one family"
        addresses = await self._resolve(host, port)
        public = all(is_public(ip_address(address)) for address in addresses)
        if not public and not self._allow_private_hosts:
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


def _reason(error: aiohttp.ClientError | ValueError) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "The host name does not resolve."
        case aiohttp.ClientConnectorCertificateError():
            return "The certificate is not valid for the host, or nobody known vouches for it."
        case aiohttp.ClientSSLError():
            return "No connection by TLS could be made."
        case aiohttp.ClientConnectorError():
            return "It could not be connected to."
        case aiohttp.ClientResponseError():
            return "What it answered is not HTTP."
        case aiohttp.InvalidURL() | ValueError():
            return "The URL has no valid host and port."
        case _:
            return "The connection broke."
