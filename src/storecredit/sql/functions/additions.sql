-- Credits that come in from outside, and credits taken back when their payment is given back.

CREATE OR REPLACE FUNCTION add_to_account(
    p_account_id bigint,
    p_amount int,
    p_type text,
    p_request_id text,
    p_description text DEFAULT 'Credits added'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: add credits: a purchase, a subscription's period, a grant, a bonus.
-- Locks: the account. Idempotent by (account, request id).
-- Outcomes: true: added now; false: this request had added the same.
-- Errors: unknown_account, invalid_amount, invalid_type (no addition, or not for this kind of
--   owner), invalid_request_id, request_conflict (this request had added another amount, or as
--   another type).
DECLARE
    v_owner_kind text := (SELECT a.owner_kind FROM accounts a WHERE a.account_id = p_account_id);
    v_before record;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    PERFORM FROM movement_types t
    WHERE t.type = p_type AND t.role = 'addition'
      AND coalesce(v_owner_kind = ANY (t.owner_kinds), true);
    IF NOT FOUND THEN
        PERFORM raise_credit_error('invalid_type', coalesce(p_type, 'null'));
    END IF;

    PERFORM lock_account(p_account_id);
    SELECT m.type, m.amount INTO v_before FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'addition'
      -- No request brings the starter credits: what others bring under the same id is another matter.
      AND (m.type = 'signup_bonus') = (p_type = 'signup_bonus')
    ORDER BY m.type LIMIT 1;
    IF NOT FOUND THEN
        PERFORM append_movement(p_account_id, p_type, p_amount, p_request_id, p_description);
        RETURN true;
    ELSIF v_before.type <> p_type OR v_before.amount <> p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    END IF;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION add_to_account(bigint, int, text, text, text) IS
    'Adds credits to an account. true: added now; false: this request had added them. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 conflict, SC007 type.';

CREATE OR REPLACE FUNCTION claw_back_from_account(
    p_account_id bigint,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits clawed back'
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: take back credits whose payment was refunded or charged back; never below zero.
-- Locks: the account. Idempotent by (account, request id).
-- Outcomes: the credits taken now, or before by this request: p_amount, or fewer where the balance
--   did not hold as many. 0: the balance was 0; nothing is written, and the request may come again.
-- Errors: unknown_account, invalid_amount, invalid_request_id,
--   request_conflict (this request had taken more than is asked for now).
DECLARE
    v_account record;
    v_taken bigint;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    v_account := lock_account(p_account_id);
    SELECT m.amount INTO v_taken FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'clawback'
    ORDER BY m.type LIMIT 1;
    IF v_taken > p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    ELSIF v_taken IS NULL THEN
        v_taken := least(v_account.balance, p_amount);
        IF v_taken > 0 THEN
            PERFORM append_movement(
                p_account_id, 'clawback', v_taken, p_request_id, p_description);
        END IF;
    END IF;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION claw_back_from_account(bigint, int, text, text) IS
    'Takes back credits whose payment was given back, never below zero. Returns how many were '
    'taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 same request, more taken.';
