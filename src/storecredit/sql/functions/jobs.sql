-- The one place that knows how a job goes into PgQueuer's table. The library's own statement
-- writes a line of its log for every job besides, with five index entries: a third of what the
-- rest of a generation costs, for figures that nobody here reads.

CREATE OR REPLACE FUNCTION enqueue_jobs(p_entrypoint text, p_keys text[], p_payloads bytea[])
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: add jobs in the caller's transaction; none is made while a job of the same key lives.
-- Locks: none. Idempotent by key, as long as the job lives.
    INSERT INTO pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    SELECT 0, p_entrypoint, j.payload, j.key, 'queued'
    FROM unnest(p_keys, p_payloads) AS j (key, payload)
    ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
        DO NOTHING;
$$;
COMMENT ON FUNCTION enqueue_jobs(text, text[], bytea[]) IS
    'Adds jobs in the caller''s transaction; one whose key has a living job is left out.';
