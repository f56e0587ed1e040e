"""A service with something of everything, and a text that is not harmless in every field of text.

It comes in by the doors that stores, end users, the operator, Paddle, a generator and receivers of
webhooks come by.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import httpx

from stand_ins.http_server import Answer, Received, StandIn, json_answer, stand_in
from stand_ins.paddle.api import PaddleStandIn
from tests.browser.furnished.addresses import Address
from tests.browser.furnished.planting import planted
from tests.image_files import data_url, picture
from tests.web.doors import Operator, StoreClient, data_of
from tests.web.users import UserClient, ended, user_of

SET_ASIDE: Final = "evt_planted"
GENERATE: Final = "/generate"
HOOK: Final = "/hook"
REFUSED: Final = "unwanted"
"""A prompt with this word is refused by the generator, in words of its own."""
SETTLING_SECONDS_MAX: Final = 60.0
WHY: Final = {"X-Request-Reason": planted("reason")}
METADATA: Final = {planted("metadata name"): planted("metadata value")}
FORGERY: Final = {"kind": planted("event kind"), "customer": planted("event customer")}


@dataclass(frozen=True, slots=True)
class Furnished:
    """Who and what there is; `values` by the names that addresses have for them."""

    store: StoreClient
    user: UserClient
    values: Mapping[str, str]
    of_store: Mapping[str, str]
    of_billing: Mapping[str, str]

    def address_of(self, address: Address) -> str:
        """One page of that address; a name in it is the store's, of billing, or the operator's."""
        values = dict(self.values)
        if address.door == "portal" or "store_id" in address.names:
            values |= self.of_store
        if "/billing" in address.path:
            values |= self.of_billing
        missing = set(address.names) - values.keys()
        assert not missing, f"{address}: furnish() has to make something with this name: {missing}"
        return address.filled(values)


def answer_of(received: Received) -> Answer:
    """The generator's, or a receiver's that does not take what it is sent."""
    if received.path.startswith(HOOK):
        return Answer(500, planted("receiver").encode(), {"Content-Type": "text/plain"})
    if REFUSED in str(received.json().get("prompt")):
        return json_answer({"code": "REFUSED", "message": planted("generator")}, 400)
    return json_answer({"image_url": data_url(picture("PNG", (300, 200), "teal"))})


@asynccontextmanager
async def outside() -> AsyncIterator[StandIn]:
    """The generator and the receiver of webhooks."""
    async with stand_in(answer_of) as running:
        yield running


async def furnish(
    operator: Operator, admin: asyncpg.Connection, paddle: PaddleStandIn, hook_url: str
) -> Furnished:
    """Fill an empty service, whose generator and receivers are `outside()`."""
    store = await _store(operator, admin)
    user = user_of(operator.http)
    values = {"store_id": store.store_id, "key_id": store.key_id, "user_id": str(user.user_id)}
    endpoint = {"url": hook_url, "description": planted("endpoint"), "event_types": ["*"]}
    hook = data_of(await store.send("POST", "/api/v1/webhooks", json=endpoint), 201)
    own = data_of(await operator.post("/webhooks", **endpoint), 201)
    values |= await _work(store)
    values |= await _acts(operator, store, user)
    await _subscribe(operator, admin, paddle, store)
    await _set_aside(operator, admin)
    await ended(user, await user.created(prompt=planted("user prompt")))
    data_of(await operator.get("/verify"))
    await until(lambda: _is_summed(admin))
    told = await _failed_delivery(store.get, f"/api/v1/webhooks/{hook['endpoint_id']}")
    told_operator = await _failed_delivery(operator.get, f"/webhooks/{own['endpoint_id']}")
    return Furnished(
        store,
        user,
        values | {"endpoint_id": own["endpoint_id"], "event_id": told_operator},
        {"endpoint_id": hook["endpoint_id"], "event_id": told},
        {"event_id": SET_ASIDE, "problem_id": SET_ASIDE},
    )


async def _store(operator: Operator, admin: asyncpg.Connection) -> StoreClient:
    body = {
        "name": planted("store"),
        "shop_domain": "planted.example",
        "tier": "unlimited",
        "credits": 5000,
    }
    made = data_of(await operator.send("POST", "/stores", json=body, headers=WHY), 201)
    store_id = made["store_id"]
    # No door takes such a domain; the table may have one from before.
    change = "UPDATE storecredit.stores SET shop_domain = $2 WHERE store_id = $1"
    await admin.execute(change, store_id, planted("domain"))
    key = {"label": planted("key"), "allowed_origins": ["https://shop.example"]}
    data_of(await operator.post(f"/stores/{store_id}/keys", **key), 201)
    return StoreClient(operator.http, store_id, made["key_id"], made["api_key"])


async def _work(store: StoreClient) -> dict[str, str]:
    """What a store does: generations that end in each way, spends, holds."""
    sessions = [
        await store.created("order-1", prompt=planted("prompt"), metadata=METADATA),
        await store.created("order-2", prompt=f"{REFUSED} {planted('prompt')}"),
        await store.created("order-3", prompt="forbidden"),
    ]
    for session_id in sessions:
        await store.ended(session_id)
    body = {"amount": 7, "description": planted("spend"), "metadata": METADATA}
    spent = data_of(await store.send("POST", "/api/v1/credits/spend", json=body), 201)
    body = {"amount": 9, "description": planted("hold"), "metadata": METADATA}
    held = data_of(
        await store.send(
            "POST", "/api/v1/credits/holds", json=body | {"expires_in_seconds": 86_400}
        ),
        201,
    )
    return {
        "session_id": sessions[0],
        "request_id": "order-1",
        "hold_id": held["hold_id"],
        "spend_request_id": spent["request_id"],
    }


async def _acts(operator: Operator, store: StoreClient, user: UserClient) -> dict[str, str]:
    """What the operator does."""
    soon = datetime.now(UTC) + timedelta(days=3)
    grant = {
        "amount": 50,
        "type": "grant",
        "request_id": "grant-1",
        "description": planted("grant"),
        "expires_at": soon.isoformat(),
    }
    store_path, user_path = f"/stores/{store.store_id}", f"/users/{user.user_id}"
    await user.balance()
    data_of(await operator.post(f"{store_path}/credits", **grant), 201)
    data_of(await operator.post(f"{user_path}/credits", **grant), 201)
    removal = {"amount": 3, "request_id": "removal-1", "reason": planted("removal")}
    data_of(await operator.post(f"{store_path}/credits/remove", **removal), 201)
    move = {"from": f"store:{store.store_id}", "to": f"user:{user.user_id}", "amount": 5}
    move |= {"request_id": "transfer-1", "reason": planted("transfer")}
    data_of(await operator.post("/credits/transfer", **move), 201)
    token = data_of(await operator.post("/tokens", name=planted("token"), scopes=["read"]), 201)
    return {"token_id": token["token_id"], "seq": "1", "code": "no-such-link"}


async def _subscribe(
    operator: Operator, admin: asyncpg.Connection, paddle: PaddleStandIn, store: StoreClient
) -> None:
    """A plan and credits, bought and paid for; then top-ups."""
    webhooks = paddle.webhooks(str(operator.http.base_url.join("/webhooks/paddle")))
    for order in ({"plan": "growth"}, {"credits": 500}):
        path = f"/stores/{store.store_id}/checkout"
        opened = data_of(await operator.post(path, **order), 201)
        statuses = await webhooks.send_all(paddle.account.pay(opened["transaction_id"]))
        assert set(statuses) <= {200}
        await until(lambda: _is_settled(admin))
    top_up = {"threshold": 10, "credits": 500}
    data_of(await operator.send("PUT", f"/stores/{store.store_id}/top-up", json=top_up))


async def _is_settled(admin: asyncpg.Connection) -> bool:
    open_ = "SELECT count(*) FROM provider_events WHERE status IN ('received', 'failing')"
    return not await admin.fetchval(open_)


async def _is_summed(admin: asyncpg.Connection) -> bool:
    """Whether what moved stands in the sums that charts are drawn from."""
    left = """SELECT (SELECT sum(movements) FROM storecredit.hourly_sums)
                    IS DISTINCT FROM (SELECT count(*) FROM storecredit.movements)"""
    return not await admin.fetchval(left)


async def _set_aside(operator: Operator, admin: asyncpg.Connection) -> None:
    """An event of Paddle that a person must look at."""
    await admin.execute(
        """SELECT storecredit.receive_provider_event(
               'paddle', $1, 'transaction.completed', now(), $2, 'set_aside', $3)""",
        SET_ASIDE,
        json.dumps(FORGERY),
        planted("set aside"),
    )
    problems = data_of(await operator.get("/billing/problems"))
    assert SET_ASIDE in str(problems), problems


async def _failed_delivery(get: Callable[[str], Awaitable[httpx.Response]], path: str) -> str:
    """The event of a delivery that the receiver has refused at least once."""
    found: list[str] = []

    async def look() -> bool:
        items = data_of(await get(f"{path}/deliveries"))["items"]
        found[:] = [item["event_id"] for item in items if item["attempts"]]
        return bool(found)

    await until(look)
    return found[0]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what other tasks of the service do in their own time."""
    async with asyncio.timeout(SETTLING_SECONDS_MAX):
        while True:
            if await holds():
                break
            await asyncio.sleep(0.02)
