"""Twelve callers at once do all that credits can do, while grants and holds end at their instants.

Nobody is refused by an error, nobody waits in a circle, and the ledgers that are left are right.
"""

import asyncio
from datetime import timedelta
from random import Random
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from tests.sql.conftest import connect_as_app
from tests.sql.ledgers import open_account

CALLERS, CALLS, ACCOUNTS = 12, 120, 18
REQUESTS = 150
"""Ids that requests share, so that some are repeated, also within one batch."""

SPEND = "SELECT * FROM spend_credits($1, $2, $3, $4, $5, $6)"
REFUND = "SELECT * FROM refund_to_accounts($1, $2, $3, NULL)"
PART = "SELECT * FROM refund_spends($1, $2, $3, $4)"
HOLD = "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, $7, $8)"
OPEN = """SELECT account_id, hold_id FROM holds WHERE account_id = ANY ($1) AND ended_at IS NULL
    ORDER BY account_id, hold_id LIMIT 6"""
END = "SELECT * FROM end_holds($1, $2, $3, array_fill(NULL::int, ARRAY[cardinality($1::bigint[])]))"
ADD = """SELECT add_to_account($1, $2, 'purchase', $3, p_grace => $5, p_priority => $6,
    p_expires_at => clock_timestamp() + $4::interval)"""
REISSUE = """SELECT set_grant_expiry($1, (SELECT seq FROM grants WHERE account_id = $1
    ORDER BY seq DESC LIMIT 1), clock_timestamp() + $2::interval, '', 'admin')"""
TRANSFER = "SELECT * FROM transfer_credits($1, $2, $3, $4, '', 'admin')"


class Caller:
    """One connection and what it does, by chance."""

    def __init__(self, connection: Connection, accounts: list[int], seed: int) -> None:
        self._connection = connection
        self._accounts = accounts
        self._random = Random(seed)

    async def run(self) -> None:
        doings = (self._spend, self._refund, self._hold, self._end, self._add, self._hand_over)
        for _ in range(CALLS):
            await self._random.choice(doings)()

    def _some(self) -> tuple[list[int], list[int], list[str]]:
        accounts = sorted(self._random.choices(self._accounts, k=self._random.randint(1, 12)))
        amounts = [self._random.randint(1, 9) for _ in accounts]
        return accounts, amounts, [str(self._random.randrange(REQUESTS)) for _ in accounts]

    def _soon(self) -> timedelta:
        return timedelta(seconds=self._random.uniform(0.05, 1.5))

    async def _spend(self) -> None:
        accounts, amounts, requests = self._some()
        prints = [request.encode() for request in requests]
        nothing = [None] * len(accounts)
        await self._connection.fetch(SPEND, accounts, amounts, requests, prints, nothing, nothing)

    async def _refund(self) -> None:
        accounts, amounts, requests = self._some()
        if self._random.random() < 0.5:
            await self._connection.fetch(REFUND, accounts, amounts, requests)
        else:
            parts = [f"part {self._random.randrange(REQUESTS)}" for _ in accounts]
            await self._connection.fetch(PART, accounts, requests, parts, amounts)

    async def _hold(self) -> None:
        accounts, amounts, requests = self._some()
        nothing = [None] * len(accounts)
        ids, prints = [uuid4() for _ in accounts], [b"hold"] * len(accounts)
        seconds = [self._random.choice((1, 1, 60)) for _ in accounts]
        await self._connection.fetch(
            HOLD, accounts, ids, amounts, requests, prints, seconds, nothing, nothing
        )

    async def _end(self) -> None:
        holds = await self._connection.fetch(OPEN, self._some()[0])
        actions = [self._random.choice(("capture", "release")) for _ in holds]
        await self._connection.fetch(
            END,
            [hold["account_id"] for hold in holds],
            [hold["hold_id"] for hold in holds],
            actions,
        )

    async def _add(self) -> None:
        account = self._random.choice(self._accounts)
        if self._random.random() < 0.3:
            await self._connection.fetch(REISSUE, account, self._soon())
            return
        grace, priority = (
            timedelta(seconds=self._random.choice((0, 1))),
            self._random.choice((1, 9)),
        )
        amount = self._random.randint(1, 30)
        await self._connection.fetch(
            ADD, account, amount, str(uuid4()), self._soon(), grace, priority
        )

    async def _hand_over(self) -> None:
        if self._random.random() < 0.3:
            await self._connection.fetch("SELECT expire_credits($1)", self._accounts)
            return
        giver, taker = self._random.choices(self._accounts, k=2)
        await self._connection.fetch(
            TRANSFER, giver, taker, self._random.randint(1, 9), str(uuid4())
        )


@pytest.mark.timeout(120)
async def test_whatever_happens_at_once_the_ledgers_are_right(
    database: Database, database_url: str, admin: asyncpg.Connection
) -> None:
    kinds = [OwnerKind.USER if n % 3 == 0 else OwnerKind.STORE for n in range(ACCOUNTS)]
    accounts = [(await open_account(admin, kind, 200)).id for kind in kinds]
    await admin.execute(
        "UPDATE accounts SET overage_limit = 50 WHERE owner_kind = 'store' AND account_id % 2 = 0"
    )
    connections = [await connect_as_app(database_url) for _ in range(CALLERS)]
    async with asyncio.TaskGroup() as group:
        for seed, connection in enumerate(connections):
            group.create_task(Caller(connection, accounts, seed).run())
    for connection in connections:
        await connection.close()

    await admin.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await admin.fetchval(deadlocks) == 0
    types = await admin.fetch("SELECT DISTINCT type FROM movements")
    assert {row["type"] for row in types} >= {
        *("deduction", "refund", "hold", "capture", "release"),
        *("purchase", "expiry", "reissue", "transfer_out", "transfer_in"),
    }
    assert (await verify(database)).clean
    for account in accounts:
        (state,) = await admin.fetch(
            "SELECT balance, held, grants FROM state_of_account($1)", account
        )
        assert sum(state["grants"][1::2]) == state["balance"]
