"""The `storecredit` command: commands only, no logic of their own.

Hides Typer and Rich. Promises: standard output carries what was asked for and nothing else (log
lines, notes and progress go to standard error); `--json` prints the operator API's field names;
the exit status is 0 when it was done, 1 when it was not or `verify` found something, 2 when the
command or a setting is wrong; and what can be expected to go wrong is told in a sentence.

`storecredit --help` answers without loading the service: every command imports what it runs.
"""

import asyncio
import gc
import sys
from typing import Annotated, Final

import typer

import storecredit
from storecredit.cli import (
    audit,
    backup,
    billing,
    buckets,
    checkpoints,
    console,
    corrections,
    credits,
    demo,
    importing,
    keys,
    migrating,
    portal,
    problems,
    psql,
    report,
    requests,
    running,
    sessions,
    stores,
    tokens,
    upgrading,
    users,
    verification,
    webhooks,
)

INTERRUPTED: Final = 130
"""128 + SIGINT, as a shell counts it."""

CYCLES_LOOKED_FOR_AFTER: Final = (50_000, 20, 20)
"""Objects made, and rounds over the younger ones, before Python looks for cycles (`gc`).

A batch makes thousands of objects that all live until it is committed: at Python's default of 700
it is looked through again and again, for a fifth of the time of a generation. So is what a command
loads, for a tenth of its start.
"""

app = typer.Typer(
    name="storecredit",
    help="Prepaid credits for API businesses: sold, spent, held, given back, and proven.",
    epilog="Settings come from flags, then from the environment (STORECREDIT_DATA_DIR for "
    "--data-dir, and so on), then from defaults.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, which may hold a key or a prompt.
    pretty_exceptions_enable=False,
)
running.add_to(app)
migrating.add_to(app)
demo.add_to(app)
console.add_to(app)
report.add_to(app)
audit.add_to(app)
verification.add_to(app)
backup.add_to(app)
psql.add_to(app)
upgrading.add_to(app)
importing.add_to(app)
portal.add_to(stores.app)
app.add_typer(stores.app, name="store")
app.add_typer(keys.app, name="key")
corrections.add_to(credits.app)
app.add_typer(credits.app, name="credits")
app.add_typer(users.app, name="user")
app.add_typer(requests.app, name="request")
app.add_typer(sessions.app, name="session")
app.add_typer(billing.app, name="billing")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(buckets.app, name="bucket")
app.add_typer(tokens.app, name="token")
app.add_typer(checkpoints.app, name="checkpoint")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"storecredit {storecredit.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def _refuse_what_is_no_text(words: list[str]) -> None:
    """Bytes that are not UTF-8 come as lone surrogates (PEP 383): no database takes those."""
    for place, word in enumerate(words):
        if any("\ud800" <= each <= "\udfff" for each in word):
            raise problems.Misused(f"Argument {place} is no text in UTF-8. Nothing was done.")


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit status."""
    gc.set_threshold(*CYCLES_LOOKED_FOR_AFTER)
    try:
        _refuse_what_is_no_text(sys.argv)
        app(prog_name="storecredit")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(INTERRUPTED)
    except Exception as error:
        problem = problems.expected(error)
        if problem is None:
            raise
        typer.echo(f"Error: {problem.sentence}", err=True)
        sys.exit(problem.status)
