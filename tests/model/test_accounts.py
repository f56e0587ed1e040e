"""Random lives of an account beside a model, two calls at once, and the model with a clock.

Of two calls at once the ledger may let either be first; it is one of the two orders that the model
says, for what both callers are told and for what is left.
"""

import asyncio
import copy
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection, connect
from tests.conftest import SEARCH_PATH, connect_as_superuser
from tests.model.account_model import NEVER, AccountModel
from tests.model.account_operations import (
    Add,
    ClawBack,
    Clock,
    EndHold,
    Operation,
    RefundOnce,
    RefundPart,
    Reissue,
    Remove,
    SetAside,
    Take,
    Told,
)
from tests.passing_time import pass_time
from tests.sql.ledgers import open_account

STEPS = 50


class Life:
    """One account and its model, and what could be done next."""

    def __init__(self, account: Account, chance: random.Random) -> None:
        self.account = account
        self.models = [AccountModel()]
        """Each that explains what was told and seen: either of two calls at once may be first."""
        self._now = datetime.now(UTC)
        self._chance = chance
        self._number = 0
        self._hold_ids: dict[str, UUID] = {}

    def next(self) -> Operation:
        """Something to do."""
        makers = (
            self._add, self._take, self._refund, self._refund_once, self._set_aside, self._end,
            self._remove, self._claw_back, self._reissue,
        )  # fmt: skip
        (make,) = self._chance.choices(makers, (4, 8, 4, 1, 4, 4, 1, 1, 1))
        return make()

    @property
    def model(self) -> AccountModel:
        """One of them: what was asked, and the hour, is the same in all."""
        return self.models[0]

    @property
    def clock(self) -> Clock:
        """The moments of the model's hours: those that are stored move back as time passes."""
        return Clock(self._now, self.model.hour)

    async def compare(self, admin: asyncpg.Connection) -> None:
        """What stands in the tables is what a model says, written or not."""
        told = await self._state(admin)
        seen = [(model.balance, model.held, model.expired) for model in self.models]
        assert told[:3] in seen
        self.models = [
            model for model, state in zip(self.models, seen, strict=True) if state == told[:3]
        ]
        if self._chance.random() < 0.3:
            await admin.execute("SELECT expire_credits(ARRAY[$1::bigint])", self.account.id)
            assert await self._state(admin) == told

    def settles(self, told: list[Told], operations: list[Operation]) -> bool:
        """Whether an order of the operations explains what was told."""
        orders = ((0, 1), (1, 0)) if len(operations) == 2 else ((0,),)
        explained: dict[str, AccountModel] = {}
        for before in self.models:
            for order in orders:
                model = copy.deepcopy(before)
                if all(operations[place].expect(model) == told[place] for place in order):
                    explained[repr(model)] = model
        self.models = list(explained.values())
        return bool(self.models)

    async def _state(self, admin: asyncpg.Connection) -> tuple[int, ...]:
        row = await admin.fetchrow("SELECT * FROM state_of_account($1)", self.account.id)
        assert row is not None
        assert sum(row["grants"][1::2]) == row["balance"]
        return (row["balance"], row["held"], row["expired"], row["spent"], row["removed"])

    def _name(self) -> str:
        self._number += 1
        return f"request-{self._number}"

    def _later(self, most: int) -> int:
        return int(self.model.hour) + self._chance.randint(1, most)

    def _known(self, names: dict[str, object]) -> str:
        return self._chance.choice([*names, "nothing"])

    def _add(self) -> Operation:
        expires = self._chance.choice([NEVER, self._later(60)])
        rollover = None
        if expires is not NEVER and self._chance.random() < 0.3:
            rollover = (self._chance.randint(0, 10), expires + self._chance.randint(1, 40))
        return Add(
            self._name(),
            self._chance.randint(1, 30),
            self.clock,
            expires,
            100 if expires is NEVER else self._chance.choice([50, 100, 200]),
            self._chance.random() < 0.5,
            rollover,
        )

    def _take(self) -> Operation:
        again = self._chance.random() < 0.1
        name = self._known({**self.model.spends, **self.model.holds, **self.model.refunds})
        return Take(name if again else self._name(), self._chance.randint(1, 25))

    def _refund(self) -> Operation:
        again = self._chance.random() < 0.1
        return RefundPart(
            self._known({**self.model.refunds, **self.model.spends}) if again else self._name(),
            self._known({**self.model.spends}),
            self._chance.choice([None, self._chance.randint(1, 12)]),
        )

    def _refund_once(self) -> Operation:
        return RefundOnce(self._known({**self.model.spends}), self._chance.randint(1, 12))

    def _set_aside(self) -> Operation:
        name, hold_id = self._name(), uuid4()
        self._hold_ids[name] = hold_id
        return SetAside(name, hold_id, self._chance.randint(1, 20), self.clock, self._later(50))

    def _end(self) -> Operation:
        name = self._known({**self.model.holds})
        hold_id = self._hold_ids.get(name, uuid4())
        if self._chance.random() < 0.4:
            return EndHold(name, hold_id, "release")
        amount = self._chance.choice([None, self._chance.randint(1, 12)])
        return EndHold(name, hold_id, "capture", amount)

    def _remove(self) -> Operation:
        return Remove(self._name(), self._chance.randint(1, 10))

    def _claw_back(self) -> Operation:
        origin = self._known({**self.model.lot_of})
        return ClawBack(self._name(), self._chance.randint(1, 10), origin)

    def _reissue(self) -> Operation:
        return Reissue(self._known({**self.model.lot_of}), self.clock, self._later(60))


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """Two connections that work as the application's role."""
    both = [await connect(database_url) for _ in range(2)]
    yield both[0], both[1]
    for connection in both:
        await connection.close()


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection."""
    connection = await connect_as_superuser(database_url)
    await connection.execute(f"SET search_path = {SEARCH_PATH}")
    yield connection
    await connection.close()


async def live(admin: asyncpg.Connection, pair: tuple[Connection, Connection], seed: int) -> None:
    """A life of so many steps, most of them two calls at once."""
    chance = random.Random(seed)
    life = Life(await open_account(admin, chance.choice(list(OwnerKind))), chance)
    for _ in range(STEPS):
        if chance.random() < 0.1:
            hours = chance.randint(1, 30)
            await pass_time(admin, timedelta(hours=hours), life.account.id)
            for model in life.models:
                model.pass_hours(hours)
        else:
            operations = [life.next() for _ in range(chance.choice([1, 2, 2]))]
            told = await asyncio.gather(
                *(
                    operation.send(connection, life.account.id)
                    for operation, connection in zip(operations, pair, strict=False)
                )
            )
            assert life.settles(list(told), operations), (seed, operations, told)
        await life.compare(admin)


async def test_accounts_are_what_their_models_are(
    admin: asyncpg.Connection, pair: tuple[Connection, Connection], database: Database
) -> None:
    for seed in range(12):
        await live(admin, pair, seed)
        assert (await verify(database)).discrepancies == (), seed
    assert (await verify(database, every_row=True)).discrepancies == ()


@pytest.mark.torture
@pytest.mark.timeout(3600)
async def test_accounts_are_what_their_models_are_at_length(
    admin: asyncpg.Connection, pair: tuple[Connection, Connection], database: Database
) -> None:
    for seed in range(12, 300):
        await live(admin, pair, seed)
    assert (await verify(database, every_row=True)).discrepancies == ()
