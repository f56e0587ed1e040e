"""The commands of docs/portal.md, run as they stand there."""

import json
import re

from tests.e2e.conftest import Storecredit
from tests.e2e.page_commands import Page, run
from tests.e2e.test_webhook_commands_page import data_in

PAGE = Page("docs/portal.md")
TOKEN = "operator"


def test_the_page_makes_a_link_from_either_side(storecredit: Storecredit, commands: str) -> None:
    serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN)
    store = serving.made_store(TOKEN, name="Hats & Co")
    given = {"PATH": commands, "API": serving.url, "KEY": store["api_key"]}
    from_store, from_operator = PAGE.blocks()

    [made] = data_in(run(from_store, storecredit.environment | given, storecredit.directory))
    assert list(made) == list(json.loads(PAGE.block_of("json"))["data"])
    assert made["url"].startswith(f"{serving.url}/portal/sign-in/")
    shown = run(from_operator, storecredit.environment | given, storecredit.directory)
    link = rf"^url +{re.escape(serving.url)}/portal/sign-in/[\w-]{{43}}$"
    assert re.search(link, shown, re.MULTILINE)
