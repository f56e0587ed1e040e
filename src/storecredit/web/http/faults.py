"""What is wrong with what was sent: every fault at once, each by its place, no value repeated.

The decoder (msgspec) stops at the first fault and knows no names that are near. Where all of them
are wanted, a value is walked through here along its type: structs, lists, dictionaries, and what
stands in them. Each part is judged by the decoder, and by the checks its type names; what is
inside of a part that is wrong as a whole is not looked at.
"""

import difflib
import enum
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol, Union, get_args, get_origin

import msgspec

from storecredit.settings import Settings

FAULTS_MAX: Final = 50
NAME_MAX: Final = 100
"""How much of a name nobody knows is looked at and told."""
ALIKE_MIN: Final = 0.65
"""How like a known name (difflib's ratio) one is taken for it: `state` and `status` have 0.73.

`format` and `from` have 0.6, and whoever sends the one does not mean the other.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """Stands in a type, `Annotated[str, Check(…)]`: what the decoder cannot judge of a value.

    `refusal` is called with the decoded value and says in a sentence why it is not taken, without
    the value; None: it is.
    """

    refusal: Callable[[Any, Settings], str | None]


def no_nul(text: str, _settings: Settings) -> str | None:
    """Why a text cannot be kept: PostgreSQL has no NUL in texts."""
    return "A text has no NUL character." if "\0" in text else None


class Fault(NamedTuple):
    """One thing that is wrong. `key`: where, as in `image_urls[2]`; empty: with the whole."""

    key: str
    message: str

    def detail(self, source: str) -> dict[str, str]:
        """As it stands in the `details` of an error; `source` is body or query."""
        found = {"key": self.key, "source": source, "message": self.message}
        return {name: text for name, text in found.items() if text}


def details_of(faults: Iterator[Fault], source: str) -> list[dict[str, str]]:
    """The first faults, at most `FAULTS_MAX`, each once, as they stand in an answer."""
    return [fault.detail(source) for fault in dict.fromkeys(islice(faults, FAULTS_MAX))]


def unknown_name(name: str, known: Mapping[str, Any], what: str, key: str) -> Fault:
    """A name that is not among the known: the nearest of these, or all of them."""
    near = nearest(name, known)
    if near is not None:
        message = f"Unknown {what}. Did you mean `{near}`?"
    elif known:
        message = f"Unknown {what}. Known: {', '.join(f'`{each}`' for each in known)}."
    else:
        message = f"Unknown {what}: none is taken here."
    return Fault(key if len(key) <= NAME_MAX else f"{key[:NAME_MAX]}…", message)


def missing(name: str, key: str) -> Fault:
    """A field that must stand in the body, and does not."""
    return Fault(key, f"Missing: the field `{name}` is required.")


def nearest(name: str, known: Mapping[str, Any]) -> str | None:
    """The known name that is most like `name`; None: none is."""
    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(name[:NAME_MAX]), plain, n=1, cutoff=ALIKE_MIN)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    """`imageUrls`, `image-urls` and `IMAGE_URLS` are the same mistake."""
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")


def faults_of(value: Any, type_: Any, settings: Settings, key: str = "") -> Iterator[Fault]:
    """Everything that is wrong with `value`, decoded JSON or the text of a parameter."""
    shape = _shape(type_)
    if value is None and shape.takes_null:
        return
    if isinstance(value, dict) and _is_struct(shape.type):
        yield from _faults_of_struct(value, shape.type, settings, key)
        return
    inside: Iterator[Fault] = iter(())
    judged = type_
    if isinstance(value, list) and get_origin(shape.type) is list:
        judged = shape.around(list[Any])
        [item] = get_args(shape.type)
        inside = _faults_of_items(value, item, settings, key)
    elif isinstance(value, dict) and get_origin(shape.type) is dict:
        judged = shape.around(dict[Any, Any])
        inside = _faults_of_entries(value, get_args(shape.type), settings, key)
    try:
        decoded = msgspec.convert(value, judged, strict=False)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        yield Fault(key, _message(error, value, shape.type))
        return
    for check in shape.checks:
        if reason := check.refusal(decoded, settings):
            yield Fault(key, reason)
    yield from inside


def _faults_of_struct(
    value: dict[str, Any], type_: Any, settings: Settings, key: str
) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
    for name in value:
        if name not in fields:
            yield unknown_name(name, fields, "field", _below(key, name))
    for name, field in fields.items():
        if name in value:
            yield from faults_of(value[name], field.type, settings, _below(key, name))
        elif field.required:
            yield missing(name, _below(key, name))


def _faults_of_items(value: list[Any], type_: Any, settings: Settings, key: str) -> Iterator[Fault]:
    checked = _checks_of_all(type_)
    for place, item in enumerate(value):
        if checked is None or not _is_right(item, type_, checked, settings):
            yield from faults_of(item, type_, settings, f"{key}[{place}]")


def _checks_of_all(type_: Any) -> "tuple[Checked, ...] | None":
    """What tells at once that an item is right; None: it has to be walked through.

    Of a thousand items few are wrong, and a walk through the others takes twenty times as long.
    """
    if not _is_struct(type_) or not type_.__struct_config__.forbid_unknown_fields:
        return None
    try:
        return checked_fields(type_)
    except TypeError:
        return None


def _is_right(item: Any, type_: Any, checked: "tuple[Checked, ...]", settings: Settings) -> bool:
    try:
        decoded = msgspec.convert(item, type_, strict=False)
    except (msgspec.ValidationError, ValueError, RecursionError):
        return False
    return not any(each.refuses(decoded, settings) for each in checked)


def _faults_of_entries(
    value: dict[Any, Any], types_: tuple[Any, ...], settings: Settings, key: str
) -> Iterator[Fault]:
    name_type, type_ = types_
    # The names of a dictionary are the sender's own, as its values are: they are not repeated.
    for name, entry in value.items():
        for fault in faults_of(name, name_type, settings, key):
            yield Fault(fault.key, f"A name in it: {fault.message}")
        yield from faults_of(entry, type_, settings, f"{key}[...]")


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


class _Shape(NamedTuple):
    """A type without what stands around it."""

    type: Any
    metadata: tuple[msgspec.Meta, ...]
    checks: tuple[Check, ...]
    takes_null: bool

    def around(self, type_: Any) -> Any:
        """Another type within the same bounds."""
        return Annotated[(type_, *self.metadata)] if self.metadata else type_


def _shape(type_: Any) -> _Shape:
    """Takes apart `Annotated[…]` and `… | None`; another union stays whole."""
    extras: list[Any] = []
    takes_null = False
    while True:
        origin = get_origin(type_)
        if origin is Annotated:
            type_, *more = get_args(type_)
            extras += more
        elif origin in {Union, types.UnionType} and type(None) in get_args(type_):
            arms = [arm for arm in get_args(type_) if arm is not type(None)]
            takes_null = True
            if len(arms) != 1:
                break
            [type_] = arms
        else:
            break
    return _Shape(
        type_,
        tuple(extra for extra in extras if isinstance(extra, msgspec.Meta)),
        tuple(extra for extra in extras if isinstance(extra, Check)),
        takes_null,
    )


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _message(error: Exception, value: Any, type_: Any) -> str:
    """The decoder's words without its place, which `Fault` has; of an enum, what there is."""
    values = _values_of(type_)
    if not values or not isinstance(value, str):
        return f"{error}".split(" - at ", maxsplit=1)[0] + "."
    message = f"Expected one of {', '.join(f'`{each}`' for each in values)}."
    near = nearest(value, values)
    return f"{message} Did you mean `{near}`?" if near else message


def _values_of(type_: Any) -> dict[str, None]:
    """The values of an enum or of literals that are text; none of any other type."""
    if get_origin(type_) is Literal:
        return {each: None for each in get_args(type_) if isinstance(each, str)}
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return {each.value: None for each in type_ if isinstance(each.value, str)}
    return {}


class Checked(Protocol):
    """What is to be checked of a body that the decoder has found right."""

    def refuses(self, body: msgspec.Struct, settings: Settings) -> bool:
        """Whether anything of it in this body is not taken."""
        ...


def checked_fields(type_: type[msgspec.Struct]) -> tuple[Checked, ...]:
    """The checks of a struct: of its fields, of the items of a list, of the fields of such items.

    Raises TypeError where a check stands elsewhere.
    """
    found: list[Checked] = []
    for field in msgspec.structs.fields(type_):
        shape = _shape(field.type)
        found += [CheckedField(field.name, check, is_list=False) for check in shape.checks]
        if get_origin(shape.type) is list:
            shape = _shape(get_args(shape.type)[0])
            found += [CheckedField(field.name, check, is_list=True) for check in shape.checks]
            if _is_struct(shape.type) and (checked := checked_fields(shape.type)):
                found.append(CheckedItems(field.name, checked))
                continue
        if _has_check(shape.type):
            raise TypeError(f"{type_.__name__}.{field.name} has a check too deep inside")
    return tuple(found)


def _has_check(type_: Any) -> bool:
    inside = get_args(type_)
    if _is_struct(type_):
        inside = tuple(field.type for field in msgspec.structs.fields(type_))
    return any(isinstance(each, Check) or _has_check(each) for each in inside)


class CheckedField(NamedTuple):
    """A check of one field of a struct, or of each item of the list in it."""

    name: str
    check: Check
    is_list: bool

    def refuses(self, body: msgspec.Struct, settings: Settings) -> bool:
        """Whether the field of this body is not taken."""
        value = getattr(body, self.name)
        if value is None:
            return False
        values = value if self.is_list else (value,)
        return any(self.check.refusal(each, settings) for each in values)


class CheckedItems(NamedTuple):
    """The checks of the structs in the list that a field has."""

    name: str
    checked: tuple[Checked, ...]

    def refuses(self, body: msgspec.Struct, settings: Settings) -> bool:
        """Whether anything in the list of this body is not taken."""
        items = getattr(body, self.name) or ()
        return any(each.refuses(item, settings) for item in items for each in self.checked)
