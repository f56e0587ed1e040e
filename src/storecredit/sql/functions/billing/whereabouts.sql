-- Which bucket keeps what a provider's id names, where there is more than one.
--
-- All events come in at the first bucket. One that is about something of another bucket is taken there, and
-- then left here: the directory says so before, and is asked whenever an event comes in. So it is kept once,
-- however often it is sent and whoever is killed when.

CREATE OR REPLACE FUNCTION place_provider_id(p_provider text, p_id text, p_bucket int)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: which bucket keeps the event, or the payment of the transaction; p_bucket, if none does yet.
-- Locks: the row. Idempotent by (provider, id): of several at once one decides.
-- Errors: foreign_key_violation where there is no such bucket.
BEGIN
    INSERT INTO provider_buckets (provider, provider_id, bucket) VALUES (p_provider, p_id, p_bucket)
    ON CONFLICT DO NOTHING;
    -- Locked, so that whoever is told has what synchronous standbys have, too.
    RETURN (SELECT b.bucket FROM provider_buckets b
        WHERE b.provider = p_provider AND b.provider_id = p_id FOR KEY SHARE);
END;
$$;
COMMENT ON FUNCTION place_provider_id(text, text, int) IS
    'Says which bucket keeps what a provider''s id names; the one that is named, if none does yet.';

CREATE OR REPLACE FUNCTION take_provider_event(
    p_provider text,
    p_event_id text,
    p_event_type text,
    p_occurred_at timestamptz,
    p_received_at timestamptz,
    p_content json
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: keep an event here, in its owner's bucket, that has come in at the first one.
-- Locks: the row. Idempotent by (provider, event id).
-- Outcomes: true: new; false: it was taken before, and is as it was.
BEGIN
    INSERT INTO provider_events (provider, event_id, event_type, occurred_at, received_at, content)
    VALUES (p_provider, p_event_id, p_event_type, p_occurred_at, p_received_at, p_content)
    ON CONFLICT (provider, event_id) DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION take_provider_event(text, text, text, timestamptz, timestamptz, json) IS
    'Keeps an event that has come in at the first bucket in the one of its owner. true: new.';

CREATE OR REPLACE FUNCTION leave_provider_event(p_provider text, p_event_id text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: forget an event in the first bucket that another one keeps by now, as the directory says.
-- Locks: its row. Idempotent.
-- Outcomes: true: forgotten now; false: there is none such, or it belongs here.
BEGIN
    DELETE FROM provider_events e
    WHERE e.provider = p_provider AND e.event_id = p_event_id AND is_taken(p_provider, p_event_id);
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION leave_provider_event(text, text) IS
    'Forgets an event in the first bucket that another one keeps by now.';

CREATE OR REPLACE FUNCTION is_taken(p_provider text, p_event_id text)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether another bucket than the first keeps the event, and this is the first. Locks: the
--   directory's row, so that whoever is told has what synchronous standbys have, too.
BEGIN
    PERFORM FROM provider_buckets b
    WHERE b.provider = p_provider AND b.provider_id = p_event_id AND b.bucket <> 0 FOR KEY SHARE;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION is_taken(text, text) IS
    'Whether an event that has come in at the first bucket is kept by another one.';

CREATE OR REPLACE FUNCTION reopen_events_about(
    p_provider text, p_subscription_ids text[], p_sold text[], p_booked text[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: as reopen_foreign_events, of what another bucket knows by now: subscriptions, transactions that
--   were sold, and transactions that were booked.
-- Locks: the events' rows. Idempotent: each is reopened once.
-- Outcomes: how many there were.
DECLARE
    v_events bigint;
BEGIN
    UPDATE provider_events e
    SET status = 'received', attempts = 0, settled_at = NULL, foreign_subscription_id = NULL,
        foreign_transaction_id = NULL
    WHERE e.provider = p_provider AND e.status = 'ignored'
      AND (e.foreign_subscription_id = ANY (p_subscription_ids)
           OR e.foreign_transaction_id = ANY (p_sold)
           -- Its subscription, of which it may be the first payment, is no more ours than before.
           OR e.foreign_transaction_id = ANY (p_booked) AND e.event_type NOT LIKE 'subscription.%');
    GET DIAGNOSTICS v_events = ROW_COUNT;
    RETURN v_events;
END;
$$;
COMMENT ON FUNCTION reopen_events_about(text, text[], text[], text[]) IS
    'Lets events be processed that were ignored as not ours, and are about what another bucket has.';
