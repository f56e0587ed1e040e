"""Numbers, money and moments as the reader writes them, by the language their browser asks for.

Moments are written in UTC and marked as such; the script of the pages turns them into the viewer's
own zone, and leaves UTC in what shows when they are pointed at.
"""

import re
from collections.abc import Sequence
from copy import copy
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import (
    format_compact_decimal,
    format_decimal,
    format_percent,
)
from babel.units import format_unit
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from storecredit.billing.currencies import decimals, in_main_unit
from storecredit.web.http.moments import span

DEFAULT: Final = "en"
LANGUAGES_LOOKED_AT: Final = 5
HEADER_MAX: Final = 200
LOCALES_KEPT: Final = 64
_AGES: Final = (("hour", 3600), ("minute", 60), ("second", 1))
ID_SHOWN_MAX: Final = 20
ID_END: Final = 6
_TICKED: Final = re.compile(r"`([^`]+)`")
_CELL: Final = re.compile(r"<(tr|td|th)\b")
_TYPED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_TIME: Final = Markup('<time datetime="{}" title="{} UTC">{} UTC</time>')


def locale_of(accept_language: str | None) -> Locale:
    """The first language that the browser asks for and that is known (RFC 9110, 12.5.4).

    Weights are not heeded: browsers write the languages in order of them.
    """
    for tag in (accept_language or "")[:HEADER_MAX].split(",")[:LANGUAGES_LOOKED_AT]:
        found = _locale(tag.partition(";")[0].strip())
        if found is not None:
            return found
    return Locale.parse(DEFAULT)


@lru_cache(maxsize=LOCALES_KEPT)
def _locale(tag: str) -> Locale | None:
    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, TypeError, UnknownLocaleError):
        return None


@pass_context
def number(context: Context, value: float | None) -> str:
    """A number with the separators of the reader's language; a dash for none."""
    return "–" if value is None else format_decimal(value, locale=context["locale"])


@pass_context
def at_most(context: Context, value: int, most: int) -> str:
    """A number that was counted no further than `most`: 10,000+ for one more."""
    return f"{number(context, most)}+" if value > most else number(context, value)


@pass_context
def compact(context: Context, value: int) -> str:
    """A number in few characters: 12K, 3.4M."""
    return format_compact_decimal(value, locale=context["locale"], fraction_digits=1)


@pass_context
def days(context: Context, count: float | None) -> str:
    """For how many days something lasts; a dash where that is not known."""
    if count is None:
        return "–"
    if count < 1:
        return "under a day"
    shown = format_decimal(int(count), locale=context["locale"])
    return f"{shown} day" if int(count) == 1 else f"{shown} days"


@pass_context
def counted(context: Context, count: int, one: str, more: str) -> str:
    """So many of something, or the one."""
    return f"{number(context, count)} {one if count == 1 else more}"


@pass_context
def of_credits(context: Context, count: int) -> str:
    """So many credits, or the one."""
    return counted(context, count, "credit", "credits")


@pass_context
def signed(context: Context, value: int) -> str:
    """A number with its sign, which is a true minus."""
    text = format_decimal(abs(value), locale=context["locale"])
    return f"+{text}" if value > 0 else f"−{text}" if value < 0 else text


@pass_context
def money(context: Context, amount: int, currency: str) -> str:
    """An amount in a currency's smallest unit."""
    return written_money(in_main_unit(amount, currency), currency, context["locale"])


def written_money(value: Decimal, currency: str, locale: Locale) -> str:
    """An amount in a currency's main unit, with all its decimals: nothing is rounded away."""
    pattern = copy(locale.currency_formats["standard"])
    # What the locale's data say of a currency is of cash: HUF has none there.
    pattern.frac_prec = (decimals(currency),) * 2
    written: str = pattern.apply(value, locale, currency=currency, currency_digits=False)
    return written


@pass_context
def moment(context: Context, at: datetime | None) -> Markup | str:
    """A moment, in UTC until the script has turned it into the viewer's zone; a dash for none."""
    if at is None:
        return "–"
    at = at.astimezone(UTC)
    shown = format_datetime(at, "medium", tzinfo=UTC, locale=context["locale"])
    return _TIME.format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M:%S"), shown)


@pass_context
def day(context: Context, at: date) -> str:
    """A day of UTC."""
    return format_date(at, "medium", locale=context["locale"])


@pass_context
def percent(context: Context, part: float) -> str:
    """A part of one."""
    return format_percent(part, "#,##0.#%", locale=context["locale"])


@pass_context
def age(context: Context, since: datetime | None) -> str:
    """For how long something is so, as the pages' script goes on writing it; a dash for nothing."""
    if since is None:
        return "–"
    seconds = max((datetime.now(UTC) - since).total_seconds(), 0)
    unit, length = next((each for each in _AGES if seconds >= 1.5 * each[1]), _AGES[-1])
    return format_unit(round(seconds / length), unit, "short", locale=context["locale"])


def short_id(value: object) -> str:
    """The first and last characters of a long id, whose whole stands in a title or a link.

    Ids that are made in the same minute begin alike, and those of one caller, too.
    """
    text = str(value)
    return text if len(text) <= ID_SHOWN_MAX else f"{text[:ID_END]}…{text[-ID_END:]}"


def ticked(value: object) -> Markup:
    """A text in which `code` stands between backticks, as our descriptions and messages do."""
    return Markup(_TICKED.sub(r"<code>\1</code>", str(escape(value))))  # noqa: S704 - escaped here


def labelled(rows: Markup, columns: Sequence[tuple[str, str]]) -> Markup:
    """A table's rows, each cell with the heading of its column, and whether it is a main one.

    On a narrow screen the style writes it before the cell.
    """
    place = 0

    def with_heading(found: re.Match[str]) -> str:
        nonlocal place
        if found[1] == "tr":
            place = 0
            return found[0]
        heading, classes = columns[place]
        place += 1
        main = " data-main" if "main" in classes.split() else ""
        return f'{found[0]} data-label="{escape(heading)}"{main}' if heading else found[0] + main

    # Whatever is not ours is escaped in them by now, so no tag is a text's.
    return Markup(_CELL.sub(with_heading, str(rows)))  # noqa: S704 - markup, and a heading escaped


def words(value: object) -> str:
    """A name of ours (`signup_bonus`, `IMAGE_UNREADABLE`) as people write it."""
    return str(value).replace("_", " ").capitalize()


def typed_moment(value: datetime | str) -> str:
    """A moment, or what somebody typed for one, as a field of a form has it, in UTC.

    What cannot be read stays as it was typed.
    """
    try:
        at = span(value).start if isinstance(value, str) else value
    except ValueError:
        return str(value)
    shown = at.astimezone(UTC).replace(tzinfo=None)
    return shown.isoformat(timespec="seconds" if shown.second else "minutes")


def is_typed_moment(text: str) -> bool:
    """Whether a field for moments (HTML, 4.10.5.1.11) can show this: such a text, or none."""
    return not text or _TYPED.fullmatch(text) is not None


FILTERS: Final[dict[str, Any]] = {
    "number": number,
    "at_most": at_most,
    "compact": compact,
    "days": days,
    "counted": counted,
    "credits": of_credits,
    "signed": signed,
    "money": money,
    "moment": moment,
    "day": day,
    "percent": percent,
    "age": age,
    "short_id": short_id,
    "ticked": ticked,
    "labelled": labelled,
    "words": words,
    "typed_moment": typed_moment,
    "is_typed_moment": is_typed_moment,
}
