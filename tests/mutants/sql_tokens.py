"""SQL and PL/pgSQL in tokens: enough of PostgreSQL's lexical rules to know text from code.

Strings (standard ones and E''), quoted names, comments (those in /* */ nest) and texts in dollar
quotes are one token each. https://www.postgresql.org/docs/18/sql-syntax-lexical.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a token is."""

    BLANK = "blank"
    STRING = "string"
    QUOTED = "quoted"
    NUMBER = "number"
    PARAMETER = "parameter"
    WORD = "word"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, and where in it it begins and ends. Words in small letters in `word`."""

    kind: Kind
    text: str
    begin: int
    end: int

    @property
    def word(self) -> str:
        """What to compare with: of a word its small letters, of a sign itself, else nothing."""
        if self.kind is Kind.WORD:
            return self.text.lower()
        return self.text if self.kind is Kind.SIGN else ""


_PATTERN: Final = re.compile(
    r"""(?P<blank>\s+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
      | (?P<parameter>\$\d+)
      | (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|<>|!=|:=|=>|\|\||::|\.\.|->>|->|@>|<@|&&|.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str, begin: int = 0, end: int | None = None) -> list[Token]:
    """What stands between two places of a text, without blanks and comments."""
    return [
        token
        for token in _all(text, begin, len(text) if end is None else end)
        if token.kind is not Kind.BLANK
    ]


def inner(token: Token) -> tuple[int, int]:
    """Where in the text that which stands in dollar quotes begins and ends."""
    mark = token.text.index("$", 1) + 1
    return token.begin + mark, token.end - mark


def is_in_dollars(token: Token) -> bool:
    """Whether it is a text in dollar quotes."""
    return token.kind is Kind.STRING and token.text.startswith("$")


def _all(text: str, place: int, end: int) -> Iterator[Token]:
    while place < end:
        found = _PATTERN.match(text, place, end)
        assert found is not None, "the last alternative takes any character"
        name, until = str(found.lastgroup), found.end()
        if name == "comment":
            until, name = _end_of_comment(text, until, end), "blank"
        elif name == "dollar":
            closing = text.find(found[0], until, end)
            until, name = (end if closing < 0 else closing + len(found[0])), "string"
        yield Token(Kind(name), text[place:until], place, until)
        place = until


def _end_of_comment(text: str, place: int, end: int) -> int:
    depth = 1
    for found in re.compile(r"/\*|\*/").finditer(text, place, end):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return end
