-- Generation sessions: what a worker does to them that moves no credits. What does stands in
-- generations.sql.
--
-- What was found and locked is updated by its ctid, which nobody but the holder of the lock can change:
-- plans are made once per connection, perhaps while the table is empty, and leave nothing to choose.

CREATE OR REPLACE FUNCTION lock_sessions(
    p_account_ids bigint[],
    p_session_ids uuid[],
    OUT row_ids tid[], OUT statuses text[], OUT request_ids text[], OUT credits int[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: wait for the sessions of a batch, and say where each stands. Locks: the sessions,
--   ascending. Returns: per item its session's ctid, which holds until this transaction changes the
--   row, its status, its request and what it was charged; null: there is no such session.
--   Errors: none of its own.
BEGIN
    PERFORM FROM (
        SELECT DISTINCT u.account_id, u.session_id
        FROM unnest(p_account_ids, p_session_ids) AS u (account_id, session_id)
        ORDER BY u.account_id, u.session_id
    ) i CROSS JOIN LATERAL (
        SELECT FROM sessions k
        WHERE k.account_id = i.account_id AND k.session_id = i.session_id
        LIMIT 1 FOR UPDATE) s;
    SELECT array_agg(s.row_id), array_agg(s.status), array_agg(s.request_id), array_agg(s.credits)
    INTO row_ids, statuses, request_ids, credits
    FROM unnest(p_account_ids, p_session_ids) AS i (account_id, session_id)
    LEFT JOIN LATERAL (
        SELECT k.ctid AS row_id, k.status, k.request_id, k.credits FROM sessions k
        WHERE k.account_id = i.account_id AND k.session_id = i.session_id
        LIMIT 1) s ON true;
END;
$$;
COMMENT ON FUNCTION lock_sessions(bigint[], uuid[]) IS
    'Waits for the sessions of a batch, ascending. Per item: ctid, status, request and credits of its '
    'session; null: there is none.';

CREATE OR REPLACE FUNCTION start_generations(p_account_ids bigint[], p_session_ids uuid[])
RETURNS TABLE (
    ord int, outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: a worker begins an attempt at each of these sessions. `ord` is the place in the batch.
-- Locks: the sessions, ascending. Not idempotent: each call counts one attempt.
-- Outcomes: started (with its input and the number of this attempt) | already_completed
--   | already_failed | not_found.
DECLARE
    v_sessions record := lock_sessions(p_account_ids, p_session_ids);
BEGIN
    UPDATE sessions s
    SET status = 'processing', attempts = s.attempts + 1,
        started_at = coalesce(s.started_at, now())
    WHERE s.ctid = ANY (v_sessions.row_ids) AND s.status IN ('queued', 'processing');

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'processing' THEN 'started'
            WHEN 'completed' THEN 'already_completed'
            WHEN 'failed' THEN 'already_failed'
            ELSE 'not_found' END,
        s.attempts, s.request_id, s.created_at, s.input
    FROM unnest(p_account_ids, p_session_ids) WITH ORDINALITY AS i (account_id, session_id, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.attempts, k.request_id, k.created_at, k.input
        FROM sessions k
        WHERE k.account_id = i.account_id AND k.session_id = i.session_id
        LIMIT 1) s ON true;
END;
$$;
COMMENT ON FUNCTION start_generations(bigint[], uuid[]) IS
    'A worker begins an attempt at sessions. '
    'Outcome per item: started, already_completed, already_failed, not_found.';

CREATE OR REPLACE FUNCTION announce_ends(p_session_ids uuid[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: have whoever waits for the end of one of these sessions look at it, as soon as this
--   transaction is committed: their ids, with commas between, on the channel storecredit_ends. They are
--   counted from 1; null: there are none. It says "look" and no more.
-- Locks: none, but PostgreSQL lets transactions that announce commit one after the other. Idempotent.
DECLARE
    v_ids CONSTANT uuid[] := coalesce(p_session_ids, '{}');
BEGIN
    -- A payload has room for 8000 bytes: 216 ids.
    FOR i IN 1 .. cardinality(v_ids) BY 200 LOOP
        PERFORM pg_notify('storecredit_ends', array_to_string(v_ids[i:i + 199], ','));
    END LOOP;
END;
$$;
COMMENT ON FUNCTION announce_ends(uuid[]) IS
    'Has whoever waits for the end of one of these sessions look at it, once this is committed.';

CREATE OR REPLACE FUNCTION complete_generations(
    p_account_ids bigint[],
    p_session_ids uuid[],
    p_result_keys text[]
)
RETURNS TABLE (ord int, outcome text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: sessions have their result; of several results for one session the first in the batch
--   stands. Announced. `ord` is the place in the batch.
-- Locks: the sessions, ascending. Idempotent by (session, result key).
-- Outcomes: completed (now, or before with this very result) | already_completed (with another
--   result, which stands) | already_failed (and refunded; the result must be thrown away)
--   | not_started | not_found.
DECLARE
    v_sessions record := lock_sessions(p_account_ids, p_session_ids);
    v_ended record;
BEGIN
    WITH ended AS (
        UPDATE sessions s
        SET status = 'completed', completed_at = now(), input = NULL, result_key = i.result_key
        FROM (SELECT DISTINCT ON (u.row_id) u.row_id, u.result_key
              FROM unnest(v_sessions.row_ids, p_result_keys) WITH ORDINALITY
                  AS u (row_id, result_key, n)
              ORDER BY u.row_id, u.n) i
        WHERE s.ctid = i.row_id AND s.status = 'processing'
        RETURNING s.account_id, s.session_id)
    SELECT array_agg(e.account_id) AS account_ids, array_agg(e.session_id) AS session_ids
    INTO v_ended FROM ended e;
    PERFORM tell_generations(v_ended.account_ids, v_ended.session_ids)
    WHERE is_heard(v_ended.account_ids);
    PERFORM announce_ends(v_ended.session_ids);

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'completed' THEN CASE WHEN s.result_key = i.result_key
                THEN 'completed' ELSE 'already_completed' END
            WHEN 'failed' THEN 'already_failed'
            WHEN 'queued' THEN 'not_started'
            ELSE 'not_found' END
    FROM unnest(p_account_ids, p_session_ids, p_result_keys) WITH ORDINALITY
        AS i (account_id, session_id, result_key, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.result_key FROM sessions k
        WHERE k.account_id = i.account_id AND k.session_id = i.session_id
        LIMIT 1) s ON true;
END;
$$;
COMMENT ON FUNCTION complete_generations(bigint[], uuid[], text[]) IS
    'Sessions have their result. '
    'Outcome per item: completed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION with_failed_attempt(
    p_before jsonb, p_attempt int, p_said text, p_counts boolean
)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
-- Purpose: the failed attempts of a session with one more, that failed now: the last ten, as one that is only
--   put off has no number of its own, and may be put off for long. Locks: none.
    SELECT CASE WHEN jsonb_array_length(a.all_of_them) > 10 THEN a.all_of_them - 0
        ELSE a.all_of_them END
    FROM (SELECT coalesce(p_before, '[]') || jsonb_build_array(jsonb_build_object(
        'attempt', p_attempt, 'failed_at', in_utc(now()), 'counts', p_counts, 'said', p_said))
        AS all_of_them) a;
$$;
COMMENT ON FUNCTION with_failed_attempt(jsonb, int, text, boolean) IS
    'The failed attempts of a session with one more, that failed now; the last ten.';

CREATE OR REPLACE FUNCTION with_last_attempt(p_before jsonb, p_attempt int, p_said text)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
-- Purpose: the failed attempts of a session that fails for good now. The last one is put to them only where
--   there are others, which said something else, and the generator said something: all else is in the
--   session's own columns. Locks: none.
    SELECT CASE WHEN p_before IS NULL OR p_said IS NULL THEN p_before
        ELSE with_failed_attempt(p_before, p_attempt, p_said, true) END;
$$;
COMMENT ON FUNCTION with_last_attempt(jsonb, int, text) IS
    'The failed attempts of a session that fails for good now.';

CREATE OR REPLACE FUNCTION without_words(p_failed_attempts jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
-- Purpose: when attempts failed, without what the generator said. Locks: none.
    SELECT jsonb_agg(a.attempt || '{"said": null}' ORDER BY a.n)
    FROM jsonb_array_elements(p_failed_attempts) WITH ORDINALITY a (attempt, n);
$$;
COMMENT ON FUNCTION without_words(jsonb) IS
    'When attempts failed, without what the generator said.';

CREATE OR REPLACE FUNCTION postpone_generation(
    p_account_id bigint,
    p_session_id uuid,
    p_generator_message text,
    p_counts boolean
)
RETURNS TABLE (outcome text, seconds_open float8, seconds_begun float8)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: an attempt at a session made no image and another will be made: note what the generator
--   said (null: as before), and, if the attempt does not count, take it back.
-- Locks: the session. Not idempotent: each call takes back one attempt.
-- Outcomes: postponed | already_completed | already_failed | not_started | not_found.
--   `seconds_open` is how long ago the session was created, `seconds_begun` how long ago its first
--   attempt began.
BEGIN
    UPDATE sessions s
    SET generator_message = coalesce(p_generator_message, s.generator_message),
        failed_attempts = with_failed_attempt(
            s.failed_attempts, s.attempts, p_generator_message, p_counts),
        attempts = CASE WHEN p_counts THEN s.attempts ELSE greatest(s.attempts - 1, 0) END
    WHERE s.account_id = p_account_id AND s.session_id = p_session_id AND s.status = 'processing'
    RETURNING 'postponed', extract(epoch FROM now() - s.created_at)::float8,
        extract(epoch FROM now() - s.started_at)::float8
    INTO outcome, seconds_open, seconds_begun;
    IF NOT FOUND THEN
        SELECT CASE s.status WHEN 'queued' THEN 'not_started' ELSE 'already_' || s.status END
        INTO outcome FROM sessions s
        WHERE s.account_id = p_account_id AND s.session_id = p_session_id;
        outcome := coalesce(outcome, 'not_found');
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION postpone_generation(bigint, uuid, text, boolean) IS
    'Another attempt at a session will be made later; one that does not count is taken back. '
    'Outcome: postponed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION forget_result(p_account_id bigint, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: the result image of a session is deleted; its session stays completed.
-- Locks: the session. Idempotent. Returns whether there was a result to forget.
BEGIN
    UPDATE sessions s SET result_key = NULL
    WHERE s.account_id = p_account_id AND s.session_id = p_session_id AND s.result_key IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_result(bigint, uuid) IS
    'Forgets the result of a session whose retention is over. true: there was one.';

CREATE OR REPLACE FUNCTION forget_generator_message(p_account_id bigint, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: what the generator said about a session need not be known any longer.
-- Locks: the session. Idempotent. Returns whether there was something to forget.
BEGIN
    UPDATE sessions s
    SET generator_message = NULL, failed_attempts = without_words(s.failed_attempts)
    WHERE s.account_id = p_account_id AND s.session_id = p_session_id
      AND s.generator_message IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_generator_message(bigint, uuid) IS
    'Forgets what the generator said about a session. true: there was something.';
