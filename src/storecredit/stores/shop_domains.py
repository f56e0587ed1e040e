"""The domain of a store's shop, as people give it: typed, or copied from a browser's address."""

import re
from typing import Final

SHOP_DOMAIN_LENGTH_MAX: Final = 253
"""RFC 1035 §2.3.4, in text form."""
NO_DOMAIN: Final = "write the shop's domain alone, such as `hats.example`"

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)
_AFTER_HOST: Final = re.compile(r"(?::[0-9]{1,5})?(?:[/?#].*)?", re.DOTALL)
_HOST: Final = re.compile(r"[^\x00-\x20\x7f#%/:<>?@\[\\\]^|\s]+")
"""Without what no domain has in it: the forbidden domain code points of the URL standard
(https://url.spec.whatwg.org/#forbidden-domain-code-point), and white space of any kind."""


def normalise_shop_domain(text: str) -> str | None:
    """The domain that is meant, or None for what is none.

    Of an address only the host is kept: neither its scheme nor a port or a path. A domain is kept
    as it is written, in any script and case; a name without a dot is one, too.
    """
    text = text.strip()
    text = text[scheme.end() :] if (scheme := _SCHEME.match(text)) else text
    found = _HOST.match(text)
    if found is None or not _AFTER_HOST.fullmatch(text, found.end()):
        return None
    domain = found[0].removesuffix(".")
    return domain if all(domain.split(".")) else None
