-- Grants and the movements that begin them, spend them and end them. How all find_* functions work is
-- said in find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_grant_discrepancies(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement after which the grants have left what cannot follow, and each that began
--   a grant of which there are no terms, or of another amount.
    SELECT k.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE k.kind
            WHEN 'movement_without_grant' THEN format(
                '%s credits began a grant whose terms are missing', m.began)
            WHEN 'grant_amount' THEN format(
                '%s credits began a grant whose terms say %s', m.began, g.amount)
            ELSE coalesce(l.detail, 'what the grants have left is not told here, and was before') END
    FROM (
        SELECT t.*, credits_of_new_grant(t.type, t.amount, t.seq, t.grants_after) AS began,
            t.grants_after IS NOT NULL OR changes_grants(t.type, t.origin_seq) AS is_looked_at,
            lag(t.grants_after) OVER account AS grants_before,
            lag(t.seq) OVER account AS seq_before
        FROM movements t
        WHERE (t.account_id, t.seq) >= (p_after_account_id, p_after_seq)
          AND (t.account_id, t.seq) <= (p_until_account_id, p_until_seq)
        WINDOW account AS (PARTITION BY t.account_id ORDER BY t.seq)
    ) m
    LEFT JOIN LATERAL (
        SELECT x.amount FROM grants x
        WHERE m.began IS NOT NULL AND x.account_id = m.account_id AND x.seq = m.seq LIMIT 1
    ) g ON true
    LEFT JOIN LATERAL (
        SELECT x.kind, x.detail FROM look_at_grants(m.account_id, m.seq) x WHERE m.is_looked_at LIMIT 1
    ) l ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN m.began IS NOT NULL AND g.amount IS NULL THEN 'movement_without_grant'
             WHEN m.began <> g.amount THEN 'grant_amount' END,
        l.kind,
        CASE WHEN m.grants_after IS NULL AND m.grants_before IS NOT NULL AND l.kind IS NULL
                AND next_is_untold(m.account_id, m.seq_before, m.grants_before)
            THEN 'grants_untold' END
    ], NULL)) k (kind)
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq);
$$;
COMMENT ON FUNCTION find_grant_discrepancies(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) after which the grants have left what cannot be.';

CREATE OR REPLACE FUNCTION find_grants_without_movement()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name the terms of each grant that no movement begins, or that no function writes.
    SELECT k.kind, g.account_id, g.seq, m.request_id, NULL::uuid,
        CASE k.kind
            WHEN 'grant_without_movement' THEN format(
                'terms of a grant of %s credits, which no movement begins', g.amount)
            ELSE format('no function writes terms of amount %s, kind %L, grace %s, rollover of %s until %s',
                g.amount, g.kind, g.grace, g.rollover_max, g.rollover_until) END
    FROM grants g
    LEFT JOIN LATERAL (
        SELECT x.request_id FROM movements x
        WHERE x.account_id = g.account_id AND x.seq >= g.seq AND x.seq <= g.seq
          AND credits_of_new_grant(x.type, x.amount, x.seq, x.grants_after) IS NOT NULL
        LIMIT 1
    ) m ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN m.request_id IS NULL THEN 'grant_without_movement' END,
        CASE WHEN NOT is_possible_grant(g.amount, g.kind, g.expires_at, g.grace, g.rollover_max,
                g.rollover_until)
            THEN 'impossible_grant' END
    ], NULL)) k (kind)
    ORDER BY g.account_id, g.seq;
$$;
COMMENT ON FUNCTION find_grants_without_movement() IS
    'Names the terms of each grant that no movement begins, or that no function writes.';

CREATE OR REPLACE FUNCTION find_transfer_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each transfer of which one end is missing, or of other credits: at the end that is there.
--   No key leads from one to the other, so that all transfers are held against each other. What is noted of an
--   end whose other end is in another bucket stands for that other one.
    SELECT 'transfer_mismatch', t.account_id, t.seq, t.request_id, NULL::uuid,
        format('a %s of %s, but this request id moved as many credits out of %s and into %s accounts',
            t.type, t.amount, t.outs, t.ins)
    FROM (
        SELECT m.account_id, m.seq, m.request_id, m.type, m.amount,
            count(*) FILTER (WHERE m.type = 'transfer_out') OVER transfer AS outs,
            count(*) FILTER (WHERE m.type = 'transfer_in') OVER transfer AS ins
        FROM (
            SELECT n.account_id, n.seq, n.request_id, n.type, n.amount FROM movements n
            WHERE n.type IN ('transfer_out', 'transfer_in')
            UNION ALL
            SELECT e.account_id, e.seq, e.request_id,
                CASE e.type WHEN 'transfer_out' THEN 'transfer_in' ELSE 'transfer_out' END, e.amount
            FROM transfer_ends e
        ) m
        WINDOW transfer AS (PARTITION BY m.request_id, m.amount)
    ) t
    WHERE t.outs <> t.ins;
$$;
COMMENT ON FUNCTION find_transfer_discrepancies() IS
    'Names each transfer of which one end is missing, or of other credits.';
