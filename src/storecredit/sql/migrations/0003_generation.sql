-- Generation sessions: the work that each deduction paid for.
-- depends: 0002_ledger

CREATE TABLE store_generation_sessions (
    store_id uuid NOT NULL REFERENCES store_credits,
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
    PRIMARY KEY (store_id, session_id),
    CONSTRAINT one_session_per_request UNIQUE (store_id, request_id),
    CONSTRAINT ended_sessions_have_a_time
        CHECK ((status IN ('completed', 'failed')) = (completed_at IS NOT NULL)),
    CONSTRAINT only_failed_sessions_have_an_error
        CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CONSTRAINT ended_sessions_keep_no_input
        CHECK (status IN ('queued', 'processing') OR input IS NULL)
) WITH (fillfactor = 70);

-- The sweep looks for open sessions that no job looks after; there are few at any time.
CREATE INDEX open_store_generation_sessions ON store_generation_sessions (store_id, session_id)
    WHERE status IN ('queued', 'processing');
-- A store's list filtered by `failed` must not read through everything that completed.
CREATE INDEX failed_store_generation_sessions ON store_generation_sessions (store_id, session_id)
    WHERE status = 'failed';
-- The sweep deletes results whose time is over.
CREATE INDEX kept_store_generation_results ON store_generation_sessions (completed_at)
    WHERE result_key IS NOT NULL;

COMMENT ON TABLE store_generation_sessions IS
    'One row per generation: queued -> processing -> completed | failed. A final status never changes.';
COMMENT ON COLUMN store_generation_sessions.fingerprint IS
    'SHA-256 of the request content: the same request id with other content is refused.';
COMMENT ON COLUMN store_generation_sessions.input IS
    'What the worker needs (image URLs, prompt); removed when the session ends.';
COMMENT ON COLUMN store_generation_sessions.attempts IS
    'How often a worker started this session.';
COMMENT ON COLUMN store_generation_sessions.result_key IS
    'Where the result image is kept; removed when its retention is over.';
