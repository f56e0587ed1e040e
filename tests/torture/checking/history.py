"""The record, read: what was asked, how often it was sent, and what each sending was answered.

Lines, each with `event` and `at`:

- `asked` (n, attempt, owner, kind, key, door, said): a sending goes out; n names the request;
- `answered` (n, attempt, status, replayed, told) or `unanswered` (n, attempt, why): its end; a
  sending with neither was under way when the run ended;
- `opened` (owner, balance): an owner as it was before anything was asked;
- `paid`, `charged_back` (transaction): what a buyer or a buyer's bank did;
- `heard` (who, id, type, data): an event that a receiver took;
- `strike`, `struck` (what, kills): what was done to the service.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

WELL: Final = {200, 201}
NOT_DONE: Final = {401, 429}
"""Answers of one who was not let in: nothing was done, and nothing is said of later."""
UNKNOWN_STATUSES: Final = {500, 502, 503, 504}


@dataclass(slots=True)
class Sending:
    """One time that a request was sent."""

    asked_at: float
    ended_at: float = math.inf
    status: int | None = None
    replayed: bool = False
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return self.status in WELL

    @property
    def is_unknown(self) -> bool:
        """Whether nobody was told what came of it."""
        return self.status is None or self.status in UNKNOWN_STATUSES

    @property
    def is_refused(self) -> bool:
        """Whether it was told that nothing was done."""
        return not self.is_well and not self.is_unknown


@dataclass(slots=True)
class Request:
    """One thing that was asked for, under one id."""

    n: int
    owner: str
    kind: str
    key: str | None
    said: dict[str, Any]
    sendings: dict[int, Sending] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.key} of {self.owner}"

    @property
    def well(self) -> list[Sending]:
        """The sendings that were told it is done, in the order of their answers."""
        found = [each for each in self.sendings.values() if each.is_well]
        return sorted(found, key=lambda each: each.ended_at)

    @property
    def unknown(self) -> list[Sending]:
        return [each for each in self.sendings.values() if each.is_unknown]


@dataclass(slots=True)
class History:
    """All that was recorded."""

    requests: list[Request] = field(default_factory=list)
    opened: dict[str, tuple[float, int]] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)
    charged_back: list[str] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "History":
        """From a file."""
        with path.open(encoding="utf-8") as file:
            return cls.of(json.loads(line) for line in file)

    @classmethod
    def of(cls, lines: Iterable[dict[str, Any]]) -> "History":
        """From its lines."""
        history, by_number = cls(), dict[int, Request]()
        for line in lines:
            match line["event"]:
                case "asked":
                    request = by_number.get(line["n"])
                    if request is None:
                        request = by_number[line["n"]] = Request(
                            line["n"], line["owner"], line["kind"], line["key"], line["said"]
                        )
                        history.requests.append(request)
                    request.sendings[line["attempt"]] = Sending(line["at"])
                case "answered":
                    sending = by_number[line["n"]].sendings[line["attempt"]]
                    sending.ended_at, sending.status = line["at"], line["status"]
                    sending.replayed, sending.told = line["replayed"], line["told"]
                case "opened":
                    history.opened[line["owner"]] = (line["at"], line["balance"])
                case "paid" | "charged_back":
                    getattr(history, line["event"]).append(line["transaction"])
                case "heard":
                    history.heard.append(line)
                case _:
                    pass
        return history

    def of_kind(self, *kinds: str) -> Iterator[Request]:
        """The requests of these kinds."""
        return (request for request in self.requests if request.kind in kinds)

    def counts(self) -> dict[str, int]:
        """How much of everything: requests, sendings, and what became of those without a word."""
        keyed = [request for request in self.requests if request.key is not None]
        doubted = [request for request in keyed if request.unknown]
        return {
            "requests": len(self.requests),
            "sendings": sum(len(request.sendings) for request in self.requests),
            "doubted": len(doubted),
            "resolved": sum(bool(request.well) for request in doubted),
            "events": len(self.heard),
        }
