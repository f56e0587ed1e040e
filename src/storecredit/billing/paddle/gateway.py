"""Paddle Billing's API, as much of it as is used here: checkouts, charges, and looking for them.

    PaddleUnavailable    Paddle did not do it, or nobody knows whether it did
    PaddleRefused        Paddle did not do it and would not the next time either; code, detail

Paddle's API knows no idempotency key (neither its reference nor the SDK names one), so a request
that creates something is sent once and never repeated from here. A checkout made twice costs
nobody anything: it is an unpaid draft. A charge made twice does, so each carries a marker, and
`find_charge` tells whether one with that marker exists.

The official SDK builds the requests; they are sent by httpx, and the answers read by msgspec:

- the SDK's own session repeats GETs, follows redirects with the body (a POST would be sent again),
  reads answers of any size and for any time, and logs them, where its logger is not silenced;
- of an error it cannot read (a proxy's page, a `Retry-After` that is a date) its parser raises
  KeyError or ValueError, which hides the status;
- its entities need fields that are not used here: one that is missing or null after a charge
  has been made would turn "done" into an error.

The SDK blocks, and takes 0.3 s to load: it is loaded at the first request, in a thread.

https://developer.paddle.com/api-reference/transactions/create-transaction
https://developer.paddle.com/api-reference/transactions/list-transactions
https://developer.paddle.com/api-reference/transactions/get-transaction
https://developer.paddle.com/api-reference/subscriptions/create-subscription-charge
https://developer.paddle.com/api-reference/about/errors
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from storecredit.billing.paddle.messages import Transaction
from storecredit.billing.paddle.reading import UnreadableContent, read_transaction
from storecredit.billing.paddle.wire import (
    OneEntity,
    OneTransaction,
    PaddleRefused,
    PaddleUnavailable,
    Transactions,
    Wire,
    read,
)
from storecredit.billing.sales import Charge, Sale
from storecredit.settings import Settings

__all__ = [
    "OpenedTransaction",
    "Paddle",
    "PaddleMisconfigured",
    "PaddleRefused",
    "PaddleUnavailable",
]

THREADS_MAX = 8
"""Requests under way at a time."""
WAITING_MAX = 100
"""Requests under way or waiting for a thread; one more is PaddleUnavailable at once."""
PAGE_SIZE = 30
"""The most that a page of transactions holds."""
PAGES_MAX = 20
CLOCK_MARGIN = timedelta(days=1)
"""How far before `since` a charge is looked for, as our clock and Paddle's may differ."""

UNKNOWN_ENTITY = frozenset({"not_found", "entity_not_found"})
"""What Paddle answers where there is nothing of an id (https://developer.paddle.com/errors)."""

STOPPING = "The service is stopping; nothing was sent to Paddle."
PADDLE_ID = re.compile(r"[a-z]{2,8}_[a-z0-9]{1,64}", re.ASCII)

T = TypeVar("T")


class PaddleMisconfigured(Exception):
    """Billing cannot start with these settings; the message tells what to set."""


@dataclass(frozen=True, slots=True)
class OpenedTransaction:
    """A checkout that waits to be paid, under Paddle's id for it; likewise the price it is at."""

    transaction_id: str
    checkout_url: str
    price_id: str | None


class Paddle:
    """See the module."""

    def __init__(self, api_key: str, base_url: str, timeout_seconds: float) -> None:
        self._wire = Wire(api_key, _checked_url(base_url), timeout_seconds)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="paddle")
        self._waiting = 0
        self._closing = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """The gateway; None while billing is off. Raises PaddleMisconfigured."""
        key = settings.paddle_api_key
        secret = settings.paddle_webhook_secret
        if not (key and key.get_secret_value() and secret and secret.get_secret_value()):
            return None
        return cls(key.get_secret_value(), settings.paddle_api_url, settings.paddle_timeout_seconds)

    async def create_transaction(self, sale: Sale) -> OpenedTransaction:
        """Open a checkout. Tax comes on top, so its subtotal is quantity × unit amount.

        Raises PaddleUnavailable, PaddleRefused.
        """
        return await self._run(lambda: self._create_transaction(sale))

    async def charge_subscription(self, subscription_id: str, charge: Charge) -> None:
        """Charge now what is on file for the subscription.

        A declined payment is PaddleRefused, and nothing is charged. After PaddleUnavailable the
        charge may have been made, or may yet appear while Paddle is still at it: wait a while,
        then ask `find_charge`, before charging again.

        Raises PaddleUnavailable, PaddleRefused.
        """
        await self._run(lambda: self._charge_subscription(subscription_id, charge))

    async def find_charge(self, subscription_id: str, marker: str, since: datetime) -> str | None:
        """The transaction, unless cancelled, of the charge with that marker; None: there is none.

        One that is still being collected may yet be cancelled: that is PaddleUnavailable.
        Raises PaddleUnavailable, PaddleRefused.
        """
        return await self._run(lambda: self._find_charge(subscription_id, marker, since))

    async def find_transaction(self, transaction_id: str) -> Transaction | None:
        """The transaction as it is now; None: there is none such.

        Raises PaddleUnavailable, PaddleRefused.
        """
        return await self._run(lambda: self._find_transaction(transaction_id))

    async def close(self) -> None:
        """Wait for requests under way; those that wait for a thread are never sent."""
        self._closing = True
        await asyncio.to_thread(self._threads.shutdown)
        self._wire.close()

    async def _run(self, request: Callable[[], T]) -> T:
        """In a thread. Cancelled, a request that has begun goes on; one that waits is not sent."""
        if self._closing:
            raise PaddleUnavailable(STOPPING)
        if self._waiting >= WAITING_MAX:
            raise PaddleUnavailable("Too many requests to Paddle are waiting.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._unless_closing, request)
        finally:
            self._waiting -= 1

    def _unless_closing(self, request: Callable[[], T]) -> T:
        if self._closing:
            raise PaddleUnavailable(STOPPING)
        return request()

    def _create_transaction(self, sale: Sale) -> OpenedTransaction:
        answer = self._wire.client().post_raw("/transactions", _requests().transaction(sale))
        opened = read(answer, OneTransaction).data
        if opened.checkout is None or not opened.checkout.url:
            raise PaddleRefused(
                "no_checkout_url", "Set a default payment link in Paddle's dashboard."
            )
        return OpenedTransaction(opened.id, opened.checkout.url, opened.price_id)

    def _charge_subscription(self, subscription_id: str, charge: Charge) -> None:
        # Any 2xx is a charge that was made; what the answer says of the subscription is not used.
        self._wire.client().post_raw(
            f"/subscriptions/{_checked_id(subscription_id)}/charge",
            _requests().charge(charge),
        )

    def _find_charge(self, subscription_id: str, marker: str, since: datetime) -> str | None:
        after: str | None = None
        earliest = since.astimezone(UTC) - CLOCK_MARGIN
        for _ in range(PAGES_MAX):
            # Not by the answer's link to the next page, which may name any host.
            listing = _requests().transactions_of(
                _checked_id(subscription_id), earliest, after, PAGE_SIZE
            )
            page = read(self._wire.client().get_raw("/transactions", listing), Transactions)
            for transaction in page.data:
                if transaction.status != "canceled" and transaction.carries(marker):
                    if transaction.is_being_collected():
                        raise PaddleUnavailable("The charge is still being collected.")
                    return transaction.id
            if not page.meta.pagination.has_more or not page.data:
                return None
            after = page.data[-1].id
        raise PaddleUnavailable("The subscription has too many transactions to look through.")

    def _find_transaction(self, transaction_id: str) -> Transaction | None:
        try:
            answer = self._wire.client().get_raw(f"/transactions/{_checked_id(transaction_id)}")
        except PaddleRefused as refusal:
            if refusal.code in UNKNOWN_ENTITY:
                return None
            raise
        try:
            return read_transaction(read(answer, OneEntity).data)
        except UnreadableContent:
            raise PaddleUnavailable("Paddle's answer could not be read.") from None


def _requests() -> Any:
    from storecredit.billing.paddle import requests  # noqa: PLC0415 - loads the SDK

    return requests


def _checked_id(id_: str) -> str:
    """It becomes part of a path."""
    if not PADDLE_ID.fullmatch(id_):
        raise PaddleRefused("no_paddle_id", "That is no id of anything at Paddle.")
    return id_


def _checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PaddleMisconfigured("STORECREDIT_PADDLE_API_URL is no http or https URL.")
    # The SDK would silently leave it out.
    if parts.path.strip("/") or parts.query:
        raise PaddleMisconfigured("STORECREDIT_PADDLE_API_URL must be a host without a path.")
    return base_url
