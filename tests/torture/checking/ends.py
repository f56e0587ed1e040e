"""Every session and hold has one end; what failed was given back; payments and credits match."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.torture.checking.effects import RETURNS, Effects, effects_of
from tests.torture.checking.history import History, Request
from tests.torture.checking.tables import Row, Tables
from tests.torture.checking.violations import Rule, Violation

FINAL: Final = {"completed", "failed"}


def violations(history: History, tables: Tables) -> Iterator[Violation]:
    """Of sessions, holds, refunds and payments."""
    effects = effects_of(tables)
    owners = tables.owners()
    for session in tables["sessions"]:
        owner = owners[session["account_id"]]
        yield from _of_session(session, effects.get((owner, session["request_id"]), []))
    for hold in tables["holds"]:
        owner = owners[hold["account_id"]]
        yield from _of_hold(hold, effects.get((owner, hold["request_id"]), []))
    yield from _of_what_was_told(history, tables)
    yield from _of_refunds(history, effects)
    yield from _of_money(history, tables, effects)
    yield from _of_keys(history, tables)


def _of_session(session: Row, movements: list[Row]) -> Iterator[Violation]:
    where = f"session {session['session_id']} ({session['request_id']})"
    if session["status"] not in FINAL:
        yield Violation(Rule.ONE_END, f"{where} is {session['status']}")
    charges = [each for each in movements if each["session_id"] == session["session_id"]]
    taken = sum(each["amount"] for each in charges if each["type"] not in RETURNS)
    given = [each["amount"] for each in charges if each["type"] in RETURNS]
    if taken != session["credits"]:
        yield Violation(Rule.ONE_EFFECT, f"{where} cost {session['credits']}, and took {taken}")
    if given != ([taken] if session["status"] == "failed" else []):
        yield Violation(
            Rule.FAILED_IS_REFUNDED, f"{where} {session['status']}; it was given back {given}"
        )


def _of_hold(hold: Row, movements: list[Row]) -> Iterator[Violation]:
    where = f"hold {hold['hold_id']} ({hold['request_id']})"
    moved: Counter[str] = Counter()
    for movement in movements:
        moved[movement["type"]] += movement["amount"]
    captured = hold["captured"] or 0
    released = 0 if hold["status"] == "held" else hold["amount"] - captured
    ended = moved["release"] + moved["hold_expiry"]
    if (moved["hold"], moved["capture"], ended) != (hold["amount"], captured, released):
        yield Violation(Rule.ONE_END, f"{where} is {hold}, and moved {dict(moved)}")
    if hold["status"] == "expired" and moved["release"]:
        yield Violation(Rule.ONE_END, f"{where} expired, and was released")


def _of_what_was_told(history: History, tables: Tables) -> Iterator[Violation]:
    """Whoever asked, at whatever moment, was told the end that it has."""
    sessions = {row["session_id"]: row for row in tables["sessions"]}
    for request in history.of_kind("session"):
        for sending in request.well:
            status = sending.told["status"]
            found = sessions.get(request.said["session"])
            if found is None or (status in FINAL and status != found["status"]):
                yield Violation(Rule.ONE_END, f"{request} was told {status}; it is {found}")
    holds = {row["hold_id"]: row for row in tables["holds"]}
    for request in history.of_kind("hold"):
        for sending in request.well:
            if sending.told["hold_id"] not in holds:
                yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request}: no hold is there")
    yield from _of_ended_holds(history, holds)


def _of_ended_holds(history: History, holds: dict[str, Row]) -> Iterator[Violation]:
    for request in history.of_kind("capture", "release"):
        found = holds.get(request.said["hold"])
        for sending in request.sendings.values():
            told = sending.told
            if sending.status not in {200, 409} or "captured" not in told:
                continue
            if found is None or (told["status"], told["captured"]) != (
                found["status"],
                found["captured"],
            ):
                yield Violation(Rule.ONE_END, f"{request} was told {told}; it is {found}")


def _of_refunds(history: History, effects: Effects) -> Iterator[Violation]:
    """What was given back in parts comes from what was taken, and is never more."""
    given: Counter[tuple[str, str]] = Counter()
    for request in history.of_kind("refund"):
        for movement in effects.get((request.owner, str(request.key)), []):
            given[request.owner, request.said["of"]] += movement["amount"]
    for (owner, of), amount in given.items():
        taken = sum(
            each["amount"]
            for each in effects.get((owner, of), [])
            if each["type"] in {"deduction", "overage", "capture"}
        )
        if amount > taken:
            yield Violation(Rule.FAILED_IS_REFUNDED, f"of {taken} of {of}, {amount} came back")


def _of_money(history: History, tables: Tables, effects: Effects) -> Iterator[Violation]:
    checkouts = {row["provider_transaction_id"]: row for row in tables["checkouts"]}
    payments = {row["provider_transaction_id"]: row for row in tables["payments"]}
    clawed = {row["provider_transaction_id"]: row for row in tables["clawbacks"]}
    for request in history.of_kind("checkout"):
        yield from _of_checkout(request, checkouts)
    for transaction in history.paid:
        checkout, payment = checkouts.get(transaction), payments.get(transaction)
        if checkout is None or payment is None or payment["credits"] != checkout["credits"]:
            yield Violation(Rule.MONEY_MATCHES, f"{transaction}: {checkout} was paid: {payment}")
    for transaction in history.charged_back:
        if transaction not in clawed:
            yield Violation(Rule.MONEY_MATCHES, f"{transaction} went back, its credits did not")
    yield from _of_payments(tables, effects)


def _of_payments(tables: Tables, effects: Effects) -> Iterator[Violation]:
    """Each brought its credits, nobody has others, and what went back is what was taken."""
    owners, payments = tables.owners(), tables["payments"]
    for payment in payments:
        found = effects.get((owners[payment["account_id"]], payment["request_id"]), [])
        added = [each["amount"] for each in found if each["type"] in {"purchase", "subscription"}]
        if payment["kind"] != "overage" and added != [payment["credits"]]:
            yield Violation(Rule.MONEY_MATCHES, f"{payment} added {added}")
    bought = {(owners[each["account_id"]], each["request_id"]) for each in payments}
    for place, movements in effects.items():
        if any(each["type"] == "purchase" for each in movements) and place not in bought:
            yield Violation(Rule.MONEY_MATCHES, f"nobody paid for {movements}")
    taken = sum(row["taken"] for row in tables["clawbacks"])
    moved = sum(row["amount"] for row in tables["movements"] if row["type"] == "clawback")
    if taken != moved:
        yield Violation(Rule.MONEY_MATCHES, f"{taken} were to be taken back, {moved} were")


def _of_checkout(request: Request, checkouts: dict[str, Row]) -> Iterator[Violation]:
    named = {
        str(sending.told.get("transaction_id", sending.told.get("transactionId")))
        for sending in request.well
    }
    if len(named) > 1 or not named <= checkouts.keys():
        yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request} was told {named}")


def _of_keys(history: History, tables: Tables) -> Iterator[Violation]:
    keys = {row["key_id"]: row["is_revoked"] for row in tables["keys"]}
    for request in history.of_kind("new_key"):
        for sending in request.well:
            if sending.told["key_id"] not in keys:
                yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request}: the key is not there")
    for request in history.of_kind("revoke_key"):
        if request.well and not keys.get(request.said["key_id"], False):
            yield Violation(Rule.ACKNOWLEDGED_IS_RECORDED, f"{request}: the key is in force")
