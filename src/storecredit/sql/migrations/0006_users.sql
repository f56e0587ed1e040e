-- End users (B2C), their credits, ledger and generation sessions: beside the stores', never mixed.
-- depends: 0005_overage

CREATE TABLE user_credits (
    user_id uuid PRIMARY KEY,
    updated_at timestamptz NOT NULL DEFAULT now(),
    balance bigint NOT NULL DEFAULT 0,
    total_earned bigint NOT NULL DEFAULT 0,
    total_spent bigint NOT NULL DEFAULT 0,
    total_clawed_back bigint NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    CONSTRAINT balance_not_negative CHECK (balance >= 0),
    CONSTRAINT total_earned_not_negative CHECK (total_earned >= 0),
    CONSTRAINT total_spent_not_negative CHECK (total_spent >= 0),
    CONSTRAINT total_clawed_back_not_negative CHECK (total_clawed_back >= 0),
    CONSTRAINT last_seq_not_negative CHECK (last_seq >= 0),
    CONSTRAINT balance_follows_from_totals
        CHECK (balance = total_earned - total_spent - total_clawed_back)
) WITH (fillfactor = 50);

COMMENT ON TABLE user_credits IS
    'What each end user has: one row per user, made together with it. Written by functions only.';
COMMENT ON COLUMN user_credits.updated_at IS
    'When the credits last moved.';
COMMENT ON COLUMN user_credits.total_earned IS
    'Everything ever added: starter credits, purchases, grants.';
COMMENT ON COLUMN user_credits.total_spent IS
    'Deductions less refunds.';
COMMENT ON COLUMN user_credits.total_clawed_back IS
    'Credits taken back because their payment was refunded or charged back.';
COMMENT ON COLUMN user_credits.last_seq IS
    'The seq of the user''s newest ledger row; 0 before the first.';

CREATE TABLE users (
    user_id uuid PRIMARY KEY REFERENCES user_credits (user_id),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE users IS
    'The end users; the id is the subject of their token. Written by functions only.';

CREATE TABLE credit_transactions (
    user_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT seq_counts_from_one CHECK (seq >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    balance_after bigint NOT NULL CONSTRAINT balance_after_not_negative CHECK (balance_after >= 0),
    session_id uuid,
    type text NOT NULL CONSTRAINT type_is_known
        CHECK (type IN ('generation', 'refund', 'signup_bonus', 'purchase', 'grant', 'clawback')),
    request_id text NOT NULL CONSTRAINT request_id_has_a_length
        CHECK (length(request_id) BETWEEN 1 AND 200),
    description text NOT NULL DEFAULT '',
    PRIMARY KEY (user_id, seq),
    CONSTRAINT one_movement_of_a_type_per_user_request UNIQUE (user_id, request_id, type)
);

COMMENT ON TABLE credit_transactions IS
    'Append-only ledger of end users'' credits. Written by functions only; seq has no gaps per user.';
COMMENT ON COLUMN credit_transactions.amount IS
    'Credits moved, always positive: generation and clawback take them, every other type gives them.';
COMMENT ON COLUMN credit_transactions.type IS
    'The names the app shows; `generation` is a deduction, also one made by deduct_credits.';
COMMENT ON COLUMN credit_transactions.session_id IS
    'The generation session the credit was taken for; null for a direct call of a function.';

CREATE TABLE generation_sessions (
    user_id uuid NOT NULL REFERENCES user_credits,
    session_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    attempts int NOT NULL DEFAULT 0 CONSTRAINT attempts_not_negative CHECK (attempts >= 0),
    status text NOT NULL DEFAULT 'queued' CONSTRAINT status_is_known
        CHECK (status IN ('queued', 'processing', 'completed', 'failed')),
    request_id text NOT NULL CONSTRAINT request_id_has_a_length
        CHECK (length(request_id) BETWEEN 1 AND 200),
    fingerprint bytea NOT NULL CONSTRAINT fingerprint_is_sha256 CHECK (length(fingerprint) = 32),
    error_code text,
    error_message text,
    result_key text,
    metadata json,
    input json,
    PRIMARY KEY (user_id, session_id),
    CONSTRAINT one_session_per_user_request UNIQUE (user_id, request_id),
    CONSTRAINT ended_sessions_have_a_time
        CHECK ((status IN ('completed', 'failed')) = (completed_at IS NOT NULL)),
    CONSTRAINT only_failed_sessions_have_an_error
        CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CONSTRAINT ended_sessions_keep_no_input
        CHECK (status IN ('queued', 'processing') OR input IS NULL)
) WITH (fillfactor = 70);

CREATE INDEX open_generation_sessions ON generation_sessions (user_id, session_id)
    WHERE status IN ('queued', 'processing');
CREATE INDEX failed_generation_sessions ON generation_sessions (user_id, session_id)
    WHERE status = 'failed';
CREATE INDEX kept_generation_results ON generation_sessions (completed_at)
    WHERE result_key IS NOT NULL;

COMMENT ON TABLE generation_sessions IS
    'One row per generation of an end user; the columns are those of store_generation_sessions.';
