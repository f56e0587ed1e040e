"""What fails is tried again, under the same id and in the same form, until it is given up."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from stand_ins.http_server import Answer, Received, stand_in
from storecredit.ledger.owners import Account
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.deliveries import LEASE
from storecredit.webhooks.schedule import (
    FIRST_WAIT_SECONDS,
    JITTER,
    RETRIES_MAX,
    WAIT_MAX_SECONDS,
)
from tests.passing_time import pass_delivery_time
from tests.webhooks.conftest import Deliverers
from tests.webhooks.endpoints import (
    OPERATOR,
    State,
    add_credits,
    add_endpoint,
    attempts,
    endpoint_row,
    states,
    verified,
)

WAIT_MAX = timedelta(seconds=WAIT_MAX_SECONDS * (1 + JITTER))
FIRST_WAIT_MAX = timedelta(seconds=6)
FIVE_DAYS = timedelta(days=5)


class Script:
    """Answers in turn; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def __call__(self, _request: Received) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_what_fails_is_sent_again_with_the_same_id_and_body_and_signed_anew(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    async with stand_in(Script(Answer(500, b"no"), Answer(200, b"yes"))) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, 10)
        assert await deliverer.deliver_due() == 1
        assert await states(admin, endpoint) == [State("pending", 1, 1)]
        assert (await endpoint_row(admin, endpoint))["failing_since"] is not None
        wait = await admin.fetchval(
            """SELECT next_attempt_at - attempted_at FROM storecredit.deliveries
               JOIN storecredit.delivery_attempts USING (endpoint_id, seq)"""
        )
        assert timedelta(seconds=FIRST_WAIT_SECONDS) <= wait
        await pass_delivery_time(admin, FIRST_WAIT_MAX)
        assert await deliverer.deliver_due() == 1
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for request in (first, second):
        verified(request, endpoint)
    assert await states(admin, endpoint) == [State("delivered", 2, 1)]
    made = await attempts(admin, endpoint)
    kept = [(each["attempt"], each["status_code"], each["answer"]) for each in made]
    assert kept == [(1, 500, "no"), (2, 200, "yes")]
    assert (await endpoint_row(admin, endpoint))["failing_since"] is None


async def test_a_receiver_is_not_asked_before_it_wants_to_be(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    answer = Answer(429, headers={"Retry-After": "3600"})
    async with stand_in(Script(answer, Answer(200))) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, 10)
        await deliverer.deliver_due()
        await pass_delivery_time(admin, timedelta(minutes=59))
        assert await deliverer.deliver_due() == 0
        await pass_delivery_time(admin, timedelta(minutes=14))
        assert await deliverer.deliver_due() == 1
    assert await states(admin, endpoint) == [State("delivered", 2, 1)]


async def test_what_fails_for_three_days_is_given_up_and_others_go_on(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    def answer(request: Received) -> Answer:
        return Answer(500 if b'"amount":13,' in request.body else 200)

    async with stand_in(answer) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        await add_credits(admin, store, 12, 13, 14)
        rounds = 0
        while (await states(admin, endpoint))[1].status == "pending":
            await deliverer.deliver_due()
            await pass_delivery_time(admin, WAIT_MAX)
            # The others still go through: it is not the endpoint that fails.
            rounds += 1
            await add_credits(admin, store, 100 + rounds)
    made = await states(admin, endpoint)
    assert made[1] == State("failed", RETRIES_MAX + 1, RETRIES_MAX + 1)
    assert {state.status for state in [made[0], *made[2:-1]]} == {"delivered"}
    assert (await endpoint_row(admin, endpoint))["status"] == "enabled"


async def test_a_receiver_that_is_gone_is_disabled_and_the_others_are_told(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    async with stand_in(Answer(410)) as gone, stand_in(Answer()) as own, stand_in(Answer()) as ours:
        others = (own, ours)
        endpoint = await add_endpoint(admin, store.id, gone.url(), ["credits.added"])
        told = [
            await add_endpoint(admin, account_id, other.url(), ["endpoint.disabled"])
            for account_id, other in zip((store.id, OPERATOR), others, strict=True)
        ]
        await add_credits(admin, store, 10, 20)
        await deliverer.deliver_due()
        await deliverer.tidy()
        await add_credits(admin, store, 30)
        assert await deliverer.deliver_due() == 0
    row = await endpoint_row(admin, endpoint)
    assert (row["status"], row["disabled_reason"]) == ("disabled", "gone")
    assert {state.status for state in await states(admin, endpoint)} == {"failed"}
    assert len(gone.received) <= 2
    for endpoint_told, receiver in zip(told, others, strict=True):
        [request] = receiver.received
        assert verified(request, endpoint_told)["data"] == {
            "store_id": str(store.owner.id),
            "endpoint_id": str(endpoint.id),
            "reason": "gone",
        }


@pytest.mark.parametrize("is_ordered", [False, True])
async def test_an_endpoint_that_fails_for_five_days_is_disabled(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account, is_ordered: bool
) -> None:
    async with stand_in(Answer(500)) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url(), is_ordered=is_ordered)
        await add_credits(admin, store, 10)
        await deliverer.deliver_due()
        await pass_delivery_time(admin, FIVE_DAYS - timedelta(minutes=1))
        await deliverer.deliver_due()
        assert (await endpoint_row(admin, endpoint))["status"] == "enabled"
        await pass_delivery_time(admin, timedelta(minutes=2))
        await deliverer.deliver_due()
        row = await endpoint_row(admin, endpoint)
        assert (row["status"], row["disabled_reason"]) == ("disabled", "failing")
        assert await states(admin, endpoint) == [State("pending", 3, 3)]
        await deliverer.tidy()
    assert await states(admin, endpoint) == [State("failed", 3, 3)]
    assert await admin.fetchval("SELECT count(*) FROM storecredit.events") == 1, "nobody listens"


async def test_one_failure_long_after_the_last_attempt_disables_no_endpoint(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    """It was told nothing meanwhile, so nobody knows that it has failed all the while."""
    async with stand_in(Answer(500)) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url(), ["credits.added"])
        await add_credits(admin, store, 10)
        await deliverer.deliver_due()
        await admin.execute(
            """UPDATE storecredit.deliveries
               SET status = 'failed', ended_at = now(), next_attempt_at = NULL"""
        )
        await pass_delivery_time(admin, timedelta(days=20))
        await add_credits(admin, store, 20)
        await deliverer.deliver_due()
        row = await endpoint_row(admin, endpoint)
        assert row["status"] == "enabled"
        assert row["failing_since"] > datetime.now(UTC) - timedelta(days=1)
        await pass_delivery_time(admin, timedelta(hours=14))
        await deliverer.deliver_due()
        assert (await endpoint_row(admin, endpoint))["failing_since"] < row["failing_since"]
        assert len(receiver.received) == 3


async def test_what_a_dead_process_had_taken_is_sent_once_its_lease_is_over(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    asked = asyncio.Event()

    def hang(_request: Received) -> Answer:
        asked.set()
        return Answer(hang=True, length=10)

    async with stand_in(hang) as mute, stand_in(Answer()) as receiver:
        endpoint = await add_endpoint(admin, store.id, mute.url())
        await add_credits(admin, store, 10)
        dying, living = await deliverers.open(), await deliverers.open()
        sending = asyncio.create_task(dying.deliver_due())
        await asked.wait()
        sending.cancel()
        await dying.close()
        await admin.execute("UPDATE storecredit.webhook_endpoints SET url = $1", receiver.url())
        assert await living.deliver_due() == 0
        await pass_delivery_time(admin, LEASE)
        assert await living.deliver_due() == 1
    assert await states(admin, endpoint) == [State("delivered", 1, 0)]
