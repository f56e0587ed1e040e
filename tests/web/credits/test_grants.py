"""`GET /api/v1/credits/grants`, and what the balance says of credits that expire."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from storecredit.ledger.credits import Cause
from storecredit.ledger.grants import Terms
from storecredit.ledger.outcomes import Addition, AdditionType
from storecredit.ledger.owners import Owner
from storecredit.service import Service
from tests.passing_time import pass_time
from tests.web.checklist import (
    UNKNOWN,
    assert_bad_queries_are_refused,
    assert_only_a_working_key_is_let_in,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
    assert_reads_are_limited,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import end, held
from tests.web.table_rows import Rows
from tests.web.users import UserClient, result_of

pytestmark = ONE_LOOP

GRANTS = "/api/v1/credits/grants"
BALANCE = "/api/v1/credits/balance"


def days_ahead(days: float) -> str:
    moment = datetime.now(UTC) + timedelta(days=days)
    return moment.isoformat().replace("+00:00", "Z")


async def added(operator: Operator, store: StoreClient, request_id: str, **terms: object) -> None:
    body = {"amount": 10, "type": "purchase", "request_id": request_id} | terms
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **body), 201)


async def later(rows: Rows, store: StoreClient, **time: float) -> None:
    await pass_time(rows.connection, timedelta(**time), await rows.account_id(store.store_id))


async def listed(store: StoreClient, **query: Any) -> list[tuple[str, int]]:
    """Each grant of a page that is the last one, by its request: and what is left of it."""
    page = data_of(await store.get(GRANTS, **query))
    assert page["next_cursor"] is None
    return [(each["request_id"], each["remaining"]) for each in page["items"]]


async def balance(store: StoreClient) -> dict[str, Any]:
    told: dict[str, Any] = data_of(await store.get(BALANCE))
    return told


async def test_grants_are_listed_in_the_order_in_which_they_are_spent(operator: Operator) -> None:
    store = await operator.store(credits=0)
    month, year = days_ahead(30), days_ahead(365)
    await added(operator, store, "old")
    await added(operator, store, "new")
    await added(operator, store, "promo", kind="promo")
    await added(operator, store, "year", expires_at=year)
    await added(operator, store, "month", expires_at=month, description="For a month")
    await added(operator, store, "month promo", expires_at=month, kind="promo")
    await added(operator, store, "first", priority=1)
    in_order = ["first", "month promo", "month", "year", "promo", "old", "new"]
    assert await listed(store) == [(name, 10) for name in in_order]
    month_grant = data_of(await store.get(GRANTS))["items"][2]
    assert datetime.fromisoformat(month_grant.pop("expires_at")) == datetime.fromisoformat(month)
    assert datetime.fromisoformat(month_grant.pop("created_at")).utcoffset() == timedelta()
    assert month_grant == {
        "grant_id": 5,
        "type": "purchase",
        "kind": "paid",
        "priority": 100,
        "amount": 10,
        "remaining": 10,
        "request_id": "month",
        "description": "For a month",
    }
    # Each is used up in its turn; what is held is no part of what remains.
    for _ in range(12):
        await store.created()
    hold_id = await held(store, 5)
    assert await listed(store) == [
        ("month promo", 3),
        ("month", 10),
        ("year", 10),
        ("promo", 10),
        ("old", 10),
        ("new", 10),
    ]
    data_of(await end(store, hold_id, "release"))
    assert (await listed(store))[0] == ("month promo", 8)


async def test_where_nothing_tells_them_apart_the_oldest_are_spent_first(
    operator: Operator,
) -> None:
    store = await operator.store(credits=0)
    assert await listed(store) == []
    await added(operator, store, "old", amount=2)
    await added(operator, store, "new", amount=2)
    await store.created()
    assert await listed(store) == [("old", 1), ("new", 2)]
    for _ in range(2):
        await store.created()
    assert await listed(store) == [("new", 1)]


async def test_a_long_list_comes_in_pages_even_where_the_last_of_one_is_used_up_meanwhile(
    operator: Operator,
) -> None:
    store = await operator.store(credits=0)
    for number in range(5):
        await added(operator, store, f"grant {number}", amount=1, priority=number)
    page = data_of(await store.get(GRANTS, limit=2))
    assert [each["request_id"] for each in page["items"]] == ["grant 0", "grant 1"]
    for _ in range(2):
        await store.created()
    rest = data_of(await store.get(GRANTS, limit=2, cursor=page["next_cursor"]))
    assert [each["request_id"] for each in rest["items"]] == ["grant 2", "grant 3"]
    assert await listed(store, limit=2, cursor=rest["next_cursor"]) == [("grant 4", 1)]
    assert await listed(store, cursor="999999") == []


async def test_the_balance_tells_what_will_expire_and_when(operator: Operator, rows: Rows) -> None:
    store = await operator.store(credits=0)
    month, year = days_ahead(30), days_ahead(365)
    await added(operator, store, "1", expires_at=year)
    await added(operator, store, "2", expires_at=month)
    await added(operator, store, "3", expires_at=month, priority=1)
    await added(operator, store, "4")
    await store.created()
    told = await balance(store)
    assert [(each["amount"], each["expires_at"][:19]) for each in told.pop("expiring")] == [
        (19, month[:19]),
        (10, year[:19]),
    ]
    assert told == {"balance": 39, "total_purchased": 40, "total_spent": 1}
    await later(rows, store, days=30)
    before = await rows.counts()
    told = await balance(store)
    [left] = told.pop("expiring")
    assert left["amount"] == 10
    once_expired = {"balance": 20, "total_purchased": 40, "total_spent": 1, "total_expired": 19}
    assert told == once_expired
    ledger = await store.get("/api/v1/credits/transactions")
    assert ledger.headers["x-credits-remaining"] == "20"
    assert await listed(store) == [("1", 10), ("4", 10)]
    assert await rows.counts() == before, "reading writes nothing"
    # The first who moves credits writes it, and that changes nothing that was told.
    await store.created()
    assert await balance(store) == once_expired | {
        "balance": 19,
        "total_spent": 2,
        "expiring": [left | {"amount": 9}],
    }
    expiries = await rows.ledger(store.store_id, "expiry")
    assert sorted(row["amount"] for row in expiries) == [9, 10]


async def test_what_has_expired_cannot_be_spent_from_its_moment_on(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await added(operator, store, "day", amount=1, expires_at=days_ahead(1))
    await later(rows, store, hours=23, minutes=59)
    assert (await balance(store))["balance"] == 1
    await later(rows, store, minutes=2)
    error = error_of(await store.create("order-1"), 402, "INSUFFICIENT_CREDITS")
    assert error["balance"] == 0
    assert await balance(store) == {
        "balance": 0,
        "total_purchased": 1,
        "total_spent": 0,
        "total_expired": 1,
    }


async def test_credits_that_come_back_after_their_expiry_live_on_for_the_grace_time(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await added(operator, store, "day", expires_at=days_ahead(1))
    hold_id = await held(store, 10, expires_in_seconds=3 * 24 * 3600)
    await later(rows, store, days=2)
    assert (await balance(store))["held"] == 10
    data_of(await end(store, hold_id, "capture", amount=4))
    told = await balance(store)
    [back] = told["expiring"]
    assert (told["balance"], back["amount"]) == (6, 6)
    ahead = datetime.fromisoformat(back["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < ahead <= timedelta(days=30)


async def test_of_a_hold_that_ended_unseen_after_its_grant_the_balance_tells_the_grace_too(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    await added(operator, store, "day", expires_at=days_ahead(1))
    await held(store, 10, expires_in_seconds=2 * 24 * 3600)
    await later(rows, store, days=2)
    told = await balance(store)
    assert (told["balance"], [each["amount"] for each in told["expiring"]]) == (10, [10])
    assert [left for _, left in await listed(store)] == [10]


async def test_queries_that_cannot_be_are_refused(store: StoreClient) -> None:
    await assert_bad_queries_are_refused(
        store, GRANTS, "limit=0", "limit=101", "cursor=first", "kind=promo"
    )


async def test_doors_are_shut_to_others(operator: Operator, store: StoreClient) -> None:
    await assert_only_a_working_key_is_let_in(operator, "GET", GRANTS)
    await assert_other_methods_are_refused(store, GRANTS, "GET")
    await assert_reads_are_limited(operator, GRANTS)
    other = await operator.store(credits=0)
    assert await listed(other) == []


async def test_the_operator_reads_the_grants_of_stores_and_users(
    operator: Operator, user: UserClient
) -> None:
    store = await operator.store(credits=0)
    await added(operator, store, "old")
    await added(operator, store, "first", priority=1)
    of_store = f"/stores/{store.store_id}/grants"
    assert data_of(await operator.get(of_store)) == data_of(await store.get(GRANTS))
    page = data_of(await operator.get(of_store, limit=1))
    assert [each["request_id"] for each in page["items"]] == ["first"]
    rest = data_of(await operator.get(of_store, cursor=page["next_cursor"]))
    assert [each["request_id"] for each in rest["items"]] == ["old"]
    result_of(await user.query("credits.getBalance"))
    of_user = f"/users/{user.user_id}/grants"
    [bonus] = data_of(await operator.get(of_user))["items"]
    assert (bonus["type"], bonus["kind"], bonus["remaining"]) == ("signup_bonus", "promo", 10)
    for nobody in (f"/stores/{UNKNOWN}/grants", f"/users/{UNKNOWN}/grants"):
        error_of(await operator.get(nobody), 404, "NOT_FOUND")
    for path in (of_store, of_user):
        await assert_only_the_operator_is_let_in(operator, "GET", path)
        await assert_other_methods_are_refused(operator, path, "GET")


async def test_of_many_that_spend_the_last_credits_of_three_grants_as_many_are_served(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    for name, amount in (("1", 3), ("2", 2), ("3", 2)):
        await added(operator, store, name, amount=amount, expires_at=days_ahead(int(name)))
    answers = await asyncio.gather(*(store.create() for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 7, 402: 43}
    assert await listed(store) == []
    taken = await rows.connection.fetch(
        """SELECT grants_after FROM movements WHERE account_id = $1 AND type = 'deduction'
           ORDER BY seq""",
        await rows.account_id(store.store_id),
    )
    assert [row["grants_after"] for row in taken] == [
        [1, 2, 2, 2, 3, 2],
        [1, 1, 2, 2, 3, 2],
        [2, 2, 3, 2],
        [2, 1, 3, 2],
        [3, 2],
        [3, 1],
        [],
    ]


async def test_a_users_app_is_told_what_will_expire_as_a_date(
    operator: Operator, user: UserClient, rows: Rows, service: Service
) -> None:
    result_of(await user.query("credits.getBalance"))
    month = datetime.now(UTC) + timedelta(days=30)
    terms = Terms(expires_at=month)
    outcome = await service.parts.credits.add(
        Owner.user(user.user_id), 5, AdditionType.GRANT, Cause("a month"), terms
    )
    assert outcome is Addition.ADDED
    told = result_of(await user.query("credits.getBalance"))
    [expiring] = told["expiring"]
    assert (told["balance"], expiring["amount"]) == (15, 5)
    assert abs(expiring["expires_at"] - month) < timedelta(milliseconds=1)
