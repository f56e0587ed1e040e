-- What was taken for a request, and what it was given back: it is taken once and in one way, and given
-- back once, afterwards, as what it was, and at most as much. How all find_* functions work is said in
-- find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_return_discrepancies(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each return that does not fit its charge.
    SELECT k.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE k.kind
            WHEN 'refund_without_deduction' THEN format(
                '%s given back, but nothing was deducted %s', m.amount,
                coalesce('at seq ' || m.origin_seq, 'under this request id'))
            WHEN 'overage_refund_without_overage' THEN format(
                '%s given back as %s, but %s used no overage', m.amount, m.type,
                coalesce('the movement of seq ' || m.origin_seq, 'this request id'))
            WHEN 'refund_before_deduction' THEN format(
                '%s given back at seq %s of what was taken at seq %s', m.amount, m.seq, c.seq)
            WHEN 'refund_exceeds_deduction' THEN format(
                '%s given back of a deduction of %s', c.returned, c.amount)
            WHEN 'session_mismatch' THEN format('the refund is for session %s, its deduction for %s',
                coalesce(m.session_id::text, 'none'), coalesce(c.session_id::text, 'none'))
            WHEN 'refunded_though_billed'
                THEN m.amount || ' taken off the overage used, but a bill had closed that overage'
            WHEN 'credited_though_unbilled'
                THEN m.amount || ' given as credits for overage, but no bill had closed it' END
    FROM movements m
    LEFT JOIN LATERAL (SELECT movement_effect(m.type) AS effect OFFSET 0) e ON true
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount, x.session_id, m.amount::numeric AS returned FROM movements x
        WHERE m.origin_seq IS NULL AND x.account_id = m.account_id AND x.request_id = m.request_id
          AND x.type = (SELECT t.returns FROM movement_types t WHERE t.type = m.type)
        LIMIT 1
    ) w ON true
    LEFT JOIN LATERAL (  -- what was given back in parts
        SELECT x.seq, x.amount, x.session_id,
            credits_returned(x.account_id, x.seq, x.request_id, m.seq) AS returned
        FROM movements x
        WHERE x.account_id = m.account_id AND x.seq >= m.origin_seq AND x.seq <= m.origin_seq
          AND movement_role(x.type) IN ('charge', 'capture')
          AND ((movement_effect(x.type))[3] = 0) = (e.effect[3] = 0)
        LIMIT 1
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(w.seq, p.seq) AS seq, coalesce(w.amount, p.amount) AS amount,
            coalesce(w.session_id, p.session_id) AS session_id,
            coalesce(w.returned, p.returned) AS returned
        OFFSET 0
    ) c ON true
    LEFT JOIN LATERAL (  -- a bill between overage and what was given back of it
        SELECT x.seq FROM subscription_charges x
        WHERE e.effect[3] = 0 AND x.account_id = m.account_id AND x.seq > c.seq AND x.seq < m.seq
        LIMIT 1
    ) b ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN c.seq IS NULL THEN CASE WHEN e.effect[3] = 0
                THEN 'overage_refund_without_overage' ELSE 'refund_without_deduction' END
             WHEN c.seq > m.seq THEN 'refund_before_deduction' END,
        CASE WHEN c.returned > c.amount THEN 'refund_exceeds_deduction' END,
        CASE WHEN c.seq IS NOT NULL AND m.session_id IS DISTINCT FROM c.session_id
                OR p.session_id IS NOT NULL THEN 'session_mismatch' END,
        CASE WHEN c.seq IS NULL OR e.effect[3] <> 0 THEN NULL
             WHEN e.effect[5] <> 0 AND b.seq IS NOT NULL THEN 'refunded_though_billed'
             WHEN e.effect[5] = 0 AND b.seq IS NULL THEN 'credited_though_unbilled' END
    ], NULL)) k (kind)
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq)
      AND (m.account_id, m.seq) <= (p_until_account_id, p_until_seq)
      AND movement_role(m.type) = 'return'
    ORDER BY m.account_id, m.seq;
$$;
COMMENT ON FUNCTION find_return_discrepancies(bigint, bigint, bigint, bigint) IS
    'Names each return in a range of (account, seq) that does not fit its charge.';

CREATE OR REPLACE FUNCTION find_double_movements(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each charge and return of a request that had one before, of another type: of its own
--   type the table takes one only.
    SELECT CASE movement_role(m.type) WHEN 'charge' THEN 'charged_twice' ELSE 'refunded_twice' END,
        m.account_id, m.seq, m.request_id, m.session_id,
        format(CASE movement_role(m.type)
            WHEN 'charge' THEN '%s taken as %s, but this request id had already taken %s as %s'
            ELSE '%s given back as %s, but this request id had already given back %s as %s' END,
            m.amount, m.type, e.amount, e.type)
    FROM movements m
    JOIN LATERAL (
        SELECT x.type, x.amount FROM movements x
        WHERE x.account_id = m.account_id AND x.request_id = m.request_id AND x.seq < m.seq
          AND movement_role(x.type) = movement_role(m.type)
          -- What is given back in parts is counted together.
          AND (movement_role(m.type) = 'charge' OR x.origin_seq IS NULL AND m.origin_seq IS NULL)
        LIMIT 1
    ) e ON true
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq)
      AND (m.account_id, m.seq) <= (p_until_account_id, p_until_seq)
      AND movement_role(m.type) IN ('charge', 'return')
    ORDER BY m.account_id, m.seq;
$$;
COMMENT ON FUNCTION find_double_movements(bigint, bigint, bigint, bigint) IS
    'Names each charge or return in a range of (account, seq) of a request that had one before.';
