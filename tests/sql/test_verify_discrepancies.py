"""`storecredit verify` names what was tampered with: what it is, where it is, and nothing else."""

from collections.abc import Sequence
from itertools import cycle
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from tests.sql.checkpoints.test_tampering import TAMPERED
from tests.sql.full_accounts import open_with_everything
from tests.sql.ledgers import open_account
from tests.sql.sound_books import (
    FOREIGN_TYPES,
    ONE_LOOP,
    Opener,
    SoundBooks,
    assert_named,
    filled_in,
    named,
)
from tests.sql.tampering import IN_A_LEDGER, IN_OWNERS, Named
from tests.sql.tampering_with_archives import IN_ARCHIVES
from tests.sql.tampering_with_grants import IN_GRANTS, IN_HOLDS
from tests.sql.tampering_with_money import IN_MONEY, IN_OVERAGE
from tests.sql.tampering_with_sums import IN_SUMS, IN_SUMS_OF_ACCOUNTS


async def open_both_kinds(superuser: asyncpg.Connection) -> Sequence[Account]:
    """Two of each kind: those in the middle have others before and after them."""
    for kind in OwnerKind:
        await open_account(superuser, kind)
    kinds = (OwnerKind.STORE, OwnerKind.USER, OwnerKind.STORE, OwnerKind.USER)
    return [await open_with_everything(superuser, kind) for kind in kinds]


@pytest.fixture(scope="module")
def opener() -> Opener:
    return open_both_kinds


def between_others(books: SoundBooks, kind: OwnerKind) -> Account:
    """An account of this kind that is neither the first nor the last."""
    return next(each for each in books.accounts[1:-1] if each.owner.kind is kind)


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
    provoked |= set(IN_ARCHIVES.values())
    provoked |= {kind for _, expected in IN_SUMS.values() for kind in expected}
    provoked |= {kind for _, expected in IN_SUMS_OF_ACCOUNTS.values() for kind in expected}
    provoked |= {kind for _, expected in TAMPERED.values() for kind, _ in expected}
    # By what is of no ledger: test_mended_privileges.py and test_verify_buckets.py.
    provoked |= {DiscrepancyKind.UNGUARDED, DiscrepancyKind.WRONG_BUCKET}
    assert provoked == set(DiscrepancyKind)


@ONE_LOOP
@pytest.mark.parametrize("what, kind", list(zip(IN_A_LEDGER, cycle(OwnerKind), strict=False)))
async def test_tampering_with_a_ledger_is_named(
    what: str, kind: OwnerKind, sound_books: SoundBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = between_others(sound_books, kind)
    statement, expected = IN_A_LEDGER[what]

    await assert_named(filled_in(statement, account), expected, account, sound_books, monkeypatch)


@ONE_LOOP
@pytest.mark.parametrize("kind", OwnerKind)
@pytest.mark.parametrize("what", IN_OWNERS)
async def test_tampering_with_an_owner_is_named(
    what: str, kind: OwnerKind, sound_books: SoundBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = between_others(sound_books, kind)
    statement, kinds = IN_OWNERS[what]
    expected: set[Named] = {
        (DiscrepancyKind(filled_in(each, account)), None, None) for each in kinds
    }

    await assert_named(filled_in(statement, account), expected, account, sound_books, monkeypatch)


@ONE_LOOP
@pytest.mark.parametrize("kind", OwnerKind)
async def test_an_account_of_another_owner_is_named_at_both(
    kind: OwnerKind, sound_books: SoundBooks
) -> None:
    account, other_id = between_others(sound_books, kind), uuid4()
    await sound_books.superuser.execute(
        "UPDATE accounts SET owner_id = $1 WHERE account_id = $2", other_id, account.id
    )

    report = await verify(sound_books.database)

    assert {(each.kind, each.store_id or each.user_id) for each in report.discrepancies} == {
        (f"account_without_{kind}", other_id),
        (f"{kind}_without_account", account.owner.id),
        # The lists by balance know the account as that of whom it was.
        (DiscrepancyKind.SUM_MISMATCH, other_id),
    }


@ONE_LOOP
@pytest.mark.parametrize("kind, type_", FOREIGN_TYPES.items())
async def test_a_type_that_is_not_for_such_an_owner_is_named(
    kind: OwnerKind, type_: str, sound_books: SoundBooks
) -> None:
    account = between_others(sound_books, kind)
    await sound_books.superuser.execute(
        "UPDATE movements SET type = $1 WHERE account_id = $2 AND seq = 10", type_, account.id
    )

    report = await verify(sound_books.database)

    assert named(report, account) == {(DiscrepancyKind.TYPE_NOT_OF_OWNER, 10, "bought")}
    assert report.discrepancies[0].detail == f"a {kind} cannot have a {type_}"
