"""What no template, style or script of the pages may say, whatever is shown by it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from storecredit.operator.sign_ins import Door
from storecredit.web.pages import rendering
from storecredit.web.pages.rendering import _environment as environment_of

WEB = Path(rendering.__file__).parent.parent
TEMPLATES = sorted(WEB.glob("*/templates/*"))
ASSETS = sorted(WEB.glob("*/assets/*"))
STATEMENT = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
ESCAPED = re.compile(r"\{% autoescape true %\}((?!autoescape).)*\{% endautoescape %\}", re.DOTALL)
UNESCAPED = re.compile(
    r"\{% autoescape false %\}((?:(?!autoescape).)*)\{% endautoescape %\}", re.DOTALL
)
SHOWN = re.compile(r"\{\{ *(.*?) *\}\}")
OF_A_DRAWING = re.compile(
    r"(slot|box)\.(x|y|width|height|end|series)|y|zero|path|path\[1:\]\.split\(\" \"\)\[0\]"
    r'|"zero" if y == zero else "grid"|loop\.index0|(chart\.series\[[a-z0.]+\]|series)\.tone\.value'
    r"|chart\.name"
)
"""Numbers, and words that stand in our code or are looked at when a chart is made."""
UNSAFE = re.compile(r"\|\s*safe\b|autoescape|Markup")
OF_A_SCRIPT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    r"|\.style\b|setAttribute\(\s*[\"'`](?:style|on)|https?://"
)
OF_A_STYLE = re.compile(r"@import|url\(|expression\(|https?://")


FIELD = re.compile(r"forms\.\w+\(form, \"(\w+)\", \"([^\"]+)\"")
FAULTS = re.compile(r"forms\.faults\(form(?:, (\{.*?\}))?\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(WEB))


class Inline(HTMLParser):
    """Every script, style and handler that stands in the page itself, and each address elsewhere.

    Whatever the template fills in is left out, so an attribute is seen in whichever branch it is.
    """

    def __init__(self, template: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(STATEMENT.sub(" ", template))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        self.found += [f"<{tag} {name}>" for name in names if name.startswith(("style", "on"))]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag}>")
        self.found += [
            f"<{tag} {name}={value}>"
            for name, value in attrs
            if name in {"src", "href", "action"} and value and re.match(r"\s*(\w+:)?//", value)
        ]


def test_the_pages_are_found() -> None:
    assert len(TEMPLATES) > 20
    assert {path.suffix for path in ASSETS} == {".css", ".js"}


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_holds_no_script_and_no_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.suffix == ".html", "its name decides nothing, and yet is an HTML page's"
    assert Inline(text).found == []
    # A drawing is hundreds of numbers: that is left as it is, and what people read in it is not.
    for drawing in UNESCAPED.findall(text := ESCAPED.sub("", text)):
        assert [each for each in SHOWN.findall(drawing) if not OF_A_DRAWING.fullmatch(each)] == []
    text = UNESCAPED.sub("", text)
    # A constant that stands there may be safe; nothing that comes from elsewhere is.
    constants = re.sub(r"'[^'{}]*'\s*\|\s*safe\b", "", text)
    assert UNSAFE.findall(constants) == []


@pytest.mark.parametrize("door", ["console", "portal"])
def test_every_text_is_escaped_and_every_name_is_known(door: Door) -> None:
    environment = environment_of(door)
    assert environment.autoescape is True
    assert environment.undefined is jinja2.StrictUndefined
    shared = {path.name for path in WEB.glob("pages/templates/*")}
    own = {path.name for path in WEB.glob(f"{door}/templates/*")}
    for name in sorted(own | shared):
        environment.get_template(name)


@pytest.mark.parametrize("path", ASSETS, ids=name_of)
def test_an_asset_asks_nobody_and_makes_no_page_of_text(path: Path) -> None:
    pattern = OF_A_SCRIPT if path.suffix == ".js" else OF_A_STYLE
    assert pattern.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "<p style='color: red'>",
        "<p {% if wide %}style='width: 9px'{% endif %}>",
        "<a href='/' onclick='go()'>",
        "<script>1</script>",
        "<style>p {}</style>",
        "<img src='https://elsewhere.example/a.png'>",
        "<img src='//elsewhere.example/a.png'>",
    ],
)
def test_what_no_template_holds_would_be_found(planted: str) -> None:
    assert len(Inline(f"<main>{planted}</main>").found) == 1
    assert (
        Inline("<script src='{{ asset(\"pages.js\") }}' defer></script><p class='on'>").found == []
    )


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.suffix == ".html"], ids=name_of
)
def test_what_is_wrong_is_told_by_the_label_that_stands_at_the_field(path: Path) -> None:
    text = path.read_text()
    for labels in FAULTS.findall(text):
        told = json.loads(labels or "{}")
        for name, label in FIELD.findall(text):
            assert label.startswith(told.get(name, name.replace("_", " ").capitalize())), name
