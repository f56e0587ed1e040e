-- Top-ups on a node of a Citus cluster: looked at one after the other, as Citus takes neither the clock nor a function
-- that reads tables where rows are changed.

CREATE OR REPLACE FUNCTION request_top_ups(p_account_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose, locks: as of the function of this name in functions/billing/top_ups.sql.
DECLARE
    v_now timestamptz;
    v_found record;
BEGIN
    FOR v_found IN
        SELECT t.account_id, t.threshold FROM top_ups t
        WHERE t.account_id = ANY (p_account_ids) AND t.status = 'on' AND t.due_at IS NULL
    LOOP
        IF v_found.threshold >= newest_balance(v_found.account_id) THEN
            v_now := clock_timestamp();
            UPDATE top_ups t SET due_at = v_now
            WHERE t.account_id = v_found.account_id AND t.status = 'on' AND t.due_at IS NULL;
        END IF;
    END LOOP;
END;
$$;
