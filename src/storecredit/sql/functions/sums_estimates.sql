-- What else is made in a pass of the sums: when stores run dry, and the money of each day.

CREATE OR REPLACE FUNCTION estimate_dry_runs(p_account_ids bigint[])
RETURNS int
LANGUAGE plpgsql
AS $$
-- Purpose: estimate when these accounts run dry at the pace of the last seven days (ledger/pace.py), where
--   that is due: the sooner it is, the more often. An estimate serves to find who may run dry; the days
--   that are shown are worked out anew. Locks: the caller keeps others from it. Returns: how many were made.
DECLARE
    -- A search by halves each: not so many that a pass takes long.
    c_most CONSTANT int := 200;
    c_soon CONSTANT numeric := 90;
    v_count int;
BEGIN
    WITH due AS (
        SELECT s.account_id
        FROM (SELECT DISTINCT x.account_id FROM unnest(p_account_ids) x (account_id)) i
        JOIN summed_accounts s USING (account_id)
        JOIN accounts a USING (account_id)
        WHERE a.owner_kind = 'store' AND s.seq > 0 AND (s.estimated_at IS NULL OR now() > s.estimated_at
            + least((s.runs_dry_at - s.estimated_at) / 16, interval '10 minutes'))
        ORDER BY s.estimated_at NULLS FIRST LIMIT c_most
    ), found AS (
        SELECT d.account_id, m.balance_after AS balance,
            spent_since(d.account_id, now() - interval '7 days') AS spent
        FROM due d
        CROSS JOIN LATERAL (
            SELECT n.balance_after FROM movements n WHERE n.account_id = d.account_id
            ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m
    )
    UPDATE summed_accounts s
    SET estimated_at = now(),
        runs_dry_at = CASE WHEN f.balance > 0 AND f.spent > 0 AND f.balance * 7::numeric < c_soon * f.spent
            THEN now() + (f.balance * 7::float8 / f.spent) * interval '1 day' END
    FROM found f WHERE s.account_id = f.account_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION estimate_dry_runs(bigint[]) IS
    'Estimates when stores among these accounts run dry, where that is due. Returns how many were made.';

CREATE OR REPLACE FUNCTION money_by_day(p_from date)
RETURNS TABLE (day date, currency text, paid numeric, returned numeric)
LANGUAGE sql STABLE
AS $$
-- Purpose: what was paid, and what went back, on each day (UTC) from p_from on, by currency.
    SELECT (x.created_at AT TIME ZONE 'UTC')::date, x.currency,
        coalesce(sum(x.amount) FILTER (WHERE NOT x.is_returned), 0),
        coalesce(sum(x.amount) FILTER (WHERE x.is_returned), 0)
    FROM (
        SELECT p.created_at, p.currency, p.amount, false AS is_returned FROM payments p
        WHERE p.created_at >= p_from::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT c.created_at, p.currency, c.amount, true
        FROM clawbacks c JOIN payments p USING (provider, provider_transaction_id)
        WHERE c.created_at >= p_from::timestamp AT TIME ZONE 'UTC'
    ) x
    GROUP BY 1, 2;
$$;
COMMENT ON FUNCTION money_by_day(date) IS
    'What was paid, and what went back, on each day from one on, by currency.';

CREATE OR REPLACE FUNCTION sum_money(p_last timestamptz)
RETURNS int
LANGUAGE plpgsql
AS $$
-- Purpose: make daily_money anew for the days from the one before p_last on, when it was last made; null:
--   for all. A payment is booked on the day on which its transaction began: none is under way for a day.
-- Locks: the caller keeps others from it. Idempotent. Returns: how many rows were changed.
DECLARE
    v_from date := CASE WHEN p_last IS NULL THEN '-infinity'
        ELSE (least(p_last, now()) AT TIME ZONE 'UTC')::date - 1 END;
    v_count int;
BEGIN
    DELETE FROM daily_money d
    WHERE d.day >= v_from AND NOT EXISTS (
        SELECT FROM money_by_day(v_from) m WHERE m.day = d.day AND m.currency = d.currency);
    INSERT INTO daily_money AS d (day, currency, paid, returned)
    SELECT m.day, m.currency, m.paid, m.returned FROM money_by_day(v_from) m
    ON CONFLICT (day, currency) DO UPDATE SET paid = excluded.paid, returned = excluded.returned
    WHERE d.paid <> excluded.paid OR d.returned <> excluded.returned;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION sum_money(timestamptz) IS
    'Makes the money of recent days anew. Returns how many rows were changed.';
