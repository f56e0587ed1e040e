"""F4, F5: deductions by the ledger alone, without HTTP, against the textbook function.

Ours: 64 concurrent callers in one process, through the group commit, with the default settings.
The textbook: pgbench, 32 clients, two threads, prepared statements, one call per request. On one
store its clients wait for one row's lock, and two of them are its best: F4 shows those, too.
"""

import asyncio
import itertools
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import uvloop

from benchmarks.bench import Bench
from benchmarks.database_under_test import HOT_STORE, DatabaseUnderTest, store_id
from benchmarks.load import settle_down
from benchmarks.processes import run
from benchmarks.results import Goal, NotMeasured, Result, per_second, ratios
from benchmarks.slow_disk import CannotSimulate, database_on_a_slow_disk
from benchmarks.textbook import open_textbook, prove_textbook, textbook_spent
from storecredit.postgres.embedded.cluster import POSTGRES_BIN
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

CALLERS = 64
CLIENTS = 32
FEW_CLIENTS = 2
"""How many are the textbook's best on one row."""
STORES = 10_000
DEDUCT = """
    SELECT outcomes
    FROM deduct_from_accounts($1::bigint[], $2::int[], $3::text[], $4::text[])
"""
ACCOUNTS = """
    SELECT account_id FROM accounts WHERE owner_kind = 'store' AND owner_id = ANY ($1::uuid[])
"""
# A store's id is made from its number in the statement; that is a millionth of a second.
TEXTBOOK = """\
\\set store random({first}, {last})
\\set request random(1, 9000000000000000000)
SELECT textbook.deduct(
    ('01900000-0000-7000-8000-' || lpad(to_hex(:store::int), 12, '0'))::uuid, 1,
    'textbook-' || :request::bigint);
"""


@dataclass(frozen=True, slots=True)
class Deduction:
    """One request for one credit."""

    account_id: int
    request_id: str


def one_store(bench: Bench) -> list[Result]:
    """F4: one hot store."""
    what = "deductions by the ledger alone, one store, against the textbook's"
    with bench.database() as database:
        measured = _measured(bench, database, stores=1, clients=(CLIENTS, FEW_CLIENTS))
    result = _result("F4", what, Goal(at_least=22), measured)
    few = f"{what} with {FEW_CLIENTS} clients, its best on one row"
    results = [result, _result("F4", few, None, measured, clients=FEW_CLIENTS)]
    if bench.plan.short:
        return results
    try:
        return [*results, _on_a_slow_disk(bench, what)]
    except CannotSimulate as reason:
        noted = replace(result, notes=(f"not shown on a slow disk: {reason}",))
        return [noted, *results[1:]]


def many_stores(bench: Bench) -> list[Result]:
    """F5: a store drawn among 10,000 for each."""
    what = f"deductions by the ledger alone, random among {STORES:,} stores, against the textbook's"
    with bench.database() as database:
        measured = _measured(bench, database, stores=STORES)
    return [_result("F5", what, Goal(at_least=2.2), measured)]


def _on_a_slow_disk(bench: Bench, what: str) -> Result:
    """F4 once more, where a commit takes a millisecond. Raises CannotSimulate."""
    bench.say("a fresh database on a slow disk")
    with database_on_a_slow_disk(bench.fresh_directory()) as database:
        measured = _measured(bench, database, stores=1)
        database.prove()
    what = f"{what}, on a disk that takes 1 ms to sync (simulated)"
    return _result("F4", what, None, measured)


def _measured(
    bench: Bench, database: DatabaseUnderTest, *, stores: int, clients: tuple[int, ...] = (CLIENTS,)
) -> dict[str, list[float]]:
    """Deductions per second of the ledger, and of the textbook with so many clients each."""
    bench.say(f"seeding {(1 + len(clients)) * stores:,} stores")
    database.add_stores(stores)
    open_textbook(database, HOT_STORE, len(clients) * stores)
    seconds = bench.plan.seconds
    contenders = {
        "ledger": partial(counted, database, partial(deduct, database.app_url, stores, seconds))
    }
    # Stores of their own for each side: their ledgers grow alike.
    for number, count in enumerate(clients):
        first = HOT_STORE + number * stores
        call = partial(textbook, database, first, stores, seconds, clients=count)
        contenders[_textbook(count)] = partial(counted, database, call, spent=textbook_spent)
    measured = bench.rounds(contenders)
    prove_textbook(database)
    return measured


def _textbook(clients: int) -> str:
    return f"textbook ({clients} clients)"


def _result(
    figure: str,
    what: str,
    goal: Goal | None,
    measured: Mapping[str, Sequence[float]],
    clients: int = CLIENTS,
) -> Result:
    beside = _textbook(clients)
    return Result(
        figure=figure,
        what=what,
        unit="×",
        goal=goal,
        rounds=ratios(measured["ledger"], measured[beside]),
        absolute=per_second({"ledger": measured["ledger"], beside: measured[beside]}),
    )


@dataclass(frozen=True, slots=True)
class Deducted:
    """How many deductions were committed, and how many of them per second."""

    count: int
    per_second: float


def ledger_spent(database: DatabaseUnderTest) -> int:
    """How many credits all stores have spent, by our ledger."""
    return database.counts().spent


def counted(
    database: DatabaseUnderTest,
    measure: Callable[[], Deducted],
    spent: Callable[[DatabaseUnderTest], int] = ledger_spent,
) -> float:
    """Measure, and hold what was said to be taken against what is gone. Raises NotMeasured."""
    before = spent(database)
    deducted = measure()
    gone = spent(database) - before
    if gone != deducted.count:
        raise NotMeasured(f"{deducted.count} deductions were reported, and {gone} were made")
    database.settle()
    settle_down()
    return deducted.per_second


def deduct(url: str, stores: int, seconds: float, *, first: int = HOT_STORE) -> Deducted:
    """The group commit under its callers, on the event loop the service runs on.

    Of so many stores, from number `first` on.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_deduct(url, range(first, first + stores), seconds))


async def _deduct(url: str, numbers: Sequence[int], seconds: float) -> Deducted:
    bounds = Bounds.of(Settings())
    database = await Database.open(url)
    ids = [store_id(number) for number in numbers]
    accounts = [row["account_id"] for row in await database.fetch(ACCOUNTS, ids)]
    commit: GroupCommit[Deduction, str] = GroupCommit("bench", database, settle, bounds, Metrics())
    await commit.start()
    try:
        # Opens the lanes' connections, as a service that runs has them open.
        warm = await _callers(commit, accounts, 0.2)
        began = time.monotonic()
        count = await _callers(commit, accounts, seconds)
        return Deducted(warm + count, count / (time.monotonic() - began))
    finally:
        await commit.stop()
        await database.close()


async def _callers(
    commit: GroupCommit[Deduction, str], accounts: Sequence[int], seconds: float
) -> int:
    """So many callers, each with one request after the other; how many were answered."""
    until = time.monotonic() + seconds
    run, numbers = uuid.uuid4().hex[:16], itertools.count()

    async def caller() -> int:
        answered = 0
        while time.monotonic() < until:
            account = random.choice(accounts)
            deduction = Deduction(account, _request_id(run, next(numbers)))
            outcome = await commit.submit(account, deduction)
            if outcome != "deducted":
                raise NotMeasured(f"a deduction ended as {outcome!r}")
            answered += 1
        return answered

    return sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))


def _request_id(run: str, number: int) -> str:
    """Random digits first, as a UUID and the textbook's have: an index of them has no warm end."""
    return f"{random.getrandbits(32):08x}-{run}-{number}"


async def settle(connection: Connection, items: Sequence[Deduction]) -> Sequence[str]:
    """One batch: one call of the ledger's function, its items by account, as the service sends."""
    places = sorted(range(len(items)), key=lambda place: items[place].account_id)
    answers = await connection.fetchval(
        DEDUCT,
        [items[place].account_id for place in places],
        [1] * len(items),
        [items[place].request_id for place in places],
        ["Credits deducted"] * len(items),
    )
    outcomes = [""] * len(items)
    for place, outcome in zip(places, answers, strict=True):
        outcomes[place] = outcome
    return outcomes


def textbook(
    database: DatabaseUnderTest, first: int, stores: int, seconds: int, *, clients: int = CLIENTS
) -> Deducted:
    """The textbook function under pgbench, on `stores` stores from number `first` on."""
    script = database.data_dir.parent / "textbook.pgbench"
    script.write_text(TEXTBOOK.format(first=first, last=first + stores - 1))
    said = run(
        [
            *(str(POSTGRES_BIN / "pgbench"), "--no-vacuum", "--protocol", "prepared"),
            *("--client", str(clients), "--jobs", "2", "--time", str(seconds)),
            *("--file", str(script), database.admin_url),
        ]
    )
    return textbook_report(said)


def textbook_report(said: str) -> Deducted:
    """What pgbench wrote. Raises NotMeasured if a transaction failed."""
    count = re.search(r"^number of transactions actually processed: (\d+)", said, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", said, re.MULTILINE)
    rate = re.search(r"^tps = ([0-9.]+) \(without initial connection time\)", said, re.MULTILINE)
    if count is None or rate is None or (failed is not None and int(failed[1])):
        raise NotMeasured(f"pgbench: {said.strip()[-500:]}")
    return Deducted(int(count[1]), float(rate[1]))
