-- Generation sessions of end users (B2C): as generation.sql, for one user's session at a time. Each
-- function changes work and credits together, in one statement.
--
-- Lock order, for all of them: users ascending; of a user the credit row, then its session rows
-- ascending. The functions across users go through their batch in that order and decide nothing;
-- they are for a single node. On a cluster sharded by user, call the functions for one.

CREATE OR REPLACE FUNCTION create_generation(
    p_user_id uuid,
    p_session_id uuid,
    p_request_id text,
    p_fingerprint bytea,
    p_input json,
    p_metadata json
)
RETURNS TABLE (
    outcome text, session_id uuid, status text, balance bigint, charged_as text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: for one request of a user: replay check, deduction of 1 credit, session row.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: created | replayed (the session this request made before, with its current status)
--   | insufficient (nothing written) | conflict (the request id was used for another request).
--   `balance` is the user's balance afterwards. Of what was created, now or before, `charged_as`
--   says from what: balance (users have no overage).
-- Errors: unknown_user, invalid_request_id.
DECLARE
    v_fingerprint bytea;
BEGIN
    balance := lock_user_credits(p_user_id);
    SELECT s.session_id, s.status, s.fingerprint INTO session_id, status, v_fingerprint
    FROM generation_sessions s
    WHERE s.user_id = p_user_id AND s.request_id = p_request_id;
    IF FOUND THEN
        outcome := CASE WHEN v_fingerprint = p_fingerprint THEN 'replayed' ELSE 'conflict' END;
        charged_as := CASE outcome WHEN 'replayed' THEN 'balance' END;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT d.outcome, d.balance INTO outcome, balance
    FROM settle_user_deduction(
        p_user_id, 1, p_request_id, 'Image generation', p_session_id) d;
    IF outcome = 'deducted' THEN
        outcome := 'created';
        session_id := p_session_id;
        status := 'queued';
        charged_as := 'balance';
        INSERT INTO generation_sessions
            (user_id, session_id, request_id, fingerprint, input, metadata)
        VALUES (p_user_id, p_session_id, p_request_id, p_fingerprint, p_input, p_metadata);
    ELSIF outcome <> 'insufficient' THEN
        -- Credits were deducted under this id without a session: by a direct call.
        outcome := 'conflict';
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION create_generation(uuid, uuid, text, bytea, json, json) IS
    'One request of a user: replay check, deduction of one credit, session row. '
    'Outcome: created, replayed, insufficient, conflict; charged_as: balance. '
    'Idempotent by request id.';

CREATE OR REPLACE FUNCTION start_generation(p_user_id uuid, p_session_id uuid)
RETURNS TABLE (outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: a worker begins an attempt at this session.
-- Locks: the session. Not idempotent: each call counts one attempt.
-- Outcomes: started (with its input and the number of this attempt) | already_completed
--   | already_failed | not_found.
BEGIN
    UPDATE generation_sessions s
    SET status = 'processing', attempts = s.attempts + 1,
        started_at = coalesce(s.started_at, now())
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id
      AND s.status IN ('queued', 'processing')
    RETURNING 'started', s.attempts, s.request_id, s.created_at, s.input
    INTO outcome, attempts, request_id, created_at, input;
    IF NOT FOUND THEN
        SELECT s.status, s.attempts, s.request_id, s.created_at
        INTO outcome, attempts, request_id, created_at
        FROM generation_sessions s
        WHERE s.user_id = p_user_id AND s.session_id = p_session_id;
        outcome := CASE outcome
            WHEN 'completed' THEN 'already_completed'
            WHEN 'failed' THEN 'already_failed'
            ELSE 'not_found' END;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION start_generation(uuid, uuid) IS
    'A worker begins an attempt at a user''s session. '
    'Outcome: started, already_completed, already_failed, not_found.';

CREATE OR REPLACE FUNCTION postpone_generation(
    p_user_id uuid,
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
    UPDATE generation_sessions s
    SET generator_message = coalesce(p_generator_message, s.generator_message),
        attempts = CASE WHEN p_counts THEN s.attempts ELSE greatest(s.attempts - 1, 0) END
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id AND s.status = 'processing'
    RETURNING 'postponed', extract(epoch FROM now() - s.created_at)::float8,
        extract(epoch FROM now() - s.started_at)::float8
    INTO outcome, seconds_open, seconds_begun;
    IF NOT FOUND THEN
        SELECT CASE s.status WHEN 'queued' THEN 'not_started' ELSE 'already_' || s.status END
        INTO outcome FROM generation_sessions s
        WHERE s.user_id = p_user_id AND s.session_id = p_session_id;
        outcome := coalesce(outcome, 'not_found');
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION postpone_generation(uuid, uuid, text, boolean) IS
    'Another attempt at a user''s session will be made later; one that does not count is taken back. '
    'Outcome: postponed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION complete_generation(
    p_user_id uuid,
    p_session_id uuid,
    p_result_key text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: a user's session has its result.
-- Locks: the session. Idempotent by (session, result key).
-- Outcomes: completed (now, or before with this very result) | already_completed (with another
--   result, which stands) | already_failed (and refunded; the result must be thrown away)
--   | not_started | not_found.
DECLARE
    v_status text;
    v_result_key text;
BEGIN
    UPDATE generation_sessions s
    SET status = 'completed', completed_at = now(), input = NULL, result_key = p_result_key
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id AND s.status = 'processing';
    SELECT s.status, s.result_key INTO v_status, v_result_key
    FROM generation_sessions s
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id;
    RETURN CASE v_status
        WHEN 'completed' THEN CASE WHEN v_result_key = p_result_key
            THEN 'completed' ELSE 'already_completed' END
        WHEN 'failed' THEN 'already_failed'
        WHEN 'queued' THEN 'not_started'
        ELSE 'not_found' END;
END;
$$;
COMMENT ON FUNCTION complete_generation(uuid, uuid, text) IS
    'A user''s session has its result. '
    'Outcome: completed, already_completed, already_failed, not_started, not_found.';

CREATE OR REPLACE FUNCTION fail_generation(
    p_user_id uuid,
    p_session_id uuid,
    p_error_code text,
    p_error_message text,
    p_generator_message text DEFAULT NULL
)
RETURNS TABLE (outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: mark a user's session failed and give its credit back.
-- Locks: the user's credit row, then the session. Idempotent by session.
-- Outcomes: failed (and refunded) | already_failed | already_completed | not_found.
--   `balance` is the user's balance afterwards.
-- Errors: unknown_user; no_deduction when the session's credit was never taken, because that state
--   has no honest outcome (`storecredit verify` names it).
DECLARE
    v_request_id text;
    v_refund text;
BEGIN
    balance := lock_user_credits(p_user_id);
    UPDATE generation_sessions s
    SET status = 'failed', completed_at = now(), input = NULL,
        error_code = p_error_code, error_message = p_error_message,
        generator_message = coalesce(p_generator_message, s.generator_message)
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id
      AND s.status IN ('queued', 'processing')
    RETURNING s.request_id INTO v_request_id;
    IF FOUND THEN
        SELECT 'failed', r.outcome, r.balance INTO outcome, v_refund, balance
        FROM settle_user_refund(p_user_id, 1, v_request_id, 'Image generation failed') r;
        IF v_refund NOT IN ('refunded', 'already_refunded') THEN
            PERFORM raise_credit_error('no_deduction', v_request_id);
        END IF;
    ELSE
        SELECT 'already_' || s.status INTO outcome FROM generation_sessions s
        WHERE s.user_id = p_user_id AND s.session_id = p_session_id;
        outcome := coalesce(outcome, 'not_found');
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION fail_generation(uuid, uuid, text, text, text) IS
    'Marks a user''s session failed and gives its credit back, in one statement. '
    'Outcome: failed, already_failed, already_completed, not_found.';

CREATE OR REPLACE FUNCTION forget_generation_result(p_user_id uuid, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: the result image of a session is deleted; its session stays completed.
-- Locks: the session. Idempotent. Returns whether there was a result to forget.
BEGIN
    UPDATE generation_sessions s SET result_key = NULL
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id AND s.result_key IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_generation_result(uuid, uuid) IS
    'Forgets the result of a user''s session whose retention is over. true: there was one.';

CREATE OR REPLACE FUNCTION forget_generator_message(p_user_id uuid, p_session_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: what the generator said about a session need not be known any longer.
-- Locks: the session. Idempotent. Returns whether there was something to forget.
BEGIN
    UPDATE generation_sessions s SET generator_message = NULL
    WHERE s.user_id = p_user_id AND s.session_id = p_session_id
      AND s.generator_message IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION forget_generator_message(uuid, uuid) IS
    'Forgets what the generator said about a user''s session. true: there was something.';

CREATE OR REPLACE FUNCTION create_generations_across_users(
    p_user_ids uuid[],
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
AS $$
-- Purpose: create_generation for each item of a batch. `ord` is the place in the batch.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT i.*
        FROM unnest(p_user_ids, p_session_ids, p_request_ids, p_fingerprints, p_inputs, p_metadatas)
            WITH ORDINALITY
            AS i (user_id, session_id, request_id, fingerprint, input, metadata, n)
        ORDER BY i.user_id, i.n
    LOOP
        RETURN QUERY
        SELECT item.n::int, c.outcome, c.session_id, c.status, c.balance, c.charged_as
        FROM create_generation(item.user_id, item.session_id, item.request_id, item.fingerprint,
            item.input, item.metadata) c;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION create_generations_across_users(uuid[], uuid[], text[], bytea[], json[], json[])
    IS 'create_generation for a batch that spans several users, in ascending user order.';

CREATE OR REPLACE FUNCTION start_generations_across_users(p_user_ids uuid[], p_session_ids uuid[])
RETURNS TABLE (
    ord int, outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: start_generation for each session of a batch: what stands twice in it is one attempt.
-- `ord` is the place in the batch.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT i.user_id, i.session_id, array_agg(i.n::int) AS ords
        FROM unnest(p_user_ids, p_session_ids) WITH ORDINALITY AS i (user_id, session_id, n)
        GROUP BY i.user_id, i.session_id
        ORDER BY i.user_id, i.session_id
    LOOP
        RETURN QUERY
        SELECT o.n, s.outcome, s.attempts, s.request_id, s.created_at, s.input
        FROM start_generation(item.user_id, item.session_id) s, unnest(item.ords) AS o (n);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION start_generations_across_users(uuid[], uuid[]) IS
    'start_generation for a batch that spans several users, in ascending order.';

CREATE OR REPLACE FUNCTION complete_generations_across_users(
    p_user_ids uuid[],
    p_session_ids uuid[],
    p_result_keys text[]
)
RETURNS TABLE (ord int, outcome text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: complete_generation for each item of a batch. `ord` is the place in the batch.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT i.*
        FROM unnest(p_user_ids, p_session_ids, p_result_keys)
            WITH ORDINALITY AS i (user_id, session_id, result_key, n)
        ORDER BY i.user_id, i.session_id, i.n
    LOOP
        ord := item.n;
        outcome := complete_generation(item.user_id, item.session_id, item.result_key);
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION complete_generations_across_users(uuid[], uuid[], text[]) IS
    'complete_generation for a batch that spans several users, in ascending order.';

CREATE OR REPLACE FUNCTION fail_generations_across_users(
    p_user_ids uuid[],
    p_session_ids uuid[],
    p_error_codes text[],
    p_error_messages text[],
    p_generator_messages text[] DEFAULT '{}'
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: fail_generation for each item of a batch. `ord` is the place in the batch.
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT i.*
        FROM unnest(p_user_ids, p_session_ids, p_error_codes, p_error_messages,
                    p_generator_messages) WITH ORDINALITY
            AS i (user_id, session_id, error_code, error_message, generator_message, n)
        ORDER BY i.user_id, i.session_id, i.n
    LOOP
        RETURN QUERY
        SELECT item.n::int, f.outcome, f.balance
        FROM fail_generation(
            item.user_id, item.session_id, item.error_code, item.error_message,
            item.generator_message) f;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION fail_generations_across_users(uuid[], uuid[], text[], text[], text[]) IS
    'fail_generation for a batch that spans several users, in ascending order.';
