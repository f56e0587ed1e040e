-- The ledger of end users (B2C): the only door through which a user's credits change.
--
-- A user's requests never come in bulk, so one request is the primitive here. Otherwise as for
-- stores: whoever holds the credit row's lock is the only writer of that user's ledger, so seq has
-- no gaps and a request id is checked and used without a race. No function here knows a store.

CREATE OR REPLACE FUNCTION lock_user_credits(p_user_id uuid)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: make the caller the only writer of this user's ledger, until its transaction ends.
-- Locks: the user's credit row. Returns the user's balance. Errors: unknown_user.
DECLARE
    v_balance bigint;
BEGIN
    SELECT c.balance INTO v_balance FROM user_credits c WHERE c.user_id = p_user_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_user', p_user_id::text);
    END IF;
    RETURN v_balance;
END;
$$;
COMMENT ON FUNCTION lock_user_credits(uuid) IS
    'Locks a user''s credit row and returns its balance. Errors: SC008 unknown user.';

CREATE OR REPLACE FUNCTION write_user_movement(
    p_user_id uuid,
    p_type text,
    p_amount bigint,
    p_request_id text,
    p_description text,
    p_session_id uuid DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: one movement, in the user's credits and in its ledger: what each type does to the
--   totals stands here only.
-- Locks: none of its own: the caller holds the user's credit row, and has decided that the movement
--   is to be. Not idempotent; the tables refuse what cannot be. Returns the balance afterwards.
DECLARE
    v_balance bigint;
    v_seq bigint;
BEGIN
    UPDATE user_credits c
    SET balance = c.balance
            + CASE WHEN p_type IN ('generation', 'clawback') THEN -p_amount ELSE p_amount END,
        total_earned = c.total_earned
            + CASE WHEN p_type IN ('signup_bonus', 'purchase', 'grant') THEN p_amount ELSE 0 END,
        total_spent = c.total_spent
            + CASE p_type WHEN 'generation' THEN p_amount WHEN 'refund' THEN -p_amount ELSE 0 END,
        total_clawed_back = c.total_clawed_back
            + CASE p_type WHEN 'clawback' THEN p_amount ELSE 0 END,
        last_seq = c.last_seq + 1,
        updated_at = now()
    WHERE c.user_id = p_user_id
    RETURNING c.balance, c.last_seq INTO v_balance, v_seq;
    INSERT INTO credit_transactions
        (user_id, seq, type, amount, balance_after, request_id, session_id, description)
    VALUES (p_user_id, v_seq, p_type, p_amount, v_balance, p_request_id, p_session_id,
        coalesce(p_description, ''));
    RETURN v_balance;
END;
$$;
COMMENT ON FUNCTION write_user_movement(uuid, text, bigint, text, text, uuid) IS
    'Writes one movement of a user whose credit row the caller holds; returns the balance after it.';

CREATE OR REPLACE FUNCTION refuse_bad_user_request(p_amount int, p_request_id text)
RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: refuse what no movement can have. Locks: none. Errors: invalid_amount, invalid_request_id.
BEGIN
    IF p_amount IS NULL OR p_amount < 1 THEN
        PERFORM raise_credit_error('invalid_amount', coalesce(p_amount::text, 'null'));
    ELSIF p_request_id IS NULL OR length(p_request_id) NOT BETWEEN 1 AND 200 THEN
        PERFORM raise_credit_error('invalid_request_id', '');
    END IF;
END;
$$;
COMMENT ON FUNCTION refuse_bad_user_request(int, text) IS
    'Refuses an amount below 1 (SC002) and a request id of the wrong length (SC003).';

CREATE OR REPLACE FUNCTION settle_user_deduction(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text,
    p_session_id uuid
)
RETURNS TABLE (outcome text, balance bigint)
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: take credits from a user for one request; deduct_credits and create_generation call it.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: deducted | already_deducted (this request had deducted the same amount)
--   | insufficient (nothing written) | conflict (this request had deducted another amount).
--   `balance` is the user's balance afterwards.
-- Errors: unknown_user, invalid_amount, invalid_request_id.
DECLARE
    v_amount_before bigint;
BEGIN
    balance := lock_user_credits(p_user_id);
    PERFORM refuse_bad_user_request(p_amount, p_request_id);
    SELECT t.amount INTO v_amount_before
    FROM credit_transactions t
    WHERE t.user_id = p_user_id AND t.request_id = p_request_id AND t.type = 'generation';
    IF FOUND THEN
        outcome := CASE WHEN v_amount_before = p_amount
            THEN 'already_deducted' ELSE 'conflict' END;
    ELSIF p_amount > balance THEN
        outcome := 'insufficient';
    ELSE
        outcome := 'deducted';
        balance := write_user_movement(
            p_user_id, 'generation', p_amount, p_request_id, p_description, p_session_id);
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION settle_user_deduction(uuid, int, text, text, uuid) IS
    'Takes credits from a user for one request. '
    'Outcome: deducted, already_deducted, insufficient, conflict. Idempotent by request id.';

CREATE OR REPLACE FUNCTION settle_user_refund(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text
)
RETURNS TABLE (outcome text, balance bigint)
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: give back to a user what one request had taken; refund_credits and fail_generation
--   call it.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: refunded | already_refunded | no_deduction | exceeds_deduction.
--   `balance` is the user's balance afterwards.
-- Errors: unknown_user, invalid_amount.
DECLARE
    v_deducted bigint;
    v_session_id uuid;
BEGIN
    balance := lock_user_credits(p_user_id);
    IF p_amount IS NULL OR p_amount < 1 THEN
        PERFORM raise_credit_error('invalid_amount', coalesce(p_amount::text, 'null'));
    END IF;
    SELECT t.amount, t.session_id INTO v_deducted, v_session_id
    FROM credit_transactions t
    WHERE t.user_id = p_user_id AND t.request_id = p_request_id AND t.type = 'generation';
    IF NOT FOUND THEN
        outcome := 'no_deduction';
    ELSIF p_amount > v_deducted THEN
        outcome := 'exceeds_deduction';
    ELSIF EXISTS (
        SELECT FROM credit_transactions t
        WHERE t.user_id = p_user_id AND t.request_id = p_request_id AND t.type = 'refund') THEN
        outcome := 'already_refunded';
    ELSE
        outcome := 'refunded';
        balance := write_user_movement(
            p_user_id, 'refund', p_amount, p_request_id, p_description, v_session_id);
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION settle_user_refund(uuid, int, text, text) IS
    'Gives back to a user what one request had taken, once. '
    'Outcome: refunded, already_refunded, no_deduction, exceeds_deduction.';

CREATE OR REPLACE FUNCTION deduct_credits(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits deducted'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: take credits from a user for one request.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: true: deducted, or this very request had already deducted the same amount;
--   false: not enough credits, nothing written.
-- Errors: unknown_user, invalid_amount, invalid_request_id, request_conflict.
DECLARE
    v_outcome text;
BEGIN
    SELECT d.outcome INTO v_outcome
    FROM settle_user_deduction(p_user_id, p_amount, p_request_id, p_description, NULL) d;
    IF v_outcome = 'conflict' THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    END IF;
    RETURN v_outcome <> 'insufficient';
END;
$$;
COMMENT ON FUNCTION deduct_credits(uuid, int, text, text) IS
    'Takes a user''s credits for one request. true: deducted now or before; false: not enough. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 same request, other amount.';

CREATE OR REPLACE FUNCTION refund_credits(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits refunded'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: give back what one request had taken; at most once, at most what was taken.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: true: refunded now; false: it had been refunded.
-- Errors: unknown_user, invalid_amount, no_deduction, refund_exceeds_deduction.
DECLARE
    v_outcome text;
BEGIN
    SELECT r.outcome INTO v_outcome
    FROM settle_user_refund(p_user_id, p_amount, p_request_id, p_description) r;
    IF v_outcome = 'no_deduction' THEN
        PERFORM raise_credit_error('no_deduction', p_request_id);
    ELSIF v_outcome = 'exceeds_deduction' THEN
        PERFORM raise_credit_error('refund_exceeds_deduction', p_request_id);
    END IF;
    RETURN v_outcome = 'refunded';
END;
$$;
COMMENT ON FUNCTION refund_credits(uuid, int, text, text) IS
    'Gives back what one request had taken, once. true: refunded now; false: it had been refunded. '
    'Errors: SC008 unknown user, SC002 amount, SC005 no such deduction, SC006 more than deducted.';

CREATE OR REPLACE FUNCTION add_credits(
    p_user_id uuid,
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
-- Purpose: add credits to a user: a purchase, the bonus for signing up, or a grant.
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: true: added now; false: this request had added the same.
-- Errors: unknown_user, invalid_amount, invalid_type, invalid_request_id,
--   request_conflict (this request had added another amount, or as another type).
DECLARE
    v_before record;
BEGIN
    PERFORM refuse_bad_user_request(p_amount, p_request_id);
    IF p_type IS NULL OR p_type NOT IN ('purchase', 'signup_bonus', 'grant') THEN
        PERFORM raise_credit_error('invalid_type', coalesce(p_type, 'null'));
    END IF;

    PERFORM lock_user_credits(p_user_id);
    SELECT t.type, t.amount INTO v_before
    FROM credit_transactions t
    WHERE t.user_id = p_user_id AND t.request_id = p_request_id
      AND t.type IN ('purchase', 'signup_bonus', 'grant')
    LIMIT 1;
    IF NOT FOUND THEN
        PERFORM write_user_movement(p_user_id, p_type, p_amount, p_request_id, p_description);
        RETURN true;
    ELSIF v_before.type <> p_type OR v_before.amount <> p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION add_credits(uuid, int, text, text, text) IS
    'Adds a user''s credits as purchase, signup_bonus or grant. true: added now; false: this request '
    'had added them. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 conflict, SC007 type.';

CREATE OR REPLACE FUNCTION claw_back_credits(
    p_user_id uuid,
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
-- Locks: the user's credit row. Idempotent by (user, request id).
-- Outcomes: the credits taken now, or before by this request: p_amount, or fewer where the balance
--   did not hold as many. 0: the balance was 0; nothing is written, and the request may come again.
-- Errors: unknown_user, invalid_amount, invalid_request_id,
--   request_conflict (this request had taken more than is asked for now).
DECLARE
    v_balance bigint;
    v_taken bigint;
BEGIN
    PERFORM refuse_bad_user_request(p_amount, p_request_id);
    v_balance := lock_user_credits(p_user_id);
    SELECT t.amount INTO v_taken
    FROM credit_transactions t
    WHERE t.user_id = p_user_id AND t.request_id = p_request_id AND t.type = 'clawback';
    IF v_taken > p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    ELSIF v_taken IS NULL THEN
        v_taken := least(v_balance, p_amount);
        IF v_taken > 0 THEN
            PERFORM write_user_movement(
                p_user_id, 'clawback', v_taken, p_request_id, p_description);
        END IF;
    END IF;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION claw_back_credits(uuid, int, text, text) IS
    'Takes back credits whose payment was given back, never below zero. Returns how many were '
    'taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 same request, more taken.';
