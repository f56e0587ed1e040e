"""`GET /metrics`: what the operator watches, and that it moves."""

from email.message import EmailMessage

import httpx
from prometheus_client.parser import text_string_to_metric_families

from storecredit.service import Service
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient
from tests.worker.stand_ins import json_answer, stand_in

Labels = dict[str, str]


async def scraped(api: httpx.AsyncClient) -> dict[str, list[tuple[Labels, float]]]:
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


async def value(api: httpx.AsyncClient, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels; the metric must be there."""
    samples = await scraped(api)
    return sum(
        sample
        for found, sample in samples.get(f"storecredit_{name}", [])
        if labels.items() <= found.items()
    )


async def test_they_are_prometheus_text_with_one_well_formed_content_type(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.get("/metrics")
    header = EmailMessage()
    header["Content-Type"] = answer.headers["content-type"]
    assert header.get_content_type() == "text/plain"
    assert answer.headers["content-type"].count("charset") == 1
    assert "version=" in answer.headers["content-type"]


async def test_requests_are_counted_by_route_and_status(
    api: httpx.AsyncClient, store: StoreClient
) -> None:
    for _ in range(3):
        await store.balance()
    await api.get("/api/v1/credits/balance")
    session_id = await store.created()
    await store.generation(session_id)
    balance = {"method": "GET", "route": "/api/v1/credits/balance"}
    assert await value(api, "requests_total", **balance, status="200") == 3
    # Whoever is refused at the door does not reach a route.
    assert await value(api, "requests_total", route="unmatched", status="401") == 1
    create = {"method": "POST", "route": "/api/v1/generation/create"}
    assert await value(api, "requests_total", **create, status="201") == 1
    read = "/api/v1/generation/{session_id}"
    assert await value(api, "requests_total", route=read, status="200") == 1
    assert await value(api, "request_seconds_count", route=read) == 1
    assert session_id not in (await api.get("/metrics")).text


async def test_no_caller_can_make_up_new_series(api: httpx.AsyncClient, store: StoreClient) -> None:
    await store.send("BREW", "/api/v1/credits/balance")
    await api.get("/api/made-up-path")
    text = (await api.get("/metrics")).text
    assert "BREW" not in text
    assert "made-up" not in text
    assert await value(api, "requests_total", method="other") == 1


async def test_credits_are_counted_as_they_move(
    api: httpx.AsyncClient, operator: Operator, store: StoreClient, worker: WorkerStarter
) -> None:
    poor = await operator.store(credits=0)
    for name in ("deducted", "refunded", "refused"):
        assert await value(api, f"credits_{name}_total") == 0
    await store.created("order-1")
    await store.create("order-1")
    blocked = await store.created(prompt="forbidden")
    await poor.create()
    async with worker():
        await store.ended(blocked)
    assert await value(api, "credits_deducted_total") == 2, "a replay takes nothing"
    assert await value(api, "credits_refunded_total") == 1
    assert await value(api, "credits_refused_total") == 1


async def test_group_commits_are_measured(api: httpx.AsyncClient, store: StoreClient) -> None:
    for _ in range(3):
        await store.created()
    for name in ("commit_batch_size", "commit_wait_seconds"):
        assert await value(api, f"{name}_count", operation="create") == 3
    assert await value(api, "commit_batch_size_sum", operation="create") == 3


async def test_the_queue_is_measured_by_the_sweep(
    api: httpx.AsyncClient, store: StoreClient, service: Service, worker: WorkerStarter
) -> None:
    session_ids = [await store.created() for _ in range(2)]
    await service.sweep.sweep()
    assert await value(api, "queue_depth", status="queued") == 2
    assert await value(api, "queue_oldest_job_seconds") > 0
    async with worker():
        for session_id in session_ids:
            await store.ended(session_id)
    await service.sweep.sweep()
    assert await value(api, "queue_depth", status="queued") == 0
    assert await value(api, "queue_depth", status="processing") == 0
    assert await value(api, "queue_oldest_job_seconds") == 0


async def test_generations_are_counted_and_timed_by_outcome(
    api: httpx.AsyncClient, store: StoreClient, worker: WorkerStarter
) -> None:
    async with worker():
        await store.ended(await store.created())
        await store.ended(await store.created(prompt="forbidden"))
    async with (
        stand_in(json_answer({}, status=400)) as outside,
        worker(generator="http", generator_url=outside.url()),
    ):
        await store.ended(await store.created())
    for outcome in ("completed", "moderation_blocked", "generator_rejected"):
        assert await value(api, "generations_total", outcome=outcome) == 1, outcome
    for outcome in ("completed", "moderation_blocked", "failed"):
        assert await value(api, "generation_seconds_count", outcome=outcome) == 1, outcome
