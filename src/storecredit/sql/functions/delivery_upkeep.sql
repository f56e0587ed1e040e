-- Deliveries as a whole: which endpoints have any, for how long they have been due, and what is ended or
-- forgotten. There may be thousands of endpoints of which most wait for the next attempt, so each of these
-- passes over an endpoint by one look into an index.

CREATE OR REPLACE FUNCTION endpoints_with_pending(p_after uuid)
RETURNS TABLE (endpoint_id uuid, next_attempt_at timestamptz, seq bigint)
LANGUAGE sql STABLE
AS $$
-- Purpose: the endpoints that something is to be delivered to, by their ids, from the one after p_after
--   on, each with the delivery that is due first; read one by one, as far as the caller wants. Locks: none.
    WITH RECURSIVE pending AS (
        (SELECT d.endpoint_id, d.next_attempt_at, d.seq FROM deliveries d
         WHERE d.next_attempt_at IS NOT NULL AND d.endpoint_id > p_after
         ORDER BY d.endpoint_id, d.next_attempt_at, d.seq LIMIT 1)
        UNION ALL
        SELECT n.endpoint_id, n.next_attempt_at, n.seq FROM pending p CROSS JOIN LATERAL (
            SELECT d.endpoint_id, d.next_attempt_at, d.seq FROM deliveries d
            WHERE d.next_attempt_at IS NOT NULL AND d.endpoint_id > p.endpoint_id
            ORDER BY d.endpoint_id, d.next_attempt_at, d.seq LIMIT 1) n)
    SELECT p.endpoint_id, p.next_attempt_at, p.seq FROM pending p;
$$;
COMMENT ON FUNCTION endpoints_with_pending(uuid) IS
    'The endpoints that something is to be delivered to, each with the delivery that is due first.';

CREATE OR REPLACE FUNCTION end_undeliverable(p_limit int)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: end, as failed, what is still to be delivered to endpoints that are disabled or deleted; of
--   each p_limit at most. Locks: those deliveries; what is locked is passed over. Idempotent.
-- Returns: how many were ended.
DECLARE
    v_endpoint_id uuid;
    v_rows tid[];
    v_count bigint := 0;
BEGIN
    FOR v_endpoint_id IN
        SELECT p.endpoint_id FROM endpoints_with_pending('00000000-0000-0000-0000-000000000000') p
        WHERE NOT EXISTS (SELECT FROM webhook_endpoints e
            WHERE e.endpoint_id = p.endpoint_id AND e.status = 'enabled')
    LOOP
        v_rows := ARRAY(
            SELECT d.ctid FROM deliveries d
            WHERE d.endpoint_id = v_endpoint_id AND d.next_attempt_at IS NOT NULL
            ORDER BY d.endpoint_id, d.next_attempt_at, d.seq LIMIT p_limit
            FOR NO KEY UPDATE SKIP LOCKED);
        UPDATE deliveries d SET status = 'failed', ended_at = now(), next_attempt_at = NULL
        WHERE d.ctid = ANY (v_rows);
        v_count := v_count + cardinality(v_rows);
    END LOOP;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION end_undeliverable(int) IS
    'Ends what is still to be delivered to endpoints that are disabled or deleted. Returns how many.';

CREATE OR REPLACE FUNCTION delivery_lag()
RETURNS interval
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: for how long the delivery that has waited longest has been due. Locks: none.
-- Returns: 0: none is due.
BEGIN
    RETURN (
        SELECT coalesce(max(greatest(interval '0', now() - CASE
            -- Due at once: those of an ordered one, and one that was asked while it was one.
            WHEN p.next_attempt_at = '-infinity' THEN greatest(v.created_at, e.resumes_at) ELSE p.next_attempt_at END)), '0')
        FROM endpoints_with_pending('00000000-0000-0000-0000-000000000000') p
        CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints x
            WHERE x.endpoint_id = p.endpoint_id LIMIT 1) e
        CROSS JOIN LATERAL (SELECT x.created_at FROM events x WHERE x.seq = p.seq LIMIT 1) v
        WHERE e.status = 'enabled');
END;
$$;
COMMENT ON FUNCTION delivery_lag() IS
    'For how long the delivery that has waited longest has been due; 0: none is.';

CREATE OR REPLACE FUNCTION forget_events(
    p_limit int, p_after bigint DEFAULT 0, p_age interval DEFAULT '30 days',
    OUT forgotten bigint, OUT last_seq bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: forget events that are older than p_age, with their deliveries that ended as long ago and the
--   attempts at those; looked at are the oldest beyond the seq p_after, p_limit at most. An event stays
--   for as long as a delivery of it does. Locks: what it deletes. Idempotent.
-- Returns: how many events were forgotten, and the seq after which to go on (null: none is so old).
DECLARE
    v_endpoint_id uuid;
    v_seqs bigint[];
    v_kept bigint[] := '{}';
BEGIN
    SELECT max(e.seq) INTO last_seq
    FROM (SELECT x.seq, x.created_at FROM events x WHERE x.seq > p_after
          ORDER BY x.seq LIMIT p_limit) e
    WHERE e.created_at < now() - p_age;
    IF last_seq IS NULL THEN
        forgotten := 0;
        RETURN;
    END IF;
    FOR v_endpoint_id IN
        SELECT t.endpoint_id FROM endpoints_told() t
        CROSS JOIN LATERAL (SELECT d.seq FROM deliveries d
            WHERE d.endpoint_id = t.endpoint_id AND d.seq > p_after
            ORDER BY d.endpoint_id, d.seq LIMIT 1) d
        WHERE d.seq <= last_seq
    LOOP
        v_seqs := ARRAY(
            SELECT d.seq FROM deliveries d
            WHERE d.endpoint_id = v_endpoint_id AND d.seq > p_after AND d.seq <= last_seq
              AND d.ended_at < now() - p_age
            ORDER BY d.endpoint_id, d.seq FOR UPDATE SKIP LOCKED);
        DELETE FROM delivery_attempts a WHERE a.endpoint_id = v_endpoint_id AND a.seq = ANY (v_seqs);
        DELETE FROM deliveries d WHERE d.endpoint_id = v_endpoint_id AND d.seq = ANY (v_seqs);
        v_kept := v_kept || ARRAY(
            SELECT d.seq FROM deliveries d
            WHERE d.endpoint_id = v_endpoint_id AND d.seq > p_after AND d.seq <= last_seq);
    END LOOP;
    DELETE FROM events e
    WHERE e.seq > p_after AND e.seq <= last_seq AND e.seq NOT IN (SELECT unnest(v_kept));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
END;
$$;
COMMENT ON FUNCTION forget_events(int, bigint, interval) IS
    'Forgets old events, with their deliveries and the attempts at those. Returns how many, and after '
    'which to go on.';

CREATE OR REPLACE FUNCTION endpoints_told()
RETURNS TABLE (endpoint_id uuid)
LANGUAGE sql STABLE
AS $$
-- Purpose: the endpoints of which deliveries are known, pending or ended, of those that were deleted, too.
-- Locks: none.
    WITH RECURSIVE told AS (
        (SELECT d.endpoint_id FROM deliveries d ORDER BY d.endpoint_id, d.seq LIMIT 1)
        UNION ALL
        SELECT n.endpoint_id FROM told t CROSS JOIN LATERAL (
            SELECT d.endpoint_id FROM deliveries d WHERE d.endpoint_id > t.endpoint_id
            ORDER BY d.endpoint_id, d.seq LIMIT 1) n)
    SELECT t.endpoint_id FROM told t;
$$;
COMMENT ON FUNCTION endpoints_told() IS
    'The endpoints of which deliveries are known.';
