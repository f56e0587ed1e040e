-- One round trip and one commit for a batch that spans several stores, for a single node: on a
-- cluster sharded by store, call the one-store functions.
--
-- What is plain is written for all stores together (plain_batches.sql). A store with anything else
-- in the batch (a replay, too few credits, overage, a session that has ended) is left to the
-- one-store functions; they come after, in ascending order.

CREATE OR REPLACE FUNCTION deduct_credits_across_stores(
    p_store_ids uuid[],
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[],
    p_session_ids uuid[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: deduct_store_credits_many for a batch of several stores. `ord` is the place in the batch.
DECLARE
    v_balances bigint[] := settle_plain_deductions(
        p_store_ids, p_amounts, p_request_ids, p_descriptions, p_session_ids, NULL, NULL, NULL);
    store record;
BEGIN
    RETURN QUERY
    SELECT b.n::int, 'deducted', b.balance
    FROM unnest(v_balances) WITH ORDINALITY AS b (balance, n)
    WHERE b.balance IS NOT NULL;
    IF array_position(v_balances, NULL) IS NULL THEN
        RETURN;
    END IF;
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.amount ORDER BY i.n) AS amounts,
            array_agg(i.request_id ORDER BY i.n) AS request_ids,
            array_agg(i.description ORDER BY i.n) AS descriptions,
            array_agg(i.session_id ORDER BY i.n) AS session_ids
        FROM unnest(p_store_ids, p_amounts, p_request_ids, p_descriptions, p_session_ids, v_balances)
            WITH ORDINALITY
            AS i (store_id, amount, request_id, description, session_id, balance, n)
        WHERE i.balance IS NULL
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[d.ord], d.outcome, d.balance
        FROM deduct_store_credits_many(store.store_id, store.amounts, store.request_ids,
            store.descriptions, store.session_ids) d;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION deduct_credits_across_stores(uuid[], int[], text[], text[], uuid[]) IS
    'deduct_store_credits_many for a batch that spans several stores.';

CREATE OR REPLACE FUNCTION create_generations_across_stores(
    p_store_ids uuid[],
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
-- Purpose: create_store_generations for a batch of several stores. `ord` is the place in the batch.
DECLARE
    v_balances bigint[] := settle_plain_deductions(
        p_store_ids, array_fill(1, ARRAY[cardinality(p_store_ids)]), p_request_ids,
        array_fill('Image generation'::text, ARRAY[cardinality(p_store_ids)]), p_session_ids,
        p_fingerprints, p_inputs, p_metadatas);
    store record;
BEGIN
    RETURN QUERY
    SELECT b.n::int, 'created', b.session_id, 'queued', b.balance, 'balance'
    FROM unnest(v_balances, p_session_ids) WITH ORDINALITY AS b (balance, session_id, n)
    WHERE b.balance IS NOT NULL;
    IF array_position(v_balances, NULL) IS NULL THEN
        RETURN;
    END IF;
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids,
            array_agg(i.request_id ORDER BY i.n) AS request_ids,
            array_agg(i.fingerprint ORDER BY i.n) AS fingerprints,
            array_agg(i.input ORDER BY i.n) AS inputs,
            array_agg(i.metadata ORDER BY i.n) AS metadatas
        FROM unnest(p_store_ids, p_session_ids, p_request_ids, p_fingerprints, p_inputs,
                    p_metadatas, v_balances) WITH ORDINALITY
            AS i (store_id, session_id, request_id, fingerprint, input, metadata, balance, n)
        WHERE i.balance IS NULL
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[c.ord], c.outcome, c.session_id, c.status, c.balance, c.charged_as
        FROM create_store_generations(
            store.store_id, store.session_ids, store.request_ids, store.fingerprints,
            store.inputs, store.metadatas) c;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION create_generations_across_stores(uuid[], uuid[], text[], bytea[], json[], json[])
    IS 'create_store_generations for a batch that spans several stores.';

CREATE OR REPLACE FUNCTION fail_generations_across_stores(
    p_store_ids uuid[],
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
-- Purpose: fail_store_generations for a batch of several stores. `ord` is the place in the batch.
DECLARE
    v_balances bigint[] := settle_plain_failures(
        p_store_ids, p_session_ids, p_error_codes, p_error_messages, p_generator_messages);
    store record;
BEGIN
    RETURN QUERY
    SELECT b.n::int, 'failed', b.balance
    FROM unnest(v_balances) WITH ORDINALITY AS b (balance, n)
    WHERE b.balance IS NOT NULL;
    IF array_position(v_balances, NULL) IS NULL THEN
        RETURN;
    END IF;
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids,
            array_agg(i.error_code ORDER BY i.n) AS error_codes,
            array_agg(i.error_message ORDER BY i.n) AS error_messages,
            array_agg(i.generator_message ORDER BY i.n) AS generator_messages
        FROM unnest(p_store_ids, p_session_ids, p_error_codes, p_error_messages,
                    p_generator_messages, v_balances) WITH ORDINALITY
            AS i (store_id, session_id, error_code, error_message, generator_message, balance, n)
        WHERE i.balance IS NULL
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[f.ord], f.outcome, f.balance
        FROM fail_store_generations(
            store.store_id, store.session_ids, store.error_codes, store.error_messages,
            store.generator_messages) f;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION fail_generations_across_stores(uuid[], uuid[], text[], text[], text[]) IS
    'fail_store_generations for a batch that spans several stores.';

CREATE OR REPLACE FUNCTION start_generations_across_stores(p_store_ids uuid[], p_session_ids uuid[])
RETURNS TABLE (
    ord int, outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: start_store_generations for a batch of several stores, set-based: nothing is decided
--   here from more than the session's own row. `ord` is the place in the batch.
DECLARE
    v_ctids tid[] := lock_sessions_across_stores(p_store_ids, p_session_ids);
BEGIN
    UPDATE store_generation_sessions s
    SET status = 'processing', attempts = s.attempts + 1,
        started_at = coalesce(s.started_at, now())
    WHERE s.ctid = ANY (v_ctids) AND s.status IN ('queued', 'processing');

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'processing' THEN 'started'
            WHEN 'completed' THEN 'already_completed'
            WHEN 'failed' THEN 'already_failed'
            ELSE 'not_found' END,
        s.attempts, s.request_id, s.created_at, s.input
    FROM unnest(p_store_ids, p_session_ids) WITH ORDINALITY AS i (store_id, session_id, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.attempts, k.request_id, k.created_at, k.input
        FROM store_generation_sessions k
        WHERE k.store_id = i.store_id AND k.session_id = i.session_id
        LIMIT 1) s ON true;
END;
$$;
COMMENT ON FUNCTION start_generations_across_stores(uuid[], uuid[]) IS
    'start_store_generations for a batch that spans several stores.';

CREATE OR REPLACE FUNCTION complete_generations_across_stores(
    p_store_ids uuid[],
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
-- Purpose: complete_store_generations for a batch of several stores, set-based. Of several results
--   for one session the first in the batch stands. `ord` is the place in the batch.
DECLARE
    v_ctids tid[] := lock_sessions_across_stores(p_store_ids, p_session_ids);
BEGIN
    UPDATE store_generation_sessions s
    SET status = 'completed', completed_at = now(), input = NULL, result_key = i.result_key
    FROM (SELECT DISTINCT ON (u.row_id) u.row_id, u.result_key
          FROM unnest(v_ctids, p_result_keys) WITH ORDINALITY AS u (row_id, result_key, n)
          ORDER BY u.row_id, u.n) i
    WHERE s.ctid = i.row_id AND s.status = 'processing';

    RETURN QUERY
    SELECT i.n::int,
        CASE s.status
            WHEN 'completed' THEN CASE WHEN s.result_key = i.result_key
                THEN 'completed' ELSE 'already_completed' END
            WHEN 'failed' THEN 'already_failed'
            WHEN 'queued' THEN 'not_started'
            ELSE 'not_found' END
    FROM unnest(p_store_ids, p_session_ids, p_result_keys) WITH ORDINALITY
        AS i (store_id, session_id, result_key, n)
    LEFT JOIN LATERAL (
        SELECT k.status, k.result_key FROM store_generation_sessions k
        WHERE k.store_id = i.store_id AND k.session_id = i.session_id
        LIMIT 1) s ON true;
END;
$$;
COMMENT ON FUNCTION complete_generations_across_stores(uuid[], uuid[], text[]) IS
    'complete_store_generations for a batch that spans several stores.';
