"""Spends as a store's developer sends them."""

from collections.abc import Mapping
from typing import Any

import httpx

from storecredit.web.http.paths import encoded_request
from tests.web.doors import StoreClient, data_of
from tests.web.holding import keyed

SPEND = "/api/v1/credits/spend"
BATCH = f"{SPEND}/batch"


async def spend(
    store: StoreClient,
    request_id: str | None,
    amount: object,
    *,
    headers: Mapping[str, str] | None = None,
    **body: Any,
) -> httpx.Response:
    named = keyed(request_id) | dict(headers or {})
    return await store.send("POST", SPEND, headers=named, json={"amount": amount} | body)


async def spent(store: StoreClient, request_id: str, amount: int, **body: Any) -> dict[str, Any]:
    """What a new spend is answered with."""
    made: dict[str, Any] = data_of(await spend(store, request_id, amount, **body), 201)
    return made


def item(request_id: str, amount: int, **more: object) -> dict[str, Any]:
    return {"request_id": request_id, "amount": amount} | more


async def spend_batch(store: StoreClient, *items: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What became of each."""
    answered: list[dict[str, Any]] = data_of(
        await store.send("POST", BATCH, json={"items": items})
    )["items"]
    return answered


async def refund(
    store: StoreClient, spend_id: str, request_id: str | None, amount: int | None = None
) -> httpx.Response:
    """Give back `amount`; None: all that is left, without a body."""
    options = {} if amount is None else {"json": {"amount": amount}}
    path = f"{SPEND}/{encoded_request(spend_id)}/refund"
    return await store.send("POST", path, headers=keyed(request_id), **options)


async def read(store: StoreClient, spend_id: str) -> dict[str, Any]:
    found: dict[str, Any] = data_of(await store.get(f"{SPEND}/{encoded_request(spend_id)}"))
    return found
