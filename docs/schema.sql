-- The schema `storecredit` as a migration makes it, to be read: `make docs` writes this page. How
-- it comes to be stands in src/storecredit/sql/. Beside these tables there are those of the job
-- queue (PgQueuer's own) and the interface for other programs (docs/sql.md).

-- One row per owner of credits, made together with it. Whoever moves credits locks it; it is
-- hardly ever updated: what an account has stands in its newest movement.
CREATE TABLE accounts (
    account_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    owner_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    owner_kind text NOT NULL,
    -- Credits the owner may use beyond its balance until they are billed; 0: overage is off.
    overage_limit bigint NOT NULL DEFAULT 0,
    -- No grant or hold of the account ends before this moment; null: none will.
    next_expiry timestamptz,
    -- At or below so many credits the balance is low; 0: it never is; null: 10 % of the last
    -- addition.
    low_threshold bigint,
    PRIMARY KEY (account_id),
    CONSTRAINT one_account_per_owner UNIQUE (owner_id, owner_kind),
    CONSTRAINT low_threshold_not_negative CHECK (low_threshold >= 0),
    CONSTRAINT only_stores_go_beyond CHECK (owner_kind = 'store' OR overage_limit = 0),
    CONSTRAINT overage_limit_not_negative CHECK (overage_limit >= 0),
    CONSTRAINT owner_kind_is_known CHECK (owner_kind = ANY (ARRAY['store', 'user']))
);
CREATE INDEX accounts_that_expire ON accounts (next_expiry) WHERE next_expiry IS NOT NULL;

-- What one credit of each type of movement adds to the balance and to the totals of its account.
CREATE TABLE movement_types (
    type text NOT NULL,
    added smallint NOT NULL,
    spent smallint NOT NULL,
    clawed_back smallint NOT NULL,
    overage_used smallint NOT NULL,
    held smallint NOT NULL DEFAULT 0,
    expired smallint NOT NULL DEFAULT 0,
    removed smallint NOT NULL DEFAULT 0,
    balance smallint NOT NULL GENERATED ALWAYS AS (added - spent - clawed_back - held - expired - removed) STORED,
    -- charge: pays for work. return: gives a charge back. addition: brings credits in. clawback:
    -- takes them out again. bill: closes the overage used so far. hold: sets credits aside.
    -- capture: spends what was set aside. release: ends that. expiry: ends a grant. reissue: gives
    -- what is left of a grant other terms. removal: the operator takes credits out. receipt: from
    -- another owner.
    role text NOT NULL,
    -- The type of charge that a return gives back.
    returns text,
    owner_kinds text[] NOT NULL,
    description text NOT NULL,
    -- Of an addition: paid, or promo (given without a payment). Null: it is none.
    credit_kind text,
    PRIMARY KEY (type),
    FOREIGN KEY (returns) REFERENCES movement_types(type),
    CONSTRAINT additions_are_paid_or_promo CHECK ( CASE role     WHEN 'addition' THEN
        COALESCE(credit_kind, '') = ANY (ARRAY['paid', 'promo'])     ELSE credit_kind IS NULL END),
    CONSTRAINT returns_return_something CHECK ((role = 'return') = (returns IS NOT NULL)),
    CONSTRAINT role_is_known CHECK (role = ANY (ARRAY['charge', 'return', 'addition', 'clawback',
        'bill', 'hold', 'capture', 'release', 'expiry', 'reissue', 'removal', 'receipt'])),
    CONSTRAINT what_is_spent_comes_off_the_balance CHECK (spent = 0 OR held = (- spent) OR added =
        0 AND clawed_back = 0 AND overage_used = 0 AND held = 0 AND expired = 0 AND removed = 0)
);

-- The ledger: append-only, seq without gaps per account. The newest movement of an account is its
-- balance. Written by append_movements only, whose owner may insert and read, and no more.
CREATE TABLE movements (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Credits moved, always positive: movement_types says what they do.
    amount bigint NOT NULL,
    -- What the account can spend after this movement; follows from the one before, type and
    -- amount.
    balance_after bigint NOT NULL,
    -- Deductions less refunds, up to and with this movement.
    spent_after bigint NOT NULL,
    -- Credits taken back because their payment was given back; null: none.
    clawed_back_after bigint,
    -- Credits used beyond the balance and not billed yet; null: none.
    overage_used_after bigint,
    -- Credits set aside by holds; null: none.
    held_after bigint,
    -- Credits that expired; null: none.
    expired_after bigint,
    -- Credits that the operator took out; null: none.
    removed_after bigint,
    -- The movement of the same account that this one gives back, ends or carries on, where the
    -- request id does not say so.
    origin_seq bigint,
    -- The generation session the credits were taken for; null for a direct call of a function.
    session_id uuid,
    type text NOT NULL,
    -- The request that caused the movement; a refund carries that of its deduction.
    request_id text NOT NULL,
    description text NOT NULL DEFAULT '',
    -- What each grant has left, {seq, credits, seq, credits, ...}, in the order in which they are
    -- spent; null: nothing tells the credits apart, and the oldest are spent first.
    grants_after bigint[],
    -- Who made it, where an operator did; null: the owner itself, or the service.
    actor text,
    PRIMARY KEY (account_id, seq),
    CONSTRAINT one_movement_of_a_type_per_request UNIQUE (account_id, request_id, type),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT balance_not_negative CHECK (balance_after >= 0),
    CONSTRAINT overage_used_positive_or_null CHECK (overage_used_after > 0)
);
ALTER TABLE movements ALTER COLUMN account_id SET (n_distinct=-0.05);
ALTER TABLE movements ALTER COLUMN request_id SET (n_distinct=-0.5);
CREATE INDEX movements_of_origin ON movements ((account_id + 0), origin_seq) WHERE origin_seq IS
    NOT NULL;
CREATE INDEX overage_movements ON movements (account_id, seq) WHERE type = 'overage';
CREATE INDEX told_grants ON movements ((account_id + 0), seq) WHERE grants_after IS NOT NULL;

-- The terms of each addition of credits, by the seq of its movement. How many are left stands in
-- movements.grants_after.
CREATE TABLE grants (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    -- How many credits it began with, as its movement says.
    amount bigint NOT NULL,
    -- The lower number is spent first; then what expires sooner, then promo, then the older.
    priority int NOT NULL DEFAULT 100,
    kind text NOT NULL,
    -- From this moment on it cannot be spent; null: never.
    expires_at timestamptz,
    -- How long credits live that come back to it when it has expired.
    grace interval NOT NULL DEFAULT '30 days',
    -- So many of what is left when it expires live on until rollover_until.
    rollover_max bigint,
    rollover_until timestamptz,
    PRIMARY KEY (account_id, seq),
    CONSTRAINT grace_not_negative CHECK (grace >= '00:00:00'),
    CONSTRAINT grant_kind_is_known CHECK (kind = ANY (ARRAY['paid', 'promo'])),
    CONSTRAINT only_what_expires_rolls_over CHECK (rollover_until IS NULL OR rollover_until >
        expires_at),
    CONSTRAINT rollover_has_an_end CHECK ((rollover_max IS NULL) = (rollover_until IS NULL)),
    CONSTRAINT rollover_not_negative CHECK (rollover_max >= 0)
);
ALTER TABLE grants ALTER COLUMN account_id SET (n_distinct=-0.5);

-- One row per spend: what was sent with it. What was taken stands in its movement.
CREATE TABLE spends (
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    request_id text NOT NULL,
    -- SHA-256 of the request content: the same request id with other content is refused.
    fingerprint bytea NOT NULL,
    -- The caller's own, returned as it was sent.
    metadata json,
    PRIMARY KEY (account_id, request_id)
);
ALTER TABLE spends ALTER COLUMN account_id SET (n_distinct=-0.05);

-- One row per hold: held -> captured | released | expired. A final status never changes. One whose
-- time is over counts as expired, whether its row says so yet or not.
CREATE TABLE holds (
    account_id bigint NOT NULL,
    hold_id uuid NOT NULL,
    -- Of its movement, which tells the grants it is of.
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    -- How many credits were taken for the work; null: it has not ended.
    captured bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'held',
    request_id text NOT NULL,
    -- SHA-256 of the request content: the same request id with other content is refused.
    fingerprint bytea NOT NULL,
    extended_by text,
    extended_seconds int,
    description text NOT NULL DEFAULT '',
    metadata json,
    PRIMARY KEY (account_id, hold_id),
    CONSTRAINT captured_is_of_the_hold CHECK ( CASE status     WHEN 'held' THEN captured IS NULL
        WHEN 'captured' THEN captured >= 1 AND captured <= amount     ELSE captured = 0 END),
    CONSTRAINT ended_holds_have_a_time CHECK ((status = 'held') = (ended_at IS NULL)),
    CONSTRAINT hold_status_is_known CHECK (status = ANY (ARRAY['held', 'captured', 'released',
        'expired']))
);
ALTER TABLE holds ALTER COLUMN account_id SET (n_distinct=-0.05);
ALTER TABLE holds ALTER COLUMN request_id SET (n_distinct=-0.5);
CREATE INDEX expired_holds ON holds ((account_id - 0), hold_id) WHERE status = 'expired';
CREATE UNIQUE INDEX one_hold_per_request ON holds ((account_id + 0), request_id);
CREATE INDEX open_holds ON holds ((account_id - 0), expires_at, hold_id) WHERE ended_at IS NULL;
CREATE INDEX released_holds ON holds ((account_id - 0), hold_id) WHERE status = 'released';

-- One row per generation: queued -> processing -> completed | failed. A final status never
-- changes.
CREATE TABLE sessions (
    account_id bigint NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    -- How often a worker started this session, less the times the generator only asked to wait.
    attempts int NOT NULL DEFAULT 0,
    -- What it was charged, by the price list of that time; given back if it fails. 0: it was
    -- brought along from another system, has ended, and no movement here is its charge.
    credits int NOT NULL,
    status text NOT NULL DEFAULT 'queued',
    request_id text NOT NULL,
    -- SHA-256 of the request content: the same request id with other content is refused.
    fingerprint bytea NOT NULL,
    error_code text,
    error_message text,
    -- Where the result image is kept; removed when its retention is over.
    result_key text,
    -- What the generator said at the last attempt that made no image. It may quote the prompt: for
    -- the operator alone, and removed when its retention is over.
    generator_message text,
    metadata json,
    -- What the worker needs (image URLs, prompt); removed when the session ends.
    input json,
    -- Attempts that made no image where another was to follow, and the one after them that was the
    -- last, oldest first: [{attempt, failed_at, counts, said}]. The last ten; null: there were
    -- none. `said` is what the generator said, and is removed when its retention is over.
    failed_attempts jsonb,
    PRIMARY KEY (account_id, session_id),
    CONSTRAINT ended_sessions_have_a_time CHECK ((status = ANY (ARRAY['completed', 'failed'])) =
        (completed_at IS NOT NULL)),
    CONSTRAINT only_failed_sessions_have_an_error CHECK ((status = 'failed') = (error_code IS NOT
        NULL))
) WITH (fillfactor=70);
ALTER TABLE sessions ALTER COLUMN account_id SET (n_distinct=-0.05);
CREATE INDEX failed_sessions ON sessions ((account_id + 0), session_id) WHERE error_code IS NOT
    NULL;
CREATE INDEX kept_generator_messages ON sessions (completed_at) WHERE generator_message IS NOT
    NULL;
CREATE INDEX kept_results ON sessions (completed_at) WHERE result_key IS NOT NULL;
CREATE INDEX open_sessions ON sessions ((account_id + 0), session_id) WHERE completed_at IS NULL;

-- The moment that the last verify looked at, and how many discrepancies it found.
CREATE TABLE last_verification (
    only_row boolean NOT NULL DEFAULT true,
    verified_at timestamptz NOT NULL,
    discrepancies int NOT NULL,
    settled_at timestamptz,
    -- How many movements there were from before `settled_at`: there can never be fewer.
    settled_movements bigint,
    PRIMARY KEY (only_row),
    CONSTRAINT last_verification_discrepancies_check CHECK (discrepancies >= 0),
    CONSTRAINT settled_movements_have_a_time CHECK ((settled_at IS NULL) = (settled_movements IS
        NULL)),
    CONSTRAINT there_is_one_verification CHECK (only_row)
);

-- The customers. Written by functions only.
CREATE TABLE stores (
    -- UUIDv7 made by the application: ids in order are stores in order of creation.
    store_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL,
    shop_domain text NOT NULL,
    -- Names the rate limits of the store; the limits themselves are configuration.
    tier text NOT NULL DEFAULT 'default',
    -- While suspended, none of the store's API keys is accepted.
    status text NOT NULL DEFAULT 'active',
    owner_kind text NOT NULL GENERATED ALWAYS AS ('store') STORED,
    PRIMARY KEY (store_id),
    FOREIGN KEY (store_id, owner_kind) REFERENCES accounts(owner_id, owner_kind),
    CONSTRAINT name_has_a_length CHECK (length(name) >= 1 AND length(name) <= 200),
    CONSTRAINT shop_domain_has_a_length CHECK (length(shop_domain) >= 1 AND length(shop_domain) <=
        253),
    CONSTRAINT status_is_known CHECK (status = ANY (ARRAY['active', 'suspended'])),
    CONSTRAINT tier_has_a_length CHECK (length(tier) >= 1 AND length(tier) <= 50)
);

-- API keys, of which only the hash is known. Written by functions only.
CREATE TABLE store_api_keys (
    store_id uuid NOT NULL,
    key_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The key is refused from this moment on; null: never. A rotated key expires after its grace.
    expires_at timestamptz,
    -- When the key was revoked; null: it was not.
    revoked_at timestamptz,
    -- SHA-256 of the key.
    key_hash bytea NOT NULL,
    -- The first 12 characters of the key, so that people can tell one from another.
    key_start text NOT NULL,
    label text NOT NULL DEFAULT '',
    -- Web origins (scheme://host[:port], lower case) whose pages may use the key; empty: none.
    allowed_origins text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (store_id, key_id),
    CONSTRAINT one_key_per_hash UNIQUE (key_hash, store_id),
    FOREIGN KEY (store_id) REFERENCES stores(store_id),
    CONSTRAINT allowed_origins_are_few CHECK (cardinality(allowed_origins) <= 100),
    CONSTRAINT key_hash_is_sha256 CHECK (octet_length(key_hash) = 32),
    CONSTRAINT key_start_has_a_length CHECK (length(key_start) = 12),
    CONSTRAINT label_has_a_length CHECK (length(label) <= 100)
);
CREATE INDEX store_api_keys_allowed_origins ON store_api_keys USING gin (allowed_origins);
CREATE INDEX store_api_keys_by_id ON store_api_keys (key_id);

-- The end users; the id is the subject of their token. Written by functions only.
CREATE TABLE users (
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- None of the user's tokens is accepted since then; null: they are.
    blocked_at timestamptz,
    -- When what is personal was removed; the row stays, so that nobody makes the user anew.
    erased_at timestamptz,
    -- When to look for what is left of an erased user: results on disk, and what calls wrote that
    -- were under way. Null: there is nothing to look for.
    erasure_due_at timestamptz,
    -- The starter credits are still to be given, once the user is no longer anonymous.
    is_bonus_withheld boolean NOT NULL DEFAULT false,
    owner_kind text NOT NULL GENERATED ALWAYS AS ('user') STORED,
    status text NOT NULL GENERATED ALWAYS AS (
CASE
    WHEN erased_at IS NOT NULL THEN 'erased'
    WHEN blocked_at IS NOT NULL THEN 'blocked'
    ELSE 'active'
END) STORED,
    PRIMARY KEY (user_id),
    FOREIGN KEY (user_id, owner_kind) REFERENCES accounts(owner_id, owner_kind),
    CONSTRAINT erasures_are_due_to_the_erased CHECK (erasure_due_at IS NULL OR erased_at IS NOT
        NULL),
    CONSTRAINT who_is_erased_is_blocked CHECK (erased_at IS NULL OR blocked_at IS NOT NULL)
);
CREATE INDEX due_erasures ON users (erasure_due_at) WHERE erasure_due_at IS NOT NULL;

-- What we asked a provider to sell: the only source of what a payment is worth in credits.
CREATE TABLE checkouts (
    checkout_id uuid NOT NULL,
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    purchase_type text NOT NULL,
    -- The plan or pack by its name in the catalogue.
    plan text NOT NULL,
    credits bigint NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    request_id text NOT NULL,
    -- How many credits of a subscription's period live on into the next one; null: all, they do
    -- not expire.
    rollover_max bigint,
    -- How long credits that are bought once can be spent; null: they do not expire.
    expires_after_days int,
    provider text NOT NULL,
    -- Null until the provider has answered; a payment for a transaction that no checkout names is
    -- set aside.
    provider_transaction_id text,
    -- The price that the provider made for this checkout: whatever bills it later bills what was
    -- sold.
    provider_price_id text,
    checkout_url text,
    PRIMARY KEY (checkout_id),
    CONSTRAINT one_checkout_per_request UNIQUE (account_id, request_id),
    CONSTRAINT one_checkout_per_transaction UNIQUE (provider, provider_transaction_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT credits_are_positive CHECK (credits > 0),
    CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT days_are_positive CHECK (expires_after_days > 0),
    CONSTRAINT purchase_type_is_known CHECK (purchase_type = ANY (ARRAY['credits',
        'subscription'])),
    CONSTRAINT request_id_has_a_length CHECK (length(request_id) >= 1 AND length(request_id) <=
        200),
    CONSTRAINT rollover_not_negative CHECK (rollover_max >= 0)
);

-- A store's subscriptions; plan, credits and amount are those of the checkout that began it, or of
-- the plan it was changed to at the provider.
CREATE TABLE subscriptions (
    provider text NOT NULL,
    provider_subscription_id text NOT NULL,
    account_id bigint NOT NULL,
    checkout_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When the newest event that was applied had occurred; older ones change nothing.
    occurred_at timestamptz NOT NULL,
    period_starts_at timestamptz,
    period_ends_at timestamptz,
    status text NOT NULL,
    plan text NOT NULL,
    credits bigint NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    PRIMARY KEY (provider, provider_subscription_id),
    CONSTRAINT one_subscription_per_checkout UNIQUE (checkout_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    FOREIGN KEY (checkout_id) REFERENCES checkouts(checkout_id),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT credits_are_positive CHECK (credits > 0),
    CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT status_is_known CHECK (status = ANY (ARRAY['active', 'trialing', 'past_due',
        'paused', 'canceled']))
);
CREATE INDEX subscriptions_of_account ON subscriptions (account_id);

-- Every payment that was booked, with the credits it was booked for. Written by functions only.
CREATE TABLE payments (
    provider text NOT NULL,
    provider_transaction_id text NOT NULL,
    account_id bigint NOT NULL,
    checkout_id uuid,
    provider_subscription_id text,
    paid_at timestamptz NOT NULL,
    -- The subscription's period that was paid: each is paid once. Null: a change within a period.
    period_starts_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    -- What it added. 0: a change within a period that was worth no credit, or took some back.
    credits bigint NOT NULL,
    -- What was paid, before tax and after any discount: of so much is a refund a share.
    amount bigint NOT NULL,
    currency text NOT NULL,
    -- The movement that the payment led to carries it.
    request_id text NOT NULL,
    PRIMARY KEY (provider, provider_transaction_id),
    CONSTRAINT one_payment_per_request UNIQUE (account_id, kind, request_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT amount_not_negative CHECK (amount >= 0),
    CONSTRAINT credits_not_negative CHECK (credits >= 0),
    CONSTRAINT kind_is_known CHECK (kind = ANY (ARRAY['purchase', 'subscription', 'overage']))
);
CREATE UNIQUE INDEX one_payment_per_subscription_period ON payments (provider,
    provider_subscription_id, period_starts_at) WHERE kind = 'subscription';
CREATE INDEX payments_by_booking ON payments (created_at);
CREATE INDEX payments_of_subscription ON payments (provider, provider_subscription_id) WHERE
    provider_subscription_id IS NOT NULL;

-- Payments given back, and the credits taken back for them; credits - taken could not be taken.
CREATE TABLE clawbacks (
    provider text NOT NULL,
    -- The provider's id of the adjustment. A downgrade has none: the transaction with which
    -- credits were taken back, and a number.
    adjustment_id text NOT NULL,
    provider_transaction_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    amount bigint NOT NULL,
    credits bigint NOT NULL,
    taken bigint NOT NULL,
    -- When the operator had dealt with what could not be taken.
    dismissed_at timestamptz,
    PRIMARY KEY (provider, adjustment_id),
    FOREIGN KEY (provider, provider_transaction_id) REFERENCES payments(provider,
        provider_transaction_id),
    CONSTRAINT action_is_known CHECK (action = ANY (ARRAY['refund', 'chargeback', 'downgrade'])),
    CONSTRAINT amount_not_negative CHECK (amount >= 0),
    CONSTRAINT credits_not_negative CHECK (credits >= 0),
    CONSTRAINT taken_at_most_what_was_asked CHECK (taken >= 0 AND taken <= credits)
);
CREATE INDEX clawbacks_by_booking ON clawbacks (created_at);
CREATE INDEX clawbacks_of_payment ON clawbacks (provider, provider_transaction_id);
CREATE INDEX short_clawbacks ON clawbacks (created_at) WHERE taken < credits AND dismissed_at IS
    NULL;

-- Every event a provider sent, once. Written by functions only.
CREATE TABLE provider_events (
    provider text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'received',
    -- Why it was ignored or set aside, or what failed last; a sentence for the operator.
    reason text,
    -- What a problem is about, where the same one comes again each month: events that are set
    -- aside with the same subject are one problem.
    subject text,
    -- The subscription that an event names which is about nothing of ours. Null: it is ours, or
    -- names none.
    foreign_subscription_id text,
    -- The transaction that an event names which is about nothing of ours. Null: it is ours, or
    -- names none.
    foreign_transaction_id text,
    -- A copy of the event without names, addresses, texts and means of payment.
    content json,
    PRIMARY KEY (provider, event_id),
    CONSTRAINT settled_events_have_a_time CHECK ((status = ANY (ARRAY['processed', 'ignored',
        'set_aside'])) = (settled_at IS NOT NULL)),
    CONSTRAINT status_is_known CHECK (status = ANY (ARRAY['received', 'failing', 'processed',
        'ignored', 'set_aside']))
);
CREATE INDEX events_by_subject ON provider_events ((content ->> 'id'));
CREATE INDEX events_by_transaction ON provider_events ((content ->> 'transaction_id')) WHERE
    (content ->> 'transaction_id') IS NOT NULL;
CREATE INDEX events_of_foreign_transactions ON provider_events (foreign_transaction_id) WHERE
    foreign_transaction_id IS NOT NULL;
CREATE INDEX foreign_events ON provider_events (foreign_subscription_id) WHERE
    foreign_subscription_id IS NOT NULL;
CREATE INDEX set_aside_events ON provider_events (received_at) WHERE status = 'set_aside';
CREATE INDEX unsettled_events ON provider_events (received_at) WHERE status = ANY
    (ARRAY['received', 'failing']);

-- What is charged through a store's subscription besides its price: one bill per month for what
-- was used beyond the balance, and credits that the store buys by itself. Each is charged once.
-- Written by functions only.
CREATE TABLE subscription_charges (
    account_id bigint NOT NULL,
    -- Of a bill: the first day of the month that was closed.
    period date,
    -- Of a bill: the movement of type overage_bill: every overage before it is billed.
    seq bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When the next attempt may be made.
    due_at timestamptz NOT NULL DEFAULT now(),
    -- When a charge was last about to be sent: from then on it may exist at the provider. Null
    -- again once the provider has refused it.
    charge_begun_at timestamptz,
    -- When the provider said yes: no charge is ever sent again, its transaction is only looked
    -- for.
    accepted_at timestamptz,
    charged_at timestamptz,
    credits bigint NOT NULL,
    -- What to charge, in the currency's smallest unit.
    amount bigint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    currency text NOT NULL,
    request_id text NOT NULL,
    provider text NOT NULL,
    -- The subscription through which a charge was last sent: where to look for it.
    provider_subscription_id text,
    provider_transaction_id text,
    -- Why it is not charged yet; a sentence for the operator.
    last_error text,
    -- Of a top-up: how many the store has had with it. It names the charge at the provider, so
    -- that a database that was restored to an earlier moment finds the one it had sent.
    number int,
    -- When a top-up was given up, of which nothing was charged.
    dropped_at timestamptz,
    -- Of a top-up: how long its credits can be spent; null: they do not expire.
    expires_after_days int,
    -- overage: the bill of a month. top_up: credits that are bought by themselves.
    kind text NOT NULL GENERATED ALWAYS AS (
CASE
    WHEN period IS NULL THEN 'top_up'
    ELSE 'overage'
END) STORED,
    PRIMARY KEY (account_id, request_id),
    CONSTRAINT one_charge_per_number UNIQUE (account_id, number),
    CONSTRAINT one_charge_per_transaction UNIQUE (provider, provider_transaction_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT begun_charges_name_their_subscription CHECK (charge_begun_at IS NULL OR
        provider_subscription_id IS NOT NULL),
    CONSTRAINT charges_are_overage_or_top_ups CHECK (num_nonnulls(period, seq) = CASE     WHEN
        number IS NULL THEN 2     ELSE 0 END),
    CONSTRAINT charges_end_once CHECK ((charged_at IS NULL) = (provider_transaction_id IS NULL) AND
        (charged_at IS NULL OR dropped_at IS NULL)),
    CONSTRAINT credits_are_positive CHECK (credits > 0),
    CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT days_are_positive CHECK (expires_after_days > 0),
    CONSTRAINT number_is_positive CHECK (number > 0),
    CONSTRAINT period_is_a_month CHECK (period = date_trunc('month', period::timestamptz))
);
CREATE UNIQUE INDEX one_bill_per_month ON subscription_charges (account_id, period) WHERE period IS
    NOT NULL;
CREATE UNIQUE INDEX one_top_up_under_way ON subscription_charges (account_id) WHERE period IS NULL
    AND charged_at IS NULL AND dropped_at IS NULL;
CREATE INDEX open_subscription_charges ON subscription_charges (kind, due_at) WHERE charged_at IS
    NULL AND dropped_at IS NULL;

-- The newest migration applied, and a hash of all SQL applied with it.
CREATE TABLE schema_version (
    only_row boolean NOT NULL DEFAULT true,
    migration text NOT NULL,
    fingerprint text NOT NULL,
    -- The schema with the views and functions for outside callers; null: there are none.
    interface text,
    migrated_at timestamptz NOT NULL DEFAULT now(),
    -- A hash of what there was when it was migrated: owners, rights, functions, keys.
    shape text,
    PRIMARY KEY (only_row),
    CONSTRAINT there_is_one_row CHECK (only_row)
);

-- Where events are sent: URLs of stores and of the operator. Written by functions only.
CREATE TABLE webhook_endpoints (
    endpoint_id uuid NOT NULL,
    -- Of the store whose events it hears; 0: the operator's, which hears those of all owners.
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    -- When the first of the attempts was made that have all failed since; null: the last one did
    -- not.
    failing_since timestamptz,
    -- Of an ordered one: nothing is sent before then; null: at once.
    resumes_at timestamptz,
    -- It is told one event after the other, in the order of the ledger: one that fails holds the
    -- rest up.
    is_ordered boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'enabled',
    -- requested: by its owner. gone: it answered 410. failing: it had failed for five days.
    disabled_reason text,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    -- The types of event it is told; *: all that its owner may hear.
    event_types text[] NOT NULL,
    -- Whether any of them tells of a movement.
    hears_movements boolean NOT NULL GENERATED ALWAYS AS (event_types && '{*,credits.low,credits.depleted,credits.added,credits.clawed_back,hold.expired,overage.started,overage.limit_reached,overage.billed}') STORED,
    PRIMARY KEY (endpoint_id),
    CONSTRAINT description_has_a_length CHECK (length(description) <= 200),
    CONSTRAINT disabled_endpoints_have_a_time CHECK ((status = 'disabled') = (disabled_at IS NOT
        NULL) AND (status = 'disabled') = (disabled_reason IS NOT NULL)),
    CONSTRAINT disabled_reason_is_known CHECK (disabled_reason = ANY (ARRAY['requested', 'gone',
        'failing'])),
    CONSTRAINT endpoint_status_is_known CHECK (status = ANY (ARRAY['enabled', 'disabled'])),
    CONSTRAINT event_types_are_few CHECK (cardinality(event_types) >= 1 AND
        cardinality(event_types) <= 100),
    CONSTRAINT url_has_a_length CHECK (length(url) >= 1 AND length(url) <= 2000)
);
CREATE INDEX endpoints_of_an_account ON webhook_endpoints (account_id, endpoint_id);

-- What deliveries are signed with: by all secrets of an endpoint that have not expired.
CREATE TABLE webhook_secrets (
    endpoint_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The end of the overlap after it was replaced; null: it is the current one.
    expires_at timestamptz,
    secret bytea NOT NULL,
    PRIMARY KEY (endpoint_id, created_at),
    FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints(endpoint_id) ON DELETE CASCADE,
    CONSTRAINT secret_is_long CHECK (octet_length(secret) = 32)
);

-- What has happened and was to be told, oldest first for each account. Kept for 30 days.
CREATE TABLE events (
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Whose it is; null: nobody's but the operator's.
    account_id bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    type text NOT NULL,
    -- What is told: ids and amounts, nothing personal.
    data json NOT NULL,
    -- Of an event that happened in another bucket: whose it is; account_id is null then.
    owner_kind text,
    -- Of an event that happened in another bucket: whose it is.
    owner_id uuid,
    -- Of an event that happened in another bucket: when; created_at is when it was written here.
    happened_at timestamptz,
    PRIMARY KEY (seq),
    CONSTRAINT one_event_per_id UNIQUE (event_id)
);
CREATE INDEX events_by_time ON events USING brin (created_at);

-- One row per event and endpoint that is to be told it: pending -> delivered | failed, and pending
-- again when it is sent anew. What happens while an endpoint is disabled has failed from the
-- first.
CREATE TABLE deliveries (
    endpoint_id uuid NOT NULL,
    -- Of its event.
    seq bigint NOT NULL,
    -- When it is due, or, while an attempt is under way, when that one is given up; null: it has
    -- ended. Those of an ordered endpoint are all due at -infinity: the endpoint says when it
    -- resumes.
    next_attempt_at timestamptz DEFAULT '-infinity',
    ended_at timestamptz,
    -- How many attempts were made, over all the times it was sent.
    attempts int NOT NULL DEFAULT 0,
    -- How many of them failed since it was sent, or sent anew.
    retries int NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'pending',
    PRIMARY KEY (endpoint_id, seq),
    CONSTRAINT delivery_status_is_known CHECK (status = ANY (ARRAY['pending', 'delivered',
        'failed'])),
    CONSTRAINT pending_deliveries_are_due CHECK ((status = 'pending') = (next_attempt_at IS NOT
        NULL) AND (status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX due_deliveries ON deliveries (endpoint_id, next_attempt_at, seq) WHERE next_attempt_at
    IS NOT NULL;
CREATE INDEX failed_deliveries ON deliveries (endpoint_id, seq) WHERE status = 'failed';

-- Every attempt at a delivery, and what came of it. Kept for 30 days.
CREATE TABLE delivery_attempts (
    endpoint_id uuid NOT NULL,
    seq bigint NOT NULL,
    attempt int NOT NULL,
    attempted_at timestamptz NOT NULL,
    milliseconds int NOT NULL,
    -- What the receiver answered; null: nothing, and `error` says why.
    status_code int,
    error text,
    -- The first 500 bytes of its answer.
    answer text,
    PRIMARY KEY (endpoint_id, seq, attempt)
);
CREATE INDEX attempts_by_time ON delivery_attempts USING brin (attempted_at);

-- The grants whose owners were told that they will expire soon.
CREATE TABLE expiry_notices (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, seq)
);

-- Which stores buy credits by themselves: at a balance of `threshold` or below, so many `credits`
-- through their subscription. A store that is not here does not. Written by functions only.
CREATE TABLE top_ups (
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- When to look whether credits are to be bought: set in the transaction of the movement that
    -- brings the balance to the threshold or below; null: nothing is to be looked at.
    due_at timestamptz,
    threshold bigint NOT NULL,
    credits int NOT NULL,
    -- How many are bought in a day at most (UTC, by the database's clock).
    max_per_day int NOT NULL,
    -- How many are bought in a calendar month at most, likewise.
    max_per_month int NOT NULL,
    status text NOT NULL DEFAULT 'on',
    -- declined: the means of payment was. no_subscription: the store has none any more.
    pause_reason text,
    PRIMARY KEY (account_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT credits_are_positive CHECK (credits > 0),
    CONSTRAINT day_has_a_limit CHECK (max_per_day > 0),
    CONSTRAINT month_has_a_limit CHECK (max_per_month > 0),
    CONSTRAINT pause_reason_is_known CHECK (pause_reason = ANY (ARRAY['declined',
        'no_subscription'])),
    CONSTRAINT paused_top_ups_say_why CHECK ((status = 'paused') = (pause_reason IS NOT NULL) AND
        (status = 'on' OR due_at IS NULL)),
    CONSTRAINT threshold_not_negative CHECK (threshold >= 0),
    CONSTRAINT top_up_status_is_known CHECK (status = ANY (ARRAY['on', 'paused']))
);
CREATE INDEX due_top_ups ON top_ups (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX waiting_top_ups ON top_ups (account_id) WHERE status = 'on' AND due_at IS NULL;

-- What operators did, each entry written in the transaction of the action itself. Append-only: the
-- role that owns the functions may insert and read, and no more.
CREATE TABLE audit_log (
    entry_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- Whose credits, keys, settings it is about; null: nobody's in particular.
    account_id bigint,
    -- Of a transfer: who was given the credits.
    other_account_id bigint,
    acted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Who: the name of an admin token, the name that a command was given (else the login's), or
    -- who signed a store in to its portal (store: it did so itself).
    actor text NOT NULL,
    -- How they came in: by the API, a command, the console, or the portal of a store.
    door text NOT NULL,
    action text NOT NULL,
    -- The id of what it is about besides the owner: a key, a grant, an endpoint, a problem.
    subject text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    request_id text NOT NULL,
    idempotency_key text,
    -- What was asked for: never a secret, nor the address of a receiver.
    asked jsonb NOT NULL DEFAULT '{}',
    -- What came of it: what the same request is answered when it is sent again.
    outcome jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (entry_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT action_has_a_length CHECK (length(action) >= 1 AND length(action) <= 50),
    CONSTRAINT actor_has_a_length CHECK (length(actor) >= 1 AND length(actor) <= 100),
    CONSTRAINT door_is_known CHECK (door = ANY (ARRAY['api', 'command', 'console', 'portal'])),
    CONSTRAINT idempotency_key_has_a_length CHECK (length(idempotency_key) >= 1 AND
        length(idempotency_key) <= 200),
    CONSTRAINT other_account_beside_the_first CHECK (other_account_id IS NULL OR account_id IS NOT
        NULL),
    CONSTRAINT reason_has_a_length CHECK (length(reason) <= 500),
    CONSTRAINT request_id_has_a_length CHECK (length(request_id) >= 1 AND length(request_id) <=
        200),
    CONSTRAINT subject_has_a_length CHECK (length(subject) <= 200)
);
CREATE INDEX audit_of_a_request ON audit_log (request_id, entry_id);
CREATE INDEX audit_of_an_account ON audit_log (account_id, entry_id) WHERE account_id IS NOT NULL;
CREATE INDEX audit_of_an_action ON audit_log (action, entry_id);
CREATE INDEX audit_of_an_actor ON audit_log (actor, entry_id);
CREATE INDEX audit_of_another_account ON audit_log (other_account_id, entry_id) WHERE
    other_account_id IS NOT NULL;
CREATE UNIQUE INDEX one_action_per_idempotency_key ON audit_log (idempotency_key) WHERE
    idempotency_key IS NOT NULL;

-- The tokens of operators, each with a name that the audit log knows it by, which is never used
-- again. Written by functions only.
CREATE TABLE admin_tokens (
    token_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    name text NOT NULL,
    -- The first characters, by which people know it again.
    token_start text NOT NULL,
    -- SHA-256; the token itself is kept nowhere.
    token_hash bytea NOT NULL,
    -- What may be done with it. read: look. credits: add, remove, hand over, spend, hold. keys:
    -- make, change, revoke API keys. all: everything, tokens included.
    scopes text[] NOT NULL,
    PRIMARY KEY (token_id),
    CONSTRAINT one_token_per_hash UNIQUE (token_hash),
    CONSTRAINT one_token_per_name UNIQUE (name),
    CONSTRAINT name_has_a_length CHECK (length(name) >= 1 AND length(name) <= 100),
    CONSTRAINT name_is_free CHECK (name <> 'admin'),
    CONSTRAINT scopes_are_known CHECK (cardinality(scopes) >= 1 AND cardinality(scopes) <= 4 AND
        scopes <@ '{read,credits,keys,all}'),
    CONSTRAINT token_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    CONSTRAINT token_start_has_a_length CHECK (length(token_start) >= 1 AND length(token_start) <=
        20)
);

-- What the counted movements of an hour (UTC) come to, by the kind of owner and by type. Which are
-- counted stands in summed_accounts. `storecredit verify` recomputes it.
CREATE TABLE hourly_sums (
    hour timestamptz NOT NULL,
    -- How many there are.
    movements bigint NOT NULL,
    -- How many of the movements are of a generation.
    generations bigint NOT NULL,
    -- Of how many credits they are.
    credits numeric NOT NULL,
    owner_kind text NOT NULL,
    type text NOT NULL,
    -- Of what a failed generation was given back: why it failed, its error_code. Otherwise empty.
    cause text NOT NULL DEFAULT '',
    PRIMARY KEY (hour, owner_kind, type, cause)
);

-- hourly_sums by the day (UTC), kept together with them: a year of hours is much to read.
CREATE TABLE daily_sums (
    day date NOT NULL,
    movements bigint NOT NULL,
    generations bigint NOT NULL,
    credits numeric NOT NULL,
    owner_kind text NOT NULL,
    type text NOT NULL,
    cause text NOT NULL DEFAULT '',
    PRIMARY KEY (day, owner_kind, type, cause)
);

-- Up to where an account's movements are counted in hourly_sums: each once, in the order in which
-- they were committed. What stands after it is counted soon. Every account has a row from its
-- beginning.
CREATE TABLE summed_accounts (
    account_id bigint NOT NULL,
    -- As of the account.
    owner_id uuid NOT NULL,
    -- Of the last movement that is counted; 0: none is.
    seq bigint NOT NULL,
    -- What the account had after that one: to find and order accounts by. What it has stands in
    -- its newest movement. `storecredit verify` compares it.
    balance bigint NOT NULL DEFAULT 0,
    -- When that one was made. Null: none is counted.
    moved_at timestamptz,
    -- When it was last estimated how long the credits of a store last.
    estimated_at timestamptz,
    -- When that will be: an estimate to search by, for stores alone. Null: not soon.
    runs_dry_at timestamptz,
    -- As of the account.
    owner_kind text NOT NULL,
    PRIMARY KEY (account_id)
) WITH (fillfactor=50);
CREATE INDEX accounts_by_balance ON summed_accounts (owner_kind, balance, owner_id);
CREATE INDEX accounts_by_movement ON summed_accounts (moved_at);
CREATE INDEX accounts_that_run_dry ON summed_accounts (runs_dry_at) WHERE runs_dry_at IS NOT NULL;

-- The payments booked on a day (UTC), and what went back on it, in the currency's smallest unit.
-- Made anew until the day after; `storecredit verify` recomputes what is over.
CREATE TABLE daily_money (
    day date NOT NULL,
    paid numeric NOT NULL,
    returned numeric NOT NULL,
    currency text NOT NULL,
    PRIMARY KEY (day, currency)
);

-- How far the sums are.
CREATE TABLE summing (
    only_row boolean NOT NULL DEFAULT true,
    -- The account that the walk over all of them came to.
    walked_to bigint NOT NULL DEFAULT 0,
    -- When a walk was last finished. Null: none was, and movements of any time may be missing in
    -- the sums.
    whole_at timestamptz,
    -- When the newest movements were last counted.
    summed_at timestamptz,
    -- When daily_money was last made anew.
    money_at timestamptz,
    -- Of how many pages the ledger was when the last passes began, the newest first: where news
    -- may stand.
    ends bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (only_row),
    CONSTRAINT there_is_one_summing CHECK (only_row)
);

-- Browsers that are signed in, to the operator's console or a store's portal. A row is removed
-- when somebody signs out, or some time after its end. Written by functions only.
CREATE TABLE sign_ins (
    sign_in_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    -- The operator's token behind it: with it the sign-in ends. With neither token, mark nor key,
    -- a command of the operator's began it.
    token_id uuid,
    store_id uuid,
    -- The store's API key behind it, likewise.
    key_id uuid,
    door text NOT NULL,
    -- Console: the operator's name. Portal: who issued the link, or store.
    actor text NOT NULL,
    -- SHA-256 of what the cookie says; the cookie itself is kept nowhere.
    secret_hash bytea NOT NULL,
    -- STORECREDIT_ADMIN_TOKEN is behind it, as it was: an HMAC of it, whose key is not in the
    -- database.
    admin_mark bytea,
    PRIMARY KEY (sign_in_id),
    CONSTRAINT one_sign_in_per_secret UNIQUE (secret_hash),
    FOREIGN KEY (token_id) REFERENCES admin_tokens(token_id),
    CONSTRAINT a_portal_is_a_stores CHECK ((door = 'portal') = (store_id IS NOT NULL)),
    CONSTRAINT actor_has_a_length CHECK (length(actor) >= 1 AND length(actor) <= 100),
    CONSTRAINT admin_mark_is_sha256 CHECK (octet_length(admin_mark) = 32),
    CONSTRAINT at_most_one_vouches CHECK (num_nonnulls(token_id, admin_mark, key_id) <= 1),
    CONSTRAINT door_is_known CHECK (door = ANY (ARRAY['console', 'portal'])),
    CONSTRAINT secret_hash_is_sha256 CHECK (octet_length(secret_hash) = 32)
);
CREATE INDEX sign_ins_expires_at ON sign_ins (expires_at);

-- Links that sign a browser in: each once, so that its row is removed by that. Written by
-- functions only.
CREATE TABLE sign_in_links (
    -- SHA-256 of what stands in the link; the code itself is kept nowhere.
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the link; what it begins lasts sign_in_seconds from then on.
    expires_at timestamptz NOT NULL,
    token_id uuid,
    store_id uuid,
    key_id uuid,
    sign_in_seconds int NOT NULL,
    door text NOT NULL,
    issued_by text NOT NULL,
    -- As in sign_ins.
    admin_mark bytea,
    PRIMARY KEY (code_hash),
    FOREIGN KEY (token_id) REFERENCES admin_tokens(token_id),
    CONSTRAINT a_portal_is_a_stores CHECK ((door = 'portal') = (store_id IS NOT NULL)),
    CONSTRAINT admin_mark_is_sha256 CHECK (octet_length(admin_mark) = 32),
    CONSTRAINT at_most_one_vouches CHECK (num_nonnulls(token_id, admin_mark, key_id) <= 1),
    CONSTRAINT code_hash_is_sha256 CHECK (octet_length(code_hash) = 32),
    CONSTRAINT door_is_known CHECK (door = ANY (ARRAY['console', 'portal'])),
    CONSTRAINT issued_by_has_a_length CHECK (length(issued_by) >= 1 AND length(issued_by) <= 100),
    CONSTRAINT sign_in_seconds_are_some CHECK (sign_in_seconds >= 1 AND sign_in_seconds <= 86400)
);
CREATE INDEX sign_in_links_expires_at ON sign_in_links (expires_at);

-- One row per file of archived sessions, written in the transaction that removes them. What no row
-- names is no part of the archive.
CREATE TABLE session_archives (
    number bigint NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    -- When the oldest of its sessions was created; newest_at: the newest.
    oldest_at timestamptz NOT NULL,
    newest_at timestamptz NOT NULL,
    -- The size of the file as it is stored, compressed.
    bytes bigint NOT NULL,
    sessions int NOT NULL,
    -- The sum of the fingerprints of its sessions, under archiving.seed; refunds: of those that
    -- failed. `storecredit verify` counts them among the sessions that there are.
    generations numeric NOT NULL,
    refunds numeric NOT NULL,
    -- Of the content, uncompressed. The database made it, and compared it once more before it
    -- removed anything.
    sha256 bytea NOT NULL,
    -- The directory or bucket it was written to; file: the name below that.
    place text NOT NULL,
    file text NOT NULL,
    PRIMARY KEY (number),
    CONSTRAINT archives_are_not_empty CHECK (bytes > 0),
    CONSTRAINT archives_have_sessions CHECK (sessions > 0)
);

-- One row per account and archive: which of its sessions are in there, in the order of the ledger.
-- Some tens of bytes to a session.
CREATE TABLE archived_sessions (
    account_id bigint NOT NULL,
    -- The last of seqs.
    until_seq bigint NOT NULL,
    -- Of the archive.
    number bigint NOT NULL,
    -- How many they are; failed: how many of them failed.
    sessions int NOT NULL,
    failed int NOT NULL,
    first_id uuid NOT NULL,
    last_id uuid NOT NULL,
    -- The movements that paid for them; session_ids: the sessions, in the same order.
    seqs bigint[] NOT NULL,
    session_ids uuid[] NOT NULL,
    -- The first 8 bytes of each one's fingerprint, in the same order: a request that is sent again
    -- is known. Empty: its owner was erased.
    fingerprints bytea NOT NULL,
    -- Those of seqs whose session failed; return_seqs: the movements that gave them back; causes:
    -- the error codes, in the same order.
    failed_seqs bigint[] NOT NULL,
    return_seqs bigint[] NOT NULL,
    causes text[] NOT NULL,
    PRIMARY KEY (account_id, until_seq)
);
ALTER TABLE archived_sessions ALTER COLUMN account_id SET (n_distinct=-0.05);
CREATE INDEX archived_sessions_by_id ON archived_sessions ((account_id + 0), last_id);

-- Up to where an account's ledger was looked through for sessions to archive.
CREATE TABLE archived_accounts (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (account_id)
) WITH (fillfactor=50);

-- How far archiving is, and the piece under way: whoever takes it up again makes the same file.
CREATE TABLE archiving (
    only_row boolean NOT NULL DEFAULT true,
    -- Of the fingerprints in session_archives: drawn once, as what was summed up is not there to
    -- be summed up again.
    seed bigint NOT NULL DEFAULT (('x' || "left"(replace(gen_random_uuid()::text, '-', ''), 16)))::bit(64)::bigint,
    -- The account that the walk over all of them came to.
    walked_to bigint NOT NULL DEFAULT 0,
    -- When a walk was last finished.
    whole_at timestamptz,
    held_until timestamptz,
    -- The process whose turn it is, until held_until.
    holder uuid,
    -- Of the piece under way; its movements are those after after_seqs, up to until_seqs. Empty:
    -- there is none.
    account_ids bigint[] NOT NULL DEFAULT '{}',
    after_seqs bigint[] NOT NULL DEFAULT '{}',
    until_seqs bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (only_row),
    CONSTRAINT there_is_one_archiving CHECK (only_row)
);

-- The owners that `storecredit import` has brought along, each once, written with their movements.
CREATE TABLE imported_owners (
    account_id bigint NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now(),
    -- The balance that the system before showed; null: it had none of this owner.
    shown_balance bigint,
    -- What the owner had here right after the import.
    balance bigint NOT NULL,
    -- How many movements were written then.
    movements bigint NOT NULL,
    -- Whether they tell the history; else one brings the balance.
    has_history boolean NOT NULL,
    PRIMARY KEY (account_id),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT balance_not_negative CHECK (balance >= 0)
);

-- The buckets that there are, where there is more than one; kept in the first one, by migrations.
CREATE TABLE buckets (
    -- Number n is the schema of our name, an underscore and n; 0 is that of our name alone.
    number int NOT NULL,
    -- From when on owners were put into it.
    opened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (number),
    CONSTRAINT number_not_negative CHECK (number >= 0)
);

-- Which bucket an owner lives in, for ever; kept in the first one, where there is more than one.
CREATE TABLE owner_buckets (
    owner_kind text NOT NULL,
    owner_id uuid NOT NULL,
    bucket int NOT NULL,
    PRIMARY KEY (owner_id, owner_kind),
    FOREIGN KEY (bucket) REFERENCES buckets(number)
);

-- Which bucket knows an API key, by its hash; kept in the first one, where there is more than one.
CREATE TABLE key_buckets (
    key_hash bytea NOT NULL,
    bucket int NOT NULL,
    PRIMARY KEY (key_hash),
    FOREIGN KEY (bucket) REFERENCES buckets(number)
);

-- Which bucket's audit log an operator's idempotency key may stand in; kept in the first one,
-- where there is more than one.
CREATE TABLE action_buckets (
    idempotency_key text NOT NULL,
    bucket int NOT NULL,
    PRIMARY KEY (idempotency_key),
    FOREIGN KEY (bucket) REFERENCES buckets(number)
);

-- Which bucket keeps what a provider's id names, for ever: an event that was taken there, a
-- transaction that was booked there. Kept in the first one, where there is more than one.
CREATE TABLE provider_buckets (
    provider text NOT NULL,
    provider_id text NOT NULL,
    bucket int NOT NULL,
    PRIMARY KEY (provider, provider_id),
    FOREIGN KEY (bucket) REFERENCES buckets(number)
);

-- The end that a transfer has in this bucket, where the other one stands in another. Append-only.
CREATE TABLE transfer_ends (
    account_id bigint NOT NULL,
    -- Of the movement at this end, whose type, amount and request id stand here once more.
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    other_account_id bigint NOT NULL,
    type text NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (account_id, seq),
    FOREIGN KEY (account_id) REFERENCES accounts(account_id),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT type_is_an_end CHECK (type = ANY (ARRAY['transfer_out', 'transfer_in']))
);

-- The accounts whose movements are chained, in the order in which they came: that of the leaves of
-- every checkpoint's tree.
CREATE TABLE chained_accounts (
    -- Its place among the leaves: 0, 1, 2 without gaps.
    position bigint NOT NULL,
    account_id bigint NOT NULL,
    -- As of the account.
    owner_id uuid NOT NULL,
    -- As of the account.
    owner_kind text NOT NULL,
    -- What the chain over that begins with which its owner is not told, so that nobody guesses it
    -- by its hash.
    salt bytea NOT NULL,
    PRIMARY KEY ("position"),
    CONSTRAINT one_place_per_account UNIQUE (account_id),
    CONSTRAINT position_not_negative CHECK ("position" >= 0)
);

-- One row per account and range of its movements: from the one after the link before, up to seq.
CREATE TABLE chain_links (
    position bigint NOT NULL,
    seq bigint NOT NULL,
    -- Of the first checkpoint that it is in; one more than the newest: it will be.
    number bigint NOT NULL,
    -- The hash of the movement at seq and of all before it: of what their owner is told of them.
    head bytea NOT NULL,
    -- Likewise, of all else that stands in them.
    kept_head bytea NOT NULL,
    -- The first four bytes of each movement's two hashes, so that the one that was changed can be
    -- named.
    marks bytea NOT NULL,
    -- Says that the link is the service's: an HMAC under a secret that is not in the database.
    seal bytea NOT NULL,
    PRIMARY KEY ("position", seq)
);
CREATE INDEX chain_links_by_checkpoint ON chain_links (number);

-- What was signed, with a key that is not in the database: where all chains stood at a moment.
CREATE TABLE checkpoints (
    number bigint NOT NULL,
    made_at timestamptz NOT NULL,
    -- How many leaves its tree has.
    owners bigint NOT NULL,
    -- How many movements they cover.
    movements bigint NOT NULL,
    -- Which ledger it is of: the same in all of them.
    ledger uuid NOT NULL,
    -- The root of the Merkle tree (RFC 6962) over where each chain stood.
    root bytea NOT NULL,
    -- The root of the Merkle tree over all checkpoints before this one.
    log_root bytea NOT NULL,
    -- The hash of the one before; zeros: it is the first.
    previous bytea NOT NULL,
    key_id bytea NOT NULL,
    signature bytea NOT NULL,
    -- The roots over each 1024 leaves, so that a proof need not read all. Not signed: the root
    -- follows from them.
    chunks bytea NOT NULL,
    PRIMARY KEY (number),
    CONSTRAINT number_from_one CHECK (number >= 1)
);

-- Whose turn it is to chain movements and to make a checkpoint.
CREATE TABLE proving (
    only_row boolean NOT NULL DEFAULT true,
    -- The process whose turn it is, until held_until.
    holder uuid,
    held_until timestamptz,
    -- When a pass was last finished.
    passed_at timestamptz,
    -- When one was last finished that looked at every account.
    walked_at timestamptz,
    PRIMARY KEY (only_row),
    CONSTRAINT there_is_one_proving CHECK (only_row)
);


-- Functions that the application calls.

-- The provider has accepted a charge, which is therefore never sent again.
FUNCTION accept_subscription_charge(p_account_id bigint, p_request_id text) RETURNS boolean;

-- The account of a store or a user. Errors: SC001 unknown store, SC008 unknown user.
FUNCTION account_of(p_owner_kind text, p_owner_id uuid) RETURNS bigint;

-- Continues chains that still end where it says. Returns how many; null: that checkpoint was made.
FUNCTION add_chain_links(p_number bigint, p_positions bigint[], p_after_seqs bigint[],
    p_seqs bigint[], p_heads bytea[], p_kept_heads bytea[], p_marks bytea[], p_seals bytea[])
    RETURNS int;

-- Keeps the next checkpoint, signed, if nothing was chained since. false: something was.
FUNCTION add_checkpoint(p_number bigint, p_made_at timestamptz, p_owners bigint,
    p_movements bigint, p_ledger uuid, p_hashes bytea[], p_key_id bytea, p_signature bytea,
    p_chunks bytea, p_links bigint) RETURNS boolean;

-- Adds credits to an account, with terms of their own. true: added now; false: this request had
-- added them. Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 conflict, SC007
-- type, SC011 terms.
FUNCTION add_to_account(p_account_id bigint, p_amount int, p_type text, p_request_id text,
    p_description text DEFAULT 'Credits added', p_expires_at timestamptz DEFAULT NULL,
    p_kind text DEFAULT NULL, p_priority int DEFAULT NULL, p_grace interval DEFAULT NULL,
    p_rollover_max bigint DEFAULT NULL, p_rollover_until timestamptz DEFAULT NULL,
    p_actor text DEFAULT NULL) RETURNS boolean;

-- What grants have left when some of them have more or fewer, in the order in which they are
-- spent.
FUNCTION add_to_grants(p_account_id bigint, p_grants bigint[], p_added bigint[]) RETURNS bigint[];

-- Keeps the newest state and plan of a subscription; the store's tier follows it unless the
-- operator set it by hand. Outcome: applied, stale, unknown_subscription, unknown_checkout,
-- mismatch.
FUNCTION apply_subscription_state(p_provider text, p_subscription_id text, p_transaction_id text,
    p_checkout_id uuid, p_store_id uuid, p_status text, p_occurred_at timestamptz,
    p_period_starts_at timestamptz, p_period_ends_at timestamptz, p_plans text[],
    p_plan text DEFAULT NULL, p_credits bigint DEFAULT NULL, p_amount bigint DEFAULT NULL,
    p_currency text DEFAULT NULL) RETURNS text;

-- The archive that has a session of an account, the movement that paid for it, its status and why
-- it failed. No row: none has.
FUNCTION archived_by_id(p_account_id bigint, p_session_id uuid) RETURNS TABLE(number bigint,
    seq bigint, status text, cause text);

-- What is kept of the archived session that a movement paid for: archive, first 8 bytes of its
-- fingerprint, status. No row: it is not archived.
FUNCTION archived_session(p_account_id bigint, p_seq bigint) RETURNS TABLE(number bigint,
    fingerprint bytea, status text);

-- Whether so many credits can stand as what grants have left.
FUNCTION are_possible_grants(p_grants bigint[], p_balance bigint) RETURNS boolean;

-- Whether all credits of an account that nothing tells apart have this kind and priority.
FUNCTION are_terms_of_all(p_account_id bigint, p_kind text, p_priority int) RETURNS boolean;

-- Whether something tells the credits of these grants apart.
FUNCTION are_told_apart(p_account_id bigint, p_grants bigint[]) RETURNS boolean;

-- Ties a checkout to its transaction and price at the provider, once, and returns it as it is
-- then.
FUNCTION attach_checkout(p_checkout_id uuid, p_transaction_id text, p_checkout_url text,
    p_price_id text DEFAULT NULL) RETURNS checkouts;

-- The balance that an account had at a moment; 0 before its first movement.
FUNCTION balance_at(p_account_id bigint, p_at timestamptz) RETURNS bigint;

-- Chooses the sessions of the next file of the archive and makes its content. is_behind: there is
-- more to do; null: it is another's turn.
FUNCTION begin_archive(p_holder uuid, p_lease interval, p_interval interval, p_kept interval,
    p_grace interval, p_accounts int, p_movements bigint, OUT number bigint, OUT sessions int,
    OUT content text, OUT is_behind boolean) RETURNS record;

-- Counts an attempt at a charge, before it is sent. false: it must not be sent.
FUNCTION begin_subscription_charge(p_account_id bigint, p_request_id text, p_subscription_id text,
    p_attempts int) RETURNS boolean;

-- Refuses all that a user asks for, and announces it. true: blocked, now or before; false: no such
-- user. Idempotent.
FUNCTION block_user(p_user_id uuid) RETURNS boolean;

-- Takes back the credits of a payment that was refunded or charged back, in proportion and never
-- below zero, once. Outcome: booked, already_booked, unknown_payment, mismatch.
FUNCTION book_adjustment(p_provider text, p_adjustment_id text, p_transaction_id text,
    p_action text, p_is_full boolean, p_amount bigint, p_currency text) RETURNS TABLE(outcome text,
    credits bigint, taken bigint);

-- Books a provider's transaction by hand, for so many credits, once, and settles its event.
-- Outcome: booked, replayed, already_booked, other_owner, unknown_owner, conflict.
FUNCTION book_by_hand(p_provider text, p_transaction_id text, p_subscription_id text,
    p_owner_kind text, p_owner_id uuid, p_credits int, p_amount bigint, p_currency text,
    p_paid_at timestamptz, p_description text, p_actor text DEFAULT NULL) RETURNS
    TABLE(outcome text, payment payments);

-- Books the payment of what a subscription was charged, once. Outcome: booked, already_booked,
-- unknown_subscription, unknown_charge, mismatch, charge_paid, conflict.
FUNCTION book_charge_payment(p_provider text, p_transaction_id text, p_subscription_id text,
    p_request_id text, p_amount bigint, p_currency text, p_paid_at timestamptz,
    p_discount bigint DEFAULT 0, p_grace interval DEFAULT NULL) RETURNS text;

-- Books a paid checkout and adds its credits, once. Outcome: booked, already_booked,
-- unknown_transaction, mismatch, period_paid, conflict; only booked writes.
FUNCTION book_checkout(p_provider text, p_transaction_id text, p_subscription_id text,
    p_period_starts_at timestamptz, p_amount bigint, p_currency text, p_paid_at timestamptz,
    p_discount bigint DEFAULT 0, p_period_ends_at timestamptz DEFAULT NULL,
    p_grace interval DEFAULT NULL) RETURNS text;

-- Books a subscription's payment of a period (once per period) or of a change within one, and adds
-- its credits; takes them back where they are below zero. Outcome: booked, already_booked,
-- unknown_subscription, period_paid, conflict; only booked writes.
FUNCTION book_subscription_payment(p_provider text, p_transaction_id text, p_subscription_id text,
    p_period_starts_at timestamptz, p_plan text, p_credits bigint, p_amount bigint,
    p_currency text, p_paid_at timestamptz, p_period_ends_at timestamptz DEFAULT NULL,
    p_rollover_max bigint DEFAULT NULL, p_grace interval DEFAULT NULL) RETURNS text;

-- Whether a store is active and has a subscription that runs.
FUNCTION can_top_up(p_account_id bigint) RETURNS boolean;

-- One row: why the generation failed that a movement gives back; empty: it gives none back.
FUNCTION causes_of(p_account_id bigint, p_type text, p_session_id uuid) RETURNS TABLE(cause text);

-- Whether a movement is of one grant alone, so that it may have to tell what each has left.
FUNCTION changes_grants(p_type text, p_origin_seq bigint) RETURNS boolean;

-- Takes back credits whose payment was given back, first those that the payment had added, never
-- below zero. Returns how many were taken, now or before by this request; 0 leaves no trace.
-- Errors: SC010 unknown account, SC002 amount, SC003 request id, SC004 same request, more taken.
FUNCTION claw_back_from_account(p_account_id bigint, p_amount int, p_request_id text,
    p_description text DEFAULT 'Credits clawed back', p_origin_request_id text DEFAULT NULL,
    p_actor text DEFAULT NULL) RETURNS bigint;

-- Closes an account's unbilled overage into the bill of one month. true: closed now; false: this
-- month or a later one has its bill, or nothing is used. Errors: SC010 unknown account, SC009
-- month, price or currency.
FUNCTION close_overage(p_account_id bigint, p_period date, p_unit_amount bigint, p_currency text,
    p_provider text DEFAULT 'paddle') RETURNS boolean;

-- Sessions have their result. Outcome per item: completed, already_completed, already_failed,
-- not_started, not_found.
FUNCTION complete_generations(p_account_ids bigint[], p_session_ids uuid[], p_result_keys text[])
    RETURNS TABLE(ord int, outcome text);

-- An account's totals at each of these ascending moments; what had ended by then counts as ended.
FUNCTION course_of_account(p_account_id bigint, p_moments timestamptz[]) RETURNS
    TABLE(moment timestamptz, balance bigint, held bigint, spent bigint, clawed_back bigint,
    expired bigint, removed bigint, overage bigint);

-- Gives an operator a token. false: the name was given before. Not idempotent.
FUNCTION create_admin_token(p_token_id uuid, p_name text, p_token_hash bytea, p_token_start text,
    p_scopes text[], p_expires_at timestamptz) RETURNS boolean;

-- For requests of any accounts, in ascending order: replay check, charge, session, job. Per item
-- its outcome (created, replayed, insufficient, conflict), session, status, balance, what it was
-- charged as (balance or overage), and the credits taken, or of an insufficient one its price.
-- Idempotent by request id, whatever it costs by now. Errors: SC010 unknown account, SC002 amount,
-- SC003 request id.
FUNCTION create_generations(p_account_ids bigint[], p_session_ids uuid[], p_request_ids text[],
    p_amounts int[], p_fingerprints bytea[], p_inputs json[], p_metadatas json[],
    p_entrypoint text, p_payloads bytea[], OUT outcomes text[], OUT session_ids uuid[],
    OUT statuses text[], OUT balances bigint[], OUT charged_as text[], OUT credits int[]) RETURNS
    record;

-- Makes a store with its account and opening credits, and returns it. Not idempotent: a store id
-- is used once. Errors: SC002 credits below 0, SC003 request id.
FUNCTION create_store(p_store_id uuid, p_name text, p_shop_domain text,
    p_tier text DEFAULT 'default', p_credits int DEFAULT 0, p_request_id text DEFAULT NULL,
    p_actor text DEFAULT NULL) RETURNS stores;

-- Gives a store one more API key and announces it. false: no such store. Not idempotent.
FUNCTION create_store_api_key(p_store_id uuid, p_key_id uuid, p_key_hash bytea, p_key_start text,
    p_label text DEFAULT '', p_allowed_origins text[] DEFAULT '{}',
    p_expires_at timestamptz DEFAULT NULL) RETURNS boolean;

-- Makes a webhook endpoint with its secret. created, or full: the owner has as many as it may
-- have. Not idempotent.
FUNCTION create_webhook_endpoint(p_account_id bigint, p_endpoint_id uuid, p_secret bytea,
    p_url text, p_event_types text[], p_description text DEFAULT '',
    p_is_ordered boolean DEFAULT false, p_endpoints_max int DEFAULT 10) RETURNS text;

-- What grants had more before than after, {seq, credits, ...}, in the order in which they were
-- spent.
FUNCTION credits_between(p_before bigint[], p_after bigint[]) RETURNS bigint[];

-- What one grant has left; 0: nothing.
FUNCTION credits_in_grants(p_grants bigint[], p_seq bigint) RETURNS bigint;

-- How many credits the grant has that a movement begins; null: it begins none.
FUNCTION credits_of_new_grant(p_type text, p_amount bigint, p_seq bigint, p_grants_after bigint[])
    RETURNS bigint;

-- How much of a charge was given back, in parts and under its own request id.
FUNCTION credits_returned(p_account_id bigint, p_seq bigint, p_request_id text,
    p_until_seq bigint DEFAULT '9223372036854775807') RETURNS numeric;

-- How many credits grants have together.
FUNCTION credits_together(p_grants bigint[]) RETURNS numeric;

-- A text as a field of CSV; null: an empty one without quotes.
FUNCTION csv_text(p_text text) RETURNS text;

-- A top-up was declined: it is given up, and the store's top-up paused. false: it has ended.
FUNCTION decline_top_up(p_account_id bigint, p_request_id text, p_reason text) RETURNS boolean;

-- Takes credits of any accounts, in ascending order, for requests that are no generations. Per
-- item its outcome (deducted, overage, already_deducted, conflict, insufficient) and the balance
-- after it. Errors: SC010 unknown account, SC002 amount, SC003 request id. Idempotent by request
-- id.
FUNCTION deduct_from_accounts(p_account_ids bigint[], p_amounts int[], p_request_ids text[],
    p_descriptions text[], OUT outcomes text[], OUT balances bigint[]) RETURNS record;

-- Removes a webhook endpoint and its secrets. false: no such endpoint.
FUNCTION delete_webhook_endpoint(p_account_id bigint, p_endpoint_id uuid) RETURNS boolean;

-- For how long the delivery that has waited longest has been due; 0: none is.
FUNCTION delivery_lag() RETURNS interval;

-- The operator has dealt with an event that was set aside, or a clawback that fell short. false:
-- there is no such problem. Moves no credits.
FUNCTION dismiss_billing_problem(p_provider text, p_id text) RETURNS boolean;

-- Gives a top-up up of which nothing was charged. false: it has ended.
FUNCTION drop_top_up(p_account_id bigint, p_request_id text, p_reason text) RETURNS boolean;

-- Those of some accounts of which something ends by a moment; null: none.
FUNCTION due_accounts(p_account_ids bigint[], p_at timestamptz) RETURNS bigint[];

-- Captures or releases holds of any accounts, in ascending order. Per item its outcome (ended,
-- replayed, hold_ended, exceeds_hold, not_found), the hold as it is now, and the balance. Errors:
-- SC010 unknown account, SC002 amount.
FUNCTION end_holds(p_account_ids bigint[], p_hold_ids uuid[], p_actions text[], p_amounts int[],
    p_actors text[] DEFAULT NULL, OUT outcomes text[], OUT statuses text[], OUT captureds bigint[],
    OUT amounts bigint[], OUT ended_ats timestamptz[], OUT balances bigint[]) RETURNS record;

-- Gives the turn back, and says whether the pass was finished. false: it was another's already.
FUNCTION end_proving(p_holder uuid, p_is_done boolean, p_is_walk boolean) RETURNS boolean;

-- These events are in the first bucket, and the relay's lease is over. Idempotent.
FUNCTION end_relayed(p_seqs bigint[]) RETURNS void;

-- Signs out. Idempotent.
FUNCTION end_sign_in(p_secret_hash bytea, p_door text) RETURNS void;

-- Ends what is still to be delivered to endpoints that are disabled or deleted. Returns how many.
FUNCTION end_undeliverable(p_limit int) RETURNS bigint;

-- The endpoints of which deliveries are known.
FUNCTION endpoints_told() RETURNS TABLE(endpoint_id uuid);

-- The endpoints that something is to be delivered to, each with the delivery that is due first.
FUNCTION endpoints_with_pending(p_after uuid) RETURNS TABLE(endpoint_id uuid,
    next_attempt_at timestamptz, seq bigint);

-- What is to end in accounts, in order of time, with what they have now.
FUNCTION ends_of_accounts(p_account_ids bigint[]) RETURNS TABLE(account_id bigint, seq bigint,
    balance bigint, spent bigint, clawed_back bigint, overage_used bigint, held bigint,
    expired bigint, removed bigint, grants bigint[], hold_expires_at timestamptz, grant_seq bigint,
    expires_at timestamptz, rollover_max bigint, rollover_until timestamptz);

-- Adds jobs in the caller's transaction; one whose key has a living job is left out.
FUNCTION enqueue_jobs(p_entrypoint text, p_keys text[], p_payloads bytea[]) RETURNS void;

-- Makes an end user with its account and starter credits, exactly once; withheld credits are given
-- at the first call that no longer withholds them. made, given, there or blocked. Errors: SC002
-- starter credits below 0.
FUNCTION ensure_user(p_user_id uuid, p_starter_credits int, p_withhold boolean DEFAULT false,
    OUT outcome text, OUT account_id bigint) RETURNS record;

-- Removes what is personal of a user, blocks the user and keeps the ledger; what had not ended is
-- failed and given back. erased: now; already_erased; not_found. Idempotent.
FUNCTION erase_user(p_user_id uuid) RETURNS text;

-- Writes the movements of what has ended by now in these accounts, a thousand or some more at
-- once. Returns how many; 0: nothing is left.
FUNCTION expire_credits(p_account_ids bigint[]) RETURNS bigint;

-- Lets a hold last so many seconds from now on, if that is longer; once per request in a row.
-- Outcome: extended, replayed, conflict, hold_ended, not_found. Errors: SC010 unknown account,
-- SC011 seconds.
FUNCTION extend_hold(p_account_id bigint, p_hold_id uuid, p_seconds int, p_request_id text,
    OUT outcome text, OUT status text, OUT captured bigint, OUT ended_at timestamptz,
    OUT expires_at timestamptz, OUT balance bigint) RETURNS record;

-- Marks sessions failed and gives back what they were charged, in one statement. Outcome per item:
-- failed (and the credits given back), already_failed, already_completed, not_found.
FUNCTION fail_generations(p_account_ids bigint[], p_session_ids uuid[], p_error_codes text[],
    p_error_messages text[], p_generator_messages text[]) RETURNS TABLE(ord int, outcome text,
    credits int);

-- Which grants get credits back that nothing told apart when they were taken.
FUNCTION fill_grants(p_account_id bigint, p_grants bigint[], p_before_seq bigint, p_amount bigint)
    RETURNS bigint[];

-- Names each account without its owner, or as no function makes it.
FUNCTION find_account_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each account of which more movements count as counted than there are.
FUNCTION find_accounts_summed_too_far() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- What an operator did under an idempotency key before, which is locked until the transaction
-- ends.
FUNCTION find_action(p_idempotency_key text, OUT action text, OUT account_id bigint,
    OUT other_account_id bigint, OUT subject text, OUT request_id text, OUT asked jsonb,
    OUT outcome jsonb) RETURNS record;

-- Names each archive of which more or fewer sessions are kept than it was noted to have.
FUNCTION find_archive_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each overage bill that is not what its movement says, or does not follow in time.
FUNCTION find_bill_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) that does not follow from the one before it.
FUNCTION find_chain_discrepancies(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each clawback that took anything else than its movement says.
FUNCTION find_clawback_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each charge or return in a range of (account, seq) of a request that had one before.
FUNCTION find_double_movements(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) that does not fit its session.
FUNCTION find_generation_discrepancies(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) after which the grants have left what cannot
-- be.
FUNCTION find_grant_discrepancies(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names the terms of each grant that no movement begins, or that no function writes.
FUNCTION find_grants_without_movement() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each hold that is not what its movements say.
FUNCTION find_hold_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) that does not fit its hold.
FUNCTION find_hold_movements(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) that no function could have written.
FUNCTION find_impossible_movements(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- API keys that a planned import cannot bring along, and domains of them that are no origin.
FUNCTION find_misfit_keys() RETURNS TABLE(kind text, owner_kind text, owner_id uuid, detail text);

-- Movements of the system before that a planned import tells otherwise.
FUNCTION find_misfit_movements() RETURNS TABLE(kind text, owner_kind text, owner_id uuid,
    detail text);

-- Owners of a planned import whose balance or ledger is not as it ought to be, or who are here
-- already.
FUNCTION find_misfit_owners() RETURNS TABLE(kind text, owner_kind text, owner_id uuid,
    detail text);

-- Rows of a planned import whose owner is not brought along.
FUNCTION find_misfit_rows() RETURNS TABLE(kind text, owner_kind text, owner_id uuid, detail text);

-- Generations of a planned import that were under way, or of a status that there is not.
FUNCTION find_misfit_sessions() RETURNS TABLE(kind text, owner_kind text, owner_id uuid,
    detail text);

-- Names each day and currency, of those that are over, whose money is not that of its payments.
FUNCTION find_money_sum_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each account with movements in a range of (account, seq) that there is not.
FUNCTION find_movements_without_account(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each movement in a range of (account, seq) that closed overage without a bill.
FUNCTION find_movements_without_bill(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each payment that the ledger does not know, or with other credits.
FUNCTION find_payment_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each return in a range of (account, seq) that does not fit its charge.
FUNCTION find_return_discrepancies(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names what is wrong with each session in a range of (account, session_id).
FUNCTION find_session_discrepancies(p_after_account_id bigint, p_after_session_id uuid,
    p_until_account_id bigint, p_until_session_id uuid) RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each spend for which nothing was charged.
FUNCTION find_spend_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each store without an account.
FUNCTION find_stores_without_account() RETURNS TABLE(kind text, store_id uuid, user_id uuid,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each hour and each day, by type, whose sums are not those of its movements.
FUNCTION find_sum_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each account that is listed by another balance than it had, or among other owners.
FUNCTION find_summed_balance_discrepancies() RETURNS TABLE(kind text, account_id bigint,
    seq bigint, request_id text, session_id uuid, detail text);

-- Names each top-up that was charged without a payment.
FUNCTION find_top_up_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each transfer of which one end is missing, or of other credits.
FUNCTION find_transfer_discrepancies() RETURNS TABLE(kind text, account_id bigint, seq bigint,
    request_id text, session_id uuid, detail text);

-- Names each end user without an account.
FUNCTION find_users_without_account() RETURNS TABLE(kind text, store_id uuid, user_id uuid,
    seq bigint, request_id text, session_id uuid, detail text);

-- A 64-bit hash of an account and the parts of its state that are rarely not null, under a seed.
FUNCTION fingerprint_of_account(p_account_id bigint, p_clawed_back double precision,
    p_overage_used double precision, p_held double precision, p_expired double precision,
    p_removed double precision, p_seed bigint) RETURNS bigint;

-- A 64-bit hash of an account, a session, the request id of both and the credits, under a seed.
FUNCTION fingerprint_of_generation(p_account_id bigint, p_session_id uuid, p_request_id text,
    p_credits bigint, p_seed bigint) RETURNS bigint;

-- A 64-bit hash of an owner and its kind, under a seed.
FUNCTION fingerprint_of_owner(p_owner_id uuid, p_owner_kind text, p_seed bigint) RETURNS bigint;

-- A 64-bit hash of an account and one record of a movement of it, under a seed.
FUNCTION fingerprint_of_record(p_what text, p_account_id bigint, p_seq bigint, p_credits bigint,
    p_request_id text, p_seed bigint) RETURNS bigint;

-- The sum of 64-bit hashes of all records that one movement has, under a seed.
FUNCTION fingerprint_of_records(p_account_id bigint, p_seq bigint, p_type text, p_amount bigint,
    p_request_id text, p_origin_seq bigint, p_grants_after bigint[], p_seed bigint) RETURNS
    numeric;

-- A 64-bit hash of the state of an account after a movement, given the fingerprint of the account.
FUNCTION fingerprint_of_state(p_account bigint, p_seq bigint, p_balance double precision,
    p_spent double precision) RETURNS bigint;

-- A 64-bit hash of the state of an account before a movement that is not plain.
FUNCTION fingerprint_of_state_before(p_account_id bigint, p_seq bigint, p_type text,
    p_amount bigint, p_balance bigint, p_spent bigint, p_clawed_back bigint, p_overage_used bigint,
    p_held bigint, p_expired bigint, p_removed bigint, p_seed bigint) RETURNS bigint;

-- Notes a file of the archive that is durable, and removes the sessions that are in it. archived,
-- stale, changed, busy.
FUNCTION finish_archive(p_number bigint, p_sha256 bytea, p_bytes bigint, p_place text, p_file text)
    RETURNS text;

-- When the first of some grants, or open hold of their account, ends; null: none will.
FUNCTION first_end(p_account_id bigint, p_grants bigint[]) RETURNS timestamptz;

-- From which seq on events are that happened at a moment or later.
FUNCTION first_event_since(p_since timestamptz) RETURNS bigint;

-- Forgets old events, with their deliveries and the attempts at those. Returns how many, and after
-- which to go on.
FUNCTION forget_events(p_limit int, p_after bigint DEFAULT 0, p_age interval DEFAULT '30 days',
    OUT forgotten bigint, OUT last_seq bigint) RETURNS record;

-- Forgets notices of grants that have expired. Returns how many.
FUNCTION forget_expiry_notices(p_limit int) RETURNS int;

-- Forgets what the generator said about a session. true: there was something.
FUNCTION forget_generator_message(p_account_id bigint, p_session_id uuid) RETURNS boolean;

-- Forgets the result of a session whose retention is over. true: there was one.
FUNCTION forget_result(p_account_id bigint, p_session_id uuid) RETURNS boolean;

-- What grants have left when credits are taken that pay for nothing, those of one grant first.
FUNCTION grants_after_taking(p_account_id bigint, p_balance bigint, p_grants bigint[],
    p_amount bigint, p_first bigint) RETURNS bigint[];

-- What each grant of an account had left after one of its movements.
FUNCTION grants_at(p_account_id bigint, p_seq bigint) RETURNS bigint[];

-- What each grant of an account has left, also where nothing tells its credits apart.
FUNCTION grants_of_account(p_account_id bigint, p_balance bigint, p_grants bigint[]) RETURNS
    bigint[];

-- From which grants a movement took its credits; null: nothing told them apart.
FUNCTION grants_taken(p_account_id bigint, p_seq bigint) RETURNS bigint[];

-- What grants must have left after a movement; null: nothing can follow.
FUNCTION grants_that_follow(p_movement movements, p_before bigint[]) RETURNS bigint[];

-- The grants that the next movement has to tell of; null: none.
FUNCTION grants_told_apart(p_grants bigint[], p_next_expiry timestamptz) RETURNS bigint[];

-- What grants must have left when credits have come back; null: they cannot have come back so.
FUNCTION grants_with_return(p_movement movements, p_before bigint[]) RETURNS bigint[];

-- The grants, in their order, but for one.
FUNCTION grants_without(p_grants bigint[], p_seq bigint) RETURNS bigint[];

-- Sets credits of any accounts, in ascending order, aside. Per item its outcome (held, replayed,
-- insufficient, conflict), the hold, its end, and the balance after it. Idempotent by request id.
-- Errors: SC010 unknown account, SC002 amount, SC003 request id, SC011 seconds.
FUNCTION hold_credits(p_account_ids bigint[], p_hold_ids uuid[], p_amounts int[],
    p_request_ids text[], p_fingerprints bytea[], p_seconds int[], p_descriptions text[],
    p_metadatas json[], p_actors text[] DEFAULT NULL, OUT outcomes text[], OUT hold_ids uuid[],
    OUT expires_ats timestamptz[], OUT balances bigint[]) RETURNS record;

-- What open holds give back whose time is over at a moment.
FUNCTION holds_over(p_account_id bigint, p_grants bigint[], p_at timestamptz, OUT released bigint,
    OUT grants bigint[], OUT late bigint[]) RETURNS record;

-- When the hour (UTC) of a moment began.
FUNCTION hour_of(p_at timestamptz) RETURNS timestamptz;

-- A moment as events tell it: ISO 8601, in UTC.
FUNCTION in_utc(p_moment timestamptz) RETURNS text;

-- Whether the terms of one grant, looked at alone, could have been written by the functions.
FUNCTION is_possible_grant(p_amount bigint, p_kind text, p_expires_at timestamptz,
    p_grace interval, p_rollover_max bigint, p_rollover_until timestamptz) RETURNS boolean;

-- Whether one hold, looked at alone, could have been left by the functions.
FUNCTION is_possible_hold(p_status text, p_amount bigint, p_captured bigint,
    p_created_at timestamptz, p_expires_at timestamptz, p_ended_at timestamptz) RETURNS boolean;

-- Whether one movement, looked at alone, could have been written by the functions.
FUNCTION is_possible_movement(p_type text, p_amount bigint, p_balance_after bigint,
    p_spent_after bigint, p_session_id uuid) RETURNS boolean;

-- Whether a movement names the movement it comes from as the functions write it.
FUNCTION is_possible_origin(p_type text, p_seq bigint, p_origin_seq bigint, p_request_id text)
    RETURNS boolean;

-- Whether what is kept of some archived sessions, looked at alone, could have been left by the
-- functions.
FUNCTION is_possible_piece(p_sessions int, p_failed int, p_seqs bigint[], p_session_ids uuid[],
    p_failed_seqs bigint[], p_return_seqs bigint[], p_causes text[]) RETURNS boolean;

-- Whether a movement that is not plain could, looked at alone, have been written by the functions.
FUNCTION is_possible_rare_movement(p_type text, p_amount bigint, p_balance_after bigint,
    p_clawed_back_after bigint, p_overage_used_after bigint, p_held_after bigint,
    p_expired_after bigint, p_removed_after bigint) RETURNS boolean;

-- Whether one session, looked at alone, could have been left by the functions.
FUNCTION is_possible_session(p_status text, p_attempts int, p_input json) RETURNS boolean;

-- Whether a store's top-up is on for so many credits, and its balance low enough.
FUNCTION is_top_up_wanted(p_account_id bigint, p_credits bigint) RETURNS boolean;

-- Whether events are written for an endpoint that was disabled then (null: it is not).
FUNCTION keeps_events(p_disabled_at timestamptz) RETURNS boolean;

-- A process breaks off archiving: another may go on at once.
FUNCTION leave_archive(p_holder uuid) RETURNS void;

-- Forgets an event in the first bucket that another one keeps by now.
FUNCTION leave_provider_event(p_provider text, p_event_id text) RETURNS boolean;

-- How many pages the ledger has.
FUNCTION ledger_pages() RETURNS bigint;

-- Whether an owner lives in another bucket than the first, where this is asked.
FUNCTION lives_elsewhere(p_owner_kind text, p_owner_id uuid) RETURNS boolean;

-- Takes a charge's lock for this connection (pg_advisory_unlock_all releases it). false: another
-- connection is at it.
FUNCTION lock_subscription_charge(p_account_id bigint, p_request_id text) RETURNS boolean;

-- Names what is wrong with what the grants of an account have left after a movement; null:
-- nothing.
FUNCTION look_at_grants(p_account_id bigint, p_seq bigint, OUT kind text, OUT detail text) RETURNS
    record;

-- Whether the end of a hold contradicts the time of the hold.
FUNCTION look_up_hold_end(p_account_id bigint, p_type text, p_request_id text,
    p_created_at timestamptz) RETURNS TABLE(contradicts boolean);

-- Whether a charge or return that is not plain contradicts another movement of its request.
FUNCTION look_up_overage(p_account_id bigint, p_seq bigint, p_type text, p_amount bigint,
    p_request_id text, p_session_id uuid) RETURNS TABLE(contradicts boolean);

-- Whether what was given back in part contradicts the charge that it names.
FUNCTION look_up_part(p_account_id bigint, p_seq bigint, p_type text, p_origin_seq bigint,
    p_session_id uuid) RETURNS TABLE(contradicts boolean);

-- The sessions of a piece as the content of a file, and what is noted of them.
FUNCTION make_archive(p_account_ids bigint[], p_after_seqs bigint[], p_until_seqs bigint[],
    p_seed bigint) RETURNS TABLE(sessions int, content text, row_ids tid[], oldest_at timestamptz,
    newest_at timestamptz, generations numeric, refunds numeric);

-- Makes a link that signs in once, and returns until when. Not idempotent.
FUNCTION make_sign_in_link(p_code_hash bytea, p_door text, p_issued_by text, p_link_seconds int,
    p_sign_in_seconds int, p_token_name text, p_admin_mark bytea, p_store_id uuid, p_key_id uuid)
    RETURNS timestamptz;

-- What was paid, and what went back, on each day from one on, by currency.
FUNCTION money_by_day(p_from date) RETURNS TABLE(day date, currency text, paid numeric,
    returned numeric);

-- Has an idempotency key under which nothing was done in one bucket be used in another.
FUNCTION move_action(p_idempotency_key text, p_from int, p_to int) RETURNS void;

-- One movement of an account; null: there is none.
FUNCTION movement_at(p_account_id bigint, p_seq bigint) RETURNS movements;

-- What one credit of a type of movement adds: {balance, added, spent, clawed back, overage used,
-- held, expired, removed}; null: no such type. Made from movement_types.
FUNCTION movement_effect(p_type text) RETURNS int[];

-- What a type of movement is, its role in movement_types; null: no such type. Made from there.
FUNCTION movement_role(p_type text) RETURNS text;

-- What one credit of a type of movement moves between the balance and what was spent, for who asks
-- every movement; 0: it does something else; null: no such type. Made from movement_types.
FUNCTION movement_spent(p_type text) RETURNS int;

-- The movements in a range of pages, with what is worked out once for each.
FUNCTION movements_on_disk(p_seed bigint, p_from tid, p_until tid) RETURNS
    TABLE(created_at timestamptz, account_id bigint, account bigint, seq bigint, type text,
    amount bigint, spent double precision, balance_after bigint, spent_after bigint,
    clawed_back_after bigint, overage_used_after bigint, held_after bigint, expired_after bigint,
    removed_after bigint, origin_seq bigint, grants_after bigint[], session_id uuid,
    request_id text);

-- The movements in a range of (account, seq), with the states before them and what must follow.
FUNCTION movements_with_predecessors(p_after_account_id bigint, p_after_seq bigint,
    p_until_account_id bigint, p_until_seq bigint) RETURNS TABLE(account_id bigint, seq bigint,
    type text, amount bigint, balance_after bigint, spent_after bigint, clawed_back_after bigint,
    overage_used_after bigint, held_after bigint, expired_after bigint, removed_after bigint,
    request_id text, session_id uuid, role text, seq_before numeric, balance_before numeric,
    spent_before numeric, clawed_back_before numeric, overage_used_before numeric,
    held_before numeric, expired_before numeric, removed_before numeric, balance numeric,
    spent numeric, clawed_back numeric, overage_used numeric, held numeric, expired numeric,
    removed numeric);

-- The movements that an import writes for a chunk of owners, in the order of part and n.
FUNCTION moves_to_write(p_chunk int, p_has_history boolean) RETURNS TABLE(place int,
    account_id bigint, part int, n bigint, type text, amount bigint, created_at timestamptz,
    request_id text, session_id uuid, description text);

-- The balance after the newest movement of an account.
FUNCTION newest_balance(p_account_id bigint) RETURNS bigint;

-- Whether the movement after one that tells grants apart does not say what each has left.
FUNCTION next_is_untold(p_account_id bigint, p_seq bigint, p_grants bigint[]) RETURNS boolean;

-- Counts a failed attempt at an event; the last one sets it aside. Returns the attempts while it
-- is to be tried again, null once it is settled.
FUNCTION note_provider_event_failure(p_provider text, p_event_id text, p_reason text,
    p_attempts_max int) RETURNS int;

-- Notes why a charge is not made yet, in a sentence for the operator, and when to try again.
FUNCTION note_subscription_charge_failure(p_account_id bigint, p_request_id text, p_error text,
    p_retry_after interval, p_nothing_was_charged boolean) RETURNS boolean;

-- Tells of grants that expire within so much time, once each. Returns the last account looked at;
-- null: there are no more.
FUNCTION notice_expiries(p_within interval, p_after bigint, p_limit int) RETURNS bigint;

-- Records what is about to be sold to an account. Outcome: opened, replayed, used (the request id
-- has added credits by another way), subscribed, unknown_buyer. Idempotent by request id.
FUNCTION open_checkout(p_checkout_id uuid, p_account_id bigint, p_provider text,
    p_purchase_type text, p_plan text, p_credits bigint, p_amount bigint, p_currency text,
    p_request_id text, p_rollover_max bigint DEFAULT NULL, p_expires_after_days int DEFAULT NULL)
    RETURNS TABLE(outcome text, checkout checkouts);

-- Decides whether a store buys credits now, and opens the charge. Outcome: opened, enough,
-- under_way, limited, no_subscription, not_due. Errors: SC010 unknown account.
FUNCTION open_top_up(p_account_id bigint, p_unit_amount bigint, p_currency text,
    p_expires_after_days int, p_provider text) RETURNS text;

-- The types of event that any endpoint of the operator's hears; null: there is none.
FUNCTION operator_hears() RETURNS text[];

-- Whether a movement contradicts the one that it says it comes from.
FUNCTION origin_contradicts(p_account_id bigint, p_seq bigint, p_type text, p_request_id text,
    p_session_id uuid, p_origin_seq bigint) RETURNS boolean;

-- So many credits of grants, in their order, after the first ones; null of null.
FUNCTION part_of_grants(p_grants bigint[], p_skipped bigint, p_amount bigint) RETURNS bigint[];

-- Up to which place each of these accounts is counted, of so many movements together at most.
FUNCTION pieces_to_sum(p_account_ids bigint[], p_seqs bigint[], p_movements bigint) RETURNS
    TABLE(account_id bigint, owner_kind text, owner_id uuid, after bigint, wanted bigint,
    until bigint);

-- Gives accounts their places among the leaves of checkpoints, for ever. Returns how many are new.
FUNCTION place_accounts(p_account_ids bigint[], p_owner_kinds text[], p_owner_ids uuid[],
    p_salts bytea[]) RETURNS int;

-- Says in whose bucket's audit log an idempotency key may stand; the one that is named, if it is
-- new.
FUNCTION place_action(p_idempotency_key text, p_bucket int) RETURNS int;

-- Writes down which bucket will know a new API key.
FUNCTION place_key(p_key_hash bytea, p_bucket int) RETURNS void;

-- Says which bucket an owner lives in; the one that is named, if it is new.
FUNCTION place_owner(p_owner_kind text, p_owner_id uuid, p_bucket int) RETURNS int;

-- Says which bucket keeps what a provider's id names; the one that is named, if none does yet.
FUNCTION place_provider_id(p_provider text, p_id text, p_bucket int) RETURNS int;

-- Another attempt at a session will be made later; one that does not count is taken back. Outcome:
-- postponed, already_completed, already_failed, not_started, not_found.
FUNCTION postpone_generation(p_account_id bigint, p_session_id uuid, p_generator_message text,
    p_counts boolean) RETURNS TABLE(outcome text, seconds_open double precision,
    seconds_begun double precision);

-- Raises one of the known credit errors; each has a SQLSTATE of class SC.
FUNCTION raise_credit_error(p_error text, p_detail text) RETURNS void;

-- Whether a movement that is not plain contradicts those that it belongs to.
FUNCTION rare_movement_contradicts(p_account_id bigint, p_seq bigint, p_type text, p_amount bigint,
    p_request_id text, p_session_id uuid, p_origin_seq bigint, p_created_at timestamptz) RETURNS
    boolean;

-- Keeps an event that a provider sent, once. true: new; false: known before.
FUNCTION receive_provider_event(p_provider text, p_event_id text, p_event_type text,
    p_occurred_at timestamptz, p_content json, p_status text DEFAULT 'received',
    p_reason text DEFAULT NULL) RETURNS boolean;

-- What hourly_sums ought to hold, from every movement that is counted.
FUNCTION recomputed_hourly_sums() RETURNS TABLE(hour timestamptz, owner_kind text, type text,
    cause text, movements bigint, generations bigint, credits numeric);

-- Writes what an operator did into the audit log, and returns the entry's id. Errors: SC001,
-- SC008.
FUNCTION record_action(p_actor text, p_door text, p_action text, p_reason text, p_request_id text,
    p_idempotency_key text, p_owner_kind text, p_owner_id uuid, p_other_kind text, p_other_id uuid,
    p_subject text, p_asked jsonb, p_outcome jsonb, p_other_account_id bigint DEFAULT NULL) RETURNS
    bigint;

-- Writes down attempts at deliveries, and what follows from each: recorded, disabled, replayed or
-- unknown.
FUNCTION record_attempts(p_endpoint_ids uuid[], p_seqs bigint[], p_attempted_at timestamptz[],
    p_milliseconds int[], p_status_codes int[], p_errors text[], p_answers text[],
    p_outcomes text[], p_retries int[], p_waits interval[], p_resumes interval[],
    p_configured_at timestamptz[]) RETURNS text[];

-- A charge was made by this transaction. false: it had been by another, or there is no such
-- charge.
FUNCTION record_subscription_charge(p_account_id bigint, p_request_id text, p_transaction_id text)
    RETURNS boolean;

-- Keeps the moment, the discrepancies and the number of movements of the last verification. false:
-- the database is read-only.
FUNCTION record_verification(p_verified_at timestamptz, p_discrepancies int,
    p_settled_movements bigint) RETURNS boolean;

-- Gives back parts of spends of any accounts, in ascending order, never more than was taken. Per
-- item its outcome (refunded, replayed, no_spend, exceeds_spend, conflict), what was given back,
-- what may still be, and the balance. Idempotent by request id. Errors: SC010 unknown account,
-- SC002 amount, SC003 request id.
FUNCTION refund_spends(p_account_ids bigint[], p_spend_request_ids text[], p_request_ids text[],
    p_amounts int[], p_actors text[] DEFAULT NULL, OUT outcomes text[], OUT amounts bigint[],
    OUT refundables bigint[], OUT balances bigint[]) RETURNS record;

-- Gives back what requests of any accounts, in ascending order, had taken; each once. Per item its
-- outcome (refunded, already_refunded, no_deduction, exceeds_deduction) and the balance after it.
-- Errors: SC010 unknown account, SC002 amount.
FUNCTION refund_to_accounts(p_account_ids bigint[], p_amounts int[], p_request_ids text[],
    p_descriptions text[], OUT outcomes text[], OUT balances bigint[]) RETURNS record;

-- Tells a process of an earlier build, in its own terms, that the database is not for it.
FUNCTION refuse_earlier_build() RETURNS text;

-- Which grant stands for another one, after the operator gave that another expiry.
FUNCTION reissued_grant(p_account_id bigint, p_seq bigint) RETURNS bigint;

-- Which grant stood for another one at a movement, after the operator gave that another expiry.
FUNCTION reissued_grant_at(p_account_id bigint, p_seq bigint, p_until_seq bigint) RETURNS bigint;

-- Tells the operator's endpoints of events of another bucket. Idempotent by event.
FUNCTION relay_events(p_event_ids uuid[], p_types text[], p_happened_at timestamptz[],
    p_datas json[], p_owner_kinds text[], p_owner_ids uuid[]) RETURNS bigint;

-- Takes credits out, never below zero; amount null: all. Outcome: removed, already_removed,
-- insufficient, conflict. Errors: SC010 unknown account, SC002 amount, SC003 request id.
FUNCTION remove_from_account(p_account_id bigint, p_amount int, p_request_id text,
    p_description text, p_actor text, OUT outcome text, OUT removed bigint, OUT balance bigint)
    RETURNS record;

-- Switches a store's top-up off. false: it was not on. Errors: SC010 unknown account.
FUNCTION remove_top_up(p_account_id bigint) RETURNS boolean;

-- Lets events be processed that were ignored as not ours, and are about what another bucket has.
FUNCTION reopen_events_about(p_provider text, p_subscription_ids text[], p_sold text[],
    p_booked text[]) RETURNS bigint;

-- Lets events be processed that were ignored as not ours, and whose subscription is known by now,
-- or whose transaction was booked by hand.
FUNCTION reopen_foreign_events(p_provider text) RETURNS bigint;

-- Sends events since a moment to a webhook endpoint again. pending with how many and where to go
-- on, not_found, or disabled.
FUNCTION resend_deliveries(p_account_id bigint, p_endpoint_id uuid, p_since timestamptz,
    p_statuses text[], p_after bigint, p_max int, OUT outcome text, OUT resent bigint,
    OUT last_seq bigint) RETURNS record;

-- Sends one event to a webhook endpoint again, at once. pending, not_found, or disabled.
-- Idempotent.
FUNCTION resend_delivery(p_account_id bigint, p_endpoint_id uuid, p_event_id uuid,
    p_lease interval) RETURNS text;

-- Lets a declined top-up go on, once its subscription has another means of payment.
FUNCTION resume_declined_top_up(p_provider text, p_subscription_id text) RETURNS boolean;

-- Lets an event that was set aside be processed anew, and others with the same subject. Returns
-- them; none: unknown, not set aside, or empty.
FUNCTION retry_provider_event(p_provider text, p_event_id text) RETURNS text[];

-- Revokes a token. true: revoked, now or before; false: no such token. Idempotent.
FUNCTION revoke_admin_token(p_token_id uuid) RETURNS boolean;

-- Revokes a key and announces it. true: revoked, now or before; false: no such key. Idempotent.
FUNCTION revoke_store_api_key(p_store_id uuid, p_key_id uuid) RETURNS boolean;

-- How much room the grants between two places have, the newest first.
FUNCTION room_between(p_account_id bigint, p_grants bigint[], p_after_seq bigint,
    p_before_seq bigint, p_amount numeric) RETURNS bigint[];

-- Which grants have room for credits that nothing told apart when they were taken.
FUNCTION room_in_grants(p_account_id bigint, p_grants bigint[], p_before_seq bigint,
    p_amount numeric) RETURNS bigint[];

-- Replaces a working key by a new one; the old one expires after the grace time. false: no such
-- key, or it no longer worked. Not idempotent.
FUNCTION rotate_store_api_key(p_store_id uuid, p_key_id uuid, p_new_key_id uuid,
    p_new_key_hash bytea, p_new_key_start text, p_grace_seconds int DEFAULT 0) RETURNS boolean;

-- Replaces the secret of a webhook endpoint; the ones before it sign along until the overlap is
-- over. rotated, not_found, or full. Not idempotent.
FUNCTION rotate_webhook_secret(p_account_id bigint, p_endpoint_id uuid, p_secret bytea,
    p_overlap_seconds int, p_secrets_max int DEFAULT 5, OUT outcome text,
    OUT previous_expires_at timestamptz) RETURNS record;

-- The subscription through which a store is charged; null: it has none that runs.
FUNCTION running_subscription(p_account_id bigint) RETURNS text;

-- The seq of an account's newest movement made at a moment or before; 0: there was none yet.
FUNCTION seq_at(p_account_id bigint, p_at timestamptz) RETURNS bigint;

-- The seq of an account's newest movement made at a moment or before, between two of its
-- movements.
FUNCTION seq_between(p_account_id bigint, p_at timestamptz, p_low bigint, p_low_at timestamptz,
    p_high bigint, p_high_at timestamptz) RETURNS bigint;

-- From a movement on, the last of those written later that say what had ended by a moment.
FUNCTION seq_ended_by(p_account_id bigint, p_at timestamptz, p_seq bigint) RETURNS bigint;

-- The sessions that a range of an account's movements paid for, which agree with them.
FUNCTION sessions_in_ledger(p_account_id bigint, p_after_seq bigint, p_until_seq bigint) RETURNS
    TABLE(seq bigint, return_seq bigint, row_id tid, session_id uuid, request_id text, status text,
    credits int, attempts int, created_at timestamptz, started_at timestamptz,
    completed_at timestamptz, error_code text, error_message text, metadata text,
    failed_attempts jsonb, fingerprint bytea);

-- Lets what is left of a grant expire at another moment, or never. Outcome: set, ended, not_found.
-- Errors: SC010 unknown account, SC011 a moment that is over.
FUNCTION set_grant_expiry(p_account_id bigint, p_seq bigint, p_expires_at timestamptz,
    p_description text, p_actor text, OUT outcome text, OUT seq bigint, OUT credits bigint) RETURNS
    record;

-- Sets at or below how many credits the balance of an account is low; 0: never; null: a tenth of
-- the last addition. true: set; false: no such account. Idempotent.
FUNCTION set_low_threshold(p_account_id bigint, p_low_threshold bigint) RETURNS boolean;

-- Sets how many credits an account may use beyond its balance until they are billed; 0: none.
-- true: set; false: no such account. Errors: SC009 no such overage limit, or none for this owner.
FUNCTION set_overage_limit(p_account_id bigint, p_overage_limit bigint) RETURNS boolean;

-- Has events of these types be written for the relay of this bucket; null: none. Idempotent.
FUNCTION set_relay(p_event_types text[]) RETURNS boolean;

-- Switches a store's top-up on. Outcome: set, no_subscription. Errors: SC010 unknown account.
FUNCTION set_top_up(p_account_id bigint, p_threshold bigint, p_credits int, p_max_per_day int,
    p_max_per_month int) RETURNS text;

-- Enables or disables a webhook endpoint. false: no such endpoint. Idempotent.
FUNCTION set_webhook_endpoint_status(p_account_id bigint, p_endpoint_id uuid, p_status text)
    RETURNS boolean;

-- Settles the event of a transaction that the operator has booked by hand.
FUNCTION settle_booked_event(p_provider text, p_transaction_id text) RETURNS void;

-- Removes what was written of an erased user since, and says whether nothing more can come.
FUNCTION settle_erasure(p_user_id uuid, p_late interval) RETURNS boolean;

-- Settles an event as processed, ignored or set_aside. true: now; false: unknown or settled.
FUNCTION settle_provider_event(p_provider text, p_event_id text, p_status text,
    p_reason text DEFAULT NULL, p_subject text DEFAULT NULL,
    p_foreign_subscription_id text DEFAULT NULL, p_foreign_transaction_id text DEFAULT NULL)
    RETURNS boolean;

-- Signs in by a link, which works once. false: it does not, or no longer. Not idempotent.
FUNCTION sign_in_by_link(p_sign_in_id uuid, p_secret_hash bytea, p_code_hash bytea, p_door text,
    p_mark_now bytea) RETURNS boolean;

-- Signs an operator in to the console. false: no such token works. Not idempotent.
FUNCTION sign_in_operator(p_sign_in_id uuid, p_secret_hash bytea, p_seconds int,
    p_token_hash bytea, p_admin_mark bytea) RETURNS boolean;

-- Signs a store in to its portal by its API key. false: no such key works. Not idempotent.
FUNCTION sign_in_store(p_sign_in_id uuid, p_secret_hash bytea, p_seconds int, p_key_hash bytea)
    RETURNS boolean;

-- Whether one of these grants expires by a moment.
FUNCTION some_grant_ends_by(p_account_id bigint, p_grants bigint[], p_at timestamptz) RETURNS
    boolean;

-- Takes credits of any accounts, in ascending order. Per item its outcome (spent, replayed,
-- insufficient, conflict), the balance after it, and what it was charged as (balance or overage).
-- Idempotent by request id. Errors: SC010 unknown account, SC002 amount, SC003 request id.
FUNCTION spend_credits(p_account_ids bigint[], p_amounts int[], p_request_ids text[],
    p_fingerprints bytea[], p_descriptions text[], p_metadatas json[],
    p_actors text[] DEFAULT NULL, OUT outcomes text[], OUT balances bigint[],
    OUT charged_as text[]) RETURNS record;

-- What an account has spent after a moment, less what was given back after it.
FUNCTION spent_since(p_account_id bigint, p_since timestamptz) RETURNS bigint;

-- A worker begins an attempt at sessions. Outcome per item: started, already_completed,
-- already_failed, not_found.
FUNCTION start_generations(p_account_ids bigint[], p_session_ids uuid[]) RETURNS TABLE(ord int,
    outcome text, attempts int, request_id text, created_at timestamptz, input json);

-- What an account has at a moment, from its newest movement on; what has ended by then counts as
-- ended, whether its movement is written or not.
FUNCTION state_of_account(p_account_id bigint, p_at timestamptz DEFAULT clock_timestamp(),
    OUT balance bigint, OUT spent bigint, OUT clawed_back bigint, OUT overage_used bigint,
    OUT held bigint, OUT expired bigint, OUT removed bigint, OUT grants bigint[]) RETURNS record;

-- Whether the token, key and store behind a sign-in or a link still work.
FUNCTION still_vouched(p_token_id uuid, p_admin_mark bytea, p_mark_now bytea, p_store_id uuid,
    p_key_id uuid) RETURNS boolean;

-- The number of the advisory lock under which a subscription is charged.
FUNCTION subscription_charge_lock(p_account_id bigint, p_request_id text) RETURNS bigint;

-- The accounts' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_accounts(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    user_movements numeric, user_sessions numeric, impossible numeric, states numeric,
    owners numeric, held numeric);

-- The part of what is kept of archived sessions of the sums that must come to 0.
FUNCTION sum_archived_sessions(p_seed bigint, p_from tid, p_until tid) RETURNS
    TABLE(rows_read bigint, impossible numeric, archived numeric);

-- How many clawbacks in a range of their pages took anything else than their movement says.
FUNCTION sum_clawbacks(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    unbooked numeric);

-- The grants' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_grants(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    impossible numeric, records numeric);

-- The holds' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_holds(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    impossible numeric, records numeric, held numeric);

-- The movements' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_movements(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    settled bigint, late bigint, impossible numeric, states numeric, generations numeric,
    refunds numeric, records numeric);

-- How many payments in a range of their pages have no movement in the ledger.
FUNCTION sum_payments(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    unbooked numeric);

-- The archives' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_session_archives(p_seed bigint, p_from tid, p_until tid) RETURNS
    TABLE(rows_read bigint, archived_count bigint, generations numeric, refunds numeric,
    archived numeric);

-- The sessions' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_sessions(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    impossible numeric, generations numeric, refunds numeric);

-- How many spends in a range of their pages have no movement in the ledger.
FUNCTION sum_spends(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    unbooked numeric);

-- The stores' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_stores(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    owners numeric);

-- The overage bills' part of the sums that must come to 0, from a range of pages of the charges.
FUNCTION sum_subscription_charges(p_seed bigint, p_from tid, p_until tid) RETURNS
    TABLE(rows_read bigint, impossible numeric, records numeric);

-- What stands for the ends of transfers in other buckets, from a range of their pages.
FUNCTION sum_transfer_ends(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    records numeric);

-- Counts movements into the sums of their hours, so many at most. Returns how many, and whether
-- there is more; null: it is not its turn.
FUNCTION sum_up(p_interval interval, p_accounts int, p_movements bigint, OUT summed bigint,
    OUT is_behind boolean) RETURNS record;

-- The end users' part of the sums that must come to 0, from a range of their pages.
FUNCTION sum_users(p_seed bigint, p_from tid, p_until tid) RETURNS TABLE(rows_read bigint,
    owners numeric);

-- Leases deliveries that are due, with all that an attempt at each needs.
FUNCTION take_deliveries(p_limit int, p_share int, p_failing_share int, p_lease interval,
    p_after uuid, p_endpoint_ids uuid[], p_under_way int[]) RETURNS TABLE(endpoint_id uuid,
    seq bigint, attempts int, retries int, is_ordered boolean, is_failing boolean, url text,
    secrets bytea[], configured_at timestamptz, event_id uuid, type text, created_at timestamptz,
    data json, owner_kind text, owner_id uuid);

-- What grants have left when credits are taken, the first ones first.
FUNCTION take_from_grants(p_grants bigint[], p_amount bigint) RETURNS bigint[];

-- Keeps an event that has come in at the first bucket in the one of its owner. true: new.
FUNCTION take_provider_event(p_provider text, p_event_id text, p_event_type text,
    p_occurred_at timestamptz, p_received_at timestamptz, p_content json) RETURNS boolean;

-- Has the turn to chain movements, or keeps it, if one is due. Returns whether, and when all
-- accounts were last looked at.
FUNCTION take_proving(p_holder uuid, p_lease interval, p_interval interval) RETURNS
    TABLE(is_taken boolean, walked_at timestamptz);

-- Leases the relay with the events that are to be brought to the first bucket next.
FUNCTION take_relayed(p_limit int, p_lease interval) RETURNS TABLE(seq bigint, event_id uuid,
    type text, happened_at timestamptz, data json, owner_kind text, owner_id uuid);

-- When credits that a change within a subscription's period adds expire, and how many of them live
-- on until when. For book_subscription_payment.
FUNCTION terms_of_change(p_subscription subscriptions, p_changed_at timestamptz,
    p_ends_at timestamptz, p_rollover_max bigint, OUT expires_at timestamptz,
    OUT rollover_max bigint, OUT rollover_until timestamptz) RETURNS record;

-- When the credits of a subscription's period expire, and how many of them live on until when. For
-- the functions that book payments.
FUNCTION terms_of_period(p_starts_at timestamptz, p_ends_at timestamptz, p_rollover_max bigint,
    OUT expires_at timestamptz, OUT rollover_max bigint, OUT rollover_until timestamptz) RETURNS
    record;

-- The terms that credits out of several grants have where they are handed over.
FUNCTION terms_of_taken(p_account_id bigint, p_taken bigint[], OUT kind text, OUT priority int,
    OUT expires_at timestamptz, OUT grace interval) RETURNS record;

-- Tells one webhook endpoint of a test event. told with the event, not_found, or disabled.
FUNCTION test_webhook_endpoint(p_account_id bigint, p_endpoint_id uuid, OUT outcome text,
    OUT event_id uuid) RETURNS record;

-- Hands credits of one owner to another, both movements or neither. Outcome: transferred,
-- already_transferred, insufficient, conflict, same_account. Errors: SC010 unknown account, SC002
-- amount, SC003 request id.
FUNCTION transfer_credits(p_from bigint, p_to bigint, p_amount int, p_request_id text,
    p_description text, p_actor text, OUT outcome text, OUT from_balance bigint,
    OUT to_balance bigint) RETURNS record;

-- Hands credits to an owner in another bucket, both movements or neither. Outcome: transferred,
-- already_transferred, insufficient, conflict. Errors: SC010 unknown account, SC002 amount, SC003
-- request id.
FUNCTION transfer_elsewhere(p_from bigint, p_bucket text, p_to bigint, p_amount int,
    p_request_id text, p_description text, p_actor text, OUT outcome text, OUT from_balance bigint,
    OUT to_balance bigint) RETURNS record;

-- Lets a blocked user in again, and announces it. unblocked, now or before; erased: stays blocked;
-- not_found. Idempotent.
FUNCTION unblock_user(p_user_id uuid) RETURNS text;

-- The page of the ledger from which on movements stand that the sums do not hold yet, by
-- summing.ends.
FUNCTION uncounted_from(p_ends bigint[]) RETURNS bigint;

-- A grant whose kind and priority all credits had that nothing told apart at a place of the
-- ledger.
FUNCTION untold_terms(p_account_id bigint, p_before_seq bigint) RETURNS grants;

-- Changes what is given of a store (null: unchanged) and announces it. false: no such store.
FUNCTION update_store(p_store_id uuid, p_name text DEFAULT NULL, p_shop_domain text DEFAULT NULL,
    p_tier text DEFAULT NULL, p_status text DEFAULT NULL) RETURNS boolean;

-- Changes what is given of a working key (null: unchanged) and announces it. false: no such key,
-- or it no longer works. Idempotent.
FUNCTION update_store_api_key(p_store_id uuid, p_key_id uuid, p_label text DEFAULT NULL,
    p_allowed_origins text[] DEFAULT NULL) RETURNS boolean;

-- Changes what is given of a webhook endpoint (null: unchanged). false: no such endpoint.
-- Idempotent.
FUNCTION update_webhook_endpoint(p_account_id bigint, p_endpoint_id uuid, p_url text DEFAULT NULL,
    p_event_types text[] DEFAULT NULL, p_description text DEFAULT NULL,
    p_is_ordered boolean DEFAULT NULL) RETURNS boolean;

-- Whether there was an attempt at an endpoint in the day before.
FUNCTION was_asked_before(p_endpoint_id uuid, p_at timestamptz) RETURNS boolean;

-- Whether what a webhook endpoint is told is signed with this secret, too.
FUNCTION webhook_secret_signs(p_account_id bigint, p_endpoint_id uuid, p_secret bytea) RETURNS
    boolean;

-- The failed attempts of a session with one more, that failed now; the last ten.
FUNCTION with_failed_attempt(p_before jsonb, p_attempt int, p_said text, p_counts boolean) RETURNS
    jsonb;

-- The failed attempts of a session that fails for good now.
FUNCTION with_last_attempt(p_before jsonb, p_attempt int, p_said text) RETURNS jsonb;

-- A text with a mark in the place of each e-mail address, and of 500 characters at most.
FUNCTION without_addresses(p_text text) RETURNS text;

-- When attempts failed, without what the generator said.
FUNCTION without_words(p_failed_attempts jsonb) RETURNS jsonb;


-- Functions that those are made of.

-- Has whoever waits for the end of one of these sessions look at it, once this is committed.
FUNCTION announce_ends(p_session_ids uuid[]) RETURNS void;

-- What create_generations answers to a batch that was not simply all paid from balances.
FUNCTION answer_generations(p_account_ids bigint[], p_request_ids text[], p_amounts int[],
    p_fingerprints bytea[], p_charge_outcomes text[], OUT outcomes text[], OUT session_ids uuid[],
    OUT statuses text[], OUT charged_as text[], OUT credits int[]) RETURNS record;

-- Writes one movement of no session, after the newest of its account, and returns its seq.
FUNCTION append_movement(p_account_id bigint, p_type text, p_amount bigint, p_request_id text,
    p_description text, p_grants bigint[] DEFAULT NULL, p_origin_seq bigint DEFAULT NULL,
    p_actor text DEFAULT NULL, p_moved_at timestamptz DEFAULT NULL) RETURNS bigint;

-- Writes movements that the caller has decided on, with the state of their accounts after each.
FUNCTION append_movements(p_types text[], p_seqs bigint[], p_balances bigint[], p_spents bigint[],
    p_clawed_backs bigint[], p_overages_used bigint[], p_account_ids bigint[], p_amounts bigint[],
    p_request_ids text[], p_session_ids uuid[], p_descriptions text[],
    p_rests movement_rest[] DEFAULT NULL_rest[], p_actors text[] DEFAULT NULL,
    p_is_guarded boolean DEFAULT false) RETURNS void;

-- Up to which movement of an account all sessions may be archived.
FUNCTION archivable_until(p_account_id bigint, p_after_seq bigint, p_before timestamptz,
    p_movements bigint) RETURNS bigint;

-- Whether all requests of a batch are well-formed, unknown to the ledger, and there once.
FUNCTION are_fresh(p_account_ids bigint[], p_amounts int[], p_request_ids text[]) RETURNS boolean;

-- Makes the tables of this session that an import lays down in what is to be brought along; one
-- import at a time.
FUNCTION begin_import() RETURNS void;

-- Books the payment of a charge, and the credits of a top-up. Outcome: booked, conflict. For
-- book_charge_payment.
FUNCTION book_charge(p_charge subscription_charges, p_payment payments, p_grace interval) RETURNS
    text;

-- Books a payment and adds its credits. Outcome: booked, period_paid, conflict; only booked
-- writes. For the functions that know what was paid.
FUNCTION book_payment(p_payment payments, p_description text,
    p_expires_at timestamptz DEFAULT NULL, p_rollover_max bigint DEFAULT NULL,
    p_rollover_until timestamptz DEFAULT NULL, p_grace interval DEFAULT NULL,
    p_actor text DEFAULT NULL) RETURNS text;

-- Books a payment that the operator has named, and settles its event. Outcome: booked,
-- already_booked, conflict. For book_by_hand.
FUNCTION book_payment_by_hand(p_payment payments, p_description text, p_actor text) RETURNS text;

-- Takes credits for requests of any accounts, in order. Outcome per item: deducted, overage,
-- already_deducted, conflict, insufficient.
FUNCTION charge_accounts(p_account_ids bigint[], p_amounts int[], p_request_ids text[],
    p_session_ids uuid[], p_descriptions text[], p_type text DEFAULT 'deduction',
    p_actors text[] DEFAULT NULL, OUT outcomes text[], OUT balances bigint[]) RETURNS record;

-- What an item comes to whose request was charged before; null: it was not.
FUNCTION charged_before(p_account_id bigint, p_request_id text, p_amount int, p_type text,
    p_first_outcome text, p_first_amount int) RETURNS text;

-- What of the next accounts is due to be archived, and how far it looked.
FUNCTION choose_to_archive(p_after bigint, p_accounts int, p_before timestamptz, p_grace interval,
    p_movements bigint, OUT account_ids bigint[], OUT after_seqs bigint[], OUT until_seqs bigint[],
    OUT walked_to bigint) RETURNS record;

-- How many of a payment's credits go with an amount of it that goes back.
FUNCTION credits_of_adjustment(p_payment payments, p_is_full boolean, p_amount bigint) RETURNS
    bigint;

-- What an event says of the movement it tells.
FUNCTION data_of_movement(p_event text, p_account_id bigint, p_seq bigint, p_type text,
    p_amount bigint, p_request_id text, p_balance bigint, p_used bigint, p_threshold bigint,
    p_limit bigint) RETURNS json;

-- Ends a hold: what is captured is spent, the rest goes back to the grants it came from.
FUNCTION end_hold(p_account_id bigint, p_hold_id uuid, p_status text, p_captured bigint,
    p_at timestamptz, p_actor text DEFAULT NULL) RETURNS holds;

-- Estimates when stores among these accounts run dry, where that is due. Returns how many were
-- made.
FUNCTION estimate_dry_runs(p_account_ids bigint[]) RETURNS int;

-- Remembers that something of an account ends at a moment.
FUNCTION expect_expiry(p_account_id bigint, p_expires_at timestamptz) RETURNS void;

-- Ends the grants of accounts whose time is over, up to the end of a hold. Returns how many
-- movements were written.
FUNCTION expire_grants(p_account_ids bigint[], p_at timestamptz) RETURNS bigint;

-- Ends the first hold of each account of which nothing else ends before it. Returns how many.
FUNCTION expire_holds(p_account_ids bigint[], p_at timestamptz) RETURNS bigint;

-- Per item of a batch, the place at which its request stands first in it.
FUNCTION first_places(p_account_ids bigint[], p_request_ids text[]) RETURNS int[];

-- What attempts just written down mean for their endpoints. Returns what came of each.
FUNCTION follow_attempts(p_endpoint_ids uuid[], p_attempted_at timestamptz[], p_outcomes text[],
    p_resumes interval[], p_known boolean[]) RETURNS text[];

-- Lets a store's tier follow its subscriptions. For apply_subscription_state.
FUNCTION follow_subscriptions(p_account_id bigint, p_plans text[]) RETURNS void;

-- What grants have left when credits come back to those they were taken from; what has expired
-- meanwhile lives on for its grace.
FUNCTION give_back_to_grants(p_account_id bigint, p_balance bigint, p_grants bigint[],
    p_next_seq bigint, p_origin_seq bigint, p_taken bigint[], p_amount bigint, p_at timestamptz)
    RETURNS bigint[];

-- Disables an endpoint that nothing can be delivered to, and tells the others.
FUNCTION give_endpoint_up(p_endpoint_id uuid, p_reason text) RETURNS void;

-- Writes the terms of an addition, and says what the grants have left with it.
FUNCTION grants_after_addition(p_account_id bigint, p_balance bigint, p_grants bigint[],
    p_seq bigint, p_amount bigint, p_kind text, p_priority int DEFAULT 100,
    p_expires_at timestamptz DEFAULT NULL, p_grace interval DEFAULT '30 days',
    p_rollover_max bigint DEFAULT NULL, p_rollover_until timestamptz DEFAULT NULL) RETURNS
    bigint[];

-- What grants have left when a part of a charge comes back.
FUNCTION grants_after_return(p_account_id bigint, p_balance bigint, p_grants bigint[],
    p_next_seq bigint, p_charge_seq bigint, p_type text, p_left bigint, p_amount bigint,
    p_at timestamptz) RETURNS bigint[];

-- Whether a request has added credits to an account.
FUNCTION has_added(p_account_id bigint, p_request_id text) RETURNS boolean;

-- Has a top-up that was put off looked at now.
FUNCTION hasten_top_up(p_account_id bigint) RETURNS void;

-- Writes the owners of one chunk of a planned import with all that is theirs, each once. Returns
-- how many movements that were.
FUNCTION import_chunk(p_chunk int, p_has_history boolean) RETURNS bigint;

-- Keeps the ids of events that the system before was sent, so that none is booked again. Returns
-- how many were new.
FUNCTION import_events() RETURNS bigint;

-- What of a planned import does not fit, so many of each kind at most, and how many there are of
-- it.
FUNCTION import_findings(p_most int) RETURNS TABLE(kind text, of_kind bigint, owner_kind text,
    owner_id uuid, detail text);

-- Whether a request has added the same credits before. Errors: SC004 others.
FUNCTION is_added_before(p_account_id bigint, p_request_id text, p_type text, p_terms grants)
    RETURNS boolean;

-- Whether overage at a place of an account's ledger stands on a bill.
FUNCTION is_billed(p_account_id bigint, p_seq bigint) RETURNS boolean;

-- Whether a provider's transaction was booked.
FUNCTION is_booked(p_provider text, p_transaction_id text) RETURNS boolean;

-- Whether any endpoint listens to any of these accounts.
FUNCTION is_heard(p_account_ids bigint[]) RETURNS boolean;

-- Whether an event that has come in at the first bucket is kept by another one.
FUNCTION is_taken(p_provider text, p_event_id text) RETURNS boolean;

-- Keeps what must be known for ever of the sessions of a piece.
FUNCTION keep_of_archived(p_number bigint, p_account_ids bigint[], p_after_seqs bigint[],
    p_until_seqs bigint[]) RETURNS void;

-- Leases the deliveries of an endpoint that are due.
FUNCTION lease_due(p_endpoint_id uuid, p_limit int, p_lease interval) RETURNS bigint[];

-- Leases an ordered endpoint with its next deliveries.
FUNCTION lease_endpoint(p_endpoint_id uuid, p_limit int, p_lease interval) RETURNS bigint[];

-- Locks one account and returns the state after its newest movement. Errors: SC010 unknown
-- account.
FUNCTION lock_account(p_account_id bigint, OUT seq bigint, OUT balance bigint, OUT spent bigint,
    OUT clawed_back bigint, OUT overage_used bigint, OUT held bigint, OUT expired bigint,
    OUT removed bigint, OUT grants bigint[], OUT next_expiry timestamptz) RETURNS record;

-- Locks the accounts of a batch, ascending, writes what has ended, and returns the state after
-- their newest movements.
FUNCTION lock_accounts(p_account_ids bigint[], OUT account_ids bigint[], OUT seqs bigint[],
    OUT balances bigint[], OUT spents bigint[], OUT clawed_backs bigint[],
    OUT overages_used bigint[], OUT are_plain boolean, OUT next_expiries timestamptz[],
    OUT rests movement_rest[]) RETURNS record;

-- Waits for deliveries, and before them for their endpoints, each ascending.
FUNCTION lock_deliveries(p_endpoint_ids uuid[], p_seqs bigint[]) RETURNS void;

-- Locks the account at one end of a transfer between buckets, and says what it has under a request
-- id.
FUNCTION lock_end_of_transfer(p_account_id bigint, p_request_id text, OUT balance bigint,
    OUT grants bigint[], OUT type text, OUT amount bigint, OUT other_account_id bigint) RETURNS
    record;

-- Waits for the sessions of a batch, ascending. Per item: ctid, status, request and credits of its
-- session; null: there is none.
FUNCTION lock_sessions(p_account_ids bigint[], p_session_ids uuid[], OUT row_ids tid[],
    OUT statuses text[], OUT request_ids text[], OUT credits int[]) RETURNS record;

-- Locks one account, writes what has ended, and returns the state after its newest movement.
-- Errors: SC010 unknown account.
FUNCTION lock_settled_account(p_account_id bigint, OUT seq bigint, OUT balance bigint,
    OUT spent bigint, OUT clawed_back bigint, OUT overage_used bigint, OUT held bigint,
    OUT expired bigint, OUT removed bigint, OUT grants bigint[], OUT next_expiry timestamptz)
    RETURNS record;

-- The charges of the requests of a batch, and whether they were given back.
FUNCTION look_up_charges(p_account_ids bigint[], p_request_ids text[], OUT types text[],
    OUT amounts bigint[], OUT seqs bigint[], OUT session_ids uuid[], OUT are_returned boolean[],
    OUT have_grants boolean[], OUT lefts bigint[], OUT firsts int[]) RETURNS record;

-- At or below how many credits the balance of an account is low; 0: never.
FUNCTION low_threshold_of(p_account_id bigint) RETURNS bigint;

-- Writes an idempotency key that was used in the first of several buckets into the directory.
FUNCTION note_action_here(p_idempotency_key text) RETURNS void;

-- Notes the end of a transfer whose other end stands in another bucket.
FUNCTION note_end_of_transfer(p_account_id bigint, p_type text, p_amount bigint, p_request_id text,
    p_other_account_id bigint, p_seq bigint) RETURNS void;

-- Writes a key that is made in the first of several buckets into the directory.
FUNCTION note_key_here(p_key_hash bytea) RETURNS void;

-- Notes up to where accounts were looked through for sessions to archive.
FUNCTION note_looked_through(p_account_ids bigint[], p_until_seqs bigint[]) RETURNS void;

-- Writes an owner who is made in the first of several buckets into the directory.
FUNCTION note_owner_here(p_owner_kind text, p_owner_id uuid) RETURNS void;

-- Makes the account of a new owner and returns its id; null: the owner has one.
FUNCTION open_account(p_owner_kind text, p_owner_id uuid) RETURNS bigint;

-- What attempts mean for their endpoints as these are now.
FUNCTION outcomes_by_now(p_outcomes text[], p_endpoint_ids uuid[], p_configured_at timestamptz[])
    RETURNS text[];

-- How far an account may go beyond its balance.
FUNCTION overage_limit_of(p_account_id bigint) RETURNS bigint;

-- Pauses a store's top-up that is on, and tells why.
FUNCTION pause_top_up(p_account_id bigint, p_reason text,
    p_charge subscription_charges DEFAULT NULL_charges) RETURNS void;

-- The payment of a provider's transaction; null: none is booked.
FUNCTION payment_of(p_provider text, p_transaction_id text) RETURNS payments;

-- Decides what becomes of all that this session has laid down, and writes nothing outside it.
FUNCTION plan_import(p_has_history boolean, p_tiers text[], p_chunk int) RETURNS void;

-- What each owner has after the import, and which movements besides its history make it so.
FUNCTION plan_imported_balances(p_has_history boolean, p_chunk int) RETURNS void;

-- The API keys that an import can bring along.
FUNCTION plan_imported_keys() RETURNS void;

-- The movements of the system before, in their order, each as a type of movement that there is
-- here.
FUNCTION plan_imported_movements() RETURNS void;

-- Everybody whom an import brings along, and what there is of them here.
FUNCTION plan_imported_owners(p_tiers text[]) RETURNS void;

-- Makes a grant of each refund that gives back nothing that was deducted.
FUNCTION plan_imported_refunds() RETURNS void;

-- Leaves each request id to one movement of a type.
FUNCTION plan_imported_request_ids() RETURNS void;

-- The generations of the system before, with their charges; those that were under way fail.
FUNCTION plan_imported_sessions(p_has_history boolean) RETURNS void;

-- Writes the end of a transfer between buckets at whom the credits are handed to.
FUNCTION receive_transfer(p_from bigint, p_to bigint, p_amount int, p_request_id text,
    p_description text, p_actor text, p_kind text, p_priority int, p_expires_at timestamptz,
    p_grace interval) RETURNS void;

-- Gives back a part of one spend. Outcome: refunded, replayed, no_spend, exceeds_spend, conflict.
FUNCTION refund_part(p_account_id bigint, p_spend_request_id text, p_request_id text, p_amount int,
    p_actor text, OUT outcome text, OUT refunded bigint, OUT refundable bigint) RETURNS record;

-- Refuses a batch for an account that there is not (SC010), or for its order.
FUNCTION refuse_account(p_account_ids bigint[], p_place int) RETURNS void;

-- Refuses an amount below 1 (SC002) and a request id of the wrong length (SC003).
FUNCTION refuse_bad_items(p_amounts int[], p_request_ids text[]) RETURNS void;

-- Refuses terms that no grant can have (SC011).
FUNCTION refuse_bad_terms(p_terms grants) RETURNS void;

-- Refuses to write to a view of the interface.
FUNCTION refuse_to_write() RETURNS trigger;

-- Removes at most 100 sign-ins and 100 links that are over.
FUNCTION remove_past_sign_ins() RETURNS void;

-- Ends what an account has under way and removes what its owner has sent or was told.
FUNCTION remove_personal(p_account_id bigint) RETURNS void;

-- Notes the top-ups that the newest movements of these accounts ask for.
FUNCTION request_top_ups(p_account_ids bigint[]) RETURNS void;

-- What accounts have besides balance, spent and overage after each charge of a batch.
FUNCTION rests_after_charges(p_next_expiries timestamptz[], p_rests movement_rest[],
    p_account_ids bigint[], p_types text[], p_amounts int[]) RETURNS movement_rest[];

-- Gives back what requests of any accounts had taken, in order. Outcome per item: refunded,
-- already_refunded, no_deduction, exceeds_deduction.
FUNCTION return_charges(p_account_ids bigint[], p_amounts int[], p_request_ids text[],
    p_descriptions text[], OUT outcomes text[], OUT balances bigint[]) RETURNS record;

-- As which type of movement a charge is given back.
FUNCTION return_type(p_charge_type text, p_account_id bigint, p_seq bigint) RETURNS text;

-- How much of a charge was given back in parts.
FUNCTION returned_in_parts(p_account_id bigint, p_seq bigint) RETURNS bigint;

-- Carries credits of a grant into the next period. Returns what the grants have left then.
FUNCTION roll_over(p_account_id bigint, p_grants bigint[], p_seq bigint, p_next_seq bigint,
    p_amount bigint) RETURNS bigint[];

-- Writes the movements of all that has ended in these accounts by a moment. Returns how many.
FUNCTION settle_accounts(p_account_ids bigint[], p_at timestamptz, p_enough bigint DEFAULT NULL)
    RETURNS bigint;

-- The checkout that began a subscription, and locks its store. Outcome: null,
-- unknown_subscription, unknown_checkout, mismatch. For apply_subscription_state.
FUNCTION subscribing_checkout(p_provider text, p_subscription_id text, p_transaction_id text,
    p_checkout_id uuid, p_store_id uuid, OUT outcome text, OUT checkout checkouts) RETURNS record;

-- Makes the money of recent days anew. Returns how many rows were changed.
FUNCTION sum_money(p_last timestamptz) RETURNS int;

-- Counts what is new in the last pages of the ledger. Returns whose it is, how much, and whether
-- that was all.
FUNCTION sum_newest(p_from bigint, p_movements bigint, OUT account_ids bigint[], OUT summed bigint,
    OUT is_all boolean) RETURNS record;

-- Counts the movements of accounts up to a place of each, so many at most. Returns how many, and
-- whether that was all.
FUNCTION sum_some(p_account_ids bigint[], p_seqs bigint[], p_movements bigint, OUT summed bigint,
    OUT is_all boolean) RETURNS record;

-- Counts what is new of the next accounts. Returns these, the last of them, how much was new, and
-- whether that was all.
FUNCTION sum_walking(p_after bigint, p_accounts int, p_movements bigint, OUT account_ids bigint[],
    OUT walked_to bigint, OUT summed bigint, OUT is_all boolean) RETURNS record;

-- Takes credits of a payment back, never below zero, and writes the clawback. Returns how many
-- were taken.
FUNCTION take_back(p_payment payments, p_adjustment_id text, p_action text, p_amount bigint,
    p_credits bigint, p_origin_request_id text DEFAULT NULL) RETURNS bigint;

-- Takes back credits of a subscription's payments, newest first, for money that a change within a
-- period gave back. For book_subscription_payment, which holds the rows.
FUNCTION take_back_after_downgrade(p_payment payments, p_credits bigint) RETURNS void;

-- Takes from credits that a subscription has just added what its earlier downgrades could not take
-- back. For book_payment.
FUNCTION take_what_downgrades_missed(p_payment payments) RETURNS void;

-- Writes events and their deliveries, where anybody listens.
FUNCTION tell(p_types text[], p_account_ids bigint[], p_datas json[], p_but uuid DEFAULT NULL)
    RETURNS void;

-- Tells that sessions have ended.
FUNCTION tell_generations(p_account_ids bigint[], p_session_ids uuid[]) RETURNS void;

-- Tells what movements just written mean to their owners.
FUNCTION tell_movements(p_account_ids bigint[], p_seqs bigint[]) RETURNS void;

-- Tells the operator of a billing problem.
FUNCTION tell_of_problem(p_kind text, p_provider text, p_id text, p_about text,
    p_account_id bigint DEFAULT NULL) RETURNS void;

-- Tells what became of a store or of its keys.
FUNCTION tell_of_store(p_type text, p_store_id uuid, p_data json) RETURNS void;

-- Whether a request has transferred the same credits (already_transferred), or was used otherwise
-- (conflict); null: neither.
FUNCTION transferred_before(p_from bigint, p_to bigint, p_amount int, p_request_id text) RETURNS
    text;

-- Writes the terms of an addition of credits.
FUNCTION write_grant(p_account_id bigint, p_seq bigint, p_amount bigint, p_kind text,
    p_priority int, p_expires_at timestamptz, p_grace interval, p_rollover_max bigint DEFAULT NULL,
    p_rollover_until timestamptz DEFAULT NULL) RETURNS void;

-- Writes the movements of a chunk of owners, and the terms of what came in. Returns how many.
FUNCTION write_imported_movements(p_chunk int, p_has_history boolean) RETURNS bigint;

-- Writes the stores of a chunk with their API keys, and its end users.
FUNCTION write_imported_owners(p_chunk int) RETURNS void;

-- Writes the generations of a chunk of owners, all of them ended.
FUNCTION write_imported_sessions(p_chunk int) RETURNS void;
