-- The rest of the second question of `storecredit verify`, which verify_rows.sql begins: do the
-- records of money agree with the ledger? Bills, payments and clawbacks are few beside movements:
-- each function looks at its whole table, in the order of its key.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL
-- inlines them into the statement that calls them; hence `public.` before each table.

CREATE OR REPLACE FUNCTION find_bill_discrepancies()
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each overage bill that is not what its movement says. A movement without a bill is
--   named with the movements.
    SELECT CASE WHEN m.amount IS NULL THEN 'bill_without_movement' ELSE 'bill_mismatch' END,
        b.store_id, NULL::uuid, b.seq, b.request_id, NULL::uuid,
        CASE WHEN m.amount IS NULL
            THEN format('a bill of %s for %s, but no movement closed that overage',
                b.credits, to_char(b.period, 'YYYY-MM'))
            ELSE format('a bill of %s for %s, but its movement closed %s under request id %L',
                b.credits, to_char(b.period, 'YYYY-MM'), m.amount, m.request_id) END
    FROM public.store_overage_bills b
    LEFT JOIN LATERAL (
        SELECT x.amount, x.request_id FROM public.store_credit_transactions x
        WHERE x.store_id = b.store_id AND x.seq = b.seq AND x.type = 'overage_bill'
        LIMIT 1
    ) m ON true
    WHERE (m.amount = b.credits AND m.request_id = b.request_id
        AND b.request_id = 'overage-' || to_char(b.period, 'YYYY-MM')) IS NOT TRUE
    ORDER BY b.store_id, b.period;
$$;
COMMENT ON FUNCTION find_bill_discrepancies() IS
    'Names each overage bill that is not what its movement says.';

CREATE OR REPLACE FUNCTION find_payment_discrepancies()
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each payment without its movement: of the same owner, request and credits. One for
--   no credits has none.
    SELECT 'payment_not_booked', p.store_id, p.user_id, m.seq, p.request_id, NULL::uuid,
        format('payment %s (%s) is for %s credits, but its movement %s',
            p.paddle_transaction_id, p.kind, p.credits,
            coalesce('is of ' || m.amount, 'is missing'))
    FROM public.payments p
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount FROM public.ledger_movements() x
        WHERE x.owner_kind = CASE WHEN p.store_id IS NULL THEN 'user' ELSE 'store' END
          AND x.owner_id = coalesce(p.store_id, p.user_id) AND x.request_id = p.request_id
          AND x.type = CASE p.kind WHEN 'overage' THEN 'overage_bill' ELSE p.kind END
        LIMIT 1
    ) m ON true
    WHERE p.credits IS DISTINCT FROM coalesce(m.amount, 0)
    ORDER BY p.paddle_transaction_id;
$$;
COMMENT ON FUNCTION find_payment_discrepancies() IS
    'Names each payment that the ledger does not know, or with other credits.';

CREATE OR REPLACE FUNCTION find_clawback_discrepancies()
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each clawback that took anything else than its movement says.
    SELECT 'clawback_not_booked', p.store_id, p.user_id, m.seq, c.adjustment_id, NULL::uuid,
        format('the %s of payment %s took %s credits, but its movement %s',
            c.action, c.paddle_transaction_id, c.taken,
            coalesce('is of ' || m.amount, 'is missing'))
    FROM public.clawbacks c
    LEFT JOIN LATERAL (
        SELECT x.store_id, x.user_id FROM public.payments x
        WHERE x.paddle_transaction_id = c.paddle_transaction_id
        LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount FROM public.ledger_movements() x
        WHERE x.owner_kind = CASE WHEN p.store_id IS NULL THEN 'user' ELSE 'store' END
          AND x.owner_id = coalesce(p.store_id, p.user_id) AND x.request_id = c.adjustment_id
          AND x.type = 'clawback'
        LIMIT 1
    ) m ON true
    WHERE c.taken IS DISTINCT FROM coalesce(m.amount, 0)
    ORDER BY c.adjustment_id;
$$;
COMMENT ON FUNCTION find_clawback_discrepancies() IS
    'Names each clawback that took anything else than its movement says.';
