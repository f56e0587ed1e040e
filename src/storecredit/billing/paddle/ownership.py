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

from storecredit.billing.paddle.charge_marker import marked_overage
from storecredit.billing.paddle.reading import References
from storecredit.postgres.pool import Connection

# A payment names the subscription that it began, before any event of that is applied.
_NAMED = """
    SELECT EXISTS (SELECT FROM checkouts WHERE paddle_transaction_id = $1)
        OR EXISTS (SELECT FROM payments WHERE paddle_transaction_id = $1)
        OR EXISTS (SELECT FROM checkouts WHERE checkout_id = $3)
        OR EXISTS (SELECT FROM store_subscriptions WHERE paddle_subscription_id = $2)
        OR EXISTS (SELECT FROM payments
                   WHERE paddle_subscription_id = $2 AND kind = 'subscription')
        OR EXISTS (SELECT FROM unnest($4::uuid[], $5::date[]) m (store_id, period)
                   JOIN store_overage_bills b USING (store_id, period))"""


async def is_ours(connection: Connection, event: References) -> bool:
    """Whether a checkout, subscription, payment or bill of ours is named in it."""
    marked = [bill for bill in map(marked_overage, event.markers) if bill is not None]
    found: bool = await connection.fetchval(
        _NAMED,
        event.transaction_id,
        event.subscription_id,
        event.checkout_id,
        [store_id for store_id, _ in marked],
        [period for _, period in marked],
    )
    return found
