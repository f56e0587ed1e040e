"""`POST /api/v1/credits/spend/batch`: many spends in one transaction, each with its own outcome."""

import asyncio
import re
from typing import get_args

import asyncpg

from storecredit.web.resources.spend_forms import SpendAnswer
from tests.e2e.page_commands import Page
from tests.log_stream import LogStream
from tests.web.checklist import assert_only_a_working_key_is_let_in
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, StoreClient, data_of, error_of
from tests.web.holding import keyed
from tests.web.spends import BATCH, item, read, spend, spend_batch, spent
from tests.web.table_rows import ACCOUNT, Rows

pytestmark = ONE_LOOP


async def test_each_spend_has_its_own_outcome_in_the_order_sent(
    store: StoreClient, rows: Rows
) -> None:
    await store.created("generation-1")
    await spent(store, "before", 9, description="kept")
    answers = await spend_batch(
        store,
        item("one", 40, description="A", metadata={"a": "1"}),
        item("too much", 60),
        item("before", 9, description="kept"),
        item("before", 9),
        item("generation-1", 1),
        item("two", 50),
        item("three", 1),
    )
    assert [(each["request_id"], each["outcome"], each["balance"]) for each in answers] == [
        ("one", "spent", 50),
        ("too much", "insufficient", 50),
        ("before", "replayed", 50),
        ("before", "conflict", 50),
        ("generation-1", "conflict", 50),
        ("two", "spent", 0),
        ("three", "insufficient", 0),
    ]
    assert [each["amount"] for each in answers] == [40, 60, 9, 9, 1, 50, 1]
    told = [each["charged_as"] for each in answers]
    assert told == ["balance", None, "balance", None, None, "balance", None]
    taken = await rows.ledger(store.store_id, "deduction")
    assert [(row["request_id"], row["amount"]) for row in taken[2:]] == [("one", 40), ("two", 50)]
    assert (await read(store, "one"))["metadata"] == {"a": "1"}


async def test_the_batch_that_the_page_shows_is_one(store: StoreClient) -> None:
    [shown] = Page("docs/spending.md").blocks("json")
    answers = data_of(await store.send("POST", BATCH, content=shown))["items"]
    assert {each["outcome"] for each in answers} == {"spent"}
    head, *outcomes = re.findall(r"^\| `(\w+)` \|", Page("docs/spending.md").text, re.MULTILINE)
    assert head == "outcome"
    assert outcomes == list(get_args(SpendAnswer.__annotations__["outcome"].__origin__))


async def test_sent_again_as_a_whole_it_takes_what_it_could_not_and_no_more(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=5)
    items = [item("one", 3), item("two", 3), item("three", 2)]
    first = await spend_batch(store, *items)
    assert [each["outcome"] for each in first] == ["spent", "insufficient", "spent"]
    grant = {"amount": 3, "type": "grant", "request_id": "more"}
    data_of(await operator.post(f"/stores/{store.store_id}/credits", **grant), 201)
    again = await spend_batch(store, *items)
    assert [each["outcome"] for each in again] == ["replayed", "spent", "replayed"]
    assert await store.balance() == 0
    assert len(await rows.ledger(store.store_id, "deduction")) == 3


async def test_an_id_that_stands_twice_in_it_is_told_so(store: StoreClient) -> None:
    answers = await spend_batch(
        store,
        item("same", 10),
        item("same", 10),
        item("same", 11),
        item("same", 10, description="other"),
        item("dear", 1000),
        item("dear", 1),
        item("dear", 1000),
    )
    assert [each["outcome"] for each in answers] == [
        "spent",
        "replayed",
        "conflict",
        "conflict",
        "insufficient",
        "conflict",
        "insufficient",
    ]
    assert await store.balance() == 90


async def test_a_thousand_are_one_transaction_beside_which_others_are_served(
    operator: Operator, admin: asyncpg.Connection
) -> None:
    store, other = await operator.store(credits=1500), await operator.store()
    whole = [item(f"call-{place}", 1 + place % 2) for place in range(1000)]
    answers, *singles = await asyncio.gather(
        spend_batch(store, *whole),
        *(spend(other, f"other-{place}", 1) for place in range(20)),
        *(spend_batch(other, item(f"in-batch-{place}", 1)) for place in range(20)),
    )
    assert len(singles) == 40
    assert [each["request_id"] for each in answers] == [each["request_id"] for each in whole]
    assert {each["outcome"] for each in answers} == {"spent"}
    assert answers[-1]["balance"] == 0
    transactions = await admin.fetchval(
        f"""SELECT count(DISTINCT xmin::text) FROM movements
            WHERE account_id = {ACCOUNT} AND type = 'deduction'""",
        store.store_id,
    )
    assert transactions == 1
    assert await other.balance() == 60


async def test_batches_and_single_spends_race_for_the_same_credits(
    operator: Operator, rows: Rows
) -> None:
    store = await operator.store(credits=100)
    batches = [[item(f"call-{place}", 5) for place in range(n, n + 20)] for n in (0, 10, 20)]
    await asyncio.gather(
        *(spend_batch(store, *batch) for batch in batches),
        *(spend(store, f"call-{place}", 5) for place in range(40)),
    )
    taken = await rows.ledger(store.store_id, "deduction")
    assert len(taken) == len({row["request_id"] for row in taken}) == 20
    assert await store.balance() == 0


async def test_beyond_the_balance_they_are_overage(operator: Operator) -> None:
    store = await operator.store(credits=2)
    data_of(await operator.patch(f"/stores/{store.store_id}", overage_limit=3))
    answers = await spend_batch(store, item("a", 3), item("b", 2), item("c", 3), item("d", 1))
    assert [(each["outcome"], each["charged_as"]) for each in answers] == [
        ("insufficient", None),
        ("spent", "balance"),
        ("spent", "overage"),
        ("insufficient", None),
    ]


async def test_a_bad_item_is_named_by_its_place_and_nothing_is_spent(
    store: StoreClient, rows: Rows
) -> None:
    before = await rows.counts()
    good = item("good", 1)
    for items, keys in (
        ([], ["items"]),
        ([good] * 1001, ["items"]),
        ([good, item("", 1)], ["items[1].request_id"]),
        ([good, item("a\tb", 1), item(" a", 1)], ["items[1].request_id", "items[2].request_id"]),
        ([good, {"amount": 1}], ["items[1].request_id"]),
        ([good, item("a", 0)], ["items[1].amount"]),
        ([good, item("a", 1, description="d\0")], ["items[1].description"]),
        ([good, item("a", 1, metdata={})], ["items[1].metdata"]),
        ("items", ["items"]),
    ):
        answer = await store.send("POST", BATCH, json={"items": items})
        details = error_of(answer, 400, "VALIDATION_ERROR")["details"]
        assert [detail["key"] for detail in details] == keys
    answer = await store.send("POST", BATCH, json={"items": [good], "item": good})
    error_of(answer, 400, "VALIDATION_ERROR")
    assert await rows.counts() == before


async def test_it_counts_as_one_request_and_its_key_names_no_spend(
    operator: Operator, log: LogStream
) -> None:
    store = await operator.store(tier="tight")
    items = [item("one", 3), item("two", 4), item("three", 1000)]
    answer = await store.send("POST", BATCH, json={"items": items}, headers=keyed("batch-1"))
    assert answer.headers["x-request-id"] == "batch-1"
    assert answer.headers["x-credits-remaining"] == "93"
    limit, remaining = (answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining"))
    assert int(limit) - int(remaining) == 1
    [line] = [line for line in log.events("request") if line["route"] == BATCH]
    assert (line["request_id"], line["spends"], line["amount"]) == ("batch-1", 3, 7)
    assert (await spend_batch(store, item("batch-1", 1)))[0]["outcome"] == "spent"


async def test_only_a_working_key_is_let_in_by_post(operator: Operator, store: StoreClient) -> None:
    await assert_only_a_working_key_is_let_in(operator, "POST", BATCH)
    for method in ("PUT", "PATCH", "DELETE"):
        error_of(await store.send(method, BATCH), 405, "METHOD_NOT_ALLOWED")
    # What is read at this address is the spend of this name.
    error_of(await store.get(BATCH), 404, "NOT_FOUND")
    await spent(store, "batch", 1)
    assert (await read(store, "batch"))["amount"] == 1
