-- Subscriptions: their state, as the provider tells it, and the tier of the store that has them.

CREATE OR REPLACE FUNCTION apply_subscription_state(
    p_provider text,
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
SET search_path FROM CURRENT
AS $$
-- Purpose: keep what a provider says of a subscription, and let the store's tier follow it. Its
--   top-up is paused when none is left, and looked at when one runs. Of the transaction, checkout and store that it names, null is
--   no claim. p_plan and the three after it are the plan that its items are now, by our record; null:
--   none that is known, and it stays.
-- Locks: the store's row, then the account. Idempotent: a state that is no newer than the one applied is
--   `stale`.
-- Outcomes: applied | stale | those of subscribing_checkout.
-- Errors: check_violation for an unknown status.
DECLARE
    v_found record := subscribing_checkout(
        p_provider, p_subscription_id, p_transaction_id, p_checkout_id, p_store_id);
    v_checkout checkouts := v_found.checkout;
    v_tiers text[];
BEGIN
    IF v_found.outcome IS NOT NULL THEN
        RETURN v_found.outcome;
    END IF;
    v_tiers := p_plans || v_checkout.plan || ARRAY(
        SELECT s.plan FROM subscriptions s WHERE s.account_id = v_checkout.account_id);
    INSERT INTO subscriptions AS s
        (provider, provider_subscription_id, account_id, checkout_id, occurred_at,
         period_starts_at, period_ends_at, status, plan, credits, amount, currency)
    VALUES
        (p_provider, p_subscription_id, v_checkout.account_id, v_checkout.checkout_id,
         p_occurred_at, p_period_starts_at, p_period_ends_at, p_status,
         coalesce(p_plan, v_checkout.plan), coalesce(p_credits, v_checkout.credits),
         coalesce(p_amount, v_checkout.amount), coalesce(p_currency, v_checkout.currency))
    ON CONFLICT (provider, provider_subscription_id) DO UPDATE
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
    PERFORM follow_subscriptions(v_checkout.account_id, v_tiers);
    -- One that is past due may yet be paid; what has ended is charged no more.
    PERFORM pause_top_up(v_checkout.account_id, 'no_subscription') WHERE NOT EXISTS (
        SELECT FROM subscriptions s WHERE s.account_id = v_checkout.account_id
          AND s.status IN ('active', 'trialing', 'past_due'));
    PERFORM hasten_top_up(v_checkout.account_id)
    WHERE running_subscription(v_checkout.account_id) IS NOT NULL;
    RETURN 'applied';
END;
$$;
COMMENT ON FUNCTION apply_subscription_state(
    text, text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, text[],
    text, bigint, bigint, text) IS
    'Keeps the newest state and plan of a subscription; the store''s tier follows it unless the '
    'operator set it by hand. Outcome: applied, stale, unknown_subscription, unknown_checkout, '
    'mismatch.';

CREATE OR REPLACE FUNCTION subscribing_checkout(
    p_provider text,
    p_subscription_id text,
    p_transaction_id text,
    p_checkout_id uuid,
    p_store_id uuid,
    OUT outcome text,
    OUT checkout checkouts
)
LANGUAGE plpgsql
AS $$
-- Purpose: the checkout that began a subscription. It is known from its transaction alone: custom
--   data can be written by the buyer, and that of a dearer checkout would bring a dearer plan's tier.
-- Locks: the row of its store, so that no two subscriptions of one store are applied at once.
-- Outcomes: null: it is this one. unknown_subscription (it may be known later: no transaction is
--   named) | unknown_checkout (none of ours began it) | mismatch (it claims another store or checkout
--   than our record says, or a checkout that began another subscription).
DECLARE
    v_store_id uuid;
BEGIN
    SELECT c.* INTO checkout FROM subscriptions s JOIN checkouts c USING (checkout_id)
    WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id;
    IF NOT FOUND AND p_transaction_id IS NULL THEN
        outcome := 'unknown_subscription';
        RETURN;
    ELSIF NOT FOUND THEN
        SELECT c.* INTO checkout FROM checkouts c
        WHERE c.provider = p_provider AND c.provider_transaction_id = p_transaction_id;
    END IF;
    IF checkout.checkout_id IS NULL THEN
        outcome := 'unknown_checkout';
        RETURN;
    END IF;
    v_store_id := (SELECT a.owner_id FROM accounts a
                   WHERE a.account_id = checkout.account_id AND a.owner_kind = 'store');
    PERFORM FROM stores s WHERE s.store_id = v_store_id FOR UPDATE;
    IF v_store_id IS NULL OR checkout.purchase_type <> 'subscription'
        OR p_transaction_id <> checkout.provider_transaction_id
        OR p_checkout_id <> checkout.checkout_id
        OR p_store_id <> v_store_id
        OR EXISTS (
            SELECT FROM subscriptions s WHERE s.checkout_id = checkout.checkout_id
              AND (s.provider, s.provider_subscription_id) <> (p_provider, p_subscription_id)) THEN
        outcome := 'mismatch';
    END IF;
END;
$$;
COMMENT ON FUNCTION subscribing_checkout(text, text, text, uuid, uuid) IS
    'The checkout that began a subscription, and locks its store. Outcome: null, '
    'unknown_subscription, unknown_checkout, mismatch. For apply_subscription_state.';

CREATE OR REPLACE FUNCTION follow_subscriptions(p_account_id bigint, p_plans text[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the store's tier is the plan of its largest subscription that is paid for (active,
--   trialing, past_due), else 'default'. A tier that is neither 'default' nor a plan (one of p_plans:
--   those on sale, and those that the store ever subscribed to) was set by the operator's hand, and
--   stays.
-- Locks: the store's row. Idempotent.
DECLARE
    v_store stores;
    v_tier text := coalesce(
        (SELECT s.plan FROM subscriptions s
         WHERE s.account_id = p_account_id AND s.status IN ('active', 'trialing', 'past_due')
         ORDER BY s.credits DESC, s.plan LIMIT 1),
        'default');
BEGIN
    SELECT s.* INTO v_store FROM stores s JOIN accounts a ON a.owner_id = s.store_id
    WHERE a.account_id = p_account_id AND a.owner_kind = 'store';
    IF v_tier <> v_store.tier AND v_store.tier = ANY (p_plans || 'default'::text) THEN
        PERFORM update_store(v_store.store_id, p_tier => v_tier);
    END IF;
END;
$$;
COMMENT ON FUNCTION follow_subscriptions(bigint, text[]) IS
    'Lets a store''s tier follow its subscriptions. For apply_subscription_state.';
