-- The second question of `storecredit verify`: which rows do not agree, and why? Row by row in key
-- order, with a look-up per row. Asked only when the sums of sum_movements.sql differ; whatever makes
-- them differ is named in the find_* files. `kind` is one of storecredit.ledger.discrepancies, `detail`
-- a sentence with the numbers. Look-ups are LATERAL … LIMIT 1, and rows are ordered by key, so that
-- no plan made from stale statistics can turn them round.
--
-- Movements are looked at several times, each time for another subject: the chain, charges and returns,
-- bills, sessions, holds, grants. Of a range (after, until] the row at the lower end is read as a predecessor only.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL puts
-- them into the statement that calls them.

CREATE OR REPLACE FUNCTION movements_with_predecessors(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    account_id bigint, seq bigint, type text, amount bigint, balance_after bigint,
    spent_after bigint, clawed_back_after bigint, overage_used_after bigint, held_after bigint,
    expired_after bigint, removed_after bigint, request_id text, session_id uuid, role text,
    seq_before numeric, balance_before numeric, spent_before numeric, clawed_back_before numeric,
    overage_used_before numeric, held_before numeric, expired_before numeric,
    removed_before numeric, balance numeric, spent numeric, clawed_back numeric,
    overage_used numeric, held numeric, expired numeric, removed numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the movements in a range of keys, with the state before each, from the movement before,
--   and with the state that must follow. Of no type: it changes nothing.
    SELECT m.account_id, m.seq, m.type, m.amount, m.balance_after, m.spent_after,
        m.clawed_back_after, m.overage_used_after, m.held_after, m.expired_after,
        m.removed_after, m.request_id, m.session_id,
        movement_role(m.type), m.seq_before, m.balance_before, m.spent_before,
        m.clawed_back_before, m.overage_used_before, m.held_before, m.expired_before,
        m.removed_before,
        m.balance_before + coalesce(m.effect[1] * m.amount::numeric, 0),
        m.spent_before + coalesce(m.effect[3] * m.amount::numeric, 0),
        m.clawed_back_before + coalesce(m.effect[4] * m.amount::numeric, 0),
        m.overage_used_before + coalesce(m.effect[5] * m.amount::numeric, 0),
        m.held_before + coalesce(m.effect[6] * m.amount::numeric, 0),
        m.expired_before + coalesce(m.effect[7] * m.amount::numeric, 0),
        m.removed_before + coalesce(m.effect[8] * m.amount::numeric, 0)
    FROM (
        SELECT t.*, movement_effect(t.type) AS effect,
            coalesce(lag(t.seq) OVER account, 0)::numeric AS seq_before,
            coalesce(lag(t.balance_after) OVER account, 0)::numeric AS balance_before,
            coalesce(lag(t.spent_after) OVER account, 0)::numeric AS spent_before,
            coalesce(lag(t.clawed_back_after) OVER account, 0)::numeric AS clawed_back_before,
            coalesce(lag(t.overage_used_after) OVER account, 0)::numeric AS overage_used_before,
            coalesce(lag(t.held_after) OVER account, 0)::numeric AS held_before,
            coalesce(lag(t.expired_after) OVER account, 0)::numeric AS expired_before,
            coalesce(lag(t.removed_after) OVER account, 0)::numeric AS removed_before
        FROM movements t
        WHERE (t.account_id, t.seq) >= (p_after_account_id, p_after_seq)
          AND (t.account_id, t.seq) <= (p_until_account_id, p_until_seq)
        WINDOW account AS (PARTITION BY t.account_id ORDER BY t.seq)
    ) m
    WHERE (m.account_id, m.seq) > (p_after_account_id, p_after_seq);
$$;
COMMENT ON FUNCTION movements_with_predecessors(bigint, bigint, bigint, bigint) IS
    'The movements in a range of (account, seq), with the states before them and what must follow.';

CREATE OR REPLACE FUNCTION find_chain_discrepancies(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement that does not follow from the one before it.
    SELECT k.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE k.kind
            WHEN 'seq_gap' THEN format(
                'seq is %s where %s should stand', m.seq, m.seq_before + 1)
            WHEN 'bill_amount' THEN format('a bill of %s closes overage of %s, and leaves %s',
                m.amount, m.overage_used_before, coalesce(m.overage_used_after, 0))
            ELSE format('a %s of %s after %s of %s makes %s, but %s_after is %s',
                m.type, m.amount, replace(k.named, '_', ' '), k.before, k.follows, k.named,
                coalesce(k.after, 0)) END
    FROM movements_with_predecessors(
        p_after_account_id, p_after_seq, p_until_account_id, p_until_seq) m,
        LATERAL (VALUES
            ('seq_gap', NULL, m.seq_before + 1, m.seq_before + 1, m.seq),
            ('running_balance', 'balance', m.balance_before, m.balance, m.balance_after),
            ('total_spent', 'spent', m.spent_before, m.spent, m.spent_after),
            ('total_clawed_back', 'clawed_back', m.clawed_back_before, m.clawed_back,
                m.clawed_back_after),
            (CASE m.role WHEN 'bill' THEN 'bill_amount' ELSE 'overage_used' END, 'overage_used',
                m.overage_used_before,
                CASE WHEN m.role = 'bill' AND m.overage_used <> 0 THEN NULL ELSE m.overage_used END,
                m.overage_used_after),
            ('credits_held', 'held', m.held_before, m.held, m.held_after),
            ('total_expired', 'expired', m.expired_before, m.expired, m.expired_after),
            ('total_removed', 'removed', m.removed_before, m.removed, m.removed_after)
        ) k (kind, named, before, follows, after)
    WHERE coalesce(k.after, 0) IS DISTINCT FROM k.follows
      -- After a gap nothing is known of the state before.
      AND (k.kind = 'seq_gap' OR m.seq = m.seq_before + 1);
$$;
COMMENT ON FUNCTION find_chain_discrepancies(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) that does not follow from the one before it.';

CREATE OR REPLACE FUNCTION find_impossible_movements(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement that no function writes, looked at alone.
    SELECT m.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE m.kind
            WHEN 'unknown_type' THEN format('there is no type of movement %L', m.type)
            WHEN 'type_not_of_owner' THEN format('a %s cannot have a %s', m.owner_kind, m.type)
            ELSE format('no function writes seq %s, type %L, amount %s, balance_after %s, %s session, '
                'origin_seq %s', m.seq, m.type, m.amount, m.balance_after,
                CASE WHEN m.session_id IS NULL THEN 'no' ELSE 'with a' END,
                coalesce(m.origin_seq::text, 'null')) END
    FROM (
        SELECT t.account_id, t.seq, t.type, t.amount, t.balance_after, t.request_id, t.session_id,
            t.origin_seq, a.owner_kind, unnest(ARRAY[
                CASE WHEN movement_role(t.type) IS NULL THEN 'unknown_type'
                     WHEN NOT a.owner_kind = ANY (o.owner_kinds) THEN 'type_not_of_owner' END,
                CASE WHEN movement_role(t.type) IS NULL THEN NULL
                     WHEN t.seq < 1 OR t.amount < 1 OR NOT is_possible_movement(
                            t.type, t.amount, t.balance_after, t.spent_after, t.session_id)
                        OR movement_spent(t.type) = 0 AND NOT is_possible_rare_movement(
                            t.type, t.amount, t.balance_after, t.clawed_back_after,
                            CASE movement_role(t.type) WHEN 'bill' THEN NULL
                                ELSE t.overage_used_after END,
                            t.held_after, t.expired_after, t.removed_after)
                        OR NOT is_possible_origin(t.type, t.seq, t.origin_seq, t.request_id)
                        THEN 'impossible_movement' END]) AS kind
        FROM movements t
        LEFT JOIN LATERAL (
            SELECT x.owner_kind FROM accounts x WHERE x.account_id = t.account_id LIMIT 1
        ) a ON true
        LEFT JOIN LATERAL (
            SELECT x.owner_kinds FROM movement_types x WHERE x.type = t.type LIMIT 1
        ) o ON true
        WHERE (t.account_id, t.seq) > (p_after_account_id, p_after_seq)
          AND (t.account_id, t.seq) <= (p_until_account_id, p_until_seq)
        ORDER BY t.account_id, t.seq
    ) m
    WHERE m.kind IS NOT NULL;
$$;
COMMENT ON FUNCTION find_impossible_movements(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) that no function could have written.';
