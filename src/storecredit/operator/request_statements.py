"""What reads the rows of requests; each by an index.

$1 and $2: the places, as arrays of accounts and request ids. $3: how many rows at most.
"""

from typing import Final

import msgspec

from storecredit.operator.records import (
    BillRow,
    CheckoutRow,
    ClawbackRow,
    GrantRow,
    HoldRow,
    MovementRow,
    PaymentRow,
    SpendRow,
    TopUpRow,
)

OWNERS: Final = """
    SELECT a.account_id, a.owner_kind, a.owner_id, s.name
    FROM accounts a LEFT JOIN stores s ON a.owner_kind = 'store' AND s.store_id = a.owner_id
    WHERE a.account_id = ANY ($1)
"""
_MOVEMENT: Final = """
    m.seq, m.type, m.amount, m.request_id, m.origin_seq, m.balance_after,
    coalesce(m.held_after, 0) AS held_after, m.spent_after AS total_spent_after,
    coalesce(m.clawed_back_after, 0) AS total_clawed_back_after,
    coalesce(m.expired_after, 0) AS total_expired_after,
    coalesce(m.removed_after, 0) AS total_removed_after,
    coalesce(m.overage_used_after, 0) AS overage_used_after,
    m.actor, m.session_id, m.description, m.created_at
"""
# Its own, those that these give back or carry on, and those that do so with them.
MOVEMENTS: Final = f"""
    WITH own AS MATERIALIZED (
        SELECT p.account_id, p.request_id AS of_request, m.*
        FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id), LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id = p.account_id AND m.request_id = p.request_id OFFSET 0) m)
    SELECT * FROM (
        SELECT * FROM own
        UNION SELECT o.account_id, o.of_request, m.* FROM own o, LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id = o.account_id AND m.seq <= o.origin_seq
            ORDER BY m.account_id DESC, m.seq DESC LIMIT 1) m
        WHERE o.origin_seq IS NOT NULL
        UNION SELECT o.account_id, o.of_request, m.* FROM own o, LATERAL (
            SELECT {_MOVEMENT} FROM movements m
            WHERE m.account_id + 0 = o.account_id AND m.origin_seq = o.seq OFFSET 0) m
    ) x
    ORDER BY account_id, seq LIMIT $3
"""  # noqa: S608 - constants
# Those that the movements name; `input` is not among the columns, and is not to be.
SESSIONS: Final = """
    SELECT s.account_id, s.session_id, s.status, s.credits AS credits_charged, s.attempts,
        s.error_code, s.error_message, s.generator_message, s.metadata, s.created_at,
        s.started_at, s.completed_at, s.failed_attempts
    FROM unnest($1::bigint[], $2::uuid[]) p (account_id, session_id)
    JOIN sessions s USING (account_id, session_id)
    ORDER BY s.created_at LIMIT $3
"""
# Likewise, of those that were archived.
ARCHIVED: Final = """
    SELECT p.account_id, p.session_id, x.status, n.number, n.archived_at, n.place, n.file
    FROM unnest($1::bigint[], $2::uuid[]) p (account_id, session_id)
    CROSS JOIN LATERAL archived_by_id(p.account_id, p.session_id) x
    JOIN session_archives n ON n.number = x.number
    ORDER BY n.archived_at LIMIT $3
"""
SPENDS: Final = """
    SELECT s.account_id, s.request_id AS of_request, s.metadata, s.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN spends s USING (account_id, request_id)
    ORDER BY s.created_at LIMIT $3
"""
_IS_OVER: Final = "h.ended_at IS NULL AND h.expires_at <= now()"
HOLDS: Final = f"""
    SELECT h.account_id, h.request_id AS of_request, h.hold_id,
        CASE WHEN {_IS_OVER} THEN 'expired' ELSE h.status END AS status, h.amount,
        CASE WHEN {_IS_OVER} THEN 0 ELSE h.captured END AS captured, h.description, h.metadata,
        h.created_at, h.expires_at,
        CASE WHEN {_IS_OVER} THEN h.expires_at ELSE h.ended_at END AS ended_at,
        h.extended_by, h.extended_seconds
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN holds h ON h.account_id + 0 = p.account_id AND h.request_id = p.request_id
    ORDER BY h.created_at LIMIT $3
"""  # noqa: S608 - constants
GRANTS: Final = """
    SELECT p.account_id, p.request_id AS of_request, g.seq, g.amount, g.kind, g.priority,
        g.expires_at, n.noticed_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id), LATERAL (
        SELECT x.seq FROM movements x
        WHERE x.account_id = p.account_id AND x.request_id = p.request_id OFFSET 0) m, LATERAL (
        SELECT * FROM grants x WHERE x.account_id = p.account_id AND x.seq = m.seq LIMIT 1) g
    LEFT JOIN expiry_notices n ON n.account_id = g.account_id AND n.seq = g.seq
    ORDER BY g.account_id, g.seq LIMIT $3
"""
CHECKOUTS: Final = """
    SELECT c.account_id, c.request_id AS of_request, c.checkout_id, c.purchase_type, c.plan,
        c.credits, c.amount, c.currency, c.provider_transaction_id AS transaction_id, c.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN checkouts c USING (account_id, request_id)
    ORDER BY c.created_at LIMIT $3
"""
PAYMENTS: Final = """
    SELECT y.account_id, y.request_id AS of_request, y.provider_transaction_id AS transaction_id,
        y.provider_subscription_id AS subscription_id, y.kind, y.credits, y.amount, y.currency,
        y.paid_at, y.created_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN payments y USING (account_id, request_id)
    ORDER BY y.created_at LIMIT $3
"""
CLAWBACKS: Final = """
    SELECT y.account_id, y.request_id AS of_request, k.adjustment_id,
        k.provider_transaction_id AS transaction_id, k.action, k.amount, k.credits, k.taken,
        k.created_at, k.dismissed_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN payments y USING (account_id, request_id)
    JOIN clawbacks k USING (provider, provider_transaction_id)
    ORDER BY k.created_at LIMIT $3
"""
BILLS: Final = """
    SELECT b.account_id, b.request_id AS of_request, b.period, b.seq, b.credits, b.amount,
        b.currency, b.attempts, b.provider_transaction_id AS transaction_id, b.last_error,
        b.created_at, b.charged_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN subscription_charges b USING (account_id, request_id)
    WHERE b.kind = 'overage'
    ORDER BY b.period LIMIT $3
"""
TOP_UPS: Final = """
    SELECT b.account_id, b.request_id AS of_request, b.credits, b.amount, b.currency, b.attempts,
        b.provider_transaction_id AS transaction_id, b.last_error, b.created_at, b.charged_at,
        b.dropped_at
    FROM unnest($1::bigint[], $2::text[]) p (account_id, request_id)
    JOIN subscription_charges b USING (account_id, request_id)
    WHERE b.kind = 'top_up'
    ORDER BY b.created_at LIMIT $3
"""
EVENTS: Final = """
    SELECT e.event_id, e.event_type, array_remove(
            ARRAY[e.content ->> 'id', e.content ->> 'transaction_id'], NULL) AS about,
        e.status, e.attempts, e.reason, e.occurred_at, e.received_at, e.settled_at
    FROM (
        SELECT provider, event_id FROM provider_events WHERE content ->> 'id' = ANY ($1)
        UNION SELECT provider, event_id FROM provider_events
        WHERE content ->> 'transaction_id' = ANY ($1)
        UNION SELECT provider, event_id FROM provider_events
        WHERE provider = ANY ($2) AND event_id = ANY ($1)
    ) f JOIN provider_events e USING (provider, event_id)
    ORDER BY e.occurred_at, e.event_id LIMIT $3
"""


# What carries a request's own ids, by the field of its record.
ROWS: Final[tuple[tuple[str, type[msgspec.Struct], str], ...]] = (
    ("movements", MovementRow, MOVEMENTS),
    ("spends", SpendRow, SPENDS),
    ("holds", HoldRow, HOLDS),
    ("grants", GrantRow, GRANTS),
    ("checkouts", CheckoutRow, CHECKOUTS),
    ("payments", PaymentRow, PAYMENTS),
    ("clawbacks", ClawbackRow, CLAWBACKS),
    ("overage_bills", BillRow, BILLS),
    ("top_ups", TopUpRow, TOP_UPS),
)
