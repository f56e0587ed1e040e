"""Nonsense at `/webhooks/paddle`, correctly signed: kept or refused, never booked wrongly.

And what is kept of an event, and logged, holds nothing of the person who paid.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

from stand_ins.paddle.account import Event
from stand_ins.paddle.webhooks import sign
from storecredit.billing.checkouts import PlanOrder
from tests.billing.seller import Seller, completed, only
from tests.fuzz_inputs import fuzz_inputs
from tests.log_stream import LogStream

AT_ONCE = 8
FIELDS = {
    "transaction": (
        *("id", "origin", "currency_code", "details", "details.totals", "subscription_id"),
        *("details.totals.subtotal", "details.totals.discount", "billing_period", "items"),
        *("custom_data", "custom_data.checkout_id", "custom_data.credits", "items.0"),
        *("items.0.price", "items.0.price.custom_data", "status", "customer_id", "kind"),
    ),
    "subscription": (
        *("id", "status", "transaction_id", "current_billing_period", "custom_data"),
        *("current_billing_period.starts_at", "custom_data.store_id", "items", "kind"),
    ),
    "adjustment": (
        *("id", "action", "status", "transaction_id", "currency_code", "totals", "type"),
        *("totals.subtotal", "items", "kind"),
    ),
}


def broken(log: LogStream) -> list[str]:
    return [line for line in log.getvalue().splitlines() if '"exception"' in line]


async def post_all(seller: Seller, bodies: Sequence[bytes]) -> list[int]:
    """Deliver all, signed; the statuses."""
    room = asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http:

        async def post(body: bytes) -> int:
            headers = {"Paddle-Signature": sign(body, seller.webhooks.secret, at=time.time())}
            async with room:
                answer = await http.post(seller.webhooks.url, content=body, headers=headers)
            assert "Traceback" not in answer.text
            return answer.status_code

        return list(await asyncio.gather(*map(post, bodies)))


def spoiled(event: Event, field: str, text: str, event_id: str) -> bytes:
    """The event, under another id, with that text for the value of one field."""
    mark = "spoil this"
    try:
        lie = event.altered({field: mark})
    except (KeyError, TypeError):  # a field that this event has not
        lie = event.altered({field.partition(".")[0]: mark})
    body = json.loads(lie.body()) | {"event_id": event_id}
    return json.dumps(body).replace(f'"{mark}"', text).encode(errors="surrogatepass")


async def test_no_wrong_value_in_any_field_books_anything_wrong(
    seller: Seller, log: LogStream
) -> None:
    store = await seller.store()
    bought = completed(await seller.paid(store))
    plan = await seller.paid(store, PlanOrder("growth"), "plan")
    adjusted = seller.paddle.account.adjust(bought.data["id"], status="approved")
    events = {
        "transaction": bought,
        "subscription": only(plan, "subscription.created"),
        "adjustment": adjusted,
    }
    ids = (f"evt_{number}" for number in itertools.count(1))
    bodies = [
        spoiled(event, field, text, next(ids))
        for kind, event in events.items()
        for place, field in enumerate(FIELDS[kind])
        for text in fuzz_inputs(60)[place % 9 :: 9]
    ]

    statuses = await post_all(seller, bodies)
    await seller.settled()

    assert set(statuses) == {200, 400}
    assert broken(log) == []
    # What was spoiled where nothing is read is what it says.
    movements = await seller.ledger(store)
    assert [(row.type, row.amount) for row in movements] in (
        [("purchase", 100)],
        [("purchase", 100), ("clawback", 100)],
    )
    assert await seller.balance(store) in {0, 100}
    assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 1
    assert await seller.tier(store) in {"default", "growth"}


async def test_no_nonsense_in_the_envelope_is_more_than_refused(
    seller: Seller, log: LogStream
) -> None:
    event = completed(await seller.paid(await seller.store()))
    whole = json.loads(event.body())
    texts = fuzz_inputs(100)
    bodies = [text.encode(errors="surrogatepass") for text in texts]
    for name in ("event_id", "event_type", "occurred_at", "data"):
        for text in texts:
            spoilt = json.dumps(
                whole
                | {name: "spoil this", "event_id": "evt_1"}
                | ({"event_id": "spoil this"} if name == "event_id" else {})
            )
            bodies.append(spoilt.replace('"spoil this"', text).encode(errors="surrogatepass"))
    bodies += [b'{"event_id":"evt_1\\n"}', b"\xff\xfe", b"\x00", b'{"data":' * 50_000]
    bodies += [b" " * 1_000_000 + b"{}", json.dumps(whole | {"x": "y" * 1_000_000}).encode()]

    statuses = await post_all(seller, bodies)
    await seller.settled()

    assert set(statuses) <= {200, 400, 401}, "401: what is no UTF-8 cannot have been signed"
    assert broken(log) == []
    kept = await seller.admin.fetch("SELECT event_id, status FROM provider_events")
    assert {row["event_id"] for row in kept} <= {"evt_1", event.event_id}


EMAIL, NAME, STREET = "jane.doe@buyer.example", "Jane Q. Doe-Smith", "1 Privet Drive"


def personal(event: Event) -> Event:
    """The event as full of the buyer as an event can be."""
    person = {"email": EMAIL, "name": NAME, "address": {"first_line": STREET}}
    lies: dict[str, object] = {"customer": person, "address": person, "business": person}
    if event.data.get("payments"):
        lies["payments.0.method_details.card.cardholder_name"] = NAME
    if isinstance(event.data.get("custom_data"), dict):
        lies |= {"custom_data.email": EMAIL, f"custom_data.{NAME.replace('.', '')}": EMAIL}
    return event.altered(lies)


async def test_nobody_who_paid_can_be_read_out_of_the_database_or_the_log(
    seller: Seller, log: LogStream
) -> None:
    store = await seller.store()
    told = [*await seller.paid(store), *await seller.paid(store, PlanOrder("growth"), "plan")]
    told.append(
        seller.paddle.account.adjust(completed(told[:-1][:7]).data["id"], status="approved")
    )
    wrong: Sequence[dict[str, Any]] = [
        {field: value}
        for field in ("status", "kind", "id", "origin", "currency_code", "custom_data")
        for value in (EMAIL, [EMAIL], {NAME: EMAIL})
    ]
    bodies = [personal(event).body() for event in told]
    for number, (event, lies) in enumerate(itertools.product(told, wrong)):
        lie = json.loads(personal(event).altered(lies).body())
        bodies.append(json.dumps(lie | {"event_id": f"evt_{number}"}).encode())
    bodies.append(json.dumps(json.loads(bodies[0]) | {"event_id": EMAIL}).encode())
    bodies.append(json.dumps(json.loads(bodies[0]) | {"event_type": EMAIL}).encode())

    assert set(await post_all(seller, bodies)) == {200, 400}
    await seller.settled()

    movements = {(row.type, row.amount) for row in await seller.ledger(store)}
    assert movements == {("purchase", 100), ("subscription", 800), ("clawback", 100)}
    found = f"{log.getvalue()}\n{await dump(seller)}\n{(await shown(seller))}"
    for secret in (EMAIL, "jane.doe", NAME, STREET, seller.paddle.api_key, seller.webhooks.secret):
        assert secret not in found, secret
    assert "h1=" not in found


async def dump(seller: Seller) -> str:
    """Every row of every table, the queue's too."""
    tables = await seller.admin.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    )
    rows = [await seller.admin.fetch(f"SELECT t::text FROM {name} t") for (name,) in tables]
    payloads = await seller.admin.fetch("SELECT convert_from(payload, 'UTF8') FROM pgqueuer")
    return "\n".join(str(row[0]) for table in (*rows, payloads) for row in table)


async def shown(seller: Seller) -> str:
    """What the operator sees of problems."""
    return str(await seller.service.parts.problems.find())
