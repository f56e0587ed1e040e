"""Random lives of an account, beside a model: spends, refunds in parts, holds, grants."""

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.servers import Connection
from tests.sql.credit_model import NEVER, Held, Model
from tests.sql.ledgers import open_account
from tests.sql.passing_time import pass_time

LIVES = 8
STEPS = 60


class Life:
    """One account and its model, side by side."""

    def __init__(
        self, app: Connection, books: asyncpg.Connection, account: Account, chance: random.Random
    ) -> None:
        self.app = app
        self.books = books
        self.account = account
        self.chance = chance
        self.model = Model()
        self.number = 0
        self.hold_ids: dict[str, object] = {}

    def _name(self) -> str:
        self.number += 1
        return f"request-{self.number}"

    def _moment(self, hour: int) -> datetime:
        return datetime.now(UTC) + timedelta(hours=hour - self.model.hour)

    async def add(self) -> None:
        amount = self.chance.randint(1, 30)
        expires = self.chance.choice([NEVER, int(self.model.hour) + self.chance.randint(1, 60)])
        priority = 100 if expires is NEVER else self.chance.choice([50, 100, 200])
        is_promo = self.chance.random() < 0.5
        rollover = None
        if expires is not NEVER and self.chance.random() < 0.3:
            rollover = (self.chance.randint(0, 10), expires + self.chance.randint(1, 40))
        assert await self.app.fetchval(
            """SELECT add_to_account($1, $2, 'grant', $3, p_expires_at => $4, p_kind => $5,
                p_priority => $6, p_rollover_max => $7, p_rollover_until => $8)""",
            self.account.id,
            amount,
            self._name(),
            None if expires is NEVER else self._moment(expires),
            "promo" if is_promo else "paid",
            priority,
            None if rollover is None else rollover[0],
            None if rollover is None else self._moment(rollover[1]),
        )
        self.model.add(amount, expires, priority=priority, is_promo=is_promo, rollover=rollover)

    async def spend(self) -> None:
        amount, name = self.chance.randint(1, 25), self._name()
        row = await self.app.fetchrow(
            "SELECT * FROM spend_credits($1, $2, $3, $4, $5, $6)",
            [self.account.id], [amount], [name], [b"f"], [None], [None],
        )  # fmt: skip
        assert row is not None
        taken = self.model.take(amount)
        assert row["outcomes"] == ["insufficient" if taken is None else "spent"]
        if taken is not None:
            self.model.spends[name] = taken

    async def refund(self) -> None:
        left = {name: sum(p for _, p in parts) for name, parts in self.model.spends.items()}
        name = self.chance.choice([*left, "nothing"])
        amount = self.chance.choice([None, self.chance.randint(1, 12)])
        row = await self.app.fetchrow(
            "SELECT * FROM refund_spends($1, $2, $3, $4)",
            [self.account.id], [name], [self._name()], [amount],
        )  # fmt: skip
        assert row is not None
        asked = left.get(name, 0) if amount is None else amount
        if name == "nothing":
            assert row["outcomes"] == ["no_spend"]
        elif asked > left[name] or left[name] == 0:
            assert row["outcomes"] == ["exceeds_spend"]
            assert row["refundables"] == [left[name]]
        else:
            assert row["outcomes"] == ["refunded"]
            assert row["amounts"] == [asked]
            assert row["refundables"] == [left[name] - asked]
            self.model.refund(name, asked)

    async def hold(self) -> None:
        amount, name, hours = self.chance.randint(1, 20), self._name(), self.chance.randint(1, 50)
        seconds = int((int(self.model.hour) + hours - self.model.hour) * 3600)
        row = await self.app.fetchrow(
            "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, $7, $8)",
            [self.account.id], [uuid4()], [amount], [name], [b"f"], [seconds], [None], [None],
        )  # fmt: skip
        assert row is not None
        taken = self.model.take(amount)
        assert row["outcomes"] == ["insufficient" if taken is None else "held"]
        if taken is not None:
            self.model.holds[name] = Held(int(self.model.hour) + hours, taken)
            self.hold_ids[name] = row["hold_ids"][0]

    async def end_hold(self) -> None:
        if not self.hold_ids:
            return
        name = self.chance.choice(list(self.hold_ids))
        capture = self.chance.random() < 0.6
        amount = self.chance.choice([None, self.chance.randint(1, 12)]) if capture else None
        row = await self.app.fetchrow(
            "SELECT * FROM end_holds($1, $2, $3, $4)",
            [self.account.id],
            [self.hold_ids[name]],
            ["capture" if capture else "release"],
            [amount],
        )
        assert row is not None
        if name not in self.model.holds:
            assert row["outcomes"][0] in {"hold_ended", "replayed"}
            return
        held = sum(p for _, p in self.model.holds[name].parts)
        if capture and amount is not None and amount > held:
            assert row["outcomes"] == ["exceeds_hold"]
            return
        assert row["outcomes"] == ["ended"]
        if capture:
            self.model.capture(name, held if amount is None else amount)
        else:
            self.model.give_back(self.model.holds.pop(name).parts, self.model.hour)

    async def remove(self) -> None:
        amount = self.chance.randint(1, 10)
        row = await self.app.fetchrow(
            "SELECT * FROM remove_from_account($1, $2, $3, 'by hand', 'somebody')",
            self.account.id,
            amount,
            self._name(),
        )
        assert row is not None
        taken = self.model.take(amount)
        assert row["outcome"] == ("insufficient" if taken is None else "removed")

    async def pass_time(self) -> None:
        hours = self.chance.randint(1, 30)
        await pass_time(self.books, self.account, timedelta(hours=hours))
        self.model.pass_hours(hours)

    async def compare(self) -> None:
        told = await self.books.fetchrow("SELECT * FROM state_of_account($1)", self.account.id)
        assert told is not None
        model = self.model
        assert (told["balance"], told["held"], told["expired"]) == (
            model.balance, model.held, model.expired,
        )  # fmt: skip
        assert sum(told["grants"][1::2]) == model.balance
        if self.chance.random() < 0.3:
            # What has ended counts as it will once its movements are written.
            await self.app.execute("SELECT expire_credits(ARRAY[$1::bigint])", self.account.id)
            settled = await self.books.fetchrow(
                "SELECT * FROM state_of_account($1)", self.account.id
            )
            assert settled is not None
            assert tuple(settled)[:-1] == tuple(told)[:-1]
            assert sum(settled["grants"][1::2]) == model.balance


@pytest.mark.parametrize("seed", range(LIVES))
async def test_an_account_is_what_its_model_is(
    app: Connection, books: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    account = await open_account(books, chance.choice(list(OwnerKind)))
    life = Life(app, books, account, chance)
    steps = [life.add, life.spend, life.refund, life.hold, life.end_hold, life.remove]
    weights = [4, 8, 4, 4, 4, 1]
    for _ in range(STEPS):
        await chance.choices([*steps, life.pass_time], [*weights, 3])[0]()
        await life.compare()
