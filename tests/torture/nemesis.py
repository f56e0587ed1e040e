"""What is done to the service while clients use it, decided by a seed: one thing after the other.

What was killed runs again before the next of its kind is struck; what was stopped goes on; what was
filled is emptied. A failover begins when the standby has all that there is, as a manager of
servers sees to it: what only the primary had, and nobody was told, may go with it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import psutil

from tests.crash.small_disk import fill
from tests.postgres.replication.nodes import Node, server_processes
from tests.torture.asking import Asking, Wish
from tests.torture.machines import Machines, Slot, backends, helpers
from tests.torture.parties import Party, admin_secret
from tests.torture.record import Record

CALM_MAX_SECONDS: Final = 5.0
"""So much time passes at most until the next strike, however few requests are answered."""
STOPPED_MAX_SECONDS: Final = 2.0
SILENT_MAX_SECONDS: Final = 2.0
LATENCY_MAX_SECONDS: Final = 0.03
FULL_SECONDS: Final = 1.0
TIERS: Final = ("unlimited", "enterprise", "brief")
OFFSETS: Final = ("+40d", "-40d", "+90m", "-90m", "+0d")

Strike = Callable[[], Awaitable[None]]


class Nemesis:
    """Strikes until so many processes were killed, with failovers spread over that time."""

    def __init__(
        self,
        machines: Machines,
        asking: Asking,
        parties: list[Party],
        record: Record,
        seed: str,
        disk: Path | None,
        answers_max: int,
        only_kills: bool,
    ) -> None:
        """`disk`: the small one of a server. `answers_max`: between two strikes, at most."""
        self.did: Counter[str] = Counter()
        self.kills = 0
        self.failovers = 0
        self._machines = machines
        self._asking = asking
        self._parties = parties
        self._record = record
        self._disk = disk
        self._answers_max = answers_max
        self._only_kills = only_kills
        self._random = Random(f"{seed} nemesis")
        self._keys = 0

    def strikes(self) -> Mapping[Strike, int]:
        """What it does besides failing over, and how often."""
        clocks = any(slot.clock for slot in self._machines.slots)
        return {
            self.kill_process: 26,
            self.kill_backend: 22,
            self.kill_helper: 6,
            self.kill_primary: 5,
            self.kill_standby: 6,
            self.kill_several: 8,
            self.stop_process: 5,
            self.stop_backend: 5,
            self.stop_server: 3,
            self.reset_connections: 8,
            self.silence_connections: 5,
            self.slow_down: 4,
            self.replace_key: 5,
            self.change_tier: 4,
            self.move_clock: 3 if clocks else 0,
            self.fill_disk: 1 if self._disk else 0,
        }

    async def strike_on(self, kills: int, failovers: int) -> None:
        """Until so many processes were killed, in so many failovers or otherwise."""
        strikes = {
            strike: weight
            for strike, weight in self.strikes().items()
            if not self._only_kills or strike.__name__.startswith("kill")
        }
        while self.kills < kills or self.failovers < failovers:
            await self._calm()
            if self.failovers * kills < self.kills * failovers or self.kills >= kills:
                await self._do(self.fail_over)
            else:
                (strike,) = self._random.choices(list(strikes), list(strikes.values()))
                await self._do(strike)
        self._machines.heal_network()
        await self._machines.all_started()

    async def _do(self, strike: Strike) -> None:
        name = strike.__name__
        self._record.note("strike", what=name, kills=self.kills)
        await strike()
        self.did[name] += 1
        self._record.note("struck", what=name, kills=self.kills)

    async def _calm(self) -> None:
        goal = self._asking.answered + self._random.randint(0, self._answers_max)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALM_MAX_SECONDS):
                while self._asking.answered < goal:  # noqa: ASYNC110 - no event is set for each
                    await asyncio.sleep(0.02)

    async def _running(self) -> Slot:
        """One of the processes that run; waits for one."""
        # A process that was started sets no event.
        while not (slots := [slot for slot in self._machines.slots if slot.process]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        # One with a clock of its own takes long to start.
        weights = [0.2 if slot.clock else 1.0 for slot in slots]
        return self._random.choices(slots, weights)[0]

    def _raise_what_failed(self) -> None:
        for slot in self._machines.slots:
            if slot.starting is not None and slot.starting.done():
                slot.starting.result()

    async def kill_process(self) -> None:
        self._raise_what_failed()
        self._machines.kill(await self._running())
        self.kills += 1

    async def kill_several(self) -> None:
        """Of the service and of PostgreSQL, at the same time."""
        for _ in range(self._random.randint(1, 2)):
            await self.kill_process()
        await self.kill_backend()

    async def kill_backend(self) -> None:
        """After it PostgreSQL ends all its other processes and recovers."""
        self._kill_one(backends(self._machines.primary))

    async def kill_helper(self) -> None:
        node = self._random.choice((self._machines.primary, self._machines.standby))
        self._kill_one(helpers(node))
        # A standby ends with the process that recovers.
        await self._machines.caught_up()

    def _kill_one(self, processes: list[psutil.Process]) -> None:
        if processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._random.choice(processes).kill()
                self.kills += 1

    async def kill_primary(self) -> None:
        await self._kill_server(self._machines.primary)

    async def kill_standby(self) -> None:
        await self._kill_server(self._machines.standby)

    async def _kill_server(self, node: Node) -> None:
        """The machine is gone, and comes back as what it was."""
        if server_processes(node.data):
            await asyncio.to_thread(node.kill)
            self.kills += 1
        await asyncio.sleep(self._random.uniform(0, 0.3))
        await self._machines.caught_up()

    async def fail_over(self) -> None:
        await self._machines.fail_over(is_stopped_first=self._random.random() < 0.3)
        self.kills += 1
        self.failovers += 1

    async def stop_process(self) -> None:
        slot = await self._running()
        process = slot.process
        assert process is not None
        process.pause()
        await self._while_stopped()
        process.go_on()

    async def stop_backend(self) -> None:
        found = backends(self._machines.primary)
        if found:
            with _suspended(self._random.choice(found)):
                await self._while_stopped()

    async def stop_server(self) -> None:
        node = self._random.choice((self._machines.primary, self._machines.standby))
        node.stand_still()
        await self._while_stopped()
        node.go_on()

    async def _while_stopped(self) -> None:
        await asyncio.sleep(self._random.uniform(0.2, STOPPED_MAX_SECONDS))

    async def reset_connections(self) -> None:
        self._random.choice(self._machines.proxies).reset()

    async def silence_connections(self) -> None:
        proxy = self._random.choice(self._machines.proxies)
        await proxy.fall_silent(self._random.uniform(0.2, SILENT_MAX_SECONDS))

    async def slow_down(self) -> None:
        """Or speed up: from now on, until it is chosen again."""
        proxy = self._random.choice(self._machines.proxies)
        slow = self._random.uniform(0.001, LATENCY_MAX_SECONDS)
        proxy.latency_seconds = 0.0 if proxy.latency_seconds else slow

    async def move_clock(self) -> None:
        """Of one process, by days or minutes, ahead or back."""
        clocks = [slot.clock for slot in self._machines.slots if slot.clock]
        self._random.choice(clocks).set(self._random.choice(OFFSETS))

    async def fill_disk(self) -> None:
        """Of one server: tables cannot grow, and in the end it cannot write down what is done."""
        assert self._disk is not None
        disk = self._disk
        filling = await asyncio.to_thread(fill, disk)
        await asyncio.sleep(FULL_SECONDS)
        filling.unlink()
        await self._machines.caught_up()

    async def replace_key(self) -> None:
        """A store has a new key, and the old one is revoked."""
        store = self._random.choice([party for party in self._parties if party.is_store])
        keys = f"{store.administered}/keys"
        told = None
        while told is None or not (told.is_well and told.data.get("api_key")):
            if self._asking.giving_up.is_set():
                return
            wish = Wish("new_key", store.owner, "POST", keys, admin_secret, {}, self._key())
            told = await self._asking.ask(wish)
        old, store.key_id, store.secret = store.key_id, told.data["key_id"], told.data["api_key"]
        await self._asking.ask(
            Wish(
                *("revoke_key", store.owner, "DELETE", f"{keys}/{old}", admin_secret),
                said={"key_id": old},
            )
        )

    async def change_tier(self) -> None:
        store = self._random.choice([party for party in self._parties if party.is_store])
        tier = self._random.choice(TIERS)
        where = (store.owner, "PATCH", store.administered, admin_secret)
        await self._asking.ask(Wish("tier", *where, {"tier": tier}, said={"tier": tier}))

    def _key(self) -> str:
        self._keys += 1
        return f"nemesis-{self._keys}"


@contextmanager
def _suspended(process: psutil.Process) -> Iterator[None]:
    """It stands still; it may be gone at any moment."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
