"""Holds as a store's developer makes and ends them."""

from typing import Any

import httpx

from tests.web.doors import StoreClient, data_of

HOLDS = "/api/v1/credits/holds"


def keyed(request_id: str | None) -> dict[str, str]:
    return {} if request_id is None else {"Idempotency-Key": request_id}


async def hold(
    store: StoreClient,
    request_id: str | None,
    amount: object,
    **body: Any,
) -> httpx.Response:
    return await store.send(
        "POST", HOLDS, headers=keyed(request_id), json={"amount": amount} | body
    )


async def held(store: StoreClient, amount: int, **body: Any) -> str:
    """The id of a new hold."""
    hold_id: str = data_of(await hold(store, None, amount, **body), 201)["hold_id"]
    return hold_id


async def end(store: StoreClient, hold_id: str, action: str, **body: Any) -> httpx.Response:
    """Capture, release or extend; without fields there is no body."""
    options: dict[str, Any] = {"json": body} if body else {}
    return await store.send("POST", f"{HOLDS}/{hold_id}/{action}", **options)


async def read(store: StoreClient, hold_id: str) -> dict[str, Any]:
    found: dict[str, Any] = data_of(await store.get(f"{HOLDS}/{hold_id}"))
    return found
