"""How the commands show a value that a table or a record has."""

from datetime import UTC, datetime

import pytest

from storecredit.cli.output import shown


@pytest.mark.parametrize(
    "value, text",
    [
        (63.0, "63"),
        (30.4, "30.4"),
        (None, "–"),
        (True, "yes"),
        (datetime(2026, 11, 30, 9, 5, 7, 123_456, UTC), "2026-11-30 09:05:07Z"),
        ("a\x1b[31mred", "a\N{REPLACEMENT CHARACTER}[31mred"),
        ([], "–"),
        (["read", "credits"], "read, credits"),
        ({"order": "1"}, '{"order":"1"}'),
    ],
)
def test_a_value_is_shown_on_one_line_as_people_write_it(value: object, text: str) -> None:
    assert shown(value) == text
