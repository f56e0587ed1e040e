"""All mutants there are: of the functions, of what the tables hold, and of Python."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg

from tests.mutants import python_edits, sql_edits
from tests.mutants.mutant import Mutant, shown, told_apart
from tests.mutants.sql_functions import Function, functions
from tests.mutants.sql_tokens import tokens

SOURCE: Final = Path(__file__).parents[2] / "src" / "storecredit"
FUNCTIONS: Final = "sql/functions"
CONSTRAINTS: Final = "sql/migrations"
PYTHON: Final = ("ledger/**/*.py", "generation/**/*.py", "postgres/group_commit.py")
MONEY_FIRST: Final = (
    *("charges", "spends", "returns", "holds", "movements", "accounts", "grants", "expiry"),
    *("additions", "removals", "transfers_elsewhere", "overage", "generations", "sessions", "past"),
)
_HELD: Final = """
    SELECT conrelid::regclass::text AS relation, conname,
        pg_get_constraintdef(oid) AS definition
    FROM pg_constraint
    WHERE connamespace = 'storecredit'::regnamespace AND contype IN ('c', 'f', 'u')
      AND conparentid = 0
    ORDER BY 1, 2"""


def of_functions() -> Iterator[Mutant]:
    """Every edit of every function, those that move credits first."""
    paths = sorted((SOURCE / FUNCTIONS).glob("*.sql"), key=_rank)
    found = {path: list(functions(path.read_text())) for path in paths}
    callers = _callers([function for all_of in found.values() for function in all_of])
    for path, all_of in found.items():
        for function in all_of:
            for edit in sql_edits.edits(function.text, *function.body):
                text = function.text
                yield Mutant(
                    path=f"{FUNCTIONS}/{path.name}",
                    function=function.name,
                    line=function.line_at(edit.begin),
                    sort=edit.sort,
                    was=shown(text[edit.begin : edit.end]),
                    is_now=shown(edit.text),
                    planted=f"{text[: edit.begin]} {edit.text} {text[edit.end :]}",
                    callers=callers[function.name],
                )


def of_constraints(url: str, database: str) -> Iterator[Mutant]:
    """Each CHECK, foreign key and key but the primary ones, gone."""
    with psycopg.connect(url, dbname=database) as connection:
        connection.execute("SET search_path = storecredit")
        rows = connection.execute(_HELD).fetchall()
    for relation, name, definition in rows:
        yield Mutant(
            path=CONSTRAINTS,
            function=relation,
            line=0,
            sort="constraint",
            was=shown(f"{name} {definition}"),
            is_now="",
            planted=f'ALTER TABLE {relation} DROP CONSTRAINT "{name}" CASCADE',
        )


def of_python() -> Iterator[Mutant]:
    """Every edit of every function of the rooms that work with credits."""
    for pattern in PYTHON:
        for path in sorted(SOURCE.glob(pattern)):
            text = path.read_text()
            for edit in python_edits.edits(text):
                begin, end = edit.begin, edit.end
                yield Mutant(
                    path=str(path.relative_to(SOURCE)),
                    function=edit.function,
                    line=1 + text.count("\n", 0, begin),
                    sort=edit.sort,
                    was=shown(text[begin:end]),
                    is_now=shown(edit.text),
                    planted=text[:begin] + edit.text + text[end:],
                )


def drawn(
    mutants: Iterable[Mutant], *, only: Sequence[str], sorts: Sequence[str], seed: int, limit: int
) -> list[Mutant]:
    """Those with one of `only` in the name of file or function; by chance `limit`, in order."""
    wanted = [
        mutant
        for mutant in told_apart(mutants)
        if any(name in f"{mutant.path}:{mutant.function}" for name in only)
        and (not sorts or mutant.sort in sorts)
    ]
    if limit >= len(wanted):
        return wanted
    places = sorted(random.Random(seed).sample(range(len(wanted)), limit))
    return [wanted[place] for place in places]


def _callers(found: Sequence[Function]) -> Mapping[str, frozenset[str]]:
    """By name of a function those in whose bodies it stands."""
    words = {each.name: {token.word for token in tokens(each.text, *each.body)} for each in found}
    return {
        called: frozenset(name for name, said in words.items() if called in said and name != called)
        for called in words
    }


def _rank(path: Path) -> tuple[int, str]:
    known = path.stem in MONEY_FIRST
    return MONEY_FIRST.index(path.stem) if known else len(MONEY_FIRST), path.stem
