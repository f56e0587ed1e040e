-- Generation sessions: each function changes work and credits together, in one statement, so that
-- no crash can part the money from the work. Create and refund stand on this one page.
--
-- Lock order, for all of them: stores ascending; within a store the credit row, then its session
-- rows ascending. Batches therefore cannot deadlock each other.

CREATE OR REPLACE FUNCTION create_store_generations(
    p_store_id uuid,
    p_session_ids uuid[],
    p_request_ids text[],
    p_fingerprints bytea[],
    p_inputs json[],
    p_metadatas json[]
)
RETURNS TABLE (
    ord int, outcome text, session_id uuid, status text, balance bigint, charged_as text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: for several requests of one store: replay check, deduction of 1 credit (or, beyond the
--   balance, overage of 1), session row.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: created | replayed (the session this request made before, with its current status)
--   | insufficient (nothing written) | conflict (the request id was used for another request).
--   Of what was created, now or before, `charged_as` says from what: balance | overage.
-- Errors: unknown_store, invalid_request_id.
DECLARE
    v_balance bigint;
    v_fresh int[] := '{}';
    v_outcomes text[] := '{}';
    v_sessions uuid[] := '{}';
    v_statuses text[] := '{}';
    v_balances bigint[] := '{}';
    v_charged text[] := '{}';
    item record;
BEGIN
    -- Items are found by their place: let every array count from 1.
    p_session_ids := p_session_ids[:];
    p_request_ids := p_request_ids[:];
    p_fingerprints := p_fingerprints[:];
    p_inputs := p_inputs[:];
    p_metadatas := p_metadatas[:];
    SELECT c.balance INTO v_balance
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    -- Which requests are known, and which stand twice in this batch.
    FOR item IN
        SELECT i.n::int AS n, i.fingerprint,
            min(i.n) OVER (PARTITION BY i.request_id)::int AS first_n,
            s.session_id, s.status, s.fingerprint AS fingerprint_before, s.charged_as
        FROM unnest(p_request_ids, p_fingerprints) WITH ORDINALITY AS i (request_id, fingerprint, n)
        -- A request's session is the one its credit was taken for.
        LEFT JOIN LATERAL (
            SELECT k.session_id, k.status, k.fingerprint,
                CASE WHEN EXISTS (
                    SELECT FROM store_credit_transactions t
                    WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                      AND t.type = 'deduction') THEN 'balance' ELSE 'overage' END AS charged_as
            FROM store_generation_sessions k
            WHERE k.store_id = p_store_id AND k.session_id = coalesce(
                (SELECT t.session_id FROM store_credit_transactions t
                 WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                   AND t.type = 'deduction'),
                (SELECT t.session_id FROM store_credit_transactions t
                 WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                   AND t.type >= 'overage' AND t.type <= 'overage'))
            LIMIT 1
        ) s ON true
        ORDER BY i.n
    LOOP
        v_sessions := v_sessions || item.session_id;
        v_statuses := v_statuses || item.status;
        v_balances := v_balances || v_balance;
        v_charged := v_charged || item.charged_as;
        IF item.session_id IS NOT NULL THEN
            v_outcomes := v_outcomes || CASE WHEN item.fingerprint = item.fingerprint_before
                THEN 'replayed' ELSE 'conflict' END;
        ELSIF item.first_n < item.n THEN
            v_outcomes := v_outcomes || CASE WHEN item.fingerprint = p_fingerprints[item.first_n]
                THEN 'same' ELSE 'other' END;
        ELSE
            v_outcomes := v_outcomes || 'fresh'::text;
            v_fresh := v_fresh || item.n;
        END IF;
    END LOOP;

    IF cardinality(v_fresh) > 0 THEN
        FOR item IN
            SELECT v_fresh[d.ord] AS n, d.outcome, d.balance
            FROM deduct_store_credits_many(
                p_store_id,
                array_fill(1, ARRAY[cardinality(v_fresh)]),
                (SELECT array_agg(p_request_ids[f.n] ORDER BY f.o)
                 FROM unnest(v_fresh) WITH ORDINALITY f (n, o)),
                array_fill('Image generation'::text, ARRAY[cardinality(v_fresh)]),
                (SELECT array_agg(p_session_ids[f.n] ORDER BY f.o)
                 FROM unnest(v_fresh) WITH ORDINALITY f (n, o))) d
        LOOP
            v_balance := item.balance;
            v_balances[item.n] := item.balance;
            v_outcomes[item.n] := CASE item.outcome
                WHEN 'deducted' THEN 'created'
                WHEN 'overage' THEN 'created'
                WHEN 'insufficient' THEN 'insufficient'
                -- Credits were taken under this id without a session: by a direct call.
                ELSE 'conflict' END;
            IF v_outcomes[item.n] = 'created' THEN
                v_sessions[item.n] := p_session_ids[item.n];
                v_statuses[item.n] := 'queued';
                v_charged[item.n] := CASE item.outcome
                    WHEN 'deducted' THEN 'balance' ELSE 'overage' END;
            END IF;
        END LOOP;

        INSERT INTO store_generation_sessions
            (store_id, session_id, request_id, fingerprint, input, metadata)
        SELECT p_store_id, p_session_ids[f.n], p_request_ids[f.n], p_fingerprints[f.n],
            p_inputs[f.n], p_metadatas[f.n]
        FROM unnest(v_fresh) AS f (n)
        WHERE v_outcomes[f.n] = 'created';
    END IF;

    -- What stood twice in the batch answers like its first sending.
    FOR item IN
        SELECT i.n::int AS n, min(i.n) OVER (PARTITION BY i.request_id)::int AS first_n
        FROM unnest(p_request_ids) WITH ORDINALITY AS i (request_id, n)
        ORDER BY i.n
    LOOP
        ord := item.n;
        outcome := v_outcomes[item.n];
        IF outcome IN ('same', 'other') THEN
            v_sessions[item.n] := v_sessions[item.first_n];
            v_statuses[item.n] := v_statuses[item.first_n];
            v_balances[item.n] := v_balances[item.first_n];
            v_charged[item.n] := v_charged[item.first_n];
            outcome := CASE
                WHEN v_outcomes[item.first_n] = 'insufficient' THEN 'insufficient'
                WHEN outcome = 'other' OR v_outcomes[item.first_n] = 'conflict' THEN 'conflict'
                ELSE 'replayed' END;
        END IF;
        session_id := v_sessions[item.n];
        status := v_statuses[item.n];
        balance := v_balances[item.n];
        charged_as := CASE WHEN outcome IN ('created', 'replayed') THEN v_charged[item.n] END;
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION create_store_generations(uuid, uuid[], text[], bytea[], json[], json[]) IS
    'For several requests of one store: replay check, deduction of one credit, session row. '
    'Outcome per item: created, replayed, insufficient, conflict; charged_as: balance or overage. '
    'Idempotent by request id.';

CREATE OR REPLACE FUNCTION fail_store_generations(
    p_store_id uuid,
    p_session_ids uuid[],
    p_error_codes text[],
    p_error_messages text[],
    p_generator_messages text[] DEFAULT '{}'
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: mark sessions of one store failed and give their credits back, as balance or as overage.
-- Locks: the store's credit row, then the sessions, ascending. Idempotent by session.
-- Outcomes: failed (and refunded) | already_failed | already_completed | not_found.
--   `balance` is the store's balance after the call.
-- Errors: unknown_store; no_deduction when a session's credit was never taken: the whole batch is
--   refused, because that state has no honest outcome (`storecredit verify` names it).
DECLARE
    v_balance bigint;
    v_outcome text;
    v_outcomes text[] := '{}';
    v_request_id text;
    v_request_ids text[] := '{}';
    v_lost text;
    item record;
BEGIN
    -- Items are found by their place: let every array count from 1.
    p_session_ids := p_session_ids[:];
    p_error_codes := p_error_codes[:];
    p_error_messages := p_error_messages[:];
    p_generator_messages := p_generator_messages[:];
    SELECT c.balance INTO v_balance
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    -- Row by row, here and in the functions below: a join is planned for a store of middling size
    -- and may read every session of a large one.
    FOR item IN
        SELECT i.n::int AS n, i.session_id
        FROM unnest(p_session_ids) WITH ORDINALITY AS i (session_id, n)
        ORDER BY i.session_id, i.n
    LOOP
        UPDATE store_generation_sessions s
        SET status = 'failed', completed_at = now(), input = NULL,
            error_code = p_error_codes[item.n], error_message = p_error_messages[item.n],
            generator_message = coalesce(p_generator_messages[item.n], s.generator_message)
        WHERE s.store_id = p_store_id AND s.session_id = item.session_id
          AND s.status IN ('queued', 'processing')
        RETURNING s.request_id INTO v_request_id;
        IF FOUND THEN
            v_request_ids := v_request_ids || v_request_id;
            v_outcome := 'failed';
        ELSE
            SELECT 'already_' || s.status INTO v_outcome FROM store_generation_sessions s
            WHERE s.store_id = p_store_id AND s.session_id = item.session_id;
        END IF;
        v_outcomes[item.n] := coalesce(v_outcome, 'not_found');
    END LOOP;

    IF cardinality(v_request_ids) > 0 THEN
        SELECT (array_agg(r.balance ORDER BY r.ord DESC))[1],
            min(v_request_ids[r.ord]) FILTER (
                WHERE r.outcome NOT IN ('refunded', 'already_refunded'))
        INTO v_balance, v_lost
        FROM refund_store_credits_many(
            p_store_id,
            array_fill(1, ARRAY[cardinality(v_request_ids)]),
            v_request_ids,
            array_fill('Image generation failed'::text, ARRAY[cardinality(v_request_ids)])) r;
        IF v_lost IS NOT NULL THEN
            PERFORM raise_credit_error('no_deduction', v_lost);
        END IF;
    END IF;

    RETURN QUERY
    SELECT o.n::int, o.outcome, v_balance
    FROM unnest(v_outcomes) WITH ORDINALITY AS o (outcome, n);
END;
$$;
COMMENT ON FUNCTION fail_store_generations(uuid, uuid[], text[], text[], text[]) IS
    'Marks sessions of one store failed and gives their credits back, in one statement. '
    'Outcome per item: failed, already_failed, already_completed, not_found.';

CREATE OR REPLACE FUNCTION fail_store_generation(
    p_store_id uuid,
    p_session_id uuid,
    p_error_code text,
    p_error_message text,
    p_generator_message text DEFAULT NULL
)
RETURNS text
LANGUAGE sql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose, locks, outcomes, errors: as fail_store_generations, for one session.
    SELECT f.outcome FROM fail_store_generations(
        p_store_id, ARRAY[p_session_id], ARRAY[p_error_code], ARRAY[p_error_message],
        ARRAY[p_generator_message]) f;
$$;
COMMENT ON FUNCTION fail_store_generation(uuid, uuid, text, text, text) IS
    'Marks one session failed and gives its credit back. '
    'Outcome: failed, already_failed, already_completed, not_found.';

CREATE OR REPLACE FUNCTION start_store_generations(p_store_id uuid, p_session_ids uuid[])
RETURNS TABLE (
    ord int, outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: a worker begins an attempt at each of these sessions of one store.
-- Locks: the sessions, ascending. Not idempotent: each call counts one attempt.
-- Outcomes: started (with its input and the number of this attempt) | already_completed
--   | already_failed | not_found.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT DISTINCT i.session_id FROM unnest(p_session_ids) AS i (session_id)
        ORDER BY i.session_id
    LOOP
        UPDATE store_generation_sessions s
        SET status = 'processing', attempts = s.attempts + 1,
            started_at = coalesce(s.started_at, now())
        WHERE s.store_id = p_store_id AND s.session_id = item.session_id
          AND s.status IN ('queued', 'processing');
    END LOOP;

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'processing' THEN 'started'
            WHEN 'completed' THEN 'already_completed'
            WHEN 'failed' THEN 'already_failed'
            ELSE 'not_found' END,
        s.attempts, s.request_id, s.created_at, s.input
    FROM unnest(p_session_ids) WITH ORDINALITY AS i (session_id, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.attempts, k.request_id, k.created_at, k.input
        FROM store_generation_sessions k
        WHERE k.store_id = p_store_id AND k.session_id = i.session_id
        LIMIT 1
    ) s ON true
    ORDER BY i.n;
END;
$$;
COMMENT ON FUNCTION start_store_generations(uuid, uuid[]) IS
    'A worker begins an attempt at sessions of one store. '
    'Outcome per item: started, already_completed, already_failed, not_found.';

CREATE OR REPLACE FUNCTION postpone_store_generation(
    p_store_id uuid,
    p_session_id uuid,
    p_generator_message text,
    p_counts boolean
)
RETURNS TABLE (outcome text, seconds_open float8, seconds_begun float8)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: an attempt at a session made no image and another will be made: note what the generator
--   said (null: as before), and, if the attempt does not count, take it back.
-- Locks: the session. Not idempotent: each call takes back one attempt.
-- Outcomes: postponed | already_completed | already_failed | not_started | not_found.
--   `seconds_open` is how long ago the session was created, `seconds_begun` how long ago its first
--   attempt began.
BEGIN
    UPDATE store_generation_sessions s
    SET generator_message = coalesce(p_generator_message, s.generator_message),
        attempts = CASE WHEN p_counts THEN s.attempts ELSE greatest(s.attempts - 1, 0) END
    WHERE s.store_id = p_store_id AND s.session_id = p_session_id AND s.status = 'processing'
    RETURNING 'postponed', extract(epoch FROM now() - s.created_at)::float8,
        extract(epoch FROM now() - s.started_at)::float8
    INTO outcome, seconds_open, seconds_begun;
    IF NOT FOUND THEN
        SELECT CASE s.status WHEN 'queued' THEN 'not_started' ELSE 'already_' || s.status END
        INTO outcome FROM store_generation_sessions s
        WHERE s.store_id = p_store_id AND s.session_id = p_session_id;
        outcome := coalesce(outcome, 'not_found');
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION postpone_store_generation(uuid, uuid, text, boolean) IS
    'Another attempt at a session will be made later; one that does not count is taken back. '
    'Outcome: postponed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION complete_store_generations(
    p_store_id uuid,
    p_session_ids uuid[],
    p_result_keys text[]
)
RETURNS TABLE (ord int, outcome text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: sessions of one store have their result.
-- Locks: the sessions, ascending. Idempotent by (session, result key).
-- Outcomes: completed (now, or before with this very result) | already_completed (with another
--   result, which stands) | already_failed (and refunded; the result must be thrown away)
--   | not_started | not_found.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT i.session_id, i.result_key
        FROM unnest(p_session_ids, p_result_keys) WITH ORDINALITY AS i (session_id, result_key, n)
        ORDER BY i.session_id, i.n
    LOOP
        UPDATE store_generation_sessions s
        SET status = 'completed', completed_at = now(), input = NULL, result_key = item.result_key
        WHERE s.store_id = p_store_id AND s.session_id = item.session_id
          AND s.status = 'processing';
    END LOOP;

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'completed' THEN CASE WHEN s.result_key = i.result_key
                THEN 'completed' ELSE 'already_completed' END
            WHEN 'failed' THEN 'already_failed'
            WHEN 'queued' THEN 'not_started'
            ELSE 'not_found' END
    FROM unnest(p_session_ids, p_result_keys) WITH ORDINALITY AS i (session_id, result_key, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.result_key FROM store_generation_sessions k
        WHERE k.store_id = p_store_id AND k.session_id = i.session_id
        LIMIT 1
    ) s ON true
    ORDER BY i.n;
END;
$$;
COMMENT ON FUNCTION complete_store_generations(uuid, uuid[], text[]) IS
    'Sessions of one store have their result. '
    'Outcome per item: completed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION complete_store_generation(
    p_store_id uuid,
    p_session_id uuid,
    p_result_key text
)
RETURNS text
LANGUAGE sql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose, locks, outcomes: as complete_store_generations, for one session.
    SELECT c.outcome
    FROM complete_store_generations(p_store_id, ARRAY[p_session_id], ARRAY[p_result_key]) c;
$$;
COMMENT ON FUNCTION complete_store_generation(uuid, uuid, text) IS
    'One session has its result. '
    'Outcome: completed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION forget_store_generation_result(p_store_id uuid, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: the result image of a session is deleted; its session stays completed.
-- Locks: the session. Idempotent. Returns whether there was a result to forget.
BEGIN
    UPDATE store_generation_sessions s SET result_key = NULL
    WHERE s.store_id = p_store_id AND s.session_id = p_session_id AND s.result_key IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_store_generation_result(uuid, uuid) IS
    'Forgets the result of a session whose retention is over. true: there was one.';

CREATE OR REPLACE FUNCTION forget_store_generator_message(p_store_id uuid, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: what the generator said about a session need not be known any longer.
-- Locks: the session. Idempotent. Returns whether there was something to forget.
BEGIN
    UPDATE store_generation_sessions s SET generator_message = NULL
    WHERE s.store_id = p_store_id AND s.session_id = p_session_id
      AND s.generator_message IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_store_generator_message(uuid, uuid) IS
    'Forgets what the generator said about a session. true: there was something.';
