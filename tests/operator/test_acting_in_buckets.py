"""What operators do over several buckets: once under a key whatever bucket, and read as one log."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import Action, ActionContext, IdempotencyConflict
from storecredit.operator.audit_entries import AuditFilter, Entry
from storecredit.operator.credits import Insufficient, Removed
from storecredit.operator.stores import NewStore, StoreChanges
from storecredit.operator.tokens import Scope
from storecredit.postgres.buckets import Buckets, bucket_of, opened
from storecredit.postgres.errors import DatabaseUnavailable
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from tests.operator.bucket_owners import NUMBER, THREE, balances, id_in, store_in_each
from tests.web.table_rows import of_all_buckets

ANN: Final = ActionContext("ann", "api", "req-1")
HATS: Final = NewStore("Hats", "hats.example", credits=10)


def acting_over(buckets: Buckets) -> OperatorActions:
    return OperatorActions.over(buckets, open_results(Settings()), Settings())


@pytest.fixture
def acting(buckets: Buckets) -> OperatorActions:
    return acting_over(buckets)


@pytest.fixture
async def owners(buckets: Buckets) -> list[Owner]:
    return await store_in_each(buckets)


def keyed(key: str, **changes: Any) -> ActionContext:
    return replace(ANN, request_id=key, idempotency_key=key, **changes)


async def given(acting: OperatorActions, owner: Owner, key: str) -> Addition:
    return await acting.credits.add(keyed(key), owner, 5, AdditionType.GRANT)


async def renamed(acting: OperatorActions, owner: Owner, name: str, **by: Any) -> None:
    assert await acting.stores.change(replace(ANN, **by), owner.id, StoreChanges(name=name))


async def pages(acting: OperatorActions, limit: int, wanted: AuditFilter) -> list[Entry]:
    """All entries, so many at a time."""
    entries: list[Entry] = []
    cursor = None
    while True:
        page = await acting.audit_entries.page(wanted, limit=limit, cursor=cursor)
        entries += page.items
        cursor = page.next_cursor
        if cursor is None:
            return entries
        assert len(page.items) == limit


@THREE
async def test_entries_stand_with_whom_they_are_about_and_are_read_as_one_list(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    chosen = random.Random(5)
    asked = [chosen.randrange(NUMBER) for _ in range(20)]
    for number, place in enumerate(asked):
        by = {"actor": "bob" if number % 3 else "ann", "request_id": f"req-{number % 4}"}
        await renamed(acting, owners[place], f"Hats {number}", **by)
    await acting.tokens.create(ANN, "carl", {Scope.READ})
    everything = AuditFilter()
    whole = await pages(acting, 100, everything)
    for limit in (1, 3, 7):
        assert await pages(acting, limit, everything) == whole
    assert [entry.asked["name"] for entry in whole[1:]] == [
        f"Hats {number}" for number in reversed(range(20))
    ]
    assert len({entry.entry_id for entry in whole}) == 21
    assert [bucket_of(entry.entry_id) for entry in whole] == [0, *reversed(asked)]
    for wanted in (
        AuditFilter(actor="bob"),
        AuditFilter(action=Action.STORE_UPDATE, request_id="req-2"),
        AuditFilter(owner=owners[2]),
        AuditFilter(from_=whole[9].acted_at, to=whole[2].acted_at),
    ):
        fit = await pages(acting, 100, wanted)
        assert fit
        assert await pages(acting, 2, wanted) == fit
        assert [entry for entry in whole if entry in fit] == fit
    assert Counter(entry.owner for entry in whole)[owners[2]] == asked.count(2)


@THREE
async def test_a_list_goes_on_where_it_was_whatever_is_written_meanwhile(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    for number in range(6):
        await renamed(acting, owners[number % 2], f"Hats {number}")
    whole = await pages(acting, 100, AuditFilter())
    first = await acting.audit_entries.page(AuditFilter(), limit=1, cursor=None)
    for owner in owners:
        await renamed(acting, owner, "New Hats")
    rest = await acting.audit_entries.page(AuditFilter(), limit=99, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == whole
    for wrong in ("", "x", "1.2.3.4", "1.-2", "1..2", "1" * 19):
        with pytest.raises(ValueError, match="cursor"):
            await acting.audit_entries.page(AuditFilter(), limit=1, cursor=wrong)


@THREE
async def test_a_store_is_made_once_under_a_key_whoever_is_asked(
    buckets: Buckets, database_url: str, admin: asyncpg.Connection
) -> None:
    other = await Database.open(database_url)
    async with opened(other) as beside:
        callers = [acting_over(buckets), acting_over(beside)]
        made = await asyncio.gather(
            *(
                acting.stores.make(keyed(f"shop-{number}"), HATS)
                for number in range(6)
                for acting in callers
                for _ in range(3)
            )
        )
        assert len({each.store.store_id for each in made}) == 6
        assert [each.key is not None for each in made].count(True) == 6
        for acting in callers:
            with pytest.raises(IdempotencyConflict):
                await acting.stores.make(keyed("shop-1"), replace(HATS, name="Caps"))
    await other.close()
    assert len(await of_all_buckets(admin, "SELECT FROM stores")) == 6


@THREE
async def test_a_key_is_of_one_owner_in_whichever_bucket(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    for number, owner in enumerate(owners):
        key = f"gift-{number}"
        assert await given(acting, owner, key) is Addition.ADDED
        for another in owners:
            if another != owner:
                with pytest.raises(IdempotencyConflict):
                    await given(acting, another, key)
        with pytest.raises(IdempotencyConflict):
            await acting.stores.make(keyed(key), HATS)
        with pytest.raises(IdempotencyConflict):
            await acting.tokens.revoke(keyed(key), UUID(int=1))
        assert await given(acting, owner, key) is Addition.ALREADY_ADDED
    assert await balances(buckets, owners) == [15, 15, 15]


@THREE
async def test_a_key_under_which_nothing_was_done_may_be_used_for_another_owner(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner]
) -> None:
    def take(owner: Owner, amount: int) -> Any:
        return acting.credits.remove(keyed("fix"), owner, amount)

    for owner in (*owners, *owners):
        assert await take(owner, 11) == Insufficient(10, 11)
    assert await take(owners[1], 4) == Removed(4, 6, replayed=False)
    for owner in (owners[0], owners[2]):
        with pytest.raises(IdempotencyConflict):
            await take(owner, 4)
    assert await take(owners[1], 4) == Removed(4, 6, replayed=True)


@THREE
async def test_of_many_owners_at_once_one_is_given_what_a_key_gives(
    buckets: Buckets, acting: OperatorActions, owners: list[Owner], admin: asyncpg.Connection
) -> None:
    async def add(owner: Owner, key: str) -> Owner | None:
        try:
            await given(acting, owner, key)
        except IdempotencyConflict:
            return None
        return owner

    for number in range(10):
        asked = [owner for owner in owners for _ in range(2)]
        had = await asyncio.gather(*(add(owner, f"gift-{number}") for owner in asked))
        [(_, times)] = Counter(owner for owner in had if owner is not None).items()
        assert times == 2
    assert sum(await balances(buckets, owners)) == 30 + 10 * 5
    assert len(await of_all_buckets(admin, "SELECT FROM audit_log")) == 10


@THREE
async def test_who_waits_for_a_key_in_one_bucket_does_not_wait_for_another(
    buckets: Buckets,
) -> None:
    home, other, _ = buckets.all
    look = "SELECT * FROM find_action('key')"
    async with asyncio.timeout(30), home.transaction():
        await home.fetchrow(look)
        # Otherwise those who wait here may have all connections of the one they wait for.
        async with other.transaction():
            await other.fetchrow(look)


async def test_a_key_of_the_only_bucket_is_known_when_there_are_more(
    database: Database, database_url: str, admin: asyncpg.Connection
) -> None:
    before = acting_over(database)
    made = await before.stores.make(keyed("shop-1"), HATS)
    await migrate(database_url, buckets=NUMBER)
    async with opened(database) as buckets:
        acting = acting_over(buckets)
        for _ in range(4):
            again = await acting.stores.make(keyed("shop-1"), HATS)
            assert (again.store, again.key) == (made.store, None)
        # They are opened somewhat later, when every process knows of them.
        await admin.execute("UPDATE storecredit.buckets SET opened_at = now()")
        there = await id_in(buckets, buckets.all[2])
        await Stores(buckets).making(there).create(name="Caps", shop_domain="caps.example")
        assert await given(acting, Owner.store(there), "gift") is Addition.ADDED
        with pytest.raises(DatabaseUnavailable, match="another bucket"):
            await before.stores.make(keyed("gift"), HATS)
        await before.stores.make(keyed("shop-2"), HATS)
        with pytest.raises(IdempotencyConflict):
            await given(acting, Owner.store(there), "shop-2")


@THREE
async def test_nothing_is_put_into_a_bucket_that_is_not_open_yet(
    buckets: Buckets, acting: OperatorActions, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "UPDATE storecredit.buckets SET opened_at = now() + interval '1 h' WHERE number > 0"
    )
    made = [await acting.stores.make(keyed(f"shop-{number}"), HATS) for number in range(8)]
    lives = [await buckets.of_store(each.store.store_id) for each in made]
    assert all(bucket is buckets.home for bucket in lives)
    assert len(await admin.fetch("SELECT FROM storecredit.stores")) == 8
    assert len(await admin.fetch("SELECT FROM storecredit.audit_log")) == 8
