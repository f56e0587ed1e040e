"""`storecredit report`: what was sold, spent and lost in a time, and the money for it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import DatabaseUrl, DataDir, Json, settings_of
from storecredit.cli.problems import Failed, Misused

if TYPE_CHECKING:
    from storecredit.operator.figures import Report

MAX_SECONDS: Final = 3600.0
"""For reading the whole ledger."""

# As operator.figures lists them; named here so that `--help` does not load it.
ByName = Literal["day", "plan", "store"]


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("report")(report)


def report(
    since: Annotated[
        str,
        typer.Option(
            "--since",
            help="From then on: 7d is today and the six days before, in UTC; or a day or moment "
            "(2026-11-29, 2026-11-29T10:30:00Z).",
        ),
    ] = "7d",
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="Before that moment, or to the end of that day.", show_default="now"
        ),
    ] = None,
    by: Annotated[
        ByName | None, typer.Option("--by", help="A row for each, beside the total.")
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: the rows, or without --by the total.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Report credits sold, given, spent, refunded, expired and lost, and money by currency.

    The whole ledger is read for it: about a second per million movements.
    """
    if csv and json:
        raise Misused("Give --csv or --json, one of the two.")
    made = against(
        settings_of(data_dir=data_dir, database_url=database_url),
        _making(since, until, by),
        may_only_read=True,
    )
    if json:
        output.as_json(made)
    elif csv:
        _print_csv(made)
    else:
        _print(made)


def _making(
    since: str, until: str | None, by: ByName | None
) -> "Callable[[Rooms], Awaitable[Report]]":
    """What makes the report. Raises `Misused` for a time that cannot be read."""
    from datetime import UTC, datetime

    from storecredit.web.http.periods import period

    try:
        times = period(since, until, datetime.now(UTC))
    except ValueError as error:
        raise Misused(str(error)) from error

    async def act(rooms: Rooms) -> "Report":
        from storecredit.operator.figures import By
        from storecredit.operator.report import Reports
        from storecredit.postgres.errors import StatementCancelled

        reports = Reports(rooms.buckets)
        wanted = By(by) if by else None
        try:
            return await reports.make(
                times.since, times.until, wanted, statement_seconds=MAX_SECONDS
            )
        except StatementCancelled as error:
            raise Failed(
                f"Reading the ledger was given up after {MAX_SECONDS / 60:.0f} minutes."
            ) from error

    return act


def _print_csv(made: "Report") -> None:
    from storecredit.operator.report_table import report_table
    from storecredit.web.http.csv_export import lines

    names, rows = report_table(made)
    typer.echo(lines([names, *rows]).decode(), nl=False)
    _note_the_rest(made)


def _print(made: "Report") -> None:
    """The rows with the columns that are not empty, then the total, field by field."""
    from msgspec.structs import asdict

    from storecredit.operator.report_table import report_table

    names, rows = report_table(made)
    if made.by is not None:
        items = [dict(zip(names, row, strict=True)) for row in rows]
        shown = [name for name in names if any(item[name] != 0 for item in items)]
        output.page(items, shown, nothing="Nothing happened in that time.")
        _note_the_rest(made)
    total = asdict(made.total)
    money = total.pop("money")
    output.record({"since": made.since, "until": made.until, **total}, json=False)
    for each in money:
        paid, returned, net = (
            output.money(amount, each.currency) for amount in (each.paid, each.returned, each.net)
        )
        typer.echo(f"{each.currency}: {paid} paid, {returned} returned, {net} net")


def _note_the_rest(made: "Report") -> None:
    if made.truncated:
        output.note(f"There are more than these {len(made.rows)} rows; the total is of all.")
