"""How commands print: data on standard output, as text or JSON; remarks on standard error."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer

from storecredit.billing.currencies import in_main_unit

TABLE_WIDTH_MAX: Final = 400
"""In characters; longer texts are folded."""
LINE_WIDTH_MIN: Final = 40
"""In characters; a terminal that is narrower breaks lines as it likes."""


def as_json(value: object) -> None:
    """A value as JSON, with the field names it has."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def record(fields: Mapping[str, object], *, json: bool) -> None:
    """One thing and its fields."""
    if json:
        as_json(fields)
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}  {shown(value)}".rstrip())


def page(
    items: Sequence[Mapping[str, object]],
    columns: Iterable[str],
    *,
    nothing: str,
    next_cursor: str | None = None,
) -> None:
    """Several things as a table of some of their fields; `nothing` says that there are none."""
    if not items:
        note(nothing)
        return
    table(columns, items)
    if next_cursor is not None:
        note(f"There are more: --cursor {next_cursor}")


def listing(found: Mapping[str, Any], columns: Iterable[str], *, nothing: str, json: bool) -> None:
    """The `items` that a command has found, and its `next_cursor` if it has pages."""
    if json:
        as_json(found)
    else:
        page(found["items"], columns, nothing=nothing, next_cursor=found.get("next_cursor"))


def table(columns: Iterable[str], items: Iterable[Mapping[str, object]]) -> None:
    """A table as wide as its texts: a narrow terminal wraps its lines, and folds no identifier."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = list(columns)
    grid = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False)
    for item in items:
        # Text, not markup: a store's name may hold brackets.
        grid.add_row(*(Text(shown(item[name])) for name in names))
    Console(width=TABLE_WIDTH_MAX).print(grid, soft_wrap=True)


def indented(text: str) -> None:
    """A line below another; on a terminal it goes on below itself, between words."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    typer.echo(
        textwrap.fill(
            text,
            max(width, LINE_WIDTH_MIN),
            initial_indent=" " * 4,
            subsequent_indent=" " * 6,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def note(sentence: str) -> None:
    """A remark that is no data."""
    typer.echo(sentence, err=True)


def money(amount: int, currency: str) -> str:
    """An amount as people write it; `amount` is in the currency's smallest unit."""
    return f"{in_main_unit(amount, currency):,} {currency}"


def shown(value: Any) -> str:
    """A value as people read it, on one line."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,g}"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case {"amount": amount, "expires_at": datetime() as expires_at}:
            return f"{amount} at {shown(expires_at)}"
        case dict():
            import msgspec

            return shown(msgspec.json.encode(value).decode())
        case list() | tuple():
            return ", ".join(map(shown, value)) or "–"
        case _:
            # A control character of a name must not reach the terminal.
            return "".join(
                each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)
            )
