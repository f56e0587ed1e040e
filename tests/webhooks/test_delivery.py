"""An event reaches its receiver, signed, and what comes of each attempt is kept."""

import asyncio
import os
from datetime import datetime, timedelta

import asyncpg
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from stand_ins.http_server import Answer, stand_in
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.pool import Database
from storecredit.webhooks.deliverer import Deliverer
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.messages import secret_text
from tests.passing_time import pass_delivery_time
from tests.postgres.commits import until
from tests.sql.ledgers import open_account
from tests.webhooks.conftest import Deliverers
from tests.webhooks.endpoints import (
    OPERATOR,
    State,
    add_credits,
    add_endpoint,
    attempts,
    states,
    verified,
)


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


async def test_the_operator_is_told_whose_it_is_and_of_what_is_nobodys(
    deliverer: Deliverer, admin: asyncpg.Connection
) -> None:
    user = await open_account(admin, OwnerKind.USER)
    async with stand_in(Answer(200)) as receiver:
        endpoint = await add_endpoint(
            admin, OPERATOR, receiver.url(), ["credits.added", "verify.failed"]
        )
        await add_credits(admin, user, 10)
        await admin.execute(
            """SELECT storecredit.tell('{verify.failed}', ARRAY[NULL::bigint],
                   ARRAY[json_build_object('verified_at', '2026-11-30T12:00:00Z',
                       'discrepancies', 3)])"""
        )
        assert await deliverer.deliver_due() == 2
    contents = [verified(request, endpoint) for request in receiver.received]
    told = {content["type"]: content["data"] for content in contents}
    assert told["credits.added"]["user_id"] == str(user.owner.id)
    assert told["verify.failed"] == {"verified_at": "2026-11-30T12:00:00Z", "discrepancies": 3}


async def test_while_a_secret_is_replaced_receivers_may_know_either(
    deliverer: Deliverer, admin: asyncpg.Connection, store: Account
) -> None:
    async with stand_in(Answer(200)) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url())
        new = os.urandom(32)
        await admin.execute(
            "UPDATE storecredit.webhook_secrets SET expires_at = now() + $1::interval",
            timedelta(days=1),
        )
        await admin.execute(
            """INSERT INTO storecredit.webhook_secrets (endpoint_id, created_at, secret)
               VALUES ($1, now() + interval '1 second', $2)""",
            endpoint.id,
            new,
        )
        await add_credits(admin, store, 10)
        await deliverer.deliver_due()
        both = (endpoint, endpoint._replace(secret=secret_text(new)))
        for each in both:
            assert verified(receiver.received[0], each)["type"] == "credits.added"
        await pass_delivery_time(admin, timedelta(days=2))
        await add_credits(admin, store, 11)
        await deliverer.deliver_due()
    assert verified(receiver.received[1], both[1])["type"] == "credits.added"
    with pytest.raises(WebhookVerificationError):
        verified(receiver.received[1], both[0])


async def test_logs_name_store_and_event_but_neither_url_nor_secret_nor_what_was_answered(
    deliverer: Deliverer,
    admin: asyncpg.Connection,
    store: Account,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with stand_in(Answer(410, b"an answer")) as receiver:
        endpoint = await add_endpoint(admin, store.id, receiver.url("/in-the-url"))
        await add_credits(admin, store, 10, 20)
        await deliverer.deliver_due()
    logged = capsys.readouterr().out
    for private in (endpoint.secret, "in-the-url", str(receiver.port), "an answer"):
        assert private not in logged
    events = [request.headers["webhook-id"] for request in receiver.received]
    for known in (str(endpoint.id), str(store.owner.id), *events):
        assert known in logged
    assert logged.count("endpoint_disabled") == 1


async def test_a_delivery_is_read_with_the_attempts_that_it_counts_also_while_one_is_recorded(
    admin: asyncpg.Connection, database: Database, store: Account
) -> None:
    endpoint = await add_endpoint(admin, store.id, "https://receiver.example/")
    await add_credits(admin, store, 10)
    event = await admin.fetchrow("SELECT seq, event_id FROM storecredit.events")
    assert event is not None
    waiting = """SELECT count(*) FROM pg_locks
        WHERE NOT granted AND relation = 'storecredit.delivery_attempts'::regclass"""
    async with admin.transaction():
        await admin.execute("LOCK TABLE storecredit.delivery_attempts IN ACCESS EXCLUSIVE MODE")
        reading = asyncio.create_task(
            DeliveryRecords(database).get(store.id, endpoint.id, event["event_id"])
        )
        await until(lambda: admin.fetchval(waiting))
        await admin.execute(
            """INSERT INTO storecredit.delivery_attempts
                   (endpoint_id, seq, attempt, attempted_at, milliseconds, status_code)
               VALUES ($1, $2, 1, now(), 7, 200)""",
            endpoint.id,
            event["seq"],
        )
        await admin.execute(
            """UPDATE storecredit.deliveries SET status = 'delivered', attempts = 1,
                   ended_at = now(), next_attempt_at = NULL"""
        )
    found = await reading
    assert found is not None
    assert found.delivery.attempts == len(found.attempts)
    assert found.delivery.status_code == found.attempts[0].status_code == 200


async def test_what_became_of_attempts_is_counted(
    deliverers: Deliverers, admin: asyncpg.Connection, store: Account
) -> None:
    deliverer = await deliverers.open()
    async with stand_in(Answer(204, length=None)) as one, stand_in(Answer(410)) as other:
        for receiver in (one, other):
            await add_endpoint(admin, store.id, receiver.url(), ["credits.added"])
        await add_credits(admin, store, 10)
        await deliverer.deliver_due()
        await deliverer.tidy()
    text = deliverers.metrics.exposition().decode()
    assert 'storecredit_webhook_attempts_total{outcome="delivered"} 1.0' in text
    assert 'storecredit_webhook_attempts_total{outcome="gone"} 1.0' in text
    assert "storecredit_webhook_oldest_due_seconds 0.0" in text
