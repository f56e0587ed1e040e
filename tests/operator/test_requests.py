"""What is told of a request that moved credits: all its movements, and whatever came of them."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.records import RequestRecord
from storecredit.operator.requests import Requests
from storecredit.postgres.pool import Database

STORE, HOLD = UUID(int=1), UUID(int=77)


@pytest.fixture
async def account(admin: asyncpg.Connection) -> int:
    """Of a store with 100 credits; beside it is another that does as it does."""
    for store_id in (UUID(int=2), STORE):
        await admin.execute(
            "SELECT FROM create_store($1, 'Hats', 'a.example', 'default', 100, 'opening')", store_id
        )
    account_id: int = await admin.fetchval(
        "SELECT account_id FROM accounts WHERE owner_id = $1", STORE
    )
    return account_id


async def the_one(database: Database, identifier: str) -> RequestRecord:
    with closing(Requests(database)) as requests:
        (record,) = (await requests.find(identifier)).requests
    return record


def moved(record: RequestRecord) -> list[tuple[str, int, str, int | None]]:
    return [(each.type, each.amount, each.request_id, each.origin_seq) for each in record.movements]


async def test_a_spend_is_told_with_the_refunds_of_it_in_parts(
    database: Database, admin: asyncpg.Connection, account: int
) -> None:
    await admin.execute(
        """SELECT FROM spend_credits(ARRAY[$1::bigint], ARRAY[30], ARRAY['order-7'],
               ARRAY[sha256('')], ARRAY['A report'], ARRAY['{"cart": "c"}'::json])""",
        account,
    )
    for number, amount in enumerate((5, 7)):
        await admin.execute(
            """SELECT FROM refund_spends(ARRAY[$1::bigint], ARRAY['order-7'], ARRAY[$2],
                   ARRAY[$3::int])""",
            account,
            f"back-{number}",
            amount,
        )

    record = await the_one(database, "order-7")

    assert (record.store_id, record.store_name) == (STORE, "Hats")
    assert moved(record) == [
        ("deduction", 30, "order-7", None),
        ("refund", 5, "back-0", 2),
        ("refund", 7, "back-1", 2),
    ]
    assert [each.metadata for each in record.spends] == [{"cart": "c"}]
    assert (record.movements[0].total_spent_after, record.movements[-1].total_spent_after) == (
        30,
        18,
    )
    part = await the_one(database, "back-1")
    assert moved(part) == [("deduction", 30, "order-7", None), ("refund", 7, "back-1", 2)]
    assert part.spends == []


async def test_a_hold_is_found_by_its_id_and_told_with_its_end(
    database: Database, admin: asyncpg.Connection, account: int
) -> None:
    await admin.execute(
        """SELECT FROM hold_credits(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY[20], ARRAY['video-1'],
               ARRAY[sha256('')], ARRAY[600], ARRAY['A film'], ARRAY[NULL::json])""",
        account,
        HOLD,
    )
    (held,) = (await the_one(database, str(HOLD))).movements
    assert (held.balance_after, held.held_after) == (80, 20)
    await admin.execute(
        "SELECT FROM end_holds(ARRAY[$1::bigint], ARRAY[$2::uuid], ARRAY['capture'], ARRAY[15])",
        account,
        HOLD,
    )

    record = await the_one(database, str(HOLD))

    assert (record.request_id, record.found_as) == ("video-1", (IdentifierKind.HOLD,))
    assert moved(record) == [
        ("hold", 20, "video-1", None),
        ("capture", 15, "video-1", 2),
        ("release", 5, "video-1", 2),
    ]
    assert [each.held_after for each in record.movements] == [20, 5, 0]
    (hold,) = record.holds
    assert (hold.status, hold.amount, hold.captured) == ("captured", 20, 15)
    assert hold.ended_at is not None


async def test_an_addition_is_told_with_what_the_operator_made_of_it(
    database: Database, admin: asyncpg.Connection, account: int
) -> None:
    await admin.execute(
        """SELECT add_to_account($1, 10, 'grant', 'gift-1', 'A gift', $2, p_actor => 'ann')""",
        account,
        datetime.now(UTC) + timedelta(days=1),
    )
    await admin.execute("SELECT set_grant_expiry($1, 2, NULL, 'They asked', 'bob')", account)
    await admin.execute("SELECT remove_from_account($1, 100, 'fix-1', 'Wrong', 'cyd')", account)

    record = await the_one(database, "gift-1")

    assert moved(record) == [("grant", 10, "gift-1", None), ("reissue", 10, "grant:2", 2)]
    assert [each.actor for each in record.movements] == ["ann", "bob"]
    (removal,) = (await the_one(database, "fix-1")).movements
    assert (removal.actor, removal.description) == ("cyd", "Wrong")
    assert removal.total_removed_after == 100
