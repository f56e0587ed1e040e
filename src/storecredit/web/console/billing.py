"""`/console/billing`: what billing could not settle by itself, and what can be done about it."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, assert_never

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from storecredit.billing.bookings import BOOKED_BY_HAND, Booked, NotBooked
from storecredit.billing.paddle.payments import Payment
from storecredit.billing.problems import EventProblem, Found, ShortClawback
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.owner_names import NAME_MAX, spelled
from storecredit.operator.tokens import Scope
from storecredit.web.http.envelope import not_found
from storecredit.web.http.faults import Check, no_nul
from storecredit.web.http.scopes import needs
from storecredit.web.pages.forms import NEEDED, Form, FormRefused, form_of_query, read_form
from storecredit.web.pages.rendering import page
from storecredit.web.pages.signed_in import SEE_OTHER
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import Amount, Description

ADDRESS: Final = "/console/billing"
TRANSACTION_MAX: Final = 200
REFUSALS: Final[dict[NotBooked, tuple[str, str]]] = {
    NotBooked.UNKNOWN_TRANSACTION: (
        "transaction_id",
        "Paddle knows no such transaction, or does not say what was paid.",
    ),
    NotBooked.NOT_ASKED: (
        "transaction_id",
        "No event that is kept says what was paid, and Paddle cannot be asked: billing is off.",
    ),
    NotBooked.NOT_COMPLETED: ("transaction_id", "It is not completed: nothing was paid."),
    NotBooked.ALREADY_BOOKED: ("credits", "It has been booked already, for other credits."),
    NotBooked.CONFLICT: ("credits", "It has been booked already, for other credits."),
    NotBooked.OTHER_OWNER: ("owner", "It is another's: a record of ours says so."),
    NotBooked.UNKNOWN_OWNER: ("owner", "No record says whose it is: name a store or an end user."),
}
"""Why nothing was booked: of which field it is told, and how."""


class BookingForm(msgspec.Struct):
    """What a transaction at Paddle is worth, and whose it is, where no record says so."""

    transaction_id: Annotated[str, msgspec.Meta(max_length=TRANSACTION_MAX), Check(no_nul)]
    credits: Amount
    description: Description = ""
    owner: Annotated[str, msgspec.Meta(max_length=NAME_MAX), Check(no_nul)] | None = None


@dataclass(frozen=True, slots=True)
class BookingSeen:
    """What will be booked. `balance` None: only a record of ours says whose it is."""

    paid: Payment
    credits: int
    owner: Owner | None
    name: str
    balance: int | None
    fields: dict[str, str]


@get("/billing")
async def billing_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Everything to look at, with what mends it."""
    found = await parts.problems.find()
    stores = [each.store_id for each in found.bills.items]
    stores += [
        each.owner.id for each in found.clawbacks.items if each.owner.kind is OwnerKind.STORE
    ]
    named = await parts.stores.several(stores)
    return page(
        request,
        "billing.html",
        found=found,
        about={each.event_id: _text(each.about) for each in found.events.items},
        names={store.store_id: store.name for store in named},
        is_on=parts.signatures is not None,
        done=request.query_params.get("done"),
    )


@post("/billing/events/{event_id:str}/retry", status_code=200)
async def retry_event(
    parts: NamedDependency[Parts],
    event_id: FromPath[str],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Looks at an event again that was set aside, once its cause is mended."""
    if not await parts.billing_actions.retry_event(context, event_id):
        raise not_found("event that was set aside and can be looked at again")
    return Redirect(f"{ADDRESS}?done=retried", status_code=SEE_OTHER)


@get("/billing/problems/{problem_id:str}/dismiss", **needs(Scope.ALL))
async def dismiss_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts], problem_id: FromPath[str]
) -> Response[str]:
    """Says what it is that will be shown no longer."""
    problem = _problem(await parts.problems.find(), problem_id)
    return page(request, "billing_dismiss.html", problem=problem, problem_id=problem_id)


@post("/billing/problems/{problem_id:str}/dismiss", status_code=200)
async def dismiss(
    parts: NamedDependency[Parts],
    problem_id: FromPath[str],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Shows a problem no longer that was dealt with by hand; no credits move."""
    if not await parts.billing_actions.dismiss(context, problem_id):
        raise not_found("event or clawback among the problems")
    return Redirect(f"{ADDRESS}?done=dismissed", status_code=SEE_OTHER)


@get("/billing/book", **needs(Scope.ALL))
async def book_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Asks what a transaction is worth; then says what will be."""
    form = form_of_query(request)
    # The link from a problem names the transaction, and leaves the rest to be said.
    if not form.texts.get("credits"):
        return page(request, "billing_book.html", form=form, seen=None)
    return await _seen(request, parts, form)


@post("/billing/book", status_code=200)
async def book(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    form: NamedDependency[Form],
    context: NamedDependency[ActionContext],
) -> Response[Any]:
    """Adds credits for what was paid at Paddle, once per transaction."""
    try:
        wanted = read_form(request, form, BookingForm)
        owner = await _owner(parts, form, wanted)
        outcome = await parts.billing_actions.book(
            *(context, wanted.transaction_id, wanted.credits),
            wanted.description or BOOKED_BY_HAND,
            owner,
        )
        booked = _booked(outcome, form)
    except FormRefused as refused:
        return page(request, "billing_book.html", status=400, form=refused.form, seen=None)
    kind, id_ = booked.owner.kind.value, booked.owner.id
    return Redirect(
        f"/console/{kind}s/{id_}/credits?done=added&request=booking:{wanted.transaction_id}",
        status_code=SEE_OTHER,
    )


async def _seen(request: Request[Any, Any, Any], parts: Parts, form: Form) -> Response[str]:
    try:
        wanted = read_form(request, form, BookingForm)
        owner = await _owner(parts, form, wanted)
        paid = await parts.bookings.find(wanted.transaction_id)
        if isinstance(paid, NotBooked):
            raise _refusal(paid, form)
    except FormRefused as refused:
        return page(request, "billing_book.html", status=400, form=refused.form, seen=None)
    texts = {name: form.texts.get(name, "").strip() for name in BookingForm.__struct_fields__}
    fields = {name: text for name, text in texts.items() if text}
    if owner is None:
        seen = BookingSeen(paid, wanted.credits, None, "", None, fields)
    else:
        balance = await parts.credits.balance(owner)
        store = await parts.stores.get(owner.id) if owner.kind is OwnerKind.STORE else None
        name = f"End user {owner.id}" if store is None else store.name
        fields["owner"] = spelled(owner)
        seen = BookingSeen(paid, wanted.credits, owner, name, balance.balance, fields)
    return page(request, "billing_book.html", form=form, seen=seen)


async def _owner(parts: Parts, form: Form, wanted: BookingForm) -> Owner | None:
    if wanted.owner is None:
        return None
    match await parts.owner_names.named(wanted.owner):
        case (owner,):
            return owner
        case ():
            message = "There is no store or end user of this name or id."
        case several:
            listed = ", ".join(map(spelled, several))
            message = f"Several are called that. Write which is meant: {listed}."
    raise FormRefused(form.with_faults({"owner": message}))


def _booked(outcome: Booked | NotBooked, form: Form) -> Booked:
    match outcome:
        case Booked():
            return outcome
        case NotBooked():
            raise _refusal(outcome, form)
        case _:
            assert_never(outcome)


def _refusal(reason: NotBooked, form: Form) -> FormRefused:
    field, message = REFUSALS.get(reason, ("transaction_id", NEEDED))
    return FormRefused(form.with_faults({field: message}))


def _problem(found: Found, problem_id: str) -> EventProblem | ShortClawback:
    for event in found.events.items:
        if event.event_id == problem_id:
            return event
    for clawback in found.clawbacks.items:
        if clawback.adjustment_id == problem_id:
            return clawback
    raise not_found("event or clawback among the problems")


def _text(about: dict[str, object] | None) -> str:
    return "" if about is None else json.dumps(about, indent=2, ensure_ascii=False, default=str)


HANDLERS: Final = (
    billing_page,  # GET /billing
    retry_event,  # POST /billing/events/{event_id}/retry
    dismiss_page,  # GET /billing/problems/{problem_id}/dismiss
    dismiss,  # POST /billing/problems/{problem_id}/dismiss
    book_page,  # GET /billing/book
    book,  # POST /billing/book
)
