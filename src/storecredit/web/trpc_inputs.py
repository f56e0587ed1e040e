"""What a procedure's input must be, and what is said of one that is not.

A small part of zod 4, for the inputs there are: an app that reads the issues out of an error's
message (`JSON.parse(error.message)`) finds them as zod writes them. Every issue of an input is
found, not only the first. Fields that nobody asked for are left out.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from math import inf, isfinite
from typing import Any, Final

from storecredit.web.superjson import UNDEFINED, Foreign, Undefined
from storecredit.web.trpc_errors import TrpcError, bad_request

INTEGER_MAX: Final = 2**53 - 1
"""`Number.MAX_SAFE_INTEGER`: beyond it JavaScript's numbers are not exact."""

Path = tuple[str | int, ...]
Issues = list[dict[str, Any]]
Check = Callable[[Any, Path, Issues], Any]
"""Takes a value and where it stands; notes what is wrong with it, else returns it."""


def checked(check: Check, value: Any) -> Any:
    """The input as its procedure takes it. Raises TrpcError, its message the issues as JSON."""
    issues: Issues = []
    value = check(value, (), issues)
    if issues:
        raise _bad_input(issues)
    return value


def _bad_input(issues: Issues) -> TrpcError:
    return bad_request(json.dumps(issues, indent=2, ensure_ascii=False))


def fields(**checks: Check) -> Check:
    """An object with these fields."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, dict):
            return _wrong_type("object", value, path, issues)
        return {
            name: check_field(value.get(name, UNDEFINED), (*path, name), issues)
            for name, check_field in checks.items()
        }

    return check


def items(check_item: Check) -> Check:
    """An array of such things."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        if not isinstance(value, list):
            return _wrong_type("array", value, path, issues)
        return [check_item(item, (*path, place), issues) for place, item in enumerate(value)]

    return check


def otherwise(default: Any, check_given: Check) -> Check:
    """As given; where nothing is, the default, checked as if it had been given."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        return check_given(default if value is UNDEFINED else value, path, issues)

    return check


def maybe(check_given: Check) -> Check:
    """None where there is nothing, or null."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        return None if value is None or value is UNDEFINED else check_given(value, path, issues)

    return check


def string(value: Any, path: Path, issues: Issues) -> Any:
    """Any string."""
    return value if isinstance(value, str) else _wrong_type("string", value, path, issues)


# Of any version that RFC 9562 knows, the nil and the max UUID; zod's own expression.
_UUID_PATTERN: Final = (
    "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    "|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"
)
_UUID: Final = re.compile(_UUID_PATTERN.removesuffix("$") + r"\Z")


def uuid(value: Any, path: Path, issues: Issues) -> Any:
    """A UUID's usual spelling."""
    if not isinstance(value, str):
        return _wrong_type("string", value, path, issues)
    if not _UUID.match(value):
        head = {"origin": "string", "code": "invalid_format", "format": "uuid"}
        what = {"pattern": f"/{_UUID_PATTERN}/", "path": path, "message": "Invalid UUID"}
        issues.append(head | what)
    return value


def choice(*values: str) -> Check:
    """One of these strings."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
        if value not in values:
            expected = "|".join(f'"{name}"' for name in values)
            message = f"Invalid option: expected one of {expected}"
            what = {"code": "invalid_value", "values": values}
            issues.append(what | {"path": path, "message": message})
        return value

    return check


def integer(minimum: int, maximum: int | None = None) -> Check:
    """A whole number within bounds, however it was written."""

    def check(value: Any, path: Path, issues: Issues) -> Any:
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

    return check


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
