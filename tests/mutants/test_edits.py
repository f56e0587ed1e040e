"""Each rule finds what it is about, all of it and nothing else."""

import pytest

from tests.mutants import python_edits, sql_edits

SQL = [
    ("SELECT a FROM t FOR NO KEY UPDATE OF t;", "lock", {"SELECT a FROM t ;"}),
    ("SELECT a FROM t FOR UPDATE SKIP LOCKED;", "lock",
     {"SELECT a FROM t ;", "SELECT a FROM t FOR UPDATE ;"}),
    ("FOR i IN 1 .. n LOOP NULL; END LOOP;", "lock", set()),
    ("BEGIN PERFORM pg_advisory_xact_lock(1); END", "call", {"BEGIN NULL; END"}),
    ("BEGIN IF a THEN RAISE 'b'; END IF; END", "raise", {"BEGIN IF a THEN NULL; END IF; END"}),
    ("BEGIN IF a OR b THEN c := 1; END IF; END", "guard",
     {"BEGIN IF true THEN c := 1; END IF; END", "BEGIN IF false THEN c := 1; END IF; END"}),
    ("BEGIN ELSE a[i].b := 1; END", "assignment", {"BEGIN ELSE NULL; END"}),
    ("SELECT CASE WHEN a THEN 1 ELSE 2 END;", "case",
     {"SELECT CASE WHEN false THEN 1 ELSE 2 END;"}),
    ("SELECT CASE a WHEN 1 THEN 2 END;", "case", set()),
    ("SELECT WHERE a BETWEEN 1 AND 2 AND (b OR c);", "conjunct",
     {"SELECT WHERE a BETWEEN 1 AND 2 ;", "SELECT WHERE (b OR c);",
      "SELECT WHERE a BETWEEN 1 AND 2 AND (b );", "SELECT WHERE a BETWEEN 1 AND 2 AND ( c);"}),
    ("SELECT WHERE a AND CASE WHEN b THEN c END AND d;", "conjunct",
     {"SELECT WHERE a AND d;", "SELECT WHERE CASE WHEN b THEN c END AND d;",
      "SELECT WHERE a AND CASE WHEN b THEN c END ;"}),
    ("SELECT a FROM t WHERE b ORDER BY c LIMIT 1;", "where",
     {"SELECT a FROM t ORDER BY c LIMIT 1;"}),
    ("SELECT a FROM t WHERE b ORDER BY c DESC LIMIT 1;", "order",
     {"SELECT a FROM t WHERE b LIMIT 1;", "SELECT a FROM t WHERE b ORDER BY c LIMIT 1;"}),
    ("SELECT a FROM t ORDER BY c LIMIT 1;", "limit", {"SELECT a FROM t ORDER BY c ;"}),
    ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO NOTHING RETURNING b;", "conflict",
     {"INSERT INTO t VALUES (1) RETURNING b;"}),
    ("SELECT a >= b, '>= ' -- >=\n;", "bound", {"SELECT a > b, '>= ' -- >=\n;"}),
    ("UPDATE t SET a = b WHERE c = d;", "comparison", {"UPDATE t SET a = b WHERE c <> d;"}),
    ("SELECT now(), clock_timestamp();", "clock",
     {"SELECT clock_timestamp(), clock_timestamp();", "SELECT now(), now();"}),
    ("SELECT count(*), a - b, -c;", "arithmetic", {"SELECT count(*), a + b, -c;"}),
    ("SELECT coalesce(f(a, b), 0);", "coalesce", {"SELECT (f(a, b));"}),
    ("BEGIN PERFORM raise_credit_error('a', coalesce(b, 'c')); END", "coalesce", set()),
    ("SELECT a IS NULL, NOT b, c IS DISTINCT FROM d;", "negation",
     {"SELECT a IS NOT NULL, NOT b, c IS DISTINCT FROM d;",
      "SELECT a IS NULL, b, c IS DISTINCT FROM d;",
      "SELECT a IS NULL, NOT b, c IS NOT DISTINCT FROM d;"}),
    ("SELECT a FROM t LEFT JOIN u ON true;", "join", {"SELECT a FROM t JOIN u ON true;"}),
]  # fmt: skip
PYTHON = [
    ("if a < b: c()", "bound", {"if a <= b: c()"}),
    ("if a: b()", "guard", {"if False: b()", "if True: b()"}),
    ("return 'é' or a - 1", "arithmetic", {"return 'é' or a + 1"}),
    ("return a and b", "conjunct", {"return (a)", "return (b)"}),
    ("raise ValueError", "leaving", {"pass"}),
    ("await a()", "call", {"pass"}),
    ("return not a", "negation", {"return (a)"}),
    ("return 1", "number", {"return 2"}),
]


@pytest.mark.parametrize("text, sort, expected", SQL)
def test_sql_is_said_otherwise(text: str, sort: str, expected: set[str]) -> None:
    edits = [edit for edit in sql_edits.edits(text, 0, len(text)) if edit.sort == sort]

    changed = {f"{text[: edit.begin]}{edit.text}{text[edit.end :]}" for edit in edits}
    assert {_plain(each) for each in changed} == {_plain(each) for each in expected}
    assert len(edits) == len(expected)


@pytest.mark.parametrize("line, sort, expected", PYTHON)
def test_python_is_said_otherwise(line: str, sort: str, expected: set[str]) -> None:
    text = f"class A:\n  async def é(self, a, b):\n        {line}\n"

    edits = [edit for edit in python_edits.edits(text) if edit.sort == sort]

    changed = {f"{text[: edit.begin]}{edit.text}{text[edit.end :]}" for edit in edits}
    assert changed == {text.replace(line, each) for each in expected}
    assert {edit.function for edit in edits} == {"A.é"}


def _plain(text: str) -> str:
    return " ".join(text.split())
