"""`storecredit store portal-link`: a link into a store's portal, in the audit log."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from storecredit.operator.sign_ins import SignIn, SignIns
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.e2e.in_process import InProcess

STORE = ("store", "create", "--name", "Hats", "--shop-domain", "hats.example")


async def _used(database_url: str, code: str) -> SignIn | None:
    settings = Settings(signing_key=SecretStr("a key of the service's"))
    database = await Database.open(database_url)
    try:
        new = await SignIns(database, settings).with_link(code, "portal")
    finally:
        await database.close()
    return None if new is None else new.sign_in


def link_of(command: InProcess, *more: str) -> dict[str, Any]:
    link: dict[str, Any] = command("store", "portal-link", "Hats", "--json", *more).json()
    return link


def test_a_link_lets_somebody_in_once(command: InProcess, database_url: str) -> None:
    store_id = command(*STORE, "--json").json()["store_id"]
    done = command("store", "portal-link", "Hats", "--as", "ann", "--reason", "by phone", "--json")
    assert "works once" in done.errors
    link = done.json()
    assert link["store_id"] == store_id
    start, _, code = link["url"].rpartition("/")
    assert start == "http://127.0.0.1:8080/portal/sign-in"
    sign_in = asyncio.run(_used(database_url, code))
    assert sign_in is not None
    assert (str(sign_in.store_id), sign_in.actor) == (store_id, "ann")
    assert sign_in.expires_at - sign_in.created_at == timedelta(hours=1)
    assert asyncio.run(_used(database_url, code)) is None

    told = command("audit", "--json")
    newest = told.json()["items"][0]
    assert (newest["action"], newest["actor"]) == ("portal.link", "ann")
    assert (newest["door"], newest["reason"]) == ("command", "by phone")
    assert code not in told.output


def test_both_times_can_be_given(command: InProcess, database_url: str) -> None:
    command(*STORE)
    link = link_of(command, "--expires-in", "24h", "--sign-in-for", "10m")
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)
    sign_in = asyncio.run(_used(database_url, link["url"].rpartition("/")[2]))
    assert sign_in is not None
    assert sign_in.expires_at - sign_in.created_at == timedelta(minutes=10)


@pytest.mark.parametrize("option", ["--expires-in", "--sign-in-for"])
@pytest.mark.parametrize("length", ["25h", "2d", "0m", "5", "soon"])
def test_a_time_that_cannot_be_is_refused(command: InProcess, option: str, length: str) -> None:
    command(*STORE)
    assert command("store", "portal-link", "Hats", option, length).status == 2


def test_it_leads_to_the_public_address(
    command: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(*STORE)
    monkeypatch.setenv("STORECREDIT_PUBLIC_URL", "https://credits.example/")
    assert link_of(command)["url"].startswith("https://credits.example/portal/sign-in/")


def test_where_there_is_nobody_to_let_in_there_is_no_link(command: InProcess) -> None:
    assert command("store", "portal-link", "Hats").status == 1
    command(*STORE)
    command("store", "suspend", "Hats")
    done = command("store", "portal-link", "Hats")
    assert (done.status, done.output) == (1, "")
    assert "Hats is suspended" in done.errors
    actions = [each["action"] for each in command("audit", "--json").json()["items"]]
    assert "portal.link" not in actions
