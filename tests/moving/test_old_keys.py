"""Keys that the system before had issued, over HTTP, on a service that has moved in."""

import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from stand_ins.paddle.webhooks import sign
from tests.e2e.conftest import Storecredit, storecredit_in
from tests.moving.old_system import OLD_KEY, OldSystem
from tests.web.doors import CREATE, IMAGE

SECRET = "pdl_ntfset_moving"
PADDLE = {
    "STORECREDIT_PADDLE_API_URL": "http://127.0.0.1:9",
    "STORECREDIT_PADDLE_API_KEY": "pdl_key",
    "STORECREDIT_PADDLE_WEBHOOK_SECRET": SECRET,
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Storecredit]:
    """The command, and what it serves."""
    with storecredit_in(tmp_path) as command:
        yield command


async def test_an_old_key_goes_on_working(
    old: OldSystem, service: Storecredit, database_url: str
) -> None:
    store_id = await old.store()
    key_id = await old.key(store_id)
    await old.shows(store_id, 7)
    await old.moved(store_id, "purchase", 10, "pack")
    await old.moved(store_id, "deduction", -3, "req_1")
    done_id = await old.generation(store_id, "completed", "req_1")
    unpaid_id = await old.generation(store_id, "completed", "req_unpaid")
    await old.key(await old.store("closed.example", status="inactive"), "wk_closed_0001")
    here = ("--database-url", database_url)
    assert service("import", "--history", "--from", old.url, *here).status == 0
    serving = service.serve(*here)

    def got(path: str, key: str = OLD_KEY) -> httpx.Response:
        return httpx.get(f"{serving.url}/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})

    for _ in range(2):  # from the database, and from memory
        assert got("credits/balance").json()["data"]["balance"] == 7
    made = httpx.post(
        f"{serving.url}/api/v1/credits/spend",
        headers={"Authorization": f"Bearer {OLD_KEY}", "Idempotency-Key": "order-1"},
        json={"amount": 2},
    )
    assert made.is_success, made.text
    assert got("credits/balance").json()["data"]["balance"] == 5
    generation = got(f"generation/{done_id}").json()["data"]
    assert (generation["status"], generation["request_id"]) == ("completed", "req_1")
    again = httpx.post(
        f"{serving.url}{CREATE}",
        headers={"Authorization": f"Bearer {OLD_KEY}", "X-Request-ID": "req_1"},
        json={"image_urls": [IMAGE], "prompt": "a hat"},
    )
    assert (again.status_code, again.json()["error"]["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    assert got("credits/balance").json()["data"]["balance"] == 5
    listed = got("generations").json()["data"]["items"]
    assert {each["session_id"] for each in listed} == {str(done_id), str(unpaid_id)}
    for named in ("req_1", done_id, unpaid_id):
        shown = service("request", "show", named, "--json", *here)
        assert "completed" in shown.output, shown
    refused = {
        "wk_0123456789": "INVALID_API_KEY",
        "wk_": "INVALID_API_KEY",
        "wk_closed_0001": "STORE_SUSPENDED",
    }
    for key, code in refused.items():
        assert got("credits/balance", key).json()["error"]["code"] == code
    assert service("key", "revoke", "hats.example", key_id, *here).status == 0
    assert got("credits/balance").json()["error"]["code"] == "API_KEY_REVOKED"
    assert OLD_KEY not in serving.log_path.read_text()


async def test_an_event_that_was_booked_there_is_answered_and_not_booked(
    old: OldSystem, service: Storecredit, database_url: str, admin: asyncpg.Connection
) -> None:
    await old.store()
    await old.event("evt_1")
    here = ("--database-url", database_url)
    assert service("import", "--from", old.url, *here).status == 0
    serving = service.serve(*here, **PADDLE)
    body = json.dumps(
        {
            "event_id": "evt_1",
            "event_type": "transaction.completed",
            "occurred_at": "2026-03-01T12:00:00Z",
            "notification_id": "ntf_1",
            "data": {"id": "txn_1", "status": "completed"},
        }
    ).encode()

    answers = [
        httpx.post(
            f"{serving.url}/webhooks/paddle",
            content=told,
            headers={"Paddle-Signature": sign(told, SECRET), "Content-Type": "application/json"},
        )
        for told in (body, body.replace(b"evt_1", b"evt_2"))
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    rows = await admin.fetch("SELECT event_id, reason FROM provider_events ORDER BY event_id")
    assert tuple(rows[0]) == ("evt_1", "Booked by the system before the import.")
    # The door does keep what it does not know.
    assert [row["event_id"] for row in rows] == ["evt_1", "evt_2"]
    assert await admin.fetchval("SELECT count(*) FROM payments") == 0
