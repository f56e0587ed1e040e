"""Which http and https URLs may be asked, as far as that can be said without looking a name up.

For URLs that somebody else gave us: of images, of receivers of webhooks. Promises that no message
here contains the URL it speaks of. Whoever connects checks the addresses, too: `addresses.py`.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from storecredit.outbound.addresses import Address, aton, is_public

URL_MAX_CHARACTERS = 8192
"""Of an http or https URL: signed ones with a session's token come to some thousand."""


class UrlRefused(Exception):
    """It will never be asked; the message is a predicate ("points to …"), safe to show."""


def check_web_url(url: str, *, allow_private_hosts: bool) -> None:
    """Raise `UrlRefused` unless `url` is an acceptable http or https URL; looks nothing up."""
    if not url.lower().startswith(("https://", "http://")):
        raise UrlRefused("is not an https or http URL.")
    if len(url) > URL_MAX_CHARACTERS:
        raise UrlRefused(f"has a URL longer than {URL_MAX_CHARACTERS:,} characters.")
    # Parsers disagree about these, and a disagreement is how a check is slipped by.
    if "\\" in url or " " in url or not url.isprintable():
        raise UrlRefused("has a URL with a space, a backslash or a control character.")
    host, port, has_user = _authority(url)
    if host is None or port == 0:
        raise UrlRefused("has a URL without a valid host and port.")
    if has_user:
        raise UrlRefused("has a URL with a user name or password.")
    if not allow_private_hosts and _is_local(host):
        raise UrlRefused("points to a private or local address.")


def _authority(url: str) -> tuple[str | None, int | None, bool]:
    """Host (None: it is not valid), port (None: the scheme's own), and whether a user is named."""
    try:
        parts = urlsplit(url)
        return _ascii_host(parts.hostname or ""), parts.port, "@" in parts.netloc
    except ValueError:
        return None, None, False


_HOST_NAME = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)


def _ascii_host(host: str) -> str | None:
    """The host as ASCII without its closing dot, or None if it is neither name nor address."""
    if ":" in host:
        return host if "%" not in host and _parsed_address(host) is not None else None
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        return None
    return name if _HOST_NAME.fullmatch(name) else None


def _is_local(host: str) -> bool:
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    address = _parsed_address(host)
    return address is not None and not is_public(address)


def _parsed_address(host: str) -> Address | None:
    """The address a literal host stands for, also in the odd forms that resolvers understand."""
    try:
        return aton(host) or ip_address(host)
    except ValueError:
        return None
