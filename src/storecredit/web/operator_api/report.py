"""`/api/admin/report`: what was sold, spent and lost in a time, and the money for it."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from storecredit.operator.figures import By, Report
from storecredit.operator.report_table import report_table
from storecredit.postgres.errors import StatementCancelled
from storecredit.settings import Settings
from storecredit.web.http.csv_export import MEDIA_TYPE, lines, wants_csv
from storecredit.web.http.envelope import Envelope, invalid, unavailable
from storecredit.web.http.faults import Check
from storecredit.web.http.moments import TEXT_MAX, span
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.periods import SINCE_DEFAULT, Period, begin, period
from storecredit.web.parts import Parts


def _since_refusal(since: str, _settings: Settings) -> str | None:
    try:
        begin(since, datetime.now(UTC))
    except ValueError as error:
        return str(error)
    return None


def _until_refusal(until: str, _settings: Settings) -> str | None:
    try:
        span(until)
    except ValueError as error:
        return str(error)
    return None


Since = Annotated[
    str,
    QueryParameter(
        max_length=TEXT_MAX,
        description="From then on: `7d` is today and the six days before, in UTC; or a day "
        "(`2026-11-29`, of UTC) or a moment (`2026-11-29T10:30:00Z`).",
    ),
    Check(_since_refusal),
]
Until = Annotated[
    str | None,
    QueryParameter(
        max_length=TEXT_MAX,
        description="Before that moment, or to the end of that day; unless given, until now.",
    ),
    Check(_until_refusal),
]


@get(
    "/report",
    summary="Report credits and money",
    operation_id="getReport",
    responses={
        200: ResponseSpec(
            Envelope[Report],
            description="The report; with `Accept: text/csv` its rows as a CSV file, or without "
            "`by` its total",
            generate_examples=False,
        ),
        **operator_errors(),
    },
)
async def get_report(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    since: Since = SINCE_DEFAULT,
    until: Until = None,
    by: FromQuery[By | None] = None,
) -> Response[Envelope[Report]] | Response[bytes]:
    """Credits sold, given, spent, refunded, expired and lost, and money by currency.

    In all, and by day, plan or store. The whole ledger is read for it, about a second per million
    movements, one report at a time: what takes longer than a minute is for the command line.
    """
    times = _period(since, until)
    try:
        report = await parts.reports.make(times.since, times.until, by)
    except StatementCancelled as error:
        raise unavailable(
            "Reading the whole ledger took too long. `storecredit report` has no such limit."
        ) from error
    if not wants_csv(request):
        return Response(Envelope(report))
    names, rows = report_table(report)
    return Response(lines([names, *rows]), headers={"Content-Type": MEDIA_TYPE})


def _period(since: str, until: str | None) -> Period:
    try:
        return period(since, until, datetime.now(UTC))
    except ValueError as error:
        detail = {"key": "until", "source": "query", "message": str(error)}
        raise invalid(str(error), [detail]) from error
