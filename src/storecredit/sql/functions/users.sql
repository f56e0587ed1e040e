-- End users (B2C): made with their credits at their first authenticated call.

CREATE OR REPLACE FUNCTION ensure_user(
    p_user_id uuid,
    p_starter_credits int
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: make an end user, its credit row and its starter credits, or nothing at all.
-- Locks: the new rows. Idempotent by user: of several first calls at once one makes the user, the
--   others wait here until that one has committed, and make the user themselves if it was undone.
-- Outcomes: true: made now; with p_starter_credits > 0 a signup_bonus of that many stands in its
--   ledger under the request id 'signup'. false: the user was there, whatever it was given then.
-- Errors: invalid_amount (p_starter_credits < 0, also for a user who is there).
BEGIN
    IF p_starter_credits < 0 THEN
        PERFORM raise_credit_error('invalid_amount', p_starter_credits::text);
    END IF;
    INSERT INTO user_credits (user_id) VALUES (p_user_id) ON CONFLICT (user_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO users (user_id) VALUES (p_user_id);
    IF p_starter_credits > 0 THEN
        PERFORM add_credits(
            p_user_id, p_starter_credits, 'signup_bonus', 'signup', 'Starter credits');
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION ensure_user(uuid, int) IS
    'Makes an end user with its credit row and starter credits, exactly once. '
    'true: made now; false: it was there. Errors: SC002 starter credits below 0.';
