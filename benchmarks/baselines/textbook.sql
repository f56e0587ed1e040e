-- What one would write first, and what is commonly shown: a row with the balance, which is locked,
-- looked at and changed, and a row for each transaction; one call per request, one transaction per
-- call. A request id is used once here, too: by the unique key, not by a look-up. Less than ours: no
-- answer to a request that comes again, no overage, no arrays.
CREATE SCHEMA IF NOT EXISTS textbook;

CREATE TABLE IF NOT EXISTS textbook.store_credits (
    store_id uuid PRIMARY KEY,
    balance bigint NOT NULL CONSTRAINT balance_not_negative CHECK (balance >= 0),
    total_purchased bigint NOT NULL CHECK (total_purchased >= 0),
    total_spent bigint NOT NULL DEFAULT 0 CHECK (total_spent >= 0),
    last_seq bigint NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    CONSTRAINT balance_follows_from_totals CHECK (balance = total_purchased - total_spent)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS textbook.store_credit_transactions (
    store_id uuid NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    balance_after bigint NOT NULL CHECK (balance_after >= 0),
    type text NOT NULL,
    request_id text NOT NULL,
    description text NOT NULL DEFAULT '',
    PRIMARY KEY (store_id, seq),
    UNIQUE (store_id, request_id, type)
);

CREATE OR REPLACE FUNCTION textbook.deduct(p_store_id uuid, p_amount int, p_request_id text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    v_balance bigint;
    v_seq bigint;
BEGIN
    SELECT balance, last_seq INTO v_balance, v_seq
    FROM textbook.store_credits WHERE store_id = p_store_id FOR UPDATE;
    IF v_balance < p_amount THEN
        RETURN false;
    END IF;
    UPDATE textbook.store_credits
    SET balance = balance - p_amount, total_spent = total_spent + p_amount, last_seq = v_seq + 1
    WHERE store_id = p_store_id;
    INSERT INTO textbook.store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    VALUES
        (p_store_id, v_seq + 1, 'deduction', p_amount, v_balance - p_amount, p_request_id,
         'Credits deducted');
    RETURN true;
END;
$$;
