"""A blocked user is refused whatever its tokens ask for, on every process, until let in again."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from storecredit.postgres.pool import Database
from storecredit.service import Service, assembled
from storecredit.settings import Settings
from tests.image_files import data_url, picture
from tests.log_stream import LogStream
from tests.running_listener import until
from tests.web.conftest import WorkerStarter, http_client
from tests.web.doors import ENDING_SECONDS_MAX, IMAGE, Operator, data_of
from tests.web.node import run_script, served
from tests.web.table_rows import of_all_buckets
from tests.web.users import TRPC, UserClient, refusal_of, token_of, user_of

BLOCKED = "This user is blocked. Nothing was done."


async def becomes(user: UserClient, status: int) -> None:
    """The user's calls are answered with this status, soon."""
    async with asyncio.timeout(ENDING_SECONDS_MAX):
        while True:
            if (await user.query("credits.getBalance")).status_code == status:
                return
            await asyncio.sleep(0.02)


async def test_a_user_is_blocked_and_let_in_again_on_every_process(
    settings: Settings, database: Database, log: LogStream
) -> None:
    async with AsyncExitStack() as stack:
        users: list[UserClient] = []
        operators: list[Operator] = []
        for _ in range(2):
            service = await stack.enter_async_context(assembled(settings, database))
            await until(service.listener.is_fresh)
            api = await stack.enter_async_context(http_client(service))
            users.append(user_of(api, users[0].user_id if users else None))
            operators.append(Operator(api))
        other = user_of(users[0].http)
        for user in users:
            assert await user.balance() == 10
        path = f"/users/{users[0].user_id}"
        view = data_of(await operators[0].post(f"{path}/block"))
        assert view["status"] == "blocked"
        assert view["blocked_at"] is not None
        again = data_of(await operators[0].post(f"{path}/block"))
        assert again == data_of(await operators[1].get(path)) == view, "it keeps the first moment"
        for user in users:
            await becomes(user, 403)
            assert (
                refusal_of(await user.create("look-1"), 403, "FORBIDDEN", "generation.create")
                == BLOCKED
            )
        assert await other.balance() == 10
        for _ in range(2):
            view = data_of(await operators[1].post(f"{path}/unblock"))
            assert (view["status"], view["blocked_at"]) == ("active", None)
        for user in users:
            await becomes(user, 200)
        assert await users[0].created("look-1")
        assert await users[1].balance() == 9
    assert log.events("user_blocked")


async def test_the_official_client_is_told_and_nothing_is_done(
    service: Service, operator: Operator, user: UserClient, admin: asyncpg.Connection
) -> None:
    assert await user.balance() == 10
    data_of(await operator.post(f"/users/{user.user_id}/block"))
    await becomes(user, 403)
    async with served(service) as port:
        url = f"http://127.0.0.1:{port}{TRPC}"
        await run_script("refusals.mjs", url, "blocked", user.token, IMAGE)
    assert len(await of_all_buckets(admin, "SELECT FROM movements")) == 1
    assert await of_all_buckets(admin, "SELECT FROM sessions") == []


async def test_what_a_blocked_user_had_begun_ends_as_it_would(
    operator: Operator, user: UserClient, worker: WorkerStarter
) -> None:
    done = await user.created("good")
    broken = await user.created("bad", modelImageUrl=data_url(picture()[:40]))
    path = f"/users/{user.user_id}"
    assert data_of(await operator.post(f"{path}/block"))["balance"] == 8
    async with worker(generator_attempts=1):
        async with asyncio.timeout(ENDING_SECONDS_MAX):
            while True:
                items = data_of(await operator.get(f"{path}/generations"))["items"]
                if all(item["status"] in {"completed", "failed"} for item in items):
                    break
                await asyncio.sleep(0.02)
    ended = {item["session_id"]: item["status"] for item in items}
    assert ended == {done: "completed", broken: "failed"}
    assert data_of(await operator.get(path))["balance"] == 9
    data_of(await operator.post(f"{path}/credits", amount=1, type="grant", request_id="r"), 201)
    assert data_of(await operator.get("/verify"))["clean"]


async def test_who_was_anonymous_and_is_blocked_is_given_nothing_until_let_in(
    settings: Settings, database: Database, log: LogStream
) -> None:
    assert log.lines() == []
    withholding = settings.model_copy(update={"anonymous_starter_credits": False})
    async with assembled(withholding, database) as service, http_client(service) as api:
        await until(service.listener.is_fresh)
        anonymous = user_of(api, is_anonymous=True)
        signed_up = user_of(api, anonymous.user_id)
        assert await anonymous.balance() == 0
        operator, path = Operator(api), f"/users/{anonymous.user_id}"
        data_of(await operator.post(f"{path}/block"))
        for user in (signed_up, anonymous, signed_up):
            await becomes(user, 403)
        assert data_of(await operator.get(path))["balance"] == 0
        data_of(await operator.post(f"{path}/unblock"))
        await becomes(signed_up, 200)
        assert await signed_up.balance() == 10


async def test_a_token_that_is_none_is_no_blocked_users(
    operator: Operator, user: UserClient
) -> None:
    assert await user.balance() == 10
    data_of(await operator.post(f"/users/{user.user_id}/block"))
    await becomes(user, 403)
    for token in ("x.y.z", token_of(user.user_id, exp=1), token_of("7")):
        nobody = UserClient(user.http, user.user_id, token)
        refusal_of(
            await nobody.query("credits.getBalance"), 401, "UNAUTHORIZED", "credits.getBalance"
        )
