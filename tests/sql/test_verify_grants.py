"""`storecredit verify` names what was tampered with in grants, holds and spends, and no more."""

from collections.abc import Sequence

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from tests.sql.full_grants import open_with_grants
from tests.sql.sound_books import ONE_LOOP, Opener, SoundBooks, filled_in
from tests.sql.tampering_with_grants import IN_GRANTS, IN_HOLDS

TAMPERINGS = IN_GRANTS | IN_HOLDS


async def open_both_kinds(superuser: asyncpg.Connection) -> Sequence[Account]:
    return [await open_with_grants(superuser, kind) for kind in OwnerKind]


@pytest.fixture(scope="module")
def opener() -> Opener:
    return open_both_kinds


@ONE_LOOP
@pytest.mark.parametrize("number, what", list(enumerate(TAMPERINGS)), ids=list(TAMPERINGS))
async def test_tampering_with_grants_and_holds_is_named(
    number: int, what: str, sound_books: SoundBooks
) -> None:
    account = sound_books.accounts[number % len(sound_books.accounts)]
    statement, expected = TAMPERINGS[what]
    await sound_books.superuser.execute(filled_in(statement, account))

    report = await verify(sound_books.database)

    assert {(each.kind, each.seq, each.request_id) for each in report.discrepancies} == expected
