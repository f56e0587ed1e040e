-- Subscriptions: their state, the payments of their periods, and of changes within a period.
--
-- A payment is worth what its lines are by our own record; the caller has worked that out, as
-- `p_credits`. Of a change within a period that is the new plan's part less the old one's, and may
-- be below zero: then money went back to the customer's balance at Paddle, and credits go with it.
--
-- Lock order: the subscription's row, its payments, then the store's credit row.

CREATE OR REPLACE FUNCTION book_subscription_payment(
    p_transaction_id text,
    p_subscription_id text,
    p_period_starts_at timestamptz,
    p_plan text,
    p_credits bigint,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: a subscription was billed: the payment, and its credits in the store's ledger. For a
--   period, under a request id that names subscription and period; for a change within a period
--   (p_period_starts_at is null), under one that names the transaction.
-- Locks: the subscription's row, its payments, then the store's credit row. Idempotent by
--   transaction, and by period: two transactions for one period add once.
-- Outcomes: booked | already_booked | unknown_subscription (it may be known later)
--   | period_paid (by another transaction) | conflict (the request id has added other credits).
--   Only `booked` writes. Credits below zero are taken back from the subscription's payments, as
--   far as there are any; what was missing then is taken from what the subscription adds later.
-- Errors: those of add_store_credits, but for request_conflict; check_violation for an amount
--   below zero.
DECLARE
    v_subscription store_subscriptions;
    v_request_id text;
BEGIN
    SELECT s.* INTO v_subscription FROM store_subscriptions s
    WHERE s.paddle_subscription_id = p_subscription_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_subscription';
    ELSIF EXISTS (SELECT FROM payments p WHERE p.paddle_transaction_id = p_transaction_id) THEN
        RETURN 'already_booked';
    ELSIF EXISTS (
        SELECT FROM payments p
        WHERE p.paddle_subscription_id = p_subscription_id
          AND p.period_starts_at = p_period_starts_at AND p.kind = 'subscription') THEN
        RETURN 'period_paid';
    END IF;
    PERFORM FROM payments p WHERE p.paddle_subscription_id = p_subscription_id
    ORDER BY p.paddle_transaction_id FOR UPDATE;

    v_request_id := CASE WHEN p_period_starts_at IS NULL
        THEN 'subscription_update:' || p_transaction_id
        ELSE format('subscription:%s:%s', p_subscription_id,
            to_char(p_period_starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) END;
    IF p_credits > 0 THEN
        BEGIN
            IF NOT add_store_credits(v_subscription.store_id, p_credits::int, 'subscription',
                v_request_id, 'Subscription: ' || p_plan) THEN
                RETURN 'conflict';
            END IF;
        EXCEPTION WHEN SQLSTATE 'SC004' THEN
            RETURN 'conflict';
        END;
    END IF;
    INSERT INTO payments
        (paddle_transaction_id, store_id, checkout_id, paddle_subscription_id, paid_at,
         period_starts_at, kind, credits, amount, currency, request_id)
    VALUES
        (p_transaction_id, v_subscription.store_id, v_subscription.checkout_id, p_subscription_id,
         p_paid_at, p_period_starts_at, 'subscription', greatest(p_credits, 0), p_amount,
         p_currency, v_request_id);
    IF p_credits < 0 THEN
        PERFORM take_back_after_downgrade(p_transaction_id, p_subscription_id, -p_credits);
    ELSIF p_credits > 0 THEN
        PERFORM take_what_downgrades_missed(p_transaction_id, p_subscription_id, p_credits);
    END IF;
    RETURN 'booked';
END;
$$;
COMMENT ON FUNCTION book_subscription_payment(
    text, text, timestamptz, text, bigint, bigint, text, timestamptz) IS
    'Books a subscription''s payment of a period (once per period) or of a change within one, and '
    'adds its credits; takes them back where they are below zero. Outcome: booked, already_booked, '
    'unknown_subscription, period_paid, conflict; only booked writes.';

CREATE OR REPLACE FUNCTION take_back_after_downgrade(
    p_transaction_id text,
    p_subscription_id text,
    p_credits bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: a change gave money back for the rest of a period: take so many credits back, from the
--   subscription's newest payments first and from none more than it added. Never below zero: what
--   could not be taken stands in `clawbacks`, as after a refund. So does what was never added, of
--   this very transaction: the payment it belongs to may be told later.
-- Locks: the caller holds the subscription's row and payments; the store's credit row. Idempotency:
--   the caller's, by transaction.
DECLARE
    v_left bigint := p_credits;
    v_part bigint;
    v_number int := 0;
    v_id text;
    v_payment record;
BEGIN
    FOR v_payment IN
        SELECT p.paddle_transaction_id, p.store_id, p.credits, p.amount, p.credits - coalesce((
            SELECT sum(c.credits) FROM clawbacks c
            WHERE c.paddle_transaction_id = p.paddle_transaction_id), 0) AS kept
        FROM payments p
        WHERE p.paddle_subscription_id = p_subscription_id AND p.kind <> 'overage'
          AND p.credits > 0
        ORDER BY p.paid_at DESC, p.paddle_transaction_id DESC
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_payment.kept);
        CONTINUE WHEN v_part < 1;
        v_number := v_number + 1;
        v_id := format('%s:%s', p_transaction_id, v_number);
        INSERT INTO clawbacks (adjustment_id, paddle_transaction_id, action, amount, credits, taken)
        VALUES (v_id, v_payment.paddle_transaction_id, 'downgrade',
            floor(v_payment.amount::numeric * v_part / v_payment.credits), v_part,
            claw_back_store_credits(v_payment.store_id, v_part::int, v_id, 'Downgrade'));
        v_left := v_left - v_part;
    END LOOP;
    IF v_left > 0 THEN
        INSERT INTO clawbacks (adjustment_id, paddle_transaction_id, action, amount, credits, taken)
        VALUES (p_transaction_id, p_transaction_id, 'downgrade', 0, v_left, 0);
    END IF;
END;
$$;
COMMENT ON FUNCTION take_back_after_downgrade(text, text, bigint) IS
    'Takes back credits of a subscription''s payments, newest first, for money that a change within '
    'a period gave back. For book_subscription_payment, which holds the rows.';

CREATE OR REPLACE FUNCTION take_what_downgrades_missed(
    p_transaction_id text,
    p_subscription_id text,
    p_credits bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
-- Purpose: the store had spent what earlier downgrades of the subscription gave its money back for,
--   and that money pays for what has just been added: take what was missing from these p_credits,
--   and from no others. Else whoever goes up and down again and again is given credits for nothing.
--   What the operator has dismissed is forgiven.
-- Locks: the caller holds the subscription's row and payments; the clawbacks, the store's credit
--   row. Idempotency: the caller's, by transaction.
DECLARE
    v_left bigint := p_credits;
    v_part bigint;
    v_number int := 0;
    v_id text;
    v_short record;
BEGIN
    FOR v_short IN
        SELECT c.adjustment_id, c.paddle_transaction_id, c.credits - c.taken AS missing, p.store_id
        FROM payments p JOIN clawbacks c USING (paddle_transaction_id)
        WHERE p.paddle_subscription_id = p_subscription_id AND c.action = 'downgrade'
          AND c.taken < c.credits AND c.dismissed_at IS NULL
        ORDER BY c.created_at, c.adjustment_id
        FOR UPDATE OF c
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_short.missing);
        v_number := v_number + 1;
        v_id := format('%s:%s', p_transaction_id, v_number);
        -- It moves over to a clawback of its own, which is met by a movement of its own.
        UPDATE clawbacks c SET credits = c.credits - v_part
        WHERE c.adjustment_id = v_short.adjustment_id;
        INSERT INTO clawbacks (adjustment_id, paddle_transaction_id, action, amount, credits, taken)
        VALUES (v_id, v_short.paddle_transaction_id, 'downgrade', 0, v_part,
            claw_back_store_credits(v_short.store_id, v_part::int, v_id, 'Downgrade'));
        v_left := v_left - v_part;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION take_what_downgrades_missed(text, text, bigint) IS
    'Takes from credits that a subscription has just added what its earlier downgrades could not '
    'take back. For book_subscription_payment, which holds the rows.';

CREATE OR REPLACE FUNCTION apply_subscription_state(
    p_subscription_id text,
    p_transaction_id text,
    p_checkout_id uuid,
    p_store_id uuid,
    p_status text,
    p_occurred_at timestamptz,
    p_period_starts_at timestamptz,
    p_period_ends_at timestamptz,
    p_plans text[],
    p_plan text DEFAULT NULL,
    p_credits bigint DEFAULT NULL,
    p_amount bigint DEFAULT NULL,
    p_currency text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: keep what Paddle says of a subscription, and let the store's tier follow it. Of the
--   transaction, checkout and store that Paddle names, null is no claim. p_plan and the three after
--   it are the plan that its items are now, by our record; null: none that is known, and it stays.
-- The tier is the plan of the store's largest subscription that is paid for (active, trialing,
--   past_due), else 'default'. A tier that is neither 'default' nor a plan (one of p_plans, which
--   are on sale, or one that the store ever subscribed to) was set by the operator's hand, stays.
-- Locks: the store's row. Idempotent: a state that is no newer than the one applied is `stale`.
-- Which checkout began it is known from its transaction alone: custom data can be written by the
--   buyer, and that of a dearer checkout would bring a dearer plan's tier.
-- Outcomes: applied | stale | unknown_subscription (it may be known later: no transaction is named)
--   | unknown_checkout (none of ours began it) | mismatch (it claims another store or checkout than
--   our record says, or a checkout that began another subscription).
-- Errors: check_violation for an unknown status.
DECLARE
    v_checkout checkouts;
    v_plans text[];
    v_tier text;
    v_tier_before text;
BEGIN
    SELECT c.* INTO v_checkout FROM store_subscriptions s JOIN checkouts c USING (checkout_id)
    WHERE s.paddle_subscription_id = p_subscription_id;
    IF NOT FOUND AND p_transaction_id IS NULL THEN
        RETURN 'unknown_subscription';
    ELSIF NOT FOUND THEN
        SELECT c.* INTO v_checkout FROM checkouts c
        WHERE c.paddle_transaction_id = p_transaction_id;
    END IF;
    IF v_checkout.checkout_id IS NULL THEN
        RETURN 'unknown_checkout';
    ELSIF v_checkout.purchase_type <> 'subscription'
        OR p_transaction_id <> v_checkout.paddle_transaction_id
        OR p_checkout_id <> v_checkout.checkout_id
        OR p_store_id <> v_checkout.store_id THEN
        RETURN 'mismatch';
    END IF;

    SELECT s.tier INTO v_tier_before FROM stores s
    WHERE s.store_id = v_checkout.store_id FOR UPDATE;
    IF EXISTS (
        SELECT FROM store_subscriptions s
        WHERE s.store_id = v_checkout.store_id AND s.checkout_id = v_checkout.checkout_id
          AND s.paddle_subscription_id <> p_subscription_id) THEN
        RETURN 'mismatch';
    END IF;
    v_plans := p_plans || 'default'::text || v_checkout.plan || ARRAY(
        SELECT s.plan FROM store_subscriptions s WHERE s.store_id = v_checkout.store_id);
    INSERT INTO store_subscriptions AS s
        (store_id, paddle_subscription_id, checkout_id, occurred_at, period_starts_at,
         period_ends_at, status, plan, credits, amount, currency)
    VALUES
        (v_checkout.store_id, p_subscription_id, v_checkout.checkout_id, p_occurred_at,
         p_period_starts_at, p_period_ends_at, p_status, coalesce(p_plan, v_checkout.plan),
         coalesce(p_credits, v_checkout.credits), coalesce(p_amount, v_checkout.amount),
         coalesce(p_currency, v_checkout.currency))
    ON CONFLICT (store_id, paddle_subscription_id) DO UPDATE
    SET occurred_at = excluded.occurred_at, status = excluded.status,
        plan = coalesce(p_plan, s.plan), credits = coalesce(p_credits, s.credits),
        amount = coalesce(p_amount, s.amount), currency = coalesce(p_currency, s.currency),
        -- A canceled subscription has no current period; its last one stays known.
        period_starts_at = coalesce(excluded.period_starts_at, s.period_starts_at),
        period_ends_at = coalesce(excluded.period_ends_at, s.period_ends_at)
    WHERE s.occurred_at < excluded.occurred_at;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;

    v_tier := coalesce(
        (SELECT s.plan FROM store_subscriptions s
         WHERE s.store_id = v_checkout.store_id
           AND s.status IN ('active', 'trialing', 'past_due')
         ORDER BY s.credits DESC, s.plan LIMIT 1),
        'default');
    IF v_tier <> v_tier_before AND v_tier_before = ANY (v_plans) THEN
        PERFORM update_store(v_checkout.store_id, p_tier => v_tier);
    END IF;
    RETURN 'applied';
END;
$$;
COMMENT ON FUNCTION apply_subscription_state(
    text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, text[],
    text, bigint, bigint, text) IS
    'Keeps the newest state and plan of a subscription; the store''s tier follows it unless the '
    'operator set it by hand. Outcome: applied, stale, unknown_subscription, unknown_checkout, mismatch.';
