-- Events: what has happened is told in the transaction in which it happens, to the endpoints that listen
-- at that moment. So no event is told of what did not happen, and nothing that happened is not told.
-- For one that is disabled what happens is kept, as failed, so that it can be resent once it is enabled.

CREATE OR REPLACE FUNCTION keeps_events(p_disabled_at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether what happens is written for an endpoint: while it is enabled (null), and when it is
--   disabled for as long as what it missed can be resent whole. Locks: none.
    SELECT p_disabled_at IS NULL OR p_disabled_at > now() - interval '30 days';
$$;
COMMENT ON FUNCTION keeps_events(timestamptz) IS
    'Whether events are written for an endpoint that was disabled then (null: it is not).';

CREATE OR REPLACE FUNCTION in_utc(p_moment timestamptz)
RETURNS text
LANGUAGE sql STABLE
AS $$
-- Purpose: a moment as events tell it, whatever the time zone of the server, or of who caused them.
--   Locks: none.
    SELECT to_char(p_moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
$$;
COMMENT ON FUNCTION in_utc(timestamptz) IS
    'A moment as events tell it: ISO 8601, in UTC.';

CREATE OR REPLACE FUNCTION is_heard(p_account_ids bigint[])
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether anybody listens to any of these accounts. Locks: none: who begins to listen is told
--   what begins after that.
BEGIN
    RETURN EXISTS (
        SELECT FROM webhook_endpoints e
        WHERE e.account_id = ANY (p_account_ids || 0::bigint) AND keeps_events(e.disabled_at));
END;
$$;
COMMENT ON FUNCTION is_heard(bigint[]) IS
    'Whether any endpoint listens to any of these accounts.';

CREATE OR REPLACE FUNCTION tell(
    p_types text[], p_account_ids bigint[], p_datas json[], p_but uuid DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: write the events that somebody listens to, in their order, with a delivery for each of their
--   endpoints (p_but excepted), which has failed already where that is disabled. An account null: the
--   operator alone is told. The data is what the event says besides whose it is. Locks: the caller
--   holds the accounts', where their order matters.
BEGIN
    WITH told AS (
        INSERT INTO events (account_id, type, data)
        SELECT t.account_id, t.type, t.data
        FROM unnest(p_types, p_account_ids, p_datas) WITH ORDINALITY AS t (type, account_id, data, n)
        WHERE EXISTS (
            SELECT FROM webhook_endpoints w
            WHERE w.account_id IN (0, t.account_id) AND keeps_events(w.disabled_at)
              AND w.endpoint_id IS DISTINCT FROM p_but
              AND w.event_types && ARRAY[t.type, '*'])
        ORDER BY t.n
        RETURNING seq, account_id, type
    )
    INSERT INTO deliveries (endpoint_id, seq, status, ended_at, next_attempt_at)
    SELECT w.endpoint_id, t.seq, CASE w.status WHEN 'enabled' THEN 'pending' ELSE 'failed' END,
        CASE w.status WHEN 'disabled' THEN now() END,
        CASE WHEN w.status = 'disabled' THEN NULL WHEN w.is_ordered THEN '-infinity' ELSE now() END
    FROM told t CROSS JOIN LATERAL (
        SELECT e.endpoint_id, e.status, e.is_ordered FROM webhook_endpoints e
        WHERE e.account_id IN (0, t.account_id) AND keeps_events(e.disabled_at)
          AND e.endpoint_id IS DISTINCT FROM p_but
          AND e.event_types && ARRAY[t.type, '*']) w;
END;
$$;
COMMENT ON FUNCTION tell(text[], bigint[], json[], uuid) IS
    'Writes events and their deliveries, where anybody listens.';

CREATE OR REPLACE FUNCTION low_threshold_of(p_account_id bigint)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: at or below how many credits the balance of an account is low. Locks: none; the caller holds
--   the account's. Returns: its own threshold, or a tenth of its last addition, rounded up; 0: never.
DECLARE
    v_own bigint := (SELECT a.low_threshold FROM accounts a WHERE a.account_id = p_account_id);
    v_last bigint;
BEGIN
    IF v_own IS NOT NULL THEN
        RETURN v_own;
    END IF;
    -- Credits that came back, or were given other terms, have a grant of their own, too.
    SELECT m.amount INTO v_last
    FROM grants g JOIN movements m ON m.account_id = g.account_id AND m.seq = g.seq
    WHERE g.account_id = p_account_id AND movement_role(m.type) IN ('addition', 'receipt')
    ORDER BY g.account_id DESC, g.seq DESC LIMIT 1;
    RETURN coalesce(ceil(v_last / 10.0), 0);
END;
$$;
COMMENT ON FUNCTION low_threshold_of(bigint) IS
    'At or below how many credits the balance of an account is low; 0: never.';

CREATE OR REPLACE FUNCTION tell_movements(p_account_ids bigint[], p_seqs bigint[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: tell what movements just written mean to their owners. Both arrays have a place per item of
--   the batch; seq null: nothing was written. A line is crossed by one movement, which tells it: once
--   per crossing, whatever else is in the batch. Locks: the caller holds the accounts'.
DECLARE
    m record;
    v_account_id bigint; v_threshold bigint; v_limit bigint;
    v_types text[] := '{}'; v_account_ids bigint[] := '{}'; v_datas json[] := '{}';
    v_told text[];
BEGIN
    FOR m IN
        SELECT x.account_id, x.seq, x.type, x.amount, x.request_id, x.balance_after AS balance,
            x.balance_after - (movement_effect(x.type))[1] * x.amount AS balance_before,
            coalesce(x.overage_used_after, 0) AS used,
            coalesce(x.overage_used_after, 0) - (movement_effect(x.type))[5] * x.amount AS used_before
        FROM generate_subscripts(p_seqs, 1) AS n
        CROSS JOIN LATERAL (
            SELECT * FROM movements y WHERE y.account_id = p_account_ids[n] AND y.seq = p_seqs[n]
            LIMIT 1) x
        ORDER BY x.account_id, x.seq
    LOOP
        IF m.account_id IS DISTINCT FROM v_account_id OR m.balance > m.balance_before THEN
            v_account_id := m.account_id;
            v_threshold := low_threshold_of(m.account_id);
            v_limit := overage_limit_of(m.account_id);
        END IF;
        v_told := CASE movement_role(m.type) WHEN 'addition' THEN '{credits.added}'
            WHEN 'receipt' THEN '{credits.added}' WHEN 'clawback' THEN '{credits.clawed_back}'
            WHEN 'bill' THEN '{overage.billed}' ELSE '{}' END;
        IF m.type = 'hold_expiry' THEN
            v_told := '{hold.expired}';
        END IF;
        IF v_threshold > 0 AND m.balance <= v_threshold AND m.balance_before > v_threshold THEN
            v_told := v_told || 'credits.low'::text;
        END IF;
        IF m.balance = 0 AND m.balance_before > 0 THEN
            v_told := v_told || 'credits.depleted'::text;
        END IF;
        IF m.used > 0 AND m.used_before = 0 THEN
            v_told := v_told || 'overage.started'::text;
        END IF;
        IF m.used >= v_limit AND m.used_before < v_limit THEN
            v_told := v_told || 'overage.limit_reached'::text;
        END IF;
        FOR i IN 1 .. cardinality(v_told) LOOP
            v_types := v_types || v_told[i];
            v_account_ids := v_account_ids || m.account_id;
            v_datas := v_datas || data_of_movement(v_told[i], m.account_id, m.seq, m.type, m.amount,
                m.request_id, m.balance, m.used, v_threshold, v_limit);
        END LOOP;
    END LOOP;
    PERFORM tell(v_types, v_account_ids, v_datas) WHERE cardinality(v_types) > 0;
END;
$$;
COMMENT ON FUNCTION tell_movements(bigint[], bigint[]) IS
    'Tells what movements just written mean to their owners.';

CREATE OR REPLACE FUNCTION data_of_movement(
    p_event text, p_account_id bigint, p_seq bigint, p_type text, p_amount bigint, p_request_id text,
    p_balance bigint, p_used bigint, p_threshold bigint, p_limit bigint
)
RETURNS json
LANGUAGE plpgsql
AS $$
-- Purpose: what an event says of the movement it tells. Locks: none; the caller holds the account's.
DECLARE
    v_terms record;
BEGIN
    CASE p_event
    WHEN 'credits.low' THEN
        RETURN json_build_object('balance', p_balance, 'threshold', p_threshold,
            'request_id', p_request_id);
    WHEN 'credits.depleted' THEN
        RETURN json_build_object('balance', p_balance, 'request_id', p_request_id);
    WHEN 'credits.added' THEN
        SELECT g.kind, g.expires_at INTO v_terms FROM grants g
        WHERE g.account_id = p_account_id AND g.seq = p_seq;
        RETURN json_build_object('amount', p_amount, 'type', p_type, 'kind', v_terms.kind,
            'expires_at', in_utc(v_terms.expires_at), 'balance', p_balance, 'request_id', p_request_id);
    WHEN 'credits.clawed_back' THEN
        RETURN json_build_object('amount', p_amount, 'balance', p_balance,
            'request_id', p_request_id);
    WHEN 'hold.expired' THEN
        RETURN json_build_object('hold_id', (
                SELECT h.hold_id FROM holds h
                WHERE h.account_id + 0 = p_account_id AND h.request_id = p_request_id),
            'amount', p_amount, 'balance', p_balance, 'request_id', p_request_id);
    WHEN 'overage.billed' THEN
        RETURN json_build_object('credits', p_amount, 'request_id', p_request_id);
    ELSE
        RETURN json_build_object('overage_used', p_used, 'overage_limit', p_limit,
            'request_id', p_request_id);
    END CASE;
END;
$$;
COMMENT ON FUNCTION data_of_movement(
    text, bigint, bigint, text, bigint, text, bigint, bigint, bigint, bigint) IS
    'What an event says of the movement it tells.';

CREATE OR REPLACE FUNCTION tell_generations(p_account_ids bigint[], p_session_ids uuid[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: tell that these sessions have ended, as their rows now say. Both arrays have a place per
--   session; null: it has not ended now. Locks: the caller holds the sessions'.
DECLARE
    v_told record;
BEGIN
    SELECT array_agg('generation.' || s.status) AS types, array_agg(s.account_id) AS account_ids,
        array_agg(CASE s.status WHEN 'completed' THEN
            json_build_object('session_id', s.session_id, 'request_id', s.request_id,
                'credits_charged', s.credits, 'created_at', in_utc(s.created_at),
                'completed_at', in_utc(s.completed_at))
            ELSE json_build_object('session_id', s.session_id, 'request_id', s.request_id,
                'error_code', s.error_code, 'credits_refunded', s.credits,
                'created_at', in_utc(s.created_at), 'completed_at', in_utc(s.completed_at)) END) AS datas
    INTO v_told
    FROM generate_subscripts(p_session_ids, 1) AS n
    CROSS JOIN LATERAL (
        SELECT * FROM sessions k
        WHERE k.account_id = p_account_ids[n] AND k.session_id = p_session_ids[n] LIMIT 1) s;
    PERFORM tell(v_told.types, v_told.account_ids, v_told.datas) WHERE v_told.types IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION tell_generations(bigint[], uuid[]) IS
    'Tells that sessions have ended.';

CREATE OR REPLACE FUNCTION tell_of_store(p_type text, p_store_id uuid, p_data json)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: tell what became of a store or of its keys. Locks: the caller holds what it is about.
BEGIN
    PERFORM tell(ARRAY[p_type], ARRAY[a.account_id], ARRAY[p_data])
    FROM accounts a WHERE a.owner_id = p_store_id AND a.owner_kind = 'store';
END;
$$;
COMMENT ON FUNCTION tell_of_store(text, uuid, json) IS
    'Tells what became of a store or of its keys.';

CREATE OR REPLACE FUNCTION first_event_since(p_since timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: a seq before which no event happened at p_since or later, and few events after it earlier than
--   that: by halving, since events are written nearly in the order in which they happen (a transaction may
--   take its seq some moments before another one, a clock be set back; so it looks an hour further back).
-- Locks: none.
DECLARE
    v_low bigint := coalesce((SELECT min(e.seq) FROM events e), 0);
    v_high bigint := coalesce((SELECT max(e.seq) FROM events e), 0) + 1;
    v_middle record;
BEGIN
    WHILE v_low < v_high LOOP
        SELECT e.seq, e.created_at >= p_since - interval '1 hour' AS is_since INTO v_middle FROM events e
        WHERE e.seq >= v_low + (v_high - v_low) / 2 ORDER BY e.seq LIMIT 1;
        IF FOUND AND NOT v_middle.is_since THEN
            v_low := v_middle.seq + 1;
        ELSE
            v_high := v_low + (v_high - v_low) / 2;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;
COMMENT ON FUNCTION first_event_since(timestamptz) IS
    'From which seq on events are that happened at a moment or later.';
