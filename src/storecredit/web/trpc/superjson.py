"""superjson: JSON, and beside it which of its values JSON has no type for.

    {"json": {"at": "2026-01-02T03:04:05.678Z"}, "meta": {"values": {"at": ["Date"]}, "v": 1}}

The form is that of superjson 2 (its `plainer.ts`, `transformer.ts`, `pathstringifier.ts`), read
also as version 1 wrote it. Values that nothing here takes or makes (a bigint, a Map) are read as
`Foreign`, so that whoever wanted a number can say what came instead.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from math import nan
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

ANNOTATIONS_MAX: Final = 1000
"""Values of one input that JSON has no type for; more of them are nobody's."""
PATH_MAX_CHARACTERS: Final = 250
"""Of where one of them stands. Each path is walked by itself, so that long ones would add up to
minutes in which nothing else is served."""
VERSION: Final = 1
"""Of how paths are written; without it a backslash escapes nothing but a dot."""
PLACE_DIGITS_MAX: Final = 10
UNSAFE_NAMES: Final = frozenset({"__proto__", "prototype", "constructor"})

Path = tuple[str, ...]
T = TypeVar("T")


class Undefined(Enum):
    """JavaScript's `undefined`, which is not its `null`."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value of a JavaScript type that is not used here, by the type's name."""

    type: str


class NotSuperjson(ValueError):
    """What came is not of this form; the message says why, and quotes no value."""


# Writing


def serialize(value: Any) -> dict[str, Any]:
    """The value in superjson's form, of types that `msgspec.json.encode` takes.

    Takes None, booleans, numbers, strings, UUIDs, datetimes, sequences, mappings with string keys
    and structs (fields by the name they are encoded with; one that is unset is left out).
    """
    annotations: dict[str, list[str]] = {}
    plain = _plain(value, (), annotations)
    if not annotations:
        return {"json": plain}
    values: object = annotations[""] if isinstance(value, datetime | Undefined) else annotations
    return {"json": plain, "meta": {"values": values, "v": VERSION}}


def _plain(value: Any, path: Path, annotations: dict[str, list[str]]) -> Any:
    match value:
        case datetime():
            annotations[_written(path)] = ["Date"]
            moment = value.astimezone(UTC).isoformat(timespec="milliseconds")
            return f"{moment.removesuffix('+00:00')}Z"
        case Undefined():
            annotations[_written(path)] = ["undefined"]
            return None
        case msgspec.Struct():
            names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
            return {
                name: _plain(item, (*path, name), annotations)
                for name, field in names
                if (item := getattr(value, field)) is not msgspec.UNSET
            }
        case Mapping():
            return {name: _plain(item, (*path, name), annotations) for name, item in value.items()}
        case str() | UUID():
            return str(value)
        case Sequence():
            return [
                _plain(item, (*path, str(place)), annotations) for place, item in enumerate(value)
            ]
        case _:
            return value


def _written(path: Path) -> str:
    return ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in path)


# Reading


def deserialize(payload: Any) -> Any:
    """The value that `payload`, decoded JSON, stands for. Raises NotSuperjson.

    As superjson reads it: what is no object, or has no `json`, is `undefined`. The payload is used
    up: the value is made of its parts.
    """
    if payload is None:
        raise NotSuperjson("The input is null, which is not superjson.")
    if not isinstance(payload, dict):
        return UNDEFINED
    value, meta = payload.get("json", UNDEFINED), payload.get("meta")
    if not isinstance(meta, dict):
        return value
    try:
        return _annotated(value, meta, is_legacy=not meta.get("v"))
    except RecursionError:
        raise NotSuperjson("The input is nested too deeply.") from None


def _annotated(value: Any, meta: dict[str, Any], *, is_legacy: bool) -> Any:
    """First what type each value is of, then which of them are one and the same."""
    types = _annotations(meta.get("values"), (), is_legacy=is_legacy)
    equalities = _equalities(meta.get("referentialEqualities"), is_legacy=is_legacy)
    for path, type_ in _bounded(types):
        value = _changed(value, path, partial(_typed, type_=type_))
    for path, original in _bounded(equalities):
        value = _changed(value, path, partial(_replaced, by=_at(value, original)))
    return value


def _bounded(annotations: Iterable[tuple[Path, T]]) -> Iterator[tuple[Path, T]]:
    for count, (path, what) in enumerate(annotations, start=1):
        if count > ANNOTATIONS_MAX:
            raise NotSuperjson(f"The input has more than {ANNOTATIONS_MAX:,} annotations.")
        if not UNSAFE_NAMES.isdisjoint(path):
            raise NotSuperjson("The input's annotations name a property that is not allowed.")
        yield path, what


def _annotations(tree: Any, origin: Path, *, is_legacy: bool) -> Iterator[tuple[Path, Any]]:
    """Each annotation with its path; what is inside a value comes before the value."""
    if isinstance(tree, str) and tree:
        raise NotSuperjson("The input's annotations are not of superjson's form.")
    is_node = isinstance(tree, list) and bool(tree)
    children = tree if not is_node else tree[1] if len(tree) > 1 else None
    if isinstance(children, dict):
        for name, child in children.items():
            below = (*origin, *_read(name, is_legacy=is_legacy))
            if len(below) > PATH_MAX_CHARACTERS:  # each name but one has a dot
                raise NotSuperjson(_LONG_PATH)
            yield from _annotations(child, below, is_legacy=is_legacy)
    if is_node:
        yield origin, tree[0]


def _equalities(tree: Any, *, is_legacy: bool) -> Iterator[tuple[Path, Path]]:
    """Each path whose value is the one at another path."""
    if isinstance(tree, list):
        raise NotSuperjson("The input holds itself.")
    for original, copies in tree.items() if isinstance(tree, dict) else ():
        for copy in copies if isinstance(copies, list) else ():
            if not isinstance(copy, str):
                raise NotSuperjson("The input's annotations are not of superjson's form.")
            yield _read(copy, is_legacy=is_legacy), _read(original, is_legacy=is_legacy)


_LONG_PATH: Final = (
    f"The input's annotations have a path of more than {PATH_MAX_CHARACTERS} characters."
)
_TOKEN: Final = re.compile(r"\\(?P<escaped>.?)|(?P<dot>\.)|[^.\\]+", re.DOTALL)
_LEGACY_TOKEN: Final = re.compile(r"\\(?P<escaped>\.)|(?P<dot>\.)|\\|[^.\\]+")


def _read(written: str, *, is_legacy: bool) -> Path:
    """The names of a path, which dots part; a backslash escapes a dot or (not legacy) itself."""
    if len(written) > PATH_MAX_CHARACTERS:
        raise NotSuperjson(_LONG_PATH)
    names = [""]
    for token in (_LEGACY_TOKEN if is_legacy else _TOKEN).finditer(written):
        if token["dot"]:
            names.append("")
        elif token["escaped"] is None:
            names[-1] += token[0]
        elif token["escaped"] in {".", "\\"}:
            names[-1] += token["escaped"]
        else:
            raise NotSuperjson("The input's annotations have an invalid path.")
    return tuple(names)


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = _child(value, name)
    return value


def _child(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, UNDEFINED)
    place = _place(value, name)
    return UNDEFINED if place is None else value[place]


def _place(value: Any, name: str) -> int | None:
    """Where in an array that name leads; None: it is no array, or has no such place."""
    if not isinstance(value, list) or not (name.isascii() and name.isdigit()):
        return None
    place = int(name[:PLACE_DIGITS_MAX])
    return place if place < len(value) else None


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """The value with what is at the path changed; a path that leads nowhere changes nothing."""
    if not path:
        return change(value)
    parent, name = _at(value, path[:-1]), path[-1]
    place = _place(parent, name)
    if isinstance(parent, dict):
        parent[name] = change(parent.get(name, UNDEFINED))
    elif place is not None:
        parent[place] = change(parent[place])
    return value


def _typed(plain: Any, type_: Any) -> Any:
    """The value that `plain` was written for."""
    match type_:
        case "undefined":
            return UNDEFINED
        case "Date":
            return _moment(plain)
        case "number":
            return _number(plain)
        case "bigint" | "URL" | "Error":
            return Foreign(type_)
        case "regexp" | "set" | "map":
            return Foreign({"regexp": "RegExp", "set": "Set", "map": "Map"}[type_])
        case ["typed-array", str() as name]:
            return Foreign(name)
        case _:
            raise NotSuperjson("The input has a value of a type that nobody registered.")


def _replaced(_plain: Any, by: Any) -> Any:
    return by


def _moment(plain: Any) -> datetime | Foreign:
    """As `Date.toISOString` writes it; what else JavaScript takes for a date is a foreign one."""
    if not isinstance(plain, str):
        return Foreign("Date")
    try:
        moment = datetime.fromisoformat(plain)
        return moment.astimezone(UTC) if moment.tzinfo else Foreign("Date")
    except (ValueError, OverflowError):  # at the ends of time an offset leads to no year
        return Foreign("Date")


def _number(plain: Any) -> float:
    """What JSON cannot write: NaN, the infinities and minus zero."""
    try:
        return float(plain)
    except (TypeError, ValueError, OverflowError):
        return nan
