-- The interface for callers outside: reports, an app that reads its credits, `rpc()` through PostgREST.
-- What is here keeps its names, arguments, columns and meanings; docs/sql.md shows how to use it.
--
-- Made in the schema that the operator named, by storecredit_writer: the views read with its rights,
-- so that whoever may read a view needs no right on the tables. The functions have their caller's
-- rights and call the doors of the ledger, which have the writer's. A deduction of an end user is
-- called `generation` here, as in the app.
--
-- The function state_of_account is called only where something has ended: OFFSET 0 keeps that question
-- a step before it, else the planner asks it of the function's answer, for every account that is read.

CREATE OR REPLACE VIEW {interface}.stores AS
SELECT s.store_id, s.created_at, s.updated_at, s.name, s.shop_domain, s.tier, s.status
FROM stores s;
COMMENT ON VIEW {interface}.stores IS
    'The customers.';

CREATE OR REPLACE VIEW {interface}.store_api_keys AS
SELECT k.store_id, k.key_id, k.created_at, k.expires_at, k.revoked_at, k.key_hash, k.key_start,
    k.label, k.allowed_origins
FROM store_api_keys k;
COMMENT ON VIEW {interface}.store_api_keys IS
    'The stores'' API keys, of which only the hash is known.';

CREATE OR REPLACE VIEW {interface}.store_credits AS
SELECT a.owner_id AS store_id,
    coalesce(n.balance, m.balance_after, 0) AS balance,
    coalesce(n.added, m.balance_after + m.spent_after + coalesce(m.clawed_back_after, 0)
        + coalesce(m.held_after, 0) + coalesce(m.expired_after, 0) + coalesce(m.removed_after, 0), 0)
        AS total_purchased,
    coalesce(m.spent_after, 0) AS total_spent,
    coalesce(m.seq, 0) AS last_seq,
    coalesce(m.clawed_back_after, 0) AS total_clawed_back,
    a.overage_limit,
    coalesce(m.overage_used_after, 0) AS overage_used,
    coalesce(n.held, m.held_after, 0) AS held,
    coalesce(n.expired, m.expired_after, 0) AS total_expired,
    coalesce(m.removed_after, 0) AS total_removed
FROM accounts a
LEFT JOIN LATERAL (
    SELECT n.* FROM movements n WHERE n.account_id = a.account_id
    ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (
    SELECT s.balance, s.held, s.expired,
        s.balance + s.spent + s.clawed_back + s.held + s.expired + s.removed AS added
    FROM (SELECT a.account_id WHERE a.next_expiry <= clock_timestamp() OFFSET 0) d,
        state_of_account(d.account_id) s) n ON true
WHERE a.owner_kind = 'store';
COMMENT ON VIEW {interface}.store_credits IS
    'What each store has: the state after its newest movement, less what has ended since.';

CREATE OR REPLACE VIEW {interface}.store_credit_transactions AS
SELECT a.owner_id AS store_id, m.seq, m.created_at, m.amount, m.balance_after, m.session_id, m.type,
    m.request_id, m.description, m.actor
FROM accounts a JOIN movements m ON m.account_id = a.account_id
WHERE a.owner_kind = 'store';
COMMENT ON VIEW {interface}.store_credit_transactions IS
    'The ledger of the stores'' credits; seq counts from 1 without gaps per store.';

CREATE OR REPLACE VIEW {interface}.store_generation_sessions AS
SELECT a.owner_id AS store_id, s.session_id, s.created_at, s.started_at, s.completed_at, s.attempts,
    s.status, s.request_id, s.fingerprint, s.error_code, s.error_message, s.result_key, s.metadata,
    s.input, s.generator_message
FROM accounts a JOIN sessions s ON s.account_id = a.account_id
WHERE a.owner_kind = 'store';
COMMENT ON VIEW {interface}.store_generation_sessions IS
    'One row per generation of a store: queued -> processing -> completed | failed.';

CREATE OR REPLACE VIEW {interface}.store_overage_bills AS
SELECT a.owner_id AS store_id, b.period, b.seq, b.created_at, b.due_at, b.charge_begun_at,
    b.accepted_at, b.charged_at, b.credits, b.amount, b.attempts, b.currency, b.request_id,
    b.provider_subscription_id AS paddle_subscription_id,
    b.provider_transaction_id AS paddle_transaction_id, b.last_error
FROM accounts a JOIN subscription_charges b ON b.account_id = a.account_id
WHERE b.period IS NOT NULL;
COMMENT ON VIEW {interface}.store_overage_bills IS
    'One bill per store and month for what was used beyond the balance.';

CREATE OR REPLACE VIEW {interface}.users AS
SELECT u.user_id, u.created_at, u.is_bonus_withheld
FROM users u;
COMMENT ON VIEW {interface}.users IS
    'The end users; the id is the subject of their token.';

CREATE OR REPLACE VIEW {interface}.user_credits AS
SELECT a.owner_id AS user_id,
    coalesce(m.created_at, a.created_at) AS updated_at,
    coalesce(n.balance, m.balance_after, 0) AS balance,
    coalesce(n.added, m.balance_after + m.spent_after + coalesce(m.clawed_back_after, 0)
        + coalesce(m.held_after, 0) + coalesce(m.expired_after, 0) + coalesce(m.removed_after, 0), 0)
        AS total_earned,
    coalesce(m.spent_after, 0) AS total_spent,
    coalesce(m.clawed_back_after, 0) AS total_clawed_back,
    coalesce(m.seq, 0) AS last_seq,
    coalesce(n.held, m.held_after, 0) AS held,
    coalesce(n.expired, m.expired_after, 0) AS total_expired,
    coalesce(m.removed_after, 0) AS total_removed
FROM accounts a
LEFT JOIN LATERAL (
    SELECT n.* FROM movements n WHERE n.account_id = a.account_id
    ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (
    SELECT s.balance, s.held, s.expired,
        s.balance + s.spent + s.clawed_back + s.held + s.expired + s.removed AS added
    FROM (SELECT a.account_id WHERE a.next_expiry <= clock_timestamp() OFFSET 0) d,
        state_of_account(d.account_id) s) n ON true
WHERE a.owner_kind = 'user';
COMMENT ON VIEW {interface}.user_credits IS
    'What each end user has: the state after the newest movement, less what has ended since.';

CREATE OR REPLACE VIEW {interface}.credit_transactions AS
SELECT a.owner_id AS user_id, m.seq, m.created_at, m.amount, m.balance_after, m.session_id,
    CASE m.type WHEN 'deduction' THEN 'generation' ELSE m.type END AS type,
    m.request_id, m.description, m.actor
FROM accounts a JOIN movements m ON m.account_id = a.account_id
WHERE a.owner_kind = 'user';
COMMENT ON VIEW {interface}.credit_transactions IS
    'The ledger of the end users'' credits; `generation` is a deduction, also one of deduct_credits.';

CREATE OR REPLACE VIEW {interface}.generation_sessions AS
SELECT a.owner_id AS user_id, s.session_id, s.created_at, s.started_at, s.completed_at, s.attempts,
    s.status, s.request_id, s.fingerprint, s.error_code, s.error_message, s.result_key, s.metadata,
    s.input, s.generator_message
FROM accounts a JOIN sessions s ON s.account_id = a.account_id
WHERE a.owner_kind = 'user';
COMMENT ON VIEW {interface}.generation_sessions IS
    'One row per generation of an end user: queued -> processing -> completed | failed.';

CREATE OR REPLACE VIEW {interface}.checkouts AS
SELECT c.checkout_id,
    CASE a.owner_kind WHEN 'store' THEN a.owner_id END AS store_id,
    CASE a.owner_kind WHEN 'user' THEN a.owner_id END AS user_id,
    c.created_at, c.purchase_type, c.plan, c.credits, c.amount, c.currency, c.request_id,
    c.provider_transaction_id AS paddle_transaction_id, c.checkout_url,
    c.provider_price_id AS paddle_price_id
FROM checkouts c JOIN accounts a ON a.account_id = c.account_id;
COMMENT ON VIEW {interface}.checkouts IS
    'What was asked to be sold: to a store or to an end user.';

CREATE OR REPLACE VIEW {interface}.store_subscriptions AS
SELECT a.owner_id AS store_id, s.provider_subscription_id AS paddle_subscription_id, s.checkout_id,
    s.created_at, s.occurred_at, s.period_starts_at, s.period_ends_at, s.status, s.plan, s.credits,
    s.amount, s.currency
FROM subscriptions s JOIN accounts a ON a.account_id = s.account_id;
COMMENT ON VIEW {interface}.store_subscriptions IS
    'The stores'' subscriptions.';

CREATE OR REPLACE VIEW {interface}.payments AS
SELECT p.provider_transaction_id AS paddle_transaction_id,
    CASE a.owner_kind WHEN 'store' THEN a.owner_id END AS store_id,
    CASE a.owner_kind WHEN 'user' THEN a.owner_id END AS user_id,
    p.checkout_id, p.provider_subscription_id AS paddle_subscription_id, p.paid_at,
    p.period_starts_at, p.created_at, p.kind, p.credits, p.amount, p.currency, p.request_id
FROM payments p JOIN accounts a ON a.account_id = p.account_id;
COMMENT ON VIEW {interface}.payments IS
    'Every payment that was booked, with the credits it was booked for.';

CREATE OR REPLACE VIEW {interface}.clawbacks AS
SELECT c.adjustment_id, c.provider_transaction_id AS paddle_transaction_id, c.created_at, c.action,
    c.amount, c.credits, c.taken, c.dismissed_at
FROM clawbacks c;
COMMENT ON VIEW {interface}.clawbacks IS
    'Payments given back, and the credits taken back for them.';

CREATE OR REPLACE VIEW {interface}.paddle_events AS
SELECT e.event_id, e.event_type, e.occurred_at, e.received_at, e.settled_at, e.attempts, e.status,
    e.reason, e.content, e.subject, e.foreign_subscription_id, e.foreign_transaction_id
FROM provider_events e WHERE e.provider = 'paddle';
COMMENT ON VIEW {interface}.paddle_events IS
    'Every event that Paddle sent, once.';

-- Stores.

CREATE OR REPLACE FUNCTION {interface}.deduct_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits deducted'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT CASE d.outcomes[1]
        WHEN 'conflict' THEN raise_credit_error('request_conflict', p_request_id) IS NULL
        ELSE d.outcomes[1] <> 'insufficient' END
    FROM deduct_from_accounts(
        ARRAY[account_of('store', p_store_id)], ARRAY[p_amount], ARRAY[p_request_id],
        ARRAY[p_description]) d;
$$;
COMMENT ON FUNCTION {interface}.deduct_store_credits(uuid, int, text, text) IS
    'Takes credits for one request. true: taken (at balance 0: as overage, if the store''s limit '
    'has room) now or before by this request; false: not enough. '
    'Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 same request, other amount.';

-- The only one with rights of its own: it writes for which generations the credits were taken. Where
-- one array is shorter than the other, what it lacks is null, and refused.
CREATE OR REPLACE FUNCTION {interface}.deduct_store_credits_many(
    p_store_id uuid,
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[],
    p_session_ids uuid[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
    SELECT c.n::int, c.outcome, c.balance
    FROM charge_accounts(
        array_fill(account_of('store', p_store_id),
            ARRAY[greatest(cardinality(p_amounts), cardinality(p_request_ids), 0)]),
        p_amounts[:] || array_fill(NULL::int,
            ARRAY[greatest(cardinality(p_request_ids) - cardinality(p_amounts), 0)]),
        p_request_ids[:], p_session_ids[:], p_descriptions[:]) d,
        unnest(d.outcomes, d.balances) WITH ORDINALITY AS c (outcome, balance, n);
$$;
COMMENT ON FUNCTION {interface}.deduct_store_credits_many(uuid, int[], text[], text[], uuid[]) IS
    'Takes credits from one store for several requests, in order. Outcome per item: deducted, '
    'overage, already_deducted, insufficient, conflict; and the balance after it. '
    'Errors: SC001 unknown store, SC002 amount, SC003 request id: nothing was written.';

CREATE OR REPLACE FUNCTION {interface}.refund_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits refunded'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT CASE r.outcomes[1]
        WHEN 'no_deduction' THEN raise_credit_error('no_deduction', p_request_id) IS NULL
        WHEN 'exceeds_deduction'
            THEN raise_credit_error('refund_exceeds_deduction', p_request_id) IS NULL
        ELSE r.outcomes[1] = 'refunded' END
    FROM refund_to_accounts(
        ARRAY[account_of('store', p_store_id)], ARRAY[p_amount], ARRAY[p_request_id],
        ARRAY[p_description]) r;
$$;
COMMENT ON FUNCTION {interface}.refund_store_credits(uuid, int, text, text) IS
    'Gives back what one request had taken, at most once. true: refunded now; false: it had been. '
    'Errors: SC001 unknown store, SC002 amount, SC005 no deduction, SC006 more than was deducted.';

CREATE OR REPLACE FUNCTION {interface}.refund_store_credits_many(
    p_store_id uuid,
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT c.n::int, c.outcome, c.balance
    FROM refund_to_accounts(
        array_fill(account_of('store', p_store_id),
            ARRAY[greatest(cardinality(p_amounts), cardinality(p_request_ids), 0)]),
        p_amounts || array_fill(NULL::int,
            ARRAY[greatest(cardinality(p_request_ids) - cardinality(p_amounts), 0)]),
        p_request_ids, p_descriptions) r,
        unnest(r.outcomes, r.balances) WITH ORDINALITY AS c (outcome, balance, n);
$$;
COMMENT ON FUNCTION {interface}.refund_store_credits_many(uuid, int[], text[], text[]) IS
    'Gives back what several requests of one store had taken, in order. Outcome per item: refunded, '
    'already_refunded, no_deduction, exceeds_deduction; and the balance after it. '
    'Errors: SC001 unknown store, SC002 amount: nothing was written.';

CREATE OR REPLACE FUNCTION {interface}.add_store_credits(
    p_store_id uuid,
    p_amount int,
    p_type text,
    p_request_id text,
    p_description text DEFAULT 'Credits added'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT add_to_account(
        account_of('store', p_store_id), p_amount, p_type, p_request_id, p_description);
$$;
COMMENT ON FUNCTION {interface}.add_store_credits(uuid, int, text, text, text) IS
    'Adds credits as purchase, subscription or grant. true: added now; false: this request had added '
    'them. Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 conflict, SC007 type.';

CREATE OR REPLACE FUNCTION {interface}.claw_back_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits clawed back'
)
RETURNS bigint
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT claw_back_from_account(
        account_of('store', p_store_id), p_amount, p_request_id, p_description);
$$;
COMMENT ON FUNCTION {interface}.claw_back_store_credits(uuid, int, text, text) IS
    'Takes back credits whose payment was given back, never below zero. Returns how many were '
    'taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 same request, more taken.';

CREATE OR REPLACE FUNCTION {interface}.set_store_overage_limit(
    p_store_id uuid, p_overage_limit bigint)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT set_overage_limit(
        (SELECT a.account_id FROM accounts a
         WHERE a.owner_id = p_store_id AND a.owner_kind = 'store'),
        p_overage_limit);
$$;
COMMENT ON FUNCTION {interface}.set_store_overage_limit(uuid, bigint) IS
    'Sets how many credits a store may use beyond its balance until they are billed; 0: none. '
    'true: set; false: no such store. Errors: SC009 no such overage limit.';

-- End users.

CREATE OR REPLACE FUNCTION {interface}.deduct_credits(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits deducted'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT CASE d.outcomes[1]
        WHEN 'conflict' THEN raise_credit_error('request_conflict', p_request_id) IS NULL
        ELSE d.outcomes[1] <> 'insufficient' END
    FROM deduct_from_accounts(
        ARRAY[account_of('user', p_user_id)], ARRAY[p_amount], ARRAY[p_request_id],
        ARRAY[p_description]) d;
$$;
COMMENT ON FUNCTION {interface}.deduct_credits(uuid, int, text, text) IS
    'Takes a user''s credits for one request. true: taken now or before by this request; false: not '
    'enough. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 same request, other amount.';

CREATE OR REPLACE FUNCTION {interface}.refund_credits(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits refunded'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT CASE r.outcomes[1]
        WHEN 'no_deduction' THEN raise_credit_error('no_deduction', p_request_id) IS NULL
        WHEN 'exceeds_deduction'
            THEN raise_credit_error('refund_exceeds_deduction', p_request_id) IS NULL
        ELSE r.outcomes[1] = 'refunded' END
    FROM refund_to_accounts(
        ARRAY[account_of('user', p_user_id)], ARRAY[p_amount], ARRAY[p_request_id],
        ARRAY[p_description]) r;
$$;
COMMENT ON FUNCTION {interface}.refund_credits(uuid, int, text, text) IS
    'Gives back what one request had taken, at most once. true: refunded now; false: it had been. '
    'Errors: SC008 unknown user, SC002 amount, SC005 no deduction, SC006 more than was deducted.';

CREATE OR REPLACE FUNCTION {interface}.add_credits(
    p_user_id uuid,
    p_amount int,
    p_type text,
    p_request_id text,
    p_description text DEFAULT 'Credits added'
)
RETURNS boolean
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT add_to_account(
        account_of('user', p_user_id), p_amount, p_type, p_request_id, p_description);
$$;
COMMENT ON FUNCTION {interface}.add_credits(uuid, int, text, text, text) IS
    'Adds a user''s credits as purchase, signup_bonus or grant. true: added now; false: this request '
    'had added them. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 conflict, SC007 type.';

CREATE OR REPLACE FUNCTION {interface}.claw_back_credits(
    p_user_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits clawed back'
)
RETURNS bigint
LANGUAGE sql
SET search_path FROM CURRENT
AS $$
    SELECT claw_back_from_account(
        account_of('user', p_user_id), p_amount, p_request_id, p_description);
$$;
COMMENT ON FUNCTION {interface}.claw_back_credits(uuid, int, text, text) IS
    'Takes back credits whose payment was given back, never below zero. Returns how many were '
    'taken, now or before by this request; 0 leaves no trace. '
    'Errors: SC008 unknown user, SC002 amount, SC003 request id, SC004 same request, more taken.';
