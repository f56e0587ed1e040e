-- Charges on a node of a Citus cluster: looked at and counted by one statement each, as Citus takes no function that
-- reads tables where a row is changed.

CREATE OR REPLACE FUNCTION begin_subscription_charge(
    p_account_id bigint,
    p_request_id text,
    p_subscription_id text,
    p_attempts int
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose, locks, outcomes: as of the function of this name in functions/billing/subscription_charges.sql.
DECLARE
    v_lock CONSTANT bigint := subscription_charge_lock(p_account_id, p_request_id);
    v_charge record;
BEGIN
    -- As PostgreSQL shows the lock of one bigint: its halves, and objsubid 1.
    IF NOT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid = pg_backend_pid()
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND (l.classid::bigint << 32 | l.objid::bigint) = v_lock) THEN
        RETURN false;
    END IF;
    SELECT b.kind, b.credits INTO v_charge FROM subscription_charges b
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id
      AND b.charged_at IS NULL AND b.dropped_at IS NULL AND b.accepted_at IS NULL
      AND b.attempts = p_attempts
    FOR UPDATE;
    IF NOT FOUND OR (v_charge.kind <> 'overage'
        AND NOT is_top_up_wanted(p_account_id, v_charge.credits)) THEN
        RETURN false;
    END IF;
    UPDATE subscription_charges b
    SET attempts = b.attempts + 1, charge_begun_at = now(),
        provider_subscription_id = p_subscription_id
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id;
    RETURN true;
END;
$$;
