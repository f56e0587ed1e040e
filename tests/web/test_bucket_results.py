"""Results in a bucket, by the whole service: created, made, read by the bucket's own links."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from PIL import Image

from stand_ins.http_server import Answer, Received
from stand_ins.s3 import ACCESS_KEY, SECRET_KEY, error
from storecredit.ledger.verify import verify
from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.log_stream import LogStream
from tests.s3_bucket import IN_LINKS, PREFIX, URL, RunningBucket, running_bucket
from tests.web.conftest import WorkerStarter, http_client, working
from tests.web.doors import ENDING_SECONDS_MAX, Operator, StoreClient, data_of, error_of
from tests.web.users import UserClient, ended, refusal_of, result_of
from tests.web.wire import request, running_wire

AWAY = error(HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown")
NO_BUCKET = error(HTTPStatus.NOT_FOUND, "NoSuchBucket")


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningBucket]:
    async with running_bucket(monkeypatch) as running:
        yield running


@pytest.fixture
def settings(settings: Settings, bucket: RunningBucket) -> Settings:
    return settings.model_copy(update={"results": URL})


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client, without a key."""
    async with httpx.AsyncClient() as client:
        yield client


def no_files(data_dir: Path) -> bool:
    return not (data_dir / "results").exists()


async def test_a_result_is_read_from_the_bucket_by_its_own_link(
    store: StoreClient,
    worker: WorkerStarter,
    anybody: httpx.AsyncClient,
    bucket: RunningBucket,
    admin: asyncpg.Connection,
    data_dir: Path,
) -> None:
    async with worker():
        done = await store.ended(await store.created())
    key = f"{store.store_id}/{done['session_id']}.png"
    assert await admin.fetchval("SELECT result_key FROM sessions") == key, "no word of the bucket"
    assert bucket.names() == {key}
    listed = data_of(await store.get("/api/v1/generations"))["items"]
    for generation in (done, *listed):
        link = urlsplit(generation["result_url"])
        assert f"{link.scheme}://{link.netloc}" == bucket.server.url("")
        assert "X-Amz-Expires=900" in link.query
        assert SECRET_KEY not in generation["result_url"]
        answer = await anybody.get(generation["result_url"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        Image.open(io.BytesIO(answer.content)).verify()
    assert no_files(data_dir)

    bucket.s3.ahead = timedelta(seconds=901)
    assert (await anybody.get(done["result_url"])).status_code == 403
    bucket.s3.ahead = timedelta()
    again = await store.generation(done["session_id"])
    assert (await anybody.get(again["result_url"])).status_code == 200


async def test_every_door_gives_the_buckets_link(
    store: StoreClient,
    user: UserClient,
    operator: Operator,
    worker: WorkerStarter,
    anybody: httpx.AsyncClient,
) -> None:
    async with worker():
        waited = data_of(await store.create(headers={"Prefer": "wait=30"}), 201)
        users = await ended(user, await user.created())
    seen = data_of(await operator.get(f"/stores/{store.store_id}/generations"))["items"][0]
    [listed] = result_of(await user.query("generation.getHistory", {"limit": 1}))
    for generation in (waited["generation"], users, seen, listed):
        answer = await anybody.get(generation["result_url"])
        assert answer.status_code == 200
        assert IN_LINKS in generation["result_url"]


async def test_two_machines_share_nothing_but_database_and_bucket(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    anybody: httpx.AsyncClient,
    log: LogStream,
) -> None:
    async with AsyncExitStack() as stack:
        machines = []
        for name in ("api", "worker"):
            own = settings.model_copy(update={"data_dir": tmp_path / name})
            service = await stack.enter_async_context(assembled(own, database))
            machines.append((service, await stack.enter_async_context(http_client(service)), own))
        (_, door, api_settings), (service, other_door, own) = machines
        store = await Operator(door).store()
        async with working(service, own):
            done = await store.ended(await store.created())
        elsewhere = StoreClient(other_door, store.store_id, store.key_id, store.api_key)
        seen = await elsewhere.generation(done["session_id"])
        for generation in (done, seen):
            assert (await anybody.get(generation["result_url"])).status_code == 200
        assert no_files(api_settings.data_dir)
        assert no_files(own.data_dir)


@pytest.mark.parametrize("answer", [AWAY, NO_BUCKET, Answer(break_off=True)])
async def test_what_cannot_be_stored_is_tried_again_then_failed_and_given_back(
    store: StoreClient,
    worker: WorkerStarter,
    bucket: RunningBucket,
    database: Database,
    service: Service,
    log: LogStream,
    answer: Answer,
) -> None:
    bucket.answers(answer)
    before = await store.balance()
    async with worker(generator_attempts=2):
        failed = await store.ended(await store.created())
    assert (failed["status"], failed["error_code"]) == ("failed", "GENERATION_FAILED")
    assert failed["error_message"] == "The result could not be stored."
    assert await store.balance() == before
    told = log.events("result_not_stored")
    assert [line["attempt"] for line in told] == [1, 2]
    assert all(line["reason"].startswith(f"{URL} cannot be used: ") for line in told)
    assert (await verify(database)).clean
    counted = service.parts.metrics.registry.get_sample_value
    label = {"outcome": "not_stored"}
    assert counted("storecredit_generation_seconds_count", label) == 2


async def test_once_the_bucket_is_back_the_generation_completes(
    store: StoreClient, worker: WorkerStarter, bucket: RunningBucket, anybody: httpx.AsyncClient
) -> None:
    refused: list[Received] = []

    def away_at_first(request: Received) -> Answer:
        if not refused:
            refused.append(request)
            return NO_BUCKET
        return bucket.s3(request)

    bucket.server.handler = away_at_first
    before = await store.balance()
    async with worker():
        done = await store.ended(await store.created())
    assert done["status"] == "completed"
    assert (await anybody.get(done["result_url"])).status_code == 200
    assert await store.balance() == before - 1


async def test_while_the_bucket_is_away_all_else_is_answered(
    store: StoreClient, api: httpx.AsyncClient, worker: WorkerStarter, bucket: RunningBucket
) -> None:
    async with worker():
        done = await store.ended(await store.created())
    bucket.answers(NO_BUCKET)
    again = await store.generation(done["session_id"])
    assert again["status"] == "completed"
    assert again["result_url"]
    assert await store.balance() == 99
    await store.created()


async def test_a_page_shows_it_from_where_the_page_is(
    store: StoreClient,
    api: httpx.AsyncClient,
    worker: WorkerStarter,
    bucket: RunningBucket,
    service: Service,
) -> None:
    async with worker():
        done = await store.ended(await store.created())
    key = f"{store.store_id}/{done['session_id']}.png"
    own = f"/results/{service.parts.result_links.sign(key, lifetime_seconds=60)}"
    answer = await api.get(own)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == bucket.s3.objects[f"{PREFIX}/{key}"]
    bucket.answers(NO_BUCKET)
    answer = await api.get(own)
    error_of(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"]
    bucket.comes_back()
    bucket.s3.objects.clear()
    error_of(await api.get(own), 404, "NOT_FOUND")


async def test_links_of_ours_made_before_the_move_lead_to_what_was_copied(
    settings: Settings,
    database: Database,
    log: LogStream,
    bucket: RunningBucket,
    anybody: httpx.AsyncClient,
) -> None:
    directory = settings.model_copy(update={"results": None})
    async with assembled(directory, database) as service, http_client(service) as door:
        store = await Operator(door).store()
        async with working(service, directory):
            done = await store.ended(await store.created())
    # As `aws s3 cp --recursive data/results s3://bucket/prefix` does.
    for path in (settings.data_dir / "results").rglob("*.png"):
        name = path.relative_to(settings.data_dir / "results")
        bucket.s3.objects[f"{PREFIX}/{name}"] = path.read_bytes()
    shutil.rmtree(settings.data_dir / "results")
    async with assembled(settings, database) as service, http_client(service) as door:
        moved = StoreClient(door, store.store_id, store.key_id, store.api_key)
        assert (await door.get(done["result_url"])).status_code == 200
        again = await moved.generation(done["session_id"])
        assert (await anybody.get(again["result_url"])).status_code == 200


async def test_the_sweep_deletes_from_the_bucket_after_the_retention(
    store: StoreClient,
    worker: WorkerStarter,
    service: Service,
    admin: asyncpg.Connection,
    settings: Settings,
    bucket: RunningBucket,
    log: LogStream,
) -> None:
    async with worker():
        for _ in range(3):
            await store.ended(await store.created())
    assert len(bucket.names()) == 3
    await service.sweep.sweep()
    assert len(bucket.names()) == 3, "not before its time"
    await admin.execute(
        "UPDATE sessions SET completed_at = completed_at - $1 * interval '1 s'",
        settings.result_retention_seconds,
    )
    stays = f"{PREFIX}/{min(bucket.names())}"
    bucket.s3.kept = frozenset({stays})
    await service.sweep.sweep()
    assert {*bucket.s3.objects} == {stays}
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE result_key IS NOT NULL") == 1
    [told] = log.events("result_not_deleted")
    assert told["reason"] == f"{URL} cannot be used: the credentials do not allow it."
    assert told["results"] == 1
    bucket.s3.kept = frozenset()
    await service.sweep.sweep()
    assert bucket.s3.objects == {}
    assert await admin.fetchval("SELECT count(*) FROM sessions WHERE result_key IS NOT NULL") == 0


async def test_an_erased_users_objects_go_and_a_stores_of_the_same_id_stay(
    operator: Operator,
    user: UserClient,
    worker: WorkerStarter,
    service: Service,
    admin: asyncpg.Connection,
    bucket: RunningBucket,
) -> None:
    async with worker():
        done = await ended(user, await user.created())
    mine = f"{user.user_id}/{done['id']}"
    others = f"{user.user_id}/{uuid4()}.png"
    # What a killed worker's attempt left, in another form; and a store's.
    for name in (f"{mine}.webp", others):
        bucket.s3.objects[f"{PREFIX}/{name}"] = b"image"
    assert bucket.names() == {f"{mine}.png", f"{mine}.webp", others}
    bucket.answers(NO_BUCKET)
    answer = await operator.post(f"/users/{user.user_id}/erase")
    error_of(answer, 503, "SERVICE_UNAVAILABLE")
    await admin.execute("UPDATE storecredit.users SET erasure_due_at = now()")
    await service.sweep.sweep()
    assert bucket.names() == {f"{mine}.png", f"{mine}.webp", others}, "it is still away"
    bucket.comes_back()
    await service.sweep.sweep()
    assert bucket.names() == {others}


async def test_no_log_line_holds_a_key_a_secret_or_an_images_name(
    store: StoreClient, worker: WorkerStarter, bucket: RunningBucket, log: LogStream
) -> None:
    async with worker(generator_attempts=1):
        done = await store.ended(await store.created())
        bucket.answers(NO_BUCKET)
        await store.ended(await store.created())
    assert log.events("result_not_stored")
    lines = log.getvalue()
    for secret in (SECRET_KEY, ACCESS_KEY, "X-Amz-", f"{done['session_id']}.png"):
        assert secret not in lines


@pytest.mark.parametrize(
    "answer, said",
    [
        (NO_BUCKET, "there is no such bucket"),
        (error(HTTPStatus.FORBIDDEN, "AccessDenied"), "the credentials do not allow it"),
    ],
    ids=["no bucket", "not allowed"],
)
async def test_the_service_says_at_its_start_that_it_cannot_use_the_bucket_and_serves(
    wire_settings: Settings, bucket: RunningBucket, log: LogStream, answer: Answer, said: str
) -> None:
    bucket.answers(answer)
    async with running_wire(wire_settings.model_copy(update={"results": URL})) as wire:
        alive = await wire.ask(request("GET", "/health/ready"))
        assert alive.status == 200
        async with asyncio.timeout(ENDING_SECONDS_MAX):
            while not log.events("results_unusable"):  # noqa: ASYNC110 - the log sets no event
                await asyncio.sleep(0.02)
    [told] = log.events("results_unusable")
    assert told["reason"] == f"{URL} cannot be used: {said}."
    assert told["level"] == "error"


async def test_where_no_link_can_be_signed_a_reader_is_told_to_come_again(
    settings: Settings,
    database: Database,
    service: Service,
    store: StoreClient,
    user: UserClient,
    worker: WorkerStarter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with worker():
        done = await store.ended(await store.created())
        users = await ended(user, await user.created())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # A machine's role, which cannot be had: nothing listens there.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/")
    async with assembled(settings, database) as other, http_client(other) as door:
        elsewhere = StoreClient(door, store.store_id, store.key_id, store.api_key)
        answer = await elsewhere.get(f"/api/v1/generation/{done['session_id']}")
        error_of(answer, 503, "SERVICE_UNAVAILABLE")
        assert answer.headers["retry-after"]
        app = UserClient(door, user.user_id, user.token)
        refused = await app.query("generation.getById", {"sessionId": users["id"]})
        refusal_of(refused, 503, "SERVICE_UNAVAILABLE", "generation.getById")
        assert await elsewhere.balance() == 99
        # What was made is told, though its picture cannot be.
        made = elsewhere.create("order-1", headers={"Prefer": "wait=30"})
        async with worker():
            waited = data_of(await made, 201)
        assert waited["credits_charged"] == 1
        assert "generation" not in waited
