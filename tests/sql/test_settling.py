"""What has ended in many accounts is written at once: of each in its order, and a bounded piece."""

from datetime import timedelta
from typing import NamedTuple

import asyncpg

from storecredit.ledger.expiry import ExpirySweep
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import connect
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from tests.passing_time import pass_time
from tests.sql.full_grants import ADD, hold, spend
from tests.sql.ledger_growth import make_accounts
from tests.sql.ledgers import open_account
from tests.sql.statement_costs import buffers_read

HOUR = timedelta(hours=1)
GRANTS = 2500
PIECE_MAX = 1100
"""Movements of one call: a thousand, and what the last of its rounds adds."""
DUE = 20_000
BATCH = 5
PAGES_PER_ACCOUNT_MAX = 18
EXPIRE = "SELECT expire_credits($1)"


class Moved(NamedTuple):
    """A movement: what it did to how many credits of which one before, and what was left."""

    type: str
    amount: int
    origin_seq: int | None
    balance_after: int


async def moved(admin: asyncpg.Connection, account: Account, after_seq: int) -> list[Moved]:
    """What was written of an account after a movement, oldest first."""
    rows = await admin.fetch(
        """SELECT type, amount, origin_seq, balance_after FROM movements
           WHERE account_id = $1 AND seq > $2 ORDER BY seq""",
        account.id,
        after_seq,
    )
    return [Moved(*row) for row in rows]


async def ended(admin: asyncpg.Connection, *accounts: Account) -> int:
    """How many movements a call of the sweep writes."""
    count = await admin.fetchval(EXPIRE, [account.id for account in accounts])
    assert isinstance(count, int)
    return count


async def add(
    admin: asyncpg.Connection,
    account: Account,
    amount: int,
    hours: float,
    rollover: tuple[int, float] | None = None,
) -> None:
    """A purchase that ends in so many hours, of which so many credits live on until others."""
    kept, until = rollover or (None, None)
    await admin.execute(
        ADD,
        account.id,
        amount,
        f"{amount} for {hours} hours",
        hours * HOUR,
        kept,
        None if until is None else until * HOUR,
    )


async def test_each_account_of_a_batch_ends_in_the_order_of_time(
    admin: asyncpg.Connection, database: Database
) -> None:
    # What rolls over ends as well, and before another grant that was there already.
    rolling = await open_account(admin, OwnerKind.STORE, 100)
    await add(admin, rolling, 10, 1, rollover=(3, 2))
    await add(admin, rolling, 20, 3)
    # The hold had 4 of the first grant, and ends after it: they live on for the grace.
    holding = await open_account(admin, OwnerKind.USER)
    await add(admin, holding, 10, 1)
    await add(admin, holding, 20, 3)
    await hold(admin, holding, 4, "held", 2 * 3600)
    # Nothing expires of it but a hold; its grants are not told apart.
    plain = await open_account(admin, OwnerKind.STORE, 50)
    await hold(admin, plain, 7, "held", 3600)
    # Of this one there is still something to end.
    lasting = await open_account(admin, OwnerKind.STORE)
    await add(admin, lasting, 5, 1)
    await add(admin, lasting, 6, 9)
    untouched = await open_account(admin, OwnerKind.STORE)
    await add(admin, untouched, 5, 9)
    accounts = (untouched, lasting, plain, holding, rolling)

    await pass_time(admin, 4 * HOUR)
    assert await ended(admin, *accounts) == 9
    assert await moved(admin, rolling, 3) == [
        Moved("rollover", 3, 2, 130),
        Moved("expiry", 7, 2, 123),
        Moved("expiry", 3, 4, 120),
        Moved("expiry", 20, 3, 100),
    ]
    assert await moved(admin, holding, 3) == [
        Moved("expiry", 6, 1, 20),
        Moved("hold_expiry", 4, 3, 24),
        Moved("expiry", 20, 2, 4),
    ]
    assert await moved(admin, plain, 2) == [Moved("hold_expiry", 7, 2, 50)]
    assert await moved(admin, lasting, 2) == [Moved("expiry", 5, 1, 6)]
    assert await moved(admin, untouched, 1) == []
    assert await ended(admin, *accounts) == 0
    assert (await verify(database)).clean


async def test_of_what_ends_at_the_same_instant_a_hold_is_first_and_then_the_older_grant(
    admin: asyncpg.Connection, database: Database
) -> None:
    accounts = [await open_account(admin, OwnerKind.STORE) for _ in range(2)]
    for account in accounts:
        async with admin.transaction():  # now() is one moment in it
            await add(admin, account, 10, 1, rollover=(2, 2))
            await add(admin, account, 20, 2)
        await hold(admin, account, 3, "held", 2 * 3600)
        await admin.execute(
            """UPDATE holds SET expires_at = g.expires_at FROM grants g
               WHERE g.account_id = holds.account_id AND g.seq = 2 AND holds.account_id = $1""",
            account.id,
        )
    await pass_time(admin, 3 * HOUR)
    # Whoever names an account twice settles it once.
    assert await ended(admin, *accounts, *accounts) == 2 * 5
    for account in accounts:
        assert await moved(admin, account, 3) == [
            Moved("rollover", 2, 1, 27),
            Moved("expiry", 5, 1, 22),
            Moved("hold_expiry", 3, 3, 25),
            Moved("expiry", 20, 2, 5),
            Moved("expiry", 2, 4, 3),
        ]
    assert (await verify(database)).clean


async def test_thousands_that_end_at_once_are_written_in_pieces(
    admin: asyncpg.Connection, database: Database
) -> None:
    account = await open_account(admin, OwnerKind.STORE)
    await admin.execute(
        """INSERT INTO grants (account_id, seq, amount, kind, expires_at)
           SELECT $1, i, 1, 'paid', now() FROM generate_series(1, $2::int) i""",
        account.id,
        GRANTS,
    )
    await admin.execute(
        """INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id, grants_after)
           SELECT $1, $2, 1, $2, 0, 'purchase', 'newest', array_agg(n ORDER BY i, p)
           FROM generate_series(1, $2::int) i,
               unnest(ARRAY[i, 1]) WITH ORDINALITY v (n, p)""",
        account.id,
        GRANTS,
    )
    await admin.execute("UPDATE accounts SET next_expiry = now() WHERE account_id = $1", account.id)
    piece = await ended(admin, account)
    assert 0 < piece <= PIECE_MAX
    # A reader counts what is not written yet; the sweep comes again within its round.
    told = "SELECT (balance, expired) = (0, $2) FROM state_of_account($1)"
    assert await admin.fetchval(told, account.id, GRANTS)
    sweep = ExpirySweep(database, Settings(), Metrics())
    await sweep.open()
    await sweep.sweep()
    await sweep.close()
    assert await moved(admin, account, GRANTS) == [
        Moved("expiry", 1, seq, GRANTS - seq) for seq in range(1, GRANTS + 1)
    ]


async def test_whoever_moves_credits_writes_all_that_has_ended_first(
    admin: asyncpg.Connection, database: Database
) -> None:
    account = await open_account(admin, OwnerKind.STORE, 10)
    await add(admin, account, 5, 1, rollover=(2, 2))
    await add(admin, account, 6, 1)
    await pass_time(admin, 3 * HOUR)
    await spend(admin, account, 4, "work")
    assert [each.type for each in await moved(admin, account, 3)] == [
        "rollover", "expiry", "expiry", "expiry", "deduction",
    ]  # fmt: skip
    assert (await verify(database)).clean


async def test_a_piece_is_found_by_its_accounts_however_many_others_are_due(
    admin: asyncpg.Connection, database_url: str
) -> None:
    await admin.execute("ALTER TABLE accounts SET (autovacuum_enabled = off)")
    await make_accounts(admin, DUE)
    await admin.execute("DELETE FROM accounts; ANALYZE")  # which sees room for many, and none
    early = await connect(database_url)
    await early.fetchval(EXPIRE, [1])
    accounts = await make_accounts(admin, DUE)
    await admin.execute("UPDATE accounts SET next_expiry = now() - interval '1 minute'")
    read = await buffers_read(early, EXPIRE, accounts[:BATCH])
    await early.close()
    assert not {name for name, pages in read.items() if pages > PAGES_PER_ACCOUNT_MAX * BATCH}, read
    assert sum(read.values()) > 0
