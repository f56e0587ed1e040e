-- End users (B2C): made with their account at their first authenticated call, blocked and erased by the
-- operator.
--
-- Whoever remembers that a user may come in listens on the channel storecredit_keys, where stores are
-- announced, too: by the id of whom the change is about.

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
--   would give what was withheld, one does. Nothing is given to who is blocked.
-- Outcomes: blocked: the user is, and may not come in. made: now; with p_starter_credits > 0 and
--   nothing withheld a signup_bonus of that many stands in its ledger under the request id 'signup'.
--   given: the user was there, and what was withheld stands there now. there: nothing was to do,
--   whatever it was given then. account_id: the user's account.
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
            WHERE user_id = p_user_id AND is_bonus_withheld AND blocked_at IS NULL;
            outcome := CASE WHEN FOUND THEN 'given' ELSE 'there' END;
        END IF;
        PERFORM FROM users u WHERE u.user_id = p_user_id AND u.blocked_at IS NOT NULL;
        IF FOUND AND outcome = 'there' THEN
            outcome := 'blocked';
        END IF;
        -- Whoever is told the account's id keeps it: standbys have to have it, too
        -- (billing/checkouts.sql).
        PERFORM FROM accounts a WHERE a.account_id = ensure_user.account_id FOR KEY SHARE;
    END IF;
    IF outcome IN ('made', 'given') AND p_starter_credits > 0 AND NOT p_withhold THEN
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
    'made, given, there or blocked. Errors: SC002 starter credits below 0.';

CREATE OR REPLACE FUNCTION block_user(p_user_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: refuse all that a user's tokens ask for from now on. Announced. Credits stay, and what was
--   begun ends as it would.
-- Locks: the user's row. Idempotent: blocked_at keeps the first time.
-- Outcomes: true: the user is blocked, now or before; false: no such user.
BEGIN
    UPDATE users u SET blocked_at = coalesce(u.blocked_at, now()) WHERE u.user_id = p_user_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('storecredit_keys', p_user_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION block_user(uuid) IS
    'Refuses all that a user asks for, and announces it. true: blocked, now or before; false: no such '
    'user. Idempotent.';

CREATE OR REPLACE FUNCTION unblock_user(p_user_id uuid)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: let a blocked user in again. Announced. Locks: the user's row. Idempotent.
-- Outcomes: unblocked: nothing blocks the user, now or before | erased: who was erased stays blocked
--   | not_found.
BEGIN
    UPDATE users u SET blocked_at = NULL WHERE u.user_id = p_user_id AND u.erased_at IS NULL;
    IF FOUND THEN
        PERFORM pg_notify('storecredit_keys', p_user_id::text);
        RETURN 'unblocked';
    END IF;
    PERFORM FROM users u WHERE u.user_id = p_user_id;
    RETURN CASE WHEN FOUND THEN 'erased' ELSE 'not_found' END;
END;
$$;
COMMENT ON FUNCTION unblock_user(uuid) IS
    'Lets a blocked user in again, and announces it. unblocked, now or before; erased: stays blocked; '
    'not_found. Idempotent.';

CREATE OR REPLACE FUNCTION erase_user(p_user_id uuid)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: remove what is personal of a user and keep the ledger: the user is blocked, generations that
--   have not ended fail and give their credits back, and what the user has sent or was told is
--   removed. The row stays, so that no token makes the user anew. Announced. What stands outside the
--   database, and what calls write that were under way, is for who looks when erasure_due_at is over.
-- Locks: the user's row, the account, the sessions. Idempotent: erased_at keeps the first time.
-- Outcomes: erased: now | already_erased: it was before, and is looked after again | not_found.
-- Errors: no_deduction where a session's credit was never taken: `storecredit verify` names it.
DECLARE
    v_outcome text;
BEGIN
    SELECT CASE WHEN u.erased_at IS NULL THEN 'erased' ELSE 'already_erased' END INTO v_outcome
    FROM users u WHERE u.user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    UPDATE users u
    SET blocked_at = coalesce(u.blocked_at, now()), erased_at = coalesce(u.erased_at, now()),
        erasure_due_at = now()
    WHERE u.user_id = p_user_id;
    PERFORM pg_notify('storecredit_keys', p_user_id::text);
    PERFORM remove_personal(account_of('user', p_user_id));
    RETURN v_outcome;
END;
$$;
COMMENT ON FUNCTION erase_user(uuid) IS
    'Removes what is personal of a user, blocks the user and keeps the ledger; what had not ended is '
    'failed and given back. erased: now; already_erased; not_found. Idempotent.';

CREATE OR REPLACE FUNCTION remove_personal(p_account_id bigint)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: end what an account has under way, and remove what its owner has sent or was told. What is
--   in a request's fingerprint cannot be read, but guessed: it goes, too. Results are on disk: where
--   they are stays written until they are deleted.
-- Locks: the account, then its sessions, spends and holds. Idempotent. Errors: no_deduction.
DECLARE
    v_open uuid[];
BEGIN
    PERFORM lock_account(p_account_id);
    SELECT array_agg(s.session_id ORDER BY s.session_id) INTO v_open FROM sessions s
    WHERE s.account_id + 0 = p_account_id AND s.completed_at IS NULL;
    IF v_open IS NOT NULL THEN
        PERFORM fail_generations(
            array_fill(p_account_id, ARRAY[cardinality(v_open)]), v_open,
            array_fill('GENERATION_FAILED'::text, ARRAY[cardinality(v_open)]),
            array_fill(NULL::text, ARRAY[cardinality(v_open)]),
            array_fill(NULL::text, ARRAY[cardinality(v_open)]));
    END IF;
    UPDATE sessions s
    SET input = NULL, metadata = NULL, error_message = NULL, generator_message = NULL,
        failed_attempts = without_words(s.failed_attempts), fingerprint = ''
    WHERE s.account_id = p_account_id AND s.fingerprint <> '';
    UPDATE archived_sessions x SET fingerprints = ''
    WHERE x.account_id = p_account_id AND x.fingerprints <> '';
    UPDATE spends s SET metadata = NULL, fingerprint = ''
    WHERE s.account_id = p_account_id AND s.fingerprint <> '';
    -- What is held ends as it would: work may be under way that is to be paid.
    UPDATE holds h SET description = '', metadata = NULL, fingerprint = ''
    WHERE h.account_id = p_account_id AND h.fingerprint <> '';
    UPDATE checkouts c SET checkout_url = NULL
    WHERE c.account_id = p_account_id AND c.checkout_url IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION remove_personal(bigint) IS
    'Ends what an account has under way and removes what its owner has sent or was told.';

CREATE OR REPLACE FUNCTION settle_erasure(p_user_id uuid, p_late interval)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the results of an erased user are deleted; remove what calls have written since that were
--   under way, and look once more when no such call can be left: `p_late` after the user was erased.
-- Locks: the user's row, the account, the sessions. Idempotent. Errors: no_deduction.
-- Outcomes: true: nothing is left, and nothing can come; false: it is to be looked at again later.
DECLARE
    v_due_at timestamptz;
BEGIN
    UPDATE users u
    SET erasure_due_at = CASE WHEN u.erased_at + p_late > now() THEN u.erased_at + p_late END
    WHERE u.user_id = p_user_id AND u.erased_at IS NOT NULL
    RETURNING u.erasure_due_at INTO v_due_at;
    IF FOUND THEN
        PERFORM remove_personal(account_of('user', p_user_id));
    END IF;
    RETURN v_due_at IS NULL;
END;
$$;
COMMENT ON FUNCTION settle_erasure(uuid, interval) IS
    'Removes what was written of an erased user since, and says whether nothing more can come.';
