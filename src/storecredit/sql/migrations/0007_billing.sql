-- How money comes in: checkouts we started, what was paid, what was taken back, and the events
-- that said so. Amounts of money are in the currency's smallest unit.
-- depends: 0006_users

-- A buyer is a store or an end user. These tables are few rows beside the ledgers and are looked
-- up by Paddle's ids, before their buyer is known: on a cluster they stay on one node, and cannot
-- refer to the sharded tables. `open_checkout` looks for the buyer; no buyer is ever deleted.
CREATE TABLE checkouts (
    checkout_id uuid PRIMARY KEY,
    store_id uuid,
    user_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    purchase_type text NOT NULL CONSTRAINT purchase_type_is_known
        CHECK (purchase_type IN ('credits', 'subscription')),
    plan text NOT NULL,
    credits bigint NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    currency text NOT NULL CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    request_id text NOT NULL CONSTRAINT request_id_has_a_length
        CHECK (length(request_id) BETWEEN 1 AND 200),
    paddle_transaction_id text UNIQUE,
    checkout_url text,
    CONSTRAINT one_buyer CHECK (num_nonnulls(store_id, user_id) = 1),
    CONSTRAINT only_stores_subscribe CHECK (purchase_type = 'credits' OR store_id IS NOT NULL),
    CONSTRAINT one_checkout_per_store_request UNIQUE (store_id, request_id),
    CONSTRAINT one_checkout_per_user_request UNIQUE (user_id, request_id)
);

COMMENT ON TABLE checkouts IS
    'What we asked Paddle to sell: the only source of what a payment is worth in credits.';
COMMENT ON COLUMN checkouts.plan IS
    'The plan or pack by its name in the catalogue.';
COMMENT ON COLUMN checkouts.paddle_transaction_id IS
    'Null until Paddle has answered; a payment for a transaction that no checkout names is set aside.';

CREATE TABLE store_subscriptions (
    store_id uuid NOT NULL REFERENCES store_credits,
    paddle_subscription_id text NOT NULL,
    checkout_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    occurred_at timestamptz NOT NULL,
    period_starts_at timestamptz,
    period_ends_at timestamptz,
    status text NOT NULL CONSTRAINT status_is_known
        CHECK (status IN ('active', 'trialing', 'past_due', 'paused', 'canceled')),
    plan text NOT NULL,
    credits bigint NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    currency text NOT NULL CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    PRIMARY KEY (store_id, paddle_subscription_id),
    CONSTRAINT one_subscription_per_checkout UNIQUE (store_id, checkout_id)
);
-- Looked up by Paddle's id, before the store is known.
CREATE INDEX store_subscriptions_by_paddle_id ON store_subscriptions (paddle_subscription_id);

COMMENT ON TABLE store_subscriptions IS
    'A store''s subscriptions; plan, credits and amount are those of the checkout that began it.';
COMMENT ON COLUMN store_subscriptions.occurred_at IS
    'When the newest event that was applied had occurred; older ones change nothing.';

CREATE TABLE payments (
    paddle_transaction_id text PRIMARY KEY,
    store_id uuid,
    user_id uuid,
    checkout_id uuid,
    paddle_subscription_id text,
    paid_at timestamptz NOT NULL,
    period_starts_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CONSTRAINT kind_is_known
        CHECK (kind IN ('purchase', 'subscription', 'overage')),
    credits bigint NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    amount bigint NOT NULL CONSTRAINT amount_not_negative CHECK (amount >= 0),
    currency text NOT NULL,
    request_id text NOT NULL,
    CONSTRAINT one_buyer CHECK (num_nonnulls(store_id, user_id) = 1),
    -- So that no two payments stand for one movement of the ledger.
    CONSTRAINT one_payment_per_store_request UNIQUE (store_id, kind, request_id),
    CONSTRAINT one_payment_per_user_request UNIQUE (user_id, kind, request_id)
);
CREATE UNIQUE INDEX one_payment_per_subscription_period
    ON payments (paddle_subscription_id, period_starts_at) WHERE kind = 'subscription';
CREATE UNIQUE INDEX one_payment_per_overage_bill
    ON payments (store_id, request_id) WHERE kind = 'overage';

COMMENT ON TABLE payments IS
    'Every payment that was booked, with the credits it was booked for. Written by functions only.';
COMMENT ON COLUMN payments.period_starts_at IS
    'The subscription''s period that was paid: each is paid once.';
COMMENT ON COLUMN payments.request_id IS
    'The ledger row that the payment led to carries it.';

CREATE TABLE clawbacks (
    adjustment_id text PRIMARY KEY,
    paddle_transaction_id text NOT NULL REFERENCES payments,
    created_at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL CONSTRAINT action_is_known CHECK (action IN ('refund', 'chargeback')),
    amount bigint NOT NULL CONSTRAINT amount_not_negative CHECK (amount >= 0),
    credits bigint NOT NULL CONSTRAINT credits_not_negative CHECK (credits >= 0),
    taken bigint NOT NULL,
    dismissed_at timestamptz,
    CONSTRAINT taken_at_most_what_was_asked CHECK (taken BETWEEN 0 AND credits)
);
CREATE INDEX clawbacks_of_payment ON clawbacks (paddle_transaction_id);
CREATE INDEX short_clawbacks ON clawbacks (created_at)
    WHERE taken < credits AND dismissed_at IS NULL;

COMMENT ON TABLE clawbacks IS
    'Payments given back, and the credits taken back for them; credits - taken could not be taken.';

COMMENT ON COLUMN clawbacks.dismissed_at IS
    'When the operator had dealt with what could not be taken.';

CREATE TABLE paddle_events (
    event_id text PRIMARY KEY,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'received' CONSTRAINT status_is_known
        CHECK (status IN ('received', 'failing', 'processed', 'ignored', 'set_aside')),
    reason text,
    content json,
    CONSTRAINT settled_events_have_a_time
        CHECK ((status IN ('processed', 'ignored', 'set_aside')) = (settled_at IS NOT NULL))
);
CREATE INDEX unsettled_paddle_events ON paddle_events (received_at)
    WHERE status IN ('received', 'failing');
CREATE INDEX set_aside_paddle_events ON paddle_events (received_at) WHERE status = 'set_aside';

COMMENT ON TABLE paddle_events IS
    'Every event Paddle sent, once. Written by functions only.';
COMMENT ON COLUMN paddle_events.content IS
    'A copy of the event without names, addresses, texts and means of payment.';
COMMENT ON COLUMN paddle_events.reason IS
    'Why it was ignored or set aside, or what failed last; a sentence for the operator.';
