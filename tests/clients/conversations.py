"""A conversation of the client for Python, held without a socket."""

from typing import TypeVar

import msgspec

from storecredit_client import RetryPolicy
from storecredit_client.exchange import Conversation, Lost, Pause, Reply, Request

T = TypeVar("T")

POLICY = RetryPolicy(backoff_seconds=1, backoff_max_seconds=4)
SPENT = {"request_id": "a", "amount": 5, "balance": 95, "charged_as": "balance"}


def reply(status: int, content: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, msgspec.json.encode(content))


def refusal(code: str, status: int, **fields: object) -> Reply:
    return reply(status, {"data": None, "error": {"code": code, "message": "No.", **fields}})


SUCCESS = reply(201, {"data": SPENT, "error": None}, x_request_id="a", x_credits_remaining="95")


def held(conversation: Conversation[T], *outcomes: Reply | Lost) -> tuple[T, list[float]]:
    """The result when requests end like this, and the pauses between them."""
    pauses: list[float] = []
    pending = list(outcomes)
    step = next(conversation)
    while True:
        try:
            match step:
                case Request():
                    step = conversation.send(pending.pop(0))
                case Pause(seconds):
                    pauses.append(seconds)
                    step = next(conversation)
        except StopIteration as end:
            assert pending == []
            return end.value, pauses
