-- Every row, in the order in which they refer to each other.

INSERT INTO movements
    (account_id, seq, created_at, type, amount, balance_after, spent_after, clawed_back_after,
     overage_used_after, request_id, session_id, description)
SELECT a.account_id, m.seq, m.created_at, m.type, m.amount, m.balance, m.spent,
    nullif(m.clawed_back, 0), nullif(m.overage_used, 0), m.request_id, m.session_id, m.description
FROM pg_temp.followed_movements m
JOIN accounts a ON a.owner_kind = m.owner_kind AND a.owner_id = m.owner_id
ORDER BY a.account_id, m.seq;
DROP VIEW pg_temp.followed_movements;
-- Until then nothing told credits apart: all of one kind, and none expires.
INSERT INTO grants (account_id, seq, amount, kind)
SELECT m.account_id, m.seq, m.amount, 'paid'
FROM movements m JOIN movement_types t USING (type) WHERE t.added > 0;

-- Each was charged one credit.
INSERT INTO sessions
    (account_id, session_id, created_at, started_at, completed_at, attempts, credits, status,
     request_id, fingerprint, error_code, error_message, result_key, generator_message, metadata, input)
SELECT a.account_id, s.session_id, s.created_at, s.started_at, s.completed_at, s.attempts, 1, s.status,
    s.request_id, s.fingerprint, s.error_code, s.error_message, s.result_key, s.generator_message,
    s.metadata, s.input
FROM public.store_generation_sessions s
JOIN accounts a ON a.owner_kind = 'store' AND a.owner_id = s.store_id
UNION ALL
SELECT a.account_id, s.session_id, s.created_at, s.started_at, s.completed_at, s.attempts, 1, s.status,
    s.request_id, s.fingerprint, s.error_code, s.error_message, s.result_key, s.generator_message,
    s.metadata, s.input
FROM public.generation_sessions s
JOIN accounts a ON a.owner_kind = 'user' AND a.owner_id = s.user_id;

INSERT INTO stores (store_id, created_at, updated_at, name, shop_domain, tier, status)
SELECT store_id, created_at, updated_at, name, shop_domain, tier, status FROM public.stores;
INSERT INTO store_api_keys
    (store_id, key_id, created_at, expires_at, revoked_at, key_hash, key_start, label,
     allowed_origins)
SELECT store_id, key_id, created_at, expires_at, revoked_at, key_hash, key_start, label,
    allowed_origins
FROM public.store_api_keys;
INSERT INTO users (user_id, created_at, is_bonus_withheld)
SELECT user_id, created_at, is_bonus_withheld FROM public.users;

INSERT INTO checkouts
    (checkout_id, account_id, created_at, purchase_type, plan, credits, amount, currency, request_id,
     provider, provider_transaction_id, provider_price_id, checkout_url)
SELECT c.checkout_id, a.account_id, c.created_at, c.purchase_type, c.plan, c.credits, c.amount,
    c.currency, c.request_id, 'paddle', c.paddle_transaction_id, c.paddle_price_id, c.checkout_url
FROM public.checkouts c
JOIN accounts a ON (a.owner_kind, a.owner_id) IN (('store', c.store_id), ('user', c.user_id));
INSERT INTO subscriptions
    (provider, provider_subscription_id, account_id, checkout_id, created_at, occurred_at,
     period_starts_at, period_ends_at, status, plan, credits, amount, currency)
SELECT 'paddle', s.paddle_subscription_id, a.account_id, s.checkout_id, s.created_at, s.occurred_at,
    s.period_starts_at, s.period_ends_at, s.status, s.plan, s.credits, s.amount, s.currency
FROM public.store_subscriptions s
JOIN accounts a ON a.owner_kind = 'store' AND a.owner_id = s.store_id;
INSERT INTO payments
    (provider, provider_transaction_id, account_id, checkout_id, provider_subscription_id, paid_at,
     period_starts_at, created_at, kind, credits, amount, currency, request_id)
SELECT 'paddle', p.paddle_transaction_id, a.account_id, p.checkout_id, p.paddle_subscription_id,
    p.paid_at, p.period_starts_at, p.created_at, p.kind, p.credits, p.amount, p.currency, p.request_id
FROM public.payments p
JOIN accounts a ON (a.owner_kind, a.owner_id) IN (('store', p.store_id), ('user', p.user_id));
INSERT INTO clawbacks
    (provider, adjustment_id, provider_transaction_id, created_at, action, amount, credits, taken,
     dismissed_at)
SELECT 'paddle', adjustment_id, paddle_transaction_id, created_at, action, amount, credits, taken,
    dismissed_at
FROM public.clawbacks;
INSERT INTO provider_events
    (provider, event_id, event_type, occurred_at, received_at, settled_at, attempts, status, reason,
     subject, foreign_subscription_id, foreign_transaction_id, content)
SELECT 'paddle', event_id, event_type, occurred_at, received_at, settled_at, attempts, status, reason,
    subject, foreign_subscription_id, foreign_transaction_id, content
FROM public.paddle_events;
INSERT INTO subscription_charges
    (account_id, period, seq, created_at, due_at, charge_begun_at, accepted_at, charged_at, credits,
     amount, attempts, currency, request_id, provider, provider_subscription_id,
     provider_transaction_id, last_error)
SELECT a.account_id, b.period, b.seq, b.created_at, b.due_at, b.charge_begun_at, b.accepted_at,
    b.charged_at, b.credits, b.amount, b.attempts, b.currency, b.request_id, 'paddle',
    b.paddle_subscription_id, b.paddle_transaction_id, b.last_error
FROM public.store_overage_bills b
JOIN accounts a ON a.owner_kind = 'store' AND a.owner_id = b.store_id;
INSERT INTO last_verification (verified_at, discrepancies)
SELECT verified_at, discrepancies FROM public.last_verification;

-- Jobs that wait name their account now, beside what they named before.
UPDATE pgqueuer q
SET payload = convert_to((j.names || jsonb_build_object('account_id', a.account_id::text))::text, 'UTF8')
FROM (SELECT id, convert_from(payload, 'UTF8')::jsonb AS names FROM pgqueuer
      WHERE entrypoint = 'generation') j
JOIN accounts a ON (a.owner_kind, a.owner_id) IN
    (('store', (j.names ->> 'store_id')::uuid), ('user', (j.names ->> 'user_id')::uuid))
WHERE q.id = j.id;

ANALYZE accounts, movements, sessions;
