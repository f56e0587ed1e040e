"""`POST /api/admin/stores/{store_id}/credits` with an expiry, a kind and a priority."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storecredit.ledger import grants
from tests.passing_time import pass_time
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows

pytestmark = ONE_LOOP

MONTH = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
ADDITION: dict[str, Any] = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}


def credits_of(store: StoreClient) -> str:
    return f"/stores/{store.store_id}/credits"


async def test_credits_are_added_with_terms(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    terms = {"expires_at": MONTH.isoformat(), "kind": "promo", "priority": 7}
    answer = await operator.post(credits_of(store), **ADDITION, **terms)
    assert data_of(answer, 201)["balance"] == 110
    row = await rows.connection.fetchrow(
        "SELECT * FROM grants WHERE account_id = $1 AND seq = 2",
        await rows.account_id(store.store_id),
    )
    assert row is not None
    assert (row["expires_at"], row["kind"], row["priority"]) == (MONTH, "promo", 7)
    assert row["grace"] == timedelta(days=30)
    shown = data_of(await operator.get(f"/stores/{store.store_id}"))
    assert [each["amount"] for each in shown["expiring"]] == [10]
    assert (shown["held"], shown["total_expired"], shown["total_removed"]) == (0, 0, 0)


async def test_a_moment_may_have_any_offset_and_is_utc_without_one(
    operator: Operator, store: StoreClient
) -> None:
    for place, moment in enumerate(("2126-01-31T10:00:00Z", "2126-01-31T11:00:00+01:00"), 1):
        body = ADDITION | {"request_id": f"invoice-{place}", "expires_at": moment}
        data_of(await operator.post(credits_of(store), **body), 201)
    body = ADDITION | {"request_id": "invoice-3", "expires_at": "2126-01-31T10:00:00"}
    data_of(await operator.post(credits_of(store), **body), 201)
    told = data_of(await store.get("/api/v1/credits/balance"))
    assert told["expiring"] == [{"amount": 30, "expires_at": "2126-01-31T10:00:00Z"}]


async def test_the_same_request_adds_once_even_when_its_credits_have_expired(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    body = ADDITION | {"expires_at": soon.isoformat()}
    data_of(await operator.post(credits_of(store), **body), 201)
    hour = timedelta(hours=1)
    await pass_time(rows.connection, hour, await rows.account_id(store.store_id))
    over = body | {"expires_at": (soon - hour).isoformat()}
    answer = await operator.post(credits_of(store), **over)
    assert data_of(answer) == {"added": False, "balance": 100, "request_id": "invoice-1"}
    assert answer.headers["idempotent-replayed"] == "true"


async def test_other_terms_under_the_same_request_are_a_conflict(
    operator: Operator, store: StoreClient
) -> None:
    body = ADDITION | {"expires_at": MONTH.isoformat()}
    data_of(await operator.post(credits_of(store), **body), 201)
    later = (MONTH + timedelta(seconds=1)).isoformat()
    for other in ({"expires_at": None}, {"expires_at": later}, {"kind": "promo"}, {"priority": 1}):
        answer = await operator.post(credits_of(store), **(body | other))
        error_of(answer, 422, "IDEMPOTENCY_CONFLICT")
    same = body | {"kind": "paid", "priority": 100}
    assert data_of(await operator.post(credits_of(store), **same))["added"] is False


async def test_terms_that_cannot_be_are_refused_and_named(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    cannot_be: list[dict[str, Any]] = [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "tomorrow"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"kind": "gift"},
        {"priority": -1},
        {"priority": 1001},
        {"priority": "first"},
    ]
    for wrong in cannot_be:
        answer = await operator.post(credits_of(store), **(ADDITION | wrong))
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == next(iter(wrong)), wrong
    assert await rows.counts() == before
    assert await store.balance() == 100


async def test_only_so_many_grants_are_kept_apart(
    operator: Operator, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "LIVE_MAX", 2)
    one = ADDITION | {"amount": 1, "request_id": "one-more"}
    for number in range(2):
        body = one | {"request_id": f"invoice-{number}", "priority": number}
        data_of(await operator.post(credits_of(store), **body), 201)
    answer = await operator.post(credits_of(store), **(one | {"priority": 5}))
    assert "used up" in error_of(answer, 400, "VALIDATION_ERROR")["message"]
    again = one | {"request_id": "invoice-1", "priority": 1}
    assert data_of(await operator.post(credits_of(store), **again))["added"] is False
    data_of(await operator.post(credits_of(store), **(one | {"request_id": "plain"})), 201)
    await store.created()
    data_of(await operator.post(credits_of(store), **(one | {"priority": 5})), 201)
