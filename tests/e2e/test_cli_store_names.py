"""Stores as people call them on the command line, and lists of them."""

from itertools import cycle
from typing import Any

import pytest

from tests.e2e.in_process import InProcess


@pytest.fixture
def storecredit(database_url: str) -> InProcess:
    return InProcess(database_url)


def made(storecredit: InProcess, name: str, domain: str, credits: int = 5) -> dict[str, Any]:
    store: dict[str, Any] = storecredit(
        *("store", "create", "--name", name, "--shop-domain", domain),
        *("--credits", credits, "--json"),
    ).json()
    return store


def test_every_command_takes_a_stores_id_name_or_domain(storecredit: InProcess) -> None:
    store = made(storecredit, "Hats & Co", "Hats.example")
    other = made(storecredit, "Other", "other.example")
    store_id = store["store_id"]
    names = cycle((store_id, "hats & co", "hats.EXAMPLE"))

    def answer(*command: str, more: tuple[object, ...] = ()) -> dict[str, Any]:
        found: dict[str, Any] = storecredit(*command, next(names), *more, "--json").json()
        return found

    for command in ("show", "suspend", "resume"):
        assert answer("store", command)["store_id"] == store_id
    assert answer("store", "update", more=("--tier", "growth"))["store_id"] == store_id
    assert answer("store", "overage", more=("--limit", 7))["store_id"] == store_id
    key = answer("key", "create")
    assert key["store_id"] == store_id
    assert answer("key", "update", more=(key["key_id"], "--label", "x"))["label"] == "x"
    assert answer("key", "rotate", more=(key["key_id"],))["store_id"] == store_id
    assert answer("key", "revoke", more=(key["key_id"],))["revoked"]
    assert len(answer("key", "list")["items"]) == 3
    assert answer("credits", "add", more=(1,))["added"]
    assert answer("credits", "balance")["balance"] == 6
    assert [each["seq"] for each in answer("credits", "history")["items"]] == [2, 1]
    assert answer("billing", "subscriptions") == {"items": []}
    untouched = storecredit("store", "show", "other", "--json").json()
    assert untouched == {name: other[name] for name in untouched}


def test_a_name_that_several_have_or_none_is_told_with_what_to_do(storecredit: InProcess) -> None:
    first = made(storecredit, "Twin", "one.example")
    second = made(storecredit, "twin", "two.example")
    booking = ("billing", "book", "txn_1", "--credits", 5, "--store")
    for command in (("store", "suspend"), ("key", "create"), ("credits", "balance"), booking):
        told = storecredit(*command, "TWIN").sentence(2)
        for each in (first["store_id"], second["store_id"], "one.example", "Nothing was changed"):
            assert each in told
        assert (
            "There is no store triplet. `storecredit" in storecredit(*command, "triplet").sentence()
        )
    for store in (first, second):
        shown = storecredit("store", "show", store["store_id"], "--json").json()
        assert shown["status"] == "active"
    assert storecredit("store", "show", "ONE.example", "--json").json()["name"] == "Twin"


def test_stores_are_listed_by_what_they_have_left(storecredit: InProcess) -> None:
    for name, credits in (("b", 30), ("C", 10), ("a", 20)):
        made(storecredit, name, f"{name}.example", credits)
    storecredit("store", "suspend", "b")

    def names(*options: object) -> list[str]:
        found = storecredit("store", "list", *options, "--json").json()
        return [item["name"] for item in found["items"]]

    assert names() == ["a", "C", "b"]
    assert names("--sort", "name") == ["a", "b", "C"]
    assert names("--sort", "balance") == ["C", "a", "b"]
    assert names("--below", 30, "--sort", "balance") == ["C", "a"]
    assert names("--status", "suspended") == ["b"]
    assert names("--tier", "growth") == []
    assert names("--search", "B.EXAMPLE") == ["b"]
    page = storecredit("store", "list", "--sort", "balance", "--limit", 2, "--json").json()
    cursor = ("--cursor", page["next_cursor"])
    assert names("--sort", "balance", *cursor) == ["b"]
    assert {item["days_left"] for item in page["items"]} == {None}
    table = storecredit("store", "list", "--limit", 1)
    assert "days_left" in table.output
    assert "--cursor" in table.errors
    assert "sorted by name" in storecredit("store", "list", "--sort", "name", *cursor).sentence(2)
    assert "--cursor" in storecredit("store", "list", "--cursor", "garbage").sentence(2)
    for wrong in (("--below", -1), ("--sort", "age"), ("--status", "gone"), ("--search", "")):
        done = storecredit("store", "list", *wrong)
        assert (done.status, done.output) == (2, "")
        assert wrong[0] in done.errors
    assert "no such stores" in storecredit("store", "list", "--below", 0).errors
