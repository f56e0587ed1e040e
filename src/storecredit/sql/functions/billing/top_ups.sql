-- Top-ups: a store whose balance falls to its threshold buys credits by itself, through its subscription.
--
-- That it is to be looked at is written with the movement that brought the balance down. Whether credits
-- are bought is decided by the balance as it then is, so a limit, a pause or a provider that is away only
-- puts it off: what is below the threshold still is bought for as soon as it can be. The charge itself is
-- one of subscription_charges.sql: made once.
--
-- Days and months are those of UTC, by the database's clock, and a top-up counts on the day on which it was
-- begun. One that was given up, of which nothing was charged, does not count.

CREATE OR REPLACE FUNCTION set_top_up(
    p_account_id bigint,
    p_threshold bigint,
    p_credits int,
    p_max_per_day int,
    p_max_per_month int
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: switch a store's top-up on, with these settings; one that is paused goes on. Where the balance
--   is at the threshold by now, it is due at once.
-- Locks: the account. Idempotent.
-- Outcomes: set | no_subscription (the store has none that runs; nothing is written).
-- Errors: unknown_account; check_violation for settings that make no sense.
BEGIN
    PERFORM lock_account(p_account_id);
    IF running_subscription(p_account_id) IS NULL THEN
        RETURN 'no_subscription';
    END IF;
    INSERT INTO top_ups AS t
        (account_id, threshold, credits, max_per_day, max_per_month, due_at)
    VALUES
        (p_account_id, p_threshold, p_credits, p_max_per_day, p_max_per_month, clock_timestamp())
    ON CONFLICT (account_id) DO UPDATE
    SET threshold = excluded.threshold, credits = excluded.credits,
        max_per_day = excluded.max_per_day, max_per_month = excluded.max_per_month,
        status = 'on', pause_reason = NULL, due_at = excluded.due_at, updated_at = now();
    RETURN 'set';
END;
$$;
COMMENT ON FUNCTION set_top_up(bigint, bigint, int, int, int) IS
    'Switches a store''s top-up on. Outcome: set, no_subscription. Errors: SC010 unknown account.';

CREATE OR REPLACE FUNCTION remove_top_up(p_account_id bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: switch a store's top-up off. A charge that was begun is seen to its end.
-- Locks: the account. Idempotent. Returns whether it was on or paused. Errors: unknown_account.
BEGIN
    PERFORM lock_account(p_account_id);
    DELETE FROM top_ups t WHERE t.account_id = p_account_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION remove_top_up(bigint) IS
    'Switches a store''s top-up off. false: it was not on. Errors: SC010 unknown account.';

CREATE OR REPLACE FUNCTION running_subscription(p_account_id bigint)
RETURNS text
LANGUAGE sql STABLE
AS $$
-- Purpose: the subscription through which a store is charged: its newest that runs; null: it has none.
-- Locks: none. Providers charge those on trial, too.
    SELECT s.provider_subscription_id FROM subscriptions s
    WHERE s.account_id = p_account_id AND s.status IN ('active', 'trialing')
    ORDER BY s.created_at DESC, s.provider_subscription_id DESC LIMIT 1;
$$;
COMMENT ON FUNCTION running_subscription(bigint) IS
    'The subscription through which a store is charged; null: it has none that runs.';

CREATE OR REPLACE FUNCTION can_top_up(p_account_id bigint)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether a store may buy by itself at all: it is not suspended, and has a subscription that runs.
-- Locks: none.
    SELECT running_subscription(p_account_id) IS NOT NULL AND EXISTS (
        SELECT FROM accounts a JOIN stores s ON s.store_id = a.owner_id
        WHERE a.account_id = p_account_id AND a.owner_kind = 'store' AND s.status = 'active');
$$;
COMMENT ON FUNCTION can_top_up(bigint) IS
    'Whether a store is active and has a subscription that runs.';

CREATE OR REPLACE FUNCTION request_top_ups(p_account_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: movements were just written: note the accounts among these whose top-up is to be looked at,
--   because the balance is now at its threshold or below. Locks: the caller holds the accounts'.
BEGIN
    UPDATE top_ups t SET due_at = clock_timestamp()
    WHERE t.account_id = ANY (p_account_ids) AND t.status = 'on' AND t.due_at IS NULL
      AND t.threshold >= newest_balance(t.account_id);
END;
$$;
COMMENT ON FUNCTION request_top_ups(bigint[]) IS
    'Notes the top-ups that the newest movements of these accounts ask for.';

CREATE OR REPLACE FUNCTION hasten_top_up(p_account_id bigint)
RETURNS void
LANGUAGE sql
AS $$
-- Purpose: a store may buy again: a top-up that is to be looked at later is looked at now. Where it is
--   kept from buying by anything else, it is put off again. Locks: its row.
    UPDATE top_ups t SET due_at = now()
    WHERE t.account_id = p_account_id AND t.status = 'on' AND t.due_at > now();
$$;
COMMENT ON FUNCTION hasten_top_up(bigint) IS
    'Has a top-up that was put off looked at now.';

CREATE OR REPLACE FUNCTION newest_balance(p_account_id bigint)
RETURNS bigint
LANGUAGE sql STABLE
AS $$
-- Purpose: the balance after the newest movement of an account. Locks: none.
    SELECT coalesce((SELECT m.balance_after FROM movements m WHERE m.account_id = p_account_id
                     ORDER BY m.account_id DESC, m.seq DESC LIMIT 1), 0);
$$;
COMMENT ON FUNCTION newest_balance(bigint) IS
    'The balance after the newest movement of an account.';

CREATE OR REPLACE FUNCTION open_top_up(
    p_account_id bigint,
    p_unit_amount bigint,
    p_currency text,
    p_expires_after_days int,
    p_provider text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET lock_timeout = '1s'
AS $$
-- Purpose: decide whether a store buys credits now, at this price for one; if so, the charge is to be
--   made from now on, and no other until it has ended.
-- Locks: the account, not waited for for long: others are to be looked at, too. Idempotent: of two calls,
--   one opens.
-- Outcomes: opened | enough (the balance is above the threshold) | under_way (one is) | limited (no more
--   today, or this month: it is looked at again when that is over) | no_subscription (none runs, or the
--   store is suspended: looked at again in an hour) | not_due (it is off, paused, or not to be looked at).
-- Errors: unknown_account; check_violation for a price that is none; lock_not_available.
DECLARE
    v_account record := lock_settled_account(p_account_id);
    v_now CONSTANT timestamptz := clock_timestamp();
    v_month CONSTANT timestamptz := date_trunc('month', v_now, 'UTC');
    v_day CONSTANT timestamptz := date_trunc('day', v_now, 'UTC');
    v_top_up top_ups;
    v_had record;
    v_until timestamptz;
    v_outcome text := 'opened';
BEGIN
    SELECT t.* INTO v_top_up FROM top_ups t
    WHERE t.account_id = p_account_id AND t.status = 'on' AND t.due_at <= v_now FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_due';
    END IF;
    SELECT coalesce(max(c.number), 0) AS numbered,
        count(*) FILTER (WHERE c.dropped_at IS NULL AND c.created_at >= v_day) AS in_day,
        count(*) FILTER (WHERE c.dropped_at IS NULL AND c.created_at >= v_month) AS in_month,
        count(*) FILTER (WHERE c.dropped_at IS NULL AND c.charged_at IS NULL) AS open
    INTO v_had FROM subscription_charges c
    WHERE c.account_id = p_account_id AND c.number IS NOT NULL;
    IF v_account.balance > v_top_up.threshold THEN
        v_outcome := 'enough';
    ELSIF v_had.open > 0 THEN
        v_outcome := 'under_way';
    ELSIF v_had.in_month >= v_top_up.max_per_month OR v_had.in_day >= v_top_up.max_per_day THEN
        v_outcome := 'limited';
        v_until := CASE WHEN v_had.in_month >= v_top_up.max_per_month
            THEN date_trunc('month', v_month + '40 days'::interval, 'UTC')
            ELSE date_trunc('day', v_day + '30 hours'::interval, 'UTC') END;
    ELSIF NOT can_top_up(p_account_id) THEN
        v_outcome := 'no_subscription';
        v_until := v_now + '1 hour'::interval;
    ELSE
        INSERT INTO subscription_charges
            (account_id, number, created_at, due_at, credits, amount, currency, request_id, provider,
             expires_after_days)
        VALUES
            (p_account_id, v_had.numbered + 1, v_now, v_now, v_top_up.credits,
             v_top_up.credits * p_unit_amount, p_currency, 'top-up-' || v_had.numbered + 1, p_provider,
             p_expires_after_days);
    END IF;
    UPDATE top_ups t SET due_at = v_until WHERE t.account_id = p_account_id;
    RETURN v_outcome;
END;
$$;
COMMENT ON FUNCTION open_top_up(bigint, bigint, text, int, text) IS
    'Decides whether a store buys credits now, and opens the charge. Outcome: opened, enough, under_way, '
    'limited, no_subscription, not_due. Errors: SC010 unknown account.';

CREATE OR REPLACE FUNCTION is_top_up_wanted(p_account_id bigint, p_credits bigint)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether a store still buys so many credits by itself: it is on with just these, the balance at
--   its threshold or below, and nothing else is in the way. Locks: none.
    SELECT can_top_up(p_account_id) AND EXISTS (
        SELECT FROM top_ups t
        WHERE t.account_id = p_account_id AND t.status = 'on' AND t.credits = p_credits
          AND t.threshold >= newest_balance(p_account_id));
$$;
COMMENT ON FUNCTION is_top_up_wanted(bigint, bigint) IS
    'Whether a store''s top-up is on for so many credits, and its balance low enough.';

CREATE OR REPLACE FUNCTION drop_top_up(p_account_id bigint, p_request_id text, p_reason text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: give a top-up up that nobody wants any more; whoever calls it holds the charge's lock, and has
--   found that nothing was charged. If it is wanted again, another one is opened.
-- Locks: the charge, its top-up. Idempotent. Returns false if it has ended.
BEGIN
    UPDATE subscription_charges c
    SET dropped_at = now(), last_error = p_reason, charge_begun_at = NULL
    WHERE c.account_id = p_account_id AND c.request_id = p_request_id AND c.kind = 'top_up'
      AND c.charged_at IS NULL AND c.dropped_at IS NULL AND c.accepted_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE top_ups t SET due_at = now() WHERE t.account_id = p_account_id AND t.status = 'on';
    RETURN true;
END;
$$;
COMMENT ON FUNCTION drop_top_up(bigint, text, text) IS
    'Gives a top-up up of which nothing was charged. false: it has ended.';

CREATE OR REPLACE FUNCTION decline_top_up(p_account_id bigint, p_request_id text, p_reason text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the provider refused a top-up because the means of payment was declined: nothing was charged.
--   It is given up, and the store buys nothing more by itself until somebody lets it go on. Both are told.
-- Locks: the charge, then the account. Idempotent. Returns false if it has ended.
DECLARE
    v_charge subscription_charges;
BEGIN
    UPDATE subscription_charges c
    SET dropped_at = now(), last_error = p_reason, charge_begun_at = NULL
    WHERE c.account_id = p_account_id AND c.request_id = p_request_id AND c.kind = 'top_up'
      AND c.charged_at IS NULL AND c.dropped_at IS NULL AND c.accepted_at IS NULL
    RETURNING c.* INTO v_charge;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pause_top_up(p_account_id, 'declined', v_charge);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION decline_top_up(bigint, text, text) IS
    'A top-up was declined: it is given up, and the store''s top-up paused. false: it has ended.';

CREATE OR REPLACE FUNCTION pause_top_up(
    p_account_id bigint, p_reason text, p_charge subscription_charges DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: pause a store's top-up that is on, and tell why, with the charge that failed, if any did.
-- Locks: the account. Idempotent: only what is on is paused and told.
BEGIN
    PERFORM lock_account(p_account_id);
    UPDATE top_ups t
    SET status = 'paused', pause_reason = p_reason, due_at = NULL, updated_at = now()
    WHERE t.account_id = p_account_id AND t.status = 'on';
    IF FOUND THEN
        PERFORM tell('{top_up.failed}', ARRAY[p_account_id], ARRAY[json_build_object(
            'reason', p_reason, 'credits', p_charge.credits, 'amount', p_charge.amount,
            'currency', p_charge.currency, 'request_id', p_charge.request_id)]);
    END IF;
END;
$$;
COMMENT ON FUNCTION pause_top_up(bigint, text, subscription_charges) IS
    'Pauses a store''s top-up that is on, and tells why.';

CREATE OR REPLACE FUNCTION resume_declined_top_up(p_provider text, p_subscription_id text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the means of payment of a subscription was replaced: a top-up goes on that was paused because
--   the one before was declined. Locks: its row. Idempotent. Returns whether one was.
BEGIN
    UPDATE top_ups t
    SET status = 'on', pause_reason = NULL, due_at = now(), updated_at = now()
    FROM subscriptions s
    WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id
      AND t.account_id = s.account_id AND t.status = 'paused' AND t.pause_reason = 'declined';
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION resume_declined_top_up(text, text) IS
    'Lets a declined top-up go on, once its subscription has another means of payment.';
