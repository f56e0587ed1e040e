-- Which storecredit this database was last migrated by, and where outside callers find it; one row.

CREATE TABLE schema_version (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_row CHECK (only_row),
    migration text NOT NULL,
    fingerprint text NOT NULL,
    interface text,
    migrated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_version IS
    'The newest migration applied, and a hash of all SQL applied with it.';
COMMENT ON COLUMN schema_version.interface IS
    'The schema with the views and functions for outside callers; null: there are none.';
