"""Which URL may be an endpoint's; the same addresses are refused as for images."""

from storecredit.generation.image_errors import ImageRefused
from storecredit.generation.image_sources import check_web_url
from storecredit.webhooks.endpoints import URL_LENGTH_MAX


def url_refusal(url: str, *, allow_private_hosts: bool) -> str | None:
    """Why nothing is sent to `url`, as a sentence that does not repeat it; None: it may be.

    No name is looked up: each delivery looks at what addresses it stands for then.
    """
    if not url.lower().startswith("https://"):
        if not allow_private_hosts:
            return "This is no https URL."
        if not url.lower().startswith("http://"):
            return "This is no https or http URL."
    if len(url) > URL_LENGTH_MAX:
        return f"This URL is longer than {URL_LENGTH_MAX:,} characters."
    try:
        check_web_url(url, allow_private_hosts=allow_private_hosts)
    except ImageRefused as refused:
        return f"This {refused}"
    return None
