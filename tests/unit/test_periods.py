"""From when to when a report is, in the words that people use."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from storecredit.web.http.periods import period

NOW = datetime(2026, 11, 30, 8, 30, tzinfo=UTC)


def day(number: int, month: int = 11) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


HALF_PAST_TEN = day(29) + timedelta(hours=10.5)
ELEVEN = day(29) + timedelta(hours=11)


@pytest.mark.parametrize(
    "since, until, begins, ends",
    [
        ("7d", None, day(24), NOW),
        (" 1d ", None, day(30), NOW),
        ("2026-11-01", None, day(1), NOW),
        ("2026-11-01", "2026-11-29", day(1), day(30)),
        ("2026-11-30", "2026-11-30", day(30), day(1, 12)),
        ("2026-11-29T10:30:00Z", "2026-11-29T12:00+01:00", HALF_PAST_TEN, ELEVEN),
        ("7d", "2027-01-01", day(24), datetime(2027, 1, 2, tzinfo=UTC)),
    ],
)
def test_a_period_begins_and_ends_where_people_mean(
    since: str, until: str | None, begins: datetime, ends: datetime
) -> None:
    assert period(since, until, NOW) == (begins, ends)


def test_days_are_those_of_utc_wherever_the_clock_is() -> None:
    early_in_delhi = NOW.replace(hour=22).astimezone(timezone(timedelta(hours=5.5)))
    assert early_in_delhi.day == 1
    assert period("1d", None, early_in_delhi).since == day(30)


@pytest.mark.parametrize(
    "since, until",
    [
        ("0d", None),
        ("7", None),
        ("7 d", None),
        ("-7d", None),
        ("99999d", None),
        ("yesterday", None),
        ("", None),
        ("7d", ""),
        ("7d", "7d"),
        ("2026-12-01", None),
        ("2026-11-30T08:30:00Z", None),
        ("2026-11-02", "2026-11-01"),
        ("2026-11-30", "9999-12-31"),
    ],
)
def test_what_is_no_period_is_refused_in_a_sentence(since: str, until: str | None) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        period(since, until, NOW)
