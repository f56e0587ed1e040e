"""What must hold of holds, spends and grants after any crash, read back row by row.

Each answer that was ever given stands in the tables, and no movement that nobody was told of; each
hold is alive or has ended once, in time, as was told; and each request is answered again as before.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

import asyncpg

from tests.crash.hold_load import Holder, Moved, ToldHold
from tests.crash.load import Account
from tests.crash.patient_client import Answer, PatientClient
from tests.crash.waiting import until_true

SETTLED_MAX_SECONDS = 30.0

OF_NOW = {"balance", "refundable", "added"}
"""What a replay tells of the present, or is there to tell that it is one."""
OF_NOW_UNTIL_IT_ENDS = {"status", "expires_at"}
MOVEMENTS = """SELECT type, request_id, amount FROM movements
    WHERE account_id = account_of($1, $2) AND seq > 1"""
NEWEST = """SELECT balance_after, held_after, expired_after FROM movements
    WHERE account_id = account_of($1, $2) ORDER BY seq DESC LIMIT 1"""
SIGNS = {"grant": 1, "refund": 1, "release": 1, "hold_expiry": 1, "capture": 0} | dict.fromkeys(
    ("deduction", "hold", "expiry"), -1
)
"""What a credit of each type does to the balance."""


async def all_ends_written(books: asyncpg.Connection) -> None:
    """Wait until the sweep has written all that ends by itself within the next minute."""
    due = "SELECT count(*) FROM accounts WHERE next_expiry < now() + interval '1 minute'"

    async def nothing_due() -> bool:
        return bool(await books.fetchval(due) == 0)

    await until_true(nothing_due, "nothing is due to end", SETTLED_MAX_SECONDS, str)


async def assert_answered_as_before(client: PatientClient, holders: Sequence[Holder]) -> None:
    """Each request once more: what was done is told, and nothing is done again."""
    ends = {hold.hold_id: hold for holder in holders for hold in holder.holds}
    for request, before, now in await client.replays():
        told = f"{request} was answered {before} and is now {now}"
        done = before.status in {HTTPStatus.OK, HTTPStatus.CREATED}
        is_extension = request.path.endswith("/extend")
        if is_extension and now.status == HTTPStatus.CONFLICT:
            # Of a hold that was extended its end is told from then on.
            assert done or now == before, told
            ends[request.path.split("/")[-2]].ended(now.told["status"], now.told["captured"])
            continue
        assert now.status == (HTTPStatus.OK if done else before.status), told
        assert now.is_replay is done, told
        assert _lasting(now) == _lasting(before), told
        assert not is_extension or now.told["expires_at"] == before.told["expires_at"], told


def _lasting(answer: Answer) -> dict[str, object]:
    of_now = OF_NOW if "ended_at" in answer.told else OF_NOW | OF_NOW_UNTIL_IT_ENDS
    return {name: what for name, what in answer.told.items() if name not in of_now}


async def assert_ledger_is_as_told(
    books: asyncpg.Connection, account: Account, holders: Sequence[Holder]
) -> None:
    """Judge all that stands of one account, by what its clients were told."""
    owner = (account.owner.kind, account.owner.id)
    now = await books.fetchval("SELECT clock_timestamp()")
    holds = [hold for holder in holders for hold in holder.holds]
    await _assert_holds_are_as_told(books, account, holds, now)
    expected: Counter[Moved] = Counter()
    for holder in holders:
        expected += holder.moved
    expected.update(moved for hold in holds for moved in _movements_of(hold, now))
    found = Counter(tuple(row) for row in await books.fetch(MOVEMENTS, *owner))
    expired = Counter({moved: times for moved, times in found.items() if moved[0] == "expiry"})
    assert found - expired == expected
    assert set(expired.values()) <= {1}, "a grant expires once"
    newest = await books.fetchrow(NEWEST, *owner)
    assert newest is not None
    moved = sum(SIGNS[type_] * amount for type_, _, amount in found.elements())
    assert newest["balance_after"] == account.credits + moved
    assert (newest["held_after"] or 0) == sum(hold.amount for hold in holds if _lives(hold, now))
    assert (newest["expired_after"] or 0) == sum(amount for _, _, amount in expired)


async def _assert_holds_are_as_told(
    books: asyncpg.Connection, account: Account, holds: Sequence[ToldHold], now: datetime
) -> None:
    rows = await books.fetch(
        "SELECT * FROM holds WHERE account_id = account_of($1, $2)",
        account.owner.kind,
        account.owner.id,
    )
    found = {row["hold_id"]: row for row in rows}
    assert set(found) == {UUID(hold.hold_id) for hold in holds}
    for hold in holds:
        row = found[UUID(hold.hold_id)]
        told = f"{hold} is {dict(row)}"
        assert (row["request_id"], row["amount"]) == (hold.request_id, hold.amount), told
        assert row["expires_at"] >= hold.expires_at, told
        assert (row["status"], row["captured"]) == (_end_of(hold, now) or ("held", None)), told
        if row["status"] == "expired":
            assert row["ended_at"] == row["expires_at"], told
        elif row["status"] != "held":
            assert row["created_at"] < row["ended_at"] < row["expires_at"], told


def _end_of(hold: ToldHold, now: datetime) -> tuple[str, int] | None:
    """None: it is alive."""
    return hold.end or (None if hold.expires_at > now else ("expired", 0))


def _lives(hold: ToldHold, now: datetime) -> bool:
    return _end_of(hold, now) is None


def _movements_of(hold: ToldHold, now: datetime) -> Iterator[Moved]:
    """The movements that a hold has made, all under the request that made it."""
    yield "hold", hold.request_id, hold.amount
    end = _end_of(hold, now)
    if end is None:
        return
    status, captured = end
    if captured:
        yield "capture", hold.request_id, captured
    if captured < hold.amount:
        back = "hold_expiry" if status == "expired" else "release"
        yield back, hold.request_id, hold.amount - captured
