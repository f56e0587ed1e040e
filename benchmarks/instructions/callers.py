"""Callers of a build's rooms, without HTTP, in bursts: a script, run by that build's own Python.

`python callers.py URL RUN` answers each line of its input, `KIND COUNT STORES AT_ONCE`, with one of
its own when so many are done: of the first so many stores, so many callers at once, all of whom are
answered before the next ones ask. What is drawn is the same in each run of this number.
"""

import asyncio
import itertools
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import uvloop

from benchmarks.database_under_test import HOT_STORE, store_id
from benchmarks.figures.ledger import ACCOUNTS, Deduction, settle
from benchmarks.results import NotMeasured
from storecredit import telemetry
from storecredit.generation.lifecycle import Created, GenerationInput, Lifecycle
from storecredit.ledger.balance_reads import BalanceReads
from storecredit.ledger.owners import Account, Owner
from storecredit.postgres.group_commit import Bounds, GroupCommit
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics

Call = Callable[[Account, str], Awaitable[None]]
"""One call for this account, under this request id. Raises NotMeasured if it is refused."""
INPUT = GenerationInput(("https://images.example/hat-on-a-chair.png",))


def main() -> None:
    """The script."""
    telemetry.configure("auto", "error")  # else a warning could be taken for an answer
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1], sys.argv[2]))


async def _serve(url: str, run: str) -> None:
    async with AsyncExitStack() as stack:
        database = await Database.open(url)
        stack.push_async_callback(database.close)
        calls = await _opened(database, stack)
        accounts: dict[int, list[Account]] = {}
        drawn, numbers = random.Random(run), itertools.count()
        # Nothing else goes on in this process while it waits for a line.
        for line in sys.stdin:
            kind, count, stores, at_once = line.split()
            if int(stores) not in accounts:
                accounts[int(stores)] = await _accounts(database, int(stores))
            for _ in range(0, int(count), int(at_once)):
                asked = [
                    calls[kind](
                        drawn.choice(accounts[int(stores)]),
                        f"{drawn.getrandbits(32):08x}-{run}-{next(numbers):08d}",
                    )
                    for _ in range(int(at_once))
                ]
                await asyncio.gather(*asked)
            sys.stdout.write("done\n")
            sys.stdout.flush()


async def _opened(database: Database, stack: AsyncExitStack) -> dict[str, Call]:
    """What can be called, by the kinds' names."""
    settings, metrics = Settings(), Metrics()
    lifecycle = Lifecycle(database, settings, metrics)
    balances = BalanceReads(database, settings, metrics)
    commit: GroupCommit[Deduction, str] = GroupCommit(
        "bench", database, settle, Bounds.of(settings), metrics
    )
    await lifecycle.open()
    stack.push_async_callback(lifecycle.close)
    await balances.open()
    stack.push_async_callback(balances.close)
    await commit.start()
    stack.push_async_callback(commit.stop)

    async def create(account: Account, request_id: str) -> None:
        outcome = await lifecycle.create(account, request_id, INPUT, None, 1)
        if not isinstance(outcome, Created):
            raise NotMeasured(f"a create ended as {outcome}")

    async def balance(account: Account, _request_id: str) -> None:
        await balances.read(account)

    async def deduct(account: Account, request_id: str) -> None:
        outcome = await commit.submit(account.id, Deduction(account.id, request_id))
        if outcome != "deducted":
            raise NotMeasured(f"a deduction ended as {outcome!r}")

    return {"create": create, "balance": balance, "deduct": deduct}


async def _accounts(database: Database, stores: int) -> list[Account]:
    ids = [store_id(number) for number in range(HOT_STORE, HOT_STORE + stores)]
    rows = await database.fetch(f"{ACCOUNTS} ORDER BY owner_id", ids)
    return [
        Account(row["account_id"], Owner.store(id_)) for row, id_ in zip(rows, ids, strict=True)
    ]


if __name__ == "__main__":
    main()
