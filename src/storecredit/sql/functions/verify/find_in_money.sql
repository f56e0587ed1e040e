-- Do the records of money agree with the ledger? Bills, payments and clawbacks are few beside
-- movements: each function looks at its whole table, in the order of its key. How all find_* functions
-- work is said in find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_movements_without_bill(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement that closed overage for which there is no bill.
    SELECT 'movement_without_bill', m.account_id, m.seq, m.request_id, m.session_id,
        format('overage of %s is closed, but there is no bill for it', m.amount)
    FROM movements m
    LEFT JOIN LATERAL (
        SELECT x.seq FROM subscription_charges x
        WHERE x.account_id = m.account_id AND x.period IS NOT NULL AND x.seq = m.seq LIMIT 1
    ) b ON true
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq)
      AND (m.account_id, m.seq) <= (p_until_account_id, p_until_seq)
      AND movement_role(m.type) = 'bill' AND b.seq IS NULL
    ORDER BY m.account_id, m.seq;
$$;
COMMENT ON FUNCTION find_movements_without_bill(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) that closed overage without a bill.';

CREATE OR REPLACE FUNCTION find_bill_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each overage bill that is not what its movement says, or does not follow in time.
    SELECT k.kind, b.account_id, b.seq, b.request_id, NULL::uuid,
        format('a bill of %s for %s, but ', b.credits, to_char(b.period, 'YYYY-MM'))
            || CASE k.kind
            WHEN 'bill_without_movement' THEN 'no movement closed that overage'
            WHEN 'bill_mismatch' THEN format(
                'its movement closed %s under request id %L', m.amount, m.request_id)
            ELSE format('the one for %s was closed after it, at seq %s',
                to_char(e.period, 'YYYY-MM'), e.seq) END
    FROM subscription_charges b
    LEFT JOIN LATERAL (
        SELECT x.amount, x.request_id FROM movements x
        WHERE x.account_id = b.account_id AND x.seq = b.seq AND movement_role(x.type) = 'bill'
        LIMIT 1
    ) m ON true
    LEFT JOIN LATERAL (
        SELECT x.period, x.seq FROM subscription_charges x
        WHERE x.account_id = b.account_id AND x.period < b.period AND x.seq >= b.seq
        LIMIT 1
    ) e ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN m.amount IS NULL THEN 'bill_without_movement'
             WHEN (m.amount = b.credits AND m.request_id = b.request_id
                AND b.request_id = 'overage-' || to_char(b.period, 'YYYY-MM')) IS NOT TRUE
                THEN 'bill_mismatch' END,
        CASE WHEN e.seq IS NOT NULL THEN 'bill_out_of_order' END
    ], NULL)) k (kind)
    WHERE b.period IS NOT NULL
    ORDER BY b.account_id, b.period;
$$;
COMMENT ON FUNCTION find_bill_discrepancies() IS
    'Names each overage bill that is not what its movement says, or does not follow in time.';

CREATE OR REPLACE FUNCTION find_top_up_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each top-up that was charged and of which no payment is booked.
    SELECT 'top_up_without_payment', b.account_id, NULL::bigint, b.request_id, NULL::uuid,
        format('a top-up of %s was charged by %s, but no such payment is booked',
            b.credits, b.provider_transaction_id)
    FROM subscription_charges b
    LEFT JOIN LATERAL (
        SELECT true AS is_booked FROM payments x
        WHERE x.provider = b.provider AND x.provider_transaction_id = b.provider_transaction_id
          AND x.account_id = b.account_id
        LIMIT 1
    ) p ON true
    WHERE b.kind = 'top_up' AND b.charged_at IS NOT NULL AND p.is_booked IS NULL
    ORDER BY b.account_id, b.request_id;
$$;
COMMENT ON FUNCTION find_top_up_discrepancies() IS
    'Names each top-up that was charged without a payment.';

CREATE OR REPLACE FUNCTION find_payment_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each payment without its movement: of the same account, request and credits. One for
--   no credits has none.
    SELECT 'payment_not_booked', p.account_id, m.seq, p.request_id, NULL::uuid,
        format('payment %s (%s) is for %s credits, but its movement %s',
            p.provider_transaction_id, p.kind, p.credits,
            coalesce('is of ' || m.amount, 'is missing'))
    FROM payments p
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount FROM movements x
        WHERE x.account_id = p.account_id AND x.request_id = p.request_id
          AND x.type = CASE p.kind WHEN 'overage' THEN 'overage_bill' ELSE p.kind END
        LIMIT 1
    ) m ON true
    WHERE p.credits IS DISTINCT FROM coalesce(m.amount, 0)
    ORDER BY p.provider, p.provider_transaction_id;
$$;
COMMENT ON FUNCTION find_payment_discrepancies() IS
    'Names each payment that the ledger does not know, or with other credits.';

CREATE OR REPLACE FUNCTION find_clawback_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each clawback that took anything else than its movement says.
    SELECT 'clawback_not_booked', p.account_id, m.seq, c.adjustment_id, NULL::uuid,
        format('the %s of payment %s took %s credits, but its movement %s',
            c.action, c.provider_transaction_id, c.taken,
            coalesce('is of ' || m.amount, 'is missing'))
    FROM clawbacks c
    LEFT JOIN LATERAL (
        SELECT x.account_id FROM payments x
        WHERE x.provider = c.provider AND x.provider_transaction_id = c.provider_transaction_id
        LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount FROM movements x
        WHERE x.account_id = p.account_id AND x.request_id = c.adjustment_id
          AND x.type = 'clawback'
        LIMIT 1
    ) m ON true
    WHERE c.taken IS DISTINCT FROM coalesce(m.amount, 0)
    ORDER BY c.provider, c.adjustment_id;
$$;
COMMENT ON FUNCTION find_clawback_discrepancies() IS
    'Names each clawback that took anything else than its movement says.';
