-- Checkouts, payments, adjustments and events: how money becomes credits, and back. Those of
-- subscriptions stand in subscriptions.sql.
--
-- What a payment is worth, and to whom, is our own record: the checkout that was opened, the price
-- that is known for a plan's. What was paid for it, and goes back, is as Paddle says. Each function books in its one
-- transaction the payment and the ledger's row, or neither, and answers what it came to: called
-- again with the same ids it changes nothing.
--
-- Lock order: a checkout, subscription, payment, bill or store row first, then the buyer's credit
-- row.

CREATE OR REPLACE FUNCTION open_checkout(
    p_checkout_id uuid,
    p_store_id uuid,
    p_user_id uuid,
    p_purchase_type text,
    p_plan text,
    p_credits bigint,
    p_amount bigint,
    p_currency text,
    p_request_id text
)
RETURNS TABLE (outcome text, checkout checkouts)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: record what is about to be sold to a store or a user, before Paddle is asked.
-- Locks: the new row; the buyer's credit row against deletion. Idempotent by (buyer, request id).
-- Outcomes: opened | replayed (the checkout this request opened before; whether it is the same
--   order is for the caller to compare) | used (the request id has added credits by another way)
--   | subscribed (a subscription, and the store has one that runs) | unknown_buyer. `checkout` is
--   null for the last three.
-- Errors: check_violation for values that no catalogue has.
BEGIN
    INSERT INTO checkouts AS c
        (checkout_id, store_id, user_id, purchase_type, plan, credits, amount, currency, request_id)
    SELECT p_checkout_id, p_store_id, p_user_id, p_purchase_type, p_plan, p_credits, p_amount,
        p_currency, p_request_id
    WHERE (EXISTS (SELECT FROM store_credits s WHERE s.store_id = p_store_id)
           OR EXISTS (SELECT FROM user_credits u WHERE u.user_id = p_user_id))
      AND NOT EXISTS (
          SELECT FROM store_credit_transactions t
          WHERE t.store_id = p_store_id AND t.request_id = p_request_id
            AND t.type IN ('purchase', 'subscription', 'grant'))
      AND NOT EXISTS (
          SELECT FROM credit_transactions t
          WHERE t.user_id = p_user_id AND t.request_id = p_request_id
            AND t.type IN ('purchase', 'signup_bonus', 'grant'))
      AND NOT (p_purchase_type = 'subscription' AND EXISTS (
          SELECT FROM store_subscriptions s
          WHERE s.store_id = p_store_id AND s.status <> 'canceled'))
    ON CONFLICT DO NOTHING
    RETURNING c.* INTO checkout;
    IF FOUND THEN
        outcome := 'opened';
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT c.* INTO checkout FROM checkouts c
    WHERE (c.store_id = p_store_id OR c.user_id = p_user_id) AND c.request_id = p_request_id;
    IF FOUND THEN
        outcome := 'replayed';
    ELSIF p_purchase_type = 'subscription' AND EXISTS (
        SELECT FROM store_subscriptions s
        WHERE s.store_id = p_store_id AND s.status <> 'canceled') THEN
        checkout := NULL;
        outcome := 'subscribed';
    ELSIF EXISTS (SELECT FROM store_credits s WHERE s.store_id = p_store_id)
        OR EXISTS (SELECT FROM user_credits u WHERE u.user_id = p_user_id) THEN
        checkout := NULL;
        outcome := 'used';
    ELSE
        checkout := NULL;
        outcome := 'unknown_buyer';
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION
    open_checkout(uuid, uuid, uuid, text, text, bigint, bigint, text, text) IS
    'Records what is about to be sold to a store or user. Outcome: opened, replayed, used (the '
    'request id has added credits by another way), subscribed, unknown_buyer. Idempotent by request '
    'id.';

CREATE OR REPLACE FUNCTION attach_checkout(
    p_checkout_id uuid,
    p_transaction_id text,
    p_checkout_url text,
    p_price_id text DEFAULT NULL
)
RETURNS checkouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: tie a checkout to the transaction that Paddle made for it, and to the price it made
--   with it: the first one, for ever. By that price a subscription is known for what was sold.
-- Locks: the checkout's row. Idempotent: a later transaction changes nothing.
-- Outcomes: the checkout with the transaction that is attached; null: no such checkout.
-- Errors: unique_violation for a transaction that belongs to another checkout.
DECLARE
    v_checkout checkouts;
BEGIN
    UPDATE checkouts c
    SET paddle_transaction_id = p_transaction_id, checkout_url = p_checkout_url,
        paddle_price_id = p_price_id
    WHERE c.checkout_id = p_checkout_id AND c.paddle_transaction_id IS NULL;
    SELECT c.* INTO v_checkout FROM checkouts c WHERE c.checkout_id = p_checkout_id;
    RETURN v_checkout;
END;
$$;
COMMENT ON FUNCTION attach_checkout(uuid, text, text, text) IS
    'Ties a checkout to its transaction and price at Paddle, once, and returns it as it is then.';

CREATE OR REPLACE FUNCTION book_checkout(
    p_transaction_id text,
    p_subscription_id text,
    p_period_starts_at timestamptz,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_discount bigint DEFAULT 0
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: a checkout was paid: its payment, and its credits in the buyer's ledger under its
--   request id, as purchase or as a subscription's first period. A discount, which the operator
--   grants at Paddle, takes nothing from the credits: it makes the payment that may go back less.
-- Locks: the checkout's row, its subscription's, then the buyer's credit row. Idempotent by
--   transaction.
-- Outcomes: booked | already_booked | unknown_transaction | mismatch (amount before the discount,
--   currency or kind are not those of the checkout, or the discount is more than that) | period_paid (another transaction paid this period)
--   | conflict (the request id has added other credits). Only `booked` writes.
-- Errors: those of add_store_credits and add_credits, but for request_conflict.
DECLARE
    v_checkout checkouts;
    v_added boolean;
    v_what text;
BEGIN
    SELECT c.* INTO v_checkout FROM checkouts c
    WHERE c.paddle_transaction_id = p_transaction_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_transaction';
    ELSIF EXISTS (SELECT FROM payments p WHERE p.paddle_transaction_id = p_transaction_id) THEN
        RETURN 'already_booked';
    ELSIF (p_amount, p_currency) IS DISTINCT FROM (v_checkout.amount, v_checkout.currency)
        OR (p_discount BETWEEN 0 AND p_amount) IS NOT TRUE
        OR (p_subscription_id IS NOT NULL AND v_checkout.purchase_type <> 'subscription') THEN
        RETURN 'mismatch';
    ELSIF v_checkout.purchase_type = 'subscription' AND EXISTS (
        SELECT FROM payments p
        WHERE p.paddle_subscription_id = p_subscription_id
          AND p.period_starts_at = p_period_starts_at AND p.kind = 'subscription') THEN
        RETURN 'period_paid';
    END IF;

    PERFORM FROM store_subscriptions s
    WHERE s.paddle_subscription_id = p_subscription_id FOR UPDATE;
    v_what := CASE v_checkout.purchase_type WHEN 'credits' THEN 'purchase' ELSE 'subscription' END;
    BEGIN
        IF v_checkout.store_id IS NOT NULL THEN
            v_added := add_store_credits(v_checkout.store_id, v_checkout.credits::int, v_what,
                v_checkout.request_id, initcap(v_what) || ': ' || v_checkout.plan);
        ELSE
            v_added := add_credits(v_checkout.user_id, v_checkout.credits::int, v_what,
                v_checkout.request_id, initcap(v_what) || ': ' || v_checkout.plan);
        END IF;
    EXCEPTION WHEN SQLSTATE 'SC004' THEN
        v_added := false;
    END;
    IF NOT v_added THEN
        -- The credits that stand under this request id are not this payment's.
        RETURN 'conflict';
    END IF;

    INSERT INTO payments
        (paddle_transaction_id, store_id, user_id, checkout_id, paddle_subscription_id, paid_at,
         period_starts_at, kind, credits, amount, currency, request_id)
    VALUES
        (p_transaction_id, v_checkout.store_id, v_checkout.user_id, v_checkout.checkout_id,
         p_subscription_id, p_paid_at,
         CASE v_what WHEN 'subscription' THEN p_period_starts_at END, v_what, v_checkout.credits,
         v_checkout.amount - p_discount, v_checkout.currency, v_checkout.request_id);
    PERFORM take_what_downgrades_missed(p_transaction_id, p_subscription_id, v_checkout.credits);
    RETURN 'booked';
END;
$$;
COMMENT ON FUNCTION
    book_checkout(text, text, timestamptz, bigint, text, timestamptz, bigint) IS
    'Books a paid checkout and adds its credits, once. Outcome: booked, already_booked, '
    'unknown_transaction, mismatch, period_paid, conflict; only booked writes.';

CREATE OR REPLACE FUNCTION book_overage_payment(
    p_transaction_id text,
    p_subscription_id text,
    p_period date,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_discount bigint DEFAULT 0
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: a store paid its overage of one month. No credits move: they were used before.
-- Locks: the bill's row, then the store's credit row against deletion. Idempotent by transaction.
-- Outcomes: booked | already_booked | unknown_subscription | unknown_bill | mismatch (amount
--   before the discount or currency are not the bill's, or the discount is more than that) | period_paid (by another transaction). Only `booked` writes.
DECLARE
    v_store_id uuid;
    v_bill store_overage_bills;
BEGIN
    SELECT s.store_id INTO v_store_id FROM store_subscriptions s
    WHERE s.paddle_subscription_id = p_subscription_id;
    IF NOT FOUND THEN
        RETURN 'unknown_subscription';
    END IF;
    SELECT b.* INTO v_bill FROM store_overage_bills b
    WHERE b.store_id = v_store_id AND b.period = p_period FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_bill';
    ELSIF EXISTS (SELECT FROM payments p WHERE p.paddle_transaction_id = p_transaction_id) THEN
        RETURN 'already_booked';
    ELSIF (p_amount, p_currency) IS DISTINCT FROM (v_bill.amount, v_bill.currency)
        OR (p_discount BETWEEN 0 AND p_amount) IS NOT TRUE THEN
        RETURN 'mismatch';
    ELSIF v_bill.paddle_transaction_id <> p_transaction_id OR EXISTS (
        SELECT FROM payments p
        WHERE p.store_id = v_store_id AND p.kind = 'overage'
          AND p.request_id = v_bill.request_id) THEN
        RETURN 'period_paid';
    END IF;

    -- Whoever sent the charge may have lost the answer, and need not look for it any more.
    PERFORM record_store_overage_charge(v_store_id, p_period, p_transaction_id);
    INSERT INTO payments
        (paddle_transaction_id, store_id, paddle_subscription_id, paid_at, kind, credits, amount,
         currency, request_id)
    VALUES
        (p_transaction_id, v_store_id, p_subscription_id, p_paid_at, 'overage', v_bill.credits,
         v_bill.amount - p_discount, v_bill.currency, v_bill.request_id);
    RETURN 'booked';
END;
$$;
COMMENT ON FUNCTION
    book_overage_payment(text, text, date, bigint, text, timestamptz, bigint) IS
    'Books the payment of a store''s overage bill; moves no credits. Outcome: booked, '
    'already_booked, unknown_subscription, unknown_bill, mismatch, period_paid.';

CREATE OR REPLACE FUNCTION book_adjustment(
    p_adjustment_id text,
    p_transaction_id text,
    p_action text,
    p_is_full boolean,
    p_amount bigint,
    p_currency text
)
RETURNS TABLE (outcome text, credits bigint, taken bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: money of a payment went back: take back its credits, in proportion, rounded down over
--   all adjustments of the payment together; everything that is left of them when it is full.
--   Never below zero: what could not be taken stands in `clawbacks` as credits less taken.
-- Locks: the payment's row, then the buyer's credit row. Idempotent by adjustment.
-- Outcomes: booked | already_booked | unknown_payment (it may be known later) | mismatch (another
--   currency, or no amount). `credits` were asked for and `taken`; 0 for an overage payment.
-- Errors: those of claw_back_store_credits and claw_back_credits.
DECLARE
    v_payment payments;
    v_amount numeric;
    v_credits bigint;
BEGIN
    SELECT p.* INTO v_payment FROM payments p
    WHERE p.paddle_transaction_id = p_transaction_id FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_payment';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT c.credits, c.taken INTO credits, taken
    FROM clawbacks c WHERE c.adjustment_id = p_adjustment_id;
    IF FOUND THEN
        outcome := 'already_booked';
        RETURN NEXT;
        RETURN;
    ELSIF p_currency IS DISTINCT FROM v_payment.currency OR p_amount IS NULL OR p_amount < 0 THEN
        outcome := 'mismatch';
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT coalesce(sum(c.amount), 0) + p_amount, coalesce(sum(c.credits), 0)
    INTO v_amount, v_credits
    FROM clawbacks c WHERE c.paddle_transaction_id = p_transaction_id;
    credits := CASE
        WHEN v_payment.kind = 'overage' THEN 0
        WHEN p_is_full THEN greatest(0, v_payment.credits - v_credits)
        -- Nothing was paid, and so nothing can have gone back but the tax.
        WHEN v_payment.amount = 0 THEN 0
        -- A full one, or a downgrade, before may have asked for more than its amount's share.
        WHEN v_amount >= v_payment.amount THEN greatest(0, v_payment.credits - v_credits)
        ELSE greatest(0, floor(v_payment.credits * v_amount / v_payment.amount) - v_credits) END;
    taken := CASE
        WHEN credits = 0 THEN 0
        WHEN v_payment.store_id IS NOT NULL THEN claw_back_store_credits(
            v_payment.store_id, credits::int, p_adjustment_id, initcap(p_action))
        ELSE claw_back_credits(
            v_payment.user_id, credits::int, p_adjustment_id, initcap(p_action)) END;
    INSERT INTO clawbacks AS c
        (adjustment_id, paddle_transaction_id, action, amount, credits, taken)
    VALUES (p_adjustment_id, p_transaction_id, p_action, p_amount, book_adjustment.credits,
        book_adjustment.taken);
    outcome := 'booked';
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION book_adjustment(text, text, text, boolean, bigint, text) IS
    'Takes back the credits of a payment that was refunded or charged back, in proportion and never '
    'below zero, once. Outcome: booked, already_booked, unknown_payment, mismatch.';

CREATE OR REPLACE FUNCTION receive_paddle_event(
    p_event_id text,
    p_event_type text,
    p_occurred_at timestamptz,
    p_content json,
    p_status text DEFAULT 'received',
    p_reason text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: keep an event that Paddle sent; settled at once when it is not ours to process.
-- Locks: the new row. Idempotent by event id.
-- Outcomes: true: new; false: it was kept before, and is as it was.
-- Errors: check_violation for an unknown status.
BEGIN
    INSERT INTO paddle_events
        (event_id, event_type, occurred_at, content, status, reason, settled_at)
    VALUES
        (p_event_id, p_event_type, p_occurred_at, p_content, p_status, p_reason,
         CASE WHEN p_status IN ('processed', 'ignored', 'set_aside') THEN now() END)
    ON CONFLICT (event_id) DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION receive_paddle_event(text, text, timestamptz, json, text, text) IS
    'Keeps an event that Paddle sent, once. true: new; false: known before.';

CREATE OR REPLACE FUNCTION settle_paddle_event(
    p_event_id text,
    p_status text,
    p_reason text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_foreign_subscription_id text DEFAULT NULL,
    p_foreign_transaction_id text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: say what became of an event: processed, ignored or set_aside. Events that are set aside
--   with the same subject are one problem. One that is not ours keeps the subscription and the
--   transaction it names.
-- Locks: the event's row. Idempotent: the first settlement stays.
-- Outcomes: true: settled now; false: no such event, or it was settled.
-- Errors: check_violation for a status that settles nothing.
BEGIN
    UPDATE paddle_events e
    SET status = p_status, reason = p_reason, subject = p_subject, settled_at = now(),
        attempts = e.attempts + 1, foreign_subscription_id = p_foreign_subscription_id,
        foreign_transaction_id = p_foreign_transaction_id
    WHERE e.event_id = p_event_id AND e.status IN ('received', 'failing');
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION settle_paddle_event(text, text, text, text, text, text) IS
    'Settles an event as processed, ignored or set_aside. true: now; false: unknown or settled.';

CREATE OR REPLACE FUNCTION reopen_foreign_paddle_events()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: events were ignored as not ours, and the subscription that they name is known by now,
--   or the operator has booked their transaction: they are to be processed.
-- Locks: their rows. Idempotent: each is reopened once.
-- Outcomes: how many there were.
DECLARE
    v_subscribed bigint;
    v_booked bigint;
BEGIN
    UPDATE paddle_events e
    SET status = 'received', attempts = 0, settled_at = NULL, foreign_subscription_id = NULL,
        foreign_transaction_id = NULL
    FROM store_subscriptions s
    WHERE e.foreign_subscription_id = s.paddle_subscription_id AND e.status = 'ignored';
    GET DIAGNOSTICS v_subscribed = ROW_COUNT;
    UPDATE paddle_events e
    SET status = 'received', attempts = 0, settled_at = NULL, foreign_subscription_id = NULL,
        foreign_transaction_id = NULL
    FROM payments p
    WHERE e.foreign_transaction_id = p.paddle_transaction_id AND e.status = 'ignored'
      -- Its subscription, of which it may be the first payment, is no more ours than before.
      AND e.event_type NOT LIKE 'subscription.%';
    GET DIAGNOSTICS v_booked = ROW_COUNT;
    RETURN v_subscribed + v_booked;
END;
$$;
COMMENT ON FUNCTION reopen_foreign_paddle_events() IS
    'Lets events be processed that were ignored as not ours, and whose subscription is known by now, '
    'or whose transaction was booked by hand.';

CREATE OR REPLACE FUNCTION note_paddle_event_failure(
    p_event_id text,
    p_reason text,
    p_attempts_max int
)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: count an attempt at an event that came to nothing; the last one sets it aside.
-- Locks: the event's row. Idempotency: none; each call is an attempt.
-- Outcomes: the attempts so far, if it is to be tried again; null: it is settled, now or before.
DECLARE
    v_attempts int;
    v_status text;
BEGIN
    UPDATE paddle_events e
    SET attempts = e.attempts + 1,
        reason = p_reason,
        status = CASE WHEN e.attempts + 1 < p_attempts_max THEN 'failing' ELSE 'set_aside' END,
        settled_at = CASE WHEN e.attempts + 1 < p_attempts_max THEN NULL ELSE now() END
    WHERE e.event_id = p_event_id AND e.status IN ('received', 'failing')
    RETURNING e.attempts, e.status INTO v_attempts, v_status;
    RETURN CASE v_status WHEN 'failing' THEN v_attempts END;
END;
$$;
COMMENT ON FUNCTION note_paddle_event_failure(text, text, int) IS
    'Counts a failed attempt at an event; the last one sets it aside. Returns the attempts while it '
    'is to be tried again, null once it is settled.';

CREATE OR REPLACE FUNCTION dismiss_billing_problem(
    p_id text
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: the operator has dealt with an event that was set aside (its id; others with the same
--   subject go with it), or with credits that could not be taken back (the adjustment's id); it is
--   no longer shown. Moves no credits.
-- Locks: the rows. Idempotent.
-- Outcomes: true: dismissed now; false: there is no such problem.
BEGIN
    UPDATE paddle_events e SET status = 'ignored', settled_at = now()
    FROM paddle_events x
    WHERE x.event_id = p_id AND x.status = 'set_aside' AND e.status = 'set_aside'
      AND (e.event_id = p_id OR e.subject = x.subject);
    IF FOUND THEN
        RETURN true;
    END IF;
    UPDATE clawbacks c SET dismissed_at = now()
    WHERE c.adjustment_id = p_id AND c.taken < c.credits AND c.dismissed_at IS NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION dismiss_billing_problem(text) IS
    'The operator has dealt with an event that was set aside, or a clawback that fell short. '
    'false: there is no such problem. Moves no credits.';

CREATE OR REPLACE FUNCTION retry_paddle_event(
    p_event_id text
)
RETURNS text[]
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: process an event anew that was set aside, with all its attempts before it, and with it
--   all that were set aside with the same subject.
-- Locks: the events' rows. Idempotent.
-- Outcomes: the events that are to be processed; none: no such event, it is not set aside, or
--   nothing is kept of it that could be processed.
DECLARE
    v_events text[];
BEGIN
    WITH retried AS (
        UPDATE paddle_events e
        SET status = 'received', attempts = 0, settled_at = NULL, subject = NULL
        FROM paddle_events x
        WHERE x.event_id = p_event_id AND x.status = 'set_aside' AND x.content IS NOT NULL
          AND e.status = 'set_aside' AND e.content IS NOT NULL
          AND (e.event_id = p_event_id OR e.subject = x.subject)
        RETURNING e.event_id)
    SELECT coalesce(array_agg(r.event_id ORDER BY r.event_id), '{}') INTO v_events FROM retried r;
    RETURN v_events;
END;
$$;
COMMENT ON FUNCTION retry_paddle_event(text) IS
    'Lets an event that was set aside be processed anew, and others with the same subject. Returns '
    'them; none: unknown, not set aside, or empty.';
