"""Downloads one image over HTTP, hop by hop, without trusting anybody on the way.

Hides redirects, name resolution and the HTTP client. Promises that every connection goes to an
address that was checked before: the name is resolved once per hop, all its addresses are
checked, and the connection is made to one of them, so a name that resolves differently a moment
later (DNS rebinding) gains nothing. Size and time are limited while the body arrives; proxies,
`.netrc` and cookies are not used. What a server says about the body is not believed where the body
itself can be asked; only a length over the limit is.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import aclosing
from http import HTTPStatus
from ipaddress import ip_address

import httpx

from storecredit import __version__
from storecredit.generation.content_coding import decoded_body
from storecredit.generation.image_containers import ends_whole
from storecredit.generation.image_errors import ImageRefused, ImageUnavailable, too_large
from storecredit.generation.image_forms import media_type_of
from storecredit.generation.image_sources import FetchLimits, check_web_url
from storecredit.outbound.addresses import Resolver, is_public

CONNECT_TIMEOUT_SECONDS = 5.0
ADDRESSES_TRIED_MAX = 4
CONNECTIONS_MAX = 100

_HEADERS = {
    "User-Agent": f"storecredit/{__version__}",
    # Some servers refuse who does not take everything.
    "Accept": "image/png, image/jpeg, image/webp, image/gif, image/avif, image/bmp, */*;q=0.1",
    "Accept-Encoding": "identity",
}
_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_SUCCESS = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
_TEMPORARY = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


class ImageDownload:
    """Downloads images, several at a time."""

    def __init__(self, limits: FetchLimits, resolve: Resolver) -> None:
        self._limits = limits
        self._resolve = resolve
        connect_seconds = min(limits.timeout_seconds, CONNECT_TIMEOUT_SECONDS)
        self._timeout = httpx.Timeout(limits.timeout_seconds, connect=connect_seconds).as_dict()
        # The transport, not the client around it: that one keeps cookies, reads the environment
        # and has its own opinion of redirects, even of those it does not follow.
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False,
            # No connection is used again: one that was opened for a name must not carry requests
            # for another name at the same address.
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
        )

    async def get(self, url: str) -> bytes:
        """The body at `url` after at most `max_redirects` redirects, all within the time limit.

        Raises `ImageRefused` or `ImageUnavailable`.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                return await self._follow(url)
        except (TimeoutError, httpx.TimeoutException):
            raise ImageUnavailable("did not arrive in time.") from None
        except httpx.TransportError:
            raise ImageUnavailable("did not arrive: the connection broke.") from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _follow(self, url: str) -> bytes:
        current = self._checked(url)
        for _ in range(self._limits.max_redirects + 1):
            answer = await self._ask(current)
            if isinstance(answer, bytes):
                return answer
            current = self._checked(str(answer))
        raise ImageRefused(f"is redirected more than {self._limits.max_redirects} times.")

    def _checked(self, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise ImageRefused("has a URL without a valid host and port.") from None
        check_web_url(url, allow_private_hosts=self._may_be_private(parsed.host))
        return parsed

    def _may_be_private(self, host: str) -> bool:
        return self._limits.allow_private_hosts or host == self._limits.trusted_host

    async def _ask(self, url: httpx.URL) -> bytes | httpx.URL:
        """One hop: the body, or where it redirects to."""
        for address in (await self._addresses(url))[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._ask_at(address, url)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # the next address of the same host may be up
        raise ImageUnavailable("could not be reached.")

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await self._resolve(url.raw_host.decode("ascii"), port)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise ImageUnavailable("has a host name that does not resolve now.") from None
            raise ImageRefused("has a host name that does not resolve.") from None
        except UnicodeError:
            raise ImageRefused("has a URL without a valid host and port.") from None
        public = all(is_public(ip_address(address)) for address in addresses)
        if not public and not self._may_be_private(url.host):
            raise ImageRefused("points to a private or local address.")
        return addresses

    async def _ask_at(self, address: str, url: httpx.URL) -> bytes | httpx.URL:
        """Ask the host of `url` at that very address; TLS still proves the host's name.

        https://www.python-httpx.org/advanced/extensions/ (sni_hostname)
        """
        name = url.raw_host.decode("ascii").removesuffix(".")
        request = httpx.Request(
            "GET",
            url.copy_with(host=address, fragment=None),
            headers={**_HEADERS, "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": name, "timeout": self._timeout},
        )
        async with aclosing(await self._transport.handle_async_request(request)) as response:
            if response.status_code in _REDIRECTS:
                return _redirect_target(response, url)
            _check_status(response.status_code)
            return await self._body(response)

    async def _body(self, response: httpx.Response) -> bytes:
        announced = response.headers.get("Content-Length", "0")
        if announced.isdecimal() and int(announced) > self._limits.max_bytes:
            raise too_large(self._limits.max_bytes)
        content = bytearray()
        try:
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > self._limits.max_bytes:
                    raise too_large(self._limits.max_bytes)
        except httpx.RemoteProtocolError:
            # It ended before the length that was announced, or without the last chunk.
            if not ends_whole(bytes(content)):
                raise
        return self._decoded(bytes(content), response.headers.get("Content-Encoding"))

    def _decoded(self, content: bytes, coding: str | None) -> bytes:
        if media_type_of(content) is not None:
            return content  # whatever else was said of it
        return decoded_body(content, coding, self._limits.max_bytes)


def _redirect_target(response: httpx.Response, url: httpx.URL) -> httpx.URL:
    try:
        return url.join(response.headers["Location"])
    except (KeyError, httpx.InvalidURL):
        raise ImageRefused("is redirected to no valid URL.") from None


def _check_status(status: int) -> None:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TEMPORARY:
        raise ImageUnavailable(f"could not be had: its server answered with status {status}.")
    if status not in _SUCCESS:
        raise ImageRefused(f"could not be had: its server answered with status {status}.")
