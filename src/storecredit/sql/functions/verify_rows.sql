-- The second question of `storecredit verify`: which rows do not agree, and why? Row by row in key
-- order, with a look-up per row. Asked only when the sums of verify_sums.sql differ; whatever makes
-- them differ is named here. `kind` is one of storecredit.ledger.verify.DiscrepancyKind, `detail` a
-- sentence with the numbers. Look-ups are LATERAL … LIMIT 1, and rows are ordered by key, so that
-- no plan made from stale statistics can turn them round. An owner is a store or an end user:
-- `store_id` or `user_id` is set, by p_owner_kind.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL
-- inlines them into the statement that calls them; hence `public.` before each table.

CREATE OR REPLACE FUNCTION find_movement_discrepancies(
    p_owner_kind text, p_after_owner_id uuid, p_after_seq bigint, p_until_owner_id uuid,
    p_until_seq bigint
)
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each movement after (p_after_owner_id, p_after_seq), up to and
--   with (p_until_owner_id, p_until_seq). The row at the lower end is read as a predecessor only.
-- What takes a credit for work (deduction, generation, overage) is a charge here, what gives it
-- back (refund, overage_refund, overage_credit) a return.
    SELECT k.kind,
        CASE p_owner_kind WHEN 'store' THEN w.owner_id END,
        CASE p_owner_kind WHEN 'user' THEN w.owner_id END,
        w.seq, w.request_id, w.session_id,
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
            WHEN 'overage_refund_without_overage' THEN format(
                '%s given back as %s, but this request id used no overage', w.amount, w.type)
            WHEN 'refund_exceeds_deduction' THEN format(
                '%s given back of a deduction of %s', w.amount, w.charged)
            WHEN 'charged_twice' THEN format(
                '%s taken as %s, but this request id had already taken %s as %s',
                w.amount, w.type, w.earlier_amount, w.earlier_type)
            WHEN 'refunded_twice' THEN format(
                '%s given back as %s, but this request id had already given back %s as %s',
                w.amount, w.type, w.earlier_amount, w.earlier_type)
            WHEN 'refunded_though_billed' THEN format(
                '%s taken off the overage used, but a bill had closed that overage', w.amount)
            WHEN 'credited_though_unbilled' THEN format(
                '%s given as credits for overage, but no bill had closed that overage', w.amount)
            WHEN 'movement_without_bill' THEN format(
                'overage of %s is closed, but there is no bill for it', w.amount)
            WHEN 'bill_amount' THEN format(
                'a bill of %s closes overage of %s', w.amount, w.used)
            WHEN 'session_mismatch' THEN CASE
                WHEN w.is_return THEN format('the refund is for session %s, its deduction for %s',
                    coalesce(w.session_id::text, 'none'),
                    coalesce(w.charged_session_id::text, 'none'))
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
        SELECT m.*, d.amount AS charged, d.session_id AS charged_session_id, s.status,
            s.request_id AS session_request_id, o.session_id AS other_session_id,
            e.type AS earlier_type, e.amount AS earlier_amount, u.used,
            array_remove(ARRAY[
                CASE WHEN m.seq <> m.seq_before + 1 THEN 'seq_gap'
                     WHEN m.balance_after <> m.balance_before + m.change THEN 'running_balance' END,
                CASE WHEN NOT public.is_possible_movement(
                    p_owner_kind, m.seq, m.type, m.amount, m.balance_after, m.session_id)
                    THEN 'impossible_movement' END,
                CASE WHEN NOT m.is_return THEN NULL
                     WHEN d.seq IS NULL THEN CASE m.type WHEN 'refund'
                        THEN 'refund_without_deduction' ELSE 'overage_refund_without_overage' END
                     WHEN m.session_id IS DISTINCT FROM d.session_id THEN 'session_mismatch' END,
                CASE WHEN m.amount > d.amount THEN 'refund_exceeds_deduction' END,
                CASE WHEN e.type IS NULL THEN NULL
                     WHEN m.is_return THEN 'refunded_twice' ELSE 'charged_twice' END,
                CASE WHEN d.seq IS NULL THEN NULL
                     WHEN m.type = 'overage_refund' AND b.seq IS NOT NULL
                        THEN 'refunded_though_billed'
                     WHEN m.type = 'overage_credit' AND b.seq IS NULL
                        THEN 'credited_though_unbilled' END,
                CASE WHEN m.type = 'overage_bill' AND b.seq IS NULL
                    THEN 'movement_without_bill' END,
                CASE WHEN m.type = 'overage_bill' AND m.amount <> u.used THEN 'bill_amount' END,
                CASE WHEN NOT m.is_return THEN NULL
                     WHEN s.status = 'completed' THEN 'completed_but_refunded'
                     WHEN s.status IN ('queued', 'processing') THEN 'open_but_refunded' END,
                CASE WHEN NOT m.is_charge OR m.session_id IS NULL THEN NULL
                     WHEN s.session_id IS NULL AND o.session_id IS NULL
                        THEN 'deduction_without_session'
                     WHEN s.request_id IS DISTINCT FROM m.request_id THEN 'session_mismatch' END,
                CASE WHEN m.is_charge AND m.session_id IS NOT NULL AND m.amount <> 1
                    THEN 'generation_amount' END
            ], NULL) AS kinds
        FROM (
            SELECT t.owner_id, t.seq, t.type, t.amount, t.balance_after, t.request_id,
                t.session_id, public.balance_change(t.type, t.amount)::numeric AS change,
                t.type IN ('deduction', 'generation', 'overage') AS is_charge,
                t.type IN ('refund', 'overage_refund', 'overage_credit') AS is_return,
                coalesce(lag(t.seq) OVER owner, 0)::numeric AS seq_before,
                coalesce(lag(t.balance_after) OVER owner, 0)::numeric AS balance_before
            FROM public.ledger_movements() t
            WHERE t.owner_kind = p_owner_kind
              AND (t.owner_id, t.seq) >= (p_after_owner_id, p_after_seq)
              AND (t.owner_id, t.seq) <= (p_until_owner_id, p_until_seq)
            WINDOW owner AS (PARTITION BY t.owner_id ORDER BY t.seq)
        ) m
        LEFT JOIN LATERAL (  -- the charge that a return returns
            SELECT x.seq, x.amount, x.session_id FROM public.ledger_movements() x
            WHERE m.is_return AND x.owner_kind = p_owner_kind
              AND x.owner_id = m.owner_id AND x.request_id = m.request_id
              AND CASE m.type WHEN 'refund' THEN x.type IN ('deduction', 'generation')
                  ELSE x.type = 'overage' END
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (  -- an earlier movement that left nothing to take or to give back
            SELECT x.type, x.amount FROM public.ledger_movements() x
            WHERE (m.is_charge OR m.is_return) AND x.owner_kind = p_owner_kind
              AND x.owner_id = m.owner_id AND x.request_id = m.request_id AND x.seq < m.seq
              AND CASE WHEN m.is_charge THEN x.type IN ('deduction', 'generation', 'overage')
                  ELSE x.type IN ('refund', 'overage_refund', 'overage_credit') END
            LIMIT 1
        ) e ON true
        LEFT JOIN LATERAL (  -- a bill's own, or one between overage and what was given back of it
            SELECT x.seq FROM public.store_overage_bills x
            WHERE m.type IN ('overage_refund', 'overage_credit', 'overage_bill')
              AND x.store_id = m.owner_id
              AND CASE m.type WHEN 'overage_bill' THEN x.seq = m.seq
                  ELSE x.seq > d.seq AND x.seq < m.seq END
            LIMIT 1
        ) b ON true
        LEFT JOIN LATERAL (  -- what was used since the bill before
            SELECT coalesce(sum(
                CASE x.type WHEN 'overage' THEN x.amount ELSE -x.amount::numeric END), 0) AS used
            FROM public.store_credit_transactions x
            WHERE m.type = 'overage_bill' AND x.type IN ('overage', 'overage_refund')
              AND x.store_id = m.owner_id AND x.seq < m.seq AND x.seq > coalesce((
                  SELECT y.seq FROM public.store_credit_transactions y
                  WHERE y.type = 'overage_bill' AND y.store_id = m.owner_id AND y.seq < m.seq
                  ORDER BY y.store_id DESC, y.seq DESC LIMIT 1), 0)
        ) u ON true
        LEFT JOIN LATERAL (
            SELECT x.session_id, x.request_id, x.status FROM public.ledger_sessions() x
            WHERE x.owner_kind = p_owner_kind AND x.owner_id = m.owner_id
              AND x.session_id = CASE WHEN m.is_return THEN d.session_id ELSE m.session_id END
            LIMIT 1
        ) s ON true
        LEFT JOIN LATERAL (
            SELECT x.session_id FROM public.ledger_sessions() x
            WHERE m.is_charge AND m.session_id IS NOT NULL AND s.session_id IS NULL
              AND x.owner_kind = p_owner_kind
              AND x.owner_id = m.owner_id AND x.request_id = m.request_id
            LIMIT 1
        ) o ON true
        WHERE (m.owner_id, m.seq) > (p_after_owner_id, p_after_seq)
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_movement_discrepancies(text, uuid, bigint, uuid, bigint) IS
    'Names what is wrong with each movement in a range of (owner, seq).';

CREATE OR REPLACE FUNCTION find_session_discrepancies(
    p_owner_kind text, p_after_owner_id uuid, p_after_session_id uuid, p_until_owner_id uuid,
    p_until_session_id uuid
)
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each session after the first key, up to and with the second.
--   A session whose deduction names another session is named with that deduction.
    SELECT k.kind,
        CASE p_owner_kind WHEN 'store' THEN w.owner_id END,
        CASE p_owner_kind WHEN 'user' THEN w.owner_id END,
        w.deducted_seq, w.request_id, w.session_id,
        CASE k.kind
            WHEN 'impossible_session' THEN format('no function writes the status %L', w.status)
            WHEN 'session_without_deduction' THEN format(
                'this generation is %s, but nothing was deducted under its request id', w.status)
            WHEN 'session_mismatch' THEN format(
                'the deduction of %s under this request id was not made for this session', w.deducted)
            WHEN 'failed_but_not_refunded' THEN format(
                'the generation failed, but its deduction of %s was not given back', w.deducted)
        END
    FROM (
        SELECT s.owner_id, s.session_id, s.request_id, s.status, d.amount AS deducted,
            d.seq AS deducted_seq,
            array_remove(ARRAY[
                CASE WHEN (s.status IN ('queued', 'processing', 'completed', 'failed')) IS NOT TRUE
                    THEN 'impossible_session' END,
                CASE WHEN d.seq IS NULL THEN 'session_without_deduction'
                     WHEN d.session_id IS DISTINCT FROM s.session_id THEN 'session_mismatch' END,
                CASE WHEN s.status = 'failed' AND d.seq IS NOT NULL AND r.seq IS NULL
                    THEN 'failed_but_not_refunded' END
            ], NULL) AS kinds
        FROM public.ledger_sessions() s
        LEFT JOIN LATERAL (
            SELECT x.seq, x.amount, x.session_id FROM public.ledger_movements() x
            WHERE x.type IN ('deduction', 'generation', 'overage')
              AND x.owner_kind = p_owner_kind
              AND x.owner_id = s.owner_id AND x.request_id = s.request_id
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT x.seq FROM public.ledger_movements() x
            WHERE s.status = 'failed' AND x.type IN ('refund', 'overage_refund', 'overage_credit')
              AND x.owner_kind = p_owner_kind
              AND x.owner_id = s.owner_id AND x.request_id = s.request_id
            LIMIT 1
        ) r ON true
        WHERE s.owner_kind = p_owner_kind
          AND (s.owner_id, s.session_id) > (p_after_owner_id, p_after_session_id)
          AND (s.owner_id, s.session_id) <= (p_until_owner_id, p_until_session_id)
        ORDER BY s.owner_id, s.session_id
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_session_discrepancies(text, uuid, uuid, uuid, uuid) IS
    'Names what is wrong with each session in a range of (owner, session_id).';

CREATE OR REPLACE FUNCTION find_owner_discrepancies(
    p_owner_kind text, p_from_owner_id uuid, p_until_owner_id uuid
)
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each owner in a range (both ends included) as a whole: its row
--   in stores or users, its credit row, and the sums of its ledger.
    SELECT k.kind,
        CASE p_owner_kind WHEN 'store' THEN w.owner_id END,
        CASE p_owner_kind WHEN 'user' THEN w.owner_id END,
        NULL::bigint, NULL::text, NULL::uuid,
        CASE k.kind
            WHEN p_owner_kind || '_without_credits' THEN format(
                'the %s has no credit row', p_owner_kind)
            WHEN 'credits_without_' || p_owner_kind THEN format(
                'the credit row (balance %s) belongs to no %s', w.balance, p_owner_kind)
            WHEN 'movements_without_credits' THEN format(
                '%s movements stand in the ledger, but there is no credit row', w.movements)
            WHEN 'balance' THEN format('balance is %s, but the ledger''s movements sum up to %s',
                w.balance, w.added - w.spent - w.clawed_back)
            WHEN 'total_spent' THEN format(
                'total_spent is %s, but the ledger''s deductions less refunds sum up to %s',
                w.total_spent, w.spent)
            WHEN 'total_clawed_back' THEN format(
                'total_clawed_back is %s, but the ledger''s clawbacks sum up to %s',
                w.total_clawed_back, w.clawed_back)
            WHEN 'overage_used' THEN format(
                'overage_used is %s, but the ledger''s overage not billed yet sums up to %s',
                w.overage_used, w.overage)
            WHEN 'last_seq' THEN format('last_seq is %s, but the ledger ends with %s',
                w.last_seq, w.newest)
            ELSE format('%s is %s, but the ledger''s additions sum up to %s',
                k.kind, w.total_added, w.added)
        END
    FROM (
        SELECT owner_id, c.balance, c.total_added, c.total_spent, c.total_clawed_back,
            c.overage_used, c.last_seq, m.movements, coalesce(m.added, 0) AS added,
            coalesce(m.spent, 0) AS spent, coalesce(m.clawed_back, 0) AS clawed_back,
            coalesce(m.overage, 0) AS overage, coalesce(m.newest, 0) AS newest,
            array_remove(CASE WHEN c.balance IS NULL THEN ARRAY[
                CASE WHEN o.place IS NOT NULL THEN p_owner_kind || '_without_credits' END,
                CASE WHEN m.movements > 0 THEN 'movements_without_credits' END
            ] ELSE ARRAY[
                CASE WHEN o.place IS NULL THEN 'credits_without_' || p_owner_kind END,
                CASE WHEN c.balance <> coalesce(m.added - m.spent - m.clawed_back, 0)
                    THEN 'balance' END,
                CASE WHEN c.total_added <> coalesce(m.added, 0) THEN
                    CASE p_owner_kind WHEN 'store' THEN 'total_purchased' ELSE 'total_earned' END
                    END,
                CASE WHEN c.total_spent <> coalesce(m.spent, 0) THEN 'total_spent' END,
                CASE WHEN c.total_clawed_back <> coalesce(m.clawed_back, 0)
                    THEN 'total_clawed_back' END,
                CASE WHEN c.overage_used <> coalesce(m.overage, 0) THEN 'overage_used' END,
                CASE WHEN c.last_seq <> coalesce(m.newest, 0) THEN 'last_seq' END
            ] END, NULL) AS kinds
        FROM (
            SELECT t.owner_id, count(*) AS movements, max(t.seq) AS newest,
                coalesce(sum(t.amount) FILTER (WHERE t.type IN (
                    'purchase', 'subscription', 'signup_bonus', 'grant', 'overage_credit')), 0)
                    AS added,
                coalesce(sum(t.amount) FILTER (WHERE t.type IN ('deduction', 'generation')), 0)
                    - coalesce(sum(t.amount) FILTER (WHERE t.type = 'refund'), 0) AS spent,
                coalesce(sum(t.amount) FILTER (WHERE t.type = 'clawback'), 0) AS clawed_back,
                coalesce(sum(t.amount) FILTER (WHERE t.type = 'overage'), 0)
                    - coalesce(sum(t.amount) FILTER (
                        WHERE t.type IN ('overage_refund', 'overage_bill')), 0) AS overage
            FROM (
                SELECT * FROM public.ledger_movements() l
                WHERE l.owner_kind = p_owner_kind
                  AND l.owner_id BETWEEN p_from_owner_id AND p_until_owner_id
                ORDER BY l.owner_id, l.seq
            ) t
            GROUP BY t.owner_id
        ) m
        FULL JOIN (
            SELECT * FROM public.ledger_credits() l
            WHERE l.owner_kind = p_owner_kind
              AND l.owner_id BETWEEN p_from_owner_id AND p_until_owner_id
        ) c USING (owner_id)
        FULL JOIN (
            SELECT * FROM public.ledger_owners() l
            WHERE l.owner_kind = p_owner_kind
              AND l.owner_id BETWEEN p_from_owner_id AND p_until_owner_id
        ) o USING (owner_id)
    ) w, unnest(w.kinds) k (kind);
$$;
COMMENT ON FUNCTION find_owner_discrepancies(text, uuid, uuid) IS
    'Names what is wrong with each store or end user as a whole: its credits against its ledger.';
