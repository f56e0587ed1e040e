-- Credits that come in from outside, and credits taken back when their payment is given back.

CREATE OR REPLACE FUNCTION add_to_account(
    p_account_id bigint,
    p_amount int,
    p_type text,
    p_request_id text,
    p_description text DEFAULT 'Credits added',
    p_expires_at timestamptz DEFAULT NULL,
    p_kind text DEFAULT NULL,
    p_priority int DEFAULT NULL,
    p_grace interval DEFAULT NULL,
    p_rollover_max bigint DEFAULT NULL,
    p_rollover_until timestamptz DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: add credits: a purchase, a subscription's period, a grant, a bonus; with terms of their own.
--   Null terms: they never expire, in the middle of the order (100), paid or promo as their type is
--   (movement_types.credit_kind); what comes back to them after their end lives on for 30 days.
-- Locks: the account. Idempotent by (account, request id).
-- Outcomes: true: added now; false: this request had added the same.
-- Errors: unknown_account, invalid_amount, invalid_type (no addition, or not for this kind of
--   owner), invalid_request_id, invalid_terms (an end that is over, a kind there is not, a rollover
--   of what does not expire), request_conflict (this request had added another amount, as another
--   type, or with other terms).
DECLARE
    v_owner_kind text := (SELECT a.owner_kind FROM accounts a WHERE a.account_id = p_account_id);
    v_terms grants;
    v_account record;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    SELECT coalesce(p_kind, t.credit_kind) INTO v_terms.kind FROM movement_types t
    WHERE t.type = p_type AND t.role = 'addition'
      AND coalesce(v_owner_kind = ANY (t.owner_kinds), true);
    IF NOT FOUND THEN
        PERFORM raise_credit_error('invalid_type', coalesce(p_type, 'null'));
    END IF;

    v_terms.amount := p_amount;
    v_terms.priority := coalesce(p_priority, 100);
    v_terms.expires_at := p_expires_at;
    v_terms.grace := coalesce(p_grace, '30 days');
    v_terms.rollover_max := p_rollover_max;
    v_terms.rollover_until := p_rollover_until;
    v_account := lock_settled_account(p_account_id);
    IF is_added_before(p_account_id, p_request_id, p_type, v_terms) THEN
        RETURN false;
    END IF;
    PERFORM refuse_bad_terms(v_terms);
    PERFORM append_movement(p_account_id, p_type, p_amount, p_request_id, p_description,
        grants_after_addition(p_account_id, v_account.balance, v_account.grants, v_account.seq + 1,
            p_amount, v_terms.kind, v_terms.priority, p_expires_at, v_terms.grace, p_rollover_max,
            p_rollover_until),
        p_actor => p_actor);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION add_to_account(
    bigint, int, text, text, text, timestamptz, text, int, interval, bigint, timestamptz, text) IS
    'Adds credits to an account, with terms of their own. true: added now; false: this request had '
    'added them. Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 conflict, SC007 '
    'type, SC011 terms.';

CREATE OR REPLACE FUNCTION is_added_before(
    p_account_id bigint, p_request_id text, p_type text, p_terms grants
)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether a request has added the same credits before. Locks: none; the caller holds the
--   account's. Errors: request_conflict (another amount, as another type, or with other terms).
DECLARE
    v_before record;
    v_terms grants;
BEGIN
    SELECT m.type, m.amount, m.seq INTO v_before FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'addition'
      -- No request brings the starter credits: what others bring under the same id is another matter.
      AND (m.type = 'signup_bonus') = (p_type = 'signup_bonus')
    ORDER BY m.type LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT g.* INTO v_terms FROM grants g
    WHERE g.account_id = p_account_id AND g.seq = v_before.seq;
    IF (v_before.type, v_before.amount, v_terms.expires_at, v_terms.kind, v_terms.priority,
            v_terms.rollover_max, v_terms.rollover_until)
        IS DISTINCT FROM (p_type, p_terms.amount, p_terms.expires_at, p_terms.kind, p_terms.priority,
            p_terms.rollover_max, p_terms.rollover_until) THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION is_added_before(bigint, text, text, grants) IS
    'Whether a request has added the same credits before. Errors: SC004 others.';

CREATE OR REPLACE FUNCTION refuse_bad_terms(p_terms grants)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: refuse terms that no grant can have. Locks: none. Errors: invalid_terms.
BEGIN
    IF p_terms.expires_at <= clock_timestamp() OR p_terms.kind NOT IN ('paid', 'promo')
        OR p_terms.grace < '0'::interval OR p_terms.rollover_max < 0
        OR (p_terms.rollover_max IS NULL) <> (p_terms.rollover_until IS NULL)
        OR p_terms.rollover_until IS NOT NULL
            AND (p_terms.rollover_until > p_terms.expires_at) IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_terms', concat_ws(', ', p_terms.expires_at, p_terms.kind,
            p_terms.rollover_max, p_terms.rollover_until));
    END IF;
END;
$$;
COMMENT ON FUNCTION refuse_bad_terms(grants) IS
    'Refuses terms that no grant can have (SC011).';

CREATE OR REPLACE FUNCTION claw_back_from_account(
    p_account_id bigint,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits clawed back',
    p_origin_request_id text DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: take back credits whose payment was refunded or charged back; never below zero. Those that
--   p_origin_request_id added go first, and what is missing of them then in the order of spending.
-- Locks: the account. Idempotent by (account, request id).
-- Outcomes: the credits taken now, or before by this request: p_amount, or fewer where the balance
--   did not hold as many. 0: the balance was 0; nothing is written, and the request may come again.
-- Errors: unknown_account, invalid_amount, invalid_request_id,
--   request_conflict (this request had taken more than is asked for now).
DECLARE
    v_account record;
    v_taken bigint;
    v_origin bigint;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    v_account := lock_settled_account(p_account_id);
    SELECT m.amount INTO v_taken FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'clawback'
    ORDER BY m.type LIMIT 1;
    IF v_taken > p_amount THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    ELSIF v_taken IS NULL THEN
        v_taken := least(v_account.balance, p_amount);
        v_origin := (
            SELECT m.seq FROM movements m
            WHERE m.account_id = p_account_id AND m.request_id = p_origin_request_id
              AND movement_role(m.type) = 'addition' AND m.type <> 'signup_bonus'
            ORDER BY m.type LIMIT 1);
        IF v_taken > 0 THEN
            PERFORM append_movement(p_account_id, 'clawback', v_taken, p_request_id, p_description,
                grants_after_taking(p_account_id, v_account.balance, v_account.grants, v_taken,
                    v_origin), v_origin, p_actor);
        END IF;
    END IF;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION claw_back_from_account(bigint, int, text, text, text, text) IS
    'Takes back credits whose payment was given back, first those that the payment had added, never '
    'below zero. Returns how many were taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 same request, more taken.';
