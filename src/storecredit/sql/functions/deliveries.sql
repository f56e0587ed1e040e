-- Deliveries: which of them are due, and what came of an attempt. delivery_upkeep.sql ends and forgets them.
--
-- Whoever sends takes deliveries by lease: until the lease runs out nobody else does, and if what came
-- of it was not recorded by then, it is sent again. Locks are taken in one order, endpoints before their
-- deliveries, each ascending; who takes deliveries waits for no lock at all.
-- What was found and locked is updated by its ctid, as in sessions.sql.

CREATE OR REPLACE FUNCTION take_deliveries(
    p_limit int, p_share int, p_failing_share int, p_lease interval, p_after uuid,
    p_endpoint_ids uuid[], p_under_way int[]
)
RETURNS TABLE (
    endpoint_id uuid, seq bigint, attempts int, retries int, is_ordered boolean, is_failing boolean,
    url text, secrets bytea[], configured_at timestamptz, event_id uuid, type text,
    created_at timestamptz, data json, owner_kind text, owner_id uuid)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: lease deliveries that are due, p_limit at most: of each endpoint p_share at most, or
--   p_failing_share if its last attempt failed, less what the caller has under way of it (a place per
--   endpoint in the last two arrays). Endpoints come by their ids, from the one after p_after on.
--   Those of an ordered endpoint come in the order of their events, and nobody is given any more of it
--   before the lease runs out or is ended. Locks: what it takes; what is locked is passed over.
-- Returns: all that an attempt needs, the secrets newest first. configured_at: when the endpoint's owner
--   changed it last. owner_kind null: nobody's event.
DECLARE
    v_now timestamptz := clock_timestamp();
    v_endpoint record;
    v_seqs bigint[];
    v_taken_endpoints uuid[] := '{}';
    v_taken_seqs bigint[] := '{}';
    v_room int;
BEGIN
    FOR v_endpoint IN
        -- Most of those that fail wait for their next attempt: each costs one look into the index.
        SELECT p.endpoint_id, e.is_ordered, e.failing_since IS NOT NULL AS is_failing
        FROM endpoints_with_pending(coalesce(p_after, '00000000-0000-0000-0000-000000000000')) p
        CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints x
            WHERE x.endpoint_id = p.endpoint_id LIMIT 1) e
        WHERE p.next_attempt_at <= v_now AND e.status = 'enabled'
          AND (e.is_ordered AND e.resumes_at > v_now) IS NOT TRUE
    LOOP
        v_room := least(p_limit - cardinality(v_taken_seqs),
            CASE WHEN v_endpoint.is_failing THEN p_failing_share ELSE p_share END
            - coalesce(p_under_way[array_position(p_endpoint_ids, v_endpoint.endpoint_id)], 0));
        CONTINUE WHEN v_room <= 0;
        v_seqs := CASE WHEN v_endpoint.is_ordered
            THEN lease_endpoint(v_endpoint.endpoint_id, v_room, p_lease)
            ELSE lease_due(v_endpoint.endpoint_id, v_room, p_lease) END;
        v_taken_endpoints := v_taken_endpoints
            || array_fill(v_endpoint.endpoint_id, ARRAY[cardinality(v_seqs)]);
        v_taken_seqs := v_taken_seqs || v_seqs;
        EXIT WHEN cardinality(v_taken_seqs) >= p_limit;
    END LOOP;
    RETURN QUERY
    SELECT d.endpoint_id, d.seq, d.attempts, d.retries, e.is_ordered, e.failing_since IS NOT NULL,
        e.url, ARRAY(SELECT s.secret FROM webhook_secrets s
            WHERE s.endpoint_id = d.endpoint_id AND (s.expires_at > now()) IS NOT FALSE
            ORDER BY s.endpoint_id, s.created_at DESC),
        e.updated_at, v.event_id, v.type, coalesce(v.happened_at, v.created_at), v.data,
        coalesce(a.owner_kind, v.owner_kind), coalesce(a.owner_id, v.owner_id)
    FROM unnest(v_taken_endpoints, v_taken_seqs) WITH ORDINALITY AS t (endpoint_id, seq, n)
    CROSS JOIN LATERAL (SELECT * FROM deliveries x
        WHERE x.endpoint_id = t.endpoint_id AND x.seq = t.seq LIMIT 1) d
    CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints x
        WHERE x.endpoint_id = t.endpoint_id LIMIT 1) e
    CROSS JOIN LATERAL (SELECT * FROM events x WHERE x.seq = t.seq LIMIT 1) v
    LEFT JOIN LATERAL (SELECT * FROM accounts x WHERE x.account_id = v.account_id LIMIT 1) a ON true
    ORDER BY t.n;
END;
$$;
COMMENT ON FUNCTION take_deliveries(int, int, int, interval, uuid, uuid[], int[]) IS
    'Leases deliveries that are due, with all that an attempt at each needs.';

CREATE OR REPLACE FUNCTION lease_due(p_endpoint_id uuid, p_limit int, p_lease interval)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: lease the deliveries of an endpoint that are due, the longest due first. Locks: those; what
--   is locked is passed over. Returns: their events.
DECLARE
    v_now timestamptz := clock_timestamp();
    v_found record;
BEGIN
    SELECT coalesce(array_agg(d.row_id), '{}') AS row_ids, coalesce(array_agg(d.seq), '{}') AS seqs
    INTO v_found
    FROM (
        SELECT x.ctid AS row_id, x.seq FROM deliveries x
        WHERE x.endpoint_id = p_endpoint_id AND x.next_attempt_at <= v_now
        ORDER BY x.endpoint_id, x.next_attempt_at, x.seq LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED) d;
    UPDATE deliveries d SET next_attempt_at = v_now + p_lease WHERE d.ctid = ANY (v_found.row_ids);
    RETURN v_found.seqs;
END;
$$;
COMMENT ON FUNCTION lease_due(uuid, int, interval) IS
    'Leases the deliveries of an endpoint that are due.';

CREATE OR REPLACE FUNCTION lease_endpoint(p_endpoint_id uuid, p_limit int, p_lease interval)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: lease an ordered endpoint, with its next deliveries in the order of their events. Locks: the
--   endpoint; if it is locked it is passed over. Returns: their events.
DECLARE
    v_now timestamptz := clock_timestamp();
    v_row tid;
BEGIN
    SELECT e.ctid INTO v_row FROM webhook_endpoints e
    WHERE e.endpoint_id = p_endpoint_id AND e.status = 'enabled' AND e.is_ordered
      AND (e.resumes_at > v_now) IS NOT TRUE
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    UPDATE webhook_endpoints e SET resumes_at = v_now + p_lease WHERE e.ctid = v_row;
    -- What was told, or attempted, while it became an ordered one may say itself when it is due.
    UPDATE deliveries d SET next_attempt_at = '-infinity'
    WHERE d.ctid = ANY (ARRAY(
        SELECT x.ctid FROM deliveries x
        WHERE x.endpoint_id = p_endpoint_id AND x.next_attempt_at > '-infinity'
        FOR NO KEY UPDATE SKIP LOCKED));
    RETURN ARRAY(
        SELECT d.seq FROM deliveries d
        WHERE d.endpoint_id = p_endpoint_id AND d.next_attempt_at <= v_now
        ORDER BY d.endpoint_id, d.next_attempt_at, d.seq LIMIT p_limit);
END;
$$;
COMMENT ON FUNCTION lease_endpoint(uuid, int, interval) IS
    'Leases an ordered endpoint with its next deliveries.';

CREATE OR REPLACE FUNCTION record_attempts(
    p_endpoint_ids uuid[], p_seqs bigint[], p_attempted_at timestamptz[], p_milliseconds int[],
    p_status_codes int[], p_errors text[], p_answers text[], p_outcomes text[], p_retries int[],
    p_waits interval[], p_resumes interval[], p_configured_at timestamptz[]
) RETURNS text[]
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: write down attempts and what follows from each: p_outcomes is delivered | retry (after
--   p_waits) | failed | gone (the receiver wants no more, so the endpoint is disabled). p_retries: how
--   many had failed before it. p_resumes: this attempt ends the lease of an ordered endpoint, which resumes
--   after so long. p_configured_at: of the endpoint that was asked. A delivery may have several attempts.
--   One that has ended stays so, but that what was given up can turn out to be delivered; one sent anew
--   meanwhile stays due, however an attempt failed that was begun before.
-- Locks: the endpoints, then the deliveries, each ascending. Idempotent: an attempt is known by its
--   delivery and moment. Returns, per item: recorded | disabled (recorded, and the endpoint was disabled
--   by it, or by another of its attempts in the batch) | replayed | unknown.
DECLARE v record;
BEGIN
    PERFORM lock_deliveries(p_endpoint_ids, p_seqs);
    p_outcomes := outcomes_by_now(p_outcomes, p_endpoint_ids, p_configured_at);
    SELECT array_agg(d.row_id ORDER BY n) AS rows, array_agg(d.is_known ORDER BY n) AS known,
        array_agg(d.attempt ORDER BY n) AS attempts, array_agg(d.is_past ORDER BY n) AS past,
        array_agg(CASE WHEN d.is_past OR d.status <> 'pending' AND p_outcomes[n] <> 'delivered'
                THEN d.status
            WHEN p_outcomes[n] = 'retry' THEN 'pending' WHEN p_outcomes[n] = 'gone' THEN 'failed'
            ELSE p_outcomes[n] END ORDER BY n) AS statuses,
        array_agg(CASE WHEN d.is_past AND p_resumes[n] IS NOT NULL THEN interval '0'
            ELSE p_resumes[n] END ORDER BY n) AS resumes
    INTO v
    FROM (
        SELECT n, x.row_id, x.status, x.is_known,
            x.retries < p_retries[n] AND p_outcomes[n] IN ('retry', 'failed') AS is_past,
            x.attempts + row_number() OVER (PARTITION BY x.row_id, x.is_known
                ORDER BY p_attempted_at[n], n) AS attempt
        FROM generate_subscripts(p_seqs, 1) AS n
        LEFT JOIN LATERAL (
            SELECT y.ctid AS row_id, y.attempts, y.retries, y.status, EXISTS (
                SELECT FROM delivery_attempts a WHERE a.endpoint_id = y.endpoint_id
                  AND a.seq = y.seq AND a.attempted_at = p_attempted_at[n]) AS is_known
            FROM deliveries y WHERE y.endpoint_id = p_endpoint_ids[n] AND y.seq = p_seqs[n] LIMIT 1
        ) x ON true) d;
    INSERT INTO delivery_attempts (endpoint_id, seq, attempt, attempted_at, milliseconds, status_code,
        error, answer)
    SELECT p_endpoint_ids[n], p_seqs[n], v.attempts[n], p_attempted_at[n], p_milliseconds[n],
        p_status_codes[n], p_errors[n], p_answers[n]
    FROM generate_subscripts(p_seqs, 1) AS n WHERE v.known[n] IS FALSE;
    UPDATE deliveries d
    SET attempts = i.attempts, retries = d.retries + i.failures, status = i.status,
        ended_at = CASE WHEN i.status <> 'pending' THEN coalesce(d.ended_at, now()) END,
        -- Of those of an ordered endpoint, which wait for nothing, it says when it resumes.
        next_attempt_at = CASE WHEN i.status = 'pending' THEN CASE WHEN i.is_past
            THEN d.next_attempt_at ELSE coalesce(now() + i.wait, '-infinity') END END
    FROM (
        SELECT DISTINCT ON (v.rows[n]) v.rows[n] AS row_id, v.statuses[n] AS status,
            v.past[n] AS is_past, p_waits[n] AS wait, max(v.attempts[n]) OVER of_one AS attempts,
            count(*) FILTER (WHERE p_outcomes[n] <> 'delivered' AND NOT v.past[n]) OVER of_one
                AS failures
        FROM generate_subscripts(p_seqs, 1) AS n WHERE v.known[n] IS FALSE
        WINDOW of_one AS (PARTITION BY v.rows[n])
        ORDER BY v.rows[n], p_outcomes[n] = 'delivered' DESC, v.past[n], p_attempted_at[n] DESC) i
    WHERE d.ctid = i.row_id;
    RETURN follow_attempts(p_endpoint_ids, p_attempted_at, p_outcomes, v.resumes, v.known);
END;
$$;
COMMENT ON FUNCTION record_attempts(
    uuid[], bigint[], timestamptz[], int[], int[], text[], text[], text[], int[], interval[],
    interval[], timestamptz[]) IS
    'Writes down attempts at deliveries, and what follows from each: recorded, disabled, replayed or '
    'unknown.';

CREATE OR REPLACE FUNCTION lock_deliveries(p_endpoint_ids uuid[], p_seqs bigint[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: wait for these deliveries, and before them for their endpoints. Locks: each ascending.
BEGIN
    PERFORM FROM (SELECT DISTINCT i.id FROM unnest(p_endpoint_ids) i (id) ORDER BY i.id) i
    CROSS JOIN LATERAL (SELECT FROM webhook_endpoints e
        WHERE e.endpoint_id = i.id LIMIT 1 FOR NO KEY UPDATE) e;
    PERFORM FROM (
        SELECT DISTINCT i.endpoint_id, i.seq
        FROM unnest(p_endpoint_ids, p_seqs) i (endpoint_id, seq) ORDER BY i.endpoint_id, i.seq) i
    CROSS JOIN LATERAL (SELECT FROM deliveries d
        WHERE d.endpoint_id = i.endpoint_id AND d.seq = i.seq LIMIT 1 FOR NO KEY UPDATE) d;
END;
$$;
COMMENT ON FUNCTION lock_deliveries(uuid[], bigint[]) IS
    'Waits for deliveries, and before them for their endpoints, each ascending.';

CREATE OR REPLACE FUNCTION outcomes_by_now(
    p_outcomes text[], p_endpoint_ids uuid[], p_configured_at timestamptz[]
)
RETURNS text[]
LANGUAGE plpgsql
AS $$
-- Purpose: what attempts mean for their endpoints as these are now. One whose owner has moved it, or
--   enabled it again, is not gone because the one before was: it is asked again, at once.
-- Locks: the caller holds the endpoints'.
BEGIN
    IF 'gone' <> ALL (p_outcomes) THEN
        RETURN p_outcomes;
    END IF;
    RETURN ARRAY(
        SELECT CASE WHEN p_outcomes[n] = 'gone' AND EXISTS (
                SELECT FROM webhook_endpoints e
                WHERE e.endpoint_id = p_endpoint_ids[n] AND e.updated_at <> p_configured_at[n])
            THEN 'retry' ELSE p_outcomes[n] END
        FROM generate_subscripts(p_outcomes, 1) AS n ORDER BY n);
END;
$$;
COMMENT ON FUNCTION outcomes_by_now(text[], uuid[], timestamptz[]) IS
    'What attempts mean for their endpoints as these are now.';

CREATE OR REPLACE FUNCTION follow_attempts(
    p_endpoint_ids uuid[], p_attempted_at timestamptz[], p_outcomes text[], p_resumes interval[],
    p_known boolean[]
)
RETURNS text[]
LANGUAGE plpgsql
AS $$
-- Purpose: what attempts just written down mean for their endpoints: since when each fails, when an
--   ordered one resumes, and that one which is gone, or has failed for five days, is disabled.
--   Locks: the caller holds the endpoints'. Returns, per item, what record_attempts does.
DECLARE
    v record;
    v_disabled uuid[] := '{}';
BEGIN
    FOR v IN
        SELECT e.endpoint_id, e.status, e.failing_since, e.resumes_at, i.is_gone, i.resumes,
            CASE WHEN i.delivered_at IS NULL AND ((e.failing_since > now() - interval '5 days')
                IS NOT FALSE OR was_asked_before(e.endpoint_id, i.at))
                THEN coalesce(e.failing_since, i.failed_at) ELSE i.failed_at END AS now_failing_since
        FROM (
            SELECT t.endpoint_id, t.delivered_at, bool_or(t.outcome = 'gone') AS is_gone,
                -- Made just now, though the clock of whoever made them may be days behind.
                min(greatest(t.at, now() - interval '1 minute')) FILTER (
                    WHERE t.outcome <> 'delivered' AND (t.at > t.delivered_at) IS NOT FALSE)
                    AS failed_at, min(t.at) AS at,
                (array_agg(t.resumes ORDER BY t.at DESC) FILTER (WHERE t.resumes IS NOT NULL))[1]
                    AS resumes
            FROM (
                SELECT p_endpoint_ids[n] AS endpoint_id, p_attempted_at[n] AS at,
                    p_outcomes[n] AS outcome, p_resumes[n] AS resumes,
                    max(p_attempted_at[n]) FILTER (WHERE p_outcomes[n] = 'delivered')
                        OVER (PARTITION BY p_endpoint_ids[n]) AS delivered_at
                FROM generate_subscripts(p_endpoint_ids, 1) AS n WHERE p_known[n] IS FALSE) t
            GROUP BY t.endpoint_id, t.delivered_at) i
        CROSS JOIN LATERAL (SELECT * FROM webhook_endpoints x
            WHERE x.endpoint_id = i.endpoint_id LIMIT 1) e
        ORDER BY e.endpoint_id
    LOOP
        IF v.now_failing_since IS DISTINCT FROM v.failing_since OR v.resumes IS NOT NULL THEN
            UPDATE webhook_endpoints e
            SET failing_since = v.now_failing_since,
                resumes_at = CASE WHEN v.resumes IS NULL THEN e.resumes_at
                    WHEN v.resumes > interval '0' THEN now() + v.resumes END
            WHERE e.endpoint_id = v.endpoint_id;
        END IF;
        IF v.status = 'enabled' AND (v.is_gone OR v.now_failing_since <= now() - interval '5 days') THEN
            PERFORM give_endpoint_up(v.endpoint_id, CASE WHEN v.is_gone THEN 'gone' ELSE 'failing' END);
            v_disabled := v_disabled || v.endpoint_id;
        END IF;
    END LOOP;
    RETURN ARRAY(SELECT CASE WHEN p_known[n] THEN 'replayed' WHEN p_known[n] IS NULL THEN 'unknown'
        WHEN p_endpoint_ids[n] = ANY (v_disabled) THEN 'disabled' ELSE 'recorded' END
        FROM generate_subscripts(p_known, 1) AS n ORDER BY n);
END;
$$;
COMMENT ON FUNCTION follow_attempts(uuid[], timestamptz[], text[], interval[], boolean[]) IS
    'What attempts just written down mean for their endpoints. Returns what came of each.';

CREATE OR REPLACE FUNCTION was_asked_before(p_endpoint_id uuid, p_at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether there was an attempt at an endpoint in the day before one at p_at. What failed long ago,
--   with nothing to tell it since, has not failed all the while; attempts at a delivery are at most
--   some 14 hours apart. Locks: none.
    SELECT EXISTS (SELECT FROM delivery_attempts a
        WHERE a.endpoint_id = p_endpoint_id
          AND a.attempted_at < p_at AND a.attempted_at >= p_at - interval '1 day');
$$;
COMMENT ON FUNCTION was_asked_before(uuid, timestamptz) IS
    'Whether there was an attempt at an endpoint in the day before.';

CREATE OR REPLACE FUNCTION give_endpoint_up(p_endpoint_id uuid, p_reason text)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: disable an endpoint that nothing can be delivered to, and tell the others of its owner, and
--   the operator's. What it was still to be told is ended by end_undeliverable. Locks: the caller holds
--   the endpoint's.
DECLARE
    v_account_id bigint;
BEGIN
    UPDATE webhook_endpoints e
    SET status = 'disabled', disabled_at = now(), disabled_reason = p_reason, updated_at = now()
    WHERE e.endpoint_id = p_endpoint_id
    RETURNING nullif(e.account_id, 0) INTO v_account_id;
    PERFORM tell(ARRAY['endpoint.disabled'], ARRAY[v_account_id],
        ARRAY[json_build_object('endpoint_id', p_endpoint_id, 'reason', p_reason)],
        p_but => p_endpoint_id);
END;
$$;
COMMENT ON FUNCTION give_endpoint_up(uuid, text) IS
    'Disables an endpoint that nothing can be delivered to, and tells the others.';
