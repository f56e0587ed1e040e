-- What was there of all that is ours, once the last migration had made it right.

ALTER TABLE schema_version ADD COLUMN shape text;
COMMENT ON COLUMN schema_version.shape IS
    'A hash of what there was when it was migrated: owners, rights, functions, keys.';
