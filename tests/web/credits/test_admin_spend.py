"""`/api/admin/users/{user_id}/spend…`: end users' credits, spent by the operator's server."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import httpx

from storecredit.ledger.spending import BATCH_MAX
from storecredit.web.http.paths import encoded_request
from tests.web.checklist import (
    UNKNOWN,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, data_of, error_of
from tests.web.holding import keyed
from tests.web.spends import item, spend, spent
from tests.web.users import UserClient, result_of, user_of

pytestmark = ONE_LOOP


def spends_of(user: UserClient, spend_id: str | None = None, after: str = "") -> str:
    part = "" if spend_id is None else f"/{encoded_request(spend_id)}"
    return f"/users/{user.user_id}/spend{part}{after}"


async def spend_for(
    operator: Operator, user: UserClient, request_id: str, amount: int, **body: object
) -> httpx.Response:
    return await operator.send(
        "POST", spends_of(user), headers=keyed(request_id), json={"amount": amount} | body
    )


async def test_a_users_credits_are_spent_once_and_given_back_in_parts(
    operator: Operator, user: UserClient
) -> None:
    assert await user.balance() == 10
    answer = await spend_for(operator, user, "order/1", 7, description="Seven", metadata={"a": "b"})
    made = {"request_id": "order/1", "amount": 7, "balance": 3, "charged_as": "balance"}
    assert data_of(answer, 201) == made
    assert answer.headers["x-credits-remaining"] == "3"
    found = data_of(
        await operator.http.get(answer.headers["location"], headers=bearer(OPERATOR_TOKEN))
    )
    assert (found["amount"], found["metadata"], found["refundable"]) == (7, {"a": "b"}, 7)
    again = await spend_for(operator, user, "order/1", 7, description="Seven", metadata={"a": "b"})
    assert data_of(again, 200) == made
    assert again.headers["idempotent-replayed"] == "true"
    error_of(await spend_for(operator, user, "order/1", 7), 422, "IDEMPOTENCY_CONFLICT")
    path = spends_of(user, "order/1", "/refund")
    part = await operator.send("POST", path, headers=keyed("refund-1"), json={"amount": 3})
    assert data_of(part, 201) == {
        "request_id": "refund-1",
        "spend_request_id": "order/1",
        "amount": 3,
        "refundable": 4,
        "balance": 6,
    }
    data_of(await operator.send("POST", path, headers=keyed("refund-1"), json={"amount": 3}), 200)
    answer = await operator.send("POST", path, headers=keyed("refund-2"), json={"amount": 5})
    assert error_of(answer, 422, "REFUND_EXCEEDS_SPEND")["refundable"] == 4
    assert await user.balance() == 6
    newest = result_of(await user.query("credits.getTransactions"))[0]
    assert (newest["type"], newest["amount"]) == ("refund", 3)


async def test_many_are_spent_at_once_each_with_its_outcome(
    operator: Operator, user: UserClient
) -> None:
    assert await user.balance() == 10
    items = [item("one", 6), item("too much", 5), item("one", 6), item("two", 4)]
    path = spends_of(user, after="/batch")
    answer = await operator.send("POST", path, json={"items": items})
    assert [(each["outcome"], each["balance"]) for each in data_of(answer)["items"]] == [
        ("spent", 4),
        ("insufficient", 4),
        ("replayed", 4),
        ("spent", 0),
    ]
    assert answer.headers["x-credits-remaining"] == "0"
    movements = data_of(await operator.get(f"/users/{user.user_id}/transactions"))["items"]
    assert [(each["request_id"], each["actor"]) for each in movements[:2]] == [
        ("two", "admin"),
        ("one", "admin"),
    ]
    again = data_of(await operator.send("POST", path, json={"items": items}))["items"]
    assert [each["outcome"] for each in again] == [
        "replayed",
        "insufficient",
        "replayed",
        "replayed",
    ]
    # A spend of that name is another thing than the address.
    error_of(await operator.get(path), 404, "NOT_FOUND")
    too_many = [item(f"call-{place}", 1) for place in range(BATCH_MAX + 1)]
    answer = await operator.send("POST", path, json={"items": too_many})
    error_of(answer, 400, "VALIDATION_ERROR")


async def test_without_enough_credits_it_is_told_of_the_user(
    operator: Operator, user: UserClient
) -> None:
    await user.balance()
    answer = await spend_for(operator, user, "order-1", 11)
    error = error_of(answer, 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (10, 11)
    assert error["message"].startswith("The user does not have enough credits")
    answers = await asyncio.gather(
        *(spend_for(operator, user, f"call-{place}", 3) for place in range(50))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 3, 402: 47}
    assert await user.balance() == 1


async def test_a_store_of_the_same_id_and_other_users_are_apart(
    operator: Operator, store: StoreClient, api: httpx.AsyncClient
) -> None:
    namesake, other = user_of(api, UUID(store.store_id)), user_of(api)
    for user in (namesake, other):
        assert await user.balance() == 10
    await spent(store, "order-1", 50)
    error_of(await operator.get(spends_of(namesake, "order-1")), 404, "NOT_FOUND")
    data_of(await spend_for(operator, namesake, "order-1", 5), 201)
    refund = await operator.send("POST", spends_of(other, "order-1", "/refund"))
    error_of(refund, 404, "NOT_FOUND")
    assert (await store.balance(), await namesake.balance(), await other.balance()) == (50, 5, 10)
    assert data_of(await spend(store, "order-1", 50), 200)["balance"] == 50


async def test_who_is_blocked_can_be_charged_and_who_was_erased_only_given_back(
    operator: Operator, user: UserClient
) -> None:
    assert await user.balance() == 10
    data_of(await operator.post(f"/users/{user.user_id}/block"))
    answer = await spend_for(operator, user, "order-1", 7, metadata={"for": "Ada"})
    data_of(answer, 201)
    data_of(await operator.post(f"/users/{user.user_id}/erase"))
    error_of(await spend_for(operator, user, "order-2", 1), 409, "USER_ERASED")
    held = await operator.post(f"/users/{user.user_id}/holds", amount=1)
    error_of(held, 409, "USER_ERASED")
    batch = {"items": [item("order-3", 1)]}
    answer = await operator.send("POST", spends_of(user, after="/batch"), json=batch)
    error_of(answer, 409, "USER_ERASED")
    answer = await operator.send("POST", spends_of(user, "order-1", "/refund"))
    assert data_of(answer, 201)["balance"] == 10
    found = data_of(await operator.get(spends_of(user, "order-1")))
    assert (found["refunded"], found["metadata"]) == (7, None)


async def test_only_the_operator_spends_and_only_of_users_that_there_are(
    operator: Operator, user: UserClient
) -> None:
    for after in ("", "/order-1/refund"):
        path = f"/users/{UNKNOWN}/spend{after}"
        await assert_only_the_operator_is_let_in(operator, "POST", path)
        await assert_other_methods_are_refused(operator, path, "POST")
        answer = await operator.send("POST", path, json={"amount": 1})
        error_of(answer, 404, "NOT_FOUND")
    path = f"/users/{UNKNOWN}/spend/batch"
    await assert_only_the_operator_is_let_in(operator, "POST", path)
    answer = await operator.send("POST", path, json={"items": [item("order-1", 1)]})
    error_of(answer, 404, "NOT_FOUND")
    error_of(await operator.get(f"/users/{uuid4()}/spend/order-1"), 404, "NOT_FOUND")
    error_of(await operator.send("POST", "/users/none/spend", json={"amount": 1}), 404, "NOT_FOUND")
    await user.balance()
    for body in ({"amount": 0}, {}, {"amount": 1, "colour": "red"}):
        answer = await operator.send("POST", spends_of(user), json=body)
        error_of(answer, 400, "VALIDATION_ERROR")
    assert await user.balance() == 10
