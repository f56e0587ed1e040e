"""Money that goes back takes its credits with it, as far as there are any, by the real door."""

import asyncio
from datetime import date

import pytest

from storecredit.billing.checkouts import CreditsOrder
from storecredit.billing.paddle.charge_marker import charge_marker
from storecredit.ledger.owners import Owner, OwnerKind
from tests.billing.seller import Seller, completed
from tests.billing.sql_sales import Movement, account_of

pytestmark = pytest.mark.several_buckets


async def bought(seller: Seller, owner: Owner, request_id: str = "order") -> str:
    """The transaction of a purchase that is booked."""
    events = await seller.paid(owner, request_id=request_id)
    await seller.told(events)
    return str(completed(events).data["id"])


@pytest.mark.parametrize("kind", list(OwnerKind))
async def test_a_full_refund_takes_all_of_its_credits(seller: Seller, kind: OwnerKind) -> None:
    owner = await (seller.store(5) if kind is OwnerKind.STORE else seller.user(5))
    transaction_id = await bought(seller, owner)
    before = await seller.balance(owner)

    adjusted = seller.paddle.account.adjust(transaction_id)
    await seller.told([adjusted])
    assert await seller.balance(owner) == before, "it waits to be approved"
    assert await seller.status(adjusted) == "ignored"
    approved = seller.paddle.account.decide(adjusted.data["id"], "approved")
    await seller.told([approved, approved])

    assert await seller.balance(owner) == 5
    assert (await seller.ledger(owner))[-1] == Movement(
        "clawback", before - 5, 5, adjusted.data["id"]
    )
    assert (await seller.service.parts.problems.find()).none


async def test_a_rejected_refund_takes_nothing(seller: Seller) -> None:
    store = await seller.store()
    adjusted = seller.paddle.account.adjust(await bought(seller, store))
    rejected = seller.paddle.account.decide(adjusted.data["id"], "rejected")

    await seller.told([rejected, adjusted])

    assert await seller.status(rejected) == "ignored"
    assert await seller.balance(store) == 100


async def test_partial_refunds_take_their_share(seller: Seller) -> None:
    store = await seller.store()
    transaction_id = await bought(seller, store)

    # 100 credits for 1800: a credit is 18.
    for subtotal, balance in ((17, 100), (1, 99), (900, 49), (890, 0)):
        adjusted = seller.paddle.account.adjust(
            transaction_id, subtotal=subtotal, status="approved"
        )
        await seller.told([adjusted])
        assert await seller.balance(store) == balance


async def test_a_refund_of_the_tax_alone_takes_nothing(seller: Seller) -> None:
    store = await seller.store()
    transaction_id = await bought(seller, store)

    adjusted = seller.paddle.account.adjust(transaction_id, subtotal=0, status="approved")
    await seller.told([adjusted])

    assert await seller.status(adjusted) == "processed"
    assert await seller.balance(store) == 100


async def test_a_chargeback_takes_what_is_there_and_the_rest_is_shown(seller: Seller) -> None:
    store = await seller.store()
    transaction_id = await bought(seller, store)
    await seller.spend(store, 70, "spent")

    adjusted = seller.paddle.account.adjust(transaction_id, "chargeback")
    answers = await asyncio.gather(*(seller.webhooks.send(adjusted) for _ in range(10)))
    await seller.settled()

    assert {answer.status_code for answer in answers} == {200}
    assert await seller.balance(store) == 0
    (short,) = (await seller.service.parts.problems.clawbacks()).items
    assert (short.adjustment_id, short.owner) == (adjusted.data["id"], store)
    assert (short.credits, short.taken, short.action) == (100, 30, "chargeback")
    assert (await seller.event(adjusted))["reason"] == "Of 100 credits only 30 could be taken."


async def test_a_chargeback_of_an_empty_store_takes_nothing_and_writes_no_movement(
    seller: Seller,
) -> None:
    store = await seller.store()
    transaction_id = await bought(seller, store)
    await seller.spend(store, 100, "spent")

    await seller.told([seller.paddle.account.adjust(transaction_id, "chargeback")])

    assert [row.type for row in await seller.ledger(store)] == ["purchase", "deduction"]
    (short,) = (await seller.service.parts.problems.clawbacks()).items
    assert (short.credits, short.taken) == (100, 0)


async def test_a_refund_that_arrives_before_its_payment_waits_for_it(seller: Seller) -> None:
    store = await seller.store()
    events = await seller.paid(store)
    adjusted = seller.paddle.account.adjust(completed(events).data["id"], status="approved")

    assert await seller.webhooks.send_all([adjusted]) == [200]
    await seller.told(events)

    assert await seller.status(adjusted) == "processed"
    assert [row.type for row in await seller.ledger(store)] == ["purchase", "clawback"]
    assert await seller.balance(store) == 0


@pytest.mark.parametrize(
    "action",
    ["credit", "credit_reverse", "chargeback_warning", "chargeback_reverse"],
)
async def test_other_actions_are_shown_to_the_operator(seller: Seller, action: str) -> None:
    store = await seller.store()
    adjusted = seller.paddle.account.adjust(await bought(seller, store), action)

    await seller.told([adjusted])

    (problem,) = (await seller.service.parts.problems.events()).items
    assert f"({action}, approved) moves no credits by itself" in str(problem.reason)
    assert await seller.balance(store) == 100


async def test_a_chargeback_that_is_reversed_is_shown_to_the_operator(seller: Seller) -> None:
    store = await seller.store()
    adjusted = seller.paddle.account.adjust(await bought(seller, store), "chargeback")
    reversed_ = seller.paddle.account.decide(adjusted.data["id"], "reversed")

    await seller.told([adjusted, reversed_])

    assert await seller.balance(store) == 0
    (problem,) = (await seller.service.parts.problems.events()).items
    assert problem.event_id == reversed_.event_id


async def test_an_adjustment_that_does_not_fit_the_payment_takes_nothing(seller: Seller) -> None:
    store = await seller.store()
    transaction_id = await bought(seller, store)
    adjusted = seller.paddle.account.adjust(transaction_id, status="approved")
    told = [adjusted.altered({"currency_code": "EUR"})]

    await seller.told(told)

    assert await seller.status(told[0]) == "set_aside"
    assert await seller.balance(store) == 100


async def test_a_refund_of_overage_takes_no_credits(seller: Seller) -> None:
    store = await seller.store()
    subscription_id = await seller.subscribed(store)
    await seller.service.parts.credits.set_overage_limit(store.id, 100)
    await seller.spend(store, 800, "all")
    await seller.spend(store, 10, "over")
    month = date(2026, 10, 1)
    account_id = await account_of(seller.admin, store)
    await (await seller.buckets.of(store)).fetchval(
        "SELECT close_overage($1, $2, 14, 'USD')", account_id, month
    )
    charged = seller.paddle.account.charge(
        subscription_id, [charge_item(charge_marker(store.id, "overage-2026-10"), 10, 14)], "USD"
    )
    paid = [
        event for event in seller.paddle.account.events if event.data.get("id") == charged["id"]
    ]

    await seller.told([*paid, seller.paddle.account.adjust(charged["id"], status="approved")])

    payment = await seller.admin.fetchrow("SELECT * FROM payments WHERE kind = 'overage'")
    assert payment is not None
    assert (payment["amount"], payment["credits"], payment["account_id"]) == (140, 10, account_id)
    clawback = await seller.admin.fetchrow("SELECT credits, taken FROM clawbacks")
    assert clawback is not None
    assert tuple(clawback) == (0, 0)
    assert [row.type for row in await seller.ledger(store)] == [
        "subscription",
        "deduction",
        "overage",
        "overage_bill",
    ]
    assert (await seller.service.parts.problems.find()).none


async def test_a_payment_of_overage_that_fits_no_bill_is_set_aside(seller: Seller) -> None:
    store, other = await seller.store(), await seller.store()
    subscription_id = await seller.subscribed(store)
    account = seller.paddle.account
    for marker in (
        f"overage_bill:{store.id}:2026-10",
        f"overage_bill:{store.id}:2026-99",
        f"overage_bill:{other.id}:2026-10",
        "another_charge:1",
    ):
        account.charge(subscription_id, [charge_item(marker, 10, 14)], "USD")
    told = [
        event
        for event in account.events
        if event.event_type == "transaction.completed"
        and event.data["origin"] == "subscription_charge"
    ]

    await seller.told(told)

    assert [await seller.status(event) for event in told] == ["set_aside"] * 4
    assert await seller.admin.fetchval("SELECT count(*) FROM payments") == 1


def charge_item(marker: str, quantity: int, unit_amount: int) -> dict[str, object]:
    """A charge's line, marked as ours."""
    return {
        "quantity": quantity,
        "price": {
            "description": "Overage",
            "unit_price": {"amount": str(unit_amount), "currency_code": "USD"},
            "tax_mode": "external",
            "quantity": {"minimum": 1, "maximum": 10_000},
            "custom_data": {"storecredit_charge": marker},
            "product": {"name": "Overage", "tax_category": "saas"},
        },
    }


async def test_a_clawback_takes_from_its_own_buyer_only(seller: Seller) -> None:
    store, other = await seller.store(), await seller.store(50)
    transaction_id = await bought(seller, store)
    opened = await seller.opened(other, CreditsOrder(100), "theirs")
    assert opened.transaction_id != transaction_id

    await seller.told([seller.paddle.account.adjust(transaction_id, status="approved")])

    assert await seller.balance(store) == 0
    assert await seller.balance(other) == 50
