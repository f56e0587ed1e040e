"""Our reading of Paddle's entities against the types of its own SDKs, in Python and TypeScript.

What either of them calls optional or nullable must be so here, field by field; and every word that
either can name must be one that we read.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect
from paddle_billing.Entities.Transaction import Transaction as ApiTransaction
from paddle_billing.Notifications.Entities.Adjustment import Adjustment as AdjustmentNews
from paddle_billing.Notifications.Entities.Subscription import Subscription as SubscriptionNews
from paddle_billing.Notifications.Entities.SubscriptionCreated import SubscriptionCreated
from paddle_billing.Notifications.Entities.Subscriptions import SubscriptionStatus as SdkStatus
from paddle_billing.Notifications.Entities.Transaction import Transaction as TransactionNews
from paddle_billing.PaddleStrEnum import PaddleStrEnumMeta
from paddle_billing.Undefined import Undefined

from storecredit.billing.paddle import wire
from storecredit.billing.paddle.messages import Adjustment, CustomData, Subscription, Transaction
from storecredit.billing.subscriptions import SubscriptionStatus
from tests.web.node import node

NODE_PROJECT: Final = Path(__file__).resolve().parents[1] / "paddle"
NODE_TYPES: Final = NODE_PROJECT / "node_modules/@paddle/paddle-node-sdk/dist/types"
IN_PYTHON: Final[tuple[tuple[type[msgspec.Struct], type], ...]] = (
    (Transaction, TransactionNews),
    (Subscription, SubscriptionNews),
    (Subscription, SubscriptionCreated),
    (Adjustment, AdjustmentNews),
    (wire.Transaction, ApiTransaction),
)
IN_TYPESCRIPT: Final[tuple[tuple[type[msgspec.Struct], str], ...]] = (
    (Transaction, "ITransactionNotificationResponse"),
    (Subscription, "ISubscriptionNotificationResponse"),
    (Subscription, "ISubscriptionCreatedNotificationResponse"),
    (Adjustment, "IAdjustmentNotificationResponse"),
    (wire.Transaction, "ITransactionResponse"),
)


@dataclass(frozen=True, slots=True)
class Theirs:
    """A field of an SDK's type: whether it may be missing or null, and what is in it."""

    optional: bool
    entity: Any
    words: frozenset[str] = frozenset()


Fields = Callable[[Any], Mapping[str, Theirs]]


def faults(ours: type[msgspec.Struct], theirs: Any, fields: Fields) -> Iterator[str]:
    """Where ours asks for more than theirs promises."""
    info = inspect.type_info(ours)
    assert isinstance(info, inspect.StructType)
    known = fields(theirs)
    for field in info.fields:
        name = f"{ours.__name__}.{field.encode_name}"
        # A field that they do not know is one that is missing.
        their = known.get(field.encode_name, Theirs(optional=True, entity=None))
        if their.optional and (field.required or not is_nullable(field.type)):
            yield name
        yield from (f"{name} = {word}" for word in their.words if not reads(ours, field, word))
        part = struct_in(field.type)
        if part is not None and part is not CustomData and their.entity is not None:
            yield from faults(part, their.entity, fields)


def is_nullable(info: inspect.Type) -> bool:
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    return inspect.NoneType() in kinds or inspect.CustomType(object) in kinds


def struct_in(info: inspect.Type) -> type[msgspec.Struct] | None:
    """The struct that a field holds, alone, in a list, or nothing."""
    match info:
        case inspect.StructType():
            return info.cls
        case inspect.UnionType():
            return next(filter(None, map(struct_in, info.types)), None)
        case inspect.VarTupleType() | inspect.ListType():
            return struct_in(info.item_type)
        case _:
            return None


def reads(ours: type[msgspec.Struct], field: inspect.Field, word: str) -> bool:
    try:
        msgspec.convert(word, type=typing.get_type_hints(ours, include_extras=True)[field.name])
    except msgspec.ValidationError:
        return False
    return True


def in_python(entity: type) -> Mapping[str, Theirs]:
    """The fields of one of the Python SDK's dataclasses."""
    hints = typing.get_type_hints(entity)
    return {
        field.name: Theirs(
            optional=bool({types.NoneType, Undefined} & set(typing.get_args(hints[field.name])))
            or field.default is not dataclasses.MISSING,
            entity=next(filter(dataclasses.is_dataclass, parts(hints[field.name])), None),
            words=frozenset().union(*map(words_of, parts(hints[field.name]))),
        )
        for field in dataclasses.fields(entity)
    }


def words_of(type_: Any) -> frozenset[str]:
    """What an enumeration of the SDK can be; its kind is of its own making."""
    if not isinstance(type_, PaddleStrEnumMeta):
        return frozenset()
    return frozenset(word.value for word in vars(type_).values() if isinstance(word, type_))


def parts(hint: Any) -> list[Any]:
    """The types in it: of a union its members, of a list its items."""
    return [found for each in typing.get_args(hint) for found in parts(each)] or [hint]


@cache
def interfaces() -> Mapping[str, str]:
    """The bodies of the TypeScript SDK's interfaces, by name."""
    node(NODE_PROJECT)
    found: dict[str, str] = {}
    for file in sorted(NODE_TYPES.rglob("*.d.ts")):
        text = file.read_text()
        found |= re.findall(r"export interface (\w+) \{\n(.*?)\n\}", text, re.DOTALL)
    return found


def in_typescript(name: str) -> Mapping[str, Theirs]:
    """The fields of one of its interfaces: `name?: Type | null;`."""
    body = interfaces()[name]
    lines = re.findall(r"^    (\w+)(\??): (.+);$", body, re.MULTILINE)
    assert len(lines) == body.count("\n") + 1, f"{name} is written in another way"
    return {
        field: Theirs(
            optional=bool(mark) or "null" in kind or "undefined" in kind,
            entity=next((part for part in re.findall(r"\w+", kind) if part in interfaces()), None),
        )
        for field, mark, kind in lines
    }


@pytest.mark.parametrize("ours, theirs", IN_PYTHON)
def test_nothing_is_asked_for_that_the_python_sdk_calls_optional(
    ours: type[msgspec.Struct], theirs: type
) -> None:
    assert list(faults(ours, theirs, in_python)) == []


@pytest.mark.parametrize("ours, theirs", IN_TYPESCRIPT)
def test_nothing_is_asked_for_that_the_typescript_sdk_calls_optional(
    ours: type[msgspec.Struct], theirs: str
) -> None:
    assert list(faults(ours, theirs, in_typescript)) == []


def test_what_is_asked_for_too_much_is_found() -> None:
    """That the comparison compares."""

    class Totals(msgspec.Struct):
        subtotal: str
        fee: str

    class Details(msgspec.Struct):
        totals: Totals
        payout_totals: dict[str, str] | None

    class Strict(msgspec.Struct):
        id: str
        details: Details
        origin: typing.Literal["api", "web"]
        no_such_field: str
        invoice_id: str = ""

    assert set(faults(Strict, TransactionNews, in_python)) == {
        *("Totals.fee", "Details.payout_totals", "Strict.no_such_field", "Strict.invoice_id"),
        "Strict.origin = subscription_charge",
        "Strict.origin = subscription_payment_method_change",
        "Strict.origin = subscription_recurring",
        "Strict.origin = subscription_update",
    }


def test_of_the_states_of_a_subscription_one_is_not_documented() -> None:
    """The reference has five; what a sixth would mean is for the operator to see."""
    theirs = words_of(SdkStatus)
    assert theirs - set(SubscriptionStatus) == {"inactive"}
    assert set(SubscriptionStatus) <= theirs
