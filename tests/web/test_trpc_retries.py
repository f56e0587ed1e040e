"""The client of docs/b2c.md, as it stands there, behind a proxy that loses answers.

The proxy is a real one on loopback: it has the service's whole answer before it loses any of it, so
all that was asked for was done, and the app does not know.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from stand_ins.http_server import Answer, Received, StandIn, stand_in
from storecredit.service import Service
from storecredit.web.trpc.router_types import module
from tests.e2e.page_commands import Page
from tests.image_files import data_url, picture
from tests.web.node import compiled, run_script, served
from tests.web.table_rows import Rows
from tests.web.users import UserClient

ADDRESS = "http://127.0.0.1:8080"
"""What the reader of the page replaces."""
IMAGES = [data_url(picture(colour=colour)) for colour in ("red", "green", "blue")]
Loss = Callable[[bytes], bytes | None]
HOP_BY_HOP = {"host", "connection", "content-length", "accept-encoding"}


@asynccontextmanager
async def losing(
    service: Service, first: Callable[[bytes], bytes | None]
) -> AsyncIterator[StandIn]:
    """A proxy to the service: of the first answer `first` says what still arrives, None: nothing.

    The connection then breaks. All other answers arrive.
    """
    async with served(service) as port, httpx.AsyncClient() as upstream:

        async def forward(asked: Received) -> Answer:
            is_first = len(proxy.received) == 1
            kept = {name: it for name, it in asked.headers.items() if name not in HOP_BY_HOP}
            target = urlsplit(asked.path)
            answer = await upstream.request(
                asked.method,
                f"http://127.0.0.1:{port}{target.path}",
                params=target.query,
                headers=kept,
                content=asked.body,
            )
            arrives = first(answer.content) if is_first else answer.content
            if arrives is None:
                return Answer(break_off=True)
            headers = {"Content-Type": answer.headers["content-type"]}
            return Answer(answer.status_code, arrives, headers, length=len(answer.content))

        async with stand_in(forward) as proxy:
            yield proxy


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's client, compiled as it stands there."""
    directory = tmp_path_factory.mktemp("client")
    (directory / "storecredit.d.ts").write_text(module())
    (directory / "credits.ts").write_text(Page("docs/b2c.md").blocks("ts")[0])
    assert compiled(directory) == ""
    return directory / "credits.js"


async def made(client: Path, proxy: StandIn, user: UserClient, *images: str) -> list[str]:
    """The sessions that the page's client says were made."""
    program = client.read_text()
    assert program.count(ADDRESS) == 1
    own = client.with_name(f"credits-{proxy.port}.js")
    own.write_text(program.replace(ADDRESS, proxy.url("")))
    said = await run_script("retries.mjs", str(own), user.token, *images)
    return msgspec.json.decode(said, type=list[str])


def lines(count: int) -> Loss:
    """So many lines of a stream."""
    return lambda content: b"".join(content.splitlines(keepends=True)[:count])


def calls_of(proxy: StandIn) -> list[int]:
    """How many calls each request had."""
    return [urlsplit(asked.path).path.count(",") + 1 for asked in proxy.received]


@pytest.mark.parametrize(
    "first, retried",
    [
        (lambda _: None, 3),
        (lambda _: b"", 3),
        (lines(1), 3),
        (lines(1 + 3), 2),
        (lambda content: content[:-1], 1),
        (lambda content: content, 0),
    ],
    ids=["no answer", "its head", "no result", "one result", "all but a byte", "all"],
)
async def test_an_answer_that_is_lost_costs_nothing_and_the_app_sees_success(
    service: Service,
    user: UserClient,
    rows: Rows,
    client: Path,
    first: Loss,
    retried: int,
) -> None:
    async with losing(service, first) as proxy:
        sessions = await made(client, proxy, user, *IMAGES)

    together, *again = calls_of(proxy)
    assert (together, sum(again)) == (3, retried), "grouped anew, by the client's own clock"
    assert await user.balance() == 7
    jobs = await rows.jobs()
    assert sorted(job["session_id"] for job in jobs) == sorted(sessions)
    ids = proxy.received[0].headers["x-request-id"].split(",")
    assert {job["request_id"] for job in jobs} == set(ids)


async def test_two_operations_of_one_input_are_two_requests(
    service: Service, user: UserClient, rows: Rows, client: Path
) -> None:
    async with losing(service, lambda _: None) as proxy:
        sessions = await made(client, proxy, user, IMAGES[0], IMAGES[0])

    assert len(set(sessions)) == 2
    assert await user.balance() == 8
    assert len(await rows.jobs()) == 2


async def test_what_is_answered_for_good_is_not_tried_again(
    service: Service, user: UserClient, client: Path
) -> None:
    async with losing(service, lambda content: content) as proxy:
        with pytest.raises(AssertionError, match="BAD_REQUEST"):
            await made(client, proxy, user, "ftp://images.example/a.png")

    assert len(proxy.received) == 1
