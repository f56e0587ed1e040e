"""What endpoints were told, and what became of it: seen and sent again, by each set of doors."""

import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.web.checklist import UNKNOWN
from tests.web.credits.conftest import ONE_LOOP
from tests.web.doors import data_of, error_of
from tests.web.webhooks.hooks import Hooks

pytestmark = ONE_LOOP

VIEW = {
    *("event_id", "type", "created_at", "status", "attempts", "status_code", "error"),
    *("next_attempt_at", "ended_at"),
}


async def happen(admin: asyncpg.Connection, hooks: Hooks, *types: str) -> None:
    """Events of these types of this owner, one after the other."""
    await admin.execute(
        """SELECT storecredit.tell($1, (SELECT array_agg(a.account_id)
               FROM unnest($1::text[]) CROSS JOIN LATERAL (
                   SELECT (SELECT account_id FROM storecredit.accounts
                           WHERE owner_kind = 'store' AND owner_id = $2) AS account_id) a),
           array_fill('{"a": 1}'::json, ARRAY[cardinality($1)]))""",
        types,
        None if hooks.store_id is None else UUID(hooks.store_id),
    )


async def attempted(
    admin: asyncpg.Connection, endpoint_id: str, event_id: str, *answers: tuple[int | None, str]
) -> None:
    """Have deliveries been attempted so often; the last answer says how it ended."""
    seq = await admin.fetchval(
        "SELECT seq FROM storecredit.events WHERE event_id = $1",
        UUID(event_id.removeprefix("evt_")),
    )
    for number, (status_code, text) in enumerate(answers, 1):
        await admin.execute(
            """INSERT INTO storecredit.delivery_attempts
                   (endpoint_id, seq, attempt, attempted_at, milliseconds, status_code, error,
                    answer)
               VALUES ($1, $2, $3, now(), 7, $4, $5, $6)""",
            UUID(endpoint_id),
            seq,
            number,
            status_code,
            text if status_code is None else None,
            None if status_code is None else text,
        )
    await admin.execute(
        """UPDATE storecredit.deliveries SET attempts = $3, retries = $3, ended_at = now(),
               next_attempt_at = NULL, status = $4
           WHERE endpoint_id = $1 AND seq = $2""",
        UUID(endpoint_id),
        seq,
        len(answers),
        "delivered" if answers[-1][0] == 200 else "failed",
    )


async def told(hooks: Hooks, endpoint_id: str, **query: Any) -> list[dict[str, Any]]:
    """The deliveries of a page that is the last one."""
    page = data_of(await hooks.get(f"/{endpoint_id}/deliveries", **query))
    assert page["next_cursor"] is None
    items: list[dict[str, Any]] = page["items"]
    return items


async def test_a_test_is_on_its_way_and_told_where_it_can_be_followed(hooks: Hooks) -> None:
    made, other = await hooks.made(event_types=["key.revoked"]), await hooks.made()
    answer = await hooks.send("POST", f"/{made['endpoint_id']}/test")
    tested = data_of(answer, 201)
    assert set(tested) == {"event_id"}
    [delivery] = await told(hooks, made["endpoint_id"])
    assert set(delivery) == VIEW
    assert (delivery["event_id"], delivery["type"]) == (tested["event_id"], "webhook.test")
    assert (delivery["status"], delivery["attempts"]) == ("pending", 0)
    assert delivery["next_attempt_at"] is not None
    assert delivery["ended_at"] is None
    path = answer.headers["location"].removeprefix("/api/admin")
    followed = await hooks.caller.send("GET", path)
    told_of = data_of(followed)
    body = json.loads(told_of.pop("body"))
    assert told_of == delivery | {"attempted": []}
    of_store = {} if hooks.store_id is None else {"store_id": hooks.store_id}
    assert body == {
        "type": "webhook.test",
        "version": 1,
        "timestamp": delivery["created_at"],
        "data": of_store | {"endpoint_id": made["endpoint_id"]},
    }
    assert await told(hooks, other["endpoint_id"]) == []
    await hooks.forget()


async def test_deliveries_are_listed_newest_first_and_by_what_became_of_them(
    hooks: Hooks, admin: asyncpg.Connection
) -> None:
    id_ = (await hooks.made())["endpoint_id"]
    await happen(admin, hooks, "credits.low", "key.created", "credits.low", "credits.added")
    newest, third, second, oldest = await told(hooks, id_)
    assert newest["type"] == "credits.added"
    await attempted(admin, id_, oldest["event_id"], (500, "no"), (None, "no answer"))
    await attempted(admin, id_, third["event_id"], (200, "thanks"))
    last = [(each["status_code"], each["error"]) for each in await told(hooks, id_)]
    assert last == [(None, None), (200, None), (None, None), (None, "no answer")]

    async def ids(**query: Any) -> list[str]:
        return [each["event_id"] for each in await told(hooks, id_, **query)]

    assert await ids(status="failed") == [oldest["event_id"]]
    assert await ids(status="delivered") == [third["event_id"]]
    assert await ids(status="pending") == [newest["event_id"], second["event_id"]]
    assert await ids(type="credits.low") == [third["event_id"], oldest["event_id"]]
    assert await ids(type="credits.low", status="failed") == [oldest["event_id"]]
    assert await ids(type="webhook.test") == []

    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = data_of(await hooks.get(f"/{id_}/deliveries", limit=3, **cursor))
        found += [each["event_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [each["event_id"] for each in (newest, third, second, oldest)]
    await hooks.forget()


async def test_each_attempt_is_told_with_its_answer(own: Hooks, admin: asyncpg.Connection) -> None:
    id_ = (await own.made())["endpoint_id"]
    await happen(admin, own, "key.created")
    [pending] = await told(own, id_)
    await attempted(
        admin, id_, pending["event_id"], (None, "no answer"), (503, "later"), (200, "thanks")
    )
    path = f"/{id_}/deliveries/{pending['event_id']}"
    delivery = data_of(await own.get(path))
    attempts = delivery.pop("attempted")
    assert json.loads(delivery.pop("body"))["data"]["a"] == 1
    assert delivery == (await told(own, id_))[0]
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)
    assert delivery["ended_at"] is not None
    told_of = [
        (each["attempt"], each["status_code"], each["error"], each["answer"]) for each in attempts
    ]
    assert told_of == [
        (3, 200, None, "thanks"),
        (2, 503, None, "later"),
        (1, None, "no answer", None),
    ]
    assert attempts[0]["milliseconds"] == 7
    as_uuid = str(UUID(pending["event_id"].removeprefix("evt_")))
    assert data_of(await own.get(f"/{id_}/deliveries/{as_uuid}"))["event_id"] in path


async def test_one_event_is_sent_again_whatever_became_of_it(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    id_ = (await own.made())["endpoint_id"]
    await happen(admin, own, "key.created", "key.created", "key.created")
    pending, failed, delivered = await told(own, id_)
    await attempted(admin, id_, failed["event_id"], (410, "gone"))
    await attempted(admin, id_, delivered["event_id"], (200, "thanks"))
    for each, attempts in ((pending, 0), (failed, 1), (delivered, 1)):
        path = f"/{id_}/deliveries/{each['event_id']}"
        for _ in range(2):
            resent = data_of(await own.send("POST", f"{path}/resend"))
            assert resent == {"resent": 1, "next_cursor": None}
        found = data_of(await own.get(path))
        assert (found["status"], found["attempts"]) == ("pending", attempts)
        assert found["ended_at"] is None


async def test_all_that_has_ended_since_a_time_is_sent_again(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    id_ = (await own.made())["endpoint_id"]
    await happen(admin, own, "key.created", "key.created", "key.created")
    _, failed, delivered = await told(own, id_)
    await attempted(admin, id_, failed["event_id"], (500, "no"))
    await attempted(admin, id_, delivered["event_id"], (200, "thanks"))
    path = f"/{id_}/resend"
    for body, count in (
        ({"since": "2999-01-01T00:00:00Z"}, 0),
        ({"since": "2026-01-01T00:00:00+01:00", "status": "failed"}, 1),
        ({"since": "2026-01-01T00:00:00"}, 1),
        ({"since": "2026-01-01T00:00:00Z"}, 0),
    ):
        resent = data_of(await own.send("POST", path, **body))
        assert resent == {"resent": count, "next_cursor": None}, body
    assert {each["status"] for each in await told(own, id_)} == {"pending"}


async def test_what_one_that_is_disabled_misses_can_be_resent_once_it_is_enabled(
    own: Hooks, admin: asyncpg.Connection
) -> None:
    id_ = (await own.made())["endpoint_id"]
    await happen(admin, own, "key.created")
    [delivery] = await told(own, id_)
    await attempted(admin, id_, delivery["event_id"], (500, "no"))
    data_of(await own.send("POST", f"/{id_}/disable"))
    await happen(admin, own, "key.created")
    before = await told(own, id_)
    assert [(each["status"], each["attempts"]) for each in before] == [("failed", 0), ("failed", 1)]
    assert before[0]["ended_at"] is not None
    assert before[0]["next_attempt_at"] is None
    event = f"/deliveries/{delivery['event_id']}"
    for path, body in (
        ("/test", {}),
        (f"{event}/resend", {}),
        ("/resend", {"since": "2026-01-01T00:00:00Z"}),
    ):
        answer = await own.send("POST", f"/{id_}{path}", **body)
        error_of(answer, 409, "ENDPOINT_DISABLED")
    assert await told(own, id_) == before

    data_of(await own.send("POST", f"/{id_}/enable"))
    missed = {"since": before[0]["created_at"], "status": "failed"}
    assert data_of(await own.send("POST", f"/{id_}/resend", **missed))["resent"] == 1
    assert [each["status"] for each in await told(own, id_)] == ["pending", "failed"]


@pytest.mark.parametrize("event_id", [UNKNOWN, f"evt_{UUID(UNKNOWN).hex}", "evt_", "1"])
async def test_of_an_event_that_it_was_not_told_there_is_no_delivery(
    own: Hooks, admin: asyncpg.Connection, event_id: str
) -> None:
    deaf = await own.made(event_types=["hold.expired"])
    path = f"/{deaf['endpoint_id']}/deliveries/{event_id}"
    for answer in (await own.get(path), await own.send("POST", f"{path}/resend")):
        assert "delivery" in error_of(answer, 404, "NOT_FOUND")["message"]
    other = (await own.made())["endpoint_id"]
    await happen(admin, own, "key.created")
    [delivery] = await told(own, other)
    heard = f"/{deaf['endpoint_id']}/deliveries/{delivery['event_id']}"
    error_of(await own.get(heard), 404, "NOT_FOUND")
    error_of(await own.send("POST", f"{heard}/resend"), 404, "NOT_FOUND")
