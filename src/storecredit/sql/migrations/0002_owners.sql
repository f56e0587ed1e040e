-- Who owns credits: stores with their API keys, and end users. Each refers to its own account: an owner
-- without credits cannot be written, nor one whose account is of the other kind.

CREATE TABLE stores (
    store_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL CONSTRAINT name_has_a_length CHECK (length(name) BETWEEN 1 AND 200),
    shop_domain text NOT NULL
        CONSTRAINT shop_domain_has_a_length CHECK (length(shop_domain) BETWEEN 1 AND 253),
    tier text NOT NULL DEFAULT 'default'
        CONSTRAINT tier_has_a_length CHECK (length(tier) BETWEEN 1 AND 50),
    status text NOT NULL DEFAULT 'active'
        CONSTRAINT status_is_known CHECK (status IN ('active', 'suspended')),
    owner_kind text NOT NULL GENERATED ALWAYS AS ('store') STORED,
    FOREIGN KEY (store_id, owner_kind) REFERENCES accounts (owner_id, owner_kind)
);
COMMENT ON TABLE stores IS
    'The customers. Written by functions only.';
COMMENT ON COLUMN stores.store_id IS
    'UUIDv7 made by the application: ids in order are stores in order of creation.';
COMMENT ON COLUMN stores.tier IS
    'Names the rate limits of the store; the limits themselves are configuration.';
COMMENT ON COLUMN stores.status IS
    'While suspended, none of the store''s API keys is accepted.';

CREATE TABLE store_api_keys (
    store_id uuid NOT NULL REFERENCES stores (store_id),
    key_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    key_hash bytea NOT NULL CONSTRAINT key_hash_is_sha256 CHECK (octet_length(key_hash) = 32),
    key_start text NOT NULL CONSTRAINT key_start_has_a_length CHECK (length(key_start) = 12),
    label text NOT NULL DEFAULT '' CONSTRAINT label_has_a_length CHECK (length(label) <= 100),
    allowed_origins text[] NOT NULL DEFAULT '{}'
        CONSTRAINT allowed_origins_are_few CHECK (cardinality(allowed_origins) <= 100),
    PRIMARY KEY (store_id, key_id),
    -- Leads with the hash: a key is looked up by its hash alone, before its store is known.
    CONSTRAINT one_key_per_hash UNIQUE (key_hash, store_id)
);

-- A preflight carries no key, only an origin, and anybody can send one.
CREATE INDEX store_api_keys_allowed_origins ON store_api_keys USING gin (allowed_origins);

COMMENT ON TABLE store_api_keys IS
    'API keys, of which only the hash is known. Written by functions only.';
COMMENT ON COLUMN store_api_keys.expires_at IS
    'The key is refused from this moment on; null: never. A rotated key expires after its grace.';
COMMENT ON COLUMN store_api_keys.revoked_at IS
    'When the key was revoked; null: it was not.';
COMMENT ON COLUMN store_api_keys.key_hash IS
    'SHA-256 of the key.';
COMMENT ON COLUMN store_api_keys.key_start IS
    'The first 12 characters of the key, so that people can tell one from another.';
COMMENT ON COLUMN store_api_keys.allowed_origins IS
    'Web origins (scheme://host[:port], lower case) whose pages may use the key; empty: none.';

CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    blocked_at timestamptz,
    erased_at timestamptz,
    erasure_due_at timestamptz,
    is_bonus_withheld boolean NOT NULL DEFAULT false,
    owner_kind text NOT NULL GENERATED ALWAYS AS ('user') STORED,
    status text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN erased_at IS NOT NULL THEN 'erased' WHEN blocked_at IS NOT NULL THEN 'blocked'
            ELSE 'active' END) STORED,
    FOREIGN KEY (user_id, owner_kind) REFERENCES accounts (owner_id, owner_kind),
    CONSTRAINT who_is_erased_is_blocked CHECK (erased_at IS NULL OR blocked_at IS NOT NULL),
    CONSTRAINT erasures_are_due_to_the_erased
        CHECK (erasure_due_at IS NULL OR erased_at IS NOT NULL)
);
CREATE INDEX due_erasures ON users (erasure_due_at) WHERE erasure_due_at IS NOT NULL;
COMMENT ON TABLE users IS
    'The end users; the id is the subject of their token. Written by functions only.';
COMMENT ON COLUMN users.is_bonus_withheld IS
    'The starter credits are still to be given, once the user is no longer anonymous.';
COMMENT ON COLUMN users.blocked_at IS
    'None of the user''s tokens is accepted since then; null: they are.';
COMMENT ON COLUMN users.erased_at IS
    'When what is personal was removed; the row stays, so that nobody makes the user anew.';
COMMENT ON COLUMN users.erasure_due_at IS
    'When to look for what is left of an erased user: results on disk, and what calls wrote that were '
    'under way. Null: there is nothing to look for.';
