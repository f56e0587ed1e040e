"""Events of a subscription's answer, read as an EventSource reads them (HTML, 9.2.6)."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

from storecredit.web.trpc.superjson import deserialize

MEDIA_TYPE = "text/event-stream"
BEGUN = ("connected", '{"reconnectAfterInactivityMs":50000}', None)
ENDED = ("return", "", None)


class Event(NamedTuple):
    name: str
    data: str
    id: str | None

    def value(self) -> Any:
        """What superjson made of its data."""
        return deserialize(json.loads(self.data))


def events_of(answer: httpx.Response) -> list[Event]:
    """The events of a whole answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    return list(events_in(answer.text))


def events_in(text: str) -> Iterator[Event]:
    """Those that have data, even if it is an empty line: no others reach an app."""
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.strip("\n").split("\n") if line]
        found = {name: value for name, _, value in lines}
        assert len(found) == len(lines), "no field stands twice"
        if "data" in found:
            yield Event(found.get("event", "message"), found["data"], found.get("id"))


def refusal_in(answer: httpx.Response) -> dict[str, Any]:
    """The error that ends a subscription as soon as it begins."""
    connected, error = events_of(answer)
    assert connected.name == "connected"
    assert error.name == "serialized-error"
    content: dict[str, Any] = error.value()
    assert set(content) == {"message", "code", "data"}
    assert "Traceback" not in answer.text
    return content
