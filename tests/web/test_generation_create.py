"""`POST /api/v1/generation/create`: what is taken, answered and replayed.

What is refused as bad input is in test_generation_create_input.py.
"""

from dataclasses import replace
from uuid import UUID

from storecredit.service import Service
from storecredit.settings import Settings
from tests.web.checklist import (
    assert_only_a_working_key_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.conftest import WorkerStarter, http_client
from tests.web.doors import CREATE, IMAGE, Operator, StoreClient, data_of, error_of
from tests.web.table_rows import Rows


async def test_a_generation_is_queued_for_one_credit(store: StoreClient, rows: Rows) -> None:
    answer = await store.create("order-1", prompt="a red hat", metadata={"cart": "c-1"})
    data = data_of(answer, 201)
    session_id = data.pop("session_id")
    assert UUID(session_id).version == 7
    assert data == {
        "status": "queued",
        "request_id": "order-1",
        "credits_charged": 1,
        "balance": 99,
    }
    assert answer.headers["x-request-id"] == "order-1"
    assert "idempotent-replayed" not in answer.headers

    assert await rows.ledger(store.store_id, "deduction") == [
        {
            "seq": 2,
            "type": "deduction",
            "amount": 1,
            "balance_after": 99,
            "request_id": "order-1",
            "session_id": session_id,
        }
    ]
    [job] = await rows.jobs()
    assert job["session_id"] == session_id
    assert job["request_id"] == "order-1"


async def test_its_address_is_told_and_leads_to_it(store: StoreClient) -> None:
    for status in (201, 200):  # made, and replayed
        answer = await store.create("order-1")
        session_id = data_of(answer, status)["session_id"]
        assert answer.headers["location"] == f"/api/v1/generation/{session_id}"
        assert (await store.generation(session_id))["request_id"] == "order-1"


async def test_its_address_is_the_public_one_where_that_is_set(
    service: Service, settings: Settings, store: StoreClient
) -> None:
    public = settings.model_copy(update={"public_url": "https://api.example/credits/"})
    parts = replace(service.parts, settings=public)
    async with http_client(replace(service, parts=parts)) as elsewhere:
        answer = await replace(store, http=elsewhere).create()
    assert answer.headers["location"].startswith("https://api.example/credits/api/v1/generation/")


async def test_a_request_without_an_id_is_given_one(store: StoreClient, rows: Rows) -> None:
    answer = await store.create()
    request_id = data_of(answer, 201)["request_id"]
    assert request_id.startswith("req_")
    UUID(request_id.removeprefix("req_"))
    assert answer.headers["x-request-id"] == request_id
    assert [row["request_id"] for row in await rows.ledger(store.store_id, "deduction")] == [
        request_id
    ]


async def test_everything_that_is_allowed_is_taken_at_its_largest(store: StoreClient) -> None:
    metadata = {f"{place:0500}": "v" * 500 for place in range(20)}
    answer = await store.create(
        image_urls=[IMAGE] * 9 + ["https://images.example/a.png"],
        prompt="p" * 4000,
        metadata=metadata,
    )
    session_id = data_of(answer, 201)["session_id"]
    assert (await store.generation(session_id))["metadata"] == metadata


async def test_any_text_is_kept_as_it_was_sent(store: StoreClient) -> None:
    texts = ("a\0b", "\N{FIRE}", "e\u0301", "'; DROP TABLE stores; --", "\r\n", "")
    for text in texts:
        session_id = await store.created(prompt=text, metadata={text: text})
        assert (await store.generation(session_id))["metadata"] == {text: text}
    assert await store.balance() == 100 - len(texts)


async def test_optional_fields_may_be_null(store: StoreClient) -> None:
    session_id = await store.created(prompt=None, metadata=None)
    assert (await store.generation(session_id))["metadata"] is None


async def test_a_replay_answers_as_the_first_time_and_takes_nothing(
    store: StoreClient, rows: Rows
) -> None:
    first = data_of(await store.create("order-1", metadata={"a": "1", "b": "2"}), 201)
    again = await store.create("order-1", metadata={"b": "2", "a": "1"})
    assert data_of(again) == first
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] == "order-1"
    assert len(await rows.ledger(store.store_id, "deduction")) == 1
    assert len(await rows.jobs()) == 1


async def test_a_replay_tells_the_status_that_the_session_has_now(
    store: StoreClient, worker: WorkerStarter
) -> None:
    session_id = await store.created("order-1")
    async with worker():
        await store.ended(session_id)
    data = data_of(await store.create("order-1"))
    assert data["session_id"] == session_id
    assert data["status"] == "completed"


async def test_a_request_id_of_another_request_is_a_conflict(
    store: StoreClient, rows: Rows
) -> None:
    content = {"prompt": "a hat", "metadata": {"cart": "c"}}
    await store.created("order-1", **content)
    before = await rows.counts()
    for other in (
        {"prompt": "another"},
        {"prompt": None},
        {"image_urls": [IMAGE, IMAGE]},
        {"metadata": {"cart": "another"}},
        {"metadata": None},
    ):
        answer = await store.create("order-1", **(content | other))
        error_of(answer, 422, "IDEMPOTENCY_CONFLICT")
    assert await rows.counts() == before
    assert await store.balance() == 99


async def test_two_stores_may_use_the_same_request_id(operator: Operator) -> None:
    one, other = await operator.store(), await operator.store()
    assert await one.created("order-1") != await other.created("order-1")
    assert (await one.balance(), await other.balance()) == (99, 99)


async def test_without_credits_it_is_refused_and_may_be_sent_again_after_a_purchase(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=0)
    before = await rows.counts()
    error = error_of(await store.create("order-1"), 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (0, 1)
    assert await rows.counts() == before

    purchase = {"amount": 5, "type": "purchase", "request_id": "invoice-1"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **purchase), 201)
    assert data_of(await store.create("order-1"), 201)["balance"] == 4


async def test_the_last_credit_can_be_spent_and_replayed(operator: Operator) -> None:
    store = await operator.store(credits=1)
    assert data_of(await store.create("order-1"), 201)["balance"] == 0
    assert data_of(await store.create("order-1"))["balance"] == 0
    error_of(await store.create("order-2"), 402, "INSUFFICIENT_CREDITS")


async def test_each_answer_says_how_many_credits_are_left(operator: Operator) -> None:
    store = await operator.store(credits=2)
    answers = [await store.create(f"order-{place}") for place in (1, 2, 2, 3)]
    assert [(answer.status_code, answer.headers["x-credits-remaining"]) for answer in answers] == [
        (201, "1"),
        (201, "0"),
        (200, "0"),
        (402, "0"),
    ]
    conflict = await store.create("order-1", prompt="another")
    error_of(conflict, 422, "IDEMPOTENCY_CONFLICT")
    assert "x-credits-remaining" not in conflict.headers, "nobody looked, so nobody knows"


async def test_where_credits_can_be_bought_is_told_as_the_operator_says(
    operator: Operator, settings: Settings, service: Service
) -> None:
    store = await operator.store(credits=0)
    error = error_of(await store.create(), 402, "INSUFFICIENT_CREDITS")
    assert "buy_url" not in error, "billing is off, and no page is named"

    shop = "https://shop.example/credits"
    named = replace(service.parts, settings=settings.model_copy(update={"buy_url": shop}))
    async with http_client(replace(service, parts=named)) as api:
        error = error_of(await replace(store, http=api).create(), 402, "INSUFFICIENT_CREDITS")
    assert error["buy_url"] == shop


async def test_only_a_working_key_is_let_in(operator: Operator) -> None:
    await assert_only_a_working_key_is_let_in(operator, "POST", CREATE)


async def test_other_methods_are_refused(store: StoreClient) -> None:
    await assert_other_methods_are_refused(store, CREATE, "POST")


async def test_creates_are_limited_apart_from_reads_and_cost_nothing_beyond(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(tier="tight")
    answer = await store.create()
    data_of(answer, 201)
    assert answer.headers["x-ratelimit-limit"] == "1"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    before = await rows.counts()
    answer = await store.create()
    error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert await rows.counts() == before
    assert await store.balance() == 99


async def test_a_trailing_slash_is_the_same_address_with_the_same_limit(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(tier="tight")
    body = {"image_urls": [IMAGE]}
    named = {"Idempotency-Key": "order-1"}
    answer = await store.send("POST", f"{CREATE}/", json=body, headers=named)
    assert data_of(answer, 201)["request_id"] == "order-1"
    answer = await store.send("POST", "/api/v1//generation/create", json=body, headers=named)
    error_of(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert len(await rows.ledger(store.store_id, "deduction")) == 1
