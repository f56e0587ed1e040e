"""`generation.onEnd`: the end of a generation, told by server-sent events."""

import asyncio
import json
from urllib.parse import quote

import httpx
import pytest

from storecredit.postgres.pool import Database
from storecredit.service import Service
from storecredit.web.http import streams
from storecredit.web.trpc import events as trpc_events
from storecredit.web.trpc import generation_procedures
from storecredit.web.trpc.errors import SILENCE_MAX_SECONDS
from storecredit.web.trpc.superjson import serialize
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.conftest import WorkerStarter
from tests.web.doors import Operator
from tests.web.events import BEGUN, ENDED, MEDIA_TYPE, events_of, refusal_in
from tests.web.node import run_script, served
from tests.web.users import TRPC, UserClient, error_in, refusal_of, result_of, user_of
from tests.web.waits import WAIT_MAX_SECONDS, complete, fail, waiting

ON_END = "generation.onEnd"
UNKNOWN = "0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2"


def asking(
    user: UserClient, session_id: str, headers: dict[str, str] | None = None, **more: object
) -> "asyncio.Task[httpx.Response]":
    """A subscription, until its answer has ended."""
    named = {"Accept": MEDIA_TYPE} | (headers or {})
    input_ = {"sessionId": session_id} | more
    return asyncio.create_task(user.query(ON_END, input_, headers=named))


async def answered(task: "asyncio.Task[httpx.Response]") -> httpx.Response:
    async with asyncio.timeout(WAIT_MAX_SECONDS):
        return await task


async def test_the_end_is_told_when_it_comes(service: Service, user: UserClient) -> None:
    session_id = await user.created()
    task = asking(user, session_id)
    await waiting(service)
    await complete(service, user, session_id)
    answer = await answered(task)
    assert answer.headers["x-request-id"]
    connected, told, ended = events_of(answer)
    assert (connected, ended) == (BEGUN, ENDED)
    assert (told.name, told.id) == ("message", session_id)
    generation = told.value()
    assert generation["status"] == "completed"
    assert generation["result_url"].startswith("http://api.test/results/")
    generation["result_url"] = None
    assert generation == await user.generation(session_id) | {"result_url": None}


async def test_a_failure_is_an_end_and_an_end_that_has_come_is_told_at_once(
    service: Service, user: UserClient
) -> None:
    session_id = await user.created()
    await fail(service, user, session_id)
    _, told, ended = events_of(await answered(asking(user, session_id)))
    assert (told.value()["error_code"], ended) == ("IMAGE_UNREADABLE", ENDED)


async def test_who_has_had_the_end_is_told_that_it_was_all(
    service: Service, user: UserClient
) -> None:
    session_id = await user.created()
    await fail(service, user, session_id)
    for headers, last in (
        ({"Last-Event-ID": session_id}, None),
        ({}, session_id),
        # The header is the newer of the two.
        ({"Last-Event-ID": session_id}, "another"),
    ):
        task = asking(user, session_id.upper(), headers, lastEventId=last)
        assert events_of(await answered(task)) == [BEGUN, ENDED]
    task = asking(user, session_id, {"Last-Event-ID": "another"}, lastEventId=session_id)
    assert [each.name for each in events_of(await answered(task))][1] == "message"


async def test_another_users_is_as_absent_as_an_unknown_one(
    user: UserClient, api: httpx.AsyncClient
) -> None:
    session_id = await user.created()
    errors = [
        refusal_in(await answered(asking(user_of(api), each))) for each in (session_id, UNKNOWN)
    ]
    assert errors[0] == errors[1]
    assert errors[0]["data"] == {"code": "NOT_FOUND", "httpStatus": 404, "path": ON_END}


async def test_what_is_wrong_is_told_as_an_event(user: UserClient, api: httpx.AsyncClient) -> None:
    error = refusal_in(await answered(asking(user, "no id")))
    assert error["data"] == {"code": "BAD_REQUEST", "httpStatus": 400, "path": ON_END}
    assert json.loads(error["message"])[0]["path"] == ["sessionId"]
    unknown = UserClient(api, user.user_id, "x.y.z")
    error = refusal_in(await answered(asking(unknown, UNKNOWN)))
    assert error["data"] == {"code": "UNAUTHORIZED", "httpStatus": 401, "path": ON_END}


async def test_a_token_may_come_by_the_clients_connection_params(
    service: Service, user: UserClient, api: httpx.AsyncClient, log: LogStream
) -> None:
    session_id = await user.created()
    await fail(service, user, session_id)
    input_ = quote(json.dumps(serialize({"sessionId": session_id})))

    async def ask(path: str, params: object) -> httpx.Response:
        sent = quote(json.dumps(params))
        return await api.get(f"{TRPC}/{path}?connectionParams={sent}&input={input_}")

    assert events_of(await ask(ON_END, {"token": user.token}))[-1] == ENDED
    assert user.token not in log.getvalue()
    wrong: tuple[object, ...] = ({}, {"token": 5}, {"token": "x"}, [], None, "x")
    for params in wrong:
        assert refusal_in(await ask(ON_END, params))["data"]["code"] == "UNAUTHORIZED"
    refusal_of(
        await ask("generation.getById", {"token": user.token}),
        401,
        "UNAUTHORIZED",
        "generation.getById",
    )


async def test_it_stands_alone_in_its_request(user: UserClient) -> None:
    calls = [(ON_END, {"sessionId": UNKNOWN})]
    [shape] = (await user.batch("GET", calls)).json()
    assert error_in(shape, 400, "BAD_REQUEST", ON_END) == "Cannot batch subscription calls"
    answer = await user.batch("GET", [*calls, ("credits.getPacks", {})])
    assert refusal_of(answer, 400, "BAD_REQUEST").startswith("Cannot mix procedure types")


async def test_a_silent_stream_says_that_it_lives(
    service: Service, user: UserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 * trpc_events.PING_SECONDS < SILENCE_MAX_SECONDS
    monkeypatch.setattr(trpc_events, "PING_SECONDS", 0.05)
    named: list[str] = []

    event = streams.event

    def noted(name: str) -> bytes:
        named.append(name)
        return event(name)

    monkeypatch.setattr(streams, "event", noted)
    session_id = await user.created()
    task = asking(user, session_id)
    await waiting(service)
    await until(lambda: named.count("ping") >= 2)
    await fail(service, user, session_id)
    connected, *pings, told, ended = events_of(await answered(task))
    assert (connected, told.name, ended) == (BEGUN, "message", ENDED)
    assert len(pings) >= 2
    assert set(pings) == {("ping", "", None)}


async def test_a_stop_ends_it_without_an_end_so_that_the_client_comes_again(
    service: Service, user: UserClient
) -> None:
    session_id = await user.created()
    task = asking(user, session_id)
    await waiting(service)
    service.parts.endings.close()
    assert events_of(await answered(task)) == [BEGUN]
    # And who comes while it stops is told to come again as well.
    assert events_of(await answered(asking(user, session_id))) == [BEGUN]


async def test_an_erased_user_is_told_of_the_end(
    service: Service, user: UserClient, operator: Operator
) -> None:
    session_id = await user.created()
    task = asking(user, session_id)
    await waiting(service)
    assert (await operator.post(f"/users/{user.user_id}/erase")).status_code == 200
    _, told, ended = events_of(await answered(task))
    assert (told.value()["status"], ended) == ("failed", ENDED)


async def test_a_database_that_is_away_has_the_client_come_again(
    service: Service, user: UserClient, database: Database
) -> None:
    session_id = await user.created()
    await user.balance()
    await database.close()
    error = refusal_in(await answered(asking(user, session_id)))
    assert error["data"]["code"] == "SERVICE_UNAVAILABLE"
    assert error["code"] == -32603, "one of those after which the client comes again"


async def test_a_read_can_wait_as_well(service: Service, user: UserClient) -> None:
    session_id = await user.created()
    by_id = ("generation.getById", {"sessionId": session_id, "wait": 60})
    calls = [by_id, ("credits.getPacks", {}), by_id]
    task = asyncio.create_task(user.batch("GET", calls))
    await waiting(service, 2)
    await fail(service, user, session_id)
    first, _, last = (await answered(task)).json()
    assert first == last
    assert first["result"]["data"]["json"]["status"] == "failed"
    answer = await user.query("generation.getById", {"sessionId": session_id, "wait": 61})
    assert json.loads(refusal_of(answer, 400, "BAD_REQUEST", by_id[0]))[0]["path"] == ["wait"]
    assert result_of(await user.query(*by_id))["status"] == "failed"


async def test_the_official_client_is_told_of_the_end(
    service: Service, api: httpx.AsyncClient, worker: WorkerStarter
) -> None:
    user = user_of(api)
    failing = await user.created()
    await fail(service, user, failing)
    open_, other = await user.created(), await user_of(api).created()
    async with served(service) as port:
        url = f"http://127.0.0.1:{port}{TRPC}"
        script = asyncio.create_task(
            run_script("subscriptions.mjs", url, user.token, failing, open_, other)
        )
        await waiting(service, 3)
        async with worker():
            await script
    await waiting(service, 0)


async def test_the_official_client_comes_again_when_a_stream_ends_before_its_event(
    service: Service, user: UserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await user.created()
    monkeypatch.setattr(generation_procedures, "SUBSCRIPTION_MAX_SECONDS", 0.1)
    async with served(service) as port:
        url = f"http://127.0.0.1:{port}{TRPC}"
        script = asyncio.create_task(run_script("comes-again.mjs", url, user.token, session_id))
        await waiting(service, 1)
        await waiting(service, 0)
        await fail(service, user, session_id)
        said = json.loads(await script)
    assert said["told"] == ["failed"]
    assert said["connected"] >= 2, "a slow machine may have it come more than once"
