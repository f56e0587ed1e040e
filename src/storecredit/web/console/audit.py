"""`/console/audit`: who did what, when, why and to whom."""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import Action
from storecredit.operator.audit_entries import AuditFilter, AuditPage, Entry
from storecredit.web.http.envelope import Failure
from storecredit.web.http.moments import span
from storecredit.web.http.paging import bounds
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts

PAGE: Final = 50
TEXT_MAX: Final = 260
FILTERS: Final = ("owner", "actor", "action", "request_id", "from", "to")
TEXTS: Final = ("actor", "request_id")
"""Those of them that are compared with what an entry says."""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, with the names of whom it is about, and what was asked and came of it as text."""

    entry: Entry
    owner: str
    other: str
    asked: str
    outcome: str


@get("/audit")
async def audit_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """A page of the log, newest first, by filters that stand in the address."""
    sent = {
        name: value
        for name in FILTERS
        if (value := request.query_params.get(name, "").strip()[:TEXT_MAX])
    }
    faults: dict[str, str] = {}
    wanted = await _wanted(parts, sent, faults)
    cursor = request.query_params.get("cursor")
    found = None if faults else await _page(parts, wanted, cursor)
    entries = found.items if found else ()
    more = found.next_cursor if found else None
    return page(
        request,
        "audit.html",
        status=400 if faults else 200,
        lines=await _lines(parts, entries),
        actions=[action.value for action in Action],
        sent=sent,
        wrong=faults,
        next_address=f"/console/audit?{urlencode({**sent, 'cursor': more})}" if more else "",
        first_address=f"/console/audit?{urlencode(sent)}" if cursor else "",
    )


async def _wanted(parts: Parts, sent: dict[str, str], faults: dict[str, str]) -> AuditFilter:
    """Which entries are asked for; what cannot be is told in `faults`, by its field."""
    faults |= {name: "It has no NUL." for name in TEXTS if "\0" in sent.get(name, "")}
    owner = await _owner(parts, sent["owner"], faults) if "owner" in sent else None
    action = sent.get("action")
    if action is not None and action not in tuple(Action):
        faults["action"] = "There is no such action."
    for name in ("from", "to"):
        try:
            span(sent.get(name, "2026-01-01"))
        except ValueError as error:
            faults[name] = str(error)
    if faults:
        return AuditFilter()
    try:
        first, last = bounds(sent.get("from"), sent.get("to"))
    except Failure as failure:
        faults["to"] = failure.message
        return AuditFilter()
    wanted_action = None if action is None else Action(action)
    return AuditFilter(sent.get("actor"), wanted_action, owner, sent.get("request_id"), first, last)


async def _owner(parts: Parts, name: str, faults: dict[str, str]) -> Owner | None:
    match await parts.owner_names.named(name):
        case (owner,):
            return owner
        case ():
            faults["owner"] = "There is no store or end user of this name or id."
        case _:
            faults["owner"] = "Several are called that: give the id of the one that is meant."
    return None


async def _lines(parts: Parts, entries: tuple[Entry, ...]) -> list[Line]:
    owners = {owner for each in entries for owner in (each.owner, each.other) if owner}
    stores = [owner.id for owner in owners if owner.kind is OwnerKind.STORE]
    names = {store.store_id: store.name for store in await parts.stores.several(stores)}

    def name(owner: Owner | None) -> str:
        if owner is None:
            return ""
        return names.get(owner.id, "") if owner.kind is OwnerKind.STORE else f"user {owner.id}"

    return [
        Line(each, name(each.owner), name(each.other), _text(each.asked), _text(each.outcome))
        for each in entries
    ]


def _text(values: dict[str, Any]) -> str:
    """What was asked or came of it, each name and value on a line; not what was left out."""
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
        if value not in (None, "", [])
    )


async def _page(parts: Parts, wanted: AuditFilter, cursor: str | None) -> AuditPage:
    """The page after a cursor of an address; the first where it is none of this list."""
    read = parts.operator.audit_entries.page
    try:
        return await read(wanted, limit=PAGE, cursor=cursor)
    except ValueError:
        return await read(wanted, limit=PAGE, cursor=None)
