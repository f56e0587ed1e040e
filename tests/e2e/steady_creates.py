"""A store's server that asks for one generation after the other, while something else goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import httpx

from tests.e2e.conftest import WAIT_MAX_SECONDS, until

DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mNUq+hjwAaY"
    "GHCAwSkBAO6oATye9rWzAAAAAElFTkSuQmCC"
)

THINK_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Create:
    """A request that was answered with 201, and by this machine's clock when."""

    request_id: str
    session_id: str
    sent_at: datetime
    answered_at: datetime


@dataclass(slots=True)
class Client:
    """A store's own server."""

    url: str
    key: str
    done: list[Create] = field(default_factory=list)
    failure: Exception | None = None

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return httpx.request(method, f"{self.url}{path}", headers=headers, **options)

    def create(self, request_id: str) -> httpx.Response:
        return self.request(
            "POST",
            "/api/v1/generation/create",
            json={"image_urls": [DOT]},
            headers={"Idempotency-Key": request_id},
        )

    def balance(self) -> int:
        answer = self.request("GET", "/api/v1/credits/balance").raise_for_status()
        return int(answer.json()["data"]["balance"])

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Ask for generations, one after the other, for as long as the block lasts."""
        stop = Event()
        thread = Thread(target=self._create_until, args=[stop], daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(WAIT_MAX_SECONDS)
        assert self.failure is None, self.failure

    def await_more(self, count: int) -> None:
        """Wait until so many more requests have been answered."""
        wanted = len(self.done) + count
        until(lambda: len(self.done) >= wanted or self.failure is not None, "more are answered")
        assert self.failure is None, self.failure

    def _create_until(self, stop: Event) -> None:
        try:
            while not stop.wait(THINK_SECONDS):
                request_id = f"order-{len(self.done)}"
                sent_at = datetime.now(UTC)
                answer = self.create(request_id)
                assert answer.status_code == 201, answer.text
                session_id = answer.json()["data"]["session_id"]
                self.done.append(Create(request_id, session_id, sent_at, datetime.now(UTC)))
        except (AssertionError, httpx.HTTPError) as failure:
            self.failure = failure
