-- With what operators call, each by a name of their own.

CREATE TABLE admin_tokens (
    token_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    name text NOT NULL
        CONSTRAINT name_has_a_length CHECK (length(name) BETWEEN 1 AND 100)
        -- Who calls with STORECREDIT_ADMIN_TOKEN.
        CONSTRAINT name_is_free CHECK (name <> 'admin'),
    token_start text NOT NULL
        CONSTRAINT token_start_has_a_length CHECK (length(token_start) BETWEEN 1 AND 20),
    token_hash bytea NOT NULL
        CONSTRAINT token_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    scopes text[] NOT NULL
        CONSTRAINT scopes_are_known CHECK (
            -- Not BETWEEN: within a condition it comes back from a dump as another expression.
            cardinality(scopes) >= 1 AND cardinality(scopes) <= 4
            AND scopes <@ '{read,credits,keys,all}'::text[]),
    CONSTRAINT one_token_per_hash UNIQUE (token_hash),
    -- Revoked ones, too: the audit log names whoever acted by it.
    CONSTRAINT one_token_per_name UNIQUE (name)
);
COMMENT ON TABLE admin_tokens IS
    'The tokens of operators, each with a name that the audit log knows it by, which is never used '
    'again. Written by functions only.';
COMMENT ON COLUMN admin_tokens.token_start IS
    'The first characters, by which people know it again.';
COMMENT ON COLUMN admin_tokens.token_hash IS
    'SHA-256; the token itself is kept nowhere.';
COMMENT ON COLUMN admin_tokens.scopes IS
    'What may be done with it. read: look. credits: add, remove, hand over, spend, hold. keys: make, change, '
    'revoke API keys. all: everything, tokens included.';
