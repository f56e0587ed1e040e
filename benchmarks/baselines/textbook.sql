-- What one would write first, and what is commonly shown: lock the row, look at the balance, change
-- it, write the ledger row; one call per request, one transaction per call. The same two tables with
-- the same constraints and indexes as ours, so a request id is used once here, too (by the ledger's
-- unique key, not by a look-up). Less than ours: no answer to a request that comes again, no
-- overage, no arrays.
CREATE OR REPLACE FUNCTION textbook_deduct(p_store_id uuid, p_amount int, p_request_id text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    v_balance bigint;
    v_seq bigint;
BEGIN
    SELECT balance, last_seq INTO v_balance, v_seq
    FROM store_credits WHERE store_id = p_store_id FOR UPDATE;
    IF v_balance < p_amount THEN
        RETURN false;
    END IF;
    UPDATE store_credits
    SET balance = balance - p_amount, total_spent = total_spent + p_amount, last_seq = v_seq + 1
    WHERE store_id = p_store_id;
    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    VALUES
        (p_store_id, v_seq + 1, 'deduction', p_amount, v_balance - p_amount, p_request_id,
         'Credits deducted');
    RETURN true;
END;
$$;
