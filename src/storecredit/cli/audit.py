"""`storecredit audit`: what operators did."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storecredit.cli import output
from storecredit.cli.database import Rooms, against
from storecredit.cli.options import (
    PAGE_DEFAULT,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    OfRequest,
    moment_text,
    settings_of,
)
from storecredit.cli.problems import Misused

if TYPE_CHECKING:
    from storecredit.operator.audit_entries import Entry

COLUMNS = ("acted_at", "actor", "door", "action", "owner", "subject", "reason", "asked")


def add_to(app: typer.Typer) -> None:
    """Put this module's command into the command line."""
    app.command("audit")(audit)


def action_name(text: str) -> str:
    """An action that operators can do."""
    from storecredit.operator.audit import Action

    if text not in tuple(Action):
        raise typer.BadParameter(f"there is no such action; there are {', '.join(Action)}")
    return text


def audit(
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="STORE",
            help="Only what was done to this store or end user, named as for `credits remove`.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Only what this operator did.")
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action", parser=action_name, metavar="ACTION", help="Only this, as key.revoke."
        ),
    ] = None,
    request_id: OfRequest = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", parser=moment_text, metavar="TIME", help="Only from then on."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", parser=moment_text, metavar="TIME", help="Only before then."),
    ] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="Go on after the page that said this at its end.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show what operators did, newest first: who, when, why, to whom. Nobody can change it."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.operator.audit import Action
        from storecredit.operator.audit_entries import AuditFilter

        wanted = AuditFilter(
            actor=by,
            action=None if action is None else Action(action),
            owner=None if owner is None else await rooms.owner(owner),
            request_id=request_id,
            from_=since,
            to=until,
        )
        try:
            page = await rooms.operator.audit_entries.page(wanted, limit=limit, cursor=cursor)
        except ValueError as error:
            raise Misused("--cursor is none: give what a page said at its end.") from error
        return {
            "items": [_view(entry) for entry in page.items],
            "next_cursor": page.next_cursor,
        }

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    if json:
        output.as_json(found)
        return
    for item in found["items"]:
        item["owner"] = _whose(item)
        item["asked"] = ", ".join(_told(item["asked"]))
    output.listing(found, COLUMNS, nothing="There are no such entries.", json=False)


def _view(entry: "Entry") -> dict[str, Any]:
    """An entry as the operator's API shows it."""
    fields = {name: getattr(entry, name) for name in entry.__slots__}
    owner, other = fields.pop("owner"), fields.pop("other")
    ids = {
        f"{prefix}{kind}_id": whose.id if whose is not None and whose.kind == kind else None
        for prefix, whose in (("", owner), ("to_", other))
        for kind in ("store", "user")
    }
    return {"entry_id": str(fields.pop("entry_id")), **fields, **ids}


def _told(asked: dict[str, Any]) -> list[str]:
    """What was asked for. None says something: that a grant is to have no end."""
    return [
        f"{name}: {'none' if value is None else value}"
        for name, given in asked.items()
        if (value := " ".join(map(str, given)) if isinstance(given, list) else given) != ""
    ]


def _whose(item: dict[str, Any]) -> str:
    named = [
        f"{kind} {item[f'{prefix}{kind}_id']}"
        for prefix in ("", "to_")
        for kind in ("store", "user")
        if item[f"{prefix}{kind}_id"] is not None
    ]
    return " to ".join(named)
