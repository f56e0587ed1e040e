"""`POST /api/admin/stores/{store_id}/credits`."""

import asyncio

from tests.web.checklist import (
    UNKNOWN,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows


def credits_of(store: StoreClient) -> str:
    return f"/stores/{store.store_id}/credits"


async def test_credits_are_added_with_the_request_that_caused_it(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    for place, type_ in enumerate(("purchase", "subscription", "grant"), start=1):
        answer = await operator.post(
            credits_of(store),
            amount=10,
            type=type_,
            request_id=f"invoice-{place}",
            description="Ten credits",
        )
        assert data_of(answer, 201) == {
            "added": True,
            "balance": 100 + 10 * place,
            "request_id": f"invoice-{place}",
        }
        movement = (await rows.ledger(store.store_id))[-1]
        assert movement == {
            "seq": place + 1,
            "type": type_,
            "amount": 10,
            "balance_after": 100 + 10 * place,
            "request_id": f"invoice-{place}",
            "session_id": None,
        }
    newest = data_of(await store.get("/api/v1/credits/transactions"))["items"][0]
    assert newest["description"] == "Ten credits"
    assert (await rows.credits(store.store_id))["total_purchased"] == 130


async def test_the_same_request_adds_once_however_often_it_is_sent(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    purchase = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}
    answers = await asyncio.gather(
        *(operator.post(credits_of(store), **purchase) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    told = [data_of(answer, answer.status_code) for answer in answers]
    assert sorted(data["added"] for data in told) == [False] * 19 + [True]
    for answer in answers:
        replayed = answer.headers.get("idempotent-replayed")
        assert replayed == ("true" if answer.status_code == 200 else None)
    assert {data["balance"] for data in told} == {110}
    assert len(await rows.ledger(store.store_id, "purchase")) == 1


async def test_a_request_id_that_added_something_else_is_a_conflict(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    purchase = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}
    data_of(await operator.post(credits_of(store), **purchase), 201)
    before = await rows.counts()
    for other in ({"amount": 11}, {"type": "grant"}):
        answer = await operator.post(credits_of(store), **(purchase | other))
        error_of(answer, 422, "IDEMPOTENCY_CONFLICT")
    assert await rows.counts() == before
    assert await store.balance() == 110


async def test_what_cannot_be_added_is_refused_and_named(
    operator: Operator, store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    valid = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}
    for change in (
        {"amount": 0},
        {"amount": -5},
        {"amount": 10**9 + 1},
        {"amount": 10**30},
        {"amount": 1.5},
        {"amount": "ten"},
        {"amount": True},
        {"amount": None},
        {"type": "deduction"},
        {"type": "refund"},
        {"type": "gift"},
        {"request_id": ""},
        {"request_id": "r" * 201},
        {"request_id": "a\0b"},
        {"request_id": "line\nbreak"},
        {"request_id": "größe"},
        {"request_id": 7},
        {"description": "d" * 501},
        {"description": "a\0b"},
    ):
        answer = await operator.post(credits_of(store), **(valid | change))
        assert answer.status_code == 400, f"{change}: {answer.text}"
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert detail["key"] == next(iter(change)), change
    for missing in valid:
        rest = {name: value for name, value in valid.items() if name != missing}
        answer = await operator.post(credits_of(store), **rest)
        [detail] = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert missing in detail["message"]
    assert await rows.counts() == before
    assert await store.balance() == 100


async def test_a_balance_never_exceeds_what_is_counted_in(
    operator: Operator, store: StoreClient
) -> None:
    largest = {"amount": 10**9, "type": "purchase"}
    for request_id in ("invoice-1", "invoice-2"):
        data_of(await operator.post(credits_of(store), **largest, request_id=request_id), 201)
    assert await store.balance() == 2 * 10**9 + 100


async def test_a_store_that_does_not_exist_is_not_found(operator: Operator, rows: Rows) -> None:
    before = await rows.counts()
    purchase = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}
    error_of(await operator.post(f"/stores/{UNKNOWN}/credits", **purchase), 404, "NOT_FOUND")
    assert await rows.counts() == before


async def test_a_suspended_store_can_be_credited(operator: Operator, store: StoreClient) -> None:
    data_of(await operator.patch(f"/stores/{store.store_id}", status="suspended"))
    purchase = {"amount": 10, "type": "purchase", "request_id": "invoice-1"}
    assert data_of(await operator.post(credits_of(store), **purchase), 201)["balance"] == 110


async def test_only_the_operator_is_let_in(operator: Operator, store: StoreClient) -> None:
    await assert_only_the_operator_is_let_in(operator, "POST", credits_of(store))


async def test_other_methods_are_refused(operator: Operator, store: StoreClient) -> None:
    await assert_other_methods_are_refused(operator, credits_of(store), "POST")
