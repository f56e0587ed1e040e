"""The settings as they are shown: of what lets somebody in, only that it is set."""

from pathlib import Path

import pytest

from storecredit.operator.settings_in_force import settings_in_force
from storecredit.settings import Settings
from tests.web.conftest import web_settings


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://me:hunter2@make.example/images", "https://…@make.example/images"),
        ("https://hunter2@make.example", "https://…@make.example"),
        ("https://me:hun@ter2@make.example/@x", "https://…@make.example/@x"),
        ("https://make.example/images?key=hunter2&n=1", "https://make.example/images?…"),
        ("https://make.example/images", "https://make.example/images"),
        ("http://10.0.0.7:9000/a@b", "http://10.0.0.7:9000/a@b"),
    ],
)
def test_an_address_is_shown_without_what_lets_in_there(
    data_dir: Path, url: str, shown: str
) -> None:
    names = ("jwks_url", "generator_url", "openai_base_url", "buy_url")
    settings = web_settings(data_dir).model_copy(update=dict.fromkeys(names, url))
    values = {each.variable: each.value for each in settings_in_force(settings)}
    for name in names:
        assert values[f"STORECREDIT_{name.upper()}"] == shown


def test_of_a_secret_is_shown_that_it_is_set(data_dir: Path) -> None:
    settings = Settings.model_validate(
        web_settings(data_dir).model_dump()
        | {"admin_token": "hunter2", "database_url": "postgresql://me:hunter2@db.example/credits"}
    )
    in_force = settings_in_force(settings)
    values = {each.variable: each.value for each in in_force}
    assert values["STORECREDIT_ADMIN_TOKEN"] == "set, and not shown"
    assert values["STORECREDIT_DATABASE_URL"] == "set, and not shown"
    assert "hunter2" not in str(in_force)
