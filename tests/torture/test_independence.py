"""The checker shares no code with the product: what both got wrong alike would not be found."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
CHECKER: Final = sorted([*HERE.glob("checking/*.py"), *HERE.glob("linearizability/*.py")])
ALLOWED: Final = {"asyncpg"}
"""Of what is not Python's own; and the checker's own modules."""
OWN: Final = ("tests.torture.checking", "tests.torture.linearizability")
PYTHONS: Final = {"collections", "dataclasses", "enum", "itertools", "json", "math", "pathlib"} | {
    "typing"
}


def test_there_is_a_checker() -> None:
    assert len(CHECKER) > 8


@pytest.mark.parametrize("path", CHECKER, ids=lambda path: path.stem)
def test_it_imports_itself_and_nothing_of_the_product_or_of_who_ran_it(path: Path) -> None:
    for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
        is_own = name.startswith(OWN)
        assert is_own or name.split(".")[0] in PYTHONS | ALLOWED, name


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Name):
            assert node.id not in {"__import__", "exec", "eval"}
