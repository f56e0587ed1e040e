"""What a procedure's input must be, and what is said of one that is not.

A small part of zod 4, for the inputs there are: an app that reads the issues out of an error's
message (`JSON.parse(error.message)`) finds them as zod writes them. Every issue of an input is
found, not only the first, up to a maximum. Fields that nobody asked for are left out. Each part
also knows its TypeScript type, so that what is published (`router_types.py`) is what is checked.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf, isfinite
from typing import Any, Final

from storecredit.web.trpc.errors import TrpcError, bad_request
from storecredit.web.trpc.superjson import UNDEFINED, Foreign, Undefined
from storecredit.web.trpc.typescript import Field, object_type, sentence, union_type

INTEGER_MAX: Final = 2**53 - 1
"""`Number.MAX_SAFE_INTEGER`: beyond it JavaScript's numbers are not exact."""

ISSUES_MAX: Final = 50
"""How many are found before no further item of an array is looked at. An issue is a hundred times
as long as the item that it is about."""

Path = tuple[str | int, ...]
Issues = list[dict[str, Any]]
Run = Callable[[Any, Path, Issues], Any]
"""Takes a value and where it stands; notes what is wrong with it, else returns it."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a value must be: as it is checked, and as it is told.

    `type` is TypeScript's, `note` what that cannot say. `is_optional`: a field may be left out.
    """

    run: Run
    type: str
    note: str = ""
    is_optional: bool = False


def checked(check: Check, value: Any) -> Any:
    """The input as its procedure takes it. Raises TrpcError, its message the issues as JSON."""
    issues: Issues = []
    value = check.run(value, (), issues)
    if issues:
        raise _bad_input(issues)
    return value


def _bad_input(issues: Issues) -> TrpcError:
    return bad_request(json.dumps(issues, indent=2, ensure_ascii=False))


def fields(**checks: Check) -> Check:
    """An object with these fields."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, dict):
            return _wrong_type("object", value, path, issues)
        return {
            name: check.run(value.get(name, UNDEFINED), (*path, name), issues)
            for name, check in checks.items()
        }

    return Check(run, object_type(_field(name, check) for name, check in checks.items()))


def _field(name: str, check: Check) -> Field:
    notes = [sentence(check.note)] if check.note else []
    return Field(name, check.type, notes, check.is_optional)


def items(check_item: Check) -> Check:
    """An array of such things."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, list):
            return _wrong_type("array", value, path, issues)
        taken = []
        for place, item in enumerate(value):
            if len(issues) >= ISSUES_MAX:
                break  # it is refused anyway
            taken.append(check_item.run(item, (*path, place), issues))
        return taken

    return Check(run, f"Array<{check_item.type}>")


def record(check_value: Check) -> Check:
    """An object of any names, with such values."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, dict):
            return _wrong_type("record", value, path, issues)
        taken = {}
        for name, entry in value.items():
            if len(issues) >= ISSUES_MAX:
                break  # it is refused anyway
            taken[name] = check_value.run(entry, (*path, name), issues)
        return taken

    return Check(run, f"Record<string, {check_value.type}>")


def otherwise(default: Any, given: Check) -> Check:
    """As given; where nothing is, the default, checked as if it had been given."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        return given.run(default if value is UNDEFINED else value, path, issues)

    notes = [given.note, f"{default} if left out" if isinstance(default, int) else ""]
    note = "; ".join(filter(None, notes))
    return Check(run, f"{given.type} | undefined", note, is_optional=True)


def maybe(given: Check) -> Check:
    """None where there is nothing, or null."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        return None if value is None or value is UNDEFINED else given.run(value, path, issues)

    return Check(run, f"{given.type} | null | undefined", given.note, is_optional=True)


def about(note: str, given: Check) -> Check:
    """The same, with a word on what it is for."""
    return replace(given, note="; ".join(filter(None, [note, given.note])))


def _string(value: Any, path: Path, issues: Issues) -> Any:
    return value if isinstance(value, str) else _wrong_type("string", value, path, issues)


string: Final = Check(_string, "string")
"""Any string."""

# Of any version that RFC 9562 knows, the nil and the max UUID; zod's own expression.
_UUID_PATTERN: Final = (
    "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    "|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"
)
_UUID: Final = re.compile(_UUID_PATTERN.removesuffix("$") + r"\Z")


def _uuid(value: Any, path: Path, issues: Issues) -> Any:
    if not isinstance(value, str):
        return _wrong_type("string", value, path, issues)
    if not _UUID.match(value):
        head = {"origin": "string", "code": "invalid_format", "format": "uuid"}
        what = {"pattern": f"/{_UUID_PATTERN}/", "path": path, "message": "Invalid UUID"}
        issues.append(head | what)
    return value


uuid: Final = Check(_uuid, "string", "a UUID")
"""A UUID's usual spelling."""


def choice(*values: str) -> Check:
    """One of these strings."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        if value not in values:
            expected = "|".join(f'"{name}"' for name in values)
            message = f"Invalid option: expected one of {expected}"
            what = {"code": "invalid_value", "values": values}
            issues.append(what | {"path": path, "message": message})
        return value

    return Check(run, union_type(values))


def integer(minimum: int, maximum: int | None = None) -> Check:
    """A whole number within bounds, however it was written."""

    def run(value: Any, path: Path, issues: Issues) -> Any:
        if _type_of(value) != "number":
            return _wrong_type("number", value, path, issues)
        if value != int(value):
            return _wrong_type("int", value, path, issues, {"format": "safeint"})
        if abs(value) > INTEGER_MAX:
            _unsafe(value, path, issues)
        if value < minimum:
            _out_of_bounds("small", {"minimum": minimum}, f">={minimum}", path, issues)
        if maximum is not None and value > maximum:
            _out_of_bounds("big", {"maximum": maximum}, f"<={maximum}", path, issues)
        return int(value)

    bounds = f"from {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    return Check(run, "number", f"a whole number {bounds}")


def _wrong_type(
    expected: str, value: Any, path: Path, issues: Issues, more: dict[str, Any] | None = None
) -> None:
    received = _type_of(value)
    what: dict[str, Any] = {"expected": expected, **(more or {}), "code": "invalid_type"}
    if isinstance(value, float) and not isfinite(value):
        what["received"] = received
    message = f"Invalid input: expected {expected}, received {received}"
    issues.append(what | {"path": path, "message": message})


def _unsafe(value: float, path: Path, issues: Issues) -> None:
    name, bound, sign = (
        ("big", {"maximum": INTEGER_MAX}, "<=")
        if value > 0
        else ("small", {"minimum": -INTEGER_MAX}, ">=")
    )
    issues.append(
        {"code": f"too_{name}", **bound}
        | {"note": "Integers must be within the safe integer range."}
        | {"origin": "int", "inclusive": True, "path": path}
        | {"message": f"Too {name}: expected int to be {sign}{next(iter(bound.values()))}"}
    )


def _out_of_bounds(
    name: str, bound: dict[str, int], expected: str, path: Path, issues: Issues
) -> None:
    what = {"origin": "number", "code": f"too_{name}", **bound, "inclusive": True}
    message = f"Too {name}: expected number to be {expected}"
    issues.append(what | {"path": path, "message": message})


_NOT_FINITE: Final = {inf: "Infinity", -inf: "-Infinity"}
_TYPES: Final[dict[type, str]] = {
    Undefined: "undefined",
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    datetime: "Date",
}


def _type_of(value: Any) -> str:
    """The type's name in zod's messages."""
    if isinstance(value, Foreign):
        return value.type
    if isinstance(value, float) and not isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    return _TYPES[type(value)]
