"""Names that are not answered hold up no other name, and no end of the process."""

import asyncio
import socket
from collections.abc import Iterator
from threading import Event

import pytest

from storecredit.outbound import name_lookups
from storecredit.outbound.name_lookups import LOOKUPS_MAX, NameLookups

SLOW = [f"slow-{number}.example" for number in range(LOOKUPS_MAX)]


class NameServer:
    """Answers at once, but for names that are slow: those when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = Event()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answers.wait()
        if "unknown" in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["192.0.2.1"]


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.answers.set()


async def test_the_system_is_asked() -> None:
    assert set(await NameLookups()("localhost", 80)) <= {"127.0.0.1", "::1"}


async def test_names_that_are_not_answered_hold_up_no_other(server: NameServer) -> None:
    resolve = NameLookups(server)
    waiting = [asyncio.ensure_future(resolve(host, 443)) for host in SLOW[:-1]]
    await asyncio.sleep(0)
    assert await resolve("quick.example", 443) == ["192.0.2.1"]
    assert not any(each.done() for each in waiting)
    server.answers.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * len(waiting)


async def test_a_name_is_looked_up_once_at_a_time_and_whoever_leaves_takes_nobody_along(
    server: NameServer,
) -> None:
    resolve = NameLookups(server)
    leaving, staying = [asyncio.ensure_future(resolve(SLOW[0], port)) for port in (443, 8443)]
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    server.answers.set()
    assert await staying == ["192.0.2.1"]
    assert server.asked == [SLOW[0]]
    await resolve(SLOW[0], 443)
    assert server.asked == [SLOW[0]] * 2, "nothing is kept of it"


async def test_what_went_wrong_is_told_to_all_who_ask(server: NameServer) -> None:
    resolve = NameLookups(server)
    asked = [asyncio.ensure_future(resolve("slow-unknown.example", 443)) for _ in range(2)]
    await asyncio.sleep(0)
    server.answers.set()
    for each in asked:
        with pytest.raises(socket.gaierror) as raised:
            await each
        assert raised.value.errno == socket.EAI_NONAME


async def test_of_many_names_the_last_wait_for_one_that_is_done(server: NameServer) -> None:
    resolve = NameLookups(server)
    looked_up = [asyncio.ensure_future(resolve(host, 443)) for host in SLOW]
    names = [f"quick-{number}.example" for number in range(3)]
    waiting = [asyncio.ensure_future(resolve(name, 443)) for name in names]
    await asyncio.sleep(0)
    waiting.pop(0).cancel()
    assert set(server.asked) <= set(SLOW)
    server.answers.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * 2
    await asyncio.gather(*looked_up)
    assert sorted(server.asked) == sorted(SLOW + names)


async def test_of_too_many_names_the_last_are_not_looked_up_now(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookups, "NAMES_MAX", 2)
    resolve = NameLookups(server)
    asked = [asyncio.ensure_future(resolve(host, 443)) for host in SLOW[:2]]
    await asyncio.sleep(0)
    with pytest.raises(socket.gaierror) as raised:
        await resolve("quick.example", 443)
    assert raised.value.errno == socket.EAI_AGAIN
    server.answers.set()
    await asyncio.gather(*asked)
    assert await resolve("quick.example", 443) == ["192.0.2.1"]


def test_an_end_does_not_wait_for_names_that_are_not_answered(server: NameServer) -> None:
    async def leave() -> None:
        asking = asyncio.ensure_future(NameLookups(server)(SLOW[0], 443))
        await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(leave())
    assert not server.answers.is_set()
