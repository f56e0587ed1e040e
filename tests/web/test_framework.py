"""What a service answers while the framework over its routes is still being made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from threading import Event
from typing import Any
from unittest.mock import patch

import httpx
from litestar import Litestar

from storecredit.service import Service
from storecredit.settings import Settings
from storecredit.stores.api_keys import new_key
from storecredit.web.app import create_app, framework_of
from tests.log_stream import LogStream
from tests.web.doors import CREATE, StoreClient, data_of, error_of
from tests.web.frameworks import framework_used_again

BALANCE = "/api/v1/credits/balance"


class Opening:
    """A service whose framework is made when it is let be, and a client of it."""

    def __init__(self, service: Service, may_be_made: Event) -> None:
        self._may_be_made = may_be_made
        framework = framework_of(service.parts)
        self.making = asyncio.create_task(framework.make_beside())
        app: Any = create_app(service.parts, framework=framework)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api.test"
        )

    async def whole(self) -> None:
        """Let it be made."""
        self._may_be_made.set()
        await self.making


@asynccontextmanager
async def opening(service: Service) -> AsyncIterator[Opening]:
    may_be_made = Event()
    with framework_used_again(service.parts.settings) as made:

        def make(_settings: Settings) -> Litestar:
            may_be_made.wait()
            return made

        with patch("storecredit.web.app.framework_for", make):
            found = Opening(service, may_be_made)
            try:
                async with found.http:
                    yield found
            finally:
                await found.whole()


async def test_the_busiest_routes_are_served_at_once(store: StoreClient, service: Service) -> None:
    async with opening(service) as start:
        early = replace(store, http=start.http)
        data_of(await early.create("order-1"), 201)
        assert await early.balance() == 99
        assert not start.making.done()


async def test_all_others_are_served_once_it_is_there(store: StoreClient, service: Service) -> None:
    async with opening(service) as start:
        early = replace(store, http=start.http)
        waiting = [
            asyncio.create_task(each)
            for each in (
                early.get("/api/v1/generations"),
                start.http.get("/health/ready"),
                start.http.get("/nowhere"),
                start.http.head("/health/live"),
                # Of an unusual form: the framework says what is wrong with it.
                early.create_raw(b"{"),
            )
        ]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        await start.whole()
        answers = await asyncio.gather(*waiting)
        assert [each.status_code for each in answers] == [200, 200, 404, 200, 400]


async def test_who_is_refused_is_counted_under_the_route_that_was_asked_for(
    store: StoreClient, service: Service, log: LogStream
) -> None:
    async with opening(service) as start:
        unknown = replace(store, http=start.http, api_key=new_key())
        log.forget()
        error_of(await unknown.get(BALANCE), 401, "INVALID_API_KEY")
        error_of(await unknown.create(), 401, "INVALID_API_KEY")
        waiting = asyncio.create_task(unknown.get("/api/v1/generations"))
        # Refused like the others, but under a route that is not known yet.
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        await start.whole()
        error_of(await waiting, 401, "INVALID_API_KEY")
        routes = [line["route"] for line in log.events("request")]
        assert routes == [BALANCE, CREATE, "/api/v1/generations"]
