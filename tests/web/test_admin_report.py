"""`GET /api/admin/report`: credits and money in a time, as JSON and as CSV."""

from datetime import UTC, datetime

import asyncpg
import pytest

from storecredit.operator import report
from tests.passing_time import well_within_a_day
from tests.web.checklist import (
    assert_bad_queries_are_refused,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of, error_of
from tests.web.table_rows import in_bucket_of
from tests.web.users import UserClient

pytestmark = pytest.mark.several_buckets

COLUMNS = (
    "sold,given,spent,refunded,overage,overage_returned,clawed_back,expired,removed,"
    "transferred_out,transferred_in,balance_change"
)


async def paid(admin: asyncpg.Connection, store: StoreClient, amount: int, currency: str) -> None:
    await in_bucket_of(admin, store.store_id)
    account_id = await admin.fetchval(
        "SELECT account_id FROM accounts WHERE owner_id = $1 AND owner_kind = 'store'",
        store.store_id,
    )
    await admin.execute(
        """INSERT INTO payments (provider, provider_transaction_id, account_id, paid_at,
               kind, credits, amount, currency, request_id)
           VALUES ('paddle', 'txn_' || $2, $1, now(), 'purchase', 1, $2::bigint, $3,
               'order ' || $2)""",
        account_id,
        str(amount),
        currency,
    )


async def test_a_report_tells_what_was_given_sold_and_spent(
    operator: Operator, store: StoreClient, user: UserClient, admin: asyncpg.Connection
) -> None:
    await well_within_a_day(admin)
    await store.created()
    await user.created()
    order = {"amount": 20, "type": "purchase", "request_id": "order-1"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **order), 201)
    await paid(admin, store, 1800, "USD")

    made = data_of(await operator.get("/report", by="day"))

    total = made["total"]
    assert (total["sold"], total["given"], total["spent"]) == (20, 110, 2)
    assert total["balance_change"] == 128
    assert total["money"] == [{"currency": "USD", "paid": 1800, "returned": 0, "net": 1800}]
    today = datetime.now(UTC).date().isoformat()
    [row] = [row for row in made["rows"] if row["day"] == today]
    assert {name: row[name] for name in total} == total
    assert (made["by"], made["truncated"]) == ("day", False)
    assert made["since"].endswith("T00:00:00Z")
    of_all = data_of(await operator.get("/report"))
    assert (of_all["total"], of_all["rows"], of_all["by"]) == (total, [], None)
    plan, users = data_of(await operator.get("/report", by="plan"))["rows"]
    assert (plan["plan"], plan["given"], plan["end_users"]) == ("unlimited", 100, False)
    assert (users["plan"], users["given"], users["end_users"]) == (None, 10, True)
    earlier = data_of(await operator.get("/report", since="2020-01-01", until="2020-01-31"))
    assert earlier["total"] == dict.fromkeys(total, 0) | {"money": []}
    assert (earlier["since"], earlier["until"]) == ("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z")


async def test_a_report_is_a_file_for_spreadsheets_too(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    store = await operator.store(name="=HYPERLINK()", credits=7)
    await user.created()
    await paid(admin, store, 500, "JPY")
    await paid(admin, store, 900, "EUR")
    headers = bearer(OPERATOR_TOKEN) | {"Accept": "text/csv"}
    answer = await operator.http.get("/api/admin/report?by=store", headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    money = "paid_EUR,returned_EUR,paid_JPY,returned_JPY"
    assert answer.text.split("\r\n") == [
        f"store_id,store_name,{COLUMNS},{money}",
        f"{store.store_id},'=HYPERLINK(),0,7,0,0,0,0,0,0,0,0,0,7,900,0,500,0",
        ",end users,0,10,1,0,0,0,0,0,0,0,0,9,0,0,0,0",
        "",
    ]
    total = await operator.http.get("/api/admin/report", headers=headers)
    assert total.text.split("\r\n") == [
        f"{COLUMNS},{money}",
        "0,17,1,0,0,0,0,0,0,0,0,16,900,0,500,0",
        "",
    ]


async def test_a_report_that_takes_too_long_is_given_up_and_says_where_it_may(
    operator: Operator, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(report.Reports.make, "__kwdefaults__", {"statement_seconds": 0.05})
        async with admin.transaction():
            await admin.execute("LOCK TABLE storecredit.movements IN ACCESS EXCLUSIVE MODE")
            told = error_of(await operator.get("/report"), 503, "SERVICE_UNAVAILABLE")
    assert "storecredit report" in told["message"]
    assert data_of(await operator.get("/report"))["rows"] == []


async def test_a_period_that_is_none_is_refused(operator: Operator) -> None:
    await assert_bad_queries_are_refused(
        operator, "/report", "since=yesterday", "since=0d", "until=7d", "by=tier", "limit=1"
    )
    for query in ("since=2026-02-01&until=2026-01-01", "since=2999-01-01"):
        answer = await operator.send("GET", f"/report?{query}")
        assert "not after" in error_of(answer, 400, "VALIDATION_ERROR")["message"]


async def test_only_the_operator_is_let_in_and_only_to_read(operator: Operator) -> None:
    await assert_only_the_operator_is_let_in(operator, "GET", "/report")
    await assert_other_methods_are_refused(operator, "/report", "GET")
