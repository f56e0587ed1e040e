"""What can be said otherwise in the functions of a file of Python: every edit, made by rule."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

_COMPARED: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_COUNTED: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "*"),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` in the place of what stands from `begin` to `end`, in `function` (`Class.method`)."""

    function: str
    sort: str
    begin: int
    end: int
    text: str


def edits(text: str) -> Iterator[Edit]:
    """Every edit of the functions of a file."""
    yield from _Places(text).of(ast.parse(text), ())


class _Places:
    """A text whose lines and columns are known by place."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.splitlines(keepends=True)
        self._begins = [0, *accumulate(map(len, self._lines))]

    def of(self, node: ast.AST, names: tuple[str, ...]) -> Iterator[Edit]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from self.of(child, (*names, child.name))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from self._in(child, ".".join((*names, child.name)))

    def _in(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[Edit]:
        for statement in function.body:
            for node in ast.walk(statement):
                for sort, begin, end, text in self._edits(node):
                    yield Edit(name, sort, begin, end, text)

    def _edits(self, node: ast.AST) -> Iterator[tuple[str, int, int, str]]:
        match node:
            case ast.If() | ast.IfExp() | ast.While():
                yield "guard", *self._span(node.test), "False"
                if not isinstance(node, ast.While):
                    yield "guard", *self._span(node.test), "True"
            case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
                was, becomes = _COMPARED[type(operator)]
                yield from self._between(node.left, node.comparators[0], "bound", was, becomes)
            case ast.BoolOp(values=[first, *others]):
                yield "conjunct", *self._span(node), self._source(first)
                yield "conjunct", *self._span(node), self._source(others[-1])
            case ast.BinOp() if type(node.op) in _COUNTED:
                was, becomes = _COUNTED[type(node.op)]
                yield from self._between(node.left, node.right, "arithmetic", was, becomes)
            case ast.UnaryOp(op=ast.Not()):
                yield "negation", *self._span(node), self._source(node.operand)
            case ast.Constant(value=int(value)):
                is_truth = isinstance(value, bool)
                text = str(not value) if is_truth else str(value + 1)
                yield ("truth" if is_truth else "number"), *self._span(node), text
            case ast.Raise() | ast.Break() | ast.Continue() | ast.Return(value=None):
                yield "leaving", *self._span(node), "pass"
            case ast.Expr(value=ast.Await() | ast.Call()) | ast.AugAssign():
                yield "call", *self._span(node), "pass"
            case _:
                pass

    def _between(
        self, left: ast.expr, right: ast.expr, sort: str, was: str, becomes: str
    ) -> Iterator[tuple[str, int, int, str]]:
        end, begin = self._span(left)[1], self._span(right)[0]
        found = self._text.find(was, end, begin)
        if found >= 0:
            yield sort, found, found + len(was), becomes

    def _source(self, node: ast.expr) -> str:
        begin, end = self._span(node)
        return f"({self._text[begin:end]})"

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._place(node.lineno, node.col_offset),
            self._place(node.end_lineno, node.end_col_offset),
        )

    def _place(self, line: int, column: int) -> int:
        """Columns are counted in bytes."""
        before = self._lines[line - 1].encode()[:column].decode()
        return self._begins[line - 1] + len(before)
