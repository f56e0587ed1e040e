"""Events that cannot be read: kept without anybody in them, shown, and read by a later version."""

import json
from collections.abc import Callable

import msgspec
import pytest

from storecredit.billing.paddle import processing as reading
from storecredit.billing.paddle.messages import CONTENT_TYPES, Content
from storecredit.billing.paddle.reading import UnreadableContent, keep, read_content, read_event
from storecredit.billing.paddle.redaction import KEPT, REMOVED
from tests.billing.seller import Seller, completed, only
from tests.billing.sql_sales import Movement

UNREADABLE: tuple[tuple[dict[str, object], str], ...] = (
    ({"details.totals": {}}, "`$.details.totals`"),
    ({"details.totals.subtotal": "18.00"}, "`$.details.totals.subtotal`"),
    ({"details.totals.subtotal": 18.5}, "`$.details.totals.subtotal`"),
    ({"origin": "Jo <jo@buyer.example>"}, "`$.origin`"),
    ({"currency_code": None}, "`$.currency_code`"),
    ({"billing_period": {"starts_at": None, "ends_at": None}}, "`$.billing_period"),
)


async def test_what_cannot_be_read_is_kept_and_shown_and_can_be_tried_again(seller: Seller) -> None:
    store = await seller.store()
    for place, (lies, where) in enumerate(UNREADABLE):
        paid = completed(await seller.paid(store, request_id=f"order-{place}"))
        event = paid.altered(lies)

        await seller.told([event])
        # This version reads it no better the second time.
        assert await seller.service.parts.paddle_events.retry(event.event_id)
        await seller.settled()

        row = await seller.event(event)
        assert row["status"] == "set_aside"
        assert row["reason"].startswith("It cannot be read: "), row["reason"]
        assert where in row["reason"]
        assert json.loads(row["content"])["id"] == paid.data["id"]
        assert "buyer.example" not in f"{row['reason']} {row['content']}"
    assert await seller.ledger(store) == []
    assert len((await seller.service.parts.problems.events()).items) == len(UNREADABLE)


async def test_a_payment_that_does_not_say_its_amount_is_set_aside(seller: Seller) -> None:
    store = await seller.store()
    for place, lies in enumerate(({"details": None}, {"details.totals": None})):
        event = completed(await seller.paid(store, request_id=f"order-{place}")).altered(lies)

        await seller.told([event])

        row = await seller.event(event)
        assert row["status"] == "set_aside"
        assert row["reason"] == f"Transaction {event.data['id']} does not say what was paid."


def narrower(field: str) -> Callable[[str, str], Content]:
    """The reader of a version that could not yet read that field in the form in which it came."""

    def read(event_type: str, kept: str) -> Content:
        if field in json.loads(kept):
            raise UnreadableContent(f"Expected something else - at `$.{field}`")
        return read_content(event_type, kept)

    return read


@pytest.mark.parametrize("field", ["details", "origin", "custom_data"])
async def test_what_an_earlier_version_could_not_read_is_booked_after_the_upgrade(
    seller: Seller, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    store = await seller.store()
    event = completed(await seller.paid(store))
    with monkeypatch.context() as earlier:
        earlier.setattr(reading, "read_content", narrower(field))
        await seller.told([event])
        assert await seller.status(event) == "set_aside"
        (problem,) = (await seller.service.parts.problems.events()).items
        assert "Try it again after an upgrade" in str(problem.reason)

    assert await seller.service.parts.paddle_events.retry(event.event_id)
    await seller.settled()

    assert await seller.status(event) == "processed"
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]
    assert (await seller.service.parts.problems.find()).none


async def test_what_is_kept_reads_as_what_was_sent(seller: Seller) -> None:
    """The copy lacks nothing that is read, of any event that is used."""
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    account = seller.paddle.account
    account.renew(subscription_id)
    account.change_subscription(subscription_id, "paused")
    paid = completed(await seller.paid(store))
    account.adjust(paid.data["id"], subtotal=900)
    used = [event for event in account.events if event.event_type in CONTENT_TYPES]
    assert len({event.event_type.partition(".")[0] for event in used}) == 3

    for event in used:
        kept = keep(read_event(event.body()))
        assert kept is not None
        sent = msgspec.convert(event.data, type=CONTENT_TYPES[event.event_type])
        assert read_content(event.event_type, kept) == sent
        assert REMOVED not in kept


def test_every_field_that_is_read_is_kept() -> None:
    for type_ in CONTENT_TYPES.values():
        for path in fields_of(type_):
            names = path.split(".")
            if "custom_data" in names:  # has rules of its own
                names = names[: names.index("custom_data")]
            assert set(names) <= KEPT, path


def fields_of(type_: object, way: str = "") -> list[str]:
    """The path of every field of a struct and its parts."""
    info = msgspec.inspect.type_info(type_)
    return list(_paths(info, way))


def _paths(info: msgspec.inspect.Type, way: str) -> list[str]:
    match info:
        case msgspec.inspect.StructType():
            return [
                found
                for field in info.fields
                for path in [f"{way}.{field.encode_name}".lstrip(".")]
                for found in [path, *_paths(field.type, path)]
            ]
        case msgspec.inspect.UnionType():
            return [found for each in info.types for found in _paths(each, way)]
        case msgspec.inspect.VarTupleType():
            return _paths(info.item_type, way)
        case _:
            return []


PERSONAL: dict[str, object] = {
    "name": "Jo Buyer",
    "email": "jo@buyer.example",
    "description": "for Jo Buyer",
    "reason": "Buyer wants it",
    "customer": {"id": "ctm_1", "email": "jo@buyer.example"},
    "address": {"first_line": "1 Buyer Road", "postal_code": "90210"},
    "payments": [{"method_details": {"card": {"last4": "4242"}}}],
    "billing_details": {"additional_information": "Buyer"},
    "checkout": {"url": "https://buyer.example"},
}


async def test_nothing_of_a_person_is_kept_wherever_it_stands(seller: Seller) -> None:
    store = await seller.store()
    paid = completed(await seller.paid(store))
    created = only(
        seller.paddle.account.events, "transaction.created"
    )  # of a type that is not used: nothing of it is kept
    assert keep(read_event(created.body())) is None
    spoiled = paid.altered(
        {
            **PERSONAL,
            "items.0.price.name": "Jo Buyer",
            "items.0.price.custom_data": PERSONAL,
            "items.0.product": PERSONAL,
            "details.totals.tax": PERSONAL,
            "details.line_items.0.product": PERSONAL,
            "details.line_items.0.name": "Jo Buyer",
            "details.line_items.0.id": "Jo Buyer",
            "custom_data": PERSONAL | {"credits": "5", "request_id": "jo@buyer.example"},
            "collection_mode": "jo@buyer.example",
            "updated_at": ["Jo Buyer", {"id": "Jo Buyer"}],
        }
    )

    kept = keep(read_event(spoiled.body()))

    assert kept is not None
    for secret in ("buyer", "Buyer", "Jo", "90210", "4242", "ctm_1"):
        assert secret not in kept
    copy = json.loads(kept)
    assert (copy["id"], copy["custom_data"], copy["collection_mode"]) == (
        paid.data["id"],
        None,
        REMOVED,
    )
    await seller.told([spoiled])
    # Our record knows its transaction: the buyer paid, whatever else stands there.
    assert await seller.ledger(store) == [Movement("purchase", 100, 100, "order")]


NOTHING_TO_KEEP = ("null", "[]", '"text"', "5", "[" * 50 + "]" * 50)


@pytest.mark.parametrize("data", NOTHING_TO_KEEP)
async def test_what_is_no_entity_at_all_is_set_aside_without_being_kept(
    seller: Seller, data: str
) -> None:
    event = completed(await seller.paid(await seller.store())).altered({"id": "here"})
    body = json.loads(event.body()) | {"data": "DATA"}
    kept = read_event(json.dumps(body).replace('"DATA"', data).encode())
    with pytest.raises(UnreadableContent):
        keep(kept)
