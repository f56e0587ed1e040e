"""Whether an event of Paddle's is about something that was sold here.

A Paddle account may sell other products, or serve a second installation; what is theirs comes in by
the same webhook and in any form. A thing is ours if a record of ours names it: no text, name or
price decides. The record of a checkout is made before Paddle is asked for a transaction, and its
id goes along in the custom data, which a subscription and its renewals inherit
(https://developer.paddle.com/build/transactions/custom-data): so an event of ours is known for
ours also before the event that it should have followed. (A page can overwrite the custom data of a
checkout that it opens. What is ignored therefore keeps the subscription it names, and is looked at
again when that turns out to be ours; likewise the transaction, which the operator may book by hand
after its refund was ignored.)
"""

from typing import Final

from storecredit.billing.paddle import PROVIDER
from storecredit.billing.paddle.charge_marker import marked_charge
from storecredit.billing.paddle.reading import References
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

# What a transaction or subscription is, our record says; custom data a page may have written. A
# payment names the subscription that it began, before any event of that is applied.
_NEARNESS: Final = """
    SELECT CASE
        WHEN EXISTS (SELECT FROM checkouts WHERE provider = $1 AND provider_transaction_id = $2)
          OR EXISTS (SELECT FROM payments WHERE provider = $1 AND provider_transaction_id = $2)
        THEN 1
        WHEN EXISTS (SELECT FROM subscriptions
                     WHERE provider = $1 AND provider_subscription_id = $3)
          OR EXISTS (SELECT FROM payments WHERE provider = $1 AND provider_subscription_id = $3
                     AND kind = 'subscription')
        THEN 2
        WHEN EXISTS (SELECT FROM checkouts WHERE provider = $1 AND checkout_id = $4) THEN 3
        WHEN EXISTS (SELECT FROM unnest($5::uuid[], $6::text[]) m (store_id, request_id)
                     JOIN accounts a ON a.owner_kind = 'store' AND a.owner_id = m.store_id
                     JOIN subscription_charges b USING (account_id, request_id)
                     WHERE b.provider = $1) THEN 4 END"""


async def nearness(source: Connection | Database, event: References) -> int | None:
    """How surely a bucket has what is named in it, 1 the most; None: it has none of it.

    By a checkout, subscription, payment or charge of ours.
    """
    marked = [charge for charge in map(marked_charge, event.markers) if charge is not None]
    found: int | None = await source.fetchval(
        _NEARNESS,
        PROVIDER,
        event.transaction_id,
        event.subscription_id,
        event.checkout_id,
        [store_id for store_id, _ in marked],
        [request_id for _, request_id in marked],
    )
    return found
