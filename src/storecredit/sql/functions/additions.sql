-- Credits that come into a store from outside, and credits taken back when their payment is given
-- back. Here too: whoever holds the credit row's lock is the only writer of that store's ledger.

CREATE OR REPLACE FUNCTION add_store_credits(
    p_store_id uuid,
    p_amount int,
    p_type text,
    p_request_id text,
    p_description text DEFAULT 'Credits added'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: add credits to a store: a purchase, a subscription's period, or a grant.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: true: added now; false: this request had added the same.
-- Errors: unknown_store, invalid_amount, invalid_type, invalid_request_id,
--   request_conflict (this request had added another amount, or as another type).
DECLARE
    v_balance bigint;
    v_seq bigint;
    v_before record;
BEGIN
    IF p_amount IS NULL OR p_amount < 1 THEN
        PERFORM raise_credit_error('invalid_amount', coalesce(p_amount::text, 'null'));
    ELSIF p_type IS NULL OR p_type NOT IN ('purchase', 'subscription', 'grant') THEN
        PERFORM raise_credit_error('invalid_type', coalesce(p_type, 'null'));
    ELSIF p_request_id IS NULL OR length(p_request_id) NOT BETWEEN 1 AND 200 THEN
        PERFORM raise_credit_error('invalid_request_id', '');
    END IF;

    SELECT c.balance, c.last_seq INTO v_balance, v_seq
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    SELECT t.type, t.amount INTO v_before
    FROM store_credit_transactions t
    WHERE t.store_id = p_store_id AND t.request_id = p_request_id
      AND t.type IN ('purchase', 'subscription', 'grant')
    LIMIT 1;
    IF FOUND THEN
        IF v_before.type <> p_type OR v_before.amount <> p_amount THEN
            PERFORM raise_credit_error('request_conflict', p_request_id);
        END IF;
        RETURN false;
    END IF;

    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id, description)
    VALUES (p_store_id, v_seq + 1, p_type, p_amount, v_balance + p_amount, p_request_id,
        coalesce(p_description, ''));
    UPDATE store_credits c
    SET balance = c.balance + p_amount,
        total_purchased = c.total_purchased + p_amount,
        last_seq = v_seq + 1
    WHERE c.store_id = p_store_id;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION add_store_credits(uuid, int, text, text, text) IS
    'Adds credits as purchase, subscription or grant. true: added now; false: this request had added '
    'them. Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 conflict, SC007 type.';

CREATE OR REPLACE FUNCTION claw_back_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits clawed back'
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: take back credits whose payment was refunded or charged back; never below zero.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: the credits taken now, or before by this request: p_amount, or fewer where the balance
--   did not hold as many. 0: the balance was 0; nothing is written, and the request may come again.
-- Errors: unknown_store, invalid_amount, invalid_request_id,
--   request_conflict (this request had taken more than is asked for now).
DECLARE
    v_balance bigint;
    v_seq bigint;
    v_taken bigint;
BEGIN
    IF p_amount IS NULL OR p_amount < 1 THEN
        PERFORM raise_credit_error('invalid_amount', coalesce(p_amount::text, 'null'));
    ELSIF p_request_id IS NULL OR length(p_request_id) NOT BETWEEN 1 AND 200 THEN
        PERFORM raise_credit_error('invalid_request_id', '');
    END IF;

    SELECT c.balance, c.last_seq INTO v_balance, v_seq
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    SELECT t.amount INTO v_taken
    FROM store_credit_transactions t
    WHERE t.store_id = p_store_id AND t.request_id = p_request_id AND t.type = 'clawback'
    LIMIT 1;
    IF v_taken > p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    ELSIF v_taken IS NOT NULL THEN
        RETURN v_taken;
    END IF;

    v_taken := least(v_balance, p_amount);
    IF v_taken > 0 THEN
        INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, request_id, description)
        VALUES (p_store_id, v_seq + 1, 'clawback', v_taken, v_balance - v_taken, p_request_id,
            coalesce(p_description, ''));
        UPDATE store_credits c
        SET balance = c.balance - v_taken,
            total_clawed_back = c.total_clawed_back + v_taken,
            last_seq = v_seq + 1
        WHERE c.store_id = p_store_id;
    END IF;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION claw_back_store_credits(uuid, int, text, text) IS
    'Takes back credits whose payment was given back, never below zero. Returns how many were '
    'taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 same request, more taken.';
