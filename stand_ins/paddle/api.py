"""Paddle's API over an account of the stand-in's.

In a test, `async with paddle_stand_in() as paddle:` runs it in the test's own event loop; the
account behind it (`paddle.account`) is at hand to pay, renew and refund, `paddle.failures` makes
the API misbehave, and `paddle.webhooks(url)` delivers what happened, in order or not.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from stand_ins.http_server import Answer, Received, StandIn, json_answer, stand_in
from stand_ins.paddle.account import Account, Refusal
from stand_ins.paddle.entities import Entity
from stand_ins.paddle.request_bodies import (
    Adjustment,
    Charge,
    NewTransaction,
    check_custom_data,
    decoded,
    invalid,
    priced_items,
)
from stand_ins.paddle.webhooks import Webhooks

API_KEY = "pdl_sdbx_apikey_not_a_real_one"
WEBHOOK_SECRET = "pdl_ntfset_not_a_real_one"
_MISTAKES = range(400, 429)
PER_PAGE_MAX = 30
LEAST_CHARGE = 70
PATIENCE_SECONDS = 60.0
"""A test sends once what Paddle would send again, and its machine may be busy."""


class Failure(Enum):
    """How the API fails a request: before it does what was asked, or after."""

    REFUSE_503 = auto()
    REFUSE_429 = auto()
    DECLINE = auto()
    """The payment of a charge is declined."""
    BREAK_OFF = auto()
    """Nothing was done, and the connection ends without an answer."""
    DO_THEN_500 = auto()
    DO_THEN_BREAK_OFF = auto()
    DO_THEN_GARBLE = auto()
    """Done, and answered with something that is no JSON."""
    DO_THEN_HANG = auto()
    """Done, and never answered to the end."""


_UNDONE = {Failure.REFUSE_503, Failure.REFUSE_429, Failure.BREAK_OFF}


class PaddleStandIn:
    """Paddle's API over an account; `requests` holds what it was asked, refused or not."""

    def __init__(self, account: Account, api_key: str, webhook_secret: str) -> None:
        self.account = account
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.failures: deque[Failure | None] = deque()
        """Of the next requests, in turn; None: that one succeeds."""
        """What becomes of the next requests; then they succeed again."""
        self.least_charges: dict[str, int] = {}
        """What it charges at least, where that is not `LEAST_CHARGE`."""
        self.requests: list[Received] = []
        self.url = ""

    def settings(self) -> dict[str, str]:
        """The settings of a service that uses it."""
        return {
            "paddle_api_key": self.api_key,
            "paddle_api_url": self.url,
            "paddle_webhook_secret": self.webhook_secret,
        }

    def webhooks(self, url: str, *, wait_max_seconds: float = PATIENCE_SECONDS) -> Webhooks:
        """Delivers to that URL, each event once, and waits longer for its answer than Paddle."""
        return Webhooks(url, self.webhook_secret, wait_max_seconds=wait_max_seconds)

    def sent(self, method: str, path_ends: str) -> list[Received]:
        """The requests of that kind, so far."""
        return [
            request
            for request in self.requests
            if request.method == method and urlsplit(request.path).path.endswith(path_ends)
        ]

    def handle(self, request: Received) -> Answer:
        """Answer one request to the API."""
        self.requests.append(request)
        failure = self.failures.popleft() if self.failures else None
        if failure in _UNDONE:
            return _undone(failure)
        try:
            self._authenticate(request)
            status, content = self._do(request, declined=failure is Failure.DECLINE)
        except Refusal as refusal:
            return _refused(refusal)
        answer = json_answer(
            {"meta": {"request_id": str(uuid4())}} | content, status, X_Request_Id=str(uuid4())
        )
        return _spoiled(answer, failure)

    def _authenticate(self, request: Received) -> None:
        given = request.headers.get("authorization")
        if given is None:
            raise Refusal(401, "authentication_missing", "Authentication header not included.")
        if given != f"Bearer {self.api_key}":
            raise Refusal(403, "invalid_token", "Invalid or revoked API key.")

    def _do(self, request: Received, *, declined: bool) -> tuple[int, Entity]:
        parts = urlsplit(request.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match request.method, parts.path.strip("/").split("/"):
            case "POST", ["transactions"]:
                return 201, {"data": self._create_transaction(request.body)}
            case "GET", ["transactions"]:
                return 200, self._list(self.account.transactions, "transactions", asked)
            case "GET", ["transactions", id_]:
                return 200, {"data": _known(self.account.transactions, id_)}
            case "GET", ["subscriptions", id_]:
                return 200, {"data": _known(self.account.subscriptions, id_)}
            case "POST", ["subscriptions", id_, "charge"]:
                return 200, {"data": self._charge(id_, request.body, declined=declined)}
            case "GET", ["adjustments"]:
                return 200, self._list(self.account.adjustments, "adjustments", asked)
            case "POST", ["adjustments"]:
                return 201, {"data": self._adjust(request.body)}
            case _:
                raise Refusal(404, "invalid_url", "The URL you requested doesn't exist.")

    def _create_transaction(self, body: bytes) -> Entity:
        asked = decoded(body, NewTransaction)
        check_custom_data(asked.custom_data)
        items = priced_items(asked.items, "transaction")
        self._check_amount(items, asked.currency_code)
        return self.account.open(items, asked.currency_code, asked.custom_data)

    def _check_amount(self, items: list[Entity], currency: str) -> None:
        least = self.least_charges.get(currency, LEAST_CHARGE)
        balance = sum(
            int(item["price"]["unit_price"]["amount"]) * item["quantity"] for item in items
        )
        if balance < least:
            raise Refusal(
                400,
                "transaction_balance_less_than_charge_limit",
                "Transaction balance is less than what we can charge. Transaction balance: "
                f"{balance}, Minimum payment amount: {least}, Currency code: {currency}",
            )

    def _charge(self, subscription_id: str, body: bytes, *, declined: bool) -> Entity:
        asked = decoded(body, Charge)
        subscription = _known(self.account.subscriptions, subscription_id)
        if subscription["status"] in ("canceled", "past_due", "paused"):
            status = subscription["status"]
            raise Refusal(
                400,
                f"subscription_update_when_{status}",
                f"cannot update subscription, as subscription is {status}",
            )
        if any(item.price.billing_cycle is not None for item in asked.items):
            raise invalid("items", "must not have a billing cycle")
        if declined:
            raise Refusal(400, "subscription_payment_declined", "payment declined")
        currency = asked.items[0].price.unit_price.currency_code
        self.account.charge(subscription_id, priced_items(asked.items, "subscription"), currency)
        return subscription

    def _adjust(self, body: bytes) -> Entity:
        asked = decoded(body, Adjustment)
        transaction = _known(self.account.transactions, asked.transaction_id)
        if transaction["status"] != "completed":
            raise Refusal(
                400,
                "adjustment_transaction_invalid_status_for_refund",
                "The transaction being adjusted (refund) has a non supported status. "
                f"ID: {transaction['id']}",
            )
        return self.account.adjust(transaction["id"], asked.action).data

    def _list(
        self, entities: Mapping[str, Entity], name: str, asked: Mapping[str, str]
    ) -> dict[str, Any]:
        per_page = int(asked.get("per_page", PER_PAGE_MAX))
        if not 1 <= per_page <= PER_PAGE_MAX:
            raise invalid("per_page", f"must be between 1 and {PER_PAGE_MAX}")
        found = [entity for entity in entities.values() if _matches(entity, asked)]
        order = asked.get("order_by", "id[DESC]")
        if order not in ("id[ASC]", "id[DESC]"):
            raise invalid("order_by", "is not supported")
        found.sort(key=lambda entity: str(entity["id"]), reverse=order == "id[DESC]")
        if "after" in asked:
            places = [place for place, entity in enumerate(found) if entity["id"] == asked["after"]]
            if not places:
                raise invalid("after", "is not known")
            found = found[places[0] + 1 :]
        page, more = found[:per_page], len(found) > per_page
        last = page[-1]["id"] if page else ""
        pagination = {
            "per_page": per_page,
            # As in Paddle's answers; the host is not this one's, which nobody should follow.
            "next": f"https://api.paddle.com/{name}?after={last}",
            "has_more": more,
            "estimated_total": len(found),
        }
        return {"data": page, "meta": {"request_id": str(uuid4()), "pagination": pagination}}


def _matches(entity: Entity, asked: Mapping[str, str]) -> bool:
    for name in ("subscription_id", "status", "origin", "id", "customer_id", "transaction_id"):
        if name in asked and entity.get(name) not in asked[name].split(","):
            return False
    created_at = datetime.fromisoformat(entity["created_at"])
    if "created_at[GTE]" in asked:
        return created_at >= datetime.fromisoformat(asked["created_at[GTE]"])
    return True


def _known(entities: Mapping[str, Entity], id_: str) -> Entity:
    if id_ not in entities:
        raise Refusal(404, "not_found", f"Entity {id_} not found")
    return entities[id_]


def _refused(refusal: Refusal, **headers: str) -> Answer:
    error: dict[str, Any] = {
        "type": "request_error" if refusal.status in _MISTAKES else "api_error",
        "code": refusal.code,
        "detail": refusal.detail,
        "documentation_url": f"https://developer.paddle.com/errors/shared/{refusal.code}",
    }
    if refusal.errors:
        error["errors"] = refusal.errors
    content = {"error": error, "meta": {"request_id": str(uuid4())}}
    return json_answer(content, refusal.status, **headers)


def _undone(failure: Failure | None) -> Answer:
    if failure is Failure.BREAK_OFF:
        return Answer(break_off=True)
    if failure is Failure.REFUSE_429:
        detail = "IP address exceeded the allowed rate limit."
        return _refused(Refusal(429, "too_many_requests", detail), Retry_After="42")
    # Not Paddle's own: what stands before it answers like this.
    return Answer(503, b"<html>Service Unavailable</html>", {"Content-Type": "text/html"})


def _spoiled(answer: Answer, failure: Failure | None) -> Answer:
    match failure:
        case Failure.DO_THEN_500:
            return _refused(Refusal(500, "internal_error", "Internal Server Error."))
        case Failure.DO_THEN_BREAK_OFF:
            return Answer(break_off=True)
        case Failure.DO_THEN_GARBLE:
            return Answer(answer.status, b"<html>done, I think</html>")
        case Failure.DO_THEN_HANG:
            head = answer.body[:10]
            return Answer(answer.status, head, answer.headers, len(answer.body), hang=True)
        case _:
            return answer


@asynccontextmanager
async def paddle_stand_in(
    *, tax_percent: int = 20, api_key: str = API_KEY, webhook_secret: str = WEBHOOK_SECRET
) -> AsyncIterator[PaddleStandIn]:
    """Run it on a free port of loopback for as long as the block lasts."""
    account = Account("https://shop.example/pay", tax_percent=tax_percent)
    paddle = PaddleStandIn(account, api_key, webhook_secret)
    server: StandIn
    async with stand_in(paddle.handle) as server:
        paddle.url = server.url("")
        yield paddle
