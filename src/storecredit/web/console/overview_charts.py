"""The overview's figures as charts, and what is said of each cause of failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from storecredit.generation.sessions import FailureCode
from storecredit.ledger.owners import OwnerKind
from storecredit.operator.overview import CurrencyCourse, Overview, Span
from storecredit.operator.sums import Period
from storecredit.web.pages.charts import Chart, Money, Series, Tone, Unit
from storecredit.web.pages.formats import words

CAUSES_DRAWN: Final = 4
"""The most frequent; the others are drawn together."""
UNITS: Final = {Span.HOURS: Unit.HOUR, Span.DAYS: Unit.DAY, Span.MONTHS: Unit.MONTH}
TIMES: Final = {
    Span.HOURS: "these 24 hours",
    Span.DAYS: "these 30 days",
    Span.MONTHS: "these 12 months",
}
EACH: Final = {Unit.HOUR: "hourly", Unit.DAY: "daily", Unit.MONTH: "monthly"}
WHOSE: Final = {None: "", OwnerKind.STORE: " by stores", OwnerKind.USER: " by end users"}
CAUSE_TONES: Final = (Tone.RED, Tone.ORANGE, Tone.VIOLET, Tone.BLUE)
_ADVICE: Final[dict[str, str]] = {
    FailureCode.MODERATION_BLOCKED: "Moderation refuses what was asked for. Nothing to mend here.",
    FailureCode.IMAGE_UNREACHABLE: "An input image could not be fetched: the caller's address.",
    FailureCode.IMAGE_UNREADABLE: "An input image is none that can be used.",
    FailureCode.GENERATOR_REJECTED: "The generator refuses the request: look one up for its words.",
    FailureCode.GENERATOR_QUOTA_EXCEEDED: "Your account at the generator has nothing left there.",
    FailureCode.GENERATOR_UNAVAILABLE: "The generator was away or busy until the last attempt.",
    FailureCode.GENERATOR_TIMEOUT: "The generator took longer than the settings let it.",
    FailureCode.GENERATION_FAILED: "Anything else: look one up for the generator's words.",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why generations failed: how many, what part of all that were begun, and what to do."""

    code: str
    count: int
    part: float | None
    advice: str


def causes_of(found: Overview) -> list[Cause]:
    """Every cause, the most frequent first."""
    begun = found.total.generations
    return [
        Cause(code, count, min(count / begun, 1.0) if begun else None, _ADVICE.get(code, ""))
        for code, count in found.total.failures.items()
    ]


def spent_chart(found: Overview) -> Chart:
    """What was used, and what of it was given back."""
    return _chart(
        found,
        "spent",
        "Credits spent",
        [
            _series("Spent", Tone.BLUE, found, lambda each: each.figures.spent),
            *_if_any("Beyond the balance", Tone.ORANGE, found, lambda each: each.figures.overage),
            _series(
                "Refunded",
                Tone.VIOLET,
                found,
                lambda each: each.figures.refunded + each.figures.overage_returned,
                below=True,
            ),
        ],
        empty="spent. A generation spends credits, and so does POST /api/v1/credits/spend.",
    )


def in_and_out_chart(found: Overview) -> Chart:
    """What came in, and what went without having been spent."""
    return _chart(
        found,
        "sold",
        "Credits sold and expired",
        [
            _series("Sold", Tone.GREEN, found, lambda each: each.figures.sold),
            *_if_any("Given", Tone.BLUE, found, lambda each: each.figures.given),
            _series("Expired", Tone.ORANGE, found, lambda each: each.figures.expired, below=True),
            *_if_any(
                "Clawed back", Tone.RED, found, lambda each: each.figures.clawed_back, below=True
            ),
            *_if_any("Removed", Tone.GREY, found, lambda each: each.figures.removed, below=True),
        ],
        empty="sold, and none expired. A store's page starts a checkout, or adds credits.",
    )


def failures_chart(found: Overview) -> Chart:
    """Generations that failed, by the most frequent causes."""
    drawn = list(found.total.failures)[:CAUSES_DRAWN]
    series = [
        Series(words(code), tone, [each.failures.get(code, 0) for each in found.periods])
        for code, tone in zip(drawn, CAUSE_TONES, strict=False)
    ]
    others = _if_any(
        "Other causes",
        Tone.GREY,
        found,
        lambda each: sum(n for code, n in each.failures.items() if code not in drawn),
    )
    none = [Series("Failed", Tone.RED, [0] * len(found.periods))]
    return Chart(
        name="failures",
        caption="Generations that failed",
        note=EACH[UNITS[found.span]],
        unit=UNITS[found.span],
        points=[each.begins_at for each in found.periods],
        series=[*series, *others] or none,
        empty=f"No generation{WHOSE[found.kind]} failed in {TIMES[found.span]}.",
    )


def money_chart(found: Overview, number: int, course: CurrencyCourse) -> Chart:
    """What was paid in one currency, and what went back; by the day, or by the month.

    `number`: the place of the chart among those of money.
    """
    unit = Unit.MONTH if found.span is Span.MONTHS else Unit.DAY
    return Chart(
        name=f"money-{number}",
        caption=f"Money in {course.currency}",
        note=EACH[unit],
        unit=unit,
        points=found.money_points,
        series=[
            Series("Paid", Tone.GREEN, course.paid),
            Series("Returned", Tone.RED, course.returned, below=True),
        ],
        empty=f"Nothing was paid in {course.currency}.",
        written=Money(course.currency),
    )


def _chart(
    found: Overview, name: str, caption: str, series: Sequence[Series], *, empty: str
) -> Chart:
    return Chart(
        name=name,
        caption=caption,
        note=EACH[UNITS[found.span]],
        unit=UNITS[found.span],
        points=[each.begins_at for each in found.periods],
        series=series,
        empty=f"In {TIMES[found.span]} no credits{WHOSE[found.kind]} were {empty}",
    )


def _series(
    label: str,
    tone: Tone,
    found: Overview,
    figure: Callable[[Period], int],
    *,
    below: bool = False,
) -> Series:
    return Series(label, tone, [figure(each) for each in found.periods], below=below)


def _if_any(
    label: str,
    tone: Tone,
    found: Overview,
    figure: Callable[[Period], int],
    *,
    below: bool = False,
) -> list[Series]:
    """The series, where there is something in it."""
    series = _series(label, tone, found, figure, below=below)
    return [series] if any(series.values) else []
