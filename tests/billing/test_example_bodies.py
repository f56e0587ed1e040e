"""The example bodies of the OpenAPI document, sent as they stand to a service that sells."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
import msgspec

from storecredit.web.app import openapi_document
from tests.billing.everywhere import tamper
from tests.billing.overages import subscribe
from tests.billing.seller import Seller, completed
from tests.web.doors import Operator, StoreClient

BODIES = 44
WITHOUT = {
    "/api/admin/credits/transfer",
    "/api/v1/credits/holds/{hold_id}/release",
    "/api/admin/users/{user_id}/holds/{hold_id}/release",
}
"""A transfer names two owners, who are others on every machine; a release says nothing."""
MADE_BY_PARENT = {
    "{hold_id}": "hold_id",
    "{spend_request_id}": "request_id",
    "{endpoint_id}": "endpoint_id",
}
"""What is made by the example of the path before it, and how the answer names it."""


async def test_every_example_body_runs_as_it_stands(seller: Seller) -> None:
    async with httpx.AsyncClient(base_url=seller.url) as http:
        operator = Operator(http)
        store = await operator.store(credits=100)
        paid = completed(await seller.paid(await seller.store()))
        names = {
            "{store_id}": store.store_id,
            "{key_id}": store.key_id,
            "{user_id}": str((await seller.user(100)).id),
            "{seq}": "1",
            "{transaction_id}": paid.data["id"],  # of which no event has told
        }
        bodies, without = examples()
        for method, path in bodies:
            named = dict(names)
            for made, field in MADE_BY_PARENT.items():
                if made in path:
                    parent = path.partition(f"/{made}")[0]
                    first = await sent(operator, store, "post", parent, names, bodies)
                    named[made] = first[field]
            # Credits are bought through a subscription; and who has one cannot begin another.
            if path.endswith("/top-up"):
                await subscribe(seller.admin, UUID(store.store_id), f"sub_{len(path)}")
            await sent(operator, store, method, path, named, bodies)
            await tamper(seller.admin, "UPDATE subscriptions SET status = 'canceled'")
    assert without == WITHOUT
    assert len(bodies) == BODIES


def examples() -> tuple[dict[tuple[str, str], Any], set[str]]:
    """The example of each method and path that takes a body, and the paths that have none."""
    found: dict[tuple[str, str], Any] = {}
    without: set[str] = set()
    for path, item in msgspec.json.decode(openapi_document())["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {"content": {}})["content"]
            if content and "example" in content["application/json"]:
                found[method, path] = content["application/json"]["example"]
            elif content:
                without.add(path)
    return found, without


async def sent(
    operator: Operator,
    store: StoreClient,
    method: str,
    path: str,
    names: Mapping[str, str],
    bodies: Mapping[tuple[str, str], Any],
) -> dict[str, Any]:
    """What the example of a path is answered with."""
    address = re.sub(r"\{\w+\}", lambda found: names[found[0]], path)
    caller = operator if path.startswith("/api/admin") else store
    answer = await caller.send(
        method.upper(), address.removeprefix("/api/admin"), json=bodies[method, path]
    )
    assert answer.status_code in {200, 201}, f"{path}: {answer.text}"
    data: dict[str, Any] = answer.json()["data"]
    return data
