-- Tamper evidence: a hash chain over each owner's movements, and signed checkpoints of all chains. Kept by
-- the first bucket for the owners of all buckets, beside the busy path.

-- These three as the ledger: written once, and never changed.
CREATE TABLE chained_accounts (
    position bigint PRIMARY KEY CONSTRAINT position_not_negative CHECK (position >= 0),
    account_id bigint NOT NULL CONSTRAINT one_place_per_account UNIQUE,
    owner_id uuid NOT NULL,
    owner_kind text NOT NULL,
    salt bytea NOT NULL
);
COMMENT ON TABLE chained_accounts IS
    'The accounts whose movements are chained, in the order in which they came: that of the leaves of every '
    'checkpoint''s tree.';
COMMENT ON COLUMN chained_accounts.position IS
    'Its place among the leaves: 0, 1, 2 without gaps.';
COMMENT ON COLUMN chained_accounts.owner_id IS
    'As of the account.';
COMMENT ON COLUMN chained_accounts.owner_kind IS
    'As of the account.';
COMMENT ON COLUMN chained_accounts.salt IS
    'What the chain over that begins with which its owner is not told, so that nobody guesses it by its hash.';

CREATE TABLE chain_links (
    position bigint NOT NULL,
    seq bigint NOT NULL,
    number bigint NOT NULL,
    head bytea NOT NULL,
    kept_head bytea NOT NULL,
    marks bytea NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (position, seq)
);
-- Hashes cannot be compressed.
ALTER TABLE chain_links ALTER COLUMN marks SET STORAGE EXTERNAL;
CREATE INDEX chain_links_by_checkpoint ON chain_links (number);
COMMENT ON TABLE chain_links IS
    'One row per account and range of its movements: from the one after the link before, up to seq.';
COMMENT ON COLUMN chain_links.number IS
    'Of the first checkpoint that it is in; one more than the newest: it will be.';
COMMENT ON COLUMN chain_links.head IS
    'The hash of the movement at seq and of all before it: of what their owner is told of them.';
COMMENT ON COLUMN chain_links.kept_head IS
    'Likewise, of all else that stands in them.';
COMMENT ON COLUMN chain_links.marks IS
    'The first four bytes of each movement''s two hashes, so that the one that was changed can be named.';
COMMENT ON COLUMN chain_links.seal IS
    'Says that the link is the service''s: an HMAC under a secret that is not in the database.';

CREATE TABLE checkpoints (
    number bigint PRIMARY KEY CONSTRAINT number_from_one CHECK (number >= 1),
    made_at timestamptz NOT NULL,
    owners bigint NOT NULL,
    movements bigint NOT NULL,
    ledger uuid NOT NULL,
    root bytea NOT NULL,
    log_root bytea NOT NULL,
    previous bytea NOT NULL,
    key_id bytea NOT NULL,
    signature bytea NOT NULL,
    chunks bytea NOT NULL
);
COMMENT ON TABLE checkpoints IS
    'What was signed, with a key that is not in the database: where all chains stood at a moment.';
COMMENT ON COLUMN checkpoints.owners IS
    'How many leaves its tree has.';
COMMENT ON COLUMN checkpoints.movements IS
    'How many movements they cover.';
COMMENT ON COLUMN checkpoints.ledger IS
    'Which ledger it is of: the same in all of them.';
COMMENT ON COLUMN checkpoints.root IS
    'The root of the Merkle tree (RFC 6962) over where each chain stood.';
COMMENT ON COLUMN checkpoints.log_root IS
    'The root of the Merkle tree over all checkpoints before this one.';
COMMENT ON COLUMN checkpoints.previous IS
    'The hash of the one before; zeros: it is the first.';
COMMENT ON COLUMN checkpoints.chunks IS
    'The roots over each 1024 leaves, so that a proof need not read all. Not signed: the root follows from them.';

CREATE TABLE proving (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_proving CHECK (only_row),
    holder uuid,
    held_until timestamptz,
    passed_at timestamptz,
    walked_at timestamptz
);
COMMENT ON TABLE proving IS
    'Whose turn it is to chain movements and to make a checkpoint.';
COMMENT ON COLUMN proving.holder IS
    'The process whose turn it is, until held_until.';
COMMENT ON COLUMN proving.passed_at IS
    'When a pass was last finished.';
COMMENT ON COLUMN proving.walked_at IS
    'When one was last finished that looked at every account.';
