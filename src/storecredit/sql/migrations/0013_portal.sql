-- What a store does with its own keys and settings stands in the audit log, too.

ALTER TABLE audit_log DROP CONSTRAINT door_is_known;
ALTER TABLE audit_log ADD CONSTRAINT door_is_known
    CHECK (door IN ('api', 'command', 'console', 'portal'));
COMMENT ON COLUMN audit_log.actor IS
    'Who: the name of an admin token, the name that a command was given (else the login''s), or who signed '
    'a store in to its portal (store: it did so itself).';
COMMENT ON COLUMN audit_log.door IS
    'How they came in: by the API, a command, the console, or the portal of a store.';
