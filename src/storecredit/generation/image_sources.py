"""Where an input image may come from: acceptable URLs, the limits of a fetch.

Promises that no message here contains the URL it speaks of.

The door calls `refusal`, which is cheap and looks nothing up; `image_download.py` asks the rest
before each hop. What they raise is in `image_errors.py`.
"""

import re
from dataclasses import dataclass

from storecredit.generation.image_errors import ImageRefused
from storecredit.generation.image_forms import decode_data_url, is_data_url
from storecredit.outbound import web_urls
from storecredit.outbound.web_urls import URL_MAX_CHARACTERS, UrlRefused

REDIRECTS_MAX = 3


def refusal(url: str, *, allow_private_hosts: bool, max_bytes: int) -> str | None:
    """Why `url` is not acceptable as an image URL, as a predicate; None: it is.

    No name is looked up: the download checks the addresses a name resolves to. A `data:` URL is
    decoded: at most `max_bytes`, and of a type that can be read.
    """
    if len(url) <= URL_MAX_CHARACTERS and _PLAIN_URL.fullmatch(url):
        return None
    try:
        if is_data_url(url):
            decode_data_url(url, max_bytes)
        else:
            check_web_url(url, allow_private_hosts=allow_private_hosts)
    except ImageRefused as refused:
        return str(refused)
    return None


_PLAIN_URL = re.compile(
    r"https?://"
    r"(?=[^/]{1,253}(/|\Z))([a-z0-9-]{1,63}\.)+"
    r"(?!localhost)[a-z][a-z0-9-]{0,62}"
    r"(/[!-\[\]-~]*)?"
)
"""What nearly every URL looks like; passes, for a tenth of the price, what the full check passes.

A host name of several labels in small letters, then a path of ASCII without space and backslash;
no port, no user. Its last label begins with a letter, as in no form of an address, however odd.
"""


def check_web_url(url: str, *, allow_private_hosts: bool) -> None:
    """Raise `ImageRefused` unless `url` is an acceptable http or https URL; looks nothing up."""
    if not url.lower().startswith(("https://", "http://")):
        raise ImageRefused("is not an https, http or data: URL.")
    try:
        web_urls.check_web_url(url, allow_private_hosts=allow_private_hosts)
    except UrlRefused as refused:
        raise ImageRefused(str(refused)) from None


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may cost and where it may go.

    `timeout_seconds` is for all hops together. `trusted_host` may be private in any case.
    """

    max_bytes: int
    timeout_seconds: float
    allow_private_hosts: bool
    max_redirects: int
    trusted_host: str | None
