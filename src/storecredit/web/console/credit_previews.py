"""What is asked for of credits by hand, and what it will make of balances, before it is done."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec
from litestar import Request

from storecredit.ledger.balances import Balance
from storecredit.ledger.grants import LIVE_MAX
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import Insufficient, NotDone
from storecredit.operator.owner_names import spelled
from storecredit.stores.stores import Store
from storecredit.web.pages.forms import NEEDED, REASON, Form, FormRefused, read_form
from storecredit.web.pages.places import Place
from storecredit.web.parts import Parts
from storecredit.web.resources.credit_forms import Amount, Description, Expiry, OwnerName
from storecredit.web.resources.grant_terms import Kind, Priority

WHY: Final = "Say why: it stands in the ledger, too."
USED_BEFORE: Final = "This form did something else before. Reload the page, and send it again."


class Added(msgspec.Struct):
    """Credits to add."""

    amount: Amount
    type: AdditionType = AdditionType.GRANT
    description: Description = ""
    expires_at: Expiry | None = None
    kind: Kind = None
    priority: Priority = None


class TakenOut(msgspec.Struct):
    """Credits to take out: so many, or all that are there."""

    amount: Amount | None = None
    all: bool = False


class HandedOver(msgspec.Struct):
    """Credits to hand to somebody else."""

    to: OwnerName
    amount: Amount


@dataclass(frozen=True, slots=True)
class Change:
    """What an action makes of somebody's balance."""

    owner: Owner
    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What will be done, before it is: to whose balances, with which fields of the form.

    `expires_at`: the end of what is added, if it has one.
    """

    amount: int
    changes: tuple[Change, ...]
    fields: dict[str, str]
    expires_at: datetime | None = None


Previewing = Callable[[Request[Any, Any, Any], Parts, Place, Form], Awaitable[Preview]]


def addition(request: Request[Any, Any, Any], place: Place, form: Form) -> Added:
    """The credits that the form asks to add. Raises FormRefused."""
    wanted = read_form(request, form, Added)
    if wanted.type is AdditionType.SUBSCRIPTION and place.owner.kind is OwnerKind.USER:
        raise _wrong(form, "type", "End users have no subscriptions.")
    return wanted


def removal(request: Request[Any, Any, Any], form: Form) -> TakenOut:
    """The credits that it asks to take out. Raises FormRefused."""
    wanted = read_form(request, form, TakenOut)
    if wanted.all is (wanted.amount is not None):
        raise _wrong(form, "amount", "Say how many, or all of them; one of the two.")
    return wanted


async def handover(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form
) -> tuple[HandedOver, Owner]:
    """The credits that it asks to hand over, and to whom. Raises FormRefused."""
    wanted = read_form(request, form, HandedOver)
    match await parts.owner_names.named(wanted.to):
        case ():
            raise _wrong(form, "to", "There is no store or end user of this name or id.")
        case (target,) if target == place.owner:
            raise _wrong(form, "to", "They are here already: name somebody else.")
        case (target,):
            return wanted, target
        case several:
            listed = ", ".join(map(spelled, several))
            raise _wrong(form, "to", f"Several are called that. Write which is meant: {listed}.")


async def addition_seen(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form
) -> Preview:
    """The balance with what is to be added. Raises FormRefused."""
    wanted = addition(request, place, form)
    balance = await parts.credits.balance(place.owner)
    after = balance.balance + wanted.amount
    changes = (_change(place, balance, after),)
    return Preview(wanted.amount, changes, _fields(form, Added), wanted.expires_at)


async def removal_seen(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form
) -> Preview:
    """The balance without what is to be taken out. Raises FormRefused."""
    wanted = removal(request, form)
    balance = await parts.credits.balance(place.owner)
    amount = balance.balance if wanted.amount is None else wanted.amount
    if not 0 < amount <= balance.balance:
        raise not_done(Insufficient(balance.balance, wanted.amount), form)
    change = _change(place, balance, balance.balance - amount)
    return Preview(amount, (change,), _fields(form, TakenOut))


async def transfer_seen(
    request: Request[Any, Any, Any], parts: Parts, place: Place, form: Form
) -> Preview:
    """Both balances, once some of the one are handed to the other. Raises FormRefused."""
    wanted, target = await handover(request, parts, place, form)
    balance, theirs, name = await asyncio.gather(
        parts.credits.balance(place.owner), parts.credits.balance(target), _name(parts, target)
    )
    if wanted.amount > balance.balance:
        raise not_done(Insufficient(balance.balance, wanted.amount), form)
    changes = (
        _change(place, balance, balance.balance - wanted.amount),
        Change(target, name, theirs.balance, theirs.balance + wanted.amount),
    )
    # Whoever is meant now is meant then, whatever anybody is called meanwhile.
    return Preview(wanted.amount, changes, {**_fields(form, HandedOver), "to": spelled(target)})


def _change(place: Place, balance: Balance, after: int) -> Change:
    shown = place.shown
    name = shown.name if isinstance(shown, Store) else f"End user {place.owner.id}"
    return Change(place.owner, name, balance.balance, after)


async def _name(parts: Parts, owner: Owner) -> str:
    store = await parts.stores.get(owner.id) if owner.kind is OwnerKind.STORE else None
    return f"End user {owner.id}" if store is None else store.name


def _fields(form: Form, type_: type[msgspec.Struct]) -> dict[str, str]:
    """What of the form is sent on by the one that does it."""
    names = (each.encode_name for each in msgspec.structs.fields(type_))
    return {name: text for name in names if (text := form.texts.get(name, "").strip())}


def _wrong(form: Form, field: str, message: str) -> FormRefused:
    return FormRefused(form.with_faults({field: message}))


def refuse_without_reason(context: ActionContext, form: Form) -> None:
    """What takes credits away says why. Raises FormRefused."""
    if not context.reason:
        raise _wrong(form, REASON, WHY)


def refuse_addition(outcome: Addition, form: Form) -> None:
    """Raises FormRefused unless the credits are there."""
    match outcome:
        case Addition.ADDED | Addition.ALREADY_ADDED:
            return
        case Addition.CONFLICT:
            raise _wrong(form, "amount", USED_BEFORE)
        case Addition.EXPIRED:
            raise _wrong(form, "expires_at", "This time is past.")
        case Addition.TOO_MANY_GRANTS:
            message = (
                f"{LIVE_MAX} additions with an end or a priority have credits left, and more are "
                "not kept apart: add these without, or once some of those are used up."
            )
            raise _wrong(form, "expires_at", message)
        case Addition.UNKNOWN_OWNER:
            raise AssertionError("owners are never removed")
        case _:
            assert_never(outcome)


def not_done(outcome: Insufficient | NotDone, form: Form) -> FormRefused:
    """Why nothing was taken out or handed over, by its field."""
    match outcome:
        case Insufficient(balance):
            there = "none" if balance == 0 else f"{balance:,}"
            return _wrong(form, "amount", f"There are {there}, and a balance is never below zero.")
        case NotDone.CONFLICT:
            return _wrong(form, "amount", USED_BEFORE)
        case NotDone.SAME_OWNER | NotDone.UNKNOWN_OWNER:
            return _wrong(form, "to", NEEDED)
        case NotDone.NOT_FOUND | NotDone.ENDED | NotDone.PAST:
            raise AssertionError("that is said of grants alone")
        case _:
            assert_never(outcome)
