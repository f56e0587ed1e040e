-- Payments: money that came in becomes credits, each payment once. One that the operator books by
-- hand stands in bookings.sql.
--
-- A subscription's payment is worth what its lines are by our own record; the caller has worked that
-- out, as `p_credits`. Of a change within a period that is the new plan's part less the old one's,
-- and may be below zero: then money went back to the customer's balance at the provider, and credits
-- go with it.

CREATE OR REPLACE FUNCTION book_checkout(
    p_provider text,
    p_transaction_id text,
    p_subscription_id text,
    p_period_starts_at timestamptz,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_discount bigint DEFAULT 0,
    p_period_ends_at timestamptz DEFAULT NULL,
    p_grace interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a checkout was paid: its payment, and its credits in the buyer's ledger under its
--   request id, as purchase or as a subscription's first period. They expire as the checkout says:
--   so many days after they came, or with the period. A discount, which the operator grants at the
--   provider, takes nothing from the credits: it makes the payment that may go back less.
-- Locks: the checkout's row, its subscription's, then the account. Idempotent by transaction.
-- Outcomes: booked | already_booked | unknown_transaction | mismatch (amount before the discount,
--   currency or kind are not those of the checkout, or the discount is more than that)
--   | period_paid (another transaction paid this period) | conflict (the request id has added other
--   credits). Only `booked` writes.
-- Errors: those of add_to_account, but for request_conflict.
DECLARE
    v_checkout checkouts;
    v_payment payments;
    v_terms record;
BEGIN
    SELECT c.* INTO v_checkout FROM checkouts c
    WHERE c.provider = p_provider AND c.provider_transaction_id = p_transaction_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_transaction';
    ELSIF is_booked(p_provider, p_transaction_id) THEN
        RETURN 'already_booked';
    ELSIF (p_amount, p_currency) IS DISTINCT FROM (v_checkout.amount, v_checkout.currency)
        OR (p_discount BETWEEN 0 AND p_amount) IS NOT TRUE
        OR (p_subscription_id IS NOT NULL AND v_checkout.purchase_type <> 'subscription') THEN
        RETURN 'mismatch';
    END IF;
    PERFORM FROM subscriptions s
    WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id FOR UPDATE;
    v_payment.provider := p_provider;
    v_payment.provider_transaction_id := p_transaction_id;
    v_payment.provider_subscription_id := p_subscription_id;
    v_payment.account_id := v_checkout.account_id;
    v_payment.checkout_id := v_checkout.checkout_id;
    v_payment.paid_at := p_paid_at;
    v_payment.kind := CASE v_checkout.purchase_type
        WHEN 'credits' THEN 'purchase' ELSE 'subscription' END;
    v_payment.period_starts_at := CASE v_payment.kind
        WHEN 'subscription' THEN p_period_starts_at END;
    v_payment.credits := v_checkout.credits;
    v_payment.amount := v_checkout.amount - p_discount;
    v_payment.currency := v_checkout.currency;
    v_payment.request_id := v_checkout.request_id;
    v_terms := terms_of_period(p_period_starts_at, p_period_ends_at, v_checkout.rollover_max);
    RETURN book_payment(v_payment, initcap(v_payment.kind) || ': ' || v_checkout.plan,
        CASE v_payment.kind WHEN 'subscription' THEN v_terms.expires_at
            ELSE now() + make_interval(hours => 24 * v_checkout.expires_after_days) END,
        v_terms.rollover_max, v_terms.rollover_until, p_grace);
END;
$$;
COMMENT ON FUNCTION book_checkout(
    text, text, text, timestamptz, bigint, text, timestamptz, bigint, timestamptz, interval) IS
    'Books a paid checkout and adds its credits, once. Outcome: booked, already_booked, '
    'unknown_transaction, mismatch, period_paid, conflict; only booked writes.';

CREATE OR REPLACE FUNCTION book_subscription_payment(
    p_provider text,
    p_transaction_id text,
    p_subscription_id text,
    p_period_starts_at timestamptz,
    p_plan text,
    p_credits bigint,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz, p_period_ends_at timestamptz DEFAULT NULL,
    p_rollover_max bigint DEFAULT NULL, p_grace interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a subscription was billed: the payment, and its credits in the store's ledger. For a
--   period, under a request id that names subscription and period; for a change within a period
--   (p_period_starts_at is null), under one that names the transaction. They expire with the
--   period, but for p_rollover_max of them; null: they do not expire.
-- Locks: the subscription's row, its payments, then the account. Idempotent by transaction, and by
--   period: two transactions for one period add once.
-- Outcomes: booked | already_booked | unknown_subscription (it may be known later)
--   | period_paid (by another transaction) | conflict (the request id has added other credits).
--   Only `booked` writes. Credits below zero are taken back from the subscription's payments, as
--   far as there are any; what was missing then is taken from what the subscription adds later.
-- Errors: those of add_to_account, but for request_conflict; check_violation: an amount below zero.
DECLARE
    v_subscription subscriptions;
    v_payment payments;
    v_terms record;
    v_outcome text;
BEGIN
    SELECT s.* INTO v_subscription FROM subscriptions s
    WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_subscription';
    ELSIF is_booked(p_provider, p_transaction_id) THEN
        RETURN 'already_booked';
    END IF;
    PERFORM FROM payments p
    WHERE p.provider = p_provider AND p.provider_subscription_id = p_subscription_id
    ORDER BY p.provider_transaction_id FOR UPDATE;
    v_payment.provider := p_provider;
    v_payment.provider_transaction_id := p_transaction_id;
    v_payment.provider_subscription_id := p_subscription_id;
    v_payment.account_id := v_subscription.account_id;
    v_payment.checkout_id := v_subscription.checkout_id;
    v_payment.paid_at := p_paid_at;
    v_payment.kind := 'subscription';
    v_payment.period_starts_at := p_period_starts_at;
    v_payment.credits := greatest(p_credits, 0);
    v_payment.amount := p_amount;
    v_payment.currency := p_currency;
    v_payment.request_id := CASE WHEN p_period_starts_at IS NULL
        THEN 'subscription_update:' || p_transaction_id
        ELSE format('subscription:%s:%s', p_subscription_id,
            to_char(p_period_starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) END;
    v_terms := CASE WHEN p_period_starts_at IS NULL
        THEN terms_of_change(v_subscription, p_paid_at, p_period_ends_at, p_rollover_max)
        ELSE terms_of_period(p_period_starts_at, p_period_ends_at, p_rollover_max) END;
    v_outcome := book_payment(v_payment, 'Subscription: ' || p_plan,
        v_terms.expires_at, v_terms.rollover_max, v_terms.rollover_until, p_grace);
    IF v_outcome = 'booked' AND p_credits < 0 THEN
        PERFORM take_back_after_downgrade(v_payment, -p_credits);
    END IF;
    RETURN v_outcome;
END;
$$;
COMMENT ON FUNCTION book_subscription_payment(
    text, text, text, timestamptz, text, bigint, bigint, text, timestamptz, timestamptz, bigint,
    interval) IS
    'Books a subscription''s payment of a period (once per period) or of a change within one, and '
    'adds its credits; takes them back where they are below zero. Outcome: booked, already_booked, '
    'unknown_subscription, period_paid, conflict; only booked writes.';

CREATE OR REPLACE FUNCTION book_payment(
    p_payment payments,
    p_description text,
    p_expires_at timestamptz DEFAULT NULL,
    p_rollover_max bigint DEFAULT NULL,
    p_rollover_until timestamptz DEFAULT NULL,
    p_grace interval DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: the credits of a payment that is not booked yet, with their terms, and its row, or
--   neither. Of what a subscription adds, what its downgrades missed is taken at once.
--   p_actor: who books it by hand.
-- Locks: the caller holds the rows that the payment came of; the account. Idempotency: the caller's.
-- Outcomes: booked | period_paid (another transaction paid the subscription's period) | conflict
--   (the credits that stand under its request id are not this payment's). Only `booked` writes.
-- Errors: those of add_to_account, but for request_conflict; those of the table.
BEGIN
    IF p_payment.kind = 'subscription' AND EXISTS (
        SELECT FROM payments p
        WHERE p.provider = p_payment.provider
          AND p.provider_subscription_id = p_payment.provider_subscription_id
          AND p.period_starts_at = p_payment.period_starts_at AND p.kind = 'subscription') THEN
        RETURN 'period_paid';
    END IF;
    IF p_payment.credits > 0 THEN
        BEGIN
            IF NOT add_to_account(p_payment.account_id, p_payment.credits::int, p_payment.kind,
                p_payment.request_id, p_description, p_expires_at, p_grace => p_grace,
                p_rollover_max => p_rollover_max, p_rollover_until => p_rollover_until,
                p_actor => p_actor) THEN
                RETURN 'conflict';
            END IF;
        EXCEPTION WHEN SQLSTATE 'SC004' THEN
            RETURN 'conflict';
        END;
    END IF;
    p_payment.created_at := now();
    INSERT INTO payments SELECT (p_payment).*;
    IF p_payment.kind = 'subscription' AND p_payment.credits > 0 THEN
        PERFORM take_what_downgrades_missed(p_payment);
    END IF;
    RETURN 'booked';
END;
$$;
COMMENT ON FUNCTION book_payment(
    payments, text, timestamptz, bigint, timestamptz, interval, text) IS
    'Books a payment and adds its credits. Outcome: booked, period_paid, conflict; only booked '
    'writes. For the functions that know what was paid.';

CREATE OR REPLACE FUNCTION is_booked(p_provider text, p_transaction_id text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether a provider's transaction was booked. Locks: none.
BEGIN
    RETURN EXISTS (
        SELECT FROM payments p
        WHERE p.provider = p_provider AND p.provider_transaction_id = p_transaction_id);
END;
$$;
COMMENT ON FUNCTION is_booked(text, text) IS
    'Whether a provider''s transaction was booked.';

CREATE OR REPLACE FUNCTION book_charge_payment(
    p_provider text,
    p_transaction_id text,
    p_subscription_id text,
    p_request_id text,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_discount bigint DEFAULT 0,
    p_grace interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a store paid what its subscription was charged. A top-up adds its credits, as a purchase. For
--   overage none move: they were used before.
-- Locks: the charge's row, then the account. Idempotent by transaction.
-- Outcomes: booked | already_booked | unknown_subscription | unknown_charge | mismatch (amount
--   before the discount or currency are not the charge's, or the discount is more than that)
--   | charge_paid (by another transaction) | conflict (the request id has added other credits).
--   Only `booked` writes; `already_booked` by hand, too: that the charge was made.
-- Errors: those of add_to_account, but for request_conflict.
DECLARE
    v_charge subscription_charges;
    v_payment payments;
    v_account_id bigint := (
        SELECT s.account_id FROM subscriptions s
        WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id);
BEGIN
    IF v_account_id IS NULL THEN
        RETURN 'unknown_subscription';
    END IF;
    SELECT b.* INTO v_charge FROM subscription_charges b
    WHERE b.account_id = v_account_id AND b.request_id = p_request_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown_charge';
    ELSIF is_booked(p_provider, p_transaction_id) THEN
        PERFORM record_subscription_charge(v_account_id, p_request_id, p_transaction_id);
        RETURN 'already_booked';
    ELSIF (p_amount, p_currency) IS DISTINCT FROM (v_charge.amount, v_charge.currency)
        OR (p_discount BETWEEN 0 AND p_amount) IS NOT TRUE THEN
        RETURN 'mismatch';
    ELSIF (v_charge.provider, v_charge.provider_transaction_id) <> (p_provider, p_transaction_id)
        OR EXISTS (
            SELECT FROM payments p
            WHERE p.account_id = v_account_id AND p.request_id = v_charge.request_id
              AND p.kind = CASE v_charge.kind WHEN 'overage' THEN 'overage' ELSE 'purchase' END) THEN
        RETURN 'charge_paid';
    END IF;

    v_payment := (p_provider, p_transaction_id, v_account_id, NULL, p_subscription_id, p_paid_at, NULL,
        now(), CASE v_charge.kind WHEN 'overage' THEN 'overage' ELSE 'purchase' END, v_charge.credits,
        v_charge.amount - p_discount, v_charge.currency, v_charge.request_id);
    RETURN book_charge(v_charge, v_payment, p_grace);
END;
$$;
COMMENT ON FUNCTION
    book_charge_payment(text, text, text, text, bigint, text, timestamptz, bigint, interval) IS
    'Books the payment of what a subscription was charged, once. Outcome: booked, already_booked, '
    'unknown_subscription, unknown_charge, mismatch, charge_paid, conflict.';

CREATE OR REPLACE FUNCTION book_charge(
    p_charge subscription_charges, p_payment payments, p_grace interval
)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: the payment of a charge that is not booked yet, with the credits of a top-up, and that the
--   charge was made: whoever sent it may have lost the answer, and need not look for it any more.
-- Locks: the caller holds the charge's row; the account. Idempotency: the caller's.
-- Outcomes: booked | conflict (nothing is written). Errors: those of book_payment.
DECLARE
    v_outcome text := 'booked';
BEGIN
    IF p_charge.kind = 'overage' THEN
        INSERT INTO payments SELECT (p_payment).*;
    ELSE
        v_outcome := book_payment(p_payment, 'Top-up',
            now() + make_interval(hours => 24 * p_charge.expires_after_days), p_grace => p_grace);
    END IF;
    PERFORM record_subscription_charge(
        p_charge.account_id, p_charge.request_id, p_payment.provider_transaction_id)
    WHERE v_outcome = 'booked';
    RETURN v_outcome;
END;
$$;
COMMENT ON FUNCTION book_charge(subscription_charges, payments, interval) IS
    'Books the payment of a charge, and the credits of a top-up. Outcome: booked, conflict. For '
    'book_charge_payment.';
