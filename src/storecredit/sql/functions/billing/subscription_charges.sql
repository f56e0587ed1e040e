-- Charging a store through its subscription, for a month's overage or a top-up: exactly once, although the
-- provider takes no idempotency key.
--
-- A charge is begun (committed) before it is sent. Whoever sends holds the charge's lock on that very
-- connection, from before it looked whether the charge exists until the end is written down. It is an
-- advisory lock of the connection, because it has to outlive the commits in between, which a row's
-- lock does not, and must not keep a webhook from writing the transaction into the row. A process that
-- is killed loses it with its connection; one that only stands still keeps it.

CREATE OR REPLACE FUNCTION subscription_charge_lock(p_account_id bigint, p_request_id text)
RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
-- Purpose: the number of a charge's advisory lock. Two charges that share one wait for each other.
    SELECT hashtextextended('subscription_charge:' || p_account_id || ':' || p_request_id, 0);
$$;
COMMENT ON FUNCTION subscription_charge_lock(bigint, text) IS
    'The number of the advisory lock under which a subscription is charged.';

CREATE OR REPLACE FUNCTION lock_subscription_charge(p_account_id bigint, p_request_id text)
RETURNS boolean
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: take the charge's lock for this connection, until it is released or the connection ends.
-- Locks: the charge's advisory lock; never waits. Returns whether it was free.
    SELECT pg_try_advisory_lock(subscription_charge_lock(p_account_id, p_request_id));
$$;
COMMENT ON FUNCTION lock_subscription_charge(bigint, text) IS
    'Takes a charge''s lock for this connection (pg_advisory_unlock_all releases it). '
    'false: another connection is at it.';

CREATE OR REPLACE FUNCTION begin_subscription_charge(
    p_account_id bigint,
    p_request_id text,
    p_subscription_id text,
    p_attempts int
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: count one more attempt at a charge; it may be sent once that is committed.
-- Locks: the charge. Not idempotent: `p_attempts` is the count on which it was decided to send.
-- Outcomes: true: send it. false: do not. It is charged, accepted or dropped, a top-up that nobody
--   wants any more, another attempt was begun since, or this connection does not hold the charge's lock (a pooler gave it another one).
BEGIN
    UPDATE subscription_charges b
    SET attempts = b.attempts + 1, charge_begun_at = now(),
        provider_subscription_id = p_subscription_id
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id
      AND b.charged_at IS NULL AND b.dropped_at IS NULL AND b.accepted_at IS NULL
      AND b.attempts = p_attempts
      -- One that was switched off meanwhile, or to other credits, is not sent.
      AND (b.kind = 'overage' OR is_top_up_wanted(p_account_id, b.credits))
      -- As PostgreSQL shows the lock of one bigint: its halves, and objsubid 1.
      AND EXISTS (
          SELECT FROM pg_locks l
          WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND l.pid = pg_backend_pid()
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND (l.classid::bigint << 32 | l.objid::bigint)
                = subscription_charge_lock(p_account_id, p_request_id));
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION begin_subscription_charge(bigint, text, text, int) IS
    'Counts an attempt at a charge, before it is sent. false: it must not be sent.';

CREATE OR REPLACE FUNCTION accept_subscription_charge(p_account_id bigint, p_request_id text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the provider said yes to a charge: it is never sent again.
-- Locks: the charge. Idempotent. Returns false if there is no such charge, or none was begun.
BEGIN
    UPDATE subscription_charges b SET accepted_at = coalesce(b.accepted_at, now())
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id
      AND b.charge_begun_at IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION accept_subscription_charge(bigint, text) IS
    'The provider has accepted a charge, which is therefore never sent again.';

CREATE OR REPLACE FUNCTION record_subscription_charge(
    p_account_id bigint,
    p_request_id text,
    p_transaction_id text
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a charge was made, by this transaction of its provider's.
-- Locks: the charge. Idempotent by (charge, transaction).
-- Outcomes: true: made by this transaction, now or before. false: by another one, or there is no
--   such charge.
BEGIN
    UPDATE subscription_charges b
    SET charged_at = now(), provider_transaction_id = p_transaction_id, last_error = NULL,
        dropped_at = NULL
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id AND b.charged_at IS NULL;
    RETURN EXISTS (
        SELECT FROM subscription_charges b
        WHERE b.account_id = p_account_id AND b.request_id = p_request_id
          AND b.provider_transaction_id = p_transaction_id);
END;
$$;
COMMENT ON FUNCTION record_subscription_charge(bigint, text, text) IS
    'A charge was made by this transaction. false: it had been by another, or there is no such charge.';

CREATE OR REPLACE FUNCTION note_subscription_charge_failure(
    p_account_id bigint,
    p_request_id text,
    p_error text,
    p_retry_after interval,
    p_nothing_was_charged boolean
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: say why a charge is not made yet, and when to try again. `p_nothing_was_charged`: the
--   provider refused the attempt, so it need not be waited for. The operator is told once per charge.
-- Locks: the charge. Idempotent. Returns false if it is made or dropped, or there is no such charge.
DECLARE
    v_charge subscription_charges;
BEGIN
    SELECT b.* INTO v_charge FROM subscription_charges b
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id AND b.charged_at IS NULL
      AND b.dropped_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_charge.last_error IS NULL THEN
        PERFORM tell_of_problem(
            CASE v_charge.kind WHEN 'overage' THEN 'overage_bill' ELSE v_charge.kind END,
            v_charge.provider, coalesce(v_charge.period::text, p_request_id),
            CASE v_charge.kind WHEN 'overage' THEN 'overage_bill' ELSE v_charge.kind END,
            p_account_id);
    END IF;
    UPDATE subscription_charges b
    SET last_error = p_error, due_at = now() + p_retry_after,
        charge_begun_at = CASE WHEN p_nothing_was_charged THEN NULL ELSE b.charge_begun_at END
    WHERE b.account_id = p_account_id AND b.request_id = p_request_id;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION note_subscription_charge_failure(bigint, text, text, interval, boolean) IS
    'Notes why a charge is not made yet, in a sentence for the operator, and when to try again.';
