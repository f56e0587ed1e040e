"""When a delivery that failed is tried again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from storecredit.webhooks.schedule import (
    FIRST_WAIT_SECONDS,
    JITTER,
    RETRIES_MAX,
    WAIT_MAX_SECONDS,
    retry_after,
    wait_seconds,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY_SECONDS = 86_400.0


class Least(Random):
    """No jitter at all."""

    def random(self) -> float:
        return 0.0


def waits(random: Random) -> list[float]:
    found: list[float] = []
    while (wait := wait_seconds(len(found), None, random)) is not None:
        found.append(wait)
    return found


def test_the_waits_double_up_to_twelve_hours_and_end_on_the_third_day() -> None:
    least = waits(Least())
    assert least[:4] == [5.0, 10.0, 20.0, 40.0]
    assert least == sorted(least)
    assert max(least) == WAIT_MAX_SECONDS
    assert len(least) == RETRIES_MAX
    assert 2.5 * DAY_SECONDS < sum(least) < 3 * DAY_SECONDS


def test_jitter_makes_waits_longer_and_by_a_fifth_at_most() -> None:
    ratios = [
        wait / least
        for seed in range(100)
        for wait, least in zip(waits(Random(seed)), waits(Least()), strict=True)
    ]
    assert 1.0 <= min(ratios) < 1.01
    assert 1.19 < max(ratios) <= 1.0 + JITTER


@pytest.mark.parametrize(
    "asked, waited", [(None, 5.0), (0.0, 5.0), (60.0, 60.0), (1e9, WAIT_MAX_SECONDS)]
)
def test_the_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds(
    asked: float | None, waited: float
) -> None:
    assert FIRST_WAIT_SECONDS == 5.0
    assert wait_seconds(0, asked, Least()) == waited


def test_a_receiver_that_asks_is_given_up_as_soon_as_any_other() -> None:
    assert wait_seconds(RETRIES_MAX, 60.0, Least()) is None


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, float("inf")),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120.0),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0.0),
        ("Monday, 30-Nov-26 12:02:00 GMT", 120.0),
        ("Mon Nov 30 12:02:00 2026", 120.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Mon, 99 Nov 2026 12:02:00 GMT", None),
        ("Mon, 30 Nov 99999999999 12:02:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    value: str | None, seconds: float | None
) -> None:
    """RFC 9110, section 10.2.3; dates in each of the forms of section 5.6.7."""
    assert retry_after(value, NOW) == seconds
