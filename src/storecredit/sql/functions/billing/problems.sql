-- Problems: what the operator does about events that were set aside and credits that fell short.

CREATE OR REPLACE FUNCTION tell_of_problem(
    p_kind text, p_provider text, p_id text, p_about text, p_account_id bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: tell the operator that there is something to look at: an event that was set aside, a clawback
--   that fell short, an overage bill whose charge failed; by its id, and what it is about: the event's
--   type, the adjustment's action. Locks: the caller holds its row.
BEGIN
    PERFORM tell(ARRAY['billing.problem'], ARRAY[NULL::bigint], ARRAY[json_build_object(
        'kind', p_kind, 'provider', p_provider, 'id', p_id, 'about', p_about,
        'store_id', (SELECT a.owner_id FROM accounts a WHERE a.account_id = p_account_id))]);
END;
$$;
COMMENT ON FUNCTION tell_of_problem(text, text, text, text, bigint) IS
    'Tells the operator of a billing problem.';

CREATE OR REPLACE FUNCTION dismiss_billing_problem(p_provider text, p_id text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the operator has dealt with an event that was set aside (its id; others with the same
--   subject go with it), or with credits that could not be taken back (the adjustment's id); it is
--   no longer shown. Moves no credits.
-- Locks: the rows. Idempotent.
-- Outcomes: true: dismissed now; false: there is no such problem.
BEGIN
    UPDATE provider_events e SET status = 'ignored', settled_at = now()
    FROM provider_events x
    WHERE x.provider = p_provider AND x.event_id = p_id AND x.status = 'set_aside'
      AND e.provider = p_provider AND e.status = 'set_aside'
      AND (e.event_id = p_id OR e.subject = x.subject);
    IF FOUND THEN
        RETURN true;
    END IF;
    UPDATE clawbacks c SET dismissed_at = now()
    WHERE c.provider = p_provider AND c.adjustment_id = p_id AND c.taken < c.credits
      AND c.dismissed_at IS NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION dismiss_billing_problem(text, text) IS
    'The operator has dealt with an event that was set aside, or a clawback that fell short. '
    'false: there is no such problem. Moves no credits.';

CREATE OR REPLACE FUNCTION retry_provider_event(p_provider text, p_event_id text)
RETURNS text[]
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: process an event anew that was set aside, with all its attempts before it, and with it
--   all that were set aside with the same subject.
-- Locks: the events' rows. Idempotent.
-- Outcomes: the events that are to be processed; none: no such event, it is not set aside, or
--   nothing is kept of it that could be processed.
DECLARE
    v_events text[];
BEGIN
    WITH retried AS (
        UPDATE provider_events e
        SET status = 'received', attempts = 0, settled_at = NULL, subject = NULL
        FROM provider_events x
        WHERE x.provider = p_provider AND x.event_id = p_event_id AND x.status = 'set_aside'
          AND x.content IS NOT NULL
          AND e.provider = p_provider AND e.status = 'set_aside' AND e.content IS NOT NULL
          AND (e.event_id = p_event_id OR e.subject = x.subject)
        RETURNING e.event_id)
    SELECT coalesce(array_agg(r.event_id ORDER BY r.event_id), '{}') INTO v_events FROM retried r;
    RETURN v_events;
END;
$$;
COMMENT ON FUNCTION retry_provider_event(text, text) IS
    'Lets an event that was set aside be processed anew, and others with the same subject. Returns '
    'them; none: unknown, not set aside, or empty.';
