"""`generation.*` of `/api/trpc`: an end user's generations, paid with credits of their own."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from stand_ins.http_server import Answer, stand_in
from storecredit.service import Service
from storecredit.web.resources.metadata import METADATA_TEXT_MAX
from tests.image_files import data_url, picture
from tests.log_stream import LogStream
from tests.web.conftest import WorkerStarter
from tests.web.doors import IMAGE
from tests.web.table_rows import Rows
from tests.web.users import (
    UserClient,
    body_of,
    ended,
    error_in,
    refusal_of,
    result_in,
    result_of,
    user_of,
)

CREATE = "generation.create"
BY_ID = "generation.getById"
HISTORY = "generation.getHistory"
STATS = "generation.getStats"
HAT = data_url(picture(colour="blue"))


async def test_a_generation_is_queued_for_one_credit(user: UserClient, rows: Rows) -> None:
    created = result_of(await user.create("order-1"))
    assert set(created) == {"sessionId", "status", "message"}
    assert created["status"] == "queued"
    assert created["message"].endswith(".")
    assert await user.balance() == 9
    [job] = await rows.jobs()
    assert (job["session_id"], job["request_id"]) == (created["sessionId"], "order-1")


async def test_the_images_are_model_outfit_accessories_in_order(
    user: UserClient, admin: asyncpg.Connection
) -> None:
    hats = [{"type": "hat", "url": HAT}, {"type": "bag", "url": IMAGE}]
    await user.created("order-1", outfitImageUrl="https://a.example/outfit.png", accessories=hats)
    row = await admin.fetchrow("SELECT input->'image_urls' AS urls, metadata FROM sessions")
    assert row is not None
    assert row["urls"].count("data:") == 3
    places = [row["urls"].index(url) for url in (IMAGE, "https://a.example/outfit.png", HAT)]
    assert places == sorted(places)
    assert row["metadata"] == '{"accessory_1":"hat","accessory_2":"bag"}'


@pytest.mark.parametrize(
    "input_, named",
    [
        ({"modelImageUrl": ""}, "modelImageUrl"),
        ({"modelImageUrl": "ftp://a.example/x.png"}, "modelImageUrl"),
        ({"modelImageUrl": "http://127.0.0.1/x.png"}, "modelImageUrl"),
        ({"modelImageUrl": "data:image/png;base64,AAAA"}, "modelImageUrl"),
        ({"outfitImageUrl": "file:///etc/passwd"}, "outfitImageUrl"),
        ({"outfitImageUrl": ""}, "outfitImageUrl"),
        ({"accessories": [{"type": "a", "url": IMAGE}, {"type": "b", "url": "x"}]}, "[1].url"),
        ({"accessories": [{"type": "a", "url": IMAGE}] * 10}, "10 images"),
        ({"accessories": [{"type": "a" * (METADATA_TEXT_MAX + 1), "url": IMAGE}]}, "type"),
    ],
)
async def test_images_that_cannot_be_used_cost_nothing(
    user: UserClient, rows: Rows, input_: dict[str, Any], named: str
) -> None:
    message = refusal_of(await user.create(**input_), 400, "BAD_REQUEST", CREATE)
    assert named in message
    assert "127.0.0.1" not in message, "no URL is repeated"
    assert await user.balance() == 10
    assert await rows.jobs() == []


async def test_ten_images_are_the_most(user: UserClient) -> None:
    await user.created(outfitImageUrl=IMAGE, accessories=[{"type": "a", "url": IMAGE}] * 8)
    await user.created(outfitImageUrl=None, accessories=[{"type": "", "url": IMAGE}] * 9)


async def test_without_credits_nothing_is_written_or_queued(user: UserClient, rows: Rows) -> None:
    for _ in range(10):
        await user.created()
    before, jobs = await rows.counts(), await rows.jobs()
    answers = await asyncio.gather(*(user.create() for _ in range(10)))
    for answer in answers:
        message = refusal_of(answer, 402, "PAYMENT_REQUIRED", CREATE)
        assert message.startswith("Insufficient credits")
    assert (await rows.counts(), await rows.jobs()) == (before, jobs)


async def test_thirty_at_once_against_ten_credits(user: UserClient, rows: Rows) -> None:
    answers = await asyncio.gather(*(user.create(f"order-{place}") for place in range(30)))
    assert Counter(answer.status_code for answer in answers) == {200: 10, 402: 20}
    assert await user.balance() == 0
    assert len(await rows.jobs()) == 10


async def test_a_replay_answers_as_the_first_time(
    user: UserClient, worker: WorkerStarter, rows: Rows
) -> None:
    answers = await asyncio.gather(*(user.create("order-1") for _ in range(20)))
    first = [result_of(answer) for answer in answers]
    assert [it == first[0] for it in first] == [True] * 20
    assert len(await rows.jobs()) == 1
    async with worker():
        await ended(user, first[0]["sessionId"])
    assert result_of(await user.create("order-1")) == first[0]
    assert await user.balance() == 9


async def test_a_request_id_with_other_content_is_refused(user: UserClient, rows: Rows) -> None:
    hats = [{"type": "hat", "url": HAT}]
    await user.created("order-1", accessories=hats)
    caps = [{"type": "cap", "url": HAT}]
    for input_ in ({}, {"modelImageUrl": HAT}, {"accessories": caps}):
        refusal_of(await user.create("order-1", **input_), 409, "CONFLICT", CREATE)
    assert await user.balance() == 9
    assert len(await rows.jobs()) == 1


async def test_one_request_id_is_another_request_of_another_user(api: httpx.AsyncClient) -> None:
    one, other = user_of(api), user_of(api)
    assert await one.created("order-1") != await other.created("order-1")
    assert (await one.balance(), await other.balance()) == (9, 9)


async def test_a_batch_sent_again_is_the_same_requests(user: UserClient, rows: Rows) -> None:
    calls = [(CREATE, {"modelImageUrl": IMAGE})] * 3
    named = {"X-Request-Id": "order-1"}
    first = body_of(await user.batch("POST", calls, headers=named))
    again = body_of(await user.batch("POST", calls, headers=named))
    assert again == first
    assert len({result_in(shape)["sessionId"] for shape in first}) == 3
    assert await user.balance() == 7
    wanted = {"order-1", "order-1:1", "order-1:2"}
    assert {job["request_id"] for job in await rows.jobs()} == wanted
    alone = result_of(await user.create("order-1"))
    assert alone == result_in(first[0]), "a batch of one is a call like any other"


async def test_a_batch_without_a_request_id_is_new_requests(user: UserClient, rows: Rows) -> None:
    calls = [(CREATE, {"modelImageUrl": IMAGE})] * 2
    for _ in range(2):
        assert (await user.batch("POST", calls)).status_code == 200
    assert await user.balance() == 6
    assert len({job["request_id"] for job in await rows.jobs()}) == 4


async def test_a_request_id_too_long_for_its_batch(user: UserClient) -> None:
    calls = [(CREATE, {"modelImageUrl": IMAGE})] * 2
    answer = await user.batch("POST", calls, headers={"X-Request-Id": "x" * 200})
    assert answer.status_code == 207
    first, second = body_of(answer)
    result_in(first)
    error_in(second, 400, "BAD_REQUEST", CREATE)
    assert await user.balance() == 9


async def test_a_batch_beyond_the_credits_takes_what_there_is(user: UserClient) -> None:
    answer = await user.batch("POST", [(CREATE, {"modelImageUrl": IMAGE})] * 12)
    assert answer.status_code == 207
    assert Counter("result" in shape for shape in body_of(answer)) == {True: 10, False: 2}
    assert await user.balance() == 0


async def test_a_generation_completes_and_its_result_can_be_fetched(
    user: UserClient, worker: WorkerStarter, api: httpx.AsyncClient
) -> None:
    session_id = await user.created()
    queued = await user.generation(session_id)
    assert set(queued) == {
        *("id", "status", "result_url", "error_code", "error_message"),
        *("created_at", "started_at", "completed_at"),
    }
    assert (queued["status"], queued["result_url"], queued["started_at"]) == ("queued", None, None)
    async with worker():
        done = await ended(user, session_id)
    assert (done["status"], done["error_code"], done["error_message"]) == ("completed", None, None)
    for name in ("created_at", "started_at", "completed_at"):
        assert isinstance(done[name], datetime)
    image = await api.get(done["result_url"])
    assert image.headers["content-type"] == "image/png"
    assert result_of(await user.query(HISTORY))[0]["id"] == session_id
    assert await user.balance() == 9


async def test_a_failed_generation_is_refunded_once(
    user: UserClient, worker: WorkerStarter, service: Service, admin: asyncpg.Connection
) -> None:
    session_ids = [await user.created(f"order-{place}") for place in range(3)]
    await admin.execute("UPDATE sessions SET created_at = '2020-01-01'")
    async with (
        stand_in(Answer(500)) as outside,
        worker(generator="http", generator_url=outside.url()),
        worker(generator="http", generator_url=outside.url()),
    ):
        await asyncio.gather(service.sweep.sweep(), service.sweep.sweep())
        failed = [await ended(user, session_id) for session_id in session_ids]
    assert {(it["status"], it["error_code"]) for it in failed} == {("failed", "GENERATION_FAILED")}
    assert all(it["error_message"] and it["result_url"] is None for it in failed)
    assert await user.balance() == 10
    moved = result_of(await user.query("credits.getTransactions"))
    assert Counter((row["type"], row["amount"]) for row in moved) == {
        ("refund", 1): 3,
        ("generation", -1): 3,
        ("signup_bonus", 10): 1,
    }


async def test_the_history_and_its_figures(user: UserClient, admin: asyncpg.Connection) -> None:
    created = [await user.created() for _ in range(4)][::-1]
    await admin.execute(
        "SELECT fail_generations(ARRAY[account_of('user', $1)], $2, $3, $4, ARRAY[NULL]::text[])",
        user.user_id,
        [UUID(created[0])],
        ["GENERATION_FAILED"],
        ["No."],
    )

    async def history(**input_: object) -> list[str]:
        return [row["id"] for row in result_of(await user.query(HISTORY, input_))]

    assert await history() == created
    assert await history(limit=2) == created[:2]
    assert await history(limit=2, offset=3) == created[3:]
    assert await history(offset=2**53 - 1) == []
    assert await history(status="failed") == created[:1]
    assert await history(status="queued", limit=1, offset=1) == created[2:3]
    assert await history(status=None) == created
    stats = result_of(await user.query(STATS))
    assert stats == {"total": 4, "completed": 0, "active": 3, "failed": 1}


async def test_another_users_generation_is_as_absent_as_an_unknown_one(
    api: httpx.AsyncClient,
) -> None:
    owner, other = user_of(api), user_of(api)
    session_id = await owner.created()
    answers = [
        await other.query(BY_ID, {"sessionId": session_id}),
        await other.query(BY_ID, {"sessionId": str(uuid4())}),
    ]
    assert len({refusal_of(answer, 404, "NOT_FOUND", BY_ID) for answer in answers}) == 1
    assert result_of(await other.query(HISTORY)) == []
    assert result_of(await other.query(STATS))["total"] == 0
    assert (await owner.generation(session_id.upper()))["id"] == session_id


async def test_no_url_and_no_token_reaches_the_log(
    user: UserClient, worker: WorkerStarter, log: LogStream
) -> None:
    log.forget()
    url = "https://images.invalid/a-model-of-flesh-and-blood.png"
    answer = await user.create("order-1", modelImageUrl=url)
    session_id = result_of(answer)["sessionId"]
    async with worker(generator_attempts=1):
        await ended(user, session_id)
    [line] = [line for line in log.events("request") if line.get("procedures") == CREATE]
    assert (line["user_id"], line["request_id"]) == (str(user.user_id), "order-1")
    events = {line["event"] for line in log.lines() if line.get("request_id") == "order-1"}
    assert {"request", "generation_failed"} <= events
    for secret in ("flesh-and-blood", user.token, user.token.split(".")[2]):
        assert secret not in log.getvalue()
