"""An event reaches its receiver, signed, and what comes of each attempt is kept."""

from datetime import datetime, timedelta

import asyncpg

from stand_ins.http_server import Answer, stand_in
from storecredit.ledger.owners import Account
from storecredit.webhooks.deliverer import Deliverer
from tests.webhooks.endpoints import (
    State,
    add_endpoint,
    attempts,
    states,
    verified,
)

HOUR = timedelta(hours=1)


async def test_a_spend_that_leaves_little_is_told_signed_and_once(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    async with stand_in(Answer(204, length=None)) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url("/hook?x=%2F"))
        await admin.execute(
            """SELECT * FROM spend_credits(ARRAY[$1::bigint], ARRAY[95], ARRAY['r'],
                   ARRAY['\\x00'::bytea], ARRAY[''], ARRAY[NULL::json])""",
            store.id,
        )
        assert await deliverer.deliver_due() == 1
        assert await deliverer.deliver_due() == 0
    [request] = receiver.received
    assert (request.method, request.path) == ("POST", "/hook?x=%2F")
    event = await admin.fetchrow("SELECT * FROM storecredit.events")
    assert event is not None
    told = verified(request, endpoint)
    assert told == {
        "type": "credits.low",
        "version": 1,
        "timestamp": told["timestamp"],
        "data": {
            "store_id": str(store.owner.id),
            "balance": 5,
            "threshold": 10,
            "request_id": "r",
        },
    }
    assert datetime.fromisoformat(told["timestamp"]) == event["created_at"]
    assert request.headers["webhook-id"] == f"evt_{event['event_id'].hex}"
    assert request.headers["content-type"] == "application/json"
    assert await states(admin, endpoint) == [State("delivered", 1, 0)]
    [attempt] = await attempts(admin, endpoint)
    assert (attempt["attempt"], attempt["status_code"], attempt["error"]) == (1, 204, None)
