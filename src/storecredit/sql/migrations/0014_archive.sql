-- Generations that ended long ago, moved out of the database into files. What of each must be known for
-- ever stays: that there was one, by which movement, and what its request said, as a hash.

-- As the ledger: written once, and never changed.
CREATE TABLE session_archives (
    number bigint PRIMARY KEY,
    archived_at timestamptz NOT NULL DEFAULT now(),
    oldest_at timestamptz NOT NULL,
    newest_at timestamptz NOT NULL,
    bytes bigint NOT NULL CONSTRAINT archives_are_not_empty CHECK (bytes > 0),
    sessions int NOT NULL CONSTRAINT archives_have_sessions CHECK (sessions > 0),
    generations numeric NOT NULL,
    refunds numeric NOT NULL,
    sha256 bytea NOT NULL,
    place text NOT NULL,
    file text NOT NULL
);
COMMENT ON TABLE session_archives IS
    'One row per file of archived sessions, written in the transaction that removes them. What no row '
    'names is no part of the archive.';
COMMENT ON COLUMN session_archives.oldest_at IS
    'When the oldest of its sessions was created; newest_at: the newest.';
COMMENT ON COLUMN session_archives.bytes IS
    'The size of the file as it is stored, compressed.';
COMMENT ON COLUMN session_archives.generations IS
    'The sum of the fingerprints of its sessions, under archiving.seed; refunds: of those that failed. '
    '`storecredit verify` counts them among the sessions that there are.';
COMMENT ON COLUMN session_archives.sha256 IS
    'Of the content, uncompressed. The database made it, and compared it once more before it removed '
    'anything.';
COMMENT ON COLUMN session_archives.place IS
    'The directory or bucket it was written to; file: the name below that.';

CREATE TABLE archived_sessions (
    account_id bigint NOT NULL,
    until_seq bigint NOT NULL,
    number bigint NOT NULL,
    sessions int NOT NULL,
    failed int NOT NULL,
    first_id uuid NOT NULL,
    last_id uuid NOT NULL,
    seqs bigint[] NOT NULL,
    session_ids uuid[] NOT NULL,
    fingerprints bytea NOT NULL,
    failed_seqs bigint[] NOT NULL,
    return_seqs bigint[] NOT NULL,
    causes text[] NOT NULL,
    PRIMARY KEY (account_id, until_seq)
);
ALTER TABLE archived_sessions ALTER COLUMN account_id SET (n_distinct = -0.05);
-- Looked up by `account_id + 0`, which the primary key does not have.
CREATE INDEX archived_sessions_by_id ON archived_sessions ((account_id + 0), last_id);
COMMENT ON TABLE archived_sessions IS
    'One row per account and archive: which of its sessions are in there, in the order of the ledger. '
    'Some tens of bytes to a session.';
COMMENT ON COLUMN archived_sessions.until_seq IS
    'The last of seqs.';
COMMENT ON COLUMN archived_sessions.number IS
    'Of the archive.';
COMMENT ON COLUMN archived_sessions.sessions IS
    'How many they are; failed: how many of them failed.';
COMMENT ON COLUMN archived_sessions.seqs IS
    'The movements that paid for them; session_ids: the sessions, in the same order.';
COMMENT ON COLUMN archived_sessions.fingerprints IS
    'The first 8 bytes of each one''s fingerprint, in the same order: a request that is sent again is '
    'known. Empty: its owner was erased.';
COMMENT ON COLUMN archived_sessions.failed_seqs IS
    'Those of seqs whose session failed; return_seqs: the movements that gave them back; causes: the '
    'error codes, in the same order.';

CREATE TABLE archived_accounts (
    account_id bigint PRIMARY KEY,
    seq bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE archived_accounts IS
    'Up to where an account''s ledger was looked through for sessions to archive.';

CREATE TABLE archiving (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_archiving CHECK (only_row),
    seed bigint NOT NULL
        DEFAULT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
    walked_to bigint NOT NULL DEFAULT 0,
    whole_at timestamptz,
    held_until timestamptz,
    holder uuid,
    account_ids bigint[] NOT NULL DEFAULT '{}',
    after_seqs bigint[] NOT NULL DEFAULT '{}',
    until_seqs bigint[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE archiving IS
    'How far archiving is, and the piece under way: whoever takes it up again makes the same file.';
COMMENT ON COLUMN archiving.seed IS
    'Of the fingerprints in session_archives: drawn once, as what was summed up is not there to be '
    'summed up again.';
COMMENT ON COLUMN archiving.walked_to IS
    'The account that the walk over all of them came to.';
COMMENT ON COLUMN archiving.whole_at IS
    'When a walk was last finished.';
COMMENT ON COLUMN archiving.holder IS
    'The process whose turn it is, until held_until.';
COMMENT ON COLUMN archiving.account_ids IS
    'Of the piece under way; its movements are those after after_seqs, up to until_seqs. Empty: there is '
    'none.';
