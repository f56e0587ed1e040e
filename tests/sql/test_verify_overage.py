"""`storecredit verify` names what was tampered with in overage and its bills, and nothing else."""

from collections.abc import Sequence

import asyncpg
import pytest

from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import Account
from storecredit.ledger.verify import verify
from tests.sql.full_accounts import open_with_overage
from tests.sql.sound_books import ONE_LOOP, Opener, SoundBooks, assert_named, filled_in
from tests.sql.tampering_with_money import IN_OVERAGE


async def open_beyond_balances(superuser: asyncpg.Connection) -> Sequence[Account]:
    return [await open_with_overage(superuser) for _ in range(3)]


@pytest.fixture(scope="module")
def opener() -> Opener:
    return open_beyond_balances


@ONE_LOOP
@pytest.mark.parametrize("what", IN_OVERAGE)
async def test_tampering_with_overage_is_named(
    what: str, sound_books: SoundBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = sound_books.accounts[1]
    statement, expected = IN_OVERAGE[what]

    await assert_named(filled_in(statement, account), expected, account, sound_books, monkeypatch)


@ONE_LOOP
async def test_an_account_of_the_other_kind_is_named(sound_books: SoundBooks) -> None:
    account = sound_books.accounts[1]
    await sound_books.superuser.execute(
        "UPDATE accounts SET owner_kind = 'user' WHERE account_id = $1", account.id
    )

    report = await verify(sound_books.database)

    kinds = {each.kind for each in report.discrepancies}
    assert kinds == {
        DiscrepancyKind.ACCOUNT_WITHOUT_USER,
        DiscrepancyKind.STORE_WITHOUT_ACCOUNT,
        DiscrepancyKind.IMPOSSIBLE_ACCOUNT,
        DiscrepancyKind.TYPE_NOT_OF_OWNER,
        DiscrepancyKind.SUM_MISMATCH,
    }
    beyond = [each.seq for each in report.discrepancies if each.kind == "type_not_of_owner"]
    assert beyond == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17]
