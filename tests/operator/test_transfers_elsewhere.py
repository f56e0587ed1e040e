"""Credits handed to an owner in another bucket: at both ends or at neither, once, and proven."""

import asyncio
import random
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.grants import Grants, Terms
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owners import Owner
from storecredit.ledger.transfers import one_sided
from storecredit.ledger.verify import verify
from storecredit.ledger.verify_all import verify_all
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext, IdempotencyConflict
from storecredit.operator.audit_entries import AuditFilter
from storecredit.operator.credits import Insufficient, NotDone, Transferred
from storecredit.operator.report import Reports
from storecredit.operator.requests import Requests
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import DatabaseUnavailable, StatementRefused
from storecredit.settings import Settings
from tests.operator.bucket_owners import THREE, balances, prove, store_in, store_in_each

pytestmark = THREE

ANN: Final = ActionContext("ann", "api", "move-1", "a merger")
BEFORE: Final = datetime(2026, 1, 1, tzinfo=UTC)
END: Final = datetime(2126, 1, 1, tzinfo=UTC)


@pytest.fixture
def acting(buckets: Buckets) -> OperatorActions:
    return OperatorActions.over(buckets, open_results(Settings()), Settings())


@pytest.fixture
async def owners(buckets: Buckets) -> list[Owner]:
    return await store_in_each(buckets)


def named(request_id: str, key: str | None = None) -> ActionContext:
    return replace(ANN, request_id=request_id, idempotency_key=key)


async def test_they_go_up_and_down_between_buckets_each_request_once(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    first, second, third = owners
    for giver, taker, left, has in ((first, third, 6, 14), (third, second, 10, 14)):
        by = named(f"to {taker.id}")
        for replayed in (False, True):
            moved = await acting.credits.transfer(by, giver, taker, 4)
            assert moved == Transferred(4, left, has, replayed)
        assert await acting.credits.transfer(by, giver, taker, 3) is NotDone.CONFLICT
        elsewhere = next(owner for owner in owners if owner not in {giver, taker})
        assert await acting.credits.transfer(by, giver, elsewhere, 4) is NotDone.CONFLICT
        assert await acting.credits.transfer(by, taker, giver, 4) is NotDone.CONFLICT
        # It is known at the end that receives alone.
        assert await acting.credits.transfer(by, elsewhere, taker, 4) is NotDone.CONFLICT
    assert await balances(buckets, owners) == [6, 14, 10]
    all_of_it = await acting.credits.transfer(named("all"), third, first, 10)
    assert all_of_it == Transferred(10, 0, 16, replayed=False)
    await prove(buckets)


async def test_no_other_ledger_is_asked_for_the_request_and_no_other_kind_of_movement(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    first, second, third = owners
    neighbour = await store_in(buckets, buckets.all[0], 3)
    # At the same place of two ledgers of one bucket.
    for giver, taker in ((first, third), (neighbour, second)):
        for replayed in (False, True):
            moved = await acting.credits.transfer(named("same"), giver, taker, 4)
            assert moved == Transferred(4, 6, 14, replayed)
    moved = await acting.credits.transfer(named("opening"), first, third, 1)
    assert moved == Transferred(1, 5, 15, replayed=False)
    await prove(buckets)


async def test_what_cannot_be_moves_nothing_at_either_end(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    first, _, third = owners
    assert await acting.credits.transfer(ANN, first, third, 11) == Insufficient(10, 11)
    for giver, taker in (
        (third, Owner.store(UUID(int=1))),
        (Owner.store(UUID(int=1)), third),
        (third, Owner.user(first.id)),
    ):
        outcome = await acting.credits.transfer(ANN, giver, taker, 1)
        assert outcome is NotDone.UNKNOWN_OWNER
    assert await balances(buckets, owners) == [10, 10, 10]
    entries = await acting.audit_entries.page(AuditFilter(), limit=9, cursor=None)
    assert entries.items == ()


async def test_they_stay_what_they_are_and_end_when_the_last_of_them_did(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    _, giver, taker = owners
    credits = Credits(buckets)
    terms = Terms(expires_at=END, priority=7)
    await credits.add(giver, 5, AdditionType.GRANT, Cause("gift"), terms)
    # All of the gift, and nothing that never ends.
    assert isinstance(await acting.credits.transfer(ANN, giver, taker, 5), Transferred)
    account_id = await credits.account_id(taker)
    [got, _] = (await Grants(buckets).list(account_id, limit=9)).items
    assert (got.remaining, got.kind, got.priority, got.expires_at) == (5, "promo", 7, END)
    await prove(buckets)


async def test_both_are_told_what_was_done_by_one_entry(
    acting: OperatorActions, owners: list[Owner]
) -> None:
    first, _, third = owners
    moved = await acting.credits.transfer(named("m", "m"), third, first, 4)
    assert isinstance(moved, Transferred)
    again = await acting.credits.transfer(named("m", "m"), third, first, 4)
    assert again == replace(moved, replayed=True)
    for owner in (first, third):
        page = await acting.audit_entries.page(AuditFilter(owner=owner), limit=9, cursor=None)
        [entry] = page.items
        assert (entry.action, entry.owner, entry.other) == ("credits.transfer", third, first)
    for giver, taker in ((first, third), (third, owners[1])):
        with pytest.raises(IdempotencyConflict):
            await acting.credits.transfer(named("m", "m"), giver, taker, 4)


async def test_the_look_up_names_both(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    giver, _, taker = owners
    assert isinstance(await acting.credits.transfer(ANN, giver, taker, 4), Transferred)
    with closing(Requests(buckets)) as requests:
        found = await requests.find("move-1")
    told = {
        (record.store_id, action.store_id, action.other_store_id)
        for record in found.requests
        for action in record.actions
    }
    assert told == {(owner.id, giver.id, taker.id) for owner in (giver, taker)}


async def test_of_many_at_once_in_all_directions_none_is_lost_or_done_twice(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    for owner in owners:
        await Credits(buckets).add(owner, 1000, AdditionType.GRANT, Cause("float"))
    chosen = random.Random(7)
    asked = [(*chosen.sample(range(3), 2), chosen.randint(1, 9)) for _ in range(40)]

    # Not more than have connections: of a busy machine the last would wait for one too long.
    room = asyncio.Semaphore(16)

    async def move(number: int) -> Transferred | Insufficient | NotDone:
        giver, taker, amount = asked[number]
        by = named(f"move-{number}")
        async with room:
            return await acting.credits.transfer(by, owners[giver], owners[taker], amount)

    done = await asyncio.gather(*(move(number) for number in range(40) for _ in range(2)))
    assert all(isinstance(each, Transferred) for each in done)
    assert sum(each.replayed for each in done if isinstance(each, Transferred)) == 40
    expected = [1010, 1010, 1010]
    for giver, taker, amount in asked:
        expected[giver] -= amount
        expected[taker] += amount
    assert await balances(buckets, owners) == expected
    await prove(buckets)


async def test_a_report_made_meanwhile_has_both_ends_of_a_transfer_or_neither(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    over = asyncio.Event()

    async def move(giver: Owner, taker: Owner) -> None:
        number = 0
        while not over.is_set():
            number += 1
            by = named(f"to {taker.id} {number}")
            assert isinstance(await acting.credits.transfer(by, giver, taker, 1), Transferred)

    for owner in owners:
        await Credits(buckets).add(owner, 10_000, AdditionType.GRANT, Cause("float"))
    moving = [asyncio.create_task(move(owners[0], owners[number])) for number in (1, 2)]
    reports = Reports(buckets)
    moved = 0
    try:
        while moved < 50:
            total = (await reports.make(BEFORE, END)).total
            assert total.transferred_out == total.transferred_in
            assert total.balance_change == 30_030
            moved = total.transferred_in
    finally:
        over.set()
        await asyncio.gather(*moving)


@pytest.mark.parametrize("giver, taker", [(0, 2), (2, 0), (1, 2)])
async def test_who_is_killed_between_the_ends_has_done_nothing(
    buckets: Buckets,
    acting: OperatorActions,
    owners: list[Owner],
    admin: asyncpg.Connection,
    giver: int,
    taker: int,
) -> None:
    there = buckets.all[taker].schema
    # What a receiver's bucket writes of its own end waits, after the giver's was written.
    async with admin.transaction():
        await admin.execute(f"LOCK TABLE {there}.transfer_ends IN SHARE MODE")
        moving = asyncio.create_task(acting.credits.transfer(ANN, owners[giver], owners[taker], 4))
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass"
        while not (pid := await admin.fetchval(waiting, f"{there}.transfer_ends")):
            assert not moving.done()
            await asyncio.sleep(0.01)
        await admin.execute("SELECT pg_terminate_backend($1::int)", pid)
        with pytest.raises(DatabaseUnavailable):
            await moving
    assert await balances(buckets, owners) == [10, 10, 10]
    moved = await acting.credits.transfer(ANN, owners[giver], owners[taker], 4)
    assert moved == Transferred(4, 6, 14, replayed=False)
    await prove(buckets)


@pytest.mark.parametrize("lost", [0, 2])
async def test_an_end_that_somebody_took_away_is_named_at_the_other(
    buckets: Buckets,
    acting: OperatorActions,
    owners: list[Owner],
    admin: asyncpg.Connection,
    lost: int,
) -> None:
    assert isinstance(await acting.credits.transfer(ANN, owners[0], owners[2], 4), Transferred)
    schema = buckets.all[lost].schema
    await admin.execute(f"DELETE FROM {schema}.transfer_ends")
    named_here = (await verify(buckets.all[lost])).discrepancies
    assert DiscrepancyKind.TRANSFER_MISMATCH in {each.kind for each in named_here}
    await admin.execute(f"DELETE FROM {schema}.movements WHERE request_id = 'move-1'")
    [end] = await one_sided(buckets, 10)
    whose = owners[2 - lost].id
    assert (end.kind, end.store_id, end.request_id) == ("transfer_mismatch", whose, "move-1")
    assert (await verify(buckets.all[2 - lost])).discrepancies == ()
    assert end in (await verify_all(buckets)).discrepancies


async def test_nobody_writes_one_end_alone(buckets: Buckets, owners: list[Owner]) -> None:
    account_id = await Credits(buckets).account_id(owners[0])
    for statement in (
        "SELECT receive_transfer(1, $1, 5, 'r', '', 'me', 'paid', 100, NULL, '30 days')",
        "SELECT note_end_of_transfer($1, 'transfer_in', 5, 'r', 1, 1)",
        "INSERT INTO transfer_ends VALUES ($1, 1, 5, 1, 'transfer_in', 'r')",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await buckets.home.fetchval(statement, account_id)


async def test_what_makes_no_sense_is_refused_and_moves_nothing(
    buckets: Buckets, owners: list[Owner]
) -> None:
    credits = Credits(buckets)
    giver, taker = [await credits.account_id(owners[place]) for place in (0, 2)]
    for sqlstate, bucket, amount, request_id in (
        ("3F000", "pg_temp", 1, "r"),
        ("3F000", None, 1, "r"),
        ("SC002", "storecredit_2", 0, "r"),
        ("SC002", "storecredit_2", None, "r"),
        ("SC003", "storecredit_2", 1, ""),
        ("SC003", "storecredit_2", 1, None),
    ):
        with pytest.raises((asyncpg.PostgresError, StatementRefused)) as refused:
            await buckets.home.fetchval(
                "SELECT transfer_elsewhere($1, $2, $3, $4, $5, '', 'me')",
                *(giver, bucket, taker, amount, request_id),
            )
        told = getattr(refused.value, "sqlstate", None)
        assert told == sqlstate, (bucket, amount, request_id)
    assert await balances(buckets, owners) == [10, 10, 10]
