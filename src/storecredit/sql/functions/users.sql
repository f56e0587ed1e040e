-- End users (B2C): made with their account at their first authenticated call.

CREATE OR REPLACE FUNCTION ensure_user(
    p_user_id uuid,
    p_starter_credits int,
    p_withhold boolean DEFAULT false,
    OUT outcome text,
    OUT account_id bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: make an end user, its account and its starter credits, or nothing at all.
--   p_withhold: not the credits yet; they are given at the first call without it.
-- Locks: the new rows; for a user from whom credits are withheld the user's row, then its account.
--   Idempotent by user: of several first calls at once one makes the user, the others wait here until
--   that one has committed, and make the user themselves if it was undone. Of several calls that
--   would give what was withheld, one does.
-- Outcomes: made: now; with p_starter_credits > 0 and nothing withheld a signup_bonus of that many
--   stands in its ledger under the request id 'signup'. given: the user was there, and what was
--   withheld stands there now. there: nothing was to do, whatever it was given then.
--   account_id: the user's account.
-- Errors: invalid_amount (p_starter_credits < 0, also for a user who is there).
BEGIN
    IF p_starter_credits < 0 THEN
        PERFORM raise_credit_error('invalid_amount', p_starter_credits::text);
    END IF;
    outcome := 'made';
    account_id := open_account('user', p_user_id);
    IF account_id IS NOT NULL THEN
        INSERT INTO users (user_id, is_bonus_withheld) VALUES (p_user_id, p_withhold);
    ELSE
        outcome := 'there';
        account_id := account_of('user', p_user_id);
        IF NOT p_withhold THEN
            UPDATE users SET is_bonus_withheld = false
            WHERE user_id = p_user_id AND is_bonus_withheld;
            outcome := CASE WHEN FOUND THEN 'given' ELSE 'there' END;
        END IF;
        -- Whoever is told the account's id keeps it: standbys have to have it, too
        -- (billing/checkouts.sql).
        PERFORM FROM accounts a WHERE a.account_id = ensure_user.account_id FOR KEY SHARE;
    END IF;
    IF outcome <> 'there' AND p_starter_credits > 0 AND NOT p_withhold THEN
        PERFORM lock_account(account_id);
        PERFORM add_to_account(
            account_id, p_starter_credits, 'signup_bonus', 'signup', 'Starter credits')
        WHERE NOT EXISTS (
            SELECT FROM movements m WHERE m.account_id = ensure_user.account_id
              AND m.request_id = 'signup' AND m.type = 'signup_bonus');
    END IF;
END;
$$;
COMMENT ON FUNCTION ensure_user(uuid, int, boolean) IS
    'Makes an end user with its account and starter credits, exactly once; withheld credits are '
    'given at the first call that no longer withholds them. '
    'made, given or there. Errors: SC002 starter credits below 0.';
