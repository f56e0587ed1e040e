-- Which storecredit this database was last migrated by; one row.
-- depends: 0003_generation

CREATE TABLE storecredit_schema (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_row CHECK (only_row),
    migration text NOT NULL,
    fingerprint text NOT NULL,
    migrated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE storecredit_schema IS
    'The newest migration applied, and a hash of all SQL applied with it.';
