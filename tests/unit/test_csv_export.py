"""Cells of CSV: no spreadsheet takes a text for a formula, and every program reads it back."""

import csv
import io

import pytest

from storecredit.web.http.csv_export import harmless, lines


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@A1",
        "\tx",
        "\rx",
        "\nx",
        " =1",
        "\N{NO-BREAK SPACE}=1",
        '"=1"',
        "=",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        "\ufe661",
        "\u22121",
        "-2026",
    ],
)
def test_a_text_that_may_be_a_formula_is_quoted(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    "text, written",
    [
        ("a;=1", "a;'=1"),
        ("a\n=1", "a\n'=1"),
        ("a\r\n-1", "a\r\n'-1"),
        ("a\t+1", "a\t'+1"),
        ('a;"=1"', 'a;"\'=1"'),
        ("a; @b;=c", "a; '@b;'=c"),
        ("=1;=2", "'=1;'=2"),
    ],
)
def test_nor_is_what_another_separator_would_part_from_it(text: str, written: str) -> None:
    assert harmless(text) == written


@pytest.mark.parametrize(
    "text", ["", "order-1001", "a=b", "a-b", "x@y", "a; b", "abc==", "1;2", "Größe", "'quoted'"]
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_rows_are_read_back_as_they_were() -> None:
    rows: list[list[object]] = [
        ["seq", "text"],
        [7, 'with, comma and "quotes"'],
        [-8, "two\r\nlines"],
        [None, "größe"],
    ]
    content = lines(rows)
    assert content.startswith(b"seq,text\r\n7,")
    assert content.endswith(b"\r\n")
    assert b"\r\n-8," in content, "a number is no text"
    read = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert read == [["" if cell is None else str(cell) for cell in row] for row in rows]
