"""What was told by webhooks: every event that was heard is one of the table, and each happened."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.torture.checking.history import History
from tests.torture.checking.tables import Row, Tables
from tests.torture.checking.violations import Rule, Violation

ADDITIONS: Final = {"purchase", "subscription", "grant", "signup_bonus", "transfer_in"}
MOVEMENTS_OF: Final[Mapping[str, set[str]]] = {
    "credits.added": ADDITIONS,
    "credits.clawed_back": {"clawback"},
    "hold.expired": {"hold_expiry"},
}
CROSSINGS: Final = {"credits.low", "credits.depleted"}


def violations(history: History, tables: Tables) -> Iterator[Violation]:
    """Of every event that was heard, and every one that was written down to be told."""
    events = {row["name"]: row for row in tables["events"]}
    for heard in history.heard:
        found = events.get(heard["id"])
        if found is None or found["type"] != heard["type"]:
            yield Violation(Rule.TOLD_AS_HAPPENED, f"{heard} was told, and is {found}")
        elif not _says(heard["data"], json.loads(found["data"])):
            yield Violation(Rule.TOLD_AS_HAPPENED, f"{heard} was told of {found}")
    facts = _Facts(tables)
    for row in tables["events"]:
        if not facts.hold(row, json.loads(row["data"])):
            yield Violation(Rule.TOLD_AS_HAPPENED, f"{row} did not happen")
    yield from _of_repetitions(tables, facts)


def _of_repetitions(tables: Tables, facts: "_Facts") -> Iterator[Violation]:
    """Nothing is two events, and the end of a session is one."""
    ends: Counter[str] = Counter()
    once: Counter[tuple[Any, ...]] = Counter()
    for row in tables["events"]:
        data = json.loads(row["data"])
        if row["type"].startswith("generation."):
            ends[data["session_id"]] += 1
        elif row["type"] in MOVEMENTS_OF or row["type"] in CROSSINGS:
            once[row["type"], row["account_id"], data["request_id"], data.get("balance")] += 1
    for what, count in once.items():
        if count > 1:
            yield Violation(Rule.TOLD_AS_HAPPENED, f"{what} is {count} events")
    for session_id, session in facts.sessions.items():
        if ends[session_id] != 1:
            yield Violation(
                Rule.TOLD_AS_HAPPENED, f"{ends[session_id]} events tell the end of {session}"
            )


def _says(heard: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    """Whether what was heard says all that was written down, whose it is besides."""
    return all(heard.get(name) == value for name, value in written.items() if value is not None)


class _Facts:
    """What the tables say has happened."""

    def __init__(self, tables: Tables) -> None:
        self.sessions = {row["session_id"]: row for row in tables["sessions"]}
        self.keys = {row["key_id"]: row["is_revoked"] for row in tables["keys"]}
        self.movements: dict[tuple[int, str], list[tuple[int, Row]]] = defaultdict(list)
        """By account and request id, each with the balance before it."""
        for account_id, rows in tables.of_account("movements").items():
            before = 0
            for row in rows:
                self.movements[account_id, row["request_id"]].append((before, row))
                before = row["balance_after"]

    def hold(self, event: Row, data: Mapping[str, Any]) -> bool:
        """Whether what an event says is so."""
        type_ = event["type"]
        if type_.startswith("generation."):
            session = self.sessions.get(data["session_id"])
            return session is not None and bool(session["status"] == type_.partition(".")[2])
        if type_ == "key.revoked":
            return bool(self.keys.get(data["key_id"]))
        if type_ == "key.created":
            return data["key_id"] in self.keys
        if type_ in MOVEMENTS_OF or type_ in CROSSINGS:
            found = self.movements.get((event["account_id"], data["request_id"]), [])
            return any(_is_told_by(type_, data, before, row) for before, row in found)
        return True


def _is_told_by(type_: str, data: Mapping[str, Any], before: int, movement: Row) -> bool:
    after = movement["balance_after"]
    if "balance" in data and data["balance"] != after:
        return False
    if type_ == "credits.depleted":
        return bool(after == 0 < before)
    if type_ == "credits.low":
        return bool(after <= data["threshold"] < before)
    amount = data.get("amount", data.get("credits", movement["amount"]))
    return movement["type"] in MOVEMENTS_OF[type_] and bool(amount == movement["amount"])
