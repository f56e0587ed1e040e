"""The Paddle stand-in as a process of its own, beside commands that block the test."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Paddle:
    """Where it is, and what a service that uses it needs to know."""

    url: str
    key: str
    secret: str

    @property
    def variables(self) -> dict[str, str]:
        """The settings of a service that sells through it."""
        return {
            "STORECREDIT_PADDLE_API_URL": self.url,
            "STORECREDIT_PADDLE_API_KEY": self.key,
            "STORECREDIT_PADDLE_WEBHOOK_SECRET": self.secret,
            # A busy machine may take its time to let a webhook in.
            "STORECREDIT_PADDLE_WEBHOOK_TOLERANCE_SECONDS": "300",
        }

    def tell(self, what: str, **asked: object) -> Sequence[str]:
        """Have something happen there (`stand_ins/paddle/control.py`); the events it makes."""
        answer = httpx.post(f"{self.url}/control/{what}", json=asked)
        events: Sequence[str] = answer.raise_for_status().json()["events"]
        return events

    def state(self) -> dict[str, Any]:
        """Everything there is at Paddle."""
        state: dict[str, Any] = httpx.get(f"{self.url}/control/state").raise_for_status().json()
        return state


@contextmanager
def paddle_process(*arguments: str) -> Iterator[Paddle]:
    """Run it on a free port until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stand_ins.paddle", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield Paddle(told["api_url"], told["api_key"], told["webhook_secret"])
    finally:
        process.terminate()
        process.communicate()
