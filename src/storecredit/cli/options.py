"""Options and arguments that several commands share, and the settings they add up to."""

import getpass
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

import typer

if TYPE_CHECKING:
    from storecredit.operator.audit import ActionContext
    from storecredit.settings import Settings

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 100
CREDITS_MAX: Final = 1_000_000_000
NUMBER_MAX: Final = 2**63 - 1
"""Of what the database counts with."""
DURATION_MAX: Final = timedelta(days=36_500)
PRIORITY_MAX: Final = 1000
REQUEST_ID_MAX: Final = 200
DESCRIPTION_MAX: Final = 500
ACTOR_MAX: Final = 100
SEARCH_MAX: Final = 253

_FLAGS: Final = ("host", "port", "processes", "data_dir", "database_url")


def moment(text: str) -> datetime:
    """A point in time as ISO 8601; without an offset it is UTC."""
    parsed = datetime.fromisoformat(text)
    moment = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the years 1 to 9999") from None
    return moment


def moment_text(text: str) -> datetime:
    """The same, as people are told to write it."""
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(
            "write 2027-01-31 (its first moment, UTC) or 2027-01-31T10:30+01:00"
        ) from None


def duration(text: str) -> timedelta:
    """A length of time, as in 30d, 12h, 90m or 2w."""
    found = re.fullmatch(r"(\d{1,6})([wdhm])", text.strip(), re.ASCII)
    if found is None or not int(found[1]):
        raise typer.BadParameter("write a number and its unit: 30d (days), 12h, 90m or 2w")
    unit = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}[found[2]]
    length = timedelta(**{unit: int(found[1])})
    if length > DURATION_MAX:
        raise typer.BadParameter(f"at most {DURATION_MAX.days:,} days")
    return length


def request_id_text(text: str) -> str:
    """A request id as the HTTP API takes it, without the spaces that pasting brings along."""
    text = text.strip()
    if not (1 <= len(text) <= REQUEST_ID_MAX and text.isascii() and text.isprintable()):
        raise typer.BadParameter(
            f"a request id has 1 to {REQUEST_ID_MAX} printable ASCII characters"
        )
    return text


def description_text(text: str) -> str:
    """What can stand in the ledger."""
    if len(text) > DESCRIPTION_MAX:
        raise typer.BadParameter(f"at most {DESCRIPTION_MAX} characters, not {len(text)}")
    return text


def search_text(text: str) -> str:
    """What can be looked for."""
    if not 1 <= len(text) <= SEARCH_MAX:
        raise typer.BadParameter(f"1 to {SEARCH_MAX} characters, not {len(text)}")
    return text


def actor_text(text: str) -> str:
    """Who does something, as the ledger names them."""
    text = text.strip()
    if not _is_name(text):
        raise typer.BadParameter(f"a name has 1 to {ACTOR_MAX} printable characters")
    return text


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= ACTOR_MAX and text.isprintable()


def actor_of(name: str | None) -> str:
    """Who does it: the name that was given, else whoever is logged in here."""
    if name is not None:
        return name
    try:
        login = getpass.getuser().strip()
    except (KeyError, OSError):  # an id that nobody has given a name, as in a container
        login = ""
    # The environment says it (LOGNAME), and may say anything.
    return login if _is_name(login) else f"uid {os.getuid()}"


def context_of(
    actor: str | None, reason: str = "", request_id: str | None = None
) -> "ActionContext":
    """Who acts by a command, why, and by which request; None: a new one."""
    from storecredit.operator.audit import ActionContext

    return ActionContext(actor_of(actor), "command", request_id or f"req_{uuid4()}", reason)


def origin_text(text: str) -> str:
    """A web origin, as browsers send it."""
    from storecredit.stores.origins import normalise_origin

    normal = normalise_origin(text)
    if normal is None:
        raise typer.BadParameter(
            f"{text!r} is not a web origin: write scheme://host or scheme://host:port"
        )
    return normal


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where the embedded PostgreSQL and the result images are.",
        show_default="data",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="A PostgreSQL of your own, 15 or later: postgresql://user@host/database. A password "
        "is safer in STORECREDIT_DATABASE_URL: everyone on this machine can read a flag.",
        show_default="the embedded one",
    ),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--as",
        parser=actor_text,
        metavar="NAME",
        help="Who does it; stands in the audit log and the ledger, for the operator alone.",
        show_default="your login name",
    ),
]
Reason = Annotated[
    str,
    typer.Option("--reason", parser=description_text, help="Why; stands in the audit log."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StoreName = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="The store: its id, or its name or domain where no other has the same; "
        "`storecredit store list` lists them.",
    ),
]
OwnerName = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="A store by id, name or domain, or an end user by id; store:ID or user:ID where an id "
        "is both.",
    ),
]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", metavar="CURSOR", help="Go on where a page ended: what it says."),
]
Below = Annotated[
    int | None,
    typer.Option("--below", min=0, max=NUMBER_MAX, help="Only those with fewer credits than that."),
]
OfRequest = Annotated[
    str | None, typer.Option("--request-id", metavar="ID", help="Only those of this request.")
]
BeforeSeq = Annotated[
    int | None,
    typer.Option("--cursor", min=1, max=NUMBER_MAX, help="Go on before this seq."),
]
RequestId = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        parser=request_id_text,
        metavar="ID",
        help="Done once per id: give the same again to repeat a command safely.",
        show_default="a new one, which is printed",
    ),
]
UserId = Annotated[
    UUID,
    typer.Argument(metavar="USER", help="The end user's id; `storecredit user list` lists them."),
]
KeyId = Annotated[
    UUID, typer.Argument(metavar="KEY_ID", help="The API key; `storecredit key list` lists them.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=PAGE_MAX, help="How many at most.")]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        parser=origin_text,
        metavar="ORIGIN",
        help="A web origin (https://shop.example) that may use the key from a browser; repeatable.",
    ),
]


def variable_of(field: str) -> str:
    """The environment variable of a setting."""
    return f"STORECREDIT_{field.upper()}"


def flag_of(field: str) -> str | None:
    """The flag of a setting, if it has one."""
    return f"--{field.replace('_', '-')}" if field in _FLAGS else None


def settings_of(**flags: Any) -> "Settings":
    """The settings: flags that were given (not None), else the environment, else the defaults."""
    from storecredit.settings import Settings

    return Settings(**{field: value for field, value in flags.items() if value is not None})
