"""What a page of the console says, read from its HTML."""

import re
from html import unescape

_ROW = re.compile(r"<tr[^>]*>(.*?)</tr>", re.DOTALL)
_DETAILS = re.compile(r"<details.*?</details>", re.DOTALL)
_CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL)


def text_of(html: str) -> str:
    """The text of a piece of a page, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def cells(page: str) -> list[list[str]]:
    """The texts of a page's first table, without its headings and what opens when asked for."""
    body = _DETAILS.sub("", page.partition("<tbody")[2].partition("</tbody>")[0])
    return [[text_of(cell) for cell in _CELL.findall(row)] for row in _ROW.findall(body)]


def next_page(page: str) -> str:
    """The address of the page of a list that comes after this one."""
    [address] = re.findall(r'<a rel="next" href="([^"]*)"', page)
    return unescape(address)
