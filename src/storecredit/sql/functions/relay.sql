-- The relay: how the operator's endpoints, which stand in the first bucket, hear of what happens in others.
--
-- Each other bucket has one endpoint of the operator's that stands for all of them, whose id is zero: what it
-- is told, in the transaction in which it happens, a worker brings to the first bucket, in that order. There
-- it is told to the operator's endpoints as if it had happened there. Nothing is sent to this endpoint: to
-- whoever delivers, endpoints begin after zero.

CREATE OR REPLACE FUNCTION operator_hears()
RETURNS text[]
LANGUAGE sql STABLE
AS $$
-- Purpose: the types of event that any endpoint of the operator's hears, in the first bucket; null: there
--   is none. Locks: none.
    SELECT CASE WHEN '*' = ANY (array_agg(t.type)) THEN '{*}'
        ELSE array_agg(DISTINCT t.type ORDER BY t.type) END
    FROM webhook_endpoints e CROSS JOIN LATERAL unnest(e.event_types) AS t (type)
    WHERE e.account_id = 0 AND keeps_events(e.disabled_at);
$$;
COMMENT ON FUNCTION operator_hears() IS
    'The types of event that any endpoint of the operator''s hears; null: there is none.';

CREATE OR REPLACE FUNCTION set_relay(p_event_types text[])
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: have events of these types be written for the relay of this bucket from now on; null: none.
-- Locks: the relay's endpoint. Idempotent. Returns: whether there is a relay now.
BEGIN
    IF p_event_types IS NULL THEN
        DELETE FROM webhook_endpoints e
        WHERE e.endpoint_id = '00000000-0000-0000-0000-000000000000';
        RETURN false;
    END IF;
    INSERT INTO webhook_endpoints AS e (endpoint_id, account_id, url, event_types, is_ordered)
    VALUES ('00000000-0000-0000-0000-000000000000', 0, 'the first bucket', p_event_types, true)
    ON CONFLICT (endpoint_id) DO UPDATE
    SET event_types = EXCLUDED.event_types, updated_at = now()
    WHERE e.event_types <> EXCLUDED.event_types;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION set_relay(text[]) IS
    'Has events of these types be written for the relay of this bucket; null: none. Idempotent.';

CREATE OR REPLACE FUNCTION take_relayed(p_limit int, p_lease interval)
RETURNS TABLE (
    seq bigint, event_id uuid, type text, happened_at timestamptz, data json, owner_kind text,
    owner_id uuid)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: lease the relay, with the events that are to be brought to the first bucket next, in their
--   order. Locks: the relay's endpoint; if it is locked, or leased, nothing is returned.
DECLARE
    c_relay CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    IF NOT EXISTS (SELECT FROM deliveries d
            WHERE d.endpoint_id = c_relay AND d.next_attempt_at IS NOT NULL) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.seq, v.event_id, v.type, v.created_at, v.data, a.owner_kind, a.owner_id
    FROM unnest(lease_endpoint(c_relay, p_limit, p_lease)) WITH ORDINALITY AS t (seq, n)
    CROSS JOIN LATERAL (SELECT * FROM events x WHERE x.seq = t.seq LIMIT 1) v
    LEFT JOIN LATERAL (SELECT * FROM accounts x WHERE x.account_id = v.account_id LIMIT 1) a ON true
    ORDER BY t.n;
END;
$$;
COMMENT ON FUNCTION take_relayed(int, interval) IS
    'Leases the relay with the events that are to be brought to the first bucket next.';

CREATE OR REPLACE FUNCTION end_relayed(p_seqs bigint[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: these events are in the first bucket; the lease is over. Locks: the relay's endpoint.
--   Idempotent.
BEGIN
    UPDATE webhook_endpoints e SET resumes_at = NULL
    WHERE e.endpoint_id = '00000000-0000-0000-0000-000000000000';
    DELETE FROM deliveries d
    WHERE d.endpoint_id = '00000000-0000-0000-0000-000000000000' AND d.seq = ANY (p_seqs);
END;
$$;
COMMENT ON FUNCTION end_relayed(bigint[]) IS
    'These events are in the first bucket, and the relay''s lease is over. Idempotent.';

CREATE OR REPLACE FUNCTION relay_events(
    p_event_ids uuid[], p_types text[], p_happened_at timestamptz[], p_datas json[],
    p_owner_kinds text[], p_owner_ids uuid[]
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: tell the operator's endpoints, which are in this bucket, of events of another one, in this
--   order; as tell() does. Locks: none. Idempotent by event. Returns: how many were new and are heard.
DECLARE
    v_count bigint;
BEGIN
    WITH told AS (
        INSERT INTO events (event_id, type, happened_at, data, owner_kind, owner_id)
        SELECT t.event_id, t.type, t.happened_at, t.data, t.owner_kind, t.owner_id
        FROM unnest(p_event_ids, p_types, p_happened_at, p_datas, p_owner_kinds, p_owner_ids)
            WITH ORDINALITY AS t (event_id, type, happened_at, data, owner_kind, owner_id, n)
        WHERE EXISTS (
            SELECT FROM webhook_endpoints w
            WHERE w.account_id = 0 AND keeps_events(w.disabled_at)
              AND w.event_types && ARRAY[t.type, '*'])
        ORDER BY t.n
        ON CONFLICT (event_id) DO NOTHING
        RETURNING seq, type
    ), delivered AS (
        INSERT INTO deliveries (endpoint_id, seq, status, ended_at, next_attempt_at)
        SELECT w.endpoint_id, t.seq, CASE w.status WHEN 'enabled' THEN 'pending' ELSE 'failed' END,
            CASE w.status WHEN 'disabled' THEN now() END,
            CASE WHEN w.status = 'disabled' THEN NULL WHEN w.is_ordered THEN '-infinity' ELSE now() END
        FROM told t CROSS JOIN LATERAL (
            SELECT e.endpoint_id, e.status, e.is_ordered FROM webhook_endpoints e
            WHERE e.account_id = 0 AND keeps_events(e.disabled_at)
              AND e.event_types && ARRAY[t.type, '*']) w
    )
    SELECT count(*) INTO v_count FROM told;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION relay_events(uuid[], text[], timestamptz[], json[], text[], uuid[]) IS
    'Tells the operator''s endpoints of events of another bucket. Idempotent by event.';
