"""What must hold of end users and of money that came in, after any crash, row by row.

Paddle's own state is the measure: every transaction that it has completed is booked exactly once,
for the buyer and the credits that were wanted; none that is not; every event is kept and settled.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

from storecredit.ledger.owners import Owner
from tests.crash.audit import HONEST_ENDS, PNG_SIGNATURE
from tests.crash.generator_stand_in import Generator
from tests.crash.load import Account
from tests.crash.purchase_load import (
    PLAN_CREDITS,
    STARTER_CREDITS,
    PurchaseLoad,
    Shopper,
    Wanted,
    What,
)
from tests.sql.ledgers import assert_books_balance

SETTLED = {"processed", "ignored"}


async def assert_users_hold(
    books: asyncpg.Connection, load: PurchaseLoad, generator: Generator, data_dir: Path
) -> None:
    """Each end user: one account, one deduction for what was acknowledged, one end of each."""
    for shopper in load.shoppers:
        await assert_books_balance(books, Owner.user(shopper.user_id))
        wants = {
            wanted.request_id: wanted
            for wanted in load.wanted.values()
            if wanted.buyer == shopper and wanted.what is What.GENERATION
        }
        sessions = {
            row["request_id"]: row
            for row in await books.fetch(
                "SELECT * FROM sessions WHERE account_id = account_of('user', $1)", shopper.user_id
            )
        }
        moved = await _moved(books, Owner.user(shopper.user_id))
        assert moved["signup_bonus"] == {"signup": STARTER_CREDITS}
        assert set(moved["deduction"]) == set(sessions)
        assert set(sessions) <= set(wants)
        for request_id, wanted in wants.items():
            session = sessions.get(request_id)
            assert session is not None or not wanted.acknowledged, f"{wanted} has no deduction"
            if session is not None:
                refunded = request_id in moved["refund"]
                _assert_ended(wanted, session, refunded, generator, data_dir)


def _assert_ended(
    wanted: Wanted, session: asyncpg.Record, refunded: bool, generator: Generator, data_dir: Path
) -> None:
    assert wanted.ids <= {str(session["session_id"])}, f"{wanted} is {dict(session)}"
    assert refunded is (session["status"] == "failed"), f"{wanted} ended in {dict(session)}"
    end = session["error_code"] or session["status"]
    assert generator.plan(wanted.request_id) in HONEST_ENDS[end], dict(session)
    if session["status"] == "completed":
        kept = data_dir / "results" / session["result_key"]
        assert kept.read_bytes().startswith(PNG_SIGNATURE)


async def assert_money_holds(
    books: asyncpg.Connection, load: PurchaseLoad, state: dict[str, Any]
) -> None:
    """What Paddle has, and what is booked."""
    await _assert_events_are_settled(books, state)
    payments = {
        row["paddle_transaction_id"]: row for row in await books.fetch("SELECT * FROM payments")
    }
    completed = {each["id"]: each for each in state["transactions"] if _is_completed(each)}
    assert set(payments) == set(completed), "what was paid is not what was booked"
    by_transaction = {id_: wanted for wanted in load.wanted.values() for id_ in wanted.ids}
    for id_, payment in payments.items():
        _assert_is_what_was_wanted(completed[id_], payment, by_transaction)
    await _assert_clawed_back(books, state, payments)
    for account in load.accounts:
        await _assert_added(books, account.owner, payments)
    for shopper in load.shoppers:
        await _assert_added(books, _owner_of(shopper), payments)


def _is_completed(transaction: dict[str, Any]) -> bool:
    return bool(transaction["status"] == "completed")


async def _assert_events_are_settled(books: asyncpg.Connection, state: dict[str, Any]) -> None:
    kept = {row["event_id"]: row for row in await books.fetch("SELECT * FROM paddle_events")}
    assert set(kept) == {event_id for event_id, _ in state["events"]}
    odd = [dict(row) for row in kept.values() if row["status"] not in SETTLED]
    assert odd == [], odd


def _assert_is_what_was_wanted(
    transaction: dict[str, Any], payment: asyncpg.Record, by_transaction: dict[str, Wanted]
) -> None:
    if transaction["origin"] == "subscription_recurring":
        assert payment["credits"] == PLAN_CREDITS
        assert str(payment["store_id"]) == transaction["custom_data"]["store_id"]
        return
    wanted = by_transaction[transaction["id"]]
    assert wanted.paid, f"{wanted} was booked"
    assert payment["credits"] == wanted.credits
    assert payment["request_id"] == wanted.request_id
    owner = _owner_of(wanted.buyer)
    assert payment[owner.kind.id_name] == owner.id


async def _assert_clawed_back(
    books: asyncpg.Connection, state: dict[str, Any], payments: dict[str, asyncpg.Record]
) -> None:
    clawbacks = {row["adjustment_id"]: row for row in await books.fetch("SELECT * FROM clawbacks")}
    assert set(clawbacks) == {each["id"] for each in state["adjustments"]}
    for clawback in clawbacks.values():
        given = payments[clawback["paddle_transaction_id"]]["credits"]
        assert clawback["credits"] == clawback["taken"] == given


async def _assert_added(
    books: asyncpg.Connection, owner: Owner, payments: dict[str, asyncpg.Record]
) -> None:
    """The ledger's rows are those of the buyer's payments and adjustments, one each."""
    column = owner.kind.id_name
    moved = await _moved(books, owner)
    own = [row for row in payments.values() if row[column] == owner.id]
    paid = {row["request_id"]: row["credits"] for row in own}
    assert moved["purchase"] | moved["subscription"] == paid
    assert len(moved["purchase"]) + len(moved["subscription"]) == len(own)
    taken = await books.fetch(
        f"""SELECT c.adjustment_id, c.taken FROM clawbacks c
            JOIN payments p USING (paddle_transaction_id) WHERE p.{column} = $1""",
        owner.id,
    )
    assert moved["clawback"] == {row["adjustment_id"]: row["taken"] for row in taken}


async def _moved(books: asyncpg.Connection, owner: Owner) -> dict[str, Counter[str]]:
    """Of each type of movement, what moved under which request id."""
    found: dict[str, Counter[str]] = {}
    rows = await books.fetch(
        "SELECT type, request_id, amount FROM movements WHERE account_id = account_of($1, $2)",
        owner.kind,
        owner.id,
    )
    for type_, request_id, amount in rows:
        found.setdefault(type_, Counter())[request_id] += amount
    return _Absent(found)


class _Absent(dict[str, Counter[str]]):
    """Of a type that never moved, nothing."""

    def __missing__(self, _type: str) -> Counter[str]:
        return Counter()


def _owner_of(buyer: Account | Shopper) -> Owner:
    return buyer.owner if isinstance(buyer, Account) else Owner.user(buyer.user_id)
