"""The page that looks ids up has words for whatever it may find, and tells short gaps of time."""

import pytest

from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.moments import MomentKind
from storecredit.operator.things import ThingKind
from storecredit.web.console import look_up


def test_there_is_a_word_for_every_kind() -> None:
    assert set(look_up.KINDS) == set(MomentKind)
    assert set(look_up.NAMES) == set(IdentifierKind)
    assert set(look_up.THINGS) == set(ThingKind)


@pytest.mark.parametrize(
    "seconds, told",
    [
        (0.0, ""),
        (0.0004, ""),
        (0.0123, "12 ms later"),
        (1.0, "1.0 s later"),
        (59.94, "59.9 s later"),
        (61.0, ""),
        (-5.0, ""),
    ],
)
def test_a_gap_is_told_where_the_clock_does_not_show_it(seconds: float, told: str) -> None:
    assert look_up.later(seconds) == told
