"""`/api/admin/users`: found, read and helped; blocked in test_blocked_users.py."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.web.checklist import (
    UNKNOWN,
    assert_bad_queries_are_refused,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import of_all_buckets
from tests.web.users import UserClient, user_of

VIEW = {
    "user_id",
    "status",
    "balance",
    "total_purchased",
    "total_spent",
    "total_clawed_back",
    "total_expired",
    "total_removed",
    "held",
    "expiring",
    "created_at",
    "blocked_at",
    "erased_at",
}
PATHS = {
    "": ("GET",),
    "/transactions": ("GET",),
    "/generations": ("GET",),
    "/credits": ("POST",),
    "/block": ("POST",),
    "/unblock": ("POST",),
    "/erase": ("POST",),
}
GRANT = {"amount": 5, "type": "grant", "request_id": "sorry-1"}


async def test_a_user_is_read_with_credits_ledger_and_generations(
    operator: Operator, user: UserClient
) -> None:
    session_id = await user.created("look-1")
    other = user_of(user.http)
    await other.created("look-1")
    path = f"/users/{user.user_id}"
    data = data_of(await operator.get(path))
    assert set(data) == VIEW
    assert (data["user_id"], data["status"]) == (str(user.user_id), "active")
    assert (data["balance"], data["total_purchased"], data["total_spent"]) == (9, 10, 1)
    assert data["created_at"].endswith("Z")

    page = data_of(await operator.get(f"{path}/transactions", limit=1))
    [newest] = page["items"]
    assert (newest["type"], newest["request_id"], newest["session_id"]) == (
        "deduction",
        "look-1",
        session_id,
    )
    rest = data_of(await operator.get(f"{path}/transactions", cursor=page["next_cursor"]))
    assert [(each["seq"], each["type"]) for each in rest["items"]] == [(1, "signup_bonus")]
    bonus = await operator.get(f"{path}/transactions", type_="signup_bonus")
    assert data_of(bonus)["items"] == rest["items"]
    file = await operator.send(
        "GET", f"/users/{user.user_id}/transactions", headers={"Accept": "text/csv"}
    )
    lines = file.text.splitlines()
    assert lines[0] == ",".join(newest)
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["2", "deduction"],
        ["1", "signup_bonus"],
    ]

    [generation] = data_of(await operator.get(f"{path}/generations", status="queued"))["items"]
    assert (generation["session_id"], generation["generator_message"]) == (session_id, None)
    by_request = await operator.get(f"{path}/generations", request_id="look-2")
    assert data_of(by_request)["items"] == []


async def test_users_are_listed_in_both_orders_in_pages_and_by_filters(
    operator: Operator, user: UserClient, store: StoreClient
) -> None:
    assert data_of(await operator.get("/users"))["items"] == []
    users = [user, *(user_of(user.http) for _ in range(3))]
    for spent, each in enumerate((users[1], users[3], users[2], users[0])):
        for _ in range(spent + 1):
            await each.created()

    async def listed(**query: Any) -> list[UUID]:
        found: list[UUID] = []
        page: dict[str, Any] = {"next_cursor": None}
        while not found or page["next_cursor"]:
            more = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = data_of(await operator.get("/users", limit=3, **query, **more))
            if not page["items"]:
                break
            assert all(set(item) == VIEW for item in page["items"])
            found += [UUID(item["user_id"]) for item in page["items"]]
        return found

    ids = [each.user_id for each in users]
    newest_first = [ids[0], ids[2], ids[3], ids[1]]
    assert await listed() == newest_first
    assert await listed(sort="balance") == newest_first
    assert await listed(below=8) == [ids[0], ids[2]]
    assert await listed(search=str(ids[2])[:13]) == [ids[2]]
    assert await listed(search=store.store_id) == [], "a store is no user"
    assert await listed(status="blocked") == []
    data_of(await operator.post(f"/users/{ids[1]}/block"))
    data_of(await operator.post(f"/users/{ids[2]}/erase"))
    assert await listed(status="blocked") == [ids[1]]
    assert await listed(status="erased") == [ids[2]]
    assert await listed(status="active", sort="balance") == [ids[0], ids[3]]
    await assert_bad_queries_are_refused(
        operator,
        "/users",
        *("below=-1", "sort=name", "status=suspended", "tier=default", "limit=0", "cursor=garbage"),
    )
    # A cursor of a list of stores in order of name is none of users.
    for _ in range(2):
        await operator.store()
    cursor = data_of(await operator.get("/stores", sort="name", limit=1))["next_cursor"]
    for sort in ("balance", "created"):
        error_of(await operator.get("/users", sort=sort, cursor=cursor), 400, "VALIDATION_ERROR")


async def test_credits_are_added_to_a_user_once_per_request(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    assert await user.balance() == 10
    path = f"/users/{user.user_id}/credits"
    added = data_of(await operator.post(path, **GRANT, description="for the trouble"), 201)
    assert added == {"added": True, "balance": 15, "request_id": "sorry-1"}
    again = await operator.post(path, **GRANT)
    assert data_of(again)["added"] is False
    assert again.headers["idempotent-replayed"] == "true"
    error_of(await operator.post(path, **(GRANT | {"amount": 6})), 422, "IDEMPOTENCY_CONFLICT")
    for change in ({"type": "subscription"}, {"type": "signup_bonus"}, {"amount": 0}):
        refused = await operator.post(path, **(GRANT | {"request_id": "other"} | change))
        [detail] = error_of(refused, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == next(iter(change))
    error_of(await operator.post(f"/users/{uuid4()}/credits", **GRANT), 404, "NOT_FOUND")
    assert await user.balance() == 15
    rows = await of_all_buckets(
        admin, "SELECT type, amount, description FROM movements ORDER BY seq"
    )
    assert [tuple(row) for row in rows] == [
        ("signup_bonus", 10, "Starter credits"),
        ("grant", 5, "for the trouble"),
    ]


async def test_a_store_of_the_same_id_is_another_owner(operator: Operator) -> None:
    store = await operator.store()
    for part, methods in PATHS.items():
        for method in methods:
            body = GRANT if part == "/credits" else None
            answer = await operator.send(method, f"/users/{store.store_id}{part}", json=body)
            error_of(answer, 404, "NOT_FOUND")
    twin = user_of(operator.http, UUID(store.store_id))
    assert await twin.balance() == 10
    data_of(await operator.post(f"/users/{twin.user_id}/erase"))
    assert (await store.create()).status_code == 201
    assert await store.balance() == 99


async def test_who_is_unknown_is_not_found_and_no_other_method_is_served(
    operator: Operator,
) -> None:
    await assert_only_the_operator_is_let_in(operator, "GET", "/users")
    await assert_other_methods_are_refused(operator, "/users", "GET")
    for part, methods in PATHS.items():
        path = f"/users/{UNKNOWN}{part}"
        await assert_only_the_operator_is_let_in(operator, methods[0], path)
        await assert_other_methods_are_refused(operator, path, *methods)
        for unknown in (path, f"/users/7{part}", f"/users/%00{part}"):
            body = GRANT if part == "/credits" else None
            error_of(await operator.send(methods[0], unknown, json=body), 404, "NOT_FOUND")
