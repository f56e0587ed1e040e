"""The pages of docs/ that are made from the code are those that are checked in."""

from docs.write import DOCS, b2c_page, settings_page
from storecredit.settings import Settings
from storecredit.web.trpc_types import module


def test_the_settings_page_is_not_stale() -> None:
    kept = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert kept == settings_page(), "run `make docs`"


def test_the_types_for_the_app_are_not_stale() -> None:
    assert (DOCS / "trpc.d.ts").read_text(encoding="utf-8") == module(), "run `make docs`"


def test_what_is_said_of_the_procedures_is_not_stale() -> None:
    kept = (DOCS / "b2c.md").read_text(encoding="utf-8")
    assert kept == b2c_page(kept), "run `make docs`"


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
