-- Several buckets: schemas with the same tables and functions, each with the owners that live in it, whole.
-- The first one, `storecredit`, knows who lives where; a database of one bucket keeps nothing here.

CREATE TABLE buckets (
    number int PRIMARY KEY CONSTRAINT number_not_negative CHECK (number >= 0),
    opened_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE buckets IS
    'The buckets that there are, where there is more than one; kept in the first one, by migrations.';
COMMENT ON COLUMN buckets.number IS
    'Number n is the schema of our name, an underscore and n; 0 is that of our name alone.';
COMMENT ON COLUMN buckets.opened_at IS 'From when on owners were put into it.';

CREATE TABLE owner_buckets (
    owner_kind text NOT NULL,
    owner_id uuid NOT NULL,
    bucket int NOT NULL REFERENCES buckets,
    PRIMARY KEY (owner_id, owner_kind)
);
COMMENT ON TABLE owner_buckets IS
    'Which bucket an owner lives in, for ever; kept in the first one, where there is more than one.';

CREATE TABLE key_buckets (
    key_hash bytea PRIMARY KEY,
    bucket int NOT NULL REFERENCES buckets
);
COMMENT ON TABLE key_buckets IS
    'Which bucket knows an API key, by its hash; kept in the first one, where there is more than one.';

CREATE TABLE action_buckets (
    idempotency_key text PRIMARY KEY,
    bucket int NOT NULL REFERENCES buckets
);
COMMENT ON TABLE action_buckets IS
    'Which bucket''s audit log an operator''s idempotency key may stand in; kept in the first one, where '
    'there is more than one.';

-- Sign-ins and links stand in the first bucket, all of them; the store and the key may be in another.
ALTER TABLE sign_ins
    DROP CONSTRAINT sign_ins_store_id_fkey, DROP CONSTRAINT sign_ins_store_id_key_id_fkey;
ALTER TABLE sign_in_links
    DROP CONSTRAINT sign_in_links_store_id_fkey, DROP CONSTRAINT sign_in_links_store_id_key_id_fkey;

CREATE TABLE provider_buckets (
    provider text NOT NULL,
    provider_id text NOT NULL,
    bucket int NOT NULL REFERENCES buckets,
    PRIMARY KEY (provider, provider_id)
);
COMMENT ON TABLE provider_buckets IS
    'Which bucket keeps what a provider''s id names, for ever: an event that was taken there, a '
    'transaction that was booked there. Kept in the first one, where there is more than one.';

-- Who is given credits may live in another bucket than who gives them; its entry stands in the giver's.
ALTER TABLE audit_log DROP CONSTRAINT audit_log_other_account_id_fkey;

CREATE TABLE transfer_ends (
    account_id bigint NOT NULL REFERENCES accounts,
    seq bigint NOT NULL,
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    other_account_id bigint NOT NULL,
    type text NOT NULL CONSTRAINT type_is_an_end CHECK (type IN ('transfer_out', 'transfer_in')),
    request_id text NOT NULL,
    PRIMARY KEY (account_id, seq)
);
COMMENT ON TABLE transfer_ends IS
    'The end that a transfer has in this bucket, where the other one stands in another. Append-only.';
COMMENT ON COLUMN transfer_ends.seq IS
    'Of the movement at this end, whose type, amount and request id stand here once more.';

-- The operator's endpoints stand in the first bucket, and are told there of what happened in others.
ALTER TABLE events
    ADD COLUMN owner_kind text, ADD COLUMN owner_id uuid, ADD COLUMN happened_at timestamptz;
COMMENT ON COLUMN events.owner_kind IS
    'Of an event that happened in another bucket: whose it is; account_id is null then.';
COMMENT ON COLUMN events.owner_id IS
    'Of an event that happened in another bucket: whose it is.';
COMMENT ON COLUMN events.happened_at IS
    'Of an event that happened in another bucket: when; created_at is when it was written here.';
