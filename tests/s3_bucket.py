"""A bucket on loopback, for whoever keeps something in one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from stand_ins.http_server import Answer, Received, StandIn, stand_in
from stand_ins.s3 import BUCKET, S3

PREFIX = "a shop's+more/100%20 größe#?"
"""All of it allowed, and taken as it stands."""
URL = f"s3://{BUCKET}/{PREFIX}"
IN_LINKS = f"/{BUCKET}/{quote(PREFIX, safe='/')}"
"""What the path of a link begins with."""


@dataclass(frozen=True, slots=True)
class RunningBucket:
    """The server, and what is in the bucket."""

    server: StandIn
    s3: S3

    def names(self) -> set[str]:
        """What is stored below the prefix; there is nothing else."""
        assert all(key.startswith(f"{PREFIX}/") for key in self.s3.objects)
        return {key.removeprefix(f"{PREFIX}/") for key in self.s3.objects}

    def answers(self, answer: Answer) -> None:
        """From now on, whatever is asked."""
        self.server.handler = lambda _: answer

    def comes_back(self) -> None:
        """From now on it answers as it should."""
        self.server.handler = self.s3

    def asked(self, method: str) -> list[Received]:
        """What it was asked by that method."""
        return [each for each in self.server.received if each.method == method]


@asynccontextmanager
async def running_bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningBucket]:
    """A bucket that AWS's variables name, for as long as the block lasts."""
    s3 = S3()
    async with stand_in(s3) as server:
        for name, value in S3.variables(server.url("")).items():
            monkeypatch.setenv(name, value)
        yield RunningBucket(server, s3)
