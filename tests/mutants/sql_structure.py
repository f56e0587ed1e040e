"""What stands where in a body: how deep, in which clause, at whose side.

Not a parser: brackets and CASE … END nest, and within one nesting the words that open clauses end
what stood before them.
"""

from dataclasses import dataclass
from typing import Final, Self

from tests.mutants.sql_tokens import Kind, Token, tokens

_OPEN: Final = {"(": ")", "[": "]"}
_CLAUSES: Final = frozenset(
    ["where", "order", "group", "having", "limit", "offset", "for", "returning", "union", "except",
     "intersect", "window", "on", "join", "left", "right", "inner", "cross", "full", "into", "set",
     "select", "from", "then", "else", "when", "end", "loop", "do", "values", "using", ";", ",",
     "if", "elsif", "return", ":=", "as", "asc", "desc", "rows", "by", "with", "lateral", "=>"]
)  # fmt: skip
_NO_OPERANDS: Final = _CLAUSES | {
    "and", "or", "not", "in", "is", "null", "between", "like", "case", "perform", "raise", "begin",
    "distinct", "all", "any", "exists", "filter", "over", "partition", "default", "array", "row",
    "interval", "int", "bigint", "text", "delete", "insert", "update",
}  # fmt: skip
_AFTER_CLAUSES: Final = frozenset(
    [";", "order", "group", "having", "limit", "for", "returning", "union", "loop", "window", "on",
     "into", "left", "join", "then", "where"]
)  # fmt: skip
_AFTER_WHICH_STATEMENTS_BEGIN: Final = frozenset([";", "begin", "then", "else", "loop"])


@dataclass(frozen=True, slots=True)
class Body:
    """The tokens of a body; `depths`: in how many brackets and cases each stands, itself not."""

    text: str
    tokens: tuple[Token, ...]
    depths: tuple[int, ...]
    openings: tuple[int, ...]
    """Per token the place of the innermost bracket or CASE that it stands in; -1: in none."""

    @classmethod
    def of(cls, text: str, begin: int, end: int) -> Self:
        """What stands there, looked at once."""
        found = tokens(text, begin, end)
        depths, openings, stack = [], [], list[int]()
        for n, token in enumerate(found):
            opener = found[stack[-1]].word if stack else ""
            if token.word in {")", "]"} or (token.word == "end" and opener == "case"):
                stack = stack[:-1]
            depths.append(len(stack))
            openings.append(stack[-1] if stack else -1)
            ends_case = n > 0 and found[n - 1].word == "end"
            if token.word in _OPEN or (token.word == "case" and not ends_case):
                stack.append(n)
        return cls(text, tuple(found), tuple(depths), tuple(openings))

    def word(self, n: int) -> str:
        """Of the token at a place; nothing where there is none."""
        return self.tokens[n].word if 0 <= n < len(self.tokens) else ""

    def place_of(self, word: str, n: int) -> int:
        """Where a word stands next, as deep as the token at `n`; the last place if nowhere."""
        for k in range(n, len(self.tokens)):
            if self.depths[k] < self.depths[n]:
                return k
            if self.depths[k] == self.depths[n] and self.word(k) == word:
                return k
        return len(self.tokens) - 1

    def closing(self, n: int) -> int:
        """Where the bracket at a place is closed."""
        return next(k for k in range(n + 1, len(self.tokens)) if self.depths[k] == self.depths[n])

    def is_betweens(self, n: int) -> bool:
        """Whether an AND stands between the bounds of a BETWEEN."""
        if self.word(n) != "and":
            return False
        for k in range(n - 1, -1, -1):
            if self.depths[k] < self.depths[n]:
                return False
            if self.depths[k] == self.depths[n]:
                if self.word(k) == "between":
                    return True
                if self.word(k) in _CLAUSES | {"and", "or"}:
                    return False
        return False

    def begin_of_operand(self, n: int) -> int:
        """Where what stands before an AND or OR begins."""
        first = n
        for k in range(n - 1, -1, -1):
            if self.depths[k] < self.depths[n] or self._ends_operand(k, n):
                break
            first = k
        return first

    def end_of_operand(self, n: int) -> int:
        """Where what stands behind an AND or OR ends."""
        last = n
        for k in range(n + 1, len(self.tokens)):
            if self.depths[k] < self.depths[n] or self._ends_operand(k, n):
                break
            last = k
        return last

    def _ends_operand(self, k: int, n: int) -> bool:
        if self.depths[k] != self.depths[n]:
            return False
        word = self.word(k)
        if word == "from" and self.word(k - 1) == "distinct":
            return False
        if word == "and":
            return not self.is_betweens(k)
        return word == "or" or (word in _CLAUSES and not self._is_ends_case(k))

    def _is_ends_case(self, k: int) -> bool:
        """Of an END: whether it ends a CASE, which is a part of what it stands in."""
        before = self.depths[k - 1] if k else 0
        return self.word(k) == "end" and before > self.depths[k]

    def end_of_clause(self, n: int) -> int:
        """Where the clause that begins at `n` ends: before the next, a semicolon or a bracket."""
        last = n
        ends = _AFTER_CLAUSES - {self.word(n)}
        if self.word(n) == "on":
            ends -= {"where"}
        for k in range(n + 1, len(self.tokens)):
            if self.depths[k] < self.depths[n]:
                break
            if self.depths[k] == self.depths[n] and self.word(k) in ends:
                break
            last = k
        return last

    def is_comparison(self, n: int) -> bool:
        """Whether an equals sign compares, and does not set a column or a variable."""
        for k in range(n - 1, -1, -1):
            if self.depths[k] < self.depths[n]:
                return True
            if self.depths[k] == self.depths[n] and self.word(k) in {"set", ";", "where", "then"}:
                return self.word(k) != "set"
        return True

    def is_statement(self, n: int) -> bool:
        """Whether a statement begins at a place."""
        return self.depths[n] == 0 and self.word(n - 1) in _AFTER_WHICH_STATEMENTS_BEGIN

    def is_assignment(self, n: int) -> bool:
        """Whether it is a statement that sets a variable, a field of one or an element."""
        k = n + 1
        while self.word(k) in {".", "["}:
            k = self.closing(k) + 1 if self.word(k) == "[" else k + 2
        return self.word(k) == ":="

    def is_searched(self, n: int) -> bool:
        """Whether a WHEN is of a CASE that looks for the first condition that holds."""
        opening = self.openings[n]
        return opening >= 0 and self.word(opening) == "case" and self.word(opening + 1) == "when"

    def is_operand(self, n: int) -> bool:
        """Whether a value ends with the token at a place."""
        token = self.tokens[n] if n >= 0 else None
        if token is None:
            return False
        if token.kind is Kind.SIGN:
            return token.text in {")", "]"}
        return token.kind is not Kind.WORD or token.word not in _NO_OPERANDS

    def begins_operand(self, n: int) -> bool:
        """Whether a value begins with the token at a place."""
        return self.word(n) in {"(", "case"} or (
            n < len(self.tokens)
            and self.tokens[n].kind is not Kind.SIGN
            and self.tokens[n].word not in _NO_OPERANDS
        )

    def is_value(self, n: int) -> bool:
        """Whether a number is one that is counted with, not a limit or the end of a loop."""
        return self.word(n - 1) not in {"limit", ".."}
