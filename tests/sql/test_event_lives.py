"""Random lives of accounts, by two connections at once: what is told is what the ledger says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date, timedelta
from random import Random
from typing import Final
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.passing_time import pass_time
from tests.sql.conftest import Callers
from tests.sql.event_audit import LINES, EventAudit
from tests.sql.ledgers import open_account, open_beyond

BATCH: Final = 64
STEPS: Final = 120
TORTURE_STEPS: Final = 2000
CALLERS: Final = 2
LIMIT: Final = 4
NOBODYS_MONTHS: Final = (date(2090, 1, 1), date(2090, 2, 1))
"""Later than any that is billed by chance."""


class Life:
    """One caller over the same accounts as others; what it does is a matter of its seed."""

    def __init__(
        self,
        app: Connection,
        books: asyncpg.Connection,
        only_one: asyncio.Lock,
        accounts: list[Account],
        seed: str,
    ) -> None:
        """`only_one` uses `books` at a time."""
        self._app, self._books, self._accounts = app, books, accounts
        self._only_one = only_one
        self._random, self._seed, self._count = Random(seed), seed, 0
        self._taken: list[tuple[Account, int, str]] = []
        self._holds: list[tuple[Account, object]] = []

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            step = self._random.choices(
                (self._charge, self._give_back, self._add, self._hold, self._end_hold, self._pass),
                (6, 4, 4, 2, 2, 2),
            )[0]
            await step(self._random.choice(self._accounts))

    def _name(self) -> str:
        self._count += 1
        return f"{self._seed} {self._count}"

    async def _charge(self, _: Account) -> None:
        """A batch over all accounts, which crosses whatever lines lie in its way."""
        items = sorted(
            (
                (self._random.choice(self._accounts), self._random.randint(1, 3), self._name())
                for _ in range(self._random.choice((1, BATCH)))
            ),
            key=lambda item: item[0].id,
        )
        outcomes = await self._app.fetchval(
            "SELECT outcomes FROM deduct_from_accounts($1, $2, $3, NULL)",
            [account.id for account, _, _ in items],
            [amount for _, amount, _ in items],
            [name for _, _, name in items],
        )
        self._taken += [
            item
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome in {"deducted", "overage"}
        ]

    async def _give_back(self, _: Account) -> None:
        items = [
            self._taken.pop(self._random.randrange(len(self._taken)))
            for _ in range(min(len(self._taken), self._random.choice((1, 30))))
        ]
        items.sort(key=lambda item: item[0].id)
        if items:
            await self._app.execute(
                "SELECT refund_to_accounts($1, $2, $3, NULL)",
                [account.id for account, _, _ in items],
                [amount for _, amount, _ in items],
                [name for _, _, name in items],
            )

    async def _add(self, account: Account) -> None:
        ahead = self._random.choice((None, timedelta(minutes=self._random.randint(1, 20))))
        await self._app.execute(
            """SELECT add_to_account($1, $2, 'purchase', $3,
                   p_expires_at => clock_timestamp() + $4::interval)""",
            account.id,
            self._random.choice((1, 9, 40, 150)),
            self._name(),
            ahead,
        )
        if self._random.random() < 0.2:
            claw_back = "SELECT claw_back_from_account($1, $2, $3)"
            await self._app.execute(
                claw_back, account.id, self._random.randint(1, 60), self._name()
            )

    async def _hold(self, account: Account) -> None:
        await self._hold_for(account, self._random.choice((60, 900)))

    async def _hold_for(self, account: Account, seconds: int) -> None:
        hold_id = uuid4()
        outcomes = await self._app.fetchval(
            """SELECT outcomes FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3::int],
                   ARRAY[$4], ARRAY['x'::bytea], ARRAY[$5::int], NULL, NULL)""",
            account.id,
            hold_id,
            self._random.randint(1, 30),
            self._name(),
            seconds,
        )
        if outcomes == ["held"]:
            self._holds.append((account, hold_id))

    async def _end_hold(self, _: Account) -> None:
        if self._holds:
            account, hold_id = self._holds.pop(self._random.randrange(len(self._holds)))
            await self._app.execute(
                """SELECT outcomes FROM end_holds(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[$3],
                       ARRAY[NULL::int])""",
                account.id,
                hold_id,
                self._random.choice(("capture", "release")),
            )

    async def _pass(self, account: Account) -> None:
        """Time passes, and what has ended is written down; or a month's overage is billed."""
        if self._random.random() < 0.5:
            month = date(2000 + self._count // 12 % 60, 1 + self._count % 12, 1)
            # Another caller may have closed that month, or nothing was used.
            with suppress(asyncpg.CheckViolationError):
                await self._app.execute(
                    "SELECT close_overage($1, $2, 16, 'USD')", account.id, month
                )
        else:
            await self._pass_time(account, self._random.randint(1, 10))

    async def _pass_time(self, account: Account, minutes: int) -> None:
        async with self._only_one:
            await pass_time(self._books, timedelta(minutes=minutes), account.id)
        await self._app.execute("SELECT expire_credits($1)", [account.id])

    async def let_a_hold_expire(self, account: Account) -> None:
        """What happens by chance alone, so that it is told in every life."""
        await self._app.execute(
            "SELECT add_to_account($1, 150, 'purchase', $2)", account.id, self._name()
        )
        await self._hold_for(account, 60)
        await self._pass_time(account, 2)

    async def go_beyond_and_be_billed(self, account: Account, limit: int) -> None:
        """Likewise: all that is there goes, then all that may go beyond it; and some comes back."""
        await self._app.execute(
            "SELECT add_to_account($1, 150, 'purchase', $2)", account.id, self._name()
        )
        await self._app.execute(
            "SELECT claw_back_from_account($1, 1, $2)", account.id, self._name()
        )
        close = "SELECT close_overage($1, $2, 16, 'USD')"
        await self._app.execute(close, account.id, NOBODYS_MONTHS[0])
        left = await self._books.fetchval("SELECT balance FROM state_of_account($1)", account.id)
        outcomes: list[str] = []
        for amount in (left, 1, limit - 1):
            outcomes = await self._app.fetchval(
                "SELECT outcomes FROM deduct_from_accounts($1, $2, $3, NULL)",
                *([account.id], [amount], [self._name()]),
            )
        assert outcomes == ["overage"]
        assert await self._app.fetchval(close, account.id, NOBODYS_MONTHS[1])


@pytest_asyncio.fixture(loop_scope="module")
async def accounts(books: asyncpg.Connection) -> AsyncIterator[list[Account]]:
    """Of each kind, with thresholds of each kind; nobody else hears of them."""
    await books.execute("TRUNCATE storecredit.webhook_endpoints CASCADE")
    opened = [
        await open_account(books, OwnerKind.STORE, 100),
        await open_account(books, OwnerKind.STORE, 100),
        await open_account(books, OwnerKind.USER, 100),
        await open_beyond(books, 20, limit=15),
        await open_beyond(books, limit=LIMIT),
    ]
    for account, threshold in zip(opened, (25, 0, None, None, None), strict=True):
        await books.execute(
            "UPDATE storecredit.accounts SET low_threshold = $2 WHERE account_id = $1",
            account.id,
            threshold,
        )
    yield opened
    await books.execute("TRUNCATE storecredit.webhook_endpoints CASCADE")


@pytest.mark.parametrize(
    "steps", [STEPS, pytest.param(TORTURE_STEPS, marks=pytest.mark.torture, id="torture")]
)
async def test_every_crossing_is_told_once_whoever_crosses_it(
    books: asyncpg.Connection, callers: Callers, accounts: list[Account], steps: int
) -> None:
    audit = await EventAudit.begin(books)
    only_one = asyncio.Lock()
    lives = [
        Life(app, books, only_one, accounts, f"{steps} {place}")
        for place, app in enumerate(await callers(CALLERS))
    ]
    await asyncio.gather(*(life.live(steps) for life in lives))
    await lives[0].let_a_hold_expire(accounts[0])
    await lives[0].go_beyond_and_be_billed(accounts[-1], LIMIT)
    counts = await audit.assert_told(books)
    assert set(counts) >= {*LINES, "credits.clawed_back", "hold.expired", "overage.billed"}, counts
