"""A request's whole life on one time line, as flows through the real doors leave it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
import pytest

from stand_ins.http_server import Answer, Received, StandIn, json_answer, stand_in
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.telemetry import Metrics
from storecredit.webhooks.deliverer import Deliverer
from tests.web.conftest import WorkerStarter
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import IMAGE, Operator, StoreClient, data_of, error_of
from tests.web.holding import end, hold
from tests.web.spends import refund, spent
from tests.web.users import UserClient, ended
from tests.webhooks.endpoints import OPERATOR, add_endpoint

pytestmark = ONE_LOOP

Line = list[dict[str, Any]]


@pytest.fixture
def order() -> str:
    """A request id that no other test has used."""
    return f"order-{uuid4()}"


async def looked_up(operator: Operator, identifier: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = data_of(
        await operator.get(f"/requests/{quote(identifier, safe='')}", **query)
    )
    return found


async def line_of(operator: Operator, identifier: str, **query: Any) -> Line:
    """The time line of the one request that an id names, which is in order."""
    [record] = (await looked_up(operator, identifier, **query))["requests"]
    line: Line = record["time_line"]
    happened = [datetime.fromisoformat(each["at"]) for each in line if not each["is_ahead"]]
    assert happened == sorted(happened)
    return line


def titles(line: Line, *kinds: str) -> list[str]:
    return [each["title"] for each in line if not kinds or each["kind"] in kinds]


def said_of(moment: dict[str, Any]) -> dict[str, Any]:
    """The details by their labels, whatever they are in."""
    return {
        each["label"]: next(
            each[field] for field in ("text", "at", "number") if each[field] is not None
        )
        for each in moment["details"]
    }


def the(line: Line, title: str) -> dict[str, Any]:
    """What is said of the one moment of this title."""
    [moment] = [each for each in line if each["title"] == title]
    return said_of(moment)


def in_turn(*answers: Answer) -> Iterator[Answer]:
    yield from answers


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[StandIn]:
    """A server that gives these answers, one after the other."""
    left = in_turn(*answers)

    def handler(_: Received) -> Answer:
        return next(left)

    async with stand_in(handler) as server:
        yield server


async def deliver(database: Database) -> None:
    """Attempt once all that is due."""
    settings = Settings.model_validate({"allow_private_hosts": True})
    deliverer = Deliverer(database, settings, Metrics())
    await deliverer.open()
    try:
        await deliverer.deliver_due()
    finally:
        await deliverer.close()


async def account_id(admin: asyncpg.Connection, store: StoreClient) -> int:
    found: int = await admin.fetchval(
        "SELECT storecredit.account_of('store', $1)", UUID(store.store_id)
    )
    return found


async def test_a_generation_that_fails_twice_and_is_refunded_with_a_listener(
    order: str,
    operator: Operator,
    store: StoreClient,
    worker: WorkerStarter,
    database: Database,
    admin: asyncpg.Connection,
) -> None:
    away = json_answer({"code": "OVERLOADED", "message": "Too many hats."}, 503)
    blocked = json_answer({"code": "MODERATION_BLOCKED", "message": "No hats."}, 422)
    async with answering(Answer(500), Answer(200)) as receiver:
        endpoint = await add_endpoint(
            admin, await account_id(admin, store), receiver.url(), ["generation.failed"]
        )
        async with (
            answering(away, blocked) as outside,
            worker(generator="http", generator_url=outside.url(), generator_backoff_seconds=0.01),
        ):
            session_id = await store.created(order, prompt="a secret hat")
            await store.ended(session_id)
        await deliver(database)
        await admin.execute("UPDATE storecredit.deliveries SET next_attempt_at = now()")
        await deliver(database)

    await assert_told_of_the_failed_generation(operator, order, session_id, endpoint.id)
    again = await store.create(order, prompt="a secret hat")
    assert again.status_code == 200, "as the time line says"
    assert again.headers["idempotent-replayed"] == "true"
    line = await line_of(operator, order)
    webhook_id = the(line, "Webhook generation.failed written")["Webhook"]
    for identifier in (session_id, webhook_id):
        assert await line_of(operator, identifier) == line
        assert await line_of(operator, identifier, store_id=store.store_id) == line
    for hidden in ("secret hat", IMAGE[:40]):
        assert hidden not in str(line)


async def assert_told_of_the_failed_generation(
    operator: Operator, order: str, session_id: str, endpoint_id: UUID
) -> None:
    line = await line_of(operator, order)
    assert titles(line) == [
        "Accepted",
        "1 credit taken",
        "Generation queued",
        "Attempt 1 begun",
        "Attempt 1 failed",
        "Attempt 2 failed",
        "Generation failed",
        "1 credit given back",
        "Webhook generation.failed written",
        "generation.failed not delivered, attempt 1",
        "generation.failed delivered, attempt 2",
    ]
    answer = the(line, "Accepted")
    assert "No answer is kept" in answer["Answer"]
    assert "Idempotent-Replayed" in answer["Sent again"]
    assert the(line, "1 credit taken")["Balance after"] == 99
    assert the(line, "1 credit given back")["Balance after"] == 100
    assert the(line, "Generation queued")["Generation"] == session_id
    assert "Too many hats" in the(line, "Attempt 1 failed")["The generator said"]
    assert "No hats" in the(line, "Attempt 2 failed")["The generator said"]
    failed = the(line, "Generation failed")
    assert (failed["Cause"], failed["Attempts counted"]) == ("MODERATION_BLOCKED", 2)
    assert the(line, "Webhook generation.failed written")["Endpoints"] == 1
    assert the(line, "generation.failed not delivered, attempt 1")["Answer"].startswith("500")
    last = the(line, "generation.failed delivered, attempt 2")
    assert (last["Answer"], last["Endpoint"]) == ("200 OK", str(endpoint_id))


async def test_a_generation_that_waits_says_what_comes_next(
    order: str, operator: Operator, store: StoreClient
) -> None:
    await store.created(order, metadata={"cart": "c"})
    line = await line_of(operator, order)
    assert titles(line) == [
        "Accepted",
        "1 credit taken",
        "Generation queued",
        "First attempt is due",
    ]
    assert [each["is_ahead"] for each in line] == [False, False, False, True]
    queued = the(line, "Generation queued")
    assert (queued["Job"], queued["Metadata"]) == ("waits", '{"cart":"c"}')


async def test_a_hold_that_is_extended_and_captured_in_part(
    order: str, operator: Operator, store: StoreClient
) -> None:
    hold_id = data_of(await hold(store, order, 20, expires_in_seconds=600), 201)["hold_id"]
    held = await line_of(operator, order)
    assert titles(held) == [
        "Accepted",
        "20 credits held",
        "Hold taken",
        "Hold expires, unless it is captured or released before",
    ]
    data_of(await end(store, hold_id, "extend", expires_in_seconds=1200))
    data_of(await end(store, hold_id, "capture", amount=15))

    line = await line_of(operator, hold_id)

    assert titles(line) == [
        "Accepted",
        "20 credits held",
        "Hold taken",
        "15 credits of the hold captured",
        "5 credits of the hold released",
        "Hold captured",
    ]
    taken = the(line, "Hold taken")
    assert taken["Last extended"] == "by 1,200 s from then on"
    assert taken["Hold"] == hold_id
    ended_as = the(line, "Hold captured")
    assert (ended_as["Captured"], ended_as["Of"]) == (15, 20)
    assert the(line, "5 credits of the hold released")["Balance after"] == 85


async def test_a_spend_with_a_refund_in_part_leads_to_the_refunds_own_id(
    order: str, operator: Operator, store: StoreClient
) -> None:
    await spent(store, order, 30, metadata={"page": "7"})
    data_of(await refund(store, order, f"{order}-back", 10), 201)
    line = await line_of(operator, order)
    assert titles(line) == ["Accepted", "30 credits taken", "10 credits given back"]
    assert the(line, "30 credits taken")["Metadata"] == '{"page":"7"}'
    assert the(line, "10 credits given back")["By request"] == f"{order}-back"


async def test_a_transfer_by_the_operator_is_on_both_lines_with_who_and_why(
    order: str, operator: Operator, store: StoreClient
) -> None:
    other = await operator.store(name="Another shop")
    body = {"from": store.store_id, "to": other.store_id, "amount": 5, "request_id": order}
    data_of(await operator.post("/credits/transfer", **body, reason="A merger"), 201)

    records = (await looked_up(operator, order))["requests"]

    lines = {record["store_id"]: record["time_line"] for record in records}
    assert set(lines) == {store.store_id, other.store_id}
    for store_id, moved in (
        (store.store_id, "5 credits transferred to another owner"),
        (other.store_id, "5 credits transferred from another owner"),
    ):
        assert sorted(titles(lines[store_id])) == sorted(
            ["Accepted", "Operator: credits.transfer", moved]
        )
        action = the(lines[store_id], "Operator: credits.transfer")
        assert (action["By"], action["Through"], action["Reason"]) == ("admin", "api", "A merger")
        assert (action["From"], action["To"]) == (store.store_id, other.store_id)
    [action] = records[0]["actions"]
    assert (action["store_id"], action["other_store_id"]) == (store.store_id, other.store_id)


async def test_a_grant_is_found_by_its_number_where_its_owner_is_named(
    order: str, operator: Operator, store: StoreClient
) -> None:
    path = f"/stores/{store.store_id}/credits"
    ends = "2999-01-01T00:00:00Z"
    body = {"amount": 5, "type": "grant", "request_id": order, "expires_at": ends}
    data_of(await operator.post(path, **body), 201)

    line = await line_of(operator, "2", store_id=store.store_id)

    assert "5 credits granted" in titles(line)
    assert line[-1]["title"] == "What is left of these credits expires"
    assert (line[-1]["is_ahead"], said_of(line[-1])["Grant"]) == (True, "#2, promo")
    error_of(await operator.get("/requests/3", store_id=store.store_id), 404, "NOT_FOUND")
    error_of(await operator.get(f"/requests/{10**17}", store_id=store.store_id), 404, "NOT_FOUND")


async def test_an_id_that_names_several_things_tells_each(
    operator: Operator, store: StoreClient, user: UserClient, worker: WorkerStarter
) -> None:
    """A store's own id as a request id of hers, and of an end user."""
    async with worker():
        await store.ended(await store.created(store.store_id))
        await ended(user, await user.created(store.store_id))

    found = await looked_up(operator, store.store_id)

    assert [record["user_id"] for record in found["requests"]] == [None, str(user.user_id)]
    for record in found["requests"]:
        assert titles(record["time_line"])[-1] == "Generation completed"
    [thing] = found["things"]
    assert (thing["kind"], thing["id"]) == ("store", store.store_id)
    assert (thing["name"], thing["status"]) == ("A shop", "active")


async def test_things_that_are_no_requests_are_said_to_be_what_they_are(
    operator: Operator, store: StoreClient, user: UserClient, admin: asyncpg.Connection
) -> None:
    await user.created(f"make-{uuid4()}")
    made = data_of(await operator.post(f"/stores/{store.store_id}/keys", label="Till"), 201)
    endpoint = await add_endpoint(
        admin, await account_id(admin, store), "https://hats.example/", ["*"]
    )
    operators = await add_endpoint(admin, OPERATOR, "https://ops.example/", ["verify.failed"])
    token = data_of(await operator.post("/tokens", name=f"ann-{uuid4()}", scopes=["read"]), 201)
    whose = {
        str(user.user_id): ("user", None, str(user.user_id)),
        made["key_id"]: ("api_key", store.store_id, None),
        str(endpoint.id): ("webhook_endpoint", store.store_id, None),
        str(operators.id): ("webhook_endpoint", None, None),
        token["token_id"]: ("admin_token", None, None),
    }
    for identifier, expected in whose.items():
        found = await looked_up(operator, identifier)
        [thing] = found["things"]
        assert (thing["kind"], thing["store_id"], thing["user_id"]) == expected
        assert found["requests"] == []
    other = await operator.store()
    answer = await operator.get(f"/requests/{made['key_id']}", store_id=other.store_id)
    error_of(answer, 404, "NOT_FOUND")
    assert made["api_key"] not in str(await looked_up(operator, made["key_id"]))


async def test_a_webhook_about_no_request_and_an_action_without_one_are_told_by_themselves(
    operator: Operator, store: StoreClient, admin: asyncpg.Connection
) -> None:
    endpoint = await add_endpoint(
        admin, await account_id(admin, store), "https://hats.example/", ["key.created"]
    )
    answer = await operator.send(
        "POST",
        f"/stores/{store.store_id}/keys",
        headers={"X-Request-Id": (order := f"make-{uuid4()}")},
        json={},
    )
    made = data_of(answer, 201)
    event_id = await admin.fetchval(
        """SELECT e.event_id FROM storecredit.events e JOIN storecredit.deliveries d USING (seq)
           WHERE d.endpoint_id = $1""",
        endpoint.id,
    )

    found = await looked_up(operator, f"evt_{event_id.hex}")
    assert found["requests"] == []
    [told] = found["told"]
    assert (told["type"], told["webhook_id"]) == ("key.created", f"evt_{event_id.hex}")
    assert [each["status"] for each in told["deliveries"]] == ["pending"]

    found = await looked_up(operator, order)
    [action] = found["actions"]
    assert (action["action"], action["subject"]) == ("key.create", made["key_id"])
