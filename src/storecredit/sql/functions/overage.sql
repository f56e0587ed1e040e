-- Overage: what a store used beyond its balance, closed once a month and billed once.
--
-- It is taken and given back in ledger.sql, where the balance decides. Here are its limit, which
-- the operator sets, and the bills.

CREATE OR REPLACE FUNCTION set_store_overage_limit(p_store_id uuid, p_overage_limit bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: how many credits a store may use beyond its balance until they are billed; 0: none.
--   A limit below what is used already takes nothing back: the next request is refused.
-- Locks: the store's credit row, so that every request sees either the old limit or the new one.
-- Idempotent. Outcomes: true: the limit stands; false: there is no such store.
-- Errors: invalid_overage (below 0, or more than a ledger row can hold when it is billed).
BEGIN
    IF (p_overage_limit BETWEEN 0 AND 2147483647) IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_overage', coalesce(p_overage_limit::text, 'null'));
    END IF;
    UPDATE store_credits c SET overage_limit = p_overage_limit WHERE c.store_id = p_store_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION set_store_overage_limit(uuid, bigint) IS
    'Sets how many credits a store may use beyond its balance until they are billed; 0: none. '
    'true: set; false: no such store. Errors: SC009 no such limit.';

CREATE OR REPLACE FUNCTION close_store_overage(
    p_store_id uuid,
    p_period date,
    p_unit_amount bigint,
    p_currency text
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: close what a store used beyond its balance into the bill of one month: everything that
--   is not billed yet, at one price per credit. What is given back later is given as credits.
-- Locks: the store's credit row. Idempotent by (store, month). Bills follow each other in time: of
--   two bills, that of the later month has the later ledger row.
-- Outcomes: true: closed now; false: this month or a later one has its bill, or nothing is used.
-- Errors: unknown_store, invalid_overage (not the first of a month, a price below 1 or above what
--   a bill can hold, no currency code).
DECLARE
    v_balance bigint;
    v_used bigint;
    v_seq bigint;
    v_month text;
BEGIN
    IF (extract(day FROM p_period) = 1 AND p_unit_amount BETWEEN 1 AND 2147483647
            AND p_currency ~ '^[A-Z]{3}$') IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_overage',
            concat_ws(', ', p_period, p_unit_amount, p_currency));
    END IF;
    v_month := to_char(p_period, 'YYYY-MM');

    SELECT c.balance, c.overage_used, c.last_seq INTO v_balance, v_used, v_seq
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;
    PERFORM FROM store_overage_bills b WHERE b.store_id = p_store_id AND b.period >= p_period;
    IF FOUND OR v_used = 0 THEN
        RETURN false;
    END IF;

    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    VALUES (p_store_id, v_seq + 1, 'overage_bill', v_used, v_balance, 'overage-' || v_month,
        'Overage of ' || v_month);
    INSERT INTO store_overage_bills
        (store_id, period, seq, credits, amount, currency, request_id)
    VALUES (p_store_id, p_period, v_seq + 1, v_used, v_used * p_unit_amount, p_currency,
        'overage-' || v_month);
    UPDATE store_credits c SET overage_used = 0, last_seq = v_seq + 1
    WHERE c.store_id = p_store_id;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION close_store_overage(uuid, date, bigint, text) IS
    'Closes a store''s unbilled overage into the bill of one month. true: closed now; false: this '
    'month or a later one has its bill, or nothing is used. Errors: SC001 unknown store, SC009 '
    'month, price or currency.';
