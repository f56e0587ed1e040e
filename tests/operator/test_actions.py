"""What an operator does: one transaction with its entry in the audit log, and once per key."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.discrepancies import Report
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import Action, ActionContext, IdempotencyConflict
from storecredit.operator.audit_entries import AuditFilter
from storecredit.operator.credits import Insufficient, NotDone, Removed, Transferred
from storecredit.operator.stores import NewStore, StoreChanges
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.errors import StatementRefused
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from tests.web.table_rows import of_all_buckets

pytestmark = pytest.mark.several_buckets

ANN = ActionContext("ann", "api", "req-1", "a good customer")
HATS = NewStore("Hats", "hats.example", credits=10)


@pytest.fixture
def acting(buckets: Buckets) -> OperatorActions:
    return OperatorActions.over(buckets, open_results(Settings()), Settings())


def keyed(key: str, **changes: Any) -> ActionContext:
    return replace(ANN, **{"request_id": key, "idempotency_key": key, **changes})


async def written(acting: OperatorActions, **wanted: Any) -> list[tuple[Action, str]]:
    """What the log says was done, newest first, and to what."""
    page = await acting.audit_entries.page(AuditFilter(**wanted), limit=100, cursor=None)
    return [(entry.action, entry.subject) for entry in page.items]


async def store_of(acting: OperatorActions, **new: Any) -> UUID:
    return (await acting.stores.make(ANN, replace(HATS, **new))).store.store_id


async def test_an_entry_says_who_did_what_to_whom_and_why(acting: OperatorActions) -> None:
    made = await acting.stores.make(ANN, HATS)
    owner = Owner.store(made.store.store_id)
    page = await acting.audit_entries.page(AuditFilter(), limit=100, cursor=None)
    [entry] = page.items
    assert (entry.actor, entry.door, entry.reason) == ("ann", "api", "a good customer")
    assert (entry.action, entry.owner, entry.other) == (Action.STORE_CREATE, owner, None)
    assert (entry.request_id, entry.idempotency_key) == ("req-1", None)
    assert entry.subject == str(made.key_id)
    assert entry.asked == {
        "name": "Hats",
        "shop_domain": "hats.example",
        "tier": "default",
        "credits": 10,
        "allowed_origins": [],
    }
    assert made.key is not None
    assert made.key not in repr(page)


async def test_a_store_that_cannot_have_its_key_is_not_made_either(
    acting: OperatorActions, admin: asyncpg.Connection
) -> None:
    with pytest.raises(ValueError, match="web origin"):
        await acting.stores.make(ANN, replace(HATS, allowed_origins=("nowhere",)))
    for table in ("stores", "accounts", "movements", "audit_log"):
        assert not await of_all_buckets(admin, f"SELECT FROM {table}")


async def test_all_that_is_changed_of_a_store_is_changed_or_nothing(
    acting: OperatorActions, admin: asyncpg.Connection
) -> None:
    store_id = await store_of(acting)
    with pytest.raises(ValueError, match="overage limit"):
        await acting.stores.change(ANN, store_id, StoreChanges(name="Caps", overage_limit=-1))
    assert [row["name"] for row in await of_all_buckets(admin, "SELECT name FROM stores")] == [
        "Hats"
    ]
    changed = await acting.stores.change(
        ANN, store_id, StoreChanges(name="Caps", overage_limit=5, low_threshold=None)
    )
    assert changed is not None
    assert changed.name == "Caps"
    [newest] = (await acting.audit_entries.page(AuditFilter(), limit=1, cursor=None)).items
    assert newest.asked == {"name": "Caps", "overage_limit": 5, "low_threshold": None}
    assert len(await written(acting)) == 2


async def test_what_was_not_done_is_not_written(acting: OperatorActions) -> None:
    store_id = await store_of(acting)
    owner, nobody = Owner.store(store_id), UUID(int=7)
    assert await acting.credits.remove(ANN, owner, 11) == Insufficient(10, 11)
    assert await acting.credits.remove(ANN, Owner.store(nobody), 1) is NotDone.UNKNOWN_OWNER
    assert await acting.credits.transfer(ANN, owner, owner, 1) is NotDone.SAME_OWNER
    assert await acting.credits.set_expiry(ANN, owner, 99, None) is NotDone.NOT_FOUND
    assert not await acting.stores.revoke_key(ANN, store_id, nobody)
    assert await acting.stores.make_key(ANN, nobody) is None
    assert not await acting.users.block(ANN, nobody)
    assert await acting.stores.change(ANN, store_id, StoreChanges()) is not None
    added = await acting.credits.add(
        replace(ANN, request_id="gift"), Owner.user(nobody), 1, AdditionType.GRANT
    )
    assert added is Addition.UNKNOWN_OWNER
    assert [action for action, _ in await written(acting)] == [Action.STORE_CREATE]


async def test_what_the_ledger_has_done_before_is_written_once(acting: OperatorActions) -> None:
    owner = Owner.store(await store_of(acting))
    gift = replace(ANN, request_id="gift-1")
    assert await acting.credits.add(gift, owner, 5, AdditionType.GRANT) is Addition.ADDED
    assert await acting.credits.add(gift, owner, 5, AdditionType.GRANT) is Addition.ALREADY_ADDED
    assert await acting.credits.add(gift, owner, 6, AdditionType.GRANT) is Addition.CONFLICT
    taken = replace(ANN, request_id="fix-1")
    assert await acting.credits.remove(taken, owner, 2) == Removed(2, 13, replayed=False)
    assert await acting.credits.remove(taken, owner, 2) == Removed(2, 13, replayed=True)
    assert [action for action, _ in await written(acting, owner=owner)] == [
        Action.CREDITS_REMOVE,
        Action.CREDITS_ADD,
        Action.STORE_CREATE,
    ]


async def test_whoever_was_handed_credits_finds_it_among_what_was_done_to_them(
    acting: OperatorActions,
) -> None:
    giver, taker = [Owner.store(await store_of(acting)) for _ in range(2)]
    moved = await acting.credits.transfer(replace(ANN, request_id="move"), giver, taker, 4)
    assert isinstance(moved, Transferred)
    for owner in (giver, taker):
        [newest, _] = (
            await acting.audit_entries.page(AuditFilter(owner=owner), limit=9, cursor=None)
        ).items
        assert (newest.action, newest.owner, newest.other) == ("credits.transfer", giver, taker)


async def test_pages_follow_each_other_and_filters_hold(acting: OperatorActions) -> None:
    store_id = await store_of(acting)
    for number in range(5):
        by = replace(ANN, actor="bob", request_id=f"req-{number}")
        await acting.stores.change(by, store_id, StoreChanges(name=f"Hats {number}"))
    wanted = AuditFilter(actor="bob", owner=Owner.store(store_id))
    first = await acting.audit_entries.page(wanted, limit=3, cursor=None)
    rest = await acting.audit_entries.page(wanted, limit=3, cursor=first.next_cursor)
    assert rest.next_cursor is None
    names = [entry.asked["name"] for entry in (*first.items, *rest.items)]
    assert names == [f"Hats {number}" for number in (4, 3, 2, 1, 0)]
    assert await written(acting, request_id="req-3") == [(Action.STORE_UPDATE, "")]
    assert len(await written(acting, action=Action.STORE_CREATE)) == 1
    middle = rest.items[0].acted_at
    assert len(await written(acting, actor="bob", from_=middle)) == 4
    assert len(await written(acting, actor="bob", to=middle)) == 1


async def test_ten_of_one_key_at_once_make_one_store(
    acting: OperatorActions, admin: asyncpg.Connection
) -> None:
    made = await asyncio.gather(*(acting.stores.make(keyed("shop-1"), HATS) for _ in range(10)))
    assert len({each.store.store_id for each in made}) == 1
    assert len({each.key_id for each in made}) == 1
    # The key is shown to the one who made it.
    assert [each.key is not None for each in made].count(True) == 1
    assert len(await of_all_buckets(admin, "SELECT FROM stores")) == 1
    assert await written(acting) == [(Action.STORE_CREATE, str(made[0].key_id))]


async def test_a_key_is_used_for_one_thing(acting: OperatorActions) -> None:
    one, other = [await store_of(acting) for _ in range(2)]
    renamed = StoreChanges(name="Caps")
    assert await acting.stores.change(keyed("k"), one, renamed) is not None
    assert await acting.stores.change(keyed("k"), one, renamed) is not None
    for action in (
        acting.stores.change(keyed("k"), one, StoreChanges(name="Shoes")),
        acting.stores.change(keyed("k"), other, renamed),
        acting.stores.make_key(keyed("k"), one),
        acting.stores.make(keyed("k"), HATS),
    ):
        with pytest.raises(IdempotencyConflict):
            await action
    assert len(await written(acting, action=Action.STORE_UPDATE)) == 1


async def test_a_key_names_who_receives_and_by_which_request(acting: OperatorActions) -> None:
    giver, taker, other = [Owner.store(await store_of(acting)) for _ in range(3)]
    moved = await acting.credits.transfer(keyed("move"), giver, taker, 4)
    assert moved == Transferred(4, 6, 14, replayed=False)
    assert await acting.credits.transfer(keyed("move"), giver, taker, 4) == replace(
        moved, replayed=True
    )
    for context, receiver in ((keyed("move"), other), (keyed("move", request_id="2"), taker)):
        with pytest.raises(IdempotencyConflict):
            await acting.credits.transfer(context, giver, receiver, 4)


async def test_a_retry_does_not_undo_what_came_after(acting: OperatorActions) -> None:
    store_id = await store_of(acting)
    stopped, going = StoreChanges(status="suspended"), StoreChanges(status="active")
    await acting.stores.change(keyed("stop"), store_id, stopped)
    await acting.stores.change(keyed("go"), store_id, going)
    changed = await acting.stores.change(keyed("stop"), store_id, stopped)
    assert changed is not None
    assert changed.status == "active"


SOUND = Report(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, (), truncated=False)


async def test_each_verification_is_written_whatever_its_key_did_before(
    acting: OperatorActions,
) -> None:
    await acting.stores.make(keyed("k"), HATS)
    for _ in range(2):
        await acting.audit.verified(keyed("k"), SOUND)
    assert len(await written(acting, action=Action.LEDGER_VERIFY)) == 2


async def test_what_was_done_to_buckets_is_written_with_their_nodes(
    acting: OperatorActions,
) -> None:
    who = ActionContext("ann", "command", "req_1", "a new machine")
    await acting.audit.bucket_moved(who, 2, "ten:5432", "eleven:5432")
    await acting.audit.rebalanced(who, {"storecredit_3": ("ten:5432", "eleven:5432")}, "failed")
    page = await acting.audit_entries.page(AuditFilter(), limit=100, cursor=None)
    spread, moved = page.items
    assert (moved.action, spread.action) == (Action.BUCKET_MOVE, Action.BUCKET_REBALANCE)
    assert (moved.actor, moved.reason, moved.subject) == ("ann", "a new machine", "2")
    assert (moved.asked, moved.outcome) == ({"to": "eleven:5432"}, {"from": "ten:5432"})
    assert (spread.asked, spread.outcome) == (
        {},
        {"ended": "failed", "storecredit_3": "from ten:5432 to eleven:5432"},
    )


async def test_a_key_that_was_refused_can_be_used_again(acting: OperatorActions) -> None:
    owner = Owner.store(await store_of(acting))
    assert isinstance(await acting.credits.remove(keyed("fix"), owner, 99), Insufficient)
    assert await acting.credits.remove(keyed("fix"), owner, 9) == Removed(9, 1, replayed=False)
    assert await acting.credits.remove(keyed("fix"), owner, 9) == Removed(9, 1, replayed=True)


async def test_what_one_task_asks_in_a_transaction_another_does_not_see(
    database: Database,
) -> None:
    seen = "SELECT count(*) FROM audit_log"
    async with database.transaction():
        await database.fetchval(
            """SELECT record_action('ann', 'api', 'x', '', 'r', NULL, NULL, NULL, NULL, NULL, '',
                   '{}', '{}')"""
        )
        assert await database.fetchval(seen) == 1
        assert await asyncio.create_task(database.fetchval(seen)) == 0
        with pytest.raises(RuntimeError, match="under way"):
            async with database.transaction():
                pass
    assert await database.fetchval(seen) == 1


async def test_a_refusal_that_is_caught_leaves_nothing_of_the_transaction(
    acting: OperatorActions, database: Database
) -> None:
    async with database.transaction():
        await database.fetchval("SELECT * FROM create_store($1, 'Hats', 'h.example')", UUID(int=1))
        with pytest.raises(StatementRefused):
            await database.fetchval("SELECT account_of('store', $1)", UUID(int=2))
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await database.fetchval("SELECT 1")
    assert await database.fetchval("SELECT count(*) FROM stores") == 0
