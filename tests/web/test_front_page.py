"""`/`: what whoever opens the address in a browser sees."""

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser

import httpx


class Page(HTMLParser):
    """Where a page's links lead, its headings, and which elements are open when it ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "link"}:
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_it_is_a_page_whose_links_lead_somewhere(api: httpx.AsyncClient) -> None:
    answer = await api.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.open == []
    assert page.seen.count("h1") == 1
    assert len(page.links) == 7
    for link in page.links:
        assert (await api.get(link, follow_redirects=True)).status_code == 200, link
    head = await api.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert (await api.post("/")).status_code == 405


async def test_its_policy_allows_its_own_style_and_nothing_else(api: httpx.AsyncClient) -> None:
    answer = await api.get("/")
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "script" not in answer.text
    assert not re.search(r"""(src|href)=["']?https?:""", answer.text)
