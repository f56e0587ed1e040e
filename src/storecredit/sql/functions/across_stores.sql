-- One round trip and one commit for a batch that spans several stores. Each function loops over
-- its stores in ascending order, so that two batches never wait for each other in a circle, and
-- calls the one-store function; it decides nothing. For a single node: on a cluster sharded by
-- store, call the one-store functions.

CREATE OR REPLACE FUNCTION create_generations_across_stores(
    p_store_ids uuid[],
    p_session_ids uuid[],
    p_request_ids text[],
    p_fingerprints bytea[],
    p_inputs json[],
    p_metadatas json[]
)
RETURNS TABLE (ord int, outcome text, session_id uuid, status text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: create_store_generations for a batch of several stores. `ord` is the place in the batch.
DECLARE
    store record;
BEGIN
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids,
            array_agg(i.request_id ORDER BY i.n) AS request_ids,
            array_agg(i.fingerprint ORDER BY i.n) AS fingerprints,
            array_agg(i.input ORDER BY i.n) AS inputs,
            array_agg(i.metadata ORDER BY i.n) AS metadatas
        FROM unnest(p_store_ids, p_session_ids, p_request_ids, p_fingerprints, p_inputs, p_metadatas)
            WITH ORDINALITY
            AS i (store_id, session_id, request_id, fingerprint, input, metadata, n)
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[c.ord], c.outcome, c.session_id, c.status, c.balance
        FROM create_store_generations(
            store.store_id, store.session_ids, store.request_ids, store.fingerprints,
            store.inputs, store.metadatas) c;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION create_generations_across_stores(uuid[], uuid[], text[], bytea[], json[], json[])
    IS 'create_store_generations for a batch that spans several stores, in ascending store order.';

CREATE OR REPLACE FUNCTION fail_generations_across_stores(
    p_store_ids uuid[],
    p_session_ids uuid[],
    p_error_codes text[],
    p_error_messages text[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: fail_store_generations for a batch of several stores. `ord` is the place in the batch.
DECLARE
    store record;
BEGIN
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids,
            array_agg(i.error_code ORDER BY i.n) AS error_codes,
            array_agg(i.error_message ORDER BY i.n) AS error_messages
        FROM unnest(p_store_ids, p_session_ids, p_error_codes, p_error_messages)
            WITH ORDINALITY AS i (store_id, session_id, error_code, error_message, n)
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[f.ord], f.outcome, f.balance
        FROM fail_store_generations(
            store.store_id, store.session_ids, store.error_codes, store.error_messages) f;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION fail_generations_across_stores(uuid[], uuid[], text[], text[]) IS
    'fail_store_generations for a batch that spans several stores, in ascending store order.';

CREATE OR REPLACE FUNCTION start_generations_across_stores(p_store_ids uuid[], p_session_ids uuid[])
RETURNS TABLE (
    ord int, outcome text, attempts int, request_id text, created_at timestamptz, input json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: start_store_generations for a batch of several stores. `ord` is the place in the batch.
DECLARE
    store record;
BEGIN
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids
        FROM unnest(p_store_ids, p_session_ids) WITH ORDINALITY AS i (store_id, session_id, n)
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[s.ord], s.outcome, s.attempts, s.request_id, s.created_at, s.input
        FROM start_store_generations(store.store_id, store.session_ids) s;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION start_generations_across_stores(uuid[], uuid[]) IS
    'start_store_generations for a batch that spans several stores, in ascending store order.';

CREATE OR REPLACE FUNCTION complete_generations_across_stores(
    p_store_ids uuid[],
    p_session_ids uuid[],
    p_result_keys text[]
)
RETURNS TABLE (ord int, outcome text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: complete_store_generations for a batch of several stores. `ord` is the place in the
-- batch.
DECLARE
    store record;
BEGIN
    FOR store IN
        SELECT i.store_id, array_agg(i.n::int ORDER BY i.n) AS ords,
            array_agg(i.session_id ORDER BY i.n) AS session_ids,
            array_agg(i.result_key ORDER BY i.n) AS result_keys
        FROM unnest(p_store_ids, p_session_ids, p_result_keys)
            WITH ORDINALITY AS i (store_id, session_id, result_key, n)
        GROUP BY i.store_id
        ORDER BY i.store_id
    LOOP
        RETURN QUERY
        SELECT store.ords[c.ord], c.outcome
        FROM complete_store_generations(
            store.store_id, store.session_ids, store.result_keys) c;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION complete_generations_across_stores(uuid[], uuid[], text[]) IS
    'complete_store_generations for a batch that spans several stores, in ascending store order.';
