"""`storecredit audit`, and what the operator's commands write there."""

import json
import os
from typing import Any

import pytest

from storecredit.cli.options import actor_of
from tests.e2e.in_process import InProcess

HATS = ("--name", "Hats", "--shop-domain", "hats.example")


def entries(command: InProcess, *words: object) -> list[dict[str, Any]]:
    """Newest first."""
    items: list[dict[str, Any]] = command("audit", *words, "--json").json()["items"]
    return items


def everything_done(command: InProcess, *by: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The store and the endpoint that all was done to; of the store also its second key."""
    made = command("store", "create", *HATS, "--credits", 20, *by, "--json").json()
    key_id = made["key_id"]
    command("store", "update", "hats", "--low-threshold", 5, *by)
    command("store", "suspend", "hats", *by)
    command("store", "resume", "hats", *by)
    command("store", "overage", "hats", "--limit", 3, *by)
    command("key", "update", "hats", key_id, "--label", "web", *by)
    command("key", "rotate", "hats", key_id, *by)
    made["other"] = command("key", "create", "hats", *by, "--json").json()["key_id"]
    command("key", "revoke", "hats", made["other"], *by)
    command("credits", "add", "hats", 5, "--request-id", "gift", *by)
    command("credits", "remove", "hats", 2, "--request-id", "fix", *by)
    command("credits", "set-expiry", "hats", 1, "--expires-at", "2999-12-31", *by)
    hook = command("webhook", "create", "https://ops.example/hooks", *by, "--json").json()
    endpoint = hook["endpoint_id"]
    command("webhook", "update", endpoint, "--url", "https://ops.example/2", *by)
    command("webhook", "rotate", endpoint, *by)
    command("webhook", "resend", endpoint, "--since", "2026-11-01", *by)
    command("webhook", "disable", endpoint, *by)
    command("webhook", "enable", endpoint, *by)
    command("webhook", "delete", endpoint, *by)
    command("verify", *by)
    return made, hook


def test_every_command_that_changes_something_is_written_with_who_and_why(
    command: InProcess,
) -> None:
    made, hook = everything_done(command, "--as", "ann", "--reason", "a test")
    key_id, other, endpoint = made["key_id"], made["other"], hook["endpoint_id"]
    found = entries(command)[::-1]
    assert [(entry["action"], entry["subject"]) for entry in found] == [
        ("store.create", key_id),
        *(("store.update", ""),) * 4,
        ("key.update", key_id),
        ("key.rotate", key_id),
        ("key.create", other),
        ("key.revoke", other),
        ("credits.add", ""),
        ("credits.remove", ""),
        ("grant.set_expiry", "1"),
        ("webhook.create", endpoint),
        ("webhook.update", endpoint),
        ("webhook.rotate", endpoint),
        ("webhook.resend", endpoint),
        ("webhook.disable", endpoint),
        ("webhook.enable", endpoint),
        ("webhook.delete", endpoint),
        ("ledger.verify", ""),
    ]
    assert {(entry["actor"], entry["door"], entry["reason"]) for entry in found} == {
        ("ann", "command", "a test")
    }
    of_store = [
        entry for entry in found if entry["action"].split(".")[0] not in ("webhook", "ledger")
    ]
    assert {entry["store_id"] for entry in of_store} == {made["store_id"]}
    assert entries(command, "--request-id", "fix")[0]["outcome"] == {"amount": 2, "balance": 23}

    [ends] = entries(command, "--action", "grant.set_expiry")
    assert ends["asked"]["expires_at"] == "2999-12-31T00:00:00Z"

    text = json.dumps(found)
    for secret in (made["api_key"], hook["secret"], "ops.example"):
        assert secret not in text


def test_it_is_read_by_owner_operator_action_and_time(command: InProcess) -> None:
    command("store", "create", *HATS, "--credits", 9, "--as", "ann")
    command("store", "create", "--name", "Caps", "--shop-domain", "caps.example", "--as", "bob")
    command("credits", "transfer", "hats", "caps", 4, "--reason", "merged", "--as", "bob")

    assert len(entries(command, "--owner", "caps")) == 2
    assert len(entries(command, "--owner", "hats", "--by", "bob")) == 1
    [moved] = entries(command, "--action", "credits.transfer")
    assert moved["store_id"] != moved["to_store_id"] is not None
    assert entries(command, "--until", "2026-01-01") == []
    page = command("audit", "--limit", 1, "--json").json()
    assert entries(command, "--cursor", page["next_cursor"], "--limit", 1)[0]["actor"] == "bob"

    shown = command("audit", "--by", "bob").output
    assert f"store {moved['store_id']} to store {moved['to_store_id']}" in shown
    assert "merged" in shown
    command("token", "create", "eve", "--scope", "read", "--scope", "keys")
    [*_, told] = command("audit", "--action", "token.create").output.strip().splitlines()
    assert "scopes: keys read, expires_at: none" in told
    assert command("audit", "--action", "nothing").status == 2
    assert "no such entries" in command("audit", "--by", "eve").errors


@pytest.mark.parametrize("login", ["l" * 101, "two\nlines", "no text\udcff", " "])
def test_a_login_name_that_is_none_is_not_written(
    monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    monkeypatch.setenv("LOGNAME", login)
    assert actor_of(None) == f"uid {os.getuid()}"
