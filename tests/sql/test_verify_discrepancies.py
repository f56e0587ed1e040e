"""`storecredit verify` names what was tampered with: what it is, where it is, and nothing else."""

from itertools import cycle
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger import verify as module
from storecredit.ledger.discrepancies import DiscrepancyKind, Report
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verification import last
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from tests.sql.full_accounts import (
    allow_anything,
    buy,
    deduct,
    open_with_everything,
    open_with_overage,
)
from tests.sql.ledgers import open_account
from tests.sql.tampering import IN_OWNERS, IN_REQUESTS, IN_THE_CHAIN, Named
from tests.sql.tampering_with_grants import IN_GRANTS, IN_HOLDS
from tests.sql.tampering_with_money import IN_MONEY, IN_OVERAGE

OWNERS = {OwnerKind.STORE: "stores", OwnerKind.USER: "users"}
FOREIGN_TYPES = {OwnerKind.STORE: "signup_bonus", OwnerKind.USER: "subscription"}
IN_A_LEDGER = IN_THE_CHAIN | IN_REQUESTS
# Of no owner, or of none that is left.
OF_NOBODY = {DiscrepancyKind.MOVEMENTS_MISSING, DiscrepancyKind.MOVEMENTS_WITHOUT_ACCOUNT}


def filled_in(text: str, account: Account, adjustment: str = "") -> str:
    """A statement, kind or request id, with the names of this account."""
    kind = account.owner.kind
    return text.format(
        account=f"account_id = {account.id}",
        account_id=account.id,
        owner=f"{kind}_id = '{account.owner.id}'",
        owners=OWNERS[kind],
        kind=kind,
        foreign_type=FOREIGN_TYPES[kind],
        adjustment=adjustment,
    )


def named(report: Report, account: Account) -> set[Named]:
    """What the report names, once each and all of it of this account's owner."""
    owner = account.owner
    at = (owner.id, None) if owner.kind is OwnerKind.STORE else (None, owner.id)
    assert len(set(report.discrepancies)) == len(report.discrepancies)
    for found in report.discrepancies:
        assert (found.store_id, found.user_id) == ((None, None) if found.kind in OF_NOBODY else at)
        assert found.detail
    return {(found.kind, found.seq, found.request_id) for found in report.discrepancies}


async def assert_named(
    statement: str,
    expected: set[Named],
    account: Account,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tamper with sound books; the sums differ, and looking at the rows names it."""
    assert (await verify(database, every_row=True)).clean
    await allow_anything(admin)
    await admin.execute(statement)

    report = await verify(database)

    assert named(report, account) == expected
    assert not report.clean
    for rows in (1, 3):
        monkeypatch.setattr(module, "FIND_ROWS", rows)
        assert set((await verify(database)).discrepancies) == set(report.discrepancies)


def test_every_kind_of_discrepancy_is_provoked() -> None:
    provoked = {
        kind
        for tamperings in (IN_A_LEDGER, IN_OVERAGE, IN_MONEY, IN_GRANTS, IN_HOLDS)
        for _, expected in tamperings.values()
        for kind, _, _ in expected
    }
    provoked |= {
        DiscrepancyKind(each.format(kind=kind))
        for _, expected in IN_OWNERS.values()
        for each in expected
        for kind in OwnerKind
    }
    assert provoked | {DiscrepancyKind.UNGUARDED} == set(DiscrepancyKind)


@pytest.mark.parametrize(
    "statement, detail",
    [
        (
            "GRANT EXECUTE ON FUNCTION append_movements, add_to_account TO PUBLIC",
            "everybody may call the function storecredit.add_to_account, which writes credits",
        ),
        (
            "ALTER TABLE movements DROP CONSTRAINT movements_pkey",
            "the key storecredit.movements_pkey is missing, so the ledger is not guarded",
        ),
    ],
    ids=["open", "without a key"],
)
async def test_a_way_around_the_functions_is_named(
    statement: str, detail: str, database: Database, admin: asyncpg.Connection
) -> None:
    await with_everything(admin, OwnerKind.STORE)
    await admin.execute(f"SET search_path = storecredit; {statement}")

    (found,) = (await verify(database)).discrepancies

    assert (found.kind, found.detail) == (DiscrepancyKind.UNGUARDED, detail)
    recorded = await last(database)
    assert recorded is not None
    assert recorded.discrepancies == 1


async def with_everything(admin: asyncpg.Connection, kind: OwnerKind) -> Account:
    """An account between two others of its kind, and among those of the other kind."""
    accounts = [await open_with_everything(admin, kind) for _ in range(3)]
    for each in OwnerKind:
        await open_account(admin, each)
        await open_with_everything(admin, each)
    return accounts[1]


@pytest.mark.parametrize("what, kind", list(zip(IN_A_LEDGER, cycle(OwnerKind), strict=False)))
async def test_tampering_with_a_ledger_is_named(
    what: str,
    kind: OwnerKind,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = await with_everything(admin, kind)
    statement, expected = IN_A_LEDGER[what]

    await assert_named(
        filled_in(statement, account), expected, account, database, admin, monkeypatch
    )


@pytest.mark.parametrize("kind", OwnerKind)
@pytest.mark.parametrize("what", IN_OWNERS)
async def test_tampering_with_an_owner_is_named(
    what: str,
    kind: OwnerKind,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = await with_everything(admin, kind)
    statement, kinds = IN_OWNERS[what]
    expected: set[Named] = {
        (DiscrepancyKind(filled_in(each, account)), None, None) for each in kinds
    }

    await assert_named(
        filled_in(statement, account), expected, account, database, admin, monkeypatch
    )


@pytest.mark.parametrize("what", IN_OVERAGE)
async def test_tampering_with_overage_is_named(
    what: str, database: Database, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, account, _ = [await open_with_overage(admin) for _ in range(3)]
    statement, expected = IN_OVERAGE[what]

    await assert_named(
        filled_in(statement, account), expected, account, database, admin, monkeypatch
    )


@pytest.mark.parametrize("what", IN_MONEY)
@pytest.mark.parametrize("kind", OwnerKind)
async def test_tampering_with_money_is_named(
    kind: OwnerKind,
    what: str,
    database: Database,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = [await open_account(admin, each, 1) for each in (kind, *OwnerKind)]
    adjustment, *_ = [await buy(admin, account) for account in accounts]
    statement, expected = IN_MONEY[what]
    account = accounts[0]
    named_so = {
        (each, seq, request and filled_in(request, account, adjustment))
        for each, seq, request in expected
    }

    await assert_named(
        filled_in(statement, account, adjustment), named_so, account, database, admin, monkeypatch
    )


@pytest.mark.parametrize("kind", OwnerKind)
async def test_an_account_of_another_owner_is_named_at_both(
    kind: OwnerKind, database: Database, admin: asyncpg.Connection
) -> None:
    account = await with_everything(admin, kind)
    await allow_anything(admin)
    other_id = uuid4()
    await admin.execute(
        "UPDATE accounts SET owner_id = $1 WHERE account_id = $2", other_id, account.id
    )

    report = await verify(database)

    assert {(each.kind, each.store_id or each.user_id) for each in report.discrepancies} == {
        (f"account_without_{kind}", other_id),
        (f"{kind}_without_account", account.owner.id),
    }


@pytest.mark.parametrize("kind, type_", FOREIGN_TYPES.items())
async def test_a_type_that_is_not_for_such_an_owner_is_named(
    kind: OwnerKind, type_: str, database: Database, admin: asyncpg.Connection
) -> None:
    account = await with_everything(admin, kind)
    await allow_anything(admin)
    await admin.execute(
        "UPDATE movements SET type = $1 WHERE account_id = $2 AND seq = 10", type_, account.id
    )

    report = await verify(database)

    assert named(report, account) == {(DiscrepancyKind.TYPE_NOT_OF_OWNER, 10, "bought")}
    assert report.discrepancies[0].detail == f"a {kind} cannot have a {type_}"


async def test_an_account_of_the_other_kind_is_named(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_with_overage(admin)
    await allow_anything(admin)
    await admin.execute("UPDATE accounts SET owner_kind = 'user' WHERE account_id = $1", account.id)

    report = await verify(database)

    kinds = {each.kind for each in report.discrepancies}
    assert kinds == {
        DiscrepancyKind.ACCOUNT_WITHOUT_USER,
        DiscrepancyKind.STORE_WITHOUT_ACCOUNT,
        DiscrepancyKind.IMPOSSIBLE_ACCOUNT,
        DiscrepancyKind.TYPE_NOT_OF_OWNER,
    }
    beyond = [each.seq for each in report.discrepancies if each.kind == "type_not_of_owner"]
    assert beyond == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17]


async def test_a_payment_that_came_in_by_another_way_is_no_discrepancy(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute("SELECT add_to_account($1, 5, 'purchase', 'by cheque')", account.id)
    await admin.execute("SELECT claw_back_from_account($1, 5, 'uncovered')", account.id)

    assert (await verify(database, every_row=True)).clean


async def test_no_row_knows_of_the_newest_movements_that_no_verification_has_counted(
    database: Database, admin: asyncpg.Connection
) -> None:
    # The limit that the documents name: a superuser takes off the end what nothing else knows of.
    account = await open_with_everything(admin, OwnerKind.STORE)
    assert (await verify(database)).clean
    await deduct(admin, account, 1, "after the proof")
    await allow_anything(admin)
    await admin.execute("DELETE FROM movements WHERE request_id = 'after the proof'")

    assert (await verify(database, every_row=True)).clean


async def test_a_discrepancy_says_where_it_is_and_the_numbers(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_with_everything(admin, OwnerKind.STORE)
    await allow_anything(admin)
    session_id = await admin.fetchval(
        "UPDATE sessions SET status = 'failed' WHERE request_id = 'done' RETURNING session_id"
    )
    await admin.execute("UPDATE movements SET balance_after = 200 WHERE seq = 11")

    balance, session = (await verify(database)).discrepancies

    assert balance.store_id == account.owner.id
    assert balance.detail == (
        "a clawback of 4 after balance of 104 makes 100, but balance_after is 200"
    )
    assert session.session_id == session_id
    assert session.detail == "the generation failed, but its deduction of 1 was not given back"


async def test_missing_movements_are_named_until_they_are_back(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_with_everything(admin, OwnerKind.USER)
    assert (await verify(database)).clean
    verified = await last(database)
    assert verified is not None
    await allow_anything(admin)
    await admin.execute("CREATE TABLE taken AS SELECT * FROM movements WHERE seq >= 10")
    await admin.execute("DELETE FROM movements WHERE seq >= 10")

    for _ in range(2):
        await deduct(admin, account, 1, str(uuid4()))
        # The grant that one of them began is there still.
        missing, _ = (await verify(database)).discrepancies
        assert missing.detail == (
            f"of the 11 movements from before {verified.verified_at.isoformat()}, which an"
            " earlier `verify` counted, 2 are missing"
        )

    await admin.execute("DELETE FROM movements WHERE seq >= 10")
    await admin.execute("INSERT INTO movements SELECT * FROM taken")
    assert (await verify(database, every_row=True)).clean


async def test_a_discrepancy_of_money_says_which_payment(
    database: Database, admin: asyncpg.Connection
) -> None:
    account = await open_account(admin, OwnerKind.USER, 1)
    user_id = account.owner.id
    adjustment_id = await buy(admin, account)
    await admin.execute("UPDATE storecredit.payments SET credits = 11")
    await admin.execute("UPDATE storecredit.clawbacks SET taken = 4")

    payment, clawback = (await verify(database)).discrepancies

    assert payment.user_id == clawback.user_id == user_id
    assert payment.detail == (
        f"payment txn_{user_id} (purchase) is for 11 credits, but its movement is of 10"
    )
    assert clawback.request_id == adjustment_id
    assert clawback.detail == (
        f"the refund of payment txn_{user_id} took 4 credits, but its movement is of 5"
    )
