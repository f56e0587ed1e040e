-- Holds and their movements; spends and their charges. How all find_* functions work is said in
-- find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_hold_movements(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement of a hold that there is not, and each that ends one at a time at which it
--   cannot.
    SELECT k.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE k.kind
            WHEN 'movement_without_hold' THEN format(
                'a %s of %s, but there is no hold under this request id', m.type, m.amount)
            ELSE format('a %s of %s at %s, but the hold ends at %s',
                m.type, m.amount, m.created_at, h.expires_at) END
    FROM movements m
    LEFT JOIN LATERAL (
        SELECT x.expires_at FROM holds x
        WHERE x.account_id + 0 = m.account_id AND x.request_id = m.request_id LIMIT 1
    ) h ON true
    LEFT JOIN LATERAL (
        SELECT x.contradicts
        FROM look_up_hold_end(m.account_id, m.type, m.request_id, m.created_at) x
        WHERE movement_role(m.type) <> 'hold' LIMIT 1
    ) e ON true,
    LATERAL (SELECT CASE WHEN h.expires_at IS NULL THEN 'movement_without_hold'
        WHEN e.contradicts AND m.type = 'hold_expiry' THEN 'expired_early'
        WHEN e.contradicts THEN 'used_though_expired' END) k (kind)
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq)
      AND (m.account_id, m.seq) <= (p_until_account_id, p_until_seq)
      AND movement_role(m.type) IN ('hold', 'capture', 'release')
      AND k.kind IS NOT NULL
    ORDER BY m.account_id, m.seq;
$$;
COMMENT ON FUNCTION find_hold_movements(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) that does not fit its hold.';

CREATE OR REPLACE FUNCTION find_hold_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each hold without its movement, or that ended in another way than its movements say.
    SELECT k.kind, h.account_id, h.seq, h.request_id, NULL::uuid,
        CASE k.kind
            WHEN 'impossible_hold' THEN format(
                'no function leaves a hold of %s %s with %s captured, made at %s, to end at %s, ended at %s',
                h.amount, h.status, h.captured, h.created_at, h.expires_at, h.ended_at)
            WHEN 'hold_without_movement' THEN format(
                'a hold of %s credits that no movement set aside', h.amount)
            WHEN 'hold_mismatch' THEN format('a hold of %s at seq %s, but its movement is of %s at seq %s',
                h.amount, h.seq, m.amount, m.seq)
            ELSE format('the hold of %s is %s with %s captured, but its movements captured %s, released '
                '%s and let %s expire', h.amount, h.status, coalesce(h.captured, 0), e.captured,
                e.released, e.expired) END
    FROM holds h
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount FROM movements x
        WHERE x.account_id = h.account_id AND x.request_id = h.request_id
          AND movement_role(x.type) = 'hold'
        LIMIT 1
    ) m ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(x.amount) FILTER (WHERE x.type = 'capture'), 0) AS captured,
            coalesce(sum(x.amount) FILTER (WHERE x.type = 'release'), 0) AS released,
            coalesce(sum(x.amount) FILTER (WHERE x.type = 'hold_expiry'), 0) AS expired,
            bool_and(x.origin_seq IS NOT DISTINCT FROM h.seq) AS is_named
        FROM movements x
        WHERE x.account_id = h.account_id AND x.request_id = h.request_id
          AND movement_role(x.type) IN ('capture', 'release')
    ) e ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN NOT is_possible_hold(h.status, h.amount, h.captured, h.created_at, h.expires_at,
                h.ended_at)
            THEN 'impossible_hold' END,
        CASE WHEN m.seq IS NULL THEN 'hold_without_movement'
             WHEN (m.seq, m.amount) <> (h.seq, h.amount) THEN 'hold_mismatch' END,
        CASE WHEN e.is_named IS FALSE OR (e.captured, e.released, e.expired) <> CASE h.status
                WHEN 'held' THEN (0::numeric, 0::numeric, 0::numeric)
                WHEN 'expired' THEN (0::numeric, 0::numeric, h.amount::numeric)
                ELSE (h.captured::numeric, h.amount - h.captured::numeric, 0::numeric) END
            THEN 'hold_end_mismatch' END
    ], NULL)) k (kind)
    ORDER BY h.account_id, h.hold_id;
$$;
COMMENT ON FUNCTION find_hold_discrepancies() IS
    'Names each hold that is not what its movements say.';

CREATE OR REPLACE FUNCTION find_spend_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each spend without its charge.
    SELECT 'spend_without_deduction', s.account_id, NULL::bigint, s.request_id, NULL::uuid,
        'a spend for which nothing was deducted under its request id'
    FROM spends s
    WHERE (SELECT m.session_id IS NULL FROM movements m
           WHERE m.account_id = s.account_id AND m.request_id = s.request_id
             AND movement_role(m.type) = 'charge'
           LIMIT 1) IS NOT TRUE
    ORDER BY s.account_id, s.request_id;
$$;
COMMENT ON FUNCTION find_spend_discrepancies() IS
    'Names each spend for which nothing was charged.';
