-- What the last verification came to, for those who watch the service.

CREATE OR REPLACE FUNCTION record_verification(
    p_verified_at timestamptz,
    p_discrepancies int,
    p_settled_movements bigint
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: keep when everything was recomputed from the ledger, how much did not agree, and how many
--   movements there were from before; null: what was kept of that stays, since some are missing.
-- Locks: the one row. Idempotent: of several runs the one that looked last is kept, in whatever
--   order they are recorded.
-- Outcomes: true: this run or a newer one is kept. false: the database is read-only (a standby),
--   nothing was written.
-- Errors: a check of the table, if p_discrepancies is below 0.
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN false;
    END IF;
    INSERT INTO last_verification AS last
        (verified_at, discrepancies, settled_at, settled_movements)
    VALUES (p_verified_at, p_discrepancies,
        CASE WHEN p_settled_movements IS NOT NULL THEN p_verified_at END, p_settled_movements)
    ON CONFLICT (only_row) DO UPDATE
    SET verified_at = excluded.verified_at,
        discrepancies = excluded.discrepancies,
        settled_at = coalesce(excluded.settled_at, last.settled_at),
        settled_movements = coalesce(excluded.settled_movements, last.settled_movements)
    WHERE excluded.verified_at >= last.verified_at;
    PERFORM tell(ARRAY['verify.failed'], ARRAY[NULL::bigint],
        ARRAY[json_build_object('verified_at', in_utc(p_verified_at),
            'discrepancies', p_discrepancies)])
    WHERE p_discrepancies > 0;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION record_verification(timestamptz, int, bigint) IS
    'Keeps the moment, the discrepancies and the number of movements of the last verification. '
    'false: the database is read-only.';
