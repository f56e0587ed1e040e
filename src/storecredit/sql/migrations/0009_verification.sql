-- When the ledgers were last proven, and what came out; one row.
-- depends: 0008_hot_updates

CREATE TABLE last_verification (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_verification CHECK (only_row),
    verified_at timestamptz NOT NULL,
    discrepancies int NOT NULL CHECK (discrepancies >= 0)
);
COMMENT ON TABLE last_verification IS
    'The moment that the last verify looked at, and how many discrepancies it found.';
