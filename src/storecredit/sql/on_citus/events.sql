-- Events on a node of a Citus cluster: one after the other, as Citus cannot plan a statement that asks of
-- each row of an array whether anybody listens to it.

CREATE OR REPLACE FUNCTION tell(
    p_types text[], p_account_ids bigint[], p_datas json[], p_but uuid DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose, locks: as of the function of this name in functions/events.sql.
DECLARE
    v_heard text[];
    v_account_id bigint;
    v_seq bigint;
BEGIN
    FOR n IN 1 .. coalesce(cardinality(p_types), 0) LOOP
        v_heard := ARRAY[p_types[n], '*'];
        v_account_id := p_account_ids[n];
        IF EXISTS (
            SELECT FROM webhook_endpoints e
            WHERE e.account_id IN (0, v_account_id) AND keeps_events(e.disabled_at)
              AND e.endpoint_id IS DISTINCT FROM p_but AND e.event_types && v_heard) THEN
            INSERT INTO events (account_id, type, data) VALUES (v_account_id, p_types[n], p_datas[n])
            RETURNING seq INTO v_seq;
            INSERT INTO deliveries (endpoint_id, seq, status, ended_at, next_attempt_at)
            SELECT e.endpoint_id, v_seq, CASE WHEN e.status = 'enabled' THEN 'pending' ELSE 'failed' END,
                CASE WHEN e.status = 'disabled' THEN now() END,
                CASE WHEN e.status = 'disabled' THEN NULL WHEN e.is_ordered THEN '-infinity' ELSE now() END
            FROM webhook_endpoints e
            WHERE e.account_id IN (0, v_account_id) AND keeps_events(e.disabled_at)
              AND e.endpoint_id IS DISTINCT FROM p_but AND e.event_types && v_heard;
        END IF;
    END LOOP;
END;
$$;
