-- What is told without being asked: who listens to what, what has happened, and what became of each delivery.

ALTER TABLE accounts ADD COLUMN low_threshold bigint
    CONSTRAINT low_threshold_not_negative CHECK (low_threshold >= 0);
COMMENT ON COLUMN accounts.low_threshold IS
    'At or below so many credits the balance is low; 0: it never is; null: 10 % of the last addition.';

CREATE TABLE webhook_endpoints (
    endpoint_id uuid PRIMARY KEY,
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    failing_since timestamptz,
    resumes_at timestamptz,
    is_ordered boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'enabled'
        CONSTRAINT endpoint_status_is_known CHECK (status IN ('enabled', 'disabled')),
    disabled_reason text
        CONSTRAINT disabled_reason_is_known CHECK (disabled_reason IN ('requested', 'gone', 'failing')),
    url text NOT NULL CONSTRAINT url_has_a_length CHECK (length(url) BETWEEN 1 AND 2000),
    description text NOT NULL DEFAULT ''
        CONSTRAINT description_has_a_length CHECK (length(description) <= 200),
    event_types text[] NOT NULL
        CONSTRAINT event_types_are_few CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    hears_movements boolean NOT NULL GENERATED ALWAYS AS (event_types && '{*, credits.low,
        credits.depleted, credits.added, credits.clawed_back, hold.expired, overage.started,
        overage.limit_reached, overage.billed}'::text[]) STORED,
    CONSTRAINT disabled_endpoints_have_a_time CHECK (
        (status = 'disabled') = (disabled_at IS NOT NULL)
        AND (status = 'disabled') = (disabled_reason IS NOT NULL))
);
-- Whether anybody listens is asked with every movement, by this.
CREATE INDEX endpoints_of_an_account ON webhook_endpoints (account_id, endpoint_id);
COMMENT ON TABLE webhook_endpoints IS
    'Where events are sent: URLs of stores and of the operator. Written by functions only.';
COMMENT ON COLUMN webhook_endpoints.account_id IS
    'Of the store whose events it hears; 0: the operator''s, which hears those of all owners.';
COMMENT ON COLUMN webhook_endpoints.event_types IS
    'The types of event it is told; *: all that its owner may hear.';
COMMENT ON COLUMN webhook_endpoints.hears_movements IS
    'Whether any of them tells of a movement.';
COMMENT ON COLUMN webhook_endpoints.is_ordered IS
    'It is told one event after the other, in the order of the ledger: one that fails holds the rest up.';
COMMENT ON COLUMN webhook_endpoints.resumes_at IS
    'Of an ordered one: nothing is sent before then; null: at once.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS
    'When the first of the attempts was made that have all failed since; null: the last one did not.';
COMMENT ON COLUMN webhook_endpoints.disabled_reason IS
    'requested: by its owner. gone: it answered 410. failing: it had failed for five days.';

-- Apart from their endpoints, because others may read those.
CREATE TABLE webhook_secrets (
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    secret bytea NOT NULL CONSTRAINT secret_is_long CHECK (octet_length(secret) = 32),
    PRIMARY KEY (endpoint_id, created_at)
);
COMMENT ON TABLE webhook_secrets IS
    'What deliveries are signed with: by all secrets of an endpoint that have not expired.';
COMMENT ON COLUMN webhook_secrets.expires_at IS
    'The end of the overlap after it was replaced; null: it is the current one.';

-- Written once, in the transaction of what it tells, and only where somebody listens.
CREATE TABLE events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    account_id bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    type text NOT NULL,
    data json NOT NULL,
    CONSTRAINT one_event_per_id UNIQUE (event_id)
);
CREATE INDEX events_by_time ON events USING brin (created_at);
COMMENT ON TABLE events IS
    'What has happened and was to be told, oldest first for each account. Kept for 30 days.';
COMMENT ON COLUMN events.account_id IS
    'Whose it is; null: nobody''s but the operator''s.';
COMMENT ON COLUMN events.data IS
    'What is told: ids and amounts, nothing personal.';

-- Without a key that refers to the endpoint: what it tells of must not fail because that was deleted.
CREATE TABLE deliveries (
    endpoint_id uuid NOT NULL,
    seq bigint NOT NULL,
    next_attempt_at timestamptz DEFAULT '-infinity',
    ended_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    retries int NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT delivery_status_is_known CHECK (status IN ('pending', 'delivered', 'failed')),
    PRIMARY KEY (endpoint_id, seq),
    CONSTRAINT pending_deliveries_are_due CHECK (
        (status = 'pending') = (next_attempt_at IS NOT NULL)
        AND (status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX due_deliveries ON deliveries (endpoint_id, next_attempt_at, seq)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX failed_deliveries ON deliveries (endpoint_id, seq) WHERE status = 'failed';
COMMENT ON TABLE deliveries IS
    'One row per event and endpoint that is to be told it: pending -> delivered | failed, and pending '
    'again when it is sent anew. What happens while an endpoint is disabled has failed from the first.';
COMMENT ON COLUMN deliveries.seq IS
    'Of its event.';
COMMENT ON COLUMN deliveries.next_attempt_at IS
    'When it is due, or, while an attempt is under way, when that one is given up; null: it has ended. '
    'Those of an ordered endpoint are all due at -infinity: the endpoint says when it resumes.';
COMMENT ON COLUMN deliveries.attempts IS
    'How many attempts were made, over all the times it was sent.';
COMMENT ON COLUMN deliveries.retries IS
    'How many of them failed since it was sent, or sent anew.';

CREATE TABLE delivery_attempts (
    endpoint_id uuid NOT NULL,
    seq bigint NOT NULL,
    attempt int NOT NULL,
    attempted_at timestamptz NOT NULL,
    milliseconds int NOT NULL,
    status_code int,
    error text,
    answer text,
    PRIMARY KEY (endpoint_id, seq, attempt)
);
CREATE INDEX attempts_by_time ON delivery_attempts USING brin (attempted_at);
COMMENT ON TABLE delivery_attempts IS
    'Every attempt at a delivery, and what came of it. Kept for 30 days.';
COMMENT ON COLUMN delivery_attempts.status_code IS
    'What the receiver answered; null: nothing, and `error` says why.';
COMMENT ON COLUMN delivery_attempts.answer IS
    'The first 500 bytes of its answer.';

-- Which grants an owner was told to be ending.
CREATE TABLE expiry_notices (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, seq)
);
COMMENT ON TABLE expiry_notices IS
    'The grants whose owners were told that they will expire soon.';
