"""`storecredit verify` names what was tampered with in payments and what is taken back of them."""

from collections.abc import Sequence

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from tests.sql.full_accounts import buy
from tests.sql.ledgers import open_account
from tests.sql.sound_books import ONE_LOOP, Opener, SoundBooks, assert_named, filled_in
from tests.sql.tampering_with_money import IN_MONEY


async def open_buyers(superuser: asyncpg.Connection) -> Sequence[Account]:
    """Of each kind one with another of its kind after it."""
    buyers = [await open_account(superuser, kind, 1) for kind in (*OwnerKind, *OwnerKind)]
    for each in buyers:
        await buy(superuser, each)
    return buyers


@pytest.fixture(scope="module")
def opener() -> Opener:
    return open_buyers


@ONE_LOOP
@pytest.mark.parametrize("what", IN_MONEY)
@pytest.mark.parametrize("kind", OwnerKind)
async def test_tampering_with_money_is_named(
    kind: OwnerKind, what: str, sound_books: SoundBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = next(each for each in sound_books.accounts if each.owner.kind is kind)
    statement, expected = IN_MONEY[what]
    named_so = {
        (each, seq, request and filled_in(request, account)) for each, seq, request in expected
    }

    await assert_named(filled_in(statement, account), named_so, account, sound_books, monkeypatch)
