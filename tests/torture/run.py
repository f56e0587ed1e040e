"""One run: the service is set up, used and struck, left to come to rest, and its tables read.

What comes of it is a record and the tables, in files, for whoever judges them.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import httpx

from stand_ins.http_server import stand_in
from tests.crash.clock import Clock
from tests.crash.deployment import BRIEF_WAITS
from tests.crash.generator_stand_in import generator_stand_in
from tests.crash.paddle_process import PaddleProcess
from tests.crash.processes import Processes
from tests.crash.selling_deployment import SELLING
from tests.crash.small_disk import small_disk, used_bytes
from tests.postgres.replication.nodes import Node, Pair
from tests.torture.asking import Asking, Wish
from tests.torture.checking.tables import Tables
from tests.torture.doings import Doer
from tests.torture.hearing import Hearing
from tests.torture.machines import Machines, Slot
from tests.torture.nemesis import Nemesis
from tests.torture.parties import ADMIN_TOKEN, Party, admin_secret
from tests.torture.record import Record
from tests.torture.trading import Trader
from tests.web.users import JWT_SECRET, token_of

REST_POLL_SECONDS: Final = 0.1
DISK_ROOM_BYTES: Final = 320 * 1024 * 1024
A_LIFETIME_SECONDS: Final = 30 * 365 * 24 * 3600
"""How long the users' tokens last, also for a process whose clock is ahead."""
OPENING_CREDITS: Final = 200
ENVIRONMENT: Final = (
    BRIEF_WAITS
    | SELLING
    | {
        "STORECREDIT_ADMIN_TOKEN": ADMIN_TOKEN,
        "STORECREDIT_ALLOW_PRIVATE_HOSTS": "1",
        "STORECREDIT_GENERATOR": "http",
        "STORECREDIT_JWT_SECRET": JWT_SECRET,
        "STORECREDIT_LOG_FORMAT": "json",
        "STORECREDIT_RATE_LIMITS": json.dumps(
            {
                "default": None,
                "unlimited": None,
                "growth": None,
                "enterprise": (5000, 100_000),
                "brief": (60, 10_000),
            }
        ),
        "STORECREDIT_CHARGE_SETTLE_SECONDS": "5",
        "STORECREDIT_PADDLE_TIMEOUT_SECONDS": "2",
        "STORECREDIT_STARTER_CREDITS": str(OPENING_CREDITS),
        "STORECREDIT_TOP_UP_INTERVAL_SECONDS": "0.5",
        "STORECREDIT_GENERATION_DEADLINE_SECONDS": "60",
    }
)
UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM storecredit.sessions WHERE status IN ('queued', 'processing'))
        + (SELECT count(*) FROM storecredit.provider_events WHERE settled_at IS NULL)
        + (SELECT count(*) FROM storecredit.subscription_charges
           WHERE charged_at IS NULL AND dropped_at IS NULL)"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard."""

    seed: str
    kills: int
    failovers: int
    apis: int = 2
    workers: int = 2
    counted: Sequence[tuple[str, int]] = (("store", 3), ("user", 2))
    """Parties whose credits move by requests alone, and how many clients each has."""
    trading: Sequence[tuple[str, int]] = (("store", 2), ("user", 1))
    """Parties that buy."""
    answers_between_strikes: int = 8
    """At most."""
    rest_max_seconds: float = 240.0
    """How long what is under way at the end is waited for."""
    only_kills: bool = False
    """Whether nothing is stopped, cut off or changed besides, which takes longer."""
    api_module: str | None = None
    """What runs as API in the place of the service, for a test that plants a fault."""
    has_moved_clock: bool = False
    """Whether one more API process has a clock of its own, which is moved."""
    has_small_disk: bool = False
    """Whether the files of one server are on a small disk, which is filled."""


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    plan: Plan
    record: Path
    tables: Tables
    verified: str
    """What `storecredit verify` printed."""
    counted: list[str]
    """The owners whose credits move by requests alone."""
    seconds: float
    kills: int
    failovers: int
    ended_at_start: int
    strikes: dict[str, int] = field(default_factory=dict)


Spoil = Callable[[Machines], Awaitable[None]]
"""What a test does to the database before anybody uses it."""


@dataclass(slots=True)
class Torture:
    """Everything that runs in one run."""

    plan: Plan
    directory: Path
    machines: Machines
    record: Record
    asking: Asking
    paddle: PaddleProcess
    hearing: Hearing
    parties: list[Party] = field(default_factory=list)
    doers: list[Doer] = field(default_factory=list)

    async def start_service(self, generator_url: str) -> None:
        environment = ENVIRONMENT | self.paddle.settings
        environment |= {"STORECREDIT_GENERATOR_URL": generator_url}
        serving = ("--no-worker", "--port", "0")
        module = self.plan.api_module
        slots = [Slot("serve", serving, environment, module=module) for _ in range(self.plan.apis)]
        slots += [Slot("worker", (), environment) for _ in range(self.plan.workers)]
        if self.plan.has_moved_clock:
            clock = Clock(self.directory / "clock")
            slots.append(Slot("serve", serving, environment, clock=clock))
        for slot in slots:
            await self.machines.add(slot)
        await self.machines.all_started()
        await self.paddle.deliver_to(self._door(0))

    def _door(self, place: int) -> str:
        proxy = self.machines.apis[place].proxy
        assert proxy is not None
        return f"http://127.0.0.1:{proxy.port}"

    def open_doors(self) -> None:
        """Clients may use every API process."""
        places = range(len(self.machines.apis))
        self.asking.doors = [partial(self._door, place) for place in places]

    async def make_parties(self) -> None:
        """Stores and users, and what the operator and a store have said they want to hear."""
        for is_counted, kinds in ((True, self.plan.counted), (False, self.plan.trading)):
            for kind, clients in kinds:
                make = self._make_store if kind == "store" else self._make_user
                party = await make(len(self.parties))
                party.is_counted, party.clients = is_counted, clients
                self.parties.append(party)
        await self.hearing.register(self.asking, self.parties[0])
        for party in self.parties:
            # What a trader hands over may expire: it goes to another trader.
            alike = [each for each in self.parties if each.is_counted is party.is_counted]
            others = [other for other in alike if other is not party]
            for number in range(party.clients):
                name = f"{party.owner[0]}{self.parties.index(party)}-{number}"
                self.doers.append(self._doer(party, others, name))

    def _doer(self, party: Party, others: list[Party], name: str) -> Doer:
        given = (party, others, self.asking, name, self.plan.seed)
        return Doer(*given) if party.is_counted else Trader(*given, self.paddle, self.record)

    async def _make_store(self, place: int) -> Party:
        body = {
            "name": f"Shop {place}",
            "shop_domain": f"shop-{place}.example",
            "tier": "unlimited",
            "credits": OPENING_CREDITS,
        }
        wish = Wish("new_store", "", "POST", "/api/admin/stores", admin_secret, body)
        told = await self.asking.ask(wish)
        assert told is not None
        assert told.is_well, told
        owner = f"store:{told.data['store_id']}"
        self.record.note("opened", owner=owner, balance=told.data["balance"])
        return Party(owner, told.data["api_key"], told.data["key_id"])

    async def _make_user(self, place: int) -> Party:
        user_id = UUID(int=(sum(self.plan.seed.encode()) << 64) + place + 1, version=4)
        token = token_of(user_id, exp=int(time.time()) + A_LIFETIME_SECONDS)
        party = Party(f"user:{user_id}", token)
        where = ("GET", "/api/trpc/credits.getBalance", party.own_secret)
        told = await self.asking.ask(Wish("new_user", party.owner, *where))
        assert told is not None
        assert told.is_well, told
        self.record.note("opened", owner=party.owner, balance=told.data["balance"])
        return party

    async def use_and_strike(self, disk: Path | None) -> Nemesis:
        """Until enough was killed, and every client has been told what it was waiting for."""
        nemesis = Nemesis(
            *(self.machines, self.asking, self.parties, self.record, self.plan.seed, disk),
            self.plan.answers_between_strikes,
            self.plan.only_kills,
        )
        async with asyncio.TaskGroup() as group:
            for doer in self.doers:
                group.create_task(doer.run())
                if isinstance(doer, Trader) and doer.party.is_store and doer.name.endswith("-0"):
                    group.create_task(doer.subscribe())
            await nemesis.strike_on(self.plan.kills, self.plan.failovers)
            self.asking.stopping.set()
            # Whoever is told nothing after that never will be: that is for the checker, too.
            wait = self.plan.rest_max_seconds
            asyncio.get_running_loop().call_later(wait, self.asking.giving_up.set)
        return nemesis

    async def come_to_rest(self) -> None:
        """Wait until nothing is under way any more; what still is then, is for the checker."""
        give_up = time.monotonic() + self.plan.rest_max_seconds
        # Rows set no event.
        while not await self._rests() and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(REST_POLL_SECONDS)

    async def _rests(self) -> bool:
        state = await self.paddle.state()
        left = await self.machines.primary.ask(UNFINISHED)
        return bool(state["undelivered"] == left == 0)

    async def read_tables(self) -> Tables:
        connection = await asyncpg.connect(self.machines.primary.url)
        try:
            return await Tables.read(connection)
        finally:
            await connection.close()

    async def verify(self) -> str:
        """What `storecredit verify` says of every row."""
        given = {"STORECREDIT_DATABASE_URL": self.machines.database_url}
        _, output = await self.machines.processes.run(
            "verify", "--json", "--every-row", environment=given
        )
        return output.decode()


@asynccontextmanager
async def torture(plan: Plan, base: Node, directory: Path) -> AsyncIterator[Torture]:
    """All that runs, and nothing of it left afterwards."""
    processes = Processes(directory)
    processes.data_dir.mkdir()
    pair = Pair.start(base, directory)
    machines = Machines(pair, processes)
    record = Record(directory / "record.jsonl")
    asking = Asking(record, [], plan.seed)
    hearing = Hearing(record, plan.seed)
    try:
        async with (
            generator_stand_in(plan.seed) as generator,
            stand_in(hearing.answer) as receiver,
            httpx.AsyncClient(timeout=30) as paddle_client,
            asking.http,
        ):
            hearing.url = receiver.url("/hooks")
            paddle, _ = await asyncio.gather(
                PaddleProcess.open(processes, paddle_client, plan.seed), machines.start_network()
            )
            running = Torture(plan, directory, machines, record, asking, paddle, hearing)
            await running.start_service(generator.url)
            running.open_doors()
            yield running
            asking.giving_up.set()
    finally:
        await machines.stop()
        record.close()
        processes.end_all()
        pair.end()


async def run(plan: Plan, base: Node, directory: Path, spoil: Spoil | None = None) -> Outcome:
    """One run, from the beginning to the tables; `spoil` is done once all has been set up."""
    begun_at = time.monotonic()
    with contextlib.ExitStack() as stack:
        disk_place = directory / "a"
        if plan.has_small_disk:
            stack.enter_context(small_disk(disk_place, used_bytes(base.data) + DISK_ROOM_BYTES))
        async with torture(plan, base, directory) as running:
            await running.make_parties()
            running.asking.be_impatient()
            if spoil is not None:
                await spoil(running.machines)
            disk = disk_place if plan.has_small_disk else None
            nemesis = await running.use_and_strike(disk)
            await running.come_to_rest()
            running.hearing.end()
            tables = await running.read_tables()
            return Outcome(
                plan,
                running.record.path,
                tables,
                await running.verify(),
                [party.owner for party in running.parties if party.is_counted],
                time.monotonic() - begun_at,
                nemesis.kills,
                nemesis.failovers,
                running.machines.ended_at_start,
                dict(nemesis.did),
            )
    raise AssertionError("a run has an end")
