-- Overage and clawbacks: what a store may use beyond its balance, and credits taken back.
-- depends: 0004_schema

ALTER TABLE store_credits
    ADD COLUMN total_clawed_back bigint NOT NULL DEFAULT 0
        CONSTRAINT total_clawed_back_not_negative CHECK (total_clawed_back >= 0),
    ADD COLUMN overage_limit bigint NOT NULL DEFAULT 0
        CONSTRAINT overage_limit_not_negative CHECK (overage_limit >= 0),
    ADD COLUMN overage_used bigint NOT NULL DEFAULT 0
        CONSTRAINT overage_used_not_negative CHECK (overage_used >= 0),
    DROP CONSTRAINT balance_follows_from_totals,
    ADD CONSTRAINT balance_follows_from_totals
        CHECK (balance = total_purchased - total_spent - total_clawed_back);

COMMENT ON COLUMN store_credits.total_purchased IS
    'Everything ever added: purchases, subscriptions, grants, billed overage given back.';
COMMENT ON COLUMN store_credits.total_clawed_back IS
    'Credits taken back because their payment was refunded or charged back.';
COMMENT ON COLUMN store_credits.overage_limit IS
    'Credits the store may use beyond its balance in a period; 0: overage is off.';
COMMENT ON COLUMN store_credits.overage_used IS
    'Credits used beyond the balance and not billed yet.';

ALTER TABLE store_credit_transactions
    DROP CONSTRAINT type_is_known,
    ADD CONSTRAINT type_is_known CHECK (type IN (
        'deduction', 'refund', 'purchase', 'subscription', 'grant', 'clawback',
        'overage', 'overage_refund', 'overage_credit', 'overage_bill'));

COMMENT ON COLUMN store_credit_transactions.amount IS
    'Credits moved, always positive. The type gives the sign: deduction and clawback take them; '
    'refund, purchase, subscription, grant and overage_credit give them; overage, overage_refund '
    'and overage_bill leave the balance alone and move overage_used.';

-- Whether a store used overage before the month began is asked again and again; a ledger is long.
CREATE INDEX store_overages ON store_credit_transactions (store_id, seq) WHERE type = 'overage';

-- What was used beyond the balance in one period, closed by the ledger row `seq` and billed once.
CREATE TABLE store_overage_bills (
    store_id uuid NOT NULL REFERENCES store_credits,
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
    paddle_subscription_id text,
    paddle_transaction_id text,
    last_error text,
    PRIMARY KEY (store_id, period),
    CONSTRAINT one_bill_per_store_transaction UNIQUE (store_id, paddle_transaction_id),
    CONSTRAINT charged_bills_name_their_transaction
        CHECK ((charged_at IS NULL) = (paddle_transaction_id IS NULL)),
    CONSTRAINT begun_charges_name_their_subscription
        CHECK (charge_begun_at IS NULL OR paddle_subscription_id IS NOT NULL)
);
CREATE INDEX open_store_overage_bills ON store_overage_bills (due_at) WHERE charged_at IS NULL;

COMMENT ON TABLE store_overage_bills IS
    'One bill per store and month for what was used beyond the balance. Written by functions only.';
COMMENT ON COLUMN store_overage_bills.period IS
    'The first day of the month that was closed.';
COMMENT ON COLUMN store_overage_bills.seq IS
    'The ledger row of type overage_bill: every overage before it is billed.';
COMMENT ON COLUMN store_overage_bills.amount IS
    'What to charge, in the currency''s smallest unit.';
COMMENT ON COLUMN store_overage_bills.due_at IS
    'When the next attempt may be made.';
COMMENT ON COLUMN store_overage_bills.charge_begun_at IS
    'When a charge was last about to be sent: from then on it may exist at Paddle. Null again once '
    'Paddle has refused it.';
COMMENT ON COLUMN store_overage_bills.accepted_at IS
    'When Paddle said yes: no charge is ever sent again, its transaction is only looked for.';
COMMENT ON COLUMN store_overage_bills.paddle_subscription_id IS
    'The subscription through which a charge was last sent: where to look for it.';
COMMENT ON COLUMN store_overage_bills.last_error IS
    'Why it is not charged yet; a sentence for the operator.';
