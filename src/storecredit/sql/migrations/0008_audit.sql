-- What operators did: who, when, why, to whom. Added to, and never changed.

CREATE TABLE audit_log (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint REFERENCES accounts,
    other_account_id bigint REFERENCES accounts,
    acted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CONSTRAINT actor_has_a_length CHECK (length(actor) BETWEEN 1 AND 100),
    door text NOT NULL CONSTRAINT door_is_known CHECK (door IN ('api', 'command', 'console')),
    action text NOT NULL CONSTRAINT action_has_a_length CHECK (length(action) BETWEEN 1 AND 50),
    subject text NOT NULL DEFAULT '' CONSTRAINT subject_has_a_length CHECK (length(subject) <= 200),
    reason text NOT NULL DEFAULT '' CONSTRAINT reason_has_a_length CHECK (length(reason) <= 500),
    request_id text NOT NULL
        CONSTRAINT request_id_has_a_length CHECK (length(request_id) BETWEEN 1 AND 200),
    idempotency_key text
        CONSTRAINT idempotency_key_has_a_length CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    asked jsonb NOT NULL DEFAULT '{}',
    outcome jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT other_account_beside_the_first
        CHECK (other_account_id IS NULL OR account_id IS NOT NULL)
);
CREATE UNIQUE INDEX one_action_per_idempotency_key ON audit_log (idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX audit_of_an_account ON audit_log (account_id, entry_id) WHERE account_id IS NOT NULL;
CREATE INDEX audit_of_another_account ON audit_log (other_account_id, entry_id)
    WHERE other_account_id IS NOT NULL;
CREATE INDEX audit_of_an_actor ON audit_log (actor, entry_id);
CREATE INDEX audit_of_an_action ON audit_log (action, entry_id);
CREATE INDEX audit_of_a_request ON audit_log (request_id, entry_id);
COMMENT ON TABLE audit_log IS
    'What operators did, each entry written in the transaction of the action itself. Append-only: the '
    'role that owns the functions may insert and read, and no more.';
COMMENT ON COLUMN audit_log.account_id IS
    'Whose credits, keys, settings it is about; null: nobody''s in particular.';
COMMENT ON COLUMN audit_log.other_account_id IS
    'Of a transfer: who was given the credits.';
COMMENT ON COLUMN audit_log.actor IS
    'Who: the name of an admin token, or the name that a command was given (else the login''s).';
COMMENT ON COLUMN audit_log.door IS
    'How they came in: by the API, a command, or the console.';
COMMENT ON COLUMN audit_log.subject IS
    'The id of what it is about besides the owner: a key, a grant, an endpoint, a problem.';
COMMENT ON COLUMN audit_log.asked IS
    'What was asked for: never a secret, nor the address of a receiver.';
COMMENT ON COLUMN audit_log.outcome IS
    'What came of it: what the same request is answered when it is sent again.';
