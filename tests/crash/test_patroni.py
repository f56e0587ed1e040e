"""Ten fail-overs of a database under Patroni, as our page sets it up, while the service works.

Needs Debian's packages patroni, etcd-server and postgresql-15. Prints what callers saw of it.
"""

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.conftest import SEARCH_PATH, roomy_memory
from tests.crash.audit import assert_books_hold, drained
from tests.crash.deployment import Deployment
from tests.crash.generator_stand_in import generator_stand_in
from tests.crash.load import Asked, Load
from tests.crash.patroni import NEEDED, PAGE, Patroni
from tests.crash.processes import Processes
from tests.e2e.page_commands import BIN, run

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3600)]

A_WHILE = 100
DATABASE = "storecredit"


class TimedLoad(Load):
    """Keeps when each request was acknowledged, and how many sendings were put off."""

    def __init__(self, client: httpx.AsyncClient, deployment: Deployment, seed: str) -> None:
        super().__init__(client, deployment.accounts, seed)
        self.acknowledged_at: list[float] = []
        self.put_off = 0

    async def _send(self, asked: Asked) -> bool:
        is_acknowledged = await super()._send(asked)
        if is_acknowledged:
            self.acknowledged_at.append(time.monotonic())
        else:
            self.put_off += 1
        return is_acknowledged

    def longest_silence(self, since: float) -> float:
        """The longest time from then on in which nobody was acknowledged anything."""
        moments = [since, *(moment for moment in self.acknowledged_at if moment > since)]
        return max(later - earlier for earlier, later in pairwise(moments))


class ReplicatedDeployment(Deployment):
    """A deployment whose database is Patroni's."""

    def _new_load(self, client: httpx.AsyncClient) -> Load:
        return TimedLoad(client, self, self._seed)


@pytest.fixture
async def patroni() -> AsyncIterator[Patroni]:
    """Three servers, and the database and its owner made as the page says."""
    missing = [str(path) for path in NEEDED if not path.exists()]
    if missing:
        reason = f"there is no {', '.join(missing)}: apt-get install patroni etcd-server"
        if os.environ.get("STORECREDIT_TEST_CLIENTS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="storecredit-patroni-", dir=roomy_memory()))
    started = Patroni.in_directory(directory)
    try:
        await started.start()
        (statements,) = PAGE.blocks("sql")
        await started.run_as_superuser(statements)
        started.remember_password("storecredit", statements.split("'")[1])
        yield started
    finally:
        started.end()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Without a database of its own."""
    started = Processes(tmp_path)
    started.data_dir.mkdir()
    yield started
    started.end_all()


def _migrate_as_the_page_says(patroni: Patroni, directory: Path) -> None:
    """With the page's URL, but for its addresses."""
    servers = ",".join(f"10.0.0.{number}:5432" for number in (1, 2, 3))
    commands = PAGE.block("export STORECREDIT_DATABASE_URL").replace("storecredit serve\n", "")
    assert servers in commands
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    run(commands.replace(servers, patroni.servers), environment, directory)


async def postgres_and_patroni_killed(patroni: Patroni) -> None:
    leader = await patroni.leader()
    patroni.kill(leader)
    await patroni.until_led_by_another(leader)
    patroni.start_member(leader)


async def postgres_killed(patroni: Patroni) -> None:
    leader = await patroni.leader()
    patroni.kill_postgres(leader)
    await patroni.until_led_by_another(leader)


async def patroni_killed(patroni: Patroni) -> None:
    """Until it is back there are two primaries, and the service is at the old one."""
    leader = await patroni.leader()
    patroni.kill_patroni(leader)
    await patroni.until_led_by_another(leader)
    patroni.start_member(leader)


async def switched_over(patroni: Patroni) -> None:
    await patroni.switch_over()


MOVES: list[Callable[[Patroni], Awaitable[None]]] = [
    *(5 * [postgres_and_patroni_killed, postgres_killed]),
    patroni_killed,
    *(2 * [switched_over]),
]


async def test_ten_fail_overs_lose_and_double_nothing(
    patroni: Patroni, processes: Processes, tmp_path: Path, seed: str
) -> None:
    url = patroni.url("storecredit", DATABASE)
    random = Random(seed)
    silences: list[tuple[str, float]] = []
    async with generator_stand_in(seed) as generator:
        settings = {
            "STORECREDIT_DATABASE_URL": url,
            "STORECREDIT_COMMIT_DEADLINE_SECONDS": "10",
            "STORECREDIT_WORKER_HEARTBEAT_TIMEOUT_SECONDS": "30",
        }
        deployment = ReplicatedDeployment(processes, generator, seed, settings)
        _migrate_as_the_page_says(patroni, tmp_path)
        service = await deployment.serve()
        async with deployment.load(service) as load:
            assert isinstance(load, TimedLoad)
            for move in MOVES:
                await load.until_acknowledged(random.randint(1, A_WHILE))
                began = time.monotonic()
                await move(patroni)
                await load.until_acknowledged(A_WHILE)
                silences.append((move.__name__, load.longest_silence(began)))
                await patroni.until_whole()
                assert all(member.name in patroni.patronictl("list") for member in patroni.members)
            await load.stop()
            await load.ask_again()
            books = await patroni.connect(DATABASE, {"search_path": SEARCH_PATH})
            await drained(books)
            await assert_books_hold(books, load, generator, processes.data_dir)
            await books.close()
        await deployment.assert_verified_by_command("--every-row")
        assert load.unacknowledged == []
        assert await service.stop() == 0, service.log_tail()
    print(_report(load, silences))  # noqa: T201 - what it is run for; shown with -s


def _report(load: TimedLoad, silences: list[tuple[str, float]]) -> str:
    """What callers saw."""
    lines = [f"acknowledged: {len(load.acknowledged)}; sendings answered 503: {load.put_off}"]
    for kind in dict.fromkeys(what for what, _ in silences):
        found = sorted(seconds for what, seconds in silences if what == kind)
        median = statistics.median(found)
        lines.append(
            f"{kind}: {median:.1f} s without a 201 (median of {len(found)},"
            f" {found[0]:.1f} to {found[-1]:.1f})"
        )
    return "\n".join(lines)
