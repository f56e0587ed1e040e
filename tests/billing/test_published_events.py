"""Every type of event that Paddle publishes, signed, at the real door; and ours in every form."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from paddle_billing.Notifications.Entities.Adjustment import Adjustment
from paddle_billing.Notifications.Entities.SubscriptionCreated import SubscriptionCreated
from paddle_billing.Notifications.Entities.Transaction import Transaction

from stand_ins.paddle.account import Event
from storecredit.billing.checkouts import PlanOrder
from storecredit.billing.paddle.messages import CONTENT_TYPES
from tests.billing.published_events import (
    Optionals,
    entity_of,
    event_types,
    optional_fields,
    published,
)
from tests.billing.seller import Seller, completed, only

NULLABLE_IN_TYPESCRIPT = (
    "details",
    "details.totals",
    "items.0.price",
    "details.line_items.0.totals",
)
"""Optional in `ITransactionNotificationResponse` and its parts, though not in Python."""
AMOUNTS = ("details", "details.totals")
"""Without them nobody knows what was paid."""


@pytest.mark.parametrize("optionals", list(Optionals))
async def test_every_published_event_is_taken_and_is_no_problem(
    seller: Seller, optionals: Optionals
) -> None:
    await seller.store()
    events = [published(event_type, optionals) for event_type in event_types()]
    assert {event.event_type for event in events} >= CONTENT_TYPES.keys()
    assert len(events) > 60

    await seller.told(events)

    assert {await seller.status(event) for event in events} == {"ignored"}
    assert (await seller.service.parts.problems.find()).none
    kept = str(await seller.admin.fetch("SELECT content FROM provider_events"))
    assert "made up" not in kept


@pytest.mark.parametrize("event_type", event_types())
def test_what_was_made_up_is_in_the_published_form(event_type: str) -> None:
    """So says the SDK, which is used nowhere else to read one."""
    entity = entity_of(event_type)
    if entity is None:
        assert event_type.startswith("invoice."), "the SDK has a name for it, and no type"
        return
    entity.from_dict(published(event_type, Optionals.THERE).data)


def lacking(event: Event, path: str, *, null: bool) -> Event:
    """The event, told once more, with null in that place or nothing there at all."""
    lacks = event.altered({path: None})
    if not null:
        *way, last = path.split(".")
        place: Any = lacks.data
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        del place[last]
    return replace(lacks, event_id=f"{event.event_id}{'null' if null else 'missing'}")


async def test_a_payment_of_ours_is_booked_whatever_optional_field_it_lacks(seller: Seller) -> None:
    store = await seller.store()
    paths = (*optional_fields(Transaction), *NULLABLE_IN_TYPESCRIPT)
    told: list[tuple[str, Event]] = []
    for path, null in itertools.product(paths, (True, False)):
        bought = completed(await seller.paid(store, request_id=f"{path} {null}"))
        told.append((path, lacking(bought, path, null=null)))

    await seller.told([event for _, event in told])

    for path, event in told:
        status = "set_aside" if path in AMOUNTS else "processed"
        assert await seller.status(event) == status, path
    booked = [path for path, _ in told if path not in AMOUNTS]
    assert await seller.balance(store) == 100 * len(booked)
    for problem in (await seller.service.parts.problems.events()).items:
        assert str(problem.reason).endswith(" does not say what was paid.")


async def test_a_subscription_of_ours_begins_whatever_optional_field_it_lacks(
    seller: Seller,
) -> None:
    sent = {"transaction_id", "consent_requirements"}  # the one tells; the other is not sent here
    for path in set(optional_fields(SubscriptionCreated)) - sent:
        store = await seller.store()
        created = only(
            await seller.paid(store, PlanOrder("growth"), "plan"), "subscription.created"
        )

        null, missing = lacking(created, path, null=True), lacking(created, path, null=False)
        # One after the other: told at once, either may be the first.
        await seller.told([null])
        await seller.told([missing])

        # Of two states of one moment the second to be looked at is no news.
        assert {await seller.status(null), await seller.status(missing)} == {"processed", "ignored"}
        assert await seller.tier(store) == "growth", path
    assert (await seller.service.parts.problems.find()).none


async def test_a_refund_of_ours_is_taken_back_whatever_optional_field_it_lacks(
    seller: Seller,
) -> None:
    store = await seller.store()
    for path, null in itertools.product(optional_fields(Adjustment), (True, False)):
        bought = completed(await seller.paid(store, request_id=f"{path} {null}"))
        refund = seller.paddle.account.adjust(bought.data["id"], status="approved")

        await seller.told([bought, lacking(refund, path, null=null)])

        assert await seller.balance(store) == 0, path
    assert (await seller.service.parts.problems.find()).none


FORMS: tuple[Mapping[str, object], ...] = (
    {"currency_code": "usd"},
    {"details.totals.subtotal": 1800},
    {"details.totals.discount": None},
    {"items": []},
    {"items.0.price.custom_data": ["anything"]},
    {"custom_data": ["a", "list"]},
    {"custom_data": "a text"},
    {"custom_data.credits": 100},
    {"custom_data.request_id": "a NUL: \0"},
    {"custom_data.extra": {"nested": [1, {"deep": None}]}},
    {"brand_new": {"field": [1, 2, {"three": 4}]}, "details.brand_new": "x"},
    {"status": "some_new_word", "collection_mode": "another-one"},
)


async def test_a_payment_of_ours_is_booked_in_whatever_form_its_values_come(seller: Seller) -> None:
    store = await seller.store()
    told = [
        completed(await seller.paid(store, request_id=f"order-{place}")).altered(form)
        for place, form in enumerate(FORMS)
    ]

    await seller.told(told)

    for event, form in zip(told, FORMS, strict=True):
        assert await seller.status(event) == "processed", form
    assert await seller.balance(store) == 100 * len(FORMS)


TIMES = (
    "2026-11-01T12:00:00Z",
    "2026-11-01T12:00:00.1Z",
    "2026-11-01T12:00:00.123456789Z",
    "2026-11-01T14:00:00.000000+02:00",
    "2026-11-01T06:30:00-05:30",
    "2026-11-01t12:00:00z",
)


async def test_a_time_is_read_in_every_spelling(seller: Seller) -> None:
    store = await seller.store()
    told = [
        replace(
            completed(await seller.paid(store, request_id=f"order-{place}")), occurred_at=moment
        )
        for place, moment in enumerate(TIMES)
    ]

    await seller.told(told)

    for event in told:
        row = await seller.event(event)
        assert row["status"] == "processed"
        assert f"{row['occurred_at']:%Y-%m-%d %H:%M:%S}" == "2026-11-01 12:00:00"
    paid = await seller.admin.fetch("SELECT date_trunc('second', paid_at) FROM payments")
    assert len({row[0] for row in paid}) == 1


async def test_a_state_that_is_not_documented_is_set_aside(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    (updated, *_) = seller.paddle.account.change_subscription(subscription_id, "active")
    strange = updated.altered({"status": "inactive"})

    await seller.told([strange])

    row = await seller.event(strange)
    assert row["status"] == "set_aside"
    assert row["reason"] == (
        f"Subscription {subscription_id} has a status not known here: inactive."
    )
    assert await seller.tier(store) == "growth"
