"""Callers that send random batches of everything, all at once, and remember what they were told."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from storecredit.ledger.owners import OwnerKind
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.servers import connect
from tests.model.ledger_model import AccountModel

BATCH_MAX = 20
REQUESTS_PER_CALL = 5
"""Request ids of an account, per call of each caller: so few that callers meet at them."""
PRINTS = (bytes(32), bytes(32), b"1" * 32)
CUT_OFF = (
    DatabaseUnavailable,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    # asyncpg 0.32, of a statement on a connection whose end it is reading just then.
    asyncpg.InternalClientError,
    OSError,
)
EXPECTED = frozenset({"SC004"})
"""A request that was used for something else is refused when it comes alone."""


@dataclass(slots=True)
class Told:
    """What callers were told had happened; whoever was cut off was told nothing."""

    charged: dict[tuple[int, str], int] = field(default_factory=dict)
    created: dict[tuple[int, UUID], str] = field(default_factory=dict)
    returned: set[tuple[int, str]] = field(default_factory=set)
    failed: set[tuple[int, UUID]] = field(default_factory=set)
    completed: dict[tuple[int, UUID], str] = field(default_factory=dict)
    added: dict[tuple[int, str], int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)


class Caller:
    """One connection's random calls; a new connection when it is cut off."""

    def __init__(
        self, url: str, models: dict[int, AccountModel], told: Told, random: Random
    ) -> None:
        self._url, self._models, self._told, self._random = url, models, told, random
        self._accounts = sorted(models)
        self._requests_max = 1
        self._connection: asyncpg.Connection | None = None

    @property
    def pid(self) -> int | None:
        """The backend's process, if there is a connection."""
        connection = self._connection
        return None if connection is None or connection.is_closed() else connection.get_server_pid()

    async def run(self, calls: int) -> None:
        """So many calls, of each kind about as many as a busy service makes."""
        doors = (self._create, self._deduct, self._refund, self._start, self._complete, self._fail)
        kinds = [*doors, self._create, self._fail, self._add, self._claw_back, self._close]
        self._requests_max = REQUESTS_PER_CALL * calls
        for _ in range(calls):
            try:
                if self._connection is None:
                    self._connection = await connect(self._url)
                await self._random.choice(kinds)()
            except CUT_OFF:
                self._told.outcomes["cut off"] += 1
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
            except asyncpg.PostgresError as error:
                if error.sqlstate not in EXPECTED:
                    raise
                self._told.outcomes[error.sqlstate] += 1
        if self._connection is not None:
            await self._connection.close()

    def _batch(self) -> list[int]:
        """Accounts, ascending; some stand there often."""
        some = self._random.sample(self._accounts, self._random.randint(1, len(self._accounts)))
        return sorted(self._random.choices(some, k=self._random.randint(1, BATCH_MAX)))

    def _requests(self, count: int) -> list[str]:
        return [f"r{self._random.randrange(self._requests_max)}" for _ in range(count)]

    async def _call(self, function: str, *args: object) -> list[Any]:
        assert self._connection is not None
        numbers = ", ".join(f"${n}" for n in range(1, len(args) + 1))
        return await self._connection.fetch(f"SELECT * FROM {function}({numbers})", *args)

    def _count(self, outcomes: Sequence[str]) -> None:
        self._told.outcomes.update(outcomes)

    async def _deduct(self) -> None:
        batch = self._batch()
        requests = self._requests(len(batch))
        amounts = [self._random.choice((1, 1, 2, 3)) for _ in batch]
        nothing = [None] * len(batch)
        (row,) = await self._call("deduct_from_accounts", batch, amounts, requests, nothing)
        self._count(row["outcomes"])
        for account, request, amount, outcome in zip(
            batch, requests, amounts, row["outcomes"], strict=True
        ):
            if outcome in {"deducted", "overage"}:
                assert self._told.charged.setdefault((account, request), amount) == amount
                self._told.outcomes["charged"] += 1

    async def _create(self) -> None:
        batch = self._batch()
        requests, ids = self._requests(len(batch)), [uuid7() for _ in batch]
        prices = [self._random.choice((1, 1, 2, 3)) for _ in batch]
        prints = [self._random.choice(PRINTS) for _ in batch]
        nothing = [None] * len(batch)
        (row,) = await self._call(
            *("create_generations", batch, ids, requests, prices, prints),
            *(nothing, nothing, "g", nothing),
        )
        self._count(row["outcomes"])
        for account, request, outcome, session in zip(
            batch, requests, row["outcomes"], row["session_ids"], strict=True
        ):
            if outcome in {"created", "replayed"}:
                assert self._told.created.setdefault((account, session), request) == request

    async def _refund(self) -> None:
        batch = self._batch()
        requests = self._requests(len(batch))
        amounts = [self._random.choice((1, 1, 1, 5)) for _ in batch]
        nothing = [None] * len(batch)
        (row,) = await self._call("refund_to_accounts", batch, amounts, requests, nothing)
        self._count(row["outcomes"])
        for item in zip(batch, requests, row["outcomes"], strict=True):
            if item[2] == "refunded":
                assert item[:2] not in self._told.returned, "given back twice"
                self._told.returned.add(item[:2])

    def _some_sessions(self) -> list[tuple[int, UUID]]:
        known = list(self._told.created)[-60:]
        if not known:
            return [(self._accounts[0], uuid7())]
        return sorted(self._random.choices(known, k=self._random.randint(1, BATCH_MAX)))

    async def _start(self) -> None:
        batch = self._some_sessions()
        rows = await self._call("start_generations", *map(list, zip(*batch, strict=True)))
        self._count([row["outcome"] for row in rows])

    async def _complete(self) -> None:
        batch = self._some_sessions()
        keys = [f"key {self._random.randrange(3)}" for _ in batch]
        rows = await self._call("complete_generations", *map(list, zip(*batch, strict=True)), keys)
        self._count([row["outcome"] for row in rows])
        for row in rows:
            if row["outcome"] == "completed":
                key = keys[row["ord"] - 1]
                assert self._told.completed.setdefault(batch[row["ord"] - 1], key) == key

    async def _fail(self) -> None:
        batch = self._some_sessions()
        codes, nothing = ["CODE"] * len(batch), [None] * len(batch)
        rows = await self._call(
            "fail_generations", *map(list, zip(*batch, strict=True)), codes, codes, nothing
        )
        self._count([row["outcome"] for row in rows])
        for row in rows:
            if row["outcome"] == "failed":
                assert batch[row["ord"] - 1] not in self._told.failed, "failed twice"
                self._told.failed.add(batch[row["ord"] - 1])

    async def _add(self) -> None:
        account, amount = self._random.choice(self._accounts), self._random.choice((1, 5))
        request = f"added {self._random.randrange(self._requests_max)}"
        ((added,),) = await self._call("add_to_account", account, amount, "grant", request, "")
        if added:
            assert (account, request) not in self._told.added, "added twice"
            self._told.added[account, request] = amount

    async def _claw_back(self) -> None:
        (request,) = self._requests(1)
        await self._call("claw_back_from_account", self._random.choice(self._accounts), 1, request)

    async def _close(self) -> None:
        stores = [
            account
            for account, model in self._models.items()
            if model.owner.kind is OwnerKind.STORE
        ]
        period = date(2026 + self._random.randrange(50), self._random.randint(1, 12), 1)
        ((closed,),) = await self._call(
            "close_overage", self._random.choice(stores), period, 16, "USD"
        )
        self._count(["closed"] if closed else [])


async def cut_off(admin: asyncpg.Connection, callers: Sequence[Caller], random: Random) -> None:
    """Kill the backends of callers, one after the other, until it is cancelled."""
    with suppress(asyncio.CancelledError):
        while True:
            pid = random.choice(callers).pid
            if pid is not None:
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await asyncio.sleep(random.uniform(0, 0.1))
