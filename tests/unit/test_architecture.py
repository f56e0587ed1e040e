"""ARCHITECTURE.md and the SQL keep to what they say: what is named runs, functions stay short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src/storecredit"
SQL_FILES = sorted((SOURCE / "sql/functions").rglob("*.sql"))
SQL_LINES_MAX = 70

SQL_FUNCTIONS = {
    match["name"]: match[0]
    for path in SQL_FILES
    for match in re.finditer(
        r"^CREATE OR REPLACE FUNCTION (?P<name>\w+).*?^\$\$;",
        path.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
NAMED_FUNCTIONS = sorted(set(re.findall(r"`(\w+)\(\)`", PAGE)))
NAMED_PLACES = sorted(set(re.findall(r"`([\w/]+\.py): (\w+)`", PAGE)))


def test_the_page_names_functions_and_places() -> None:
    assert len(NAMED_FUNCTIONS) > 10
    assert len(NAMED_PLACES) > 3


@pytest.mark.parametrize("name", NAMED_FUNCTIONS)
def test_a_sql_function_that_the_page_names_is_there_and_called(name: str) -> None:
    assert name in SQL_FUNCTIONS
    others = [text for other, text in SQL_FUNCTIONS.items() if other != name]
    python = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    assert any(re.search(rf"\b{name}\(", text) for text in [*others, *python]), "nobody calls it"


@pytest.mark.parametrize("path, name", NAMED_PLACES)
def test_a_python_function_that_the_page_names_is_there(path: str, name: str) -> None:
    text = (SOURCE / path).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(async )?def {name}\(", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+/[\w]+\.(?:py|sql))`", PAGE))))
def test_a_file_that_the_page_names_is_there(path: str) -> None:
    assert (SOURCE / path).is_file()


@pytest.mark.parametrize("name", sorted(SQL_FUNCTIONS))
def test_a_sql_function_is_short_and_says_what_it_is(name: str) -> None:
    text = SQL_FUNCTIONS[name]
    assert text.count("\n") + 1 <= SQL_LINES_MAX
    is_one_expression = "IMMUTABLE" in text
    assert is_one_expression or "\n-- Purpose" in text, "it opens without a word"
