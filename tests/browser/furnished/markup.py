"""What stands in a page's HTML, as a browser reads it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

NEEDED: Final = frozenset({"csrf", "form_id"})


@dataclass(frozen=True, slots=True)
class SeenForm:
    """A form of a page: where it leads, and what stands in its fields, seen and hidden."""

    method: str
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


class Markup(HTMLParser):
    """The text of a page, and everything in it that no page of ours may have."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.texts: list[str] = []
        self.values: list[str] = []
        self._ids: set[str] = set()
        self.links: list[str] = []
        self.forms: list[SeenForm] = []
        self._form: SeenForm | None = None
        self.feed(html)
        self.close()

    @property
    def shown(self) -> str:
        """All text, with that in fields and what is told when something is pointed at."""
        return "\n".join([*self.texts, *self.values])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.values += given.values()
        self._look_at(tag, given)
        self._look_at_form(tag, given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
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
        if tag == "form":
            method = given.get("method", "get").upper()
            self._form = SeenForm(method, given.get("action", ""))
            self.forms.append(self._form)
        elif tag in {"input", "select", "textarea"} and self._form is not None:
            name, value = given.get("name", ""), given.get("value", "")
            is_hidden = given.get("type") == "hidden"
            (self._form.hidden if is_hidden else self._form.fields)[name] = value

    def close(self) -> None:
        super().close()
        for form in self.forms:
            if form.method == "POST":
                missing = sorted(NEEDED - form.hidden.keys())
                self.faults += [f"the form of {form.action} has no {name}" for name in missing]


def _leads_away(address: str) -> bool:
    """Whether it is somewhere else than here; a page's pictures may be in it."""
    lowered = address.strip().lower()
    return lowered.startswith(("//", "javascript:", "vbscript:")) or (
        ":" in lowered.partition("/")[0] and not lowered.startswith("data:,")
    )
