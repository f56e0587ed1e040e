-- The second question of `storecredit verify`: which rows do not agree, and why? Row by row in key
-- order, with a look-up per row. Asked only when the sums of verify_sums.sql differ; whatever makes
-- them differ is named here. `kind` is one of storecredit.ledger.verify.DiscrepancyKind, `detail` a
-- sentence with the numbers. Look-ups are LATERAL … LIMIT 1, and rows are ordered by key, so that
-- no plan made from stale statistics can turn them round.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL
-- inlines them into the statement that calls them; hence `public.` before each table.

CREATE OR REPLACE FUNCTION find_movement_discrepancies(
    p_after_store_id uuid, p_after_seq bigint, p_until_store_id uuid, p_until_seq bigint
)
RETURNS TABLE (
    kind text, store_id uuid, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each ledger row after (p_after_store_id, p_after_seq), up to and
--   with (p_until_store_id, p_until_seq). The row at the lower end is read as a predecessor only.
    SELECT k.kind, w.store_id, w.seq, w.request_id, w.session_id,
        CASE k.kind
            WHEN 'seq_gap' THEN format(
                'seq is %s where %s should stand', w.seq, w.seq_before + 1)
            WHEN 'running_balance' THEN format(
                'a %s of %s after a balance of %s makes %s, but balance_after is %s',
                w.type, w.amount, w.balance_before, w.balance_before + w.change, w.balance_after)
            WHEN 'impossible_movement' THEN format(
                'no function writes seq %s, type %L, amount %s, balance_after %s, %s session',
                w.seq, w.type, w.amount, w.balance_after,
                CASE WHEN w.session_id IS NULL THEN 'no' ELSE 'with a' END)
            WHEN 'refund_without_deduction' THEN format(
                '%s given back, but nothing was deducted under this request id', w.amount)
            WHEN 'refund_exceeds_deduction' THEN format(
                '%s given back of a deduction of %s', w.amount, w.deducted)
            WHEN 'session_mismatch' THEN CASE w.type
                WHEN 'refund' THEN format('the refund is for session %s, its deduction for %s',
                    coalesce(w.session_id::text, 'none'),
                    coalesce(w.deducted_session_id::text, 'none'))
                ELSE CASE WHEN w.other_session_id IS NULL
                    THEN format('the deduction is for a session that was made by request id %L',
                        w.session_request_id)
                    ELSE format('the deduction is for session %s, but its request made session %s',
                        w.session_id, w.other_session_id) END
                END
            WHEN 'deduction_without_session' THEN format(
                '%s deducted for a generation session that does not exist', w.amount)
            WHEN 'generation_amount' THEN format(
                '%s deducted for a generation, which costs 1', w.amount)
            WHEN 'completed_but_refunded' THEN format(
                '%s given back for a generation that completed', w.amount)
            WHEN 'open_but_refunded' THEN format(
                '%s given back for a generation that is still %s', w.amount, w.status)
        END
    FROM (
        SELECT m.*, d.amount AS deducted, d.session_id AS deducted_session_id, s.status,
            s.request_id AS session_request_id, o.session_id AS other_session_id,
            array_remove(ARRAY[
                CASE WHEN m.seq <> m.seq_before + 1 THEN 'seq_gap'
                     WHEN m.balance_after <> m.balance_before + m.change THEN 'running_balance' END,
                CASE WHEN NOT public.is_possible_movement(
                    m.seq, m.type, m.amount, m.balance_after, m.session_id)
                    THEN 'impossible_movement' END,
                CASE WHEN m.type <> 'refund' THEN NULL
                     WHEN d.seq IS NULL THEN 'refund_without_deduction'
                     WHEN m.session_id IS DISTINCT FROM d.session_id THEN 'session_mismatch' END,
                CASE WHEN m.type = 'refund' AND m.amount > d.amount
                    THEN 'refund_exceeds_deduction' END,
                CASE WHEN m.type <> 'refund' THEN NULL
                     WHEN s.status = 'completed' THEN 'completed_but_refunded'
                     WHEN s.status IN ('queued', 'processing') THEN 'open_but_refunded' END,
                CASE WHEN m.type <> 'deduction' OR m.session_id IS NULL THEN NULL
                     WHEN s.session_id IS NULL AND o.session_id IS NULL
                        THEN 'deduction_without_session'
                     WHEN s.request_id IS DISTINCT FROM m.request_id THEN 'session_mismatch' END,
                CASE WHEN m.type = 'deduction' AND m.session_id IS NOT NULL AND m.amount <> 1
                    THEN 'generation_amount' END
            ], NULL) AS kinds
        FROM (
            SELECT t.store_id, t.seq, t.type, t.amount, t.balance_after, t.request_id,
                t.session_id,
                CASE WHEN t.type = 'deduction' THEN -t.amount::numeric
                     WHEN t.type IN ('refund', 'purchase', 'subscription', 'grant')
                         THEN t.amount END AS change,
                coalesce(lag(t.seq) OVER store, 0)::numeric AS seq_before,
                coalesce(lag(t.balance_after) OVER store, 0)::numeric AS balance_before
            FROM public.store_credit_transactions t
            WHERE (t.store_id, t.seq) >= (p_after_store_id, p_after_seq)
              AND (t.store_id, t.seq) <= (p_until_store_id, p_until_seq)
            WINDOW store AS (PARTITION BY t.store_id ORDER BY t.seq)
        ) m
        LEFT JOIN LATERAL (
            SELECT x.seq, x.amount, x.session_id FROM public.store_credit_transactions x
            WHERE m.type = 'refund' AND x.type = 'deduction'
              AND x.store_id = m.store_id AND x.request_id = m.request_id
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT x.session_id, x.request_id, x.status FROM public.store_generation_sessions x
            WHERE x.store_id = m.store_id
              AND x.session_id = CASE m.type WHEN 'refund' THEN d.session_id ELSE m.session_id END
            LIMIT 1
        ) s ON true
        LEFT JOIN LATERAL (
            SELECT x.session_id FROM public.store_generation_sessions x
            WHERE m.type = 'deduction' AND m.session_id IS NOT NULL AND s.session_id IS NULL
              AND x.store_id = m.store_id AND x.request_id = m.request_id
            LIMIT 1
        ) o ON true
        WHERE (m.store_id, m.seq) > (p_after_store_id, p_after_seq)
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_movement_discrepancies(uuid, bigint, uuid, bigint) IS
    'Names what is wrong with each ledger row in a range of (store_id, seq).';

CREATE OR REPLACE FUNCTION find_session_discrepancies(
    p_after_store_id uuid, p_after_session_id uuid, p_until_store_id uuid, p_until_session_id uuid
)
RETURNS TABLE (
    kind text, store_id uuid, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each session after the first key, up to and with the second.
--   A session whose deduction names another session is named with that deduction.
    SELECT k.kind, w.store_id, w.deducted_seq, w.request_id, w.session_id,
        CASE k.kind
            WHEN 'impossible_session' THEN format('no function writes the status %L', w.status)
            WHEN 'session_without_deduction' THEN format(
                'this generation is %s, but nothing was deducted under its request id', w.status)
            WHEN 'session_mismatch' THEN format(
                'the deduction of %s under this request id was made for no session', w.deducted)
            WHEN 'failed_but_not_refunded' THEN format(
                'the generation failed, but its deduction of %s was not given back', w.deducted)
        END
    FROM (
        SELECT s.store_id, s.session_id, s.request_id, s.status, d.amount AS deducted,
            d.seq AS deducted_seq,
            array_remove(ARRAY[
                CASE WHEN (s.status IN ('queued', 'processing', 'completed', 'failed')) IS NOT TRUE
                    THEN 'impossible_session' END,
                CASE WHEN d.seq IS NULL THEN 'session_without_deduction'
                     WHEN d.session_id IS NULL THEN 'session_mismatch' END,
                CASE WHEN s.status = 'failed' AND d.seq IS NOT NULL AND r.seq IS NULL
                    THEN 'failed_but_not_refunded' END
            ], NULL) AS kinds
        FROM public.store_generation_sessions s
        LEFT JOIN LATERAL (
            SELECT x.seq, x.amount, x.session_id FROM public.store_credit_transactions x
            WHERE x.type = 'deduction'
              AND x.store_id = s.store_id AND x.request_id = s.request_id
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT x.seq FROM public.store_credit_transactions x
            WHERE s.status = 'failed' AND x.type = 'refund'
              AND x.store_id = s.store_id AND x.request_id = s.request_id
            LIMIT 1
        ) r ON true
        WHERE (s.store_id, s.session_id) > (p_after_store_id, p_after_session_id)
          AND (s.store_id, s.session_id) <= (p_until_store_id, p_until_session_id)
        ORDER BY s.store_id, s.session_id
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_session_discrepancies(uuid, uuid, uuid, uuid) IS
    'Names what is wrong with each session in a range of (store_id, session_id).';

CREATE OR REPLACE FUNCTION find_store_discrepancies(p_from_store_id uuid, p_until_store_id uuid)
RETURNS TABLE (
    kind text, store_id uuid, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each store in a range (both ends included) as a whole: its row
--   in stores, its credit row, and the sums of its ledger.
    SELECT k.kind, w.store_id, NULL::bigint, NULL::text, NULL::uuid,
        CASE k.kind
            WHEN 'store_without_credits' THEN 'the store has no credit row'
            WHEN 'credits_without_store' THEN format(
                'the credit row (balance %s) belongs to no store', w.balance)
            WHEN 'movements_without_credits' THEN format(
                '%s movements stand in the ledger, but there is no credit row', w.movements)
            WHEN 'balance' THEN format('balance is %s, but the ledger''s movements sum up to %s',
                w.balance, w.added - w.spent)
            WHEN 'total_purchased' THEN format(
                'total_purchased is %s, but the ledger''s additions sum up to %s',
                w.total_purchased, w.added)
            WHEN 'total_spent' THEN format(
                'total_spent is %s, but the ledger''s deductions less refunds sum up to %s',
                w.total_spent, w.spent)
            WHEN 'last_seq' THEN format('last_seq is %s, but the ledger ends with %s',
                w.last_seq, w.newest)
        END
    FROM (
        SELECT store_id, c.balance, c.total_purchased, c.total_spent, c.last_seq, m.movements,
            coalesce(m.added, 0) AS added, coalesce(m.spent, 0) AS spent,
            coalesce(m.newest, 0) AS newest,
            array_remove(CASE WHEN c.balance IS NULL THEN ARRAY[
                CASE WHEN s.name IS NOT NULL THEN 'store_without_credits' END,
                CASE WHEN m.movements > 0 THEN 'movements_without_credits' END
            ] ELSE ARRAY[
                CASE WHEN s.name IS NULL THEN 'credits_without_store' END,
                CASE WHEN c.balance <> coalesce(m.added - m.spent, 0) THEN 'balance' END,
                CASE WHEN c.total_purchased <> coalesce(m.added, 0) THEN 'total_purchased' END,
                CASE WHEN c.total_spent <> coalesce(m.spent, 0) THEN 'total_spent' END,
                CASE WHEN c.last_seq <> coalesce(m.newest, 0) THEN 'last_seq' END
            ] END, NULL) AS kinds
        FROM (
            SELECT t.store_id, count(*) AS movements, max(t.seq) AS newest,
                coalesce(sum(t.amount) FILTER (
                    WHERE t.type IN ('purchase', 'subscription', 'grant')), 0) AS added,
                coalesce(sum(t.amount) FILTER (WHERE t.type = 'deduction'), 0)
                    - coalesce(sum(t.amount) FILTER (WHERE t.type = 'refund'), 0) AS spent
            FROM (
                SELECT * FROM public.store_credit_transactions
                WHERE store_id BETWEEN p_from_store_id AND p_until_store_id
                ORDER BY store_id, seq
            ) t
            GROUP BY t.store_id
        ) m
        FULL JOIN (
            SELECT * FROM public.store_credits
            WHERE store_id BETWEEN p_from_store_id AND p_until_store_id
        ) c USING (store_id)
        FULL JOIN (
            SELECT * FROM public.stores
            WHERE store_id BETWEEN p_from_store_id AND p_until_store_id
        ) s USING (store_id)
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_store_discrepancies(uuid, uuid) IS
    'Names what is wrong with each store as a whole: its credits against the sums of its ledger.';
