"""Moments in a query: every spelling of the same one is the same, and nothing is guessed."""

from datetime import UTC, datetime, timedelta

import pytest

from storecredit.web.http.moments import BEYOND, IN_SECONDS, UNREADABLE, Span, span

HALF_PAST_TEN = datetime(2026, 11, 29, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29T10:30:00Z",
        "2026-11-29T10:30Z",
        "2026-11-29T10:30:00",
        "2026-11-29T10:30",
        "2026-11-29t10:30:00z",
        "2026-11-29 10:30:00",
        "2026-11-29 10:30:00Z",
        "2026-11-29 10:30:00 UTC",
        "2026-11-29T10:30:00UTC",
        "2026-11-29 10:30:00 GMT",
        "20261129T103000Z",
        "20261129T1030",
        "2026-11-29T10:30:00+00:00",
        "2026-11-29T10:30:00-00:00",
        "2026-11-29T10:30:00+0000",
        "2026-11-29T10:30:00+00",
        "2026-11-29 10:30:00+00",
        "2026-11-29 10:30:00 +0000",
        "2026-11-29T16:00:00+05:30",
        "2026-11-29T16:00:00+0530",
        "2026-11-29T16:00:00 05:30",
        "2026-11-29 16:00:00 0530",
        "2026-11-29T16:00 05:30",
        "2026-11-29T15:30:00 05",
        "2026-11-29T05:30:00-05",
        "2026-11-29T05:30:00\N{MINUS SIGN}05:00",
        "2026-11-29T10:30:00.0Z",
        "2026-11-29T10:30:00.000000000000Z",
        "2026-11-29T10:30:00,000Z",
        "2026-11-30T09:30:00+23:00",
        "2026-11-28T10:31:00-23:59",
        " 2026-11-29T10:30:00Z ",
        f"{HALF_PAST_TEN.timestamp():.0f}",
        f"{HALF_PAST_TEN.timestamp():.3f}",
        HALF_PAST_TEN.isoformat(),
        str(HALF_PAST_TEN),
    ],
)
def test_every_spelling_of_a_moment_is_that_moment(text: str) -> None:
    assert span(text) == Span(HALF_PAST_TEN, HALF_PAST_TEN)


@pytest.mark.parametrize(
    "text",
    ["2026-11-29", "20261129", "2026-11-29Z", "2026-11-29+00:00"],
)
def test_a_date_is_the_whole_day(text: str) -> None:
    start = datetime(2026, 11, 29, tzinfo=UTC)
    assert span(text) == Span(start, start + timedelta(days=1))


def test_a_date_with_an_offset_is_the_day_there() -> None:
    start = datetime(2026, 11, 28, 18, 30, tzinfo=UTC)
    assert span("2026-11-29+05:30") == Span(start, start + timedelta(days=1))


@pytest.mark.parametrize(
    "text, moment",
    [
        ("2026-11-29T10:30:00.1Z", HALF_PAST_TEN + timedelta(microseconds=100_000)),
        ("2026-11-29T10:30:00,123456789Z", HALF_PAST_TEN + timedelta(microseconds=123_456)),
        ("1795948200.5", HALF_PAST_TEN + timedelta(microseconds=500_000)),
        ("2026-11-29T24:00", datetime(2026, 11, 30, tzinfo=UTC)),
        ("2026-12-31T24:00:00.000Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T05:29:60.9+05:30", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2024-02-29T00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_fractions_and_the_ends_of_days_are_what_they_say(text: str, moment: datetime) -> None:
    assert span(text) == Span(moment, moment)


def test_after_the_last_day_comes_no_moment() -> None:
    assert span("9999-12-31") == Span(datetime(9999, 12, 31, tzinfo=UTC), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "now",
        "2026",
        "2026-11",
        "202611",
        "2026-W48-7",
        "2026-333",
        "29.11.2026",
        "11/29/2026",
        "2026-1-2",
        "2026-13-01",
        "2026-02-29",
        "2026-11-29T",
        "2026-11-29T10",
        "2026-11-29T25:00Z",
        "2026-11-29T24:01Z",
        "2026-11-29T24:00:00.1Z",
        "2026-11-29T10:60Z",
        "2026-11-29T10:30:60Z",
        "2026-11-29T10:30:61Z",
        "2026-11-29T10:30:00.Z",
        "2026-11-29T10:30:00+24:00",
        "2026-11-29T10:30:00+99:00",
        "2026-11-29T10:30:00+05:60",
        "2026-11-29T10:30:00+5",
        "2026-11-29T10:30:00+5:30",
        "2026-11-29T10:30:00+05:30[Asia/Kolkata]",
        "2026-11-29T10:30:00 Asia/Kolkata",
        "2026-11-29T10:30:00 EST",
        "2026-11-29T10:30:00ZZ",
        "2026-11-29T10:30:00  05:30",
        "2026-11-29\nT10:30",
        "2026-11-29T10:30:00Z\n",
        "\N{FULLWIDTH DIGIT TWO}026-11-29",
        "-2026-11-29",
        "+2026-11-29",
        "1.5",
        "-1795948200",
        "1e9",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=UNREADABLE[:20]):
        span(text)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("0000-01-01", BEYOND),
        ("0001-01-01T00:00:00+14:00", BEYOND),
        ("9999-12-31T23:59:59-14:00", BEYOND),
        ("9999-12-31T24:00Z", BEYOND),
        ("1795948200000", IN_SECONDS),
        ("9" * 60, IN_SECONDS),
    ],
)
def test_what_is_beyond_is_told_so(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason[:20]):
        span(text)
