"""How long a request prefers to wait, as RFC 7240 spells preferences."""

import pytest

from storecredit.web.http.headers import SentHeaders
from storecredit.web.resources.waiting import PREFER_MAX, preferred_wait


def wait_of(*preferences: str) -> int | None:
    return preferred_wait(SentHeaders((b"prefer", each.encode()) for each in preferences))


@pytest.mark.parametrize(
    "preference, seconds",
    [
        ("wait=30", 30),
        ("wait=0", 0),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=007", 7),
        (f"wait={10**40}", 60),
        ("wait", 60),
        ("wait=", 60),
        ('wait=""', 60),
        ('wait="10"', 10),
        ("WAIT = 5", 5),
        ("  wait=5  ", 5),
        ("wait=5; foo=bar", 5),
        ('wait=5;foo="a, wait=6"', 5),
        ("respond-async, wait=10", 10),
        ('foo="wait=1, wait=2", wait=3', 3),
        ('foo="\\", wait=2", wait=3', 3),
        ("foo; wait=2, wait=3", 3),
        ("wait=10, wait=20", 10),
        (",, wait=9 ,", 9),
    ],
)
def test_a_wait_is_taken_as_long_as_it_may_be(preference: str, seconds: int) -> None:
    assert wait_of(preference) == seconds


@pytest.mark.parametrize(
    "preference",
    [
        "",
        "return=minimal",
        "await=5",
        "wait-for=5",
        "wait=-1",
        "wait=1.5",
        "wait=soon",
        "wait=5 6",
        "wait=\u0665",
        'wait="5',
        "foo=wait",
        'foo="wait=5"',
        "wait=soon, wait=5",
        "x" * PREFER_MAX + ", wait=5",
        '"' * PREFER_MAX,
    ],
)
def test_what_is_no_wait_is_passed_over(preference: str) -> None:
    assert wait_of(preference) is None


def test_several_headers_are_one_list() -> None:
    assert wait_of("respond-async", "wait=5", "wait=6") == 5
    assert wait_of() is None
