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
    v_endpoint record;
    v_ended_at timestamptz;
    v_next_at timestamptz;
BEGIN
    FOR n IN 1 .. coalesce(cardinality(p_types), 0) LOOP
        v_heard := ARRAY[p_types[n], '*'];
        v_account_id := p_account_ids[n];
        v_seq := NULL;
        -- Not by one statement: Citus 15 makes words of INSERT ... SELECT that PostgreSQL cannot read.
        FOR v_endpoint IN
            SELECT e.endpoint_id, e.status, e.is_ordered FROM webhook_endpoints e
            WHERE e.account_id IN (0, v_account_id) AND keeps_events(e.disabled_at)
              AND e.endpoint_id IS DISTINCT FROM p_but AND e.event_types && v_heard
        LOOP
            IF v_seq IS NULL THEN
                v_seq := next_event();
                INSERT INTO events (seq, account_id, type, data) OVERRIDING SYSTEM VALUE
                VALUES (v_seq, v_account_id, p_types[n], p_datas[n]);
            END IF;
            v_ended_at := CASE WHEN v_endpoint.status = 'disabled' THEN now() END;
            v_next_at := CASE WHEN v_endpoint.status = 'disabled' THEN NULL
                WHEN v_endpoint.is_ordered THEN '-infinity' ELSE now() END;
            INSERT INTO deliveries (endpoint_id, seq, status, ended_at, next_attempt_at)
            VALUES (v_endpoint.endpoint_id, v_seq,
                CASE WHEN v_endpoint.status = 'enabled' THEN 'pending' ELSE 'failed' END,
                v_ended_at, v_next_at);
        END LOOP;
    END LOOP;
END;
$$;
