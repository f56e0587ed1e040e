"""Paddle's entities, with every field that its API reference documents.

https://developer.paddle.com/api-reference/transactions
https://developer.paddle.com/api-reference/subscriptions
https://developer.paddle.com/api-reference/adjustments
"""

import copy
from collections.abc import Callable
from typing import Any

Entity = dict[str, Any]


def transaction(id_: str, now: str) -> Entity:
    """One that was opened just now."""
    return {
        "id": id_,
        "status": "draft",
        "customer_id": None,
        "address_id": None,
        "business_id": None,
        "custom_data": None,
        "currency_code": "USD",
        "origin": "api",
        "subscription_id": None,
        "invoice_id": None,
        "invoice_number": None,
        "collection_mode": "automatic",
        "discount_id": None,
        "billing_details": None,
        "billing_period": None,
        "payments": [],
        "checkout": None,
        "created_at": now,
        "updated_at": now,
        "billed_at": None,
        "revised_at": None,
    }


def price(given: Entity, product_id: str, now: str) -> Entity:
    """A price that came with an item (non-catalogue), as it is answered."""
    return {
        "product_id": product_id,
        "type": "custom",
        "name": None,
        "billing_cycle": None,
        "trial_period": None,
        "tax_mode": "account_setting",
        "unit_price_overrides": [],
        "quantity": {"minimum": 1, "maximum": 100},
        "custom_data": None,
        "status": "active",
        "import_meta": None,
        "created_at": now,
        "updated_at": now,
    } | given


def product(given: Entity, now: str) -> Entity:
    """A product that came with an item (non-catalogue), as it is answered."""
    return {
        "type": "custom",
        "description": None,
        "image_url": None,
        "custom_data": None,
        "status": "active",
        "import_meta": None,
        "created_at": now,
        "updated_at": now,
    } | given


def subscription(id_: str, transaction: Entity, now: str) -> Entity:
    """The one that the transaction begins."""
    return {
        "id": id_,
        "status": "active",
        "customer_id": transaction["customer_id"],
        "address_id": transaction["address_id"],
        "business_id": None,
        "currency_code": transaction["currency_code"],
        "created_at": now,
        "updated_at": now,
        "started_at": now,
        "first_billed_at": now,
        "next_billed_at": None,
        "paused_at": None,
        "canceled_at": None,
        "collection_mode": "automatic",
        "billing_details": None,
        "current_billing_period": None,
        "billing_cycle": {"interval": "month", "frequency": 1},
        "scheduled_change": None,
        "items": [],
        "custom_data": copy.deepcopy(transaction["custom_data"]),
        "discount": None,
        "consent_requirements": [],
        "import_meta": None,
        "management_urls": {
            "update_payment_method": f"https://buyer-portal.paddle.com/subscriptions/{id_}/update",
            "cancel": f"https://buyer-portal.paddle.com/subscriptions/{id_}/cancel",
        },
    }


def subscription_item(item: Entity, product: Entity, now: str) -> Entity:
    """An item of a transaction, as the subscription has it."""
    return {
        "status": "active",
        "quantity": item["quantity"],
        "recurring": True,
        "created_at": now,
        "updated_at": now,
        "previously_billed_at": None,
        "next_billed_at": None,
        "trial_dates": None,
        "price": copy.deepcopy(item["price"]),
        "product": copy.deepcopy(product),
    }


def payment(amount: str, ids: Callable[[str], str], now: str) -> Entity:
    """One that succeeded, by a card."""
    return {
        "payment_attempt_id": "937640dd-e3dc-40df-a16c-bb75aafd8f71",
        "payment_method_id": ids("paymtd"),
        "stored_payment_method_id": "281ff2ca-8550-42b9-bf39-15948e7de62d",
        "amount": amount,
        "status": "captured",
        "error_code": None,
        "method_details": {
            "type": "card",
            "card": {
                "type": "visa",
                "last4": "3184",
                "expiry_month": 1,
                "expiry_year": 2035,
                "cardholder_name": "Nobody in Particular",
            },
            "south_korea_local_card": None,
            "underlying_details": None,
        },
        "created_at": now,
        "captured_at": now,
    }


def adjustment(transaction: Entity, given: Entity, ids: Callable[[str], str], now: str) -> Entity:
    """An adjustment of the first line by those totals."""
    totals = {key: value for key, value in given.items() if key != "discount"}
    line = transaction["details"]["line_items"][0]
    whole = line["totals"]["subtotal"] == totals["subtotal"]
    return {
        "id": ids("adj"),
        "transaction_id": transaction["id"],
        "subscription_id": transaction["subscription_id"],
        "customer_id": transaction["customer_id"],
        "reason": "requested_by_customer",
        "credit_applied_to_balance": None,
        "currency_code": transaction["currency_code"],
        "items": [
            {
                "id": ids("adjitm"),
                "item_id": line["id"],
                "type": "full" if whole else "partial",
                "amount": totals["total"],
                "proration": None,
                "totals": totals,
            }
        ],
        "totals": totals
        | {
            "fee": "0",
            "retained_fee": "0",
            "earnings": totals["subtotal"],
            "currency_code": transaction["currency_code"],
        },
        "payout_totals": None,
        "tax_rates_used": [{"tax_rate": line["tax_rate"], "totals": totals}],
        "created_at": now,
        "updated_at": now,
    }
