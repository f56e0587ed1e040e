"""What the first visitor of a page waits for once is kept for all services to come."""

import httpx

from storecredit.settings import Settings
from storecredit.web.pages.compiled_templates import FOLDER
from storecredit.web.pages.rendering import _environment as environment_of


async def test_pages_keep_what_they_compile_in_the_data_directory(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    environment_of.cache_clear()
    assert (await api.get("/console/sign-in")).status_code == 200
    kept = {path.name: path.read_bytes() for path in (settings.data_dir / FOLDER).iterdir()}
    assert len(kept) > 1
    environment_of.cache_clear()
    assert (await api.get("/console/sign-in")).status_code == 200
    assert {path.name: path.read_bytes() for path in (settings.data_dir / FOLDER).iterdir()} == kept
    environment_of.cache_clear()
