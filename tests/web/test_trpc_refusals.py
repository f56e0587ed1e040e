"""What `/api/trpc` does not serve is refused in a form the client reads, and nothing is done."""

import asyncpg
import pytest

from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from storecredit.web.trpc.calls import Kind
from storecredit.web.trpc.procedures import PROCEDURES
from tests.log_stream import LogStream
from tests.web.doors import IMAGE
from tests.web.events import refusal_in
from tests.web.node import run_script, served
from tests.web.table_rows import Rows
from tests.web.users import TRPC, UserClient, refusal_of

CREATE = "generation.create"
EVENTS = "text/event-stream"


async def test_a_subscription_is_refused_before_anything_is_done(
    user: UserClient, rows: Rows, admin: asyncpg.Connection
) -> None:
    headers = {"Accept": EVENTS, "X-Request-Id": "order-1"}
    others = [path for path, it in PROCEDURES.items() if it.kind is not Kind.SUBSCRIPTION]
    for path in (*others, "nothing", "", f"{CREATE},{CREATE}?batch=1"):
        for method in ("GET", "POST", "PATCH"):
            answer = await user.send(
                method, path, {"json": {"modelImageUrl": IMAGE}}, headers=headers
            )
            assert refusal_in(answer)["data"] == {"code": "METHOD_NOT_SUPPORTED", "httpStatus": 405}
    assert await rows.jobs() == []
    assert await admin.fetchval("SELECT count(*) FROM users") == 0


async def test_what_else_is_wrong_with_it_is_said_in_its_form_too(user: UserClient) -> None:
    answer = await user.query(CREATE, headers={"Accept": EVENTS, "X-Request-Id": "a,"})
    assert refusal_in(answer)["data"] == {"code": "BAD_REQUEST", "httpStatus": 400}
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html, application/json", "text/event-streams", "x/text/event-stream"]
)
async def test_who_asks_for_no_events_asks_for_no_subscription(
    user: UserClient, accept: str
) -> None:
    answer = await user.query("credits.getPacks", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", "application/octet-stream", "text/plain"]
)
async def test_a_body_that_is_no_json_is_refused_before_anything_is_done(
    user: UserClient, rows: Rows, content_type: str
) -> None:
    for path in (CREATE, f"{CREATE}?batch=1", "credits.getBalance"):
        answer = await user.send(
            "POST", path, {"json": {"modelImageUrl": IMAGE}}, headers={"Content-Type": content_type}
        )
        message = refusal_of(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert "application/json" in message
    assert await rows.jobs() == []


async def test_the_official_client_learns_what_is_not_served(
    service: Service, user: UserClient, rows: Rows
) -> None:
    async with served(service) as port:
        url = f"http://127.0.0.1:{port}{TRPC}"
        await run_script("refusals.mjs", url, "unserved", user.token, IMAGE)
    assert await user.balance() == 10
    assert await rows.jobs() == []


async def test_the_official_client_learns_that_no_users_are_served(
    settings: Settings, database: Database, log: LogStream, rows: Rows
) -> None:
    assert log.lines() == []
    async with (
        assembled(settings.model_copy(update={"jwt_secret": None}), database) as service,
        served(service) as port,
    ):
        url = f"http://127.0.0.1:{port}{TRPC}"
        await run_script("refusals.mjs", url, "off", "x.y.z", IMAGE)
    assert await rows.jobs() == []
