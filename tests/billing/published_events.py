"""Events of every type that Paddle publishes, made up from the types of its Python SDK.

The shapes are the SDK's, the values are nobody's. A field that the SDK calls optional is there, or
null, or missing.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import import_module, util
from typing import Any

from paddle_billing.Entities.Events import EventTypeName
from paddle_billing.Notifications.Entities.Entity import Entity as SdkEntity
from paddle_billing.Notifications.Entities.Shared import CustomData
from paddle_billing.PaddleStrEnum import PaddleStrEnumMeta
from paddle_billing.Undefined import Undefined

from stand_ins.paddle.account import Event
from storecredit.billing.paddle.redaction import KEPT

ID = "01hv8wptq8987qeep44cyrewp9"
NOON = "2026-11-01T12:00:00.000000Z"
NEVER_SENT = ("prices",)
"""Of a product: deprecated, and not in notifications, says the SDK."""
ENTITIES = "paddle_billing.Notifications.Entities"


class Optionals(StrEnum):
    """What becomes of the fields that the SDK calls optional."""

    THERE = "there"
    NULL = "null"
    MISSING = "missing"


def event_types() -> list[str]:
    """Every type of event that the SDK names."""
    words = [word for word in vars(EventTypeName).values() if isinstance(word, EventTypeName)]
    return [word.value for word in words]


def entity_of(event_type: str) -> Any | None:
    """The SDK's class for an event's data; None: it has the name alone."""
    name = SdkEntity._resolve_event_class_name(event_type)  # noqa: SLF001 - it has no other way
    if util.find_spec(f"{ENTITIES}.{name}") is None:
        return None
    return getattr(import_module(f"{ENTITIES}.{name}"), name)


def published(event_type: str, optionals: Optionals) -> Event:
    """One event of that type."""
    entity = entity_of(event_type)
    data = {"id": f"inv_{ID}"} if entity is None else _entity(entity, optionals)
    number = event_types().index(event_type)
    return Event(f"evt_{number}{optionals.value}", event_type, NOON, data)


def optional_fields(entity: type) -> list[str]:
    """The fields of an SDK's class that may be null or missing."""
    hints = _hints(entity)
    return [
        _written(field)
        for field in dataclasses.fields(entity)
        if _is_optional(field, hints[field.name])
    ]


def _entity(entity: type, optionals: Optionals) -> dict[str, Any]:
    return dict(_fields(entity, optionals))


def _fields(entity: type, optionals: Optionals) -> Iterator[tuple[str, Any]]:
    hints = _hints(entity)
    for field in dataclasses.fields(entity):
        if field.name in NEVER_SENT:
            continue
        if not _is_optional(field, hints[field.name]) or optionals is Optionals.THERE:
            yield _written(field), _value(_written(field), hints[field.name], optionals)
        elif optionals is Optionals.NULL:
            yield _written(field), None


@cache
def _hints(entity: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(entity)
    except TypeError:  # in one class (ReportFilter) a type's name is that of a module
        return dict.fromkeys(entity.__annotations__, Any)


def _written(field: dataclasses.Field[Any]) -> str:
    """One of the SDK's fields is called otherwise than in JSON."""
    return "line_items" if field.name == "lineItems" else field.name


def _is_optional(field: dataclasses.Field[Any], hint: Any) -> bool:
    nothing = {types.NoneType, Undefined} & set(typing.get_args(hint))
    return bool(nothing) or field.default is not dataclasses.MISSING


def _value(name: str, hint: Any, optionals: Optionals) -> Any:
    """Something of that type; of a union its first that is anything."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint, *_) = [
            part for part in typing.get_args(hint) if part not in (types.NoneType, Undefined)
        ]
    if typing.get_origin(hint) is list:
        return [_value(name, typing.get_args(hint)[0], optionals)]
    if hint is CustomData:
        return {"anything": ["at", {"all": 1}]}
    if dataclasses.is_dataclass(hint):
        return _entity(typing.cast(type, hint), optionals)
    if isinstance(hint, PaddleStrEnumMeta):
        return next(word.value for word in vars(hint).values() if isinstance(word, hint))
    if hint is str:
        return _text(name)
    made_up: dict[Any, Any] = {datetime: NOON, bool: True, int: 1, float: 1.5}
    return made_up.get(hint, {})


def _text(name: str) -> str:
    if name == "id" or name.endswith("_id"):
        return f"{name.removesuffix('_id')[:3]}_{ID}"
    return "1000" if name in KEPT else f"made up {name}"
