-- What is charged through a store's running subscription besides its price, each once: a month's overage,
-- or credits that it buys by itself.

ALTER TABLE overage_bills RENAME TO subscription_charges;
ALTER TABLE subscription_charges
    DROP CONSTRAINT overage_bills_pkey,
    DROP CONSTRAINT one_bill_per_transaction,
    DROP CONSTRAINT charged_bills_name_their_transaction,
    ALTER COLUMN period DROP NOT NULL,
    ALTER COLUMN seq DROP NOT NULL,
    ADD COLUMN number int CONSTRAINT number_is_positive CHECK (number > 0),
    ADD COLUMN dropped_at timestamptz,
    ADD COLUMN expires_after_days int CONSTRAINT days_are_positive CHECK (expires_after_days > 0),
    ADD COLUMN kind text NOT NULL
        GENERATED ALWAYS AS (CASE WHEN period IS NULL THEN 'top_up' ELSE 'overage' END) STORED,
    ADD CONSTRAINT subscription_charges_pkey PRIMARY KEY (account_id, request_id),
    ADD CONSTRAINT one_charge_per_number UNIQUE (account_id, number),
    ADD CONSTRAINT one_charge_per_transaction UNIQUE (provider, provider_transaction_id),
    ADD CONSTRAINT charges_are_overage_or_top_ups
        CHECK (num_nonnulls(period, seq) = CASE WHEN number IS NULL THEN 2 ELSE 0 END),
    ADD CONSTRAINT charges_end_once
        CHECK ((charged_at IS NULL) = (provider_transaction_id IS NULL)
            AND (charged_at IS NULL OR dropped_at IS NULL));
DROP INDEX open_overage_bills;
CREATE INDEX open_subscription_charges ON subscription_charges (kind, due_at)
    WHERE charged_at IS NULL AND dropped_at IS NULL;
CREATE UNIQUE INDEX one_bill_per_month ON subscription_charges (account_id, period)
    WHERE period IS NOT NULL;
CREATE UNIQUE INDEX one_top_up_under_way ON subscription_charges (account_id)
    WHERE period IS NULL AND charged_at IS NULL AND dropped_at IS NULL;
COMMENT ON TABLE subscription_charges IS
    'What is charged through a store''s subscription besides its price: one bill per month for what '
    'was used beyond the balance, and credits that the store buys by itself. Each is charged once. '
    'Written by functions only.';
COMMENT ON COLUMN subscription_charges.kind IS
    'overage: the bill of a month. top_up: credits that are bought by themselves.';
COMMENT ON COLUMN subscription_charges.period IS
    'Of a bill: the first day of the month that was closed.';
COMMENT ON COLUMN subscription_charges.seq IS
    'Of a bill: the movement of type overage_bill: every overage before it is billed.';
COMMENT ON COLUMN subscription_charges.number IS
    'Of a top-up: how many the store has had with it. It names the charge at the provider, so that a '
    'database that was restored to an earlier moment finds the one it had sent.';
COMMENT ON COLUMN subscription_charges.dropped_at IS
    'When a top-up was given up, of which nothing was charged.';
COMMENT ON COLUMN subscription_charges.expires_after_days IS
    'Of a top-up: how long its credits can be spent; null: they do not expire.';

CREATE TABLE top_ups (
    account_id bigint PRIMARY KEY REFERENCES accounts,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz,
    threshold bigint NOT NULL CONSTRAINT threshold_not_negative CHECK (threshold >= 0),
    credits int NOT NULL CONSTRAINT credits_are_positive CHECK (credits > 0),
    max_per_day int NOT NULL CONSTRAINT day_has_a_limit CHECK (max_per_day > 0),
    max_per_month int NOT NULL CONSTRAINT month_has_a_limit CHECK (max_per_month > 0),
    status text NOT NULL DEFAULT 'on'
        CONSTRAINT top_up_status_is_known CHECK (status IN ('on', 'paused')),
    pause_reason text
        CONSTRAINT pause_reason_is_known CHECK (pause_reason IN ('declined', 'no_subscription')),
    CONSTRAINT paused_top_ups_say_why CHECK (
        (status = 'paused') = (pause_reason IS NOT NULL) AND (status = 'on' OR due_at IS NULL))
);
-- Whether anything waits for a balance to fall is asked with every movement: the answer is this small.
CREATE INDEX waiting_top_ups ON top_ups (account_id) WHERE status = 'on' AND due_at IS NULL;
CREATE INDEX due_top_ups ON top_ups (due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE top_ups IS
    'Which stores buy credits by themselves: at a balance of `threshold` or below, so many `credits` '
    'through their subscription. A store that is not here does not. Written by functions only.';
COMMENT ON COLUMN top_ups.due_at IS
    'When to look whether credits are to be bought: set in the transaction of the movement that brings '
    'the balance to the threshold or below; null: nothing is to be looked at.';
COMMENT ON COLUMN top_ups.max_per_day IS
    'How many are bought in a day at most (UTC, by the database''s clock).';
COMMENT ON COLUMN top_ups.max_per_month IS
    'How many are bought in a calendar month at most, likewise.';
COMMENT ON COLUMN top_ups.pause_reason IS
    'declined: the means of payment was. no_subscription: the store has none any more.';
