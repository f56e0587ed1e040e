"""How requests that the SDK has built reach Paddle, and how its answers are read.

Hides the HTTP client and Paddle's error format. Promises that a request is sent at most once, that
an answer is of bounded size and time, and that each outcome but success is one of two exceptions.
`gateway.py` says why this is not left to the SDK.
"""

import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec

from storecredit import telemetry
from storecredit.billing.paddle.charge_marker import marker_in

CONNECT_TIMEOUT_SECONDS = 10.0
ANSWER_MAX_BYTES = 8 * 1024 * 1024
DETAIL_MAX_CHARACTERS = 500
CODE_MAX_CHARACTERS = 100

# These may go better another time; every other 4xx is final.
_TEMPORARY = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)

DECLINED = "subscription_payment_declined"
"""A card that was not charged
(https://developer.paddle.com/errors/subscriptions/subscription_payment_declined)."""
TOO_LITTLE = frozenset(
    {
        "transaction_balance_less_than_charge_limit",
        "transaction_recurring_balance_less_than_charge_limit",
    }
)
"""An amount that is not charged (https://developer.paddle.com/errors/overview)."""

log = telemetry.get_logger("billing.paddle")

T = TypeVar("T")


class PaddleUnavailable(Exception):
    """Paddle did not do it, or nobody knows whether it did: no connection, time-out, 429, 5xx."""


class PaddleRefused(Exception):
    """Paddle did not do it, and says why: a 4xx with an error in its own form."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    @property
    def is_declined(self) -> bool:
        """Whether the buyer's means of payment was not charged."""
        return self.code == DECLINED

    @property
    def is_too_little(self) -> bool:
        """Whether it is an amount that Paddle does not charge."""
        return self.code in TOO_LITTLE


class Wire:
    """Makes the SDK's clients, which send through one pool of fresh connections."""

    def __init__(self, api_key: str, base_url: str, timeout_seconds: float) -> None:
        self._api_key = api_key
        self._environment = _Environment(base_url)
        self._timeout_seconds = timeout_seconds
        self._http = httpx.Client(
            timeout=httpx.Timeout(
                timeout_seconds, connect=min(timeout_seconds, CONNECT_TIMEOUT_SECONDS)
            ),
            # A fresh connection each time: a request on one kept open that the other end is just
            # closing may or may not have arrived.
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
        )

    def client(self) -> Any:
        """The SDK's client, for one request: it keeps state, and there are several threads."""
        from paddle_billing import Client, Options  # noqa: PLC0415 - takes 0.3 s

        silent = logging.Logger("paddle_billing")  # noqa: LOG001 - one of its own
        silent.disabled = True
        return Client(
            self._api_key,
            options=Options(self._environment),
            http_client=_Transport(self._http, self._api_key, 2 * self._timeout_seconds),
            logger=silent,
        )

    def close(self) -> None:
        """Close what is open."""
        self._http.close()


@dataclass(frozen=True, slots=True)
class _Environment:
    """Takes the place of the two that the SDK knows."""

    base_url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What Paddle sent; as much of a `requests.Response` as the SDK looks at."""

    status_code: int
    body: bytes

    def raise_for_status(self) -> None:
        """Raise PaddleRefused or PaddleUnavailable, unless it is a success."""
        if not httpx.codes.is_success(self.status_code):
            raise _failure(self)


class _Transport:
    """The `http_client` of an SDK client: sends what it has built."""

    def __init__(self, http: httpx.Client, api_key: str, limit_seconds: float) -> None:
        self._http = http
        self._limit_seconds = limit_seconds
        self.headers = {
            "Authorization": f"Bearer {api_key}",
            "Accept": "application/json",
            # Compressed, a small answer could grow past every limit.
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Paddle-Version": "1",
        }

    # The SDK gives its own time limit; the pool has ours.
    def request(self, method: str, url: str, data: str | None, timeout: float) -> Answer:  # noqa: ARG002
        deadline = time.monotonic() + self._limit_seconds
        # Errors are raised without their cause, so that no traceback quotes the request.
        try:
            with self._http.stream(method, url, content=data, headers=self.headers) as response:
                return Answer(response.status_code, _body(response, deadline))
        except httpx.TimeoutException:
            raise PaddleUnavailable("Paddle did not answer in time.") from None
        except httpx.HTTPError:
            raise PaddleUnavailable("Paddle could not be reached.") from None


def _body(response: httpx.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > ANSWER_MAX_BYTES:
            raise PaddleUnavailable("Paddle's answer is too large.")
        if time.monotonic() > deadline:
            raise PaddleUnavailable("Paddle did not finish its answer in time.")
    return bytes(body)


class _FieldError(msgspec.Struct):
    field: str
    message: str


class _Error(msgspec.Struct):
    code: str
    detail: str = ""
    errors: list[_FieldError] | None = None


class _Refusal(msgspec.Struct):
    error: _Error


def _failure(answer: Answer) -> PaddleRefused | PaddleUnavailable:
    """What an answer that is no success means. Only Paddle itself can say that it refuses."""
    error = _error(answer)
    code = f"http_{answer.status_code}" if error is None else error.code
    log.warning("paddle_answered_error", status=answer.status_code, code=code)
    final = httpx.codes.is_client_error(answer.status_code) and answer.status_code not in _TEMPORARY
    if error is None or not final:
        return PaddleUnavailable(f"Paddle answered {answer.status_code} ({code}).")
    fields = [f"{wrong.field}: {wrong.message}" for wrong in error.errors or []]
    return PaddleRefused(code, _shown(" ".join([error.detail, *fields]), DETAIL_MAX_CHARACTERS))


def _error(answer: Answer) -> _Error | None:
    """Paddle's own words; None: something that stands before Paddle has answered."""
    try:
        error = msgspec.json.decode(answer.body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _Error(_shown(error.code, CODE_MAX_CHARACTERS), error.detail, error.errors)


def _shown(text: str, max_characters: int) -> str:
    """Fit to be stored and shown: PostgreSQL stores no NUL."""
    return "".join(character for character in text if character.isprintable())[:max_characters]


class _Checkout(msgspec.Struct):
    url: str | None = None


class _Price(msgspec.Struct):
    id: str | None = None
    custom_data: object = None


class _Item(msgspec.Struct):
    price: _Price | None = None


class Transaction(msgspec.Struct):
    """What is used of a transaction."""

    id: str
    status: str
    collection_mode: str = "automatic"
    checkout: _Checkout | None = None
    items: list[_Item] | None = None

    @property
    def price_id(self) -> str | None:
        """The price of its first item."""
        priced = [item.price.id for item in self.items or [] if item.price is not None]
        return priced[0] if priced else None

    def is_being_collected(self) -> bool:
        """Whether it is neither paid nor past due; an invoice that was sent counts as done."""
        return self.status in {"draft", "ready"} or (
            self.status == "billed" and self.collection_mode == "automatic"
        )

    def carries(self, marker: str) -> bool:
        """Whether an item's price is marked so."""
        found = [item.price.custom_data for item in self.items or [] if item.price is not None]
        return any(marker_in(data) == marker for data in found)


class OneTransaction(msgspec.Struct):
    """An answer with one transaction."""

    data: Transaction


class OneEntity(msgspec.Struct):
    """An answer with one entity, whatever it is."""

    data: dict[str, object]


class _Pagination(msgspec.Struct):
    has_more: bool


class _Meta(msgspec.Struct):
    pagination: _Pagination


class Transactions(msgspec.Struct):
    """A page of transactions."""

    data: list[Transaction]
    meta: _Meta


def read(answer: Answer, type_: type[T]) -> T:
    """The answer's content. One that cannot be read says nothing about what has been done."""
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PaddleUnavailable("Paddle's answer could not be read.") from None
