"""TypeScript, written: types as text."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import indent, wrap
from typing import Final

COLUMNS: Final = 85
"""Of a comment."""
INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Field:
    """A property of an object; `notes` are paragraphs on what its type cannot say."""

    name: str
    type: str
    notes: Sequence[str] = ()
    is_optional: bool = False

    def declared(self) -> str:
        """The property's lines."""
        mark = "?" if self.is_optional else ""
        return f"{commented(self.notes)}{self.name}{mark}: {self.type};\n"


def object_type(properties: Iterable[Field]) -> str:
    """The type of an object with these properties."""
    return f"{{\n{indent(''.join(each.declared() for each in properties), INDENT)}}}"


def union_type(values: Iterable[str]) -> str:
    """The type of one of these strings."""
    return " | ".join(f"'{value}'" for value in values)


def one_line(type_: str) -> str:
    """A type without its comments, for a table."""
    plain = re.sub(r"/\*\*.*?\*/", "", type_, flags=re.DOTALL)
    return " ".join(plain.split()).replace("; }", " }")


def sentence(text: str) -> str:
    """The text as a sentence of a comment."""
    return f"{text[:1].upper()}{text[1:]}."


def commented(paragraphs: Sequence[str]) -> str:
    """A comment in front of a declaration, which editors show (TSDoc)."""
    lines = [
        line
        for text in paragraphs
        for line in wrap(
            " ".join(text.split()), COLUMNS, subsequent_indent=INDENT * text.startswith("- ")
        )
    ]
    if len(lines) <= 1:
        return "".join(f"/** {line} */\n" for line in lines)
    return "".join(["/**\n", *(f" * {line}\n" for line in lines), " */\n"])
