"""The pages of docs/ that are made from the code are those that are checked in."""

from docs.write import DOCS, settings_page
from storecredit.settings import Settings


def test_the_settings_page_is_not_stale() -> None:
    kept = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert kept == settings_page(), "run `make docs`"


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
