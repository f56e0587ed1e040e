"""Requests to Paddle in the SDK's terms. Importing this module loads the SDK, which takes 0.3 s.

Nothing is kept in Paddle's catalogue: each item brings its price and product along.
https://developer.paddle.com/build/transactions/bill-create-custom-items-prices-products
"""

from datetime import datetime

from paddle_billing.Entities.Shared import (
    CollectionMode,
    CurrencyCode,
    CustomData,
    Duration,
    Interval,
    Money,
    PriceQuantity,
    TaxCategory,
    TaxMode,
)
from paddle_billing.Entities.Subscriptions import (
    SubscriptionEffectiveFrom,
    SubscriptionOnPaymentFailure,
)
from paddle_billing.Resources.Shared.Operations import Comparator, DateComparison, OrderBy, Pager
from paddle_billing.Resources.Subscriptions.Operations import CreateOneTimeCharge
from paddle_billing.Resources.Subscriptions.Operations.Charge import (
    SubscriptionChargeItemWithPrice,
)
from paddle_billing.Resources.Subscriptions.Operations.Price import (
    SubscriptionNonCatalogPriceWithProduct,
    SubscriptionNonCatalogProduct,
)
from paddle_billing.Resources.Transactions.Operations import CreateTransaction, ListTransactions
from paddle_billing.Resources.Transactions.Operations.Create import (
    TransactionCreateItemWithPrice,
)
from paddle_billing.Resources.Transactions.Operations.Price import (
    TransactionNonCatalogPriceWithProduct,
    TransactionNonCatalogProduct,
)

from storecredit.billing.paddle.charge_marker import charge_mark
from storecredit.billing.sales import Charge, Sale


def transaction(sale: Sale) -> CreateTransaction:
    """A draft that the buyer completes at its checkout, which offers this quantity only."""
    price = TransactionNonCatalogPriceWithProduct(
        description=sale.description,
        unit_price=_money(sale.unit_amount, sale.currency),
        product=TransactionNonCatalogProduct(sale.description, TaxCategory.Standard),
        name=sale.description,
        billing_cycle=Duration(Interval.Month, 1) if sale.monthly else None,
        tax_mode=TaxMode.External,
        quantity=PriceQuantity(sale.quantity, sale.quantity),
    )
    return CreateTransaction(
        items=[TransactionCreateItemWithPrice(price, sale.quantity)],
        custom_data=CustomData(dict(sale.custom_data)),
        currency_code=CurrencyCode(sale.currency),
        collection_mode=CollectionMode.Automatic,
    )


def charge(asked: Charge) -> CreateOneTimeCharge:
    """A charge collected at once; if the payment is declined, none was made."""
    price = SubscriptionNonCatalogPriceWithProduct(
        description=asked.description,
        unit_price=_money(asked.unit_amount, asked.currency),
        product=SubscriptionNonCatalogProduct(asked.description, TaxCategory.Standard),
        name=asked.description,
        billing_cycle=None,
        custom_data=CustomData(charge_mark(asked.marker)),
        tax_mode=TaxMode.External,
        quantity=PriceQuantity(asked.quantity, asked.quantity),
    )
    return CreateOneTimeCharge(
        effective_from=SubscriptionEffectiveFrom.Immediately,
        items=[SubscriptionChargeItemWithPrice(price, asked.quantity)],
        on_payment_failure=SubscriptionOnPaymentFailure.PreventChange,
    )


def transactions_of(
    subscription_id: str, earliest: datetime, after: str | None, page_size: int
) -> ListTransactions:
    """One page of a subscription's transactions, oldest first.

    `earliest` is in UTC: the SDK writes a Z behind any other time as well.
    """
    return ListTransactions(
        pager=Pager(after=after, order_by=OrderBy("id", "ASC"), per_page=page_size),
        created_at=DateComparison(earliest, Comparator.GTE),
        subscription_ids=[subscription_id],
    )


def _money(amount: int, currency: str) -> Money:
    return Money(str(amount), CurrencyCode(currency))
