-- Estimates on a node of a Citus cluster: written one after the other, as Citus takes no arithmetic with
-- moments where a row is changed.

CREATE OR REPLACE FUNCTION estimate_dry_runs(p_account_ids bigint[])
RETURNS int
LANGUAGE plpgsql
AS $$
-- Purpose, locks, returns: as of the function of this name in functions/sums_estimates.sql.
DECLARE
    v_now CONSTANT timestamptz := now();
    v_week_ago CONSTANT timestamptz := v_now - interval '7 days';
    v_found record;
    v_count int := 0;
BEGIN
    FOR v_found IN
        SELECT s.account_id, (
                SELECT n.balance_after FROM movements n WHERE n.account_id = s.account_id
                ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) AS balance
        FROM summed_accounts s JOIN accounts a USING (account_id)
        WHERE s.account_id = ANY (p_account_ids) AND a.owner_kind = 'store' AND s.seq > 0
          AND (s.estimated_at IS NULL OR v_now > s.estimated_at
            + least((s.runs_dry_at - s.estimated_at) / 16, interval '10 minutes'))
        ORDER BY s.estimated_at NULLS FIRST LIMIT 200
    LOOP
        PERFORM write_estimate(v_found.account_id, v_found.balance,
            spent_since(v_found.account_id, v_week_ago));
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END;
$$;

CREATE OR REPLACE FUNCTION write_estimate(p_account_id bigint, p_balance bigint, p_spent numeric)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: write when an account runs dry that has spent p_spent in seven days.
DECLARE
    v_now CONSTANT timestamptz := now();
    v_runs_dry_at timestamptz;
BEGIN
    IF p_balance > 0 AND p_spent > 0 AND p_balance * 7::numeric < 90 * p_spent THEN
        v_runs_dry_at := v_now + (p_balance * 7::float8 / p_spent) * interval '1 day';
    END IF;
    UPDATE summed_accounts s SET estimated_at = v_now, runs_dry_at = v_runs_dry_at
    WHERE s.account_id = p_account_id;
END;
$$;
