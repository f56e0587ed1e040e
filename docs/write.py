"""Writes the pages of docs/ that are made from the code: `make docs`.

Tests fail while one of them is stale.
"""

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from storecredit.settings import Settings
from storecredit.web.app import openapi_document

DOCS = Path(__file__).parent
# Set by one process for another, never by people.
BETWEEN_PROCESSES = {"listen_fd", "parent_pid", "process_number", "metrics_dir"}


def settings_page() -> str:
    """Every setting as a table: its environment variable, its default, what it does."""
    rows = [
        f"| `STORECREDIT_{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
        if name not in BETWEEN_PROCESSES
    ]
    head = """# Settings

Each is an environment variable; `--host`, `--port`, `--data-dir`, `--database-url`, `--processes`
and `--no-worker` are flags, too, and a flag wins. The defaults work.

| variable | default | what it does |
|---|---|---|
"""
    return head + "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default()
    if value is None or value in ((), ""):
        return "unset"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    if isinstance(value, dict):
        return f"`{to_json(value).decode()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> None:
    """Write every page."""
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "openapi.json").write_bytes(openapi_document())


if __name__ == "__main__":
    main()
