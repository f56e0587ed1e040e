"""The statements of a file of SQL that make functions, and where their bodies are."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.mutants.sql_tokens import Kind, Token, inner, is_in_dollars, tokens

_MAKES = ["create", "or", "replace", "function"]


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its name, the statement that makes it, and the place of its body in that."""

    name: str
    text: str
    body: tuple[int, int]
    line: int
    """Of the file, where the statement begins."""

    def line_at(self, place: int) -> int:
        """Of the file, by a place in the statement."""
        return self.line + self.text.count("\n", 0, place)


def functions(text: str) -> Iterator[Function]:
    """All that a file makes, in order."""
    for statement in _statements(text):
        if [token.word for token in statement[:4]] == _MAKES:
            body = next(token for token in statement if is_in_dollars(token))
            begin, end = inner(body)
            start, stop = statement[0].begin, statement[-1].end
            yield Function(
                name=statement[4].text,
                text=text[start:stop],
                body=(begin - start, end - start),
                line=1 + text.count("\n", 0, start),
            )


def _statements(text: str) -> Iterator[list[Token]]:
    statement: list[Token] = []
    for token in tokens(text):
        if token.kind is Kind.SIGN and token.text == ";":
            if statement:
                yield statement
            statement = []
        else:
            statement.append(token)
