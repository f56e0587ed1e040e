-- Checkouts: what we asked a provider to sell. Our own record says what a payment is worth, and to
-- whom: this one, or the price that is known for a plan's. What was paid for it, and goes back, is as
-- the provider says.
--
-- All of billing/: each function writes what it books in one transaction, or nothing, and answers what
-- it came to: called again with the same ids it changes nothing. Ids of a provider are unique with it
-- only: every look-up by one names the provider.
--
-- Who is told that it was done before is told so only once synchronous standbys have it, too: it may be
-- seen here before that, after a crash of this server, or after a wait for them was cancelled. PostgreSQL
-- waits for them in transactions that write. So what such an answer stands on is locked FOR KEY SHARE,
-- which writes, and waits for nobody but who deletes the row.
--
-- Lock order: a checkout, subscription, payment, bill or store row first, then the buyer's account.

CREATE OR REPLACE FUNCTION open_checkout(
    p_checkout_id uuid,
    p_account_id bigint,
    p_provider text,
    p_purchase_type text,
    p_plan text,
    p_credits bigint,
    p_amount bigint,
    p_currency text,
    p_request_id text,
    p_rollover_max bigint DEFAULT NULL,
    p_expires_after_days int DEFAULT NULL
)
RETURNS TABLE (outcome text, checkout checkouts)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: record what is about to be sold, before the provider is asked.
-- Locks: the row; the buyer's account against deletion. Idempotent by (account, request id).
-- Outcomes: opened | replayed (the checkout this request opened before; whether it is the same
--   order is for the caller to compare) | used (the request id has added credits by another way)
--   | subscribed (a subscription, and the store has one that runs) | unknown_buyer. `checkout` is
--   null for the last three.
-- Errors: invalid_type (a subscription for an end user); check_violation for values that no
--   catalogue has.
DECLARE
    v_owner_kind text := (SELECT a.owner_kind FROM accounts a WHERE a.account_id = p_account_id);
    v_is_subscribed boolean;
BEGIN
    IF v_owner_kind <> 'store' AND p_purchase_type = 'subscription' THEN
        PERFORM raise_credit_error('invalid_type', p_purchase_type);
    END IF;
    SELECT c.* INTO checkout FROM checkouts c
    WHERE c.account_id = p_account_id AND c.request_id = p_request_id FOR KEY SHARE;
    v_is_subscribed := p_purchase_type = 'subscription' AND EXISTS (
        SELECT FROM subscriptions s WHERE s.account_id = p_account_id AND s.status <> 'canceled');
    outcome := CASE
        WHEN v_owner_kind IS NULL THEN 'unknown_buyer'
        WHEN checkout.checkout_id IS NOT NULL THEN 'replayed'
        WHEN v_is_subscribed THEN 'subscribed'
        WHEN has_added(p_account_id, p_request_id) THEN 'used'
        ELSE 'opened' END;
    IF outcome = 'opened' THEN
        INSERT INTO checkouts AS c
            (checkout_id, account_id, provider, purchase_type, plan, credits, amount, currency,
             request_id, rollover_max, expires_after_days)
        VALUES
            (p_checkout_id, p_account_id, p_provider, p_purchase_type, p_plan, p_credits, p_amount,
             p_currency, p_request_id, p_rollover_max, p_expires_after_days)
        ON CONFLICT ON CONSTRAINT one_checkout_per_request DO NOTHING
        RETURNING c.* INTO checkout;
        IF NOT FOUND THEN
            -- Another call of the same request was first, and has committed by now.
            SELECT c.* INTO checkout FROM checkouts c
            WHERE c.account_id = p_account_id AND c.request_id = p_request_id FOR KEY SHARE;
            outcome := 'replayed';
        END IF;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION
    open_checkout(uuid, bigint, text, text, text, bigint, bigint, text, text, bigint, int) IS
    'Records what is about to be sold to an account. Outcome: opened, replayed, used (the request '
    'id has added credits by another way), subscribed, unknown_buyer. Idempotent by request id.';

CREATE OR REPLACE FUNCTION has_added(p_account_id bigint, p_request_id text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether a request has added credits to an account. Locks: none.
BEGIN
    -- In the order of the requests' index, so that no statistics choose another one.
    PERFORM FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'addition' AND m.type <> 'signup_bonus'
    ORDER BY m.type LIMIT 1;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION has_added(bigint, text) IS
    'Whether a request has added credits to an account.';

CREATE OR REPLACE FUNCTION attach_checkout(
    p_checkout_id uuid,
    p_transaction_id text,
    p_checkout_url text,
    p_price_id text DEFAULT NULL
)
RETURNS checkouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: tie a checkout to the transaction that its provider made for it, and to the price it
--   made with it: the first one, for ever. By that price a subscription is known for what was sold.
-- Locks: the checkout's row. Idempotent: a later transaction changes nothing.
-- Outcomes: the checkout with the transaction that is attached; null: no such checkout.
-- Errors: unique_violation for a transaction that belongs to another checkout.
DECLARE
    v_checkout checkouts;
BEGIN
    UPDATE checkouts c
    SET provider_transaction_id = p_transaction_id, checkout_url = p_checkout_url,
        provider_price_id = p_price_id
    WHERE c.checkout_id = p_checkout_id AND c.provider_transaction_id IS NULL;
    SELECT c.* INTO v_checkout FROM checkouts c WHERE c.checkout_id = p_checkout_id FOR KEY SHARE;
    RETURN v_checkout;
END;
$$;
COMMENT ON FUNCTION attach_checkout(uuid, text, text, text) IS
    'Ties a checkout to its transaction and price at the provider, once, and returns it as it is '
    'then.';
