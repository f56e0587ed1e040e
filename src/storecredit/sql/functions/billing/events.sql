-- Events: what a provider tells, each kept once, and what became of it.

CREATE OR REPLACE FUNCTION receive_provider_event(
    p_provider text,
    p_event_id text,
    p_event_type text,
    p_occurred_at timestamptz,
    p_content json,
    p_status text DEFAULT 'received',
    p_reason text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: keep an event that a provider sent; settled at once when it is not ours to process.
-- Locks: the row, in a way that waits for nobody. Idempotent by (provider, event id).
-- Outcomes: true: new; false: it was kept before, and is as it was.
-- Errors: check_violation for an unknown status.
DECLARE
    v_is_new boolean;
BEGIN
    INSERT INTO provider_events
        (provider, event_id, event_type, occurred_at, content, status, reason, settled_at)
    SELECT p_provider, p_event_id, p_event_type, p_occurred_at, p_content, p_status, p_reason,
        CASE WHEN p_status IN ('processed', 'ignored', 'set_aside') THEN now() END
    WHERE NOT is_taken(p_provider, p_event_id)
    ON CONFLICT (provider, event_id) DO NOTHING;
    v_is_new := FOUND;
    IF v_is_new AND p_status = 'set_aside' THEN
        PERFORM tell_of_problem('event', p_provider, p_event_id, p_event_type);
    END IF;
    IF NOT v_is_new THEN
        -- An answer stands on what standbys have, too (checkouts.sql).
        PERFORM FROM provider_events e
        WHERE e.provider = p_provider AND e.event_id = p_event_id FOR KEY SHARE;
    END IF;
    RETURN v_is_new;
END;
$$;
COMMENT ON FUNCTION
    receive_provider_event(text, text, text, timestamptz, json, text, text) IS
    'Keeps an event that a provider sent, once. true: new; false: known before.';

CREATE OR REPLACE FUNCTION settle_provider_event(
    p_provider text,
    p_event_id text,
    p_status text,
    p_reason text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_foreign_subscription_id text DEFAULT NULL,
    p_foreign_transaction_id text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: say what became of an event: processed, ignored or set_aside. Events that are set aside
--   with the same subject are one problem. One that is not ours keeps the subscription and the
--   transaction it names.
-- Locks: the event's row. Idempotent: the first settlement stays.
-- Outcomes: true: settled now; false: no such event, or it was settled.
-- Errors: check_violation for a status that settles nothing.
DECLARE
    v_event_type text;
BEGIN
    UPDATE provider_events e
    SET status = p_status, reason = p_reason, subject = p_subject, settled_at = now(),
        attempts = e.attempts + 1, foreign_subscription_id = p_foreign_subscription_id,
        foreign_transaction_id = p_foreign_transaction_id
    WHERE e.provider = p_provider AND e.event_id = p_event_id
      AND e.status IN ('received', 'failing')
    RETURNING e.event_type INTO v_event_type;
    IF p_status = 'set_aside' AND v_event_type IS NOT NULL THEN
        PERFORM tell_of_problem('event', p_provider, p_event_id, v_event_type);
    END IF;
    RETURN v_event_type IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION settle_provider_event(text, text, text, text, text, text, text) IS
    'Settles an event as processed, ignored or set_aside. true: now; false: unknown or settled.';

CREATE OR REPLACE FUNCTION note_provider_event_failure(
    p_provider text,
    p_event_id text,
    p_reason text,
    p_attempts_max int
)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: count an attempt at an event that came to nothing; the last one sets it aside.
-- Locks: the event's row. Idempotency: none; each call is an attempt.
-- Outcomes: the attempts so far, if it is to be tried again; null: it is settled, now or before.
DECLARE
    v_attempts int;
    v_status text;
    v_event_type text;
BEGIN
    UPDATE provider_events e
    SET attempts = e.attempts + 1,
        reason = p_reason,
        status = CASE WHEN e.attempts + 1 < p_attempts_max THEN 'failing' ELSE 'set_aside' END,
        settled_at = CASE WHEN e.attempts + 1 < p_attempts_max THEN NULL ELSE now() END
    WHERE e.provider = p_provider AND e.event_id = p_event_id
      AND e.status IN ('received', 'failing')
    RETURNING e.attempts, e.status, e.event_type INTO v_attempts, v_status, v_event_type;
    IF v_status = 'set_aside' THEN
        PERFORM tell_of_problem('event', p_provider, p_event_id, v_event_type);
    END IF;
    RETURN CASE v_status WHEN 'failing' THEN v_attempts END;
END;
$$;
COMMENT ON FUNCTION note_provider_event_failure(text, text, text, int) IS
    'Counts a failed attempt at an event; the last one sets it aside. Returns the attempts while it '
    'is to be tried again, null once it is settled.';

CREATE OR REPLACE FUNCTION reopen_foreign_events(p_provider text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: events were ignored as not ours, and the subscription that they name is known by now,
--   or the operator has booked their transaction: they are to be processed.
-- Locks: their rows. Idempotent: each is reopened once.
-- Outcomes: how many there were.
DECLARE
    v_subscribed bigint;
    v_booked bigint;
BEGIN
    UPDATE provider_events e
    SET status = 'received', attempts = 0, settled_at = NULL, foreign_subscription_id = NULL,
        foreign_transaction_id = NULL
    FROM subscriptions s
    WHERE e.provider = p_provider AND e.status = 'ignored' AND s.provider = p_provider
      AND e.foreign_subscription_id = s.provider_subscription_id;
    GET DIAGNOSTICS v_subscribed = ROW_COUNT;
    UPDATE provider_events e
    SET status = 'received', attempts = 0, settled_at = NULL, foreign_subscription_id = NULL,
        foreign_transaction_id = NULL
    FROM payments p
    WHERE e.provider = p_provider AND e.status = 'ignored' AND p.provider = p_provider
      AND e.foreign_transaction_id = p.provider_transaction_id
      -- Its subscription, of which it may be the first payment, is no more ours than before.
      AND e.event_type NOT LIKE 'subscription.%';
    GET DIAGNOSTICS v_booked = ROW_COUNT;
    RETURN v_subscribed + v_booked;
END;
$$;
COMMENT ON FUNCTION reopen_foreign_events(text) IS
    'Lets events be processed that were ignored as not ours, and whose subscription is known by now, '
    'or whose transaction was booked by hand.';
