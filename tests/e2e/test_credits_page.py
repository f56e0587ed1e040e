"""docs/credits.md as it stands there, and what `credits add` says of terms that cannot be."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from storecredit.cli.options import PRIORITY_MAX, duration
from storecredit.ledger import grants
from tests.e2e.conftest import Storecredit
from tests.e2e.page_commands import Page, run

PAGE = Page("docs/credits.md")
TOKEN = "operator"


def answers(shown: str) -> list[Any]:
    """The data of the answers that were printed one after the other."""
    decoder, found = json.JSONDecoder(), []
    while shown := shown.strip():
        answer, end = decoder.raw_decode(shown)
        found.append(answer["data"])
        shown = shown[end:]
    return found


def test_the_page_does_what_it_says(storecredit: Storecredit, commands: str) -> None:
    serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN)
    store = serving.made_store(TOKEN)
    shell = storecredit.environment | {
        "PATH": commands,
        "STORE": store["store_id"],
        "KEY": store["api_key"],
        "URL": serving.url,
    }
    added = run(PAGE.block("storecredit credits add"), shell, storecredit.directory)
    assert [line.split()[1] for line in added.splitlines() if line.startswith("Added")] == [
        "100",
        "40",
        "10",
    ]
    [listed] = answers(run(PAGE.block("curl -s"), shell, storecredit.directory))
    told = [(each["remaining"], each["kind"], each["priority"]) for each in listed["items"]]
    assert told == [(10, "promo", 10), (40, "promo", 100), (100, "paid", 100)]
    month = datetime.fromisoformat(listed["items"][1]["expires_at"])
    assert timedelta(days=29) < month - datetime.now(UTC) <= timedelta(days=30)
    extended, captured, balance = answers(run(PAGE.block("HOLD="), shell, storecredit.directory))
    assert extended["status"] == "held"
    assert (captured["captured"], captured["released"]) == (12, 18)
    assert (balance["balance"], balance["total_spent"]) == (138, 12)
    [shown] = map(json.loads, PAGE.blocks("json"))
    assert set(balance) == set(shown)
    shown_in_text = storecredit("credits", "balance", store["store_id"])
    assert f"expiring           38 at {month:%Y-%m-%d %H:%M:%S}Z" in shown_in_text.output

    add = ("credits", "add", store["store_id"], 10)
    assert "past" in storecredit(*add, "--expires-at", "2020-01-01").sentence(2)
    assert "not both" in storecredit(
        *add, "--expires-at", "2126-01-01", "--expires-in", "1d"
    ).sentence(2)
    again = ("--expires-in", "30d", "--request-id", "again")
    assert storecredit(*add, *again, "--json").json()["added"]
    assert not storecredit(*add, *again, "--json").json()["added"]
    assert "other terms" in storecredit(*add, "--request-id", "again").sentence()


def test_lengths_of_time_are_read_as_people_write_them() -> None:
    assert duration("30d") == timedelta(days=30)
    assert duration(" 12h ") == timedelta(hours=12)
    assert duration("90m") == timedelta(minutes=90)
    assert duration("2w") == timedelta(weeks=2)
    for wrong in ("", "0d", "30", "d", "-1d", "1.5d", "1y", "999999w", "٣d"):
        with pytest.raises(typer.BadParameter):
            duration(wrong)
    assert PRIORITY_MAX == grants.PRIORITY_MAX
