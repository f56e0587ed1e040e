"""`GET /api/admin/stores`: which stores, in which order, and how long their credits last."""

from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from storecredit.postgres.buckets import Buckets
from storecredit.postgres.pool import Database
from tests.web.checklist import assert_bad_queries_are_refused
from tests.web.doors import Operator, data_of, error_of
from tests.web.table_rows import in_bucket_of

pytestmark = pytest.mark.several_buckets


async def listed(operator: Operator, **query: Any) -> list[dict[str, Any]]:
    """All pages of a list, two stores each."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = data_of(await operator.get("/stores", limit=2, **query, **cursor))
        assert len(page["items"]) <= 2
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


async def names(operator: Operator, **query: Any) -> list[str]:
    return [item["name"] for item in await listed(operator, **query)]


async def add(operator: Operator, store_id: str, amount: int, request_id: str) -> None:
    body = {"amount": amount, "type": "grant", "request_id": request_id}
    data_of(await operator.post(f"/stores/{store_id}/credits", **body), 201)


async def fail(bucket: Database, session_ids: list[str]) -> None:
    """Give back what these generations had taken."""
    rows = await bucket.fetch(
        "SELECT account_id, session_id FROM sessions WHERE session_id = ANY ($1)", session_ids
    )
    count = len(rows)
    outcomes = await bucket.fetch(
        "SELECT (fail_generations($1, $2, $3, $4, $5)).outcome",
        [row["account_id"] for row in rows],
        [row["session_id"] for row in rows],
        ["GENERATION_FAILED"] * count,
        ["No."] * count,
        [None] * count,
    )
    assert [row["outcome"] for row in outcomes] == ["failed"] * len(session_ids)


async def test_each_order_goes_over_its_pages_without_a_gap_or_a_repetition(
    operator: Operator,
) -> None:
    for name, credits in (("b", 7), ("A", 7), ("ä\nö", 0), ("a", 7), ("C", 3), ("c", 900)):
        await operator.store(name=name, credits=credits)
    assert await names(operator) == ["c", "C", "a", "ä\nö", "A", "b"]
    assert await names(operator, sort="created") == await names(operator)
    by_name = await names(operator, sort="name")
    assert [name.lower() for name in by_name if name.isascii()] == ["a", "a", "b", "c", "c"]
    assert sorted(by_name) == sorted(await names(operator))
    by_balance = await listed(operator, sort="balance")
    assert [item["balance"] for item in by_balance] == [0, 3, 7, 7, 7, 900]
    ties = [item["store_id"] for item in by_balance[2:5]]
    assert ties == sorted(ties)


async def test_in_order_of_balance_nobody_comes_twice_or_is_left_out_while_credits_move(
    operator: Operator,
) -> None:
    stores = [await operator.store(credits=credits) for credits in (1, 2, 3, 4, 5)]
    ids = [store.store_id for store in stores]
    first = data_of(await operator.get("/stores", sort="balance", limit=2))
    # Who was shown goes to the end, who was not goes to the front; the last is richer by one.
    await add(operator, ids[0], 100, "rise")
    for _ in range(4):
        await stores[3].created()
    await add(operator, ids[4], 1, "rise")
    second = data_of(
        await operator.get("/stores", sort="balance", limit=2, cursor=first["next_cursor"])
    )
    third = data_of(
        await operator.get("/stores", sort="balance", limit=2, cursor=second["next_cursor"])
    )
    items = first["items"] + second["items"] + third["items"]
    assert [item["store_id"] for item in items] == ids
    assert [item["balance"] for item in items] == [1, 2, 3, 0, 6], "what they have now is shown"
    assert third["next_cursor"] is None
    afresh = [item["store_id"] for item in await listed(operator, sort="balance")]
    assert afresh == [ids[3], ids[1], ids[2], ids[4], ids[0]]


async def test_new_and_renamed_stores_disturb_no_page(operator: Operator) -> None:
    for name in ("a", "b", "c"):
        await operator.store(name=name)
    page = data_of(await operator.get("/stores", sort="name", limit=2))
    await operator.store(name="aa")
    data_of(await operator.patch(f"/stores/{page['items'][1]['store_id']}", name="bb"))
    rest = data_of(await operator.get("/stores", sort="name", limit=50, cursor=page["next_cursor"]))
    assert [item["name"] for item in rest["items"]] == ["bb", "c"], "it stands where it belongs now"


async def test_filters_leave_what_fits_all_of_them(operator: Operator) -> None:
    poor = await operator.store(name="Poor Hats", credits=3)
    for name, credits, tier in (("Rich hats", 50, "unlimited"), ("50% off_", 3, "tight")):
        await operator.store(name=name, credits=credits, tier=tier)
    data_of(await operator.patch(f"/stores/{poor.store_id}", status="suspended"))
    assert await names(operator, below=3) == []
    assert await names(operator, below=4) == ["50% off_", "Poor Hats"]
    assert await names(operator, below=2**63 - 1, sort="balance", tier="unlimited") == [
        "Poor Hats",
        "Rich hats",
    ]
    assert await names(operator, below=4, status="active") == ["50% off_"]
    assert await names(operator, status="suspended") == ["Poor Hats"]
    assert await names(operator, tier="tight") == ["50% off_"]
    assert await names(operator, tier="gone") == []
    assert await names(operator, search="HATS") == ["Rich hats", "Poor Hats"]
    for text in ("%", "_", "0% O"):
        assert await names(operator, search=text) == ["50% off_"], "no wildcards"
    assert len(await names(operator, search="shop.EXAMPLE")) == 3
    assert await names(operator, search=poor.store_id[:23].upper()) == ["Poor Hats"]
    assert await names(operator, search="nothing") == []


def made_up(*content: str) -> str:
    """A cursor of this JSON, after the id of an owner that there is not."""
    text = f'["balance", "{UUID(int=1)}", {", ".join(content)}'
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_no_cursor_that_somebody_made_up_breaks_a_list(operator: Operator) -> None:
    refused = [
        made_up("1", '"0001-01-01T00:00:00+14:00"]'),
        made_up("1", '"9999-12-31T23:59:59-14:00"]'),
        made_up("1", '"2026-01-01T00:00:00Z"', "[" * 1500),
    ]
    for path in ("/stores", "/users"):
        for cursor in refused:
            answer = await operator.get(path, sort="balance", cursor=cursor)
            error_of(answer, 400, "VALIDATION_ERROR")
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+05:30"):
        await operator.store()
        cursor = made_up("0", f'"{at}"]')
        data_of(await operator.get("/stores", sort="balance", cursor=cursor))


async def test_what_was_asked_wrongly_is_refused(operator: Operator) -> None:
    await assert_bad_queries_are_refused(
        operator,
        "/stores",
        *("below=-1", "below=few", f"below={2**63}", "sort=oldest", "sort=", "status=deleted"),
        *("tier=", f"tier={'t' * 51}", "search=", f"search={'s' * 254}", "search=%00"),
        *("cursor=garbage", "cursor=WyJuYW1lIl0", "cursor=%C3%A9", f"cursor={'c' * 2501}"),
        "order=name",
    )
    for _ in range(2):
        await operator.store()
    [by_name, by_balance, by_age] = [
        data_of(await operator.get("/stores", sort=sort, limit=1))["next_cursor"]
        for sort in ("name", "balance", "created")
    ]
    for sort, cursor in (("created", by_name), ("name", by_balance), ("balance", by_age)):
        answer = await operator.get("/stores", sort=sort, cursor=cursor)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert (detail["key"], detail["source"]) == ("cursor", "query")


async def test_days_left_are_counted_at_the_pace_of_the_last_seven_days(
    operator: Operator, admin: asyncpg.Connection, buckets: Buckets
) -> None:
    store = await operator.store(credits=100)
    resting = await operator.store(credits=100)

    async def days_left(store_id: str) -> float | None:
        items = data_of(await operator.get("/stores"))["items"]
        found: dict[str, float | None] = {item["store_id"]: item["days_left"] for item in items}
        return found[store_id]

    await in_bucket_of(admin, store.store_id)
    assert await days_left(store.store_id) is None
    earlier = [await store.created() for _ in range(20)]
    await admin.execute(
        "UPDATE movements SET created_at ="
        " (created_at AT TIME ZONE 'UTC' - interval '7 days 1 minute') AT TIME ZONE 'UTC'"
    )
    assert await days_left(store.store_id) is None, "what was spent earlier is no pace"
    sessions = [await store.created() for _ in range(7)]
    assert await days_left(store.store_id) == 73.0, "73 credits, one a day"
    # Two of them come back: 75 credits, five in seven days.
    bucket = await buckets.of_store(UUID(store.store_id))
    await fail(bucket, sessions[:2])
    assert await days_left(store.store_id) == 105.0
    assert await days_left(resting.store_id) is None
    # The other five come back, and some from before: more than was spent.
    await fail(bucket, sessions[2:] + earlier[:2])
    assert await days_left(store.store_id) is None
