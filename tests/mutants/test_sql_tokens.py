"""Text and code are told apart as PostgreSQL does it."""

import pytest

from tests.mutants.sql_functions import functions
from tests.mutants.sql_tokens import tokens

FILE = """-- CREATE OR REPLACE FUNCTION in_a_comment() AS $$ $$;
/* one /* in another; */ still; */
CREATE TABLE t (a text DEFAULT ';');
CREATE OR REPLACE FUNCTION first(p_text text DEFAULT 'AS $$ no $$;')
RETURNS text LANGUAGE sql AS $body$ SELECT $$a;b$$ || p_text $body$;
COMMENT ON FUNCTION first(text) IS 'it''s; first';

CREATE OR REPLACE FUNCTION second() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    NULL;
END;
$$;
"""


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a<=b", ["a", "<=", "b"]),
        ("1..n", ["1", "..", "n"]),
        ("'it''s' || 'b'", ["'it''s'", "||", "'b'"]),
        (r"E'it\'s' , x", [r"E'it\'s'", ",", "x"]),
        (r"'a\' , 'b'", [r"'a\'", ",", "'b'"]),
        ('"a ""b"" c".d', ['"a ""b"" c"', ".", "d"]),
        ("$1 + $tag$ $$ ' $tag$", ["$1", "+", "$tag$ $$ ' $tag$"]),
        ("a -- b 'c\n+ /* d /* e */ f */ g", ["a", "+", "g"]),
        ("a::text[]", ["a", "::", "text", "[", "]"]),
    ],
)
def test_a_text_is_cut_where_postgresql_cuts_it(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected


def test_functions_are_found_with_their_bodies() -> None:
    found = list(functions(FILE))

    assert [each.name for each in found] == ["first", "second"]
    bodies = [each.text[slice(*each.body)].split() for each in found]
    assert bodies == [
        ["SELECT", "$$a;b$$", "||", "p_text"],
        ["BEGIN", "NULL;", "END;"],
    ]
    assert [FILE.splitlines()[each.line_at(each.body[0]) - 1] for each in found] == [
        "RETURNS text LANGUAGE sql AS $body$ SELECT $$a;b$$ || p_text $body$;",
        "CREATE OR REPLACE FUNCTION second() RETURNS void LANGUAGE plpgsql AS $$",
    ]
