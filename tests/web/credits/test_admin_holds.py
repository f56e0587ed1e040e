"""`/api/admin/users/{user_id}/holds…`: an end user's holds, made by the operator's own app."""

import asyncio
from collections import Counter
from uuid import uuid4

import asyncpg

from storecredit.service import Service
from tests.web.checklist import (
    UNKNOWN,
    assert_only_the_operator_is_let_in,
    assert_other_methods_are_refused,
)
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import Operator, data_of, error_of
from tests.web.users import UserClient, result_of

pytestmark = ONE_LOOP


async def test_a_users_credits_are_held_captured_and_released(
    operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    started_with = result_of(await user.query("credits.getBalance"))
    assert "held" not in started_with
    assert "expiring" not in started_with
    holds = f"/users/{user.user_id}/holds"
    keyed = {"Idempotency-Key": "film-1"}
    answers = await asyncio.gather(
        *(operator.send("POST", holds, headers=keyed, json={"amount": 4}) for _ in range(5))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 4, 201: 1}
    [made] = [data_of(answer, 201) for answer in answers if answer.status_code == 201]
    assert (made["balance"], made["request_id"]) == (6, "film-1")
    [answer] = [answer for answer in answers if answer.status_code == 201]
    one = f"{holds}/{made['hold_id']}"
    assert answer.headers["location"] == f"/api/admin{one}"
    assert result_of(await user.query("credits.getBalance"))["held"] == 4

    extended = await operator.post(f"{one}/extend", expires_in_seconds=900)
    assert data_of(extended)["status"] == "held"
    answer = await operator.post(f"{one}/capture", amount=5)
    error_of(answer, 422, "CAPTURE_EXCEEDS_HOLD")
    over = data_of(await operator.post(f"{one}/capture", amount=3))
    assert (over["captured"], over["released"], over["balance"]) == (3, 1, 7)
    error_of(await operator.send("POST", f"{one}/release"), 409, "HOLD_ENDED")
    assert data_of(await operator.get(one))["status"] == "captured"
    assert data_of(await operator.get(holds))["items"] == [data_of(await operator.get(one))]
    assert data_of(await operator.get(holds, status="held"))["items"] == []
    rows = await admin.fetch(
        """SELECT type, amount FROM movements JOIN accounts USING (account_id)
           WHERE owner_kind = 'user' AND owner_id = $1 ORDER BY seq""",
        user.user_id,
    )
    assert [tuple(row) for row in rows][1:] == [("hold", 4), ("capture", 3), ("release", 1)]


async def test_what_a_user_has_not_is_refused(operator: Operator, user: UserClient) -> None:
    result_of(await user.query("credits.getBalance"))
    answer = await operator.post(f"/users/{user.user_id}/holds", amount=11)
    error = error_of(answer, 402, "INSUFFICIENT_CREDITS")
    assert (error["balance"], error["required"]) == (10, 11)
    assert "user" in error["message"]
    assert "buy_url" not in error


async def test_a_user_or_hold_that_there_is_not_is_not_found(
    operator: Operator, user: UserClient, service: Service
) -> None:
    result_of(await user.query("credits.getBalance"))
    nobody, somebody = f"/users/{uuid4()}/holds", f"/users/{user.user_id}/holds"
    error_of(await operator.post(nobody, amount=1), 404, "NOT_FOUND")
    error_of(await operator.get(nobody), 404, "NOT_FOUND")
    for holds in (nobody, somebody):
        error_of(await operator.get(f"{holds}/{UNKNOWN}"), 404, "NOT_FOUND")
        for action in ("capture", "release"):
            answer = await operator.send("POST", f"{holds}/{UNKNOWN}/{action}")
            error_of(answer, 404, "NOT_FOUND")


async def test_doors_are_shut_to_others(operator: Operator) -> None:
    holds = f"/users/{UNKNOWN}/holds"
    await assert_only_the_operator_is_let_in(operator, "POST", holds)
    await assert_only_the_operator_is_let_in(operator, "GET", f"{holds}/{UNKNOWN}")
    await assert_other_methods_are_refused(operator, holds, "POST", "GET")
    for action in ("capture", "release", "extend"):
        await assert_only_the_operator_is_let_in(operator, "POST", f"{holds}/{UNKNOWN}/{action}")
        await assert_other_methods_are_refused(operator, f"{holds}/{UNKNOWN}/{action}", "POST")
