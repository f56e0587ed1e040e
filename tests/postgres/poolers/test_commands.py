"""The real commands behind a real PgBouncer: they work, or refuse in one sentence."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.e2e.conftest import Serving, Storecredit, storecredit_in
from tests.image_files import data_url, picture
from tests.postgres.poolers.pgbouncer import PARAMETERS, PgBouncer, pgbouncer
from tests.running_listener import until

TOKEN = "operator"


@pytest.fixture
def storecredit(tmp_path: Path) -> Iterator[Storecredit]:
    with storecredit_in(tmp_path) as command:
        yield command


class Shop:
    """A store of a service that runs, and what it does."""

    def __init__(self, serving: Serving) -> None:
        self._url = f"{serving.url}/api/v1/generation"
        key = serving.made_store(TOKEN, credits=100)["api_key"]
        self._headers = {"Authorization": f"Bearer {key}"}

    def create(self) -> httpx.Response:
        body = {"image_urls": [data_url(picture())]}
        return httpx.post(f"{self._url}/create", json=body, headers=self._headers, timeout=60.0)

    async def until_created(self) -> None:
        """A generation is accepted, and made."""
        created: list[httpx.Response] = []

        def is_accepted() -> bool:
            created.append(self.create())
            assert created[-1].status_code in {201, 503}
            return created[-1].status_code == 201

        await until(is_accepted)
        url = f"{self._url}/{created[-1].json()['data']['session_id']}"
        await until(lambda: self._status(url) == "completed")

    def _status(self, url: str) -> str | None:
        # Asked again and again instead, it would come to the store's limit of reads per minute.
        answer = httpx.get(url, params={"wait": 5}, headers=self._headers)
        return str(answer.json()["data"]["status"]) if answer.is_success else None


async def test_a_service_works_in_session_mode_and_through_restarts_and_never_as_the_owner(
    storecredit: Storecredit, keeping_parameters: PgBouncer, admin: asyncpg.Connection, login: str
) -> None:
    async with keeping_parameters.running(login) as bouncer:
        url = bouncer.url(login)
        serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN, STORECREDIT_DATABASE_URL=url)
        shop = Shop(serving)
        await shop.until_created()
        listed = storecredit("store", "list", "--json", STORECREDIT_DATABASE_URL=url).json()
        assert len(listed["items"]) == 1
        # As a restart of the server: all of its sessions are gone.
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", login
        )
        await shop.until_created()
    async with keeping_parameters.running(login):
        await shop.until_created()

    # What the sessions bring along is taken from them, under the running service.
    movements = await admin.fetchval("SELECT count(*) FROM movements")
    await admin.execute(f"ALTER ROLE {login} RESET role")
    async with keeping_parameters.running(login):
        assert shop.create().status_code == 503
        assert httpx.get(f"{serving.url}/health/ready").status_code == 503
    assert await admin.fetchval("SELECT count(*) FROM movements") == movements
    said = serving.events("request_not_served")[-1]["error"]
    assert f"role is {login}, not storecredit_app" in said
    await admin.execute(f"ALTER ROLE {login} SET role = storecredit_app")
    async with keeping_parameters.running(login):
        await shop.until_created()
        assert serving.stop() == 0
    broken = [line for line in serving.log if "exception" in line]
    assert {line["component"] for line in broken} <= {"pgqueuer"}


@pytest.mark.parametrize(
    "mode, parameters, command, said",
    [
        ("session", "", "serve --port 0", "unsupported startup parameter"),
        ("session", "", "migrate", "unsupported startup parameter: search_path"),
        ("transaction", PARAMETERS, "worker", "in transaction or statement mode"),
        ("statement", PARAMETERS, "store list", "in transaction or statement mode"),
    ],
)
async def test_what_does_not_work_behind_it_is_told_in_one_sentence(
    storecredit: Storecredit,
    database_url: str,
    login: str,
    mode: str,
    parameters: str,
    command: str,
    said: str,
) -> None:
    with pgbouncer(database_url, pool_mode=mode, ignore_startup_parameters=parameters) as made:
        async with made.running(login) as bouncer:
            url = bouncer.url(login)
            told = storecredit(*command.split(), STORECREDIT_DATABASE_URL=url).sentence()
    assert "a pooler (PgBouncer or its like)" in told
    assert said in told
    assert "docs/poolers.md" in told
