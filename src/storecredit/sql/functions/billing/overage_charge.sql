-- Charging a bill for overage: exactly once, although the provider takes no idempotency key.
--
-- A charge is begun (committed) before it is sent. Whoever sends holds the bill's lock on that very
-- connection, from before it looked whether the charge exists until the end is written down. It is an
-- advisory lock of the connection, because it has to outlive the commits in between, which a row's
-- lock does not, and must not keep a webhook from writing the transaction into the row. A process that
-- is killed loses it with its connection; one that only stands still keeps it.

CREATE OR REPLACE FUNCTION overage_bill_lock(p_account_id bigint, p_period date)
RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
-- Purpose: the number of a bill's advisory lock. Two bills that share one wait for each other.
    SELECT hashtextextended(
        'overage_bill:' || p_account_id || ':' || extract(epoch FROM p_period), 0);
$$;
COMMENT ON FUNCTION overage_bill_lock(bigint, date) IS
    'The number of the advisory lock under which a bill is charged.';

CREATE OR REPLACE FUNCTION lock_overage_bill(p_account_id bigint, p_period date)
RETURNS boolean
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: take the bill's lock for this connection, until it is released or the connection ends.
-- Locks: the bill's advisory lock; never waits. Returns whether it was free.
    SELECT pg_try_advisory_lock(overage_bill_lock(p_account_id, p_period));
$$;
COMMENT ON FUNCTION lock_overage_bill(bigint, date) IS
    'Takes a bill''s lock for this connection (pg_advisory_unlock_all releases it). '
    'false: another connection is at it.';

CREATE OR REPLACE FUNCTION begin_overage_charge(
    p_account_id bigint,
    p_period date,
    p_subscription_id text,
    p_attempts int
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: count one more attempt at charging a bill; the charge may be sent once it is committed.
-- Locks: the bill. Not idempotent: `p_attempts` is the count on which it was decided to send.
-- Outcomes: true: send it. false: do not. The bill is charged or accepted, another attempt was
--   begun since, or this connection does not hold the bill's lock (a pooler gave it another one).
BEGIN
    UPDATE overage_bills b
    SET attempts = b.attempts + 1, charge_begun_at = now(),
        provider_subscription_id = p_subscription_id
    WHERE b.account_id = p_account_id AND b.period = p_period
      AND b.charged_at IS NULL AND b.accepted_at IS NULL AND b.attempts = p_attempts
      -- As PostgreSQL shows the lock of one bigint: its halves, and objsubid 1.
      AND EXISTS (
          SELECT FROM pg_locks l
          WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND l.pid = pg_backend_pid()
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND (l.classid::bigint << 32 | l.objid::bigint)
                = overage_bill_lock(p_account_id, p_period));
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION begin_overage_charge(bigint, date, text, int) IS
    'Counts an attempt at charging a bill, before the charge is sent. false: it must not be sent.';

CREATE OR REPLACE FUNCTION accept_overage_charge(p_account_id bigint, p_period date)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the provider said yes to the charge of a bill: it is never sent again.
-- Locks: the bill. Idempotent. Returns false if there is no such bill, or none was begun.
BEGIN
    UPDATE overage_bills b SET accepted_at = coalesce(b.accepted_at, now())
    WHERE b.account_id = p_account_id AND b.period = p_period AND b.charge_begun_at IS NOT NULL;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION accept_overage_charge(bigint, date) IS
    'The provider has accepted the charge of a bill, which is therefore never sent again.';

CREATE OR REPLACE FUNCTION record_overage_charge(
    p_account_id bigint,
    p_period date,
    p_transaction_id text
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a bill was charged, by this transaction of its provider's.
-- Locks: the bill. Idempotent by (bill, transaction).
-- Outcomes: true: charged by this transaction, now or before. false: by another one, or there is
--   no such bill.
BEGIN
    UPDATE overage_bills b
    SET charged_at = now(), provider_transaction_id = p_transaction_id, last_error = NULL
    WHERE b.account_id = p_account_id AND b.period = p_period AND b.charged_at IS NULL;
    RETURN EXISTS (
        SELECT FROM overage_bills b
        WHERE b.account_id = p_account_id AND b.period = p_period
          AND b.provider_transaction_id = p_transaction_id);
END;
$$;
COMMENT ON FUNCTION record_overage_charge(bigint, date, text) IS
    'A bill was charged by this transaction. false: it had been by another, or there is no such bill.';

CREATE OR REPLACE FUNCTION note_overage_failure(
    p_account_id bigint,
    p_period date,
    p_error text,
    p_retry_after interval,
    p_nothing_was_charged boolean
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: say why a bill is not charged yet, and when to try again. `p_nothing_was_charged`: the
--   provider refused the attempt, so it need not be waited for. The operator is told once per bill.
-- Locks: the bill. Idempotent. Returns false if the bill is charged, or there is no such bill.
DECLARE
    v_bill overage_bills;
BEGIN
    SELECT b.* INTO v_bill FROM overage_bills b
    WHERE b.account_id = p_account_id AND b.period = p_period AND b.charged_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_bill.last_error IS NULL THEN
        PERFORM tell_of_problem('overage_bill', v_bill.provider, p_period::text, 'overage_bill',
            p_account_id);
    END IF;
    UPDATE overage_bills b
    SET last_error = p_error, due_at = now() + p_retry_after,
        charge_begun_at = CASE WHEN p_nothing_was_charged THEN NULL ELSE b.charge_begun_at END
    WHERE b.account_id = p_account_id AND b.period = p_period;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION note_overage_failure(bigint, date, text, interval, boolean) IS
    'Notes why a bill is not charged yet, in a sentence for the operator, and when to try again.';
