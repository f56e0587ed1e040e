"""Two stores of one service, of which one has something of everything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.web.doors import Operator, StoreClient, data_of

NOBODYS: Final = {
    "key_id": "00000000-0000-7000-8000-000000000007",
    "endpoint_id": "00000000-0000-7000-8000-000000000007",
    "event_id": "evt_00000000000070008000000000000007",
    "hold_id": "00000000-0000-7000-8000-000000000007",
    "session_id": "00000000-0000-7000-8000-000000000007",
    "spend_request_id": "nobodys-spend",
}
"""As the ids of something look, and nothing has them."""
REQUEST_IDS: Final = ("first-created", "first-spent", "first-held")


@dataclass(frozen=True, slots=True)
class Two:
    """The first has something of everything; the second has nothing, and asks."""

    first: StoreClient
    second: StoreClient
    of_first: Mapping[str, str]


async def _made_by(store: StoreClient, prefix: str = "/api/v1") -> dict[str, str]:
    """Something of everything, by what its addresses call it."""

    async def send(path: str, request_id: str, **body: Any) -> Any:
        headers = {"X-Request-Id": request_id}
        answer = await store.send("POST", f"{prefix}{path}", headers=headers, json=body)
        return data_of(answer, 201)

    session_id = await store.created(REQUEST_IDS[0])
    await send("/credits/spend", REQUEST_IDS[1], amount=7)
    held = await send("/credits/holds", REQUEST_IDS[2], amount=9, expires_in_seconds=999)
    endpoint = await send("/webhooks", "first-hook", url="https://8.8.8.8/", event_types=["*"])
    hook = f"{prefix}/webhooks/{endpoint['endpoint_id']}"
    tested = data_of(await store.send("POST", f"{hook}/test"), 201)
    return {
        "store_id": store.store_id,
        "key_id": store.key_id,
        "session_id": session_id,
        "hold_id": held["hold_id"],
        "spend_request_id": REQUEST_IDS[1],
        "endpoint_id": endpoint["endpoint_id"],
        "event_id": tested["event_id"],
    }


async def two_stores(operator: Operator) -> Two:
    """Makes them, and what the first has."""
    first, second = await operator.store(), await operator.store(credits=0)
    return Two(first, second, await _made_by(first))
