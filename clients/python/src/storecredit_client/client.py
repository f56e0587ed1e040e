"""The client: a method for each call, and what is more than one call."""

from collections.abc import Callable, Iterator
from functools import wraps
from time import sleep
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

import httpx2

from storecredit_client import calls, webhook_calls
from storecredit_client.calling import Call, Page, following
from storecredit_client.connection import REQUEST_LOST, connection_options
from storecredit_client.exchange import (
    Answer,
    Conversation,
    Lost,
    Pause,
    Reading,
    Reply,
    Request,
    exchange,
)
from storecredit_client.models import Generation
from storecredit_client.retrying import RetryPolicy
from storecredit_client.waiting import until_ended

DEFAULT_POLICY: Final = RetryPolicy()
WAIT_SECONDS: Final = 300.0

P = ParamSpec("P")
T = TypeVar("T")


def _sending(make: Callable[P, Call[T]]) -> "Callable[Concatenate[Client, P], T]":
    """A method that makes a call, sends it, and gives what its answer holds."""

    @wraps(make)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(make(*args, **kwargs)).data

    return method


def _listing(make: Callable[P, Call[Page[T]]]) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    """A method that gives the items of all pages, each page when it is come to."""

    @wraps(make)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self.items(make(*args, **kwargs))

    return method


class Client:
    """Calls the service at `base_url` with a store's API key. Threads may share it.

    Every method raises what `errors.py` shows. Close it, or use it as a context.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        policy: RetryPolicy = DEFAULT_POLICY,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._policy = policy
        options = connection_options(base_url, api_key)
        self._http = httpx2.Client(**options, transport=transport)

    create_generation = _sending(calls.create_generation)
    get_generation = _sending(calls.get_generation)
    list_generations = _listing(calls.list_generations)
    get_balance = _sending(calls.get_balance)
    list_transactions = _listing(calls.list_transactions)
    list_grants = _listing(calls.list_grants)
    get_ledger_proof = _sending(calls.get_ledger_proof)
    list_holds = _listing(calls.list_holds)
    create_hold = _sending(calls.create_hold)
    get_hold = _sending(calls.get_hold)
    capture_hold = _sending(calls.capture_hold)
    release_hold = _sending(calls.release_hold)
    extend_hold = _sending(calls.extend_hold)
    spend_credits = _sending(calls.spend_credits)
    spend_credits_in_batch = _sending(calls.spend_credits_in_batch)
    get_spend = _sending(calls.get_spend)
    refund_spend = _sending(calls.refund_spend)
    create_checkout = _sending(calls.create_checkout)
    list_plans = _sending(calls.list_plans)
    list_subscriptions = _sending(calls.list_subscriptions)
    get_top_up = _sending(calls.get_top_up)
    set_top_up = _sending(calls.set_top_up)
    delete_top_up = _sending(calls.delete_top_up)
    create_portal_session = _sending(calls.create_portal_session)
    get_health = _sending(calls.get_health)
    list_webhooks = _sending(webhook_calls.list_webhooks)
    create_webhook = _sending(webhook_calls.create_webhook)
    get_webhook = _sending(webhook_calls.get_webhook)
    update_webhook = _sending(webhook_calls.update_webhook)
    delete_webhook = _sending(webhook_calls.delete_webhook)
    rotate_webhook_secret = _sending(webhook_calls.rotate_webhook_secret)
    enable_webhook = _sending(webhook_calls.enable_webhook)
    disable_webhook = _sending(webhook_calls.disable_webhook)
    test_webhook = _sending(webhook_calls.test_webhook)
    list_webhook_deliveries = _listing(webhook_calls.list_webhook_deliveries)
    get_webhook_delivery = _sending(webhook_calls.get_webhook_delivery)
    resend_webhook_delivery = _sending(webhook_calls.resend_webhook_delivery)
    resend_webhook_deliveries = _sending(webhook_calls.resend_webhook_deliveries)

    def wait_for_generation(
        self, session_id: str, *, timeout_seconds: float = WAIT_SECONDS
    ) -> Generation:
        """The generation once it has ended, completed or failed. Raises GenerationNotEnded."""
        return self._converse(until_ended(session_id, timeout_seconds, self._policy))

    def send(self, call: Call[T]) -> Answer[T]:
        """The whole answer to a call that was made with `calls`."""
        return self._converse(exchange(call, self._policy))

    def items(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items from the page of this call on."""
        asked: Call[Page[T]] | None = call
        while asked is not None:
            page = self.send(asked).data
            yield from page.items
            asked = following(asked, page)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _converse(self, conversation: Conversation[T]) -> T:
        """Do what a conversation asks for, until it comes to its result."""
        outcome: Reply | Lost | None = None
        while True:
            try:
                step = conversation.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            match step:
                case Pause(seconds):
                    sleep(seconds)
                    outcome = None
                case Request():
                    outcome = self._attempt(step)

    def _attempt(self, request: Request) -> Reply | Lost:
        try:
            with self._http.stream(
                request.method,
                request.path,
                params=request.query,
                headers=request.headers,
                content=request.body,
                timeout=request.seconds,
            ) as response:
                reading = Reading.of(response.status_code, response.headers, request)
                for piece in response.iter_bytes():
                    if (lost := reading.take(piece)) is not None:
                        return lost
                return reading.reply()
        except REQUEST_LOST as cause:
            return Lost(str(cause) or type(cause).__name__, cause)
