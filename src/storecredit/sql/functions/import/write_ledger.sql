-- The ledgers that an import writes, and the generations beside them.

CREATE OR REPLACE FUNCTION write_imported_movements(p_chunk int, p_has_history boolean)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: the movements of a chunk, each with the state of its account after it, as movement_types says, and
--   the terms of what came in: all of one kind, and none expires. Locks: none; the caller holds the
--   accounts'. Returns: how many. Errors: unique_violation where an account has a movement; check_violation
--   for a balance below 0.
DECLARE
    v_movements bigint;
BEGIN
    WITH written AS (
        INSERT INTO movements
            (account_id, seq, created_at, type, amount, balance_after, spent_after, removed_after,
             request_id, session_id, description)
        SELECT m.account_id, row_number() OVER account, m.created_at, m.type, m.amount,
            sum((m.effect)[1] * m.amount) OVER account, sum((m.effect)[3] * m.amount) OVER account,
            nullif(sum((m.effect)[8] * m.amount) OVER account, 0), m.request_id, m.session_id,
            m.description
        FROM (SELECT x.*, movement_effect(x.type) AS effect
              FROM moves_to_write(p_chunk, p_has_history) x OFFSET 0) m
        WINDOW account AS (PARTITION BY m.account_id ORDER BY m.part, m.n ROWS UNBOUNDED PRECEDING)
        RETURNING account_id, seq, type, amount
    ), terms AS (
        INSERT INTO grants (account_id, seq, amount, kind)
        SELECT w.account_id, w.seq, w.amount, 'paid' FROM written w
        WHERE (movement_effect(w.type))[2] > 0
    )
    SELECT count(*) INTO v_movements FROM written;
    RETURN v_movements;
END;
$$;
COMMENT ON FUNCTION write_imported_movements(int, boolean) IS
    'Writes the movements of a chunk of owners, and the terms of what came in. Returns how many.';

CREATE OR REPLACE FUNCTION write_imported_sessions(p_chunk int)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the generations of a chunk, under their ids, all of them ended. One whose charge is among the
--   movements has its credits; 0: it is history only. What was sent for it is not known: its fingerprint is
--   none that a request can have. Locks: the new rows. Idempotent.
BEGIN
    INSERT INTO sessions
        (account_id, session_id, created_at, started_at, completed_at, attempts, credits, status,
         request_id, fingerprint, error_code, error_message)
    SELECT o.account_id, s.session_id, coalesce(s.created_at, s.ended_at, now()), s.started_at,
        CASE WHEN s.status = 'under_way' THEN now() ELSE coalesce(s.ended_at, s.created_at, now()) END,
        (s.started_at IS NOT NULL)::int, CASE WHEN s.is_linked THEN s.charged ELSE 0 END,
        CASE s.status WHEN 'completed' THEN 'completed' ELSE 'failed' END, s.request_id,
        decode(repeat('00', 32), 'hex'),
        CASE WHEN s.status <> 'completed' THEN 'GENERATION_FAILED' END,
        CASE s.status WHEN 'failed' THEN without_addresses(s.error)
            WHEN 'under_way' THEN 'It was under way when this service took over.' END
    FROM planned_owners o JOIN planned_sessions s ON s.place = o.place
    WHERE o.chunk = p_chunk
    ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION write_imported_sessions(int) IS
    'Writes the generations of a chunk of owners, all of them ended.';

CREATE OR REPLACE FUNCTION import_events()
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: keep the ids of the events that the system before had been sent: sent again, they are known, and
--   nothing is booked for them. What they said is not brought along. Locks: the new rows. Idempotent.
-- Returns: how many were new.
DECLARE
    v_events bigint;
BEGIN
    INSERT INTO provider_events
        (provider, event_id, event_type, occurred_at, settled_at, status, reason)
    SELECT lower(e.provider), e.event_id, coalesce(e.event_type, 'unknown'),
        coalesce(e.occurred_at, now()), now(), 'processed', 'Booked by the system before the import.'
    FROM staged_events e
    ON CONFLICT (provider, event_id) DO NOTHING;
    GET DIAGNOSTICS v_events = ROW_COUNT;
    RETURN v_events;
END;
$$;
COMMENT ON FUNCTION import_events() IS
    'Keeps the ids of events that the system before was sent, so that none is booked again. Returns how '
    'many were new.';
