"""`storecredit billing book`: what was paid at Paddle, booked by hand."""

import json

import asyncpg

from tests.billing.sql_sales import NOON
from tests.e2e.seller import NOBODY, Seller, fields, named, row_of

PAID = {
    "id": "txn_1",
    "status": "completed",
    "origin": "subscription_recurring",
    "currency_code": "USD",
    "details": {"totals": {"subtotal": "5000", "discount": "1000"}},
}


async def test_a_payment_that_fits_nothing_is_booked_for_the_store_that_is_named(
    seller: Seller, admin: asyncpg.Connection
) -> None:
    await admin.fetchval(
        """SELECT receive_provider_event('paddle',
               'evt_1', 'transaction.completed', $1, $2, 'set_aside', 'It is no plan.')""",
        NOON,
        json.dumps(PAID),
    )
    assert "txn_1" in row_of(seller("billing", "problems"), "evt_1")
    book = ("billing", "book", "txn_1", "--credits", 10)
    assert "name a --store or --user that is known" in seller(*book).sentence()
    assert "Nothing was booked" in seller(*book, "--store", NOBODY).sentence()

    booked = seller(*book, "--store", seller.store_id, "--description", "By post", "--json").json()

    assert set(booked) == fields("BookingView")
    assert (booked["store_id"], booked["credits"], booked["amount"]) == (seller.store_id, 10, 4000)
    again = seller(*book)
    assert named(again)["price"] == "40.00 USD"
    assert "nothing was added" in again.errors
    assert "nothing to look at" in seller("billing", "problems").errors
    other = seller("billing", "book", "txn_1", "--credits", 11).sentence()
    assert "booked, for other credits than these. Nothing was booked." in other
    row = row_of(seller("credits", "history", seller.store_id), "booking:txn_1")
    assert "By post" in row
    verified = seller("verify", "--every-row")
    assert verified.status == 0, verified


def test_what_is_not_paid_or_not_there_is_not_booked(seller: Seller) -> None:
    opened = seller("billing", "checkout", seller.store_id, "--credits", 50, "--json").json()
    told = seller("billing", "book", opened["transaction_id"], "--credits", 50).sentence()
    assert "not completed" in told
    unknown = seller("billing", "book", "txn_01unknown", "--credits", 50).sentence()
    assert "no such transaction" in unknown
    off = {"STORECREDIT_PADDLE_API_KEY": ""}
    unasked = seller("billing", "book", "txn_01unknown", "--credits", 50, **off).sentence()
    assert "Paddle cannot be asked: billing is off." in unasked
    assert unasked.endswith("Nothing was booked.")
    both = ("--store", seller.store_id, "--user", NOBODY)
    assert "one of the two" in seller("billing", "book", "txn_1", "--credits", 5, *both).sentence(2)
