"""The example bodies of the OpenAPI document, sent as they stand to a service that sells."""

import re

import httpx
import msgspec

from storecredit.web.app import openapi_document
from tests.billing.seller import Seller, completed
from tests.web.doors import Operator

BODIES = 10


async def test_every_example_body_runs_as_it_stands(seller: Seller) -> None:
    async with httpx.AsyncClient(base_url=seller.url) as http:
        operator = Operator(http)
        store = await operator.store(credits=5)
        paid = completed(await seller.paid(await seller.store()))
        names = {
            "{store_id}": store.store_id,
            "{key_id}": store.key_id,
            "{transaction_id}": paid.data["id"],  # of which no event has told
        }
        sent = 0
        for path, item in msgspec.json.decode(openapi_document())["paths"].items():
            for method, operation in item.items():
                content = operation.get("requestBody", {"content": {}})["content"]
                if not content:
                    continue
                address = re.sub(r"\{\w+\}", lambda found: names[found[0]], path)
                caller = operator if path.startswith("/api/admin") else store
                example = content["application/json"]["example"]
                answer = await caller.send(
                    method.upper(), address.removeprefix("/api/admin"), json=example
                )
                assert answer.status_code in {200, 201}, f"{path}: {answer.text}"
                sent += 1
        assert sent == BODIES
