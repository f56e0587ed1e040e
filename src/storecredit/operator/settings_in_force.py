"""The settings as they are in force, fit to be shown: of a secret only whether it is set."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from storecredit.settings import Settings

BETWEEN_PROCESSES: Final = frozenset({"listen_fd", "parent_pid", "process_number", "metrics_dir"})
"""Set by one process for another, never by people."""
UNSET: Final = "unset"
_USER: Final = re.compile(r"(://)[^/?#]*@")
_QUERY: Final = re.compile(r"(://[^?#]*)\?[^#]+")


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """One setting: its environment variable, what it is and would be, and what it does."""

    variable: str
    value: str
    default: str
    is_default: bool
    description: str


def settings_in_force(settings: Settings) -> tuple[SettingInForce, ...]:
    """Every setting that people set, in the order in which they stand in `settings.py`."""
    return tuple(
        SettingInForce(
            variable=f"STORECREDIT_{name.upper()}",
            value=as_text(getattr(settings, name)),
            default=as_text(field.get_default()),
            is_default=getattr(settings, name) == field.get_default(),
            description=descriptions()[name],
        )
        for name, field in type(settings).model_fields.items()
        if name not in BETWEEN_PROCESSES
    )


@cache
def descriptions() -> Mapping[str, str]:
    """What stands below each setting in `settings.py`.

    Pydantic would read it too (`use_attribute_docstrings`), but whenever the settings are loaded:
    of a command that does little it was a tenth of the time.
    """
    [written] = ast.parse(dedent(getsource(Settings))).body
    assert isinstance(written, ast.ClassDef)
    found = {}
    for pair in pairwise(written.body):
        match pair:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = cleandoc(text)
            case _:
                continue
    return found


def as_text(value: Any) -> str:
    """A value as the environment variable would have it; of a secret, that there is one."""
    if isinstance(value, SecretStr):
        return "set, and not shown" if value.get_secret_value() else UNSET
    if value is None or value in ((), ""):
        return UNSET
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """The same; of an address not what lets in there: a password, or what stands after its `?`."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1…@", text))
