-- Who is signed in with a browser, and the links that sign somebody in once.

CREATE TABLE sign_ins (
    sign_in_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    token_id uuid REFERENCES admin_tokens (token_id),
    store_id uuid REFERENCES stores (store_id),
    key_id uuid,
    door text NOT NULL
        CONSTRAINT door_is_known CHECK (door IN ('console', 'portal')),
    actor text NOT NULL
        CONSTRAINT actor_has_a_length CHECK (length(actor) BETWEEN 1 AND 100),
    secret_hash bytea NOT NULL
        CONSTRAINT secret_hash_is_sha256 CHECK (octet_length(secret_hash) = 32),
    admin_mark bytea
        CONSTRAINT admin_mark_is_sha256 CHECK (octet_length(admin_mark) = 32),
    FOREIGN KEY (store_id, key_id) REFERENCES store_api_keys (store_id, key_id),
    CONSTRAINT one_sign_in_per_secret UNIQUE (secret_hash),
    CONSTRAINT a_portal_is_a_stores CHECK ((door = 'portal') = (store_id IS NOT NULL)),
    CONSTRAINT at_most_one_vouches CHECK (num_nonnulls(token_id, admin_mark, key_id) <= 1)
);
CREATE INDEX sign_ins_expires_at ON sign_ins (expires_at);
COMMENT ON TABLE sign_ins IS
    'Browsers that are signed in, to the operator''s console or a store''s portal. A row is removed when '
    'somebody signs out, or some time after its end. Written by functions only.';
COMMENT ON COLUMN sign_ins.token_id IS
    'The operator''s token behind it: with it the sign-in ends. With neither token, mark nor key, a command of '
    'the operator''s began it.';
COMMENT ON COLUMN sign_ins.key_id IS
    'The store''s API key behind it, likewise.';
COMMENT ON COLUMN sign_ins.actor IS
    'Console: the operator''s name. Portal: who issued the link, or store.';
COMMENT ON COLUMN sign_ins.secret_hash IS
    'SHA-256 of what the cookie says; the cookie itself is kept nowhere.';
COMMENT ON COLUMN sign_ins.admin_mark IS
    'STORECREDIT_ADMIN_TOKEN is behind it, as it was: an HMAC of it, whose key is not in the database.';

CREATE TABLE sign_in_links (
    code_hash bytea PRIMARY KEY
        CONSTRAINT code_hash_is_sha256 CHECK (octet_length(code_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    token_id uuid REFERENCES admin_tokens (token_id),
    store_id uuid REFERENCES stores (store_id),
    key_id uuid,
    sign_in_seconds int NOT NULL
        CONSTRAINT sign_in_seconds_are_some CHECK (sign_in_seconds >= 1 AND sign_in_seconds <= 86400),
    door text NOT NULL
        CONSTRAINT door_is_known CHECK (door IN ('console', 'portal')),
    issued_by text NOT NULL
        CONSTRAINT issued_by_has_a_length CHECK (length(issued_by) BETWEEN 1 AND 100),
    admin_mark bytea
        CONSTRAINT admin_mark_is_sha256 CHECK (octet_length(admin_mark) = 32),
    FOREIGN KEY (store_id, key_id) REFERENCES store_api_keys (store_id, key_id),
    CONSTRAINT a_portal_is_a_stores CHECK ((door = 'portal') = (store_id IS NOT NULL)),
    CONSTRAINT at_most_one_vouches CHECK (num_nonnulls(token_id, admin_mark, key_id) <= 1)
);
CREATE INDEX sign_in_links_expires_at ON sign_in_links (expires_at);
COMMENT ON TABLE sign_in_links IS
    'Links that sign a browser in: each once, so that its row is removed by that. Written by functions only.';
COMMENT ON COLUMN sign_in_links.expires_at IS
    'Of the link; what it begins lasts sign_in_seconds from then on.';
COMMENT ON COLUMN sign_in_links.code_hash IS
    'SHA-256 of what stands in the link; the code itself is kept nowhere.';
COMMENT ON COLUMN sign_in_links.admin_mark IS
    'As in sign_ins.';
