-- Webhook endpoints: the only door through which they and their secrets change, and by which what was
-- told is told again. An endpoint is found by its owner's account (0: the operator) and its id: another
-- owner's is as absent as an unknown one. Deliveries themselves are made elsewhere.

CREATE OR REPLACE FUNCTION create_webhook_endpoint(
    p_account_id bigint,
    p_endpoint_id uuid,
    p_secret bytea,
    p_url text,
    p_event_types text[],
    p_description text DEFAULT '',
    p_is_ordered boolean DEFAULT false,
    p_endpoints_max int DEFAULT 10
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: have an owner's events of these types sent to a URL, from now on, signed with the secret.
-- Locks: the owner's list of endpoints, so that of several that come at once none is one too many.
--   Idempotency: none; an endpoint id is used once (unique_violation).
-- Outcomes: created | full (the owner has as many as it may have; nothing was written).
-- Errors: check_violation for a value of the wrong length.
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('webhook_endpoints:' || p_account_id, 0));
    -- In a statement of its own: it sees what was committed while the lock was waited for.
    IF (SELECT count(*) FROM webhook_endpoints e
            WHERE e.account_id = p_account_id) >= p_endpoints_max THEN
        RETURN 'full';
    END IF;
    INSERT INTO webhook_endpoints
        (endpoint_id, account_id, url, event_types, description, is_ordered)
    VALUES
        (p_endpoint_id, p_account_id, p_url, p_event_types, p_description, p_is_ordered);
    INSERT INTO webhook_secrets (endpoint_id, secret) VALUES (p_endpoint_id, p_secret);
    RETURN 'created';
END;
$$;
COMMENT ON FUNCTION create_webhook_endpoint(
    bigint, uuid, bytea, text, text[], text, boolean, int) IS
    'Makes a webhook endpoint with its secret. created, or full: the owner has as many as it may '
    'have. Not idempotent.';

CREATE OR REPLACE FUNCTION update_webhook_endpoint(
    p_account_id bigint,
    p_endpoint_id uuid,
    p_url text DEFAULT NULL,
    p_event_types text[] DEFAULT NULL,
    p_description text DEFAULT NULL,
    p_is_ordered boolean DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: change what is given of an endpoint; null leaves as it was. What waits for it goes to its new
--   URL; other types count for what happens from now on.
-- Locks: the endpoint. Idempotent.
-- Outcomes: true: changed; false: the owner has no such endpoint.
-- Errors: check_violation for a value of the wrong length.
DECLARE
    v_was_ordered boolean;
BEGIN
    SELECT e.is_ordered INTO v_was_ordered FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE webhook_endpoints e
    SET url = coalesce(p_url, e.url),
        event_types = coalesce(p_event_types, e.event_types),
        description = coalesce(p_description, e.description),
        is_ordered = coalesce(p_is_ordered, e.is_ordered),
        resumes_at = CASE WHEN p_is_ordered = NOT e.is_ordered THEN NULL ELSE e.resumes_at END,
        updated_at = now()
    WHERE e.endpoint_id = p_endpoint_id;
    -- What of an ordered one is due, the endpoint says; of another each delivery by itself.
    UPDATE deliveries d
    SET next_attempt_at = CASE WHEN p_is_ordered THEN '-infinity' ELSE now() END
    WHERE p_is_ordered = NOT v_was_ordered AND d.endpoint_id = p_endpoint_id
      AND d.next_attempt_at IS NOT NULL;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION update_webhook_endpoint(bigint, uuid, text, text[], text, boolean) IS
    'Changes what is given of a webhook endpoint (null: unchanged). false: no such endpoint. Idempotent.';

CREATE OR REPLACE FUNCTION set_webhook_endpoint_status(
    p_account_id bigint, p_endpoint_id uuid, p_status text
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: stop sending to an endpoint (disabled), or begin again (enabled), with a clean slate. What waits
--   for it, and what happens while it is disabled, is given up, by the time it is enabled: that can be resent.
-- Locks: the endpoint, then what waited for it. Idempotent: one that has this status stays as it is.
-- Outcomes: true: it has this status, now or before; false: the owner has no such endpoint.
-- Errors: check_violation for an unknown status.
BEGIN
    UPDATE webhook_endpoints e
    SET status = p_status,
        disabled_at = CASE p_status WHEN 'disabled' THEN now() END,
        disabled_reason = CASE p_status WHEN 'disabled' THEN 'requested' END,
        failing_since = NULL,
        resumes_at = NULL,
        updated_at = now()
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id AND e.status <> p_status;
    IF NOT FOUND THEN
        RETURN EXISTS (
            SELECT FROM webhook_endpoints e
            WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id);
    END IF;
    -- What end_undeliverable has not come to since it was disabled.
    UPDATE deliveries d SET status = 'failed', ended_at = now(), next_attempt_at = NULL
    WHERE p_status = 'enabled' AND d.endpoint_id = p_endpoint_id AND d.next_attempt_at IS NOT NULL;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION set_webhook_endpoint_status(bigint, uuid, text) IS
    'Enables or disables a webhook endpoint. false: no such endpoint. Idempotent.';

CREATE OR REPLACE FUNCTION delete_webhook_endpoint(p_account_id bigint, p_endpoint_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: remove an endpoint and its secrets, for ever. Its deliveries are nobody's from then on: they
--   are neither sent nor shown, and forgotten with their events.
-- Locks: the endpoint. Idempotent but for its answer.
-- Outcomes: true: deleted; false: the owner has no such endpoint.
BEGIN
    DELETE FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION delete_webhook_endpoint(bigint, uuid) IS
    'Removes a webhook endpoint and its secrets. false: no such endpoint.';

CREATE OR REPLACE FUNCTION rotate_webhook_secret(
    p_account_id bigint,
    p_endpoint_id uuid,
    p_secret bytea,
    p_overlap_seconds int,
    p_secrets_max int DEFAULT 5,
    OUT outcome text,
    OUT previous_expires_at timestamptz
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: sign with a new secret from now on, and with those before it besides until the overlap is over
--   (0 or less: no longer); none of them lasts longer than it would have.
-- Locks: the endpoint, so that one secret comes after the other. Idempotency: none.
-- Outcomes: rotated, with when the one before ends | not_found | full (so many secrets are valid that a
--   further one has to wait, until then, or for a shorter overlap; nothing was written).
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    v_now := clock_timestamp();
    previous_expires_at := v_now + make_interval(secs => greatest(p_overlap_seconds, 0));
    DELETE FROM webhook_secrets s
    WHERE s.endpoint_id = p_endpoint_id
      AND least(s.expires_at, previous_expires_at) <= v_now;
    IF (SELECT count(*) FROM webhook_secrets s
            WHERE s.endpoint_id = p_endpoint_id) >= p_secrets_max THEN
        outcome := 'full';
        previous_expires_at := (
            SELECT min(s.expires_at) FROM webhook_secrets s WHERE s.endpoint_id = p_endpoint_id);
        RETURN;
    END IF;
    UPDATE webhook_secrets s SET expires_at = least(s.expires_at, previous_expires_at)
    WHERE s.endpoint_id = p_endpoint_id;
    INSERT INTO webhook_secrets (endpoint_id, created_at, secret)
    VALUES (p_endpoint_id, v_now, p_secret);
    outcome := 'rotated';
END;
$$;
COMMENT ON FUNCTION rotate_webhook_secret(bigint, uuid, bytea, int, int) IS
    'Replaces the secret of a webhook endpoint; the ones before it sign along until the overlap is '
    'over. rotated, not_found, or full. Not idempotent.';

CREATE OR REPLACE FUNCTION webhook_secret_signs(p_account_id bigint, p_endpoint_id uuid, p_secret bytea)
RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: whether what an endpoint is told is signed with a secret that the caller knows. Nobody can have a
--   secret told: it has 256 random bits. Locks: none.
BEGIN
    RETURN EXISTS (
        SELECT FROM webhook_endpoints e JOIN webhook_secrets s ON s.endpoint_id = e.endpoint_id
        WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id
          AND coalesce(s.expires_at, 'infinity') > now() AND s.secret = p_secret);
END;
$$;
COMMENT ON FUNCTION webhook_secret_signs(bigint, uuid, bytea) IS
    'Whether what a webhook endpoint is told is signed with this secret, too.';

CREATE OR REPLACE FUNCTION test_webhook_endpoint(
    p_account_id bigint, p_endpoint_id uuid, OUT outcome text, OUT event_id uuid
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: tell one endpoint, and no other, of an event of the type webhook.test, whatever types it hears.
-- Locks: the endpoint, that it is not disabled meanwhile. Idempotency: none.
-- Outcomes: told, with the event | not_found | disabled (nothing was written).
DECLARE
    v_is_ordered boolean;
    v_seq bigint;
BEGIN
    SELECT e.is_ordered, CASE e.status WHEN 'enabled' THEN 'told' ELSE 'disabled' END
    INTO v_is_ordered, outcome
    FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id FOR SHARE;
    IF outcome IS DISTINCT FROM 'told' THEN
        outcome := coalesce(outcome, 'not_found');
        RETURN;
    END IF;
    INSERT INTO events AS e (account_id, type, data)
    VALUES (nullif(p_account_id, 0), 'webhook.test',
        json_build_object('endpoint_id', p_endpoint_id))
    RETURNING e.seq, e.event_id INTO v_seq, event_id;
    INSERT INTO deliveries (endpoint_id, seq, next_attempt_at)
    VALUES (p_endpoint_id, v_seq, CASE WHEN v_is_ordered THEN '-infinity' ELSE now() END);
END;
$$;
COMMENT ON FUNCTION test_webhook_endpoint(bigint, uuid) IS
    'Tells one webhook endpoint of a test event. told with the event, not_found, or disabled.';

CREATE OR REPLACE FUNCTION resend_delivery(
    p_account_id bigint, p_endpoint_id uuid, p_event_id uuid, p_lease interval
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: send one event to an endpoint again, or at last, at once: whatever became of it so far. Its
--   retries begin anew. An ordered endpoint that waits after a failure resumes within p_lease, for as
--   long as an attempt may be under way.
-- Locks: the endpoint, that it is not disabled meanwhile, and the delivery. Idempotent.
-- Outcomes: pending | not_found (no such endpoint, or the event was not to be told it, or is forgotten) |
--   disabled (nothing changed).
DECLARE
    v_endpoint record;
BEGIN
    SELECT e.status, e.is_ordered INTO v_endpoint FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id FOR NO KEY UPDATE;
    IF v_endpoint.status = 'disabled' THEN
        RETURN 'disabled';
    END IF;
    UPDATE deliveries d
    SET status = 'pending', ended_at = NULL, retries = 0,
        next_attempt_at = CASE WHEN v_endpoint.is_ordered THEN '-infinity' ELSE now() END
    WHERE v_endpoint.status = 'enabled' AND d.endpoint_id = p_endpoint_id
      AND d.seq = (SELECT e.seq FROM events e WHERE e.event_id = p_event_id);
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    UPDATE webhook_endpoints e SET resumes_at = now() + p_lease
    WHERE e.endpoint_id = p_endpoint_id AND e.resumes_at > now() + p_lease;
    RETURN 'pending';
END;
$$;
COMMENT ON FUNCTION resend_delivery(bigint, uuid, uuid, interval) IS
    'Sends one event to a webhook endpoint again, at once. pending, not_found, or disabled. Idempotent.';

CREATE OR REPLACE FUNCTION resend_deliveries(
    p_account_id bigint,
    p_endpoint_id uuid,
    p_since timestamptz,
    p_statuses text[],
    p_after bigint,
    p_max int,
    OUT outcome text,
    OUT resent bigint,
    OUT last_seq bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: send to an endpoint again what happened at p_since or later and has ended as one of these
--   statuses (delivered, failed), the oldest first, p_max at most and only beyond the seq p_after.
-- Locks: the endpoint, that it is not disabled meanwhile, and the deliveries. What is pending stays as it
--   is, so the same call again changes little.
-- Outcomes: pending, with how many there were, and the seq after which to go on (null: all are done) |
--   not_found | disabled (nothing changed).
DECLARE
    v_is_ordered boolean;
    v_chosen record;
    v_first CONSTANT bigint := first_event_since(p_since);
BEGIN
    SELECT e.is_ordered, CASE e.status WHEN 'enabled' THEN 'pending' ELSE 'disabled' END
    INTO v_is_ordered, outcome
    FROM webhook_endpoints e
    WHERE e.account_id = p_account_id AND e.endpoint_id = p_endpoint_id FOR SHARE;
    outcome := coalesce(outcome, 'not_found');
    IF outcome <> 'pending' THEN
        RETURN;
    END IF;
    SELECT array_agg(x.row_id) AS row_ids, count(*) AS count, max(x.seq) AS last INTO v_chosen
    FROM (
        SELECT d.ctid AS row_id, d.seq FROM deliveries d
        WHERE d.endpoint_id = p_endpoint_id AND d.seq >= v_first AND d.seq > p_after
          AND d.next_attempt_at IS NULL AND d.status = ANY (p_statuses)
          AND (SELECT e.created_at FROM events e WHERE e.seq = d.seq) >= p_since
        ORDER BY d.endpoint_id, d.seq LIMIT p_max
        FOR NO KEY UPDATE) x;
    UPDATE deliveries d
    SET status = 'pending', ended_at = NULL, retries = 0,
        next_attempt_at = CASE WHEN v_is_ordered THEN '-infinity' ELSE now() END
    WHERE d.ctid = ANY (v_chosen.row_ids);
    resent := v_chosen.count;
    last_seq := CASE WHEN resent = p_max THEN v_chosen.last END;
END;
$$;
COMMENT ON FUNCTION resend_deliveries(bigint, uuid, timestamptz, text[], bigint, int) IS
    'Sends events since a moment to a webhook endpoint again. pending with how many and where to go on, '
    'not_found, or disabled.';
