"""Webhooks as Paddle sends them, and as it would never send them.

https://developer.paddle.com/webhooks/about/respond-to-webhooks
https://developer.paddle.com/webhooks/signature-verification
"""

import hmac
import time
from collections.abc import Iterable, Sequence
from random import Random
from uuid import uuid4

import httpx

from stand_ins.paddle.account import Event

ANSWER_LIMIT_SECONDS = 5.0
"""Paddle takes anything but a 200 within this time for a failed delivery."""


def sign(body: bytes, *secrets: str, at: float | None = None) -> str:
    """The `Paddle-Signature` of that body, by each of the secrets."""
    stamp = int(time.time() if at is None else at)
    signed = str(stamp).encode() + b":" + body
    parts = [hmac.new(secret.encode(), signed, "sha256").hexdigest() for secret in secrets]
    return ";".join([f"ts={stamp}", *(f"h1={part}" for part in parts)])


class Webhooks:
    """Delivers events to one URL."""

    def __init__(self, url: str, secret: str, *, wait_max_seconds: float) -> None:
        """`wait_max_seconds`: for an answer; what takes longer raises `httpx.ReadTimeout`."""
        self.url = url
        self.secret = secret
        self._wait_max_seconds = wait_max_seconds
        # Made once: a client that makes its own takes longer for it than for its request.
        self._tls = httpx.create_ssl_context()

    async def send(
        self,
        event: Event,
        *,
        secret: str | None = None,
        at: float | None = None,
        signature: str | None = None,
        body: bytes | None = None,
    ) -> httpx.Response:
        """Deliver once.

        Forged by another `secret`, a stale `at` or any `signature`; `body` goes in place of the
        one that is signed.
        """
        signed = event.body(f"ntf_01{uuid4().hex[:24]}")
        header = sign(signed, secret or self.secret, at=at) if signature is None else signature
        headers = {"Content-Type": "application/json", "User-Agent": "Paddle"}
        if header:
            headers["Paddle-Signature"] = header
        async with httpx.AsyncClient(timeout=self._wait_max_seconds, verify=self._tls) as client:
            return await client.post(
                self.url, content=signed if body is None else body, headers=headers
            )

    async def send_all(
        self, events: Iterable[Event], *, copies: int = 1, shuffle: Random | None = None
    ) -> Sequence[int]:
        """Deliver each so many times, in order or shuffled; the statuses of the answers."""
        queue = [event for event in events for _ in range(copies)]
        if shuffle is not None:
            shuffle.shuffle(queue)
        return [(await self.send(event)).status_code for event in queue]
