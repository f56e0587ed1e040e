-- Generation sessions and the movements that belong to them. How all find_* functions work is said in
-- find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_generation_discrepancies(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each movement that does not fit the session it is for. A return is for the session
--   of its charge, whatever it says itself.
    SELECT k.kind, m.account_id, m.seq, m.request_id, m.session_id,
        CASE k.kind
            WHEN 'session_mismatch' THEN CASE WHEN o.session_id IS NULL
                THEN format('the deduction is for a session that was made by request id %L',
                    s.request_id)
                ELSE format('the deduction is for session %s, but its request made session %s',
                    m.session_id, o.session_id) END
            WHEN 'deduction_without_session' THEN format(
                '%s deducted for a generation session that does not exist', m.amount)
            WHEN 'generation_amount' THEN format(
                CASE m.role WHEN 'return' THEN '%s given back for a generation that was charged %s'
                    ELSE '%s deducted for a generation that was to be charged %s' END,
                m.amount, s.credits)
            WHEN 'completed_but_refunded' THEN format(
                '%s given back for a generation that completed', m.amount)
            WHEN 'open_but_refunded' THEN format(
                '%s given back for a generation that is still %s', m.amount, s.status)
        END
    FROM (
        SELECT t.*, movement_role(t.type) AS role FROM movements t
        WHERE (t.account_id, t.seq) > (p_after_account_id, p_after_seq)
          AND (t.account_id, t.seq) <= (p_until_account_id, p_until_seq)
          AND movement_role(t.type) IN ('charge', 'return')
        ORDER BY t.account_id, t.seq
    ) m
    LEFT JOIN LATERAL (
        SELECT x.session_id, x.seq, x.amount FROM movements x
        WHERE m.role = 'return' AND x.account_id = m.account_id AND x.request_id = m.request_id
          AND x.type = (SELECT t.returns FROM movement_types t WHERE t.type = m.type)
        LIMIT 1
    ) c ON true
    LEFT JOIN LATERAL (
        SELECT x.session_id, x.request_id, x.status, x.credits FROM sessions x
        WHERE x.account_id = m.account_id
          AND x.session_id = CASE m.role WHEN 'return' THEN c.session_id ELSE m.session_id END
        LIMIT 1
    ) v ON true
    LEFT JOIN LATERAL archived_session(m.account_id, coalesce(c.seq, m.seq)) a
        ON m.session_id IS NOT NULL AND v.session_id IS NULL
    LEFT JOIN LATERAL (  -- of one that was archived no more is kept than its movement says
        SELECT v.session_id, v.request_id, v.status, v.credits WHERE a.number IS NULL
        UNION ALL SELECT coalesce(c.session_id, m.session_id), m.request_id, a.status,
            coalesce(c.amount, m.amount) WHERE a.number IS NOT NULL
    ) s ON true
    LEFT JOIN LATERAL (  -- the session that the request made instead
        SELECT x.session_id FROM sessions x
        WHERE m.role = 'charge' AND m.session_id IS NOT NULL AND s.session_id IS NULL
          AND x.account_id = m.account_id AND x.request_id = m.request_id
        LIMIT 1
    ) o ON true,
    unnest(array_remove(CASE WHEN m.role = 'return' THEN ARRAY[
        CASE WHEN s.status = 'completed' THEN 'completed_but_refunded'
             WHEN s.status IN ('queued', 'processing') THEN 'open_but_refunded' END,
        CASE WHEN m.amount <> s.credits THEN 'generation_amount' END
    ] WHEN m.session_id IS NOT NULL THEN ARRAY[
        CASE WHEN s.session_id IS NULL AND o.session_id IS NULL THEN 'deduction_without_session'
             WHEN s.request_id IS DISTINCT FROM m.request_id THEN 'session_mismatch' END,
        CASE WHEN m.amount <> s.credits THEN 'generation_amount' END
    ] END, NULL)) k (kind);
$$;
COMMENT ON FUNCTION find_generation_discrepancies(bigint, bigint, bigint, bigint) IS
    'Names each movement in a range of (account, seq) that does not fit its session.';

CREATE OR REPLACE FUNCTION find_session_discrepancies(
    p_after_account_id bigint, p_after_session_id uuid, p_until_account_id bigint,
    p_until_session_id uuid
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with each session after the first key, up to and with the second.
    SELECT k.kind, s.account_id, c.seq, s.request_id, s.session_id,
        CASE k.kind
            WHEN 'impossible_session' THEN CASE WHEN is_possible_session(s.status, s.attempts, s.input)
                THEN format('no function writes a %s session of %s credits', s.status, s.credits)
                WHEN is_possible_session(s.status, 0, NULL)
                THEN format('no function leaves a %s session after %s attempts %s', s.status,
                    s.attempts, CASE WHEN s.input IS NULL THEN 'without' ELSE 'with' END || ' input')
                ELSE format('no function writes the status %L', s.status) END
            WHEN 'session_without_deduction' THEN format(
                'this generation is %s, but nothing was deducted under its request id', s.status)
            WHEN 'session_mismatch' THEN format(
                'the deduction of %s under this request id was not made for this session', c.amount)
            WHEN 'failed_but_not_refunded' THEN format(
                'the generation failed, but its deduction of %s was not given back', c.amount)
            WHEN 'archived_but_present' THEN format(
                'the generation is in archive %s, and stands here as well', a.number)
        END
    FROM sessions s
    LEFT JOIN LATERAL (
        SELECT x.seq, x.amount, x.session_id FROM movements x
        WHERE x.account_id = s.account_id AND x.request_id = s.request_id
          AND movement_role(x.type) = 'charge'
        LIMIT 1
    ) c ON true
    LEFT JOIN LATERAL (
        SELECT x.seq FROM movements x
        WHERE s.status = 'failed' AND x.account_id = s.account_id AND x.request_id = s.request_id
          AND movement_role(x.type) = 'return'
        LIMIT 1
    ) r ON true
    LEFT JOIN LATERAL archived_session(s.account_id, c.seq) a ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN a.number IS NOT NULL THEN 'archived_but_present' END,
        CASE WHEN NOT is_possible_session(s.status, s.attempts, s.input)
                OR (s.credits > 0 OR s.credits = 0 AND s.completed_at IS NOT NULL) IS NOT TRUE
            THEN 'impossible_session' END,
        CASE WHEN s.credits = 0 THEN NULL
             WHEN c.seq IS NULL THEN 'session_without_deduction'
             WHEN c.session_id IS DISTINCT FROM s.session_id THEN 'session_mismatch' END,
        CASE WHEN s.status = 'failed' AND s.credits <> 0 AND c.seq IS NOT NULL AND r.seq IS NULL
            THEN 'failed_but_not_refunded' END
    ], NULL)) k (kind)
    WHERE (s.account_id, s.session_id) > (p_after_account_id, p_after_session_id)
      AND (s.account_id, s.session_id) <= (p_until_account_id, p_until_session_id)
    ORDER BY s.account_id, s.session_id;
$$;
COMMENT ON FUNCTION find_session_discrepancies(bigint, uuid, bigint, uuid) IS
    'Names what is wrong with each session in a range of (account, session_id).';
