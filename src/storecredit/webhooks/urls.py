"""Which URL may be an endpoint's; the same addresses are refused as for images."""

from storecredit.outbound.web_urls import UrlRefused, check_web_url
from storecredit.webhooks.endpoints import URL_LENGTH_MAX


def url_refusal(url: str, *, allow_private_hosts: bool) -> str | None:
    """Why nothing is sent to `url`, as a sentence that does not repeat it; None: it may be.

    No name is looked up: each delivery looks at what addresses it stands for then.
    """
    if not allow_private_hosts and not url.lower().startswith("https://"):
        return "The endpoint needs an https URL."
    if len(url) > URL_LENGTH_MAX:
        return f"The endpoint has a URL longer than {URL_LENGTH_MAX:,} characters."
    try:
        check_web_url(url, allow_private_hosts=allow_private_hosts)
    except UrlRefused as refused:
        return f"The endpoint {refused}"
    return None
