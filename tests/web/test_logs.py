"""What is logged, and what never is: every line can be traced, none gives a secret away."""

import base64
import logging
import re
from dataclasses import replace
from typing import Any

import asyncpg
import httpx

from stand_ins.http_server import Answer, stand_in
from storecredit import telemetry
from storecredit.service import Service
from tests.image_files import data_url, picture
from tests.log_stream import LogStream
from tests.web.conftest import WorkerStarter, http_client
from tests.web.doors import OPERATOR_TOKEN, Operator, StoreClient, bearer, error_of

PROMPT = "a hat for the swordfish ball"
URL = "https://swordfish.example/private/portrait.png?signature=swordfish"
PICTURE = picture(colour="#123456")


def assert_none_is_told(log: LogStream, *secrets: str) -> None:
    text = log.getvalue()
    assert text, "something was logged"
    for secret in (*secrets, OPERATOR_TOKEN, "swordfish", base64.b64encode(PICTURE).decode()[40:]):
        assert secret not in text


async def test_every_line_of_a_request_names_it_and_its_store(
    store: StoreClient, log: LogStream
) -> None:
    log.forget()
    await store.create("trace-1")
    await store.create("trace-1", prompt="another")
    await store.get("/api/v1/nothing", headers={"X-Request-Id": "trace-1"})
    assert len(log.events("request")) == 3
    for line in log.lines():
        assert line["request_id"] == "trace-1"
        assert line["store_id"] == store.store_id
        assert line["timestamp"].endswith("Z")
        assert line["level"]
        assert line["component"]


async def test_a_request_without_a_store_names_only_itself(
    store: StoreClient, api: httpx.AsyncClient, log: LogStream
) -> None:
    """Nothing of the request before it stays behind."""
    await store.balance()
    log.forget()
    await api.get("/api/v1/credits/balance", headers={"X-Request-Id": "trace-2"})
    [line] = log.events("request")
    assert line["request_id"] == "trace-2"
    assert line["status"] == 401
    assert "store_id" not in line


async def test_a_request_line_says_what_was_asked_and_how_it_ended(
    store: StoreClient, log: LogStream
) -> None:
    session_id = await store.created()
    log.forget()
    await store.generation(session_id)
    [line] = log.events("request")
    assert line["method"] == "GET"
    assert line["route"] == "/api/v1/generation/{session_id}"
    assert line["status"] == 200
    assert line["milliseconds"] > 0


async def test_every_line_of_a_job_names_the_request_that_caused_it(
    store: StoreClient, worker: WorkerStarter, log: LogStream
) -> None:
    """Three attempts, each logged, and the refund at their end."""
    session_id = await store.created("trace-3")
    log.forget()
    async with (
        stand_in(Answer(503)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        await store.ended(session_id)
    lines = [line for line in log.lines() if line["event"] != "request"]
    assert [line["event"] for line in lines if line["component"] == "generation.worker"] == [
        "attempt_failed",
        "attempt_failed",
        "generation_failed",
    ]
    for line in lines:
        assert line.get("request_id") == "trace-3", line
        assert line.get("store_id") == store.store_id, line
        assert line.get("session_id") == session_id, line


async def test_a_completed_and_a_blocked_job_say_so(
    store: StoreClient, worker: WorkerStarter, log: LogStream
) -> None:
    async with worker():
        for request_id, prompt in (("trace-4", "a hat"), ("trace-5", "forbidden")):
            await store.ended(await store.created(request_id, prompt=prompt))
    [completed] = log.events("generation_completed")
    assert completed["request_id"] == "trace-4"
    [failed] = log.events("generation_failed")
    assert failed["request_id"] == "trace-5"
    assert (failed["code"], failed["refunded"]) == ("MODERATION_BLOCKED", True)


async def test_what_the_sweep_does_for_a_request_names_it(
    store: StoreClient, service: Service, admin: asyncpg.Connection, log: LogStream
) -> None:
    await store.created("orphan")
    await admin.execute("DELETE FROM pgqueuer")
    await service.sweep.sweep()
    [line] = log.events("session_without_job")
    assert (line["request_id"], line["store_id"]) == ("orphan", store.store_id)
    await admin.execute("UPDATE sessions SET created_at = '2020-01-01'")
    await service.sweep.sweep()
    [line] = log.events("generation_overdue")
    assert (line["request_id"], line["store_id"]) == ("orphan", store.store_id)


async def test_no_key_prompt_or_image_is_logged_whether_it_goes_well_or_not(
    store: StoreClient, operator: Operator, worker: WorkerStarter, log: LogStream
) -> None:
    ours: dict[str, Any] = {"prompt": PROMPT, "metadata": {"note": "swordfish"}}
    await store.create(image_urls=[data_url(PICTURE)], **ours)
    await store.create(image_urls=[URL, data_url(PICTURE)], **ours)
    await store.create(image_urls=["ftp://swordfish.example/"], **ours)
    await store.create_raw(b'{"prompt": "swordfish')
    await store.create_raw(b'{"prompt": "swordfish\xff"}')
    await store.get("/api/v1/generations", status="swordfish", cursor="swordfish")
    await store.get("/api/v1/swordfish")
    await operator.http.get("/api/v1/health", headers=bearer("sc_live_swordfish"))
    await operator.http.get("/api/admin/stores", headers=bearer("swordfish"))
    issued = await operator.post(f"/stores/{store.store_id}/keys", label="swordfish")
    await operator.post("/stores", name="swordfish", shop_domain="d", allowed_origins=["swordfish"])
    async with worker():
        for item in (await store.get("/api/v1/generations")).json()["data"]["items"]:
            await store.ended(item["session_id"])
    assert log.events("generation_failed")
    assert_none_is_told(log, store.api_key, issued.json()["data"]["api_key"])


async def test_no_secret_is_logged_when_the_generator_answers_with_them(
    store: StoreClient, worker: WorkerStarter, log: LogStream
) -> None:
    for answer in (Answer(400, PROMPT.encode()), Answer(200, b'{"image_url": "' + URL.encode())):
        session_id = await store.created(prompt=PROMPT, image_urls=[URL])
        async with (
            stand_in(answer) as outside,
            worker(generator="http", generator_url=outside.url()),
        ):
            await store.ended(session_id)
        assert PROMPT in str(outside.received[0].json())
    assert_none_is_told(log, store.api_key)


async def test_no_secret_is_logged_when_the_database_refuses_the_row(
    store: StoreClient, admin: asyncpg.Connection, log: LogStream
) -> None:
    """PostgreSQL quotes the whole row that broke a rule; the log must not."""
    await admin.execute("ALTER TABLE sessions ADD CONSTRAINT broken CHECK (request_id <> 'bad')")
    answer = await store.create("bad", prompt=PROMPT, image_urls=[URL, data_url(PICTURE)])
    error_of(answer, 500, "INTERNAL_ERROR")
    [line] = log.events("request_broke")
    assert line["store_id"] == store.store_id
    assert "CheckViolation" in line["exception"]
    assert_none_is_told(log, store.api_key)
    log.forget()


async def test_a_request_line_is_as_readable_as_any_on_a_terminal(
    store: StoreClient, service: Service, log: LogStream
) -> None:
    telemetry.configure("console", "info", log)
    log.forget()
    async with http_client(service) as terminal:
        await replace(store, http=terminal).get("/api/v1/health", headers={"X-Request-Id": "t-6"})
    [line] = log.getvalue().splitlines()
    assert re.match(r"[0-9-]{10}T[0-9:.]{8,}Z \[info +\] request +component=web.access ", line)
    for field in ("request_id=t-6", f"store_id={store.store_id}", "status=200"):
        assert field in line
    log.forget()


async def test_a_request_line_is_written_only_at_its_level(
    store: StoreClient, service: Service, log: LogStream
) -> None:
    telemetry.configure("json", "warning", log)
    log.forget()
    async with http_client(service) as quiet:
        await replace(store, http=quiet).balance()
    assert log.getvalue() == ""


async def test_lines_of_libraries_look_the_same(store: StoreClient, log: LogStream) -> None:
    log.forget()
    with telemetry.bound(request_id="trace-7"):
        try:
            raise RuntimeError("odd")  # noqa: TRY301 - for its traceback
        except RuntimeError:
            logging.getLogger("some.library").exception("it broke")
    [line] = log.lines()
    assert line["event"] == "it broke"
    assert (line["level"], line["component"]) == ("error", "some.library")
    assert line["request_id"] == "trace-7"
    assert line["timestamp"].endswith("Z")
    assert "RuntimeError: odd" in line["exception"]
