"""What stands in a page's HTML, as a browser reads it."""

from html.parser import HTMLParser
from typing import Final

NEEDED: Final = frozenset({"csrf", "form_id"})


class Markup(HTMLParser):
    """The text of a page, and everything in it that no page of ours may have."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.texts: list[str] = []
        self.values: list[str] = []
        self._ids: set[str] = set()
        self._form: set[str] | None = None
        self.feed(html)

    @property
    def shown(self) -> str:
        """All text, with that in fields and what is told when something is pointed at."""
        return "\n".join([*self.texts, *self.values])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.values += given.values()
        self._look_at(tag, given)
        self._look_at_form(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._form is not None:
            self.faults += [f"a form without {name}" for name in sorted(NEEDED - self._form)]
            self._form = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def _look_at(self, tag: str, given: dict[str, str]) -> None:
        for name, value in given.items():
            if name == "style" or name.startswith("on"):
                self.faults.append(f"<{tag} {name}={value!r}>")
            if name in {"href", "src", "action", "formaction"} and _leads_away(value):
                self.faults.append(f"<{tag} {name}={value!r}> leads away")
        if tag in {"style", "base", "iframe", "object", "embed"}:
            self.faults.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/"):
            self.faults.append("a script in the page")
        if (own := given.get("id")) is not None:
            if own in self._ids:
                self.faults.append(f"two elements with the id {own!r}")
            self._ids.add(own)

    def _look_at_form(self, tag: str, given: dict[str, str]) -> None:
        if tag == "form" and given.get("method", "get").lower() == "post":
            self._form = set()
        elif tag == "input" and self._form is not None:
            self._form.add(given.get("name", ""))


def _leads_away(address: str) -> bool:
    """Whether it is somewhere else than here; a page's pictures may be in it."""
    lowered = address.strip().lower()
    return lowered.startswith(("//", "javascript:", "vbscript:")) or (
        ":" in lowered.partition("/")[0] and not lowered.startswith("data:,")
    )
