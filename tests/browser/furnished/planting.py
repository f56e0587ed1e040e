"""Texts that would do something, were one shown as anything but text; each tells where it is from.

Harmless where they do: one sets a variable of the page, and asks for a picture that is not there.
"""

from typing import Final

from playwright.async_api import Page

FIELDS: Final = (
    *("store", "domain", "key", "token", "endpoint", "receiver", "generator"),
    *("metadata name", "metadata value", "spend", "hold", "grant", "removal", "transfer", "reason"),
    *("set aside", "event kind", "event customer"),
)
"""Whose text some page shows. Prompts are shown on none: they are kept no longer than needed."""
ENDING: Final = "</title></textarea><img src=/planted onerror=planted=1>"


def planted(field: str) -> str:
    """Such a text: it leaves attributes, titles and fields of text, where it can."""
    return f"""{field}'">{ENDING}"""


async def assert_nothing_grew(page: Page) -> None:
    """That none of them became more than text on the page."""
    grown = await page.evaluate(
        "() => [typeof planted, document.querySelectorAll('[src*=planted], [onerror]').length]"
    )
    assert grown == ["undefined", 0], page.url
