-- The ledger: every movement of a store's credits, append-only.
-- depends: 0001_stores

CREATE TABLE store_credit_transactions (
    store_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT seq_counts_from_one CHECK (seq >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    balance_after bigint NOT NULL CONSTRAINT balance_after_not_negative CHECK (balance_after >= 0),
    session_id uuid,
    type text NOT NULL CONSTRAINT type_is_known
        CHECK (type IN ('deduction', 'refund', 'purchase', 'subscription', 'grant')),
    request_id text NOT NULL CONSTRAINT request_id_has_a_length
        CHECK (length(request_id) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '',
    PRIMARY KEY (store_id, seq),
    CONSTRAINT one_movement_of_a_type_per_request UNIQUE (store_id, request_id, type)
);

-- No foreign key to store_credits: the functions hold the credit row's lock while they write here,
-- and a foreign key would look that row up once more for every movement. `storecredit verify`
-- names a movement without a store.

COMMENT ON TABLE store_credit_transactions IS
    'Append-only ledger of store credits. Written by functions only; seq has no gaps per store.';
COMMENT ON COLUMN store_credit_transactions.amount IS
    'Credits moved, always positive: deduction takes them, every other type gives them.';
COMMENT ON COLUMN store_credit_transactions.balance_after IS
    'The balance after this movement; follows from the row before, the type and the amount.';
COMMENT ON COLUMN store_credit_transactions.request_id IS
    'The request that caused the movement; a refund carries that of its deduction.';
COMMENT ON COLUMN store_credit_transactions.session_id IS
    'The generation session the credit was taken for; null for a direct call of a function.';
