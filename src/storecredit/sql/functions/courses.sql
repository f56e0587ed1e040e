-- How an account came to what it has: its totals at many moments, looked up one after the other.

CREATE OR REPLACE FUNCTION course_of_account(p_account_id bigint, p_moments timestamptz[])
RETURNS TABLE (
    moment timestamptz, balance bigint, held bigint, spent bigint, clawed_back bigint,
    expired bigint, removed bigint, overage bigint
)
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: an account's totals at each of these moments, which ascend: what its movements had left by
--   then, and what had ended by then though it was written later, or is not written yet. Locks: none.
-- Returns: a row per moment, in their order; one that is still to come is now. None: no such account.
--   overage: all that was used beyond the balance, less what was given back before it was billed.
--   The search for a moment begins where that for the one before has led.
DECLARE
    v_newest record;
    v_made bigint := 0;
    v_made_at timestamptz;
    v_seq bigint;
    v_bills bigint[];
    v_credits bigint[];
    v_bill int := 1;
    v_billed bigint := 0;
BEGIN
    SELECT coalesce(m.seq, 0) AS seq, m.created_at, a.next_expiry INTO v_newest
    FROM accounts a LEFT JOIN LATERAL (
        SELECT n.seq, n.created_at FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
    WHERE a.account_id = p_account_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- One a month.
    SELECT array_agg(b.seq ORDER BY b.seq), array_agg(b.credits ORDER BY b.seq)
    INTO v_bills, v_credits FROM subscription_charges b
    WHERE b.account_id = p_account_id AND b.period IS NOT NULL;
    FOREACH moment IN ARRAY p_moments LOOP
        moment := least(moment, now());
        IF v_newest.created_at <= moment THEN
            v_made := v_newest.seq;
        ELSE
            v_made := seq_between(p_account_id, moment, v_made, v_made_at, v_newest.seq, v_newest.created_at);
        END IF;
        SELECT m.created_at INTO v_made_at FROM movements m
        WHERE m.account_id = p_account_id AND m.seq = v_made;
        v_seq := seq_ended_by(p_account_id, moment, v_made);
        IF v_seq = v_newest.seq AND v_newest.next_expiry <= moment THEN
            SELECT s.balance, s.held, s.spent, s.clawed_back, s.expired, s.removed, s.overage_used
            INTO balance, held, spent, clawed_back, expired, removed, overage
            FROM state_of_account(p_account_id, moment) s;
        ELSE
            SELECT m.balance_after, m.held_after, m.spent_after, m.clawed_back_after,
                m.expired_after, m.removed_after, m.overage_used_after
            INTO balance, held, spent, clawed_back, expired, removed, overage
            FROM movements m WHERE m.account_id = p_account_id AND m.seq = v_seq;
        END IF;
        WHILE v_bills[v_bill] <= v_seq LOOP
            v_billed := v_billed + v_credits[v_bill];
            v_bill := v_bill + 1;
        END LOOP;
        overage := coalesce(overage, 0) + v_billed;
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION course_of_account(bigint, timestamptz[]) IS
    'An account''s totals at each of these ascending moments; what had ended by then counts as ended.';
