"""What is secret is compared in constant time, never by `==`: that tells how much is right."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src" / "storecredit"
SECRET = re.compile(r"(?:^|_)(secrets?|tokens?|signature|csrf|mac|digest|password|seal)$")
COMPARING = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
NO_SECRETS = ("generation/archived.py",)
"""An archive's checksum stands beside it for everybody to see."""


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    if isinstance(node, ast.Attribute):
        yield node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield node.func.attr


def _compared() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCES.rglob("*.py")):
        where = path.relative_to(SOURCES)
        if str(where) in NO_SECRETS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # Whether there is one is no secret.
            if not any(isinstance(each, COMPARING) for each in node.ops):
                continue
            for name in (name for side in sides for name in _names(side)):
                if SECRET.search(name):
                    yield f"{where}:{node.lineno}", ast.unparse(node)


def test_no_secret_is_compared_by_an_operator() -> None:
    assert sorted(_compared()) == []
