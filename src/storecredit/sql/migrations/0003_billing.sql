-- How money comes in: checkouts we started, what was paid, what was taken back, the events that said so,
-- and bills for overage. Amounts of money are in the currency's smallest unit. A provider is who takes
-- the money (`paddle`); its ids are unique with it only.

CREATE TABLE checkouts (
    checkout_id uuid PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts,
    created_at timestamptz NOT NULL DEFAULT now(),
    purchase_type text NOT NULL CONSTRAINT purchase_type_is_known
        CHECK (purchase_type IN ('credits', 'subscription')),
    plan text NOT NULL,
    credits bigint NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    currency text NOT NULL CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    request_id text NOT NULL CONSTRAINT request_id_has_a_length
        CHECK (length(request_id) BETWEEN 1 AND 200),
    rollover_max bigint CONSTRAINT rollover_not_negative CHECK (rollover_max >= 0),
    expires_after_days int CONSTRAINT days_are_positive CHECK (expires_after_days > 0),
    provider text NOT NULL,
    provider_transaction_id text,
    provider_price_id text,
    checkout_url text,
    CONSTRAINT one_checkout_per_request UNIQUE (account_id, request_id),
    CONSTRAINT one_checkout_per_transaction UNIQUE (provider, provider_transaction_id)
);
COMMENT ON TABLE checkouts IS
    'What we asked a provider to sell: the only source of what a payment is worth in credits.';
COMMENT ON COLUMN checkouts.plan IS
    'The plan or pack by its name in the catalogue.';
COMMENT ON COLUMN checkouts.rollover_max IS
    'How many credits of a subscription''s period live on into the next one; null: all, they do not '
    'expire.';
COMMENT ON COLUMN checkouts.expires_after_days IS
    'How long credits that are bought once can be spent; null: they do not expire.';
COMMENT ON COLUMN checkouts.provider_transaction_id IS
    'Null until the provider has answered; a payment for a transaction that no checkout names is set aside.';
COMMENT ON COLUMN checkouts.provider_price_id IS
    'The price that the provider made for this checkout: whatever bills it later bills what was sold.';

CREATE TABLE subscriptions (
    provider text NOT NULL,
    provider_subscription_id text NOT NULL,
    account_id bigint NOT NULL REFERENCES accounts,
    checkout_id uuid NOT NULL REFERENCES checkouts,
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
    PRIMARY KEY (provider, provider_subscription_id),
    CONSTRAINT one_subscription_per_checkout UNIQUE (checkout_id)
);
CREATE INDEX subscriptions_of_account ON subscriptions (account_id);
COMMENT ON TABLE subscriptions IS
    'A store''s subscriptions; plan, credits and amount are those of the checkout that began it, or '
    'of the plan it was changed to at the provider.';
COMMENT ON COLUMN subscriptions.occurred_at IS
    'When the newest event that was applied had occurred; older ones change nothing.';

CREATE TABLE payments (
    provider text NOT NULL,
    provider_transaction_id text NOT NULL,
    account_id bigint NOT NULL REFERENCES accounts,
    checkout_id uuid,
    provider_subscription_id text,
    paid_at timestamptz NOT NULL,
    period_starts_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CONSTRAINT kind_is_known
        CHECK (kind IN ('purchase', 'subscription', 'overage')),
    credits bigint NOT NULL CONSTRAINT credits_not_negative CHECK (credits >= 0),
    amount bigint NOT NULL CONSTRAINT amount_not_negative CHECK (amount >= 0),
    currency text NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (provider, provider_transaction_id),
    -- So that no two payments stand for one movement of the ledger, and each bill is paid once.
    CONSTRAINT one_payment_per_request UNIQUE (account_id, kind, request_id)
);
CREATE UNIQUE INDEX one_payment_per_subscription_period
    ON payments (provider, provider_subscription_id, period_starts_at) WHERE kind = 'subscription';
CREATE INDEX payments_of_subscription ON payments (provider, provider_subscription_id)
    WHERE provider_subscription_id IS NOT NULL;
COMMENT ON TABLE payments IS
    'Every payment that was booked, with the credits it was booked for. Written by functions only.';
COMMENT ON COLUMN payments.credits IS
    'What it added. 0: a change within a period that was worth no credit, or took some back.';
COMMENT ON COLUMN payments.amount IS
    'What was paid, before tax and after any discount: of so much is a refund a share.';
COMMENT ON COLUMN payments.period_starts_at IS
    'The subscription''s period that was paid: each is paid once. Null: a change within a period.';
COMMENT ON COLUMN payments.request_id IS
    'The movement that the payment led to carries it.';

CREATE TABLE clawbacks (
    provider text NOT NULL,
    adjustment_id text NOT NULL,
    provider_transaction_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL CONSTRAINT action_is_known
        CHECK (action IN ('refund', 'chargeback', 'downgrade')),
    amount bigint NOT NULL CONSTRAINT amount_not_negative CHECK (amount >= 0),
    credits bigint NOT NULL CONSTRAINT credits_not_negative CHECK (credits >= 0),
    taken bigint NOT NULL,
    dismissed_at timestamptz,
    PRIMARY KEY (provider, adjustment_id),
    FOREIGN KEY (provider, provider_transaction_id) REFERENCES payments,
    CONSTRAINT taken_at_most_what_was_asked CHECK (taken BETWEEN 0 AND credits)
);
CREATE INDEX clawbacks_of_payment ON clawbacks (provider, provider_transaction_id);
CREATE INDEX short_clawbacks ON clawbacks (created_at)
    WHERE taken < credits AND dismissed_at IS NULL;
COMMENT ON TABLE clawbacks IS
    'Payments given back, and the credits taken back for them; credits - taken could not be taken.';
COMMENT ON COLUMN clawbacks.adjustment_id IS
    'The provider''s id of the adjustment. A downgrade has none: the transaction with which credits '
    'were taken back, and a number.';
COMMENT ON COLUMN clawbacks.dismissed_at IS
    'When the operator had dealt with what could not be taken.';

CREATE TABLE provider_events (
    provider text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'received' CONSTRAINT status_is_known
        CHECK (status IN ('received', 'failing', 'processed', 'ignored', 'set_aside')),
    reason text,
    subject text,
    foreign_subscription_id text,
    foreign_transaction_id text,
    content json,
    PRIMARY KEY (provider, event_id),
    CONSTRAINT settled_events_have_a_time
        CHECK ((status IN ('processed', 'ignored', 'set_aside')) = (settled_at IS NOT NULL))
);
CREATE INDEX unsettled_events ON provider_events (received_at)
    WHERE status IN ('received', 'failing');
CREATE INDEX set_aside_events ON provider_events (received_at) WHERE status = 'set_aside';
-- The transaction, subscription or adjustment that an event is about, and whose adjustment it is.
CREATE INDEX events_by_subject ON provider_events ((content ->> 'id'));
CREATE INDEX events_by_transaction ON provider_events ((content ->> 'transaction_id'))
    WHERE content ->> 'transaction_id' IS NOT NULL;
CREATE INDEX foreign_events ON provider_events (foreign_subscription_id)
    WHERE foreign_subscription_id IS NOT NULL;
CREATE INDEX events_of_foreign_transactions ON provider_events (foreign_transaction_id)
    WHERE foreign_transaction_id IS NOT NULL;
COMMENT ON TABLE provider_events IS
    'Every event a provider sent, once. Written by functions only.';
COMMENT ON COLUMN provider_events.content IS
    'A copy of the event without names, addresses, texts and means of payment.';
COMMENT ON COLUMN provider_events.reason IS
    'Why it was ignored or set aside, or what failed last; a sentence for the operator.';
COMMENT ON COLUMN provider_events.subject IS
    'What a problem is about, where the same one comes again each month: events that are set aside '
    'with the same subject are one problem.';
COMMENT ON COLUMN provider_events.foreign_subscription_id IS
    'The subscription that an event names which is about nothing of ours. Null: it is ours, or names '
    'none.';
COMMENT ON COLUMN provider_events.foreign_transaction_id IS
    'The transaction that an event names which is about nothing of ours. Null: it is ours, or names '
    'none.';

-- What was used beyond the balance in one period, closed by the movement `seq` and billed once.
CREATE TABLE overage_bills (
    account_id bigint NOT NULL REFERENCES accounts,
    period date NOT NULL
        CONSTRAINT period_is_a_month CHECK (period = date_trunc('month', period)),
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    charge_begun_at timestamptz,
    accepted_at timestamptz,
    charged_at timestamptz,
    credits bigint NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    attempts int NOT NULL DEFAULT 0,
    currency text NOT NULL CONSTRAINT currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    request_id text NOT NULL,
    provider text NOT NULL,
    provider_subscription_id text,
    provider_transaction_id text,
    last_error text,
    PRIMARY KEY (account_id, period),
    CONSTRAINT one_bill_per_transaction UNIQUE (provider, provider_transaction_id),
    CONSTRAINT charged_bills_name_their_transaction
        CHECK ((charged_at IS NULL) = (provider_transaction_id IS NULL)),
    CONSTRAINT begun_charges_name_their_subscription
        CHECK (charge_begun_at IS NULL OR provider_subscription_id IS NOT NULL)
);
CREATE INDEX open_overage_bills ON overage_bills (due_at) WHERE charged_at IS NULL;
COMMENT ON TABLE overage_bills IS
    'One bill per account and month for what was used beyond the balance. Written by functions only.';
COMMENT ON COLUMN overage_bills.period IS
    'The first day of the month that was closed.';
COMMENT ON COLUMN overage_bills.seq IS
    'The movement of type overage_bill: every overage before it is billed.';
COMMENT ON COLUMN overage_bills.amount IS
    'What to charge, in the currency''s smallest unit.';
COMMENT ON COLUMN overage_bills.due_at IS
    'When the next attempt may be made.';
COMMENT ON COLUMN overage_bills.charge_begun_at IS
    'When a charge was last about to be sent: from then on it may exist at the provider. Null again '
    'once the provider has refused it.';
COMMENT ON COLUMN overage_bills.accepted_at IS
    'When the provider said yes: no charge is ever sent again, its transaction is only looked for.';
COMMENT ON COLUMN overage_bills.provider_subscription_id IS
    'The subscription through which a charge was last sent: where to look for it.';
COMMENT ON COLUMN overage_bills.last_error IS
    'Why it is not charged yet; a sentence for the operator.';
