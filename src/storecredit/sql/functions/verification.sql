-- What the last verification came to, for those who watch the service.

CREATE OR REPLACE FUNCTION record_verification(
    p_verified_at timestamptz,
    p_discrepancies int
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: keep when everything was recomputed from the ledgers, and how much did not agree.
-- Locks: the one row. Idempotent: of several runs the one that looked last is kept, in whatever
--   order they are recorded.
-- Outcomes: true: this run or a newer one is kept. false: the database is read-only (a standby),
--   nothing was written.
-- Errors: a check of the table, if p_discrepancies is below 0.
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN false;
    END IF;
    INSERT INTO last_verification AS last (verified_at, discrepancies)
    VALUES (p_verified_at, p_discrepancies)
    ON CONFLICT (only_row) DO UPDATE
    SET verified_at = excluded.verified_at, discrepancies = excluded.discrepancies
    WHERE excluded.verified_at >= last.verified_at;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION record_verification(timestamptz, int) IS
    'Keeps the moment and the number of discrepancies of the last verification. '
    'false: the database is read-only.';
