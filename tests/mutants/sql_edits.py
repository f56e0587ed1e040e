"""What can be said otherwise in the body of a function: every edit of every sort, made by rule.

An edit takes one thing away or puts its neighbour in its place. Whether the outcome is SQL is for
the server to say, and whether anybody notices for the tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.mutants.sql_structure import Body
from tests.mutants.sql_tokens import Kind


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` in the place of what stands from `begin` to `end`; `sort` says what it is about."""

    sort: str
    begin: int
    end: int
    text: str


_SWAPS: Final = {
    "<": ("bound", "<="),
    "<=": ("bound", "<"),
    ">": ("bound", ">="),
    ">=": ("bound", ">"),
    "<>": ("comparison", "="),
    "and": ("and or", "OR"),
    "or": ("and or", "AND"),
    "greatest": ("extreme", "least"),
    "least": ("extreme", "greatest"),
    "min": ("extreme", "max"),
    "max": ("extreme", "min"),
    "true": ("truth", "false"),
    "false": ("truth", "true"),
}
_CLOCKS: Final = {
    "now": "clock_timestamp",
    "clock_timestamp": "now",
    "statement_timestamp": "now",
}
_SIGNS: Final = {"+": "-", "-": "+", "*": "+", "/": "*"}
_DROPPED_STATEMENTS: Final = {
    "perform": "call",
    "raise": "raise",
    "return": "return",
    "continue": "return",
    "exit": "return",
    "insert": "write",
    "update": "write",
    "delete": "write",
}


def edits(text: str, begin: int, end: int) -> Iterator[Edit]:
    """Every edit of the body that stands there, in order of their places by sort."""
    body = Body.of(text, begin, end)
    worded = [*_wordings(body)]
    for rule in _RULES:
        for edit in rule(body):
            if not any(first < edit.begin and edit.end <= last for first, last in worded):
                yield edit


def _wordings(body: Body) -> Iterator[tuple[int, int]]:
    """Where it is only said how an error is worded: callers go by its code."""
    for n, token in enumerate(body.tokens):
        if token.word == "raise_credit_error" and body.word(n + 1) == "(":
            yield token.begin, body.tokens[body.closing(n + 1)].begin


def _swapped(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if token.word in _SWAPS and not body.is_betweens(n):
            sort, text = _SWAPS[token.word]
            yield Edit(sort, token.begin, token.end, text)
        elif token.word == "=" and body.is_comparison(n):
            yield Edit("comparison", token.begin, token.end, "<>")
        elif token.word in _CLOCKS and body.word(n + 1) == "(":
            yield Edit("clock", token.begin, token.end, _CLOCKS[token.word])


def _arithmetic(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if token.word in _SIGNS and body.is_operand(n - 1) and body.begins_operand(n + 1):
            yield Edit("arithmetic", token.begin, token.end, _SIGNS[token.word])
        elif token.kind is Kind.NUMBER and token.text.isdigit() and body.is_value(n):
            yield Edit("number", token.begin, token.end, str(int(token.text) + 1))


def _locks(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        words = [body.word(n + k) for k in range(4)]
        if words[0] == "for" and words[1] in {"update", "share", "no", "key"}:
            last = n + {"no": 3, "key": 2}.get(words[1], 1)
            while body.word(last + 1) in {"of", "nowait", "skip"}:
                last += 1 if body.word(last + 1) == "nowait" else 2
            yield Edit("lock", token.begin, body.tokens[last].end, "")
        elif words[:2] == ["skip", "locked"] or words[0] == "nowait":
            yield Edit("lock", token.begin, body.tokens[n + (words[0] == "skip")].end, "")


def _conjuncts(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if token.word in {"and", "or"} and not body.is_betweens(n):
            left, right = body.begin_of_operand(n), body.end_of_operand(n)
            yield Edit("conjunct", token.begin, body.tokens[right].end, "")
            if body.word(left - 1) not in {"and", "or"} or body.is_betweens(left - 1):
                yield Edit("conjunct", body.tokens[left].begin, token.end, "")
        elif token.word == "where":
            last = body.end_of_clause(n)
            if last > n:
                yield Edit("where", token.begin, body.tokens[last].end, "")


def _guards(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if token.word in {"if", "elsif"} and body.is_statement(n):
            then = body.place_of("then", n)
            begin, end = body.tokens[n + 1].begin, body.tokens[then - 1].end
            yield Edit("guard", begin, end, "true")
            yield Edit("guard", begin, end, "false")
        elif token.word == "when" and body.is_searched(n):
            then = body.place_of("then", n)
            yield Edit("case", body.tokens[n + 1].begin, body.tokens[then - 1].end, "false")


def _statements(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if not body.is_statement(n):
            continue
        last = body.place_of(";", n)
        if token.word in _DROPPED_STATEMENTS:
            sort = _DROPPED_STATEMENTS[token.word]
            yield Edit(sort, token.begin, body.tokens[last].begin, "NULL")
        elif body.is_assignment(n):
            yield Edit("assignment", token.begin, body.tokens[last].begin, "NULL")


def _clauses(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        words = (token.word, body.word(n + 1))
        if words == ("order", "by") or words[0] == "limit" or words == ("on", "conflict"):
            last = body.end_of_clause(n)
            yield Edit(
                words[0] if words[0] != "on" else "conflict", token.begin, body.tokens[last].end, ""
            )
        elif words[0] in {"desc", "distinct"} and body.word(n - 1) != "is" and words[1] != "from":
            yield Edit("order" if words[0] == "desc" else "distinct", token.begin, token.end, "")
        elif words == ("left", "join"):
            yield Edit("join", token.begin, token.end, "")
        elif words == ("union", "all"):
            yield Edit("union", body.tokens[n + 1].begin, body.tokens[n + 1].end, "")


def _negations(body: Body) -> Iterator[Edit]:
    for n, token in enumerate(body.tokens):
        if token.word == "not":
            yield Edit("negation", token.begin, token.end, "")
        elif token.word == "is" and body.word(n + 1) in {"null", "distinct"}:
            yield Edit("negation", token.end, token.end, " NOT")
        elif token.word == "coalesce" and body.word(n + 1) == "(":
            comma = body.place_of(",", n + 2)
            closing = body.closing(n + 1)
            first = body.text[body.tokens[n + 2].begin : body.tokens[comma].begin]
            yield Edit("coalesce", token.begin, body.tokens[closing].end, f"({first})")


_RULES: Final[tuple[Callable[[Body], Iterator[Edit]], ...]] = (
    _locks,
    _statements,
    _guards,
    _conjuncts,
    _clauses,
    _swapped,
    _negations,
    _arithmetic,
)
