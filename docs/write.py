"""Writes the pages of docs/ that are made from the code: `make docs`.

Tests fail while one of them is stale.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docs.events_page import events_page
from docs.schema import schema_page
from storecredit.operator.settings_in_force import UNSET, settings_in_force
from storecredit.settings import Settings
from storecredit.web.app import openapi_document
from storecredit.web.trpc import router_types
from storecredit.web.trpc.calls import Procedure
from storecredit.web.trpc.errors import STATUS_AND_NUMBER, TrpcCode
from storecredit.web.trpc.procedures import ERRORS, PROCEDURES
from storecredit.web.trpc.typescript import one_line
from storecredit.webhooks.event_schemas import events_document

DOCS = Path(__file__).parent


def settings_page() -> str:
    """Every setting as a table: its environment variable, its default, what it does."""
    rows = [
        f"| `{each.variable}` | {_default(each.default)} | {each.description} |"
        for each in settings_in_force(Settings.model_construct())
    ]
    head = """# Settings

Each is an environment variable; `--host`, `--port`, `--data-dir`, `--database-url`, `--processes`
and `--no-worker` are flags, too, and a flag wins. The defaults work.

| variable | default | what it does |
|---|---|---|
"""
    return head + "\n".join(rows) + "\n"


def _default(text: str) -> str:
    return text if text == UNSET else f"`{text}`"


PROCEDURES_BEGIN = "<!-- Made by `make docs`, from the table of procedures. -->\n"
PROCEDURES_END = "<!-- End of what is made. -->\n"


def b2c_page(kept: str) -> str:
    """The page for the app's developers, with the part about the procedures written anew."""
    before, _, rest = kept.partition(PROCEDURES_BEGIN)
    _, _, after = rest.partition(PROCEDURES_END)
    return before + PROCEDURES_BEGIN + _procedures() + PROCEDURES_END + after


def _procedures() -> str:
    """What can be called, what it gives, and the errors that any call can end in."""
    calls = "\n".join(_procedure_row(path, it) for path, it in PROCEDURES.items())
    results = "\n".join(
        f"| `{name}` | {_code(type_)} | {_cell(words)} |"
        for name, type_, words in router_types.results()
    )
    return f"""
| procedure | kind | input | result | what it does, and the errors of its own |
|---|---|---|---|---|
{calls}

| result | what it holds | |
|---|---|---|
{results}

| error of any procedure | status | |
|---|---|---|
{_error_rows(ERRORS)}

"""


def _procedure_row(path: str, procedure: Procedure[Any]) -> str:
    input_ = _code(procedure.input.type) if procedure.input else ""
    result = router_types.typed(router_types.result_of(procedure))
    words = _cell(router_types.told(procedure.run))
    errors = " ".join(f"`{code}`: {why}." for code, why in procedure.errors.items())
    kind = procedure.kind.value
    return f"| `{path}` | {kind} | {input_} | `{result}` | {f'{words} {errors}'.strip()} |"


def _error_rows(errors: Mapping[TrpcCode, str]) -> str:
    return "\n".join(
        f"| `{code}` | {STATUS_AND_NUMBER[code][0]} | {why} |" for code, why in errors.items()
    )


def _cell(lines: Iterable[str]) -> str:
    return " ".join(filter(None, lines)).replace("|", "\\|")


def _code(type_: str) -> str:
    """A type in a cell of a table."""
    text = re.sub(r" \| undefined\b", "", one_line(type_))
    return f"`{text}`".replace("|", "\\|")


def main() -> None:
    """Write every page."""
    b2c = (DOCS / "b2c.md").read_text(encoding="utf-8")
    (DOCS / "b2c.md").write_text(b2c_page(b2c), encoding="utf-8")
    (DOCS / "trpc.d.ts").write_text(router_types.module(), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "openapi.json").write_bytes(openapi_document())
    (DOCS / "events.md").write_text(events_page(), encoding="utf-8")
    (DOCS / "events.schema.json").write_bytes(events_document())
    (DOCS / "schema.sql").write_text(schema_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
