"""Sends one delivery to its URL, without trusting whoever answers.

Hides the HTTP client. Promises that every connection goes to an address that was checked as it was
made (`connections.py`). A redirect is an answer like any other and is not followed. Time and size
are limited; proxies, `.netrc` and cookies are not used. No message here contains the URL it speaks
of.
"""

import asyncio
import ssl
import time
from datetime import UTC, datetime
from typing import Final

import aiohttp
import httpx
from yarl import URL

from storecredit.outbound.addresses import Resolver
from storecredit.outbound.web_urls import UrlRefused, check_web_url
from storecredit.webhooks.answers import Answer
from storecredit.webhooks.connections import (
    AddressRefused,
    Checked,
    closing_connector,
    keeping_connector,
)
from storecredit.webhooks.deliveries import Delivery
from storecredit.webhooks.messages import body_of
from storecredit.webhooks.schedule import retry_after
from storecredit.webhooks.signing import headers_of

ANSWER_MAX_BYTES: Final = 64 * 1024
"""What is read of an answer; one that is longer is cut off, and counts by its status."""
KEPT_BYTES: Final = 500
"""What is kept of it."""


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
        checked = Checked(resolve, allow_private_hosts=allow_private_hosts)
        context = trust or httpx.create_ssl_context()
        self._keeping = _session(keeping_connector(checked, context))
        self._closing = _session(closing_connector(checked, context))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._keeping.close(), self._closing.close())

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
        session = self._keeping if keep_connection else self._closing
        async with session.post(
            # As it was registered, to the letter; what HTTP cannot carry is encoded.
            URL(delivery.url, encoded=delivery.url.isascii()),
            data=body.encode(),
            headers=headers,
            allow_redirects=False,
        ) as response:
            attempt.status_code = response.status
            attempt.retry_after = response.headers.get("Retry-After")
            read = 0
            while read < ANSWER_MAX_BYTES:
                chunk = await response.content.readany()
                if not chunk:
                    return
                read += len(chunk)
                attempt.keep(chunk)
            response.close()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        # One attempt has one limit, which is kept here.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class _Attempt:
    """One attempt, as far as it has come."""

    def __init__(self) -> None:
        self.attempted_at = datetime.now(UTC)
        self.began_at = time.monotonic()
        self.status_code: int | None = None
        self.retry_after: str | None = None
        self._kept = b""

    def keep(self, content: bytes) -> None:
        """More of the answer has come; of a thousand at a time the beginning is kept alone."""
        self._kept += content[: KEPT_BYTES - len(self._kept)]

    def ended(self) -> Answer:
        """It was answered; the status says how."""
        return self._answer(None)

    def failed(self, error: str) -> Answer:
        """It was not answered, or not to the end."""
        return self._answer(error)

    def _answer(self, error: str | None) -> Answer:
        text = self._kept.decode(errors="replace")
        return Answer(
            attempted_at=self.attempted_at,
            milliseconds=round((time.monotonic() - self.began_at) * 1000),
            status_code=self.status_code,
            error=error,
            # PostgreSQL's text knows no U+0000.
            kept=text.replace("\0", "\ufffd") if self.status_code is not None else None,
            asked_seconds=retry_after(self.retry_after, datetime.now(UTC)),
        )


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
