-- Overage: what an account used beyond its balance, closed once a month and billed once. It is taken
-- and given back as any charge (charges.sql, returns.sql).

CREATE OR REPLACE FUNCTION close_overage(
    p_account_id bigint,
    p_period date,
    p_unit_amount bigint,
    p_currency text,
    p_provider text DEFAULT 'paddle'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: close what an account used beyond its balance into the bill of one month: everything
--   that is not billed yet, at one price per credit. What is given back later is given as credits.
-- Locks: the account. Idempotent by (account, month). Bills follow each other in time: of two
--   bills, that of the later month has the later movement.
-- Outcomes: true: closed now; false: this month or a later one has its bill, or nothing is used.
-- Errors: unknown_account, invalid_overage (not the first of a month, a price below 1 or above
--   what a bill can hold, no currency code).
DECLARE
    v_account record;
    v_request_id text;
    v_seq bigint;
BEGIN
    IF (extract(day FROM p_period) = 1 AND p_unit_amount BETWEEN 1 AND 2147483647
            AND p_currency ~ '^[A-Z]{3}$') IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_overage',
            concat_ws(', ', p_period, p_unit_amount, p_currency));
    END IF;
    v_account := lock_account(p_account_id);
    PERFORM FROM subscription_charges b WHERE b.account_id = p_account_id AND b.period >= p_period;
    IF FOUND OR v_account.overage_used = 0 THEN
        RETURN false;
    END IF;
    v_request_id := 'overage-' || to_char(p_period, 'YYYY-MM');
    v_seq := append_movement(p_account_id, 'overage_bill', v_account.overage_used, v_request_id,
        'Overage of ' || to_char(p_period, 'YYYY-MM'), v_account.grants);
    INSERT INTO subscription_charges
        (account_id, period, seq, credits, amount, currency, request_id, provider)
    VALUES
        (p_account_id, p_period, v_seq, v_account.overage_used,
         v_account.overage_used * p_unit_amount, p_currency, v_request_id, p_provider);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION close_overage(bigint, date, bigint, text, text) IS
    'Closes an account''s unbilled overage into the bill of one month. true: closed now; false: this '
    'month or a later one has its bill, or nothing is used. Errors: SC010 unknown account, SC009 '
    'month, price or currency.';
