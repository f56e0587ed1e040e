"""The errors of the credit functions: one list in SQL, one in Python, and they are the same."""

import re
from importlib import resources
from pathlib import Path

import asyncpg
import pytest

from storecredit import sql
from storecredit.ledger.outcomes import CreditError
from tests.sql.ledgers import sqlstate_of

RAISE = "SELECT raise_credit_error($1, 'x')"


def test_sql_and_python_name_the_same_errors() -> None:
    text = sql.text("functions/errors.sql")
    in_sql = re.findall(r"WHEN '(\w+)' THEN\s+RAISE [^;]*ERRCODE = '(\w+)'", text)

    assert in_sql == [(error.name.lower(), error.value) for error in CreditError]
    assert len(re.findall(r"'SC\d+'", text)) == len(CreditError)


@pytest.mark.parametrize("error", CreditError)
async def test_each_error_has_a_code_of_its_own(
    books: asyncpg.Connection, error: CreditError
) -> None:
    assert await sqlstate_of(books.fetch(RAISE, error.name.lower())) == error.value


async def test_an_unknown_error_does_not_pass_silently(books: asyncpg.Connection) -> None:
    case_not_found = "20000"
    assert await sqlstate_of(books.fetch(RAISE, "unheard_of")) == case_not_found


def test_no_other_file_has_a_code_of_its_own() -> None:
    folder = resources.files(sql).joinpath("functions")
    others = [each for each in Path(str(folder)).rglob("*.sql") if each.name != "errors.sql"]

    assert len(others) > 10
    named = {each.name: re.findall(r"ERRCODE = '(SC\w*)'", each.read_text()) for each in others}
    assert {name: codes for name, codes in named.items() if codes} == {}
