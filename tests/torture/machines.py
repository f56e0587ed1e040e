"""What runs: a primary and a synchronous standby, API and worker processes, a network between.

The service's URL names two ports, one before each server, and clients know one before each API
process, so that every connection can be slowed down, broken off or silenced. Whatever is killed is
started again by whoever asks for it; what waits for another program does so in a thread.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import psutil

from tests.crash.clock import Clock
from tests.crash.processes import READY, START_MAX_SECONDS, Processes, RunningProcess
from tests.crash.waiting import until, until_true
from tests.postgres.replication.nodes import DATABASE, USER, Node, Pair, server_processes
from tests.postgres.unreliable_proxy import UnreliableProxy

CAUGHT_UP: Final = """
    SELECT count(*) FROM pg_stat_replication
    WHERE sync_state = 'sync' AND flush_lsn >= pg_current_wal_lsn()"""
STARTS_MAX: Final = 10
CAUGHT_UP_MAX_SECONDS: Final = 90.0
SYNCHRONOUS: Final = "ALTER SYSTEM SET synchronous_standby_names = '*'"


@dataclass(slots=True)
class Slot:
    """A place where a process of the service runs, and runs again once it was killed."""

    command: str
    options: tuple[str, ...]
    environment: Mapping[str, str]
    proxy: UnreliableProxy | None = None
    """Before an API process."""
    clock: Clock | None = None
    """Of a process that has one of its own."""
    module: str | None = None
    """Runs in the place of the service; None: that itself."""
    process: RunningProcess | None = None
    """None: it is being started."""
    starting: asyncio.Task[None] | None = field(default=None, repr=False)


class Machines:
    """All of it; one thing is done to it at a time."""

    def __init__(self, pair: Pair, processes: Processes) -> None:
        self.processes = processes
        self.primary, self.standby = pair.nodes
        self.slots: list[Slot] = []
        self.ended_at_start = 0
        """Processes that ended by themselves as they started, since the database went away."""
        self.database_proxies = {node.port: UnreliableProxy(node.port) for node in pair.nodes}
        self._nodes = tuple(pair.nodes)

    @property
    def apis(self) -> Sequence[Slot]:
        return [slot for slot in self.slots if slot.proxy is not None]

    @property
    def proxies(self) -> Sequence[UnreliableProxy]:
        """All of the network."""
        before_apis = [slot.proxy for slot in self.apis if slot.proxy is not None]
        return [*self.database_proxies.values(), *before_apis]

    @property
    def database_url(self) -> str:
        """As the service is given it: through the network."""
        hosts = ",".join(
            f"127.0.0.1:{self.database_proxies[node.port].port}" for node in self._nodes
        )
        return f"postgresql://{USER}@{hosts}/{DATABASE}?connect_timeout=2"

    async def start_network(self) -> None:
        """And have every commit wait for the standby, whichever of the two that is."""
        for proxy in self.database_proxies.values():
            await proxy.start()
        connection = await asyncpg.connect(self.primary.url)
        try:
            await connection.execute(SYNCHRONOUS)
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()
        # A standby takes no ALTER SYSTEM: it has the setting from now on in case it takes over.
        with (self.standby.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = '*'\n")
        await self.standby.ask("SELECT pg_reload_conf()")
        await self.caught_up()

    async def add(self, slot: Slot) -> None:
        """A further process; not awaited."""
        if slot.command == "serve":
            slot.proxy = UnreliableProxy()
            await slot.proxy.start()
        self.slots.append(slot)
        self.start(slot)

    def start(self, slot: Slot) -> None:
        """Begin to start what runs there, in the place of what ran there before."""
        slot.process = None
        slot.starting = asyncio.create_task(self._started(slot))

    async def all_started(self) -> None:
        """Wait until every slot has its process. Raises what kept one from starting."""
        await asyncio.gather(*(slot.starting for slot in self.slots if slot.starting is not None))

    def kill(self, slot: Slot) -> None:
        """SIGKILL, and begin to start it again."""
        assert slot.process is not None
        slot.process.kill()
        if slot.proxy is not None:
            slot.proxy.target = 0
        self.start(slot)

    async def _started(self, slot: Slot) -> None:
        """As a supervisor does it: what ends by itself is started again."""
        process = await self._begun(slot)
        for _ in range(STARTS_MAX):
            if process.lives():
                break
            self.ended_at_start += 1
            process = await self._begun(slot)
        assert process.lives(), f"{slot.command} ends again and again\n{process.log_tail()}"
        if slot.proxy is not None:
            slot.proxy.target = int(process.url.rpartition(":")[2])
        slot.process = process

    async def _begun(self, slot: Slot) -> RunningProcess:
        """One that is at work, or has ended instead."""
        process = self._launched(slot)
        await until(
            lambda: bool(process.events(READY[process.command])) or not process.lives(),
            f"{slot.command} starts",
            2 * START_MAX_SECONDS,
            process.log_tail,
        )
        return process

    def _launched(self, slot: Slot) -> RunningProcess:
        given = {"STORECREDIT_DATABASE_URL": self.database_url} | dict(slot.environment)
        if slot.clock is None and slot.module is None:
            return self.processes.launch(slot.command, *slot.options, environment=given)
        own = {"STORECREDIT_DATA_DIR": str(self.processes.data_dir)}
        own |= {} if slot.clock is None else slot.clock.environment
        process, _ = self.processes.launch_outside(
            slot.module or "storecredit", slot.command, *slot.options, environment=given | own
        )
        # As of any other: it serves, or works.
        process.command = slot.command
        return process

    async def caught_up(self) -> None:
        """Both servers run, whatever ended them, and the standby has all that there is."""

        async def has_it() -> bool:
            for node in (self.primary, self.standby):
                if not server_processes(node.data):
                    # What is left of the one before may still be going.
                    with contextlib.suppress(AssertionError):
                        await asyncio.to_thread(node.start)
            with contextlib.suppress(asyncpg.PostgresError, OSError):
                return bool(await self.primary.ask(CAUGHT_UP))
            return False

        await until_true(has_it, "it caught up", CAUGHT_UP_MAX_SECONDS, self._log_tails)

    def _log_tails(self) -> str:
        return "\n".join(node.log_tail() for node in self._nodes)

    async def fail_over(self, *, is_stopped_first: bool) -> None:
        """The primary is gone, the standby takes over, and the old primary becomes its standby."""
        old, new = self.primary, self.standby
        await self.caught_up()
        if is_stopped_first:
            old.stand_still()
        else:
            await asyncio.to_thread(old.kill)
        await new.promote()
        self.primary, self.standby = new, old
        if is_stopped_first:
            # Whoever takes over sees to it that the other one is gone, as a watchdog does.
            await asyncio.to_thread(old.kill)
        await asyncio.to_thread(old.follow, new)
        await self.caught_up()

    def heal_network(self) -> None:
        """Nothing is slow any more."""
        for proxy in self.proxies:
            proxy.latency_seconds = 0.0

    async def stop(self) -> None:
        """The network, and whatever is starting; processes are ended by their own."""
        for slot in self.slots:
            if slot.starting is not None:
                slot.starting.cancel()
        await asyncio.gather(
            *(slot.starting for slot in self.slots if slot.starting), return_exceptions=True
        )
        for proxy in self.proxies:
            await proxy.stop()


def backends(node: Node) -> list[psutil.Process]:
    """The processes of a server that serve the service's connections."""
    return [each for each in server_processes(node.data)[1:] if _serves(each)]


def helpers(node: Node) -> list[psutil.Process]:
    """Those that replicate, checkpoint, write: all the others but the first."""
    return [each for each in server_processes(node.data)[1:] if not _serves(each)]


def _serves(process: psutil.Process) -> bool:
    try:
        return f"{DATABASE} 127.0.0.1" in " ".join(process.cmdline())
    except psutil.Error:
        return False
