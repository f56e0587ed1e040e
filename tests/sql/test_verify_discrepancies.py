"""`storecredit verify` names what was tampered with: what it is, where it is, and nothing else."""

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Owner, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.sql.books import open_store
from tests.sql.everything import (
    allow_anything,
    buy,
    open_store_with_everything,
    open_store_with_overage,
    open_user_with_everything,
)
from tests.sql.tampering import IN_A_LEDGER, IN_MONEY, IN_OVERAGE, Named, Tampering, at_users
from tests.sql.user_books import open_user

# Of two sessions for one request it is the table of end users that refuses the second.
REFUSED_FOR_USERS = {"a second session of one request"}
IN_USERS = {
    what: at_users(tampering)
    for what, tampering in IN_A_LEDGER.items()
    if what not in REFUSED_FOR_USERS
}
LEDGERS = {OwnerKind.STORE: "store_credit_transactions", OwnerKind.USER: "credit_transactions"}


def named(report: Report, owner: Owner) -> set[Named]:
    """What the report names, once each and all of it of this owner."""
    is_store = owner.kind is OwnerKind.STORE
    at = (owner.id, None) if is_store else (None, owner.id)
    assert {(found.store_id, found.user_id) for found in report.discrepancies} <= {at}
    assert len(set(report.discrepancies)) == len(report.discrepancies)
    return {(found.kind, found.seq, found.request_id) for found in report.discrepancies}


async def assert_named(
    tampering: Tampering,
    owner: Owner,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tamper with sound books; the sums differ, and looking at the rows names it."""
    assert (await verify(database, every_row=True)).clean
    await allow_anything(admin)
    statement, expected = tampering
    await admin.execute(statement)

    report = await verify(database)

    assert named(report, owner) == expected
    assert not report.clean
    for rows in (1, 3):
        monkeypatch.setattr(module, "FIND_ROWS", rows)
        assert set((await verify(database)).discrepancies) == set(report.discrepancies)


def test_every_kind_of_discrepancy_is_provoked() -> None:
    provoked = {
        kind
        for tamperings in (IN_A_LEDGER, IN_USERS, IN_OVERAGE, IN_MONEY)
        for _, expected in tamperings.values()
        for kind, _, _ in expected
    }
    assert provoked == set(DiscrepancyKind)


@pytest.mark.parametrize("what", IN_A_LEDGER)
async def test_tampering_with_a_store_is_named(
    what: str, database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In ascending order: the one in the middle is tampered with.
    stores = [await open_store_with_everything(admin) for _ in range(3)]
    await open_store(admin)
    await open_user_with_everything(admin)
    statement, expected = IN_A_LEDGER[what]
    statement = statement.format(store=f"store_id = '{stores[1]}'")

    await assert_named((statement, expected), Owner.store(stores[1]), database, admin, monkeypatch)


@pytest.mark.parametrize("what", IN_USERS)
async def test_tampering_with_an_end_user_is_named(
    what: str, database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = sorted([await open_user_with_everything(admin) for _ in range(3)])
    await open_user(admin)
    await open_store_with_everything(admin)
    statement, expected = IN_USERS[what]
    statement = statement.format(user=f"user_id = '{users[1]}'")

    await assert_named((statement, expected), Owner.user(users[1]), database, admin, monkeypatch)


@pytest.mark.parametrize("what", IN_OVERAGE)
async def test_tampering_with_overage_is_named(
    what: str, database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [await open_store_with_overage(admin) for _ in range(3)]
    statement, expected = IN_OVERAGE[what]
    statement = statement.format(store=f"store_id = '{stores[1]}'")

    await assert_named((statement, expected), Owner.store(stores[1]), database, admin, monkeypatch)


@pytest.mark.parametrize("what", IN_MONEY)
@pytest.mark.parametrize("kind", OwnerKind)
async def test_tampering_with_money_is_named(
    kind: OwnerKind,
    what: str,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores = [Owner.store(await open_store(admin, 1)) for _ in range(2)]
    users = [Owner.user(await open_user(admin, 1)) for _ in range(2)]
    adjustments = {owner: await buy(admin, owner) for owner in stores + users}
    owner = stores[0] if kind is OwnerKind.STORE else users[0]
    names = {
        "buyer": f"{kind}_id = '{owner.id}'",
        "buyer_id": f"{kind}_id",
        "ledger": LEDGERS[kind],
        "adjustment": adjustments[owner],
    }
    statement, expected = IN_MONEY[what]
    named_so = {(each, seq, request and request.format(**names)) for each, seq, request in expected}

    await assert_named((statement.format(**names), named_so), owner, database, admin, monkeypatch)


async def test_a_payment_that_came_in_by_another_way_is_no_discrepancy(
    database: Database, admin: asyncpg.Connection
) -> None:
    store_id = await open_store(admin)
    await admin.execute("SELECT add_store_credits($1, 5, 'purchase', 'by cheque')", store_id)
    await admin.execute("SELECT claw_back_store_credits($1, 5, 'uncovered')", store_id)

    assert (await verify(database, every_row=True)).clean


async def test_a_discrepancy_says_where_it_is_and_the_numbers(
    database: Database, admin: asyncpg.Connection
) -> None:
    store_id = await open_store_with_everything(admin)
    await allow_anything(admin)
    session_id = await admin.fetchval(
        """UPDATE store_generation_sessions SET status = 'failed'
           WHERE request_id = 'done' RETURNING session_id"""
    )
    await admin.execute("UPDATE store_credits SET balance = 204")

    balance, session = (await verify(database)).discrepancies

    assert balance.store_id == store_id
    assert balance.detail == "balance is 204, but the ledger's movements sum up to 104"
    assert session.session_id == session_id
    assert session.detail == "the generation failed, but its deduction of 1 was not given back"


async def test_a_discrepancy_of_money_says_which_payment(
    database: Database, admin: asyncpg.Connection
) -> None:
    user_id = await open_user(admin, 1)
    adjustment_id = await buy(admin, Owner.user(user_id))
    await admin.execute("UPDATE payments SET credits = 11")
    await admin.execute("UPDATE clawbacks SET taken = 4")

    payment, clawback = (await verify(database)).discrepancies

    assert payment.user_id == clawback.user_id == user_id
    assert payment.detail == (
        f"payment txn_{user_id} (purchase) is for 11 credits, but its movement is of 10"
    )
    assert clawback.request_id == adjustment_id
    assert clawback.detail == (
        f"the refund of payment txn_{user_id} took 4 credits, but its movement is of 5"
    )
