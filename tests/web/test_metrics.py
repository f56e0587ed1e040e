"""`GET /metrics`: what the operator watches, and that it moves."""

from email.message import EmailMessage

import httpx

from stand_ins.http_server import json_answer, stand_in
from storecredit.service import Service
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator, StoreClient
from tests.web.scrapes import Samples, samples_in, total

BALANCE = {"method": "GET", "route": "/api/v1/credits/balance"}
CREATE = {"method": "POST", "route": "/api/v1/generation/create"}


async def scraped(api: httpx.AsyncClient) -> Samples:
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    return samples_in(answer.text)


async def value(api: httpx.AsyncClient, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels; the metric must be there."""
    return total(await scraped(api), name, **labels)


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
    session_id = await store.created()
    await store.generation(session_id)
    assert await value(api, "requests_total", **BALANCE, status="200") == 3
    assert await value(api, "requests_total", **CREATE, status="201") == 1
    read = "/api/v1/generation/{session_id}"
    assert await value(api, "requests_total", route=read, status="200") == 1
    assert await value(api, "request_seconds_count", route=read) == 1
    assert session_id not in (await api.get("/metrics")).text


async def test_who_is_refused_is_counted_under_the_route_that_was_asked_for(
    api: httpx.AsyncClient, operator: Operator, store: StoreClient
) -> None:
    poor, hasty = await operator.store(credits=0), await operator.store(tier="tight")
    await api.get("/api/v1/credits/balance")
    await poor.create()
    for _ in range(2):
        await hasty.create()
    await store.get("/api/v1/credits/balance", headers={"X-Request-Id": "x" * 201})
    await store.get("/api/v1/credits/balance", headers={"Origin": "https://not.example"})
    await store.send("DELETE", "/api/v1/credits/balance")
    await api.options("/api/v1/credits/balance", headers={"Origin": "https://not.example"})
    for status, method in (("401", "GET"), ("400", "GET"), ("405", "DELETE"), ("403", "OPTIONS")):
        labels = BALANCE | {"method": method}
        assert await value(api, "requests_total", **labels, status=status) == 1, status
    assert await value(api, "requests_total", **CREATE, status="402") == 1
    assert await value(api, "requests_total", **CREATE, status="429") == 1


async def test_an_address_has_one_route_whatever_else_is_wrong(api: httpx.AsyncClient) -> None:
    for number, (path, route) in enumerate(
        (
            ("/api/v1/generation/none-such", "/api/v1/generation/{session_id}"),
            ("//api/v1/generations/", "/api/v1/generations"),
            ("/api/admin/stores/x/keys/y", "/api/admin/stores/{store_id}/keys/{key_id}"),
            ("/api/admin/stores/x", "/api/admin/stores/{store_id}"),
            ("/api/trpc/a.b,c.d", "/api/trpc/{path}"),
            ("/api/trpc", "/api/trpc"),
            ("/results/odd", "/results/{token}"),
        )
    ):
        await api.send(api.build_request("BREW", f"http://api.test{path}"))
        samples = (await scraped(api))["storecredit_requests_total"]
        brewed = [labels["route"] for labels, _ in samples if labels["method"] == "other"]
        assert (brewed[-1], len(brewed)) == (route, number + 1)
    for path in ("/results", "/api/v1/credits", "/api/v1/credits/balance/more", "/nothing"):
        await api.get(path)
    assert await value(api, "requests_total", method="GET", route="unmatched") == 4


async def test_no_caller_can_make_up_new_series(api: httpx.AsyncClient, store: StoreClient) -> None:
    await store.send("BREW", "/api/v1/credits/balance")
    await api.get("/api/made-up-path")
    text = (await api.get("/metrics")).text
    assert "BREW" not in text
    assert "made-up" not in text
    assert await value(api, "requests_total", method="other") == 1
    assert await value(api, "requests_total", route="unmatched", status="404") == 1


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
