-- The sums of the tables beside the ledger; what they are is said in sum_movements.sql. All functions:
-- locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL puts them into the
-- statement that calls them.

CREATE OR REPLACE FUNCTION is_possible_session(p_status text, p_attempts int, p_input json)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- What the worker needed goes with the end of the session.
    SELECT (CASE p_status WHEN 'queued' THEN true WHEN 'processing' THEN true
            WHEN 'completed' THEN p_input IS NULL WHEN 'failed' THEN p_input IS NULL END
        AND p_attempts >= 0) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_session(text, int, json) IS
    'Whether one session, looked at alone, could have been left by the functions.';

CREATE OR REPLACE FUNCTION sum_sessions(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, generations numeric, refunds numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the sessions' part of the sums, from the rows in [p_from, p_until) on disk. One of no credits has
--   ended elsewhere, and no movement here is its charge.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE NOT is_possible_session(s.status, s.attempts, s.input)
                OR (s.credits > 0 OR s.credits = 0 AND s.completed_at IS NOT NULL) IS NOT TRUE),
        -coalesce(sum(fingerprint_of_generation(s.account_id, s.session_id, s.request_id, s.credits,
                coalesce((SELECT a.seed FROM archiving a WHERE a.only_row), p_seed)))
            FILTER (WHERE s.credits <> 0), 0),
        -coalesce(sum(fingerprint_of_generation(s.account_id, s.session_id, s.request_id, s.credits,
                coalesce((SELECT a.seed FROM archiving a WHERE a.only_row), p_seed)))
            FILTER (WHERE s.status = 'failed' AND s.credits <> 0), 0)
    FROM sessions s
    WHERE s.ctid >= p_from AND s.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_sessions(bigint, tid, tid) IS
    'The sessions'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION fingerprint_of_owner(p_owner_id uuid, p_owner_kind text, p_seed bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The same of an owner and of its account.
    SELECT hashtextextended(p_owner_kind, uuid_hash_extended(p_owner_id, p_seed));
$$;
COMMENT ON FUNCTION fingerprint_of_owner(uuid, text, bigint) IS
    'A 64-bit hash of an owner and its kind, under a seed.';

CREATE OR REPLACE FUNCTION sum_accounts(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, user_movements numeric, user_sessions numeric, impossible numeric,
    states numeric, owners numeric, held numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the accounts' part of the sums, from the rows in [p_from, p_until) on disk: the first and
--   the last state of each. And how many movements and sessions are end users': no movement says so.
    SELECT count(*),
        coalesce(sum(n.seq) FILTER (WHERE a.owner_kind = 'user'), 0),
        coalesce(sum((SELECT count(*) FROM sessions s WHERE s.account_id = a.account_id))
            FILTER (WHERE a.owner_kind = 'user'), 0),
        0::numeric + count(*) FILTER (
            WHERE (a.overage_limit >= 0) IS NOT TRUE
                OR a.overage_limit > 0 AND (
                    SELECT true FROM movement_types t
                    WHERE t.overage_used > 0 AND a.owner_kind = ANY (t.owner_kinds)
                    LIMIT 1) IS NOT TRUE
                OR (n.grants_after IS NOT NULL OR n.held_after IS NOT NULL)
                    AND (coalesce(a.next_expiry, 'infinity')
                        <= first_end(a.account_id, n.grants_after)) IS FALSE),
        coalesce(sum(fingerprint_of_state(
                fingerprint_of_account(a.account_id, NULL, NULL, NULL, NULL, NULL, p_seed),
                0, 0, 0)), 0)
            - coalesce(sum(fingerprint_of_state(
                fingerprint_of_account(a.account_id, n.clawed_back_after, n.overage_used_after,
                    n.held_after, n.expired_after, n.removed_after, p_seed),
                coalesce(n.seq, 0), coalesce(n.balance_after, 0), coalesce(n.spent_after, 0))), 0),
        coalesce(sum(fingerprint_of_owner(a.owner_id, a.owner_kind, p_seed)), 0),
        coalesce(sum(n.held_after * hashfloat8extended(a.account_id, p_seed)::numeric), 0)
    FROM accounts a
    LEFT JOIN LATERAL (
        SELECT m.seq, m.balance_after, m.spent_after, m.clawed_back_after, m.overage_used_after,
            m.held_after, m.expired_after, m.removed_after, m.grants_after
        FROM movements m WHERE m.account_id = a.account_id
        ORDER BY m.account_id DESC, m.seq DESC LIMIT 1
    ) n ON true
    WHERE a.ctid >= p_from AND a.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_accounts(bigint, tid, tid) IS
    'The accounts'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION first_end(p_account_id bigint, p_grants bigint[])
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: when the first of these grants, or open hold of the account, ends; null: none will.
BEGIN
    RETURN least(
        (SELECT min((SELECT g.expires_at FROM grants g
                     WHERE g.account_id = p_account_id AND g.seq = p_grants[i] LIMIT 1))
         FROM generate_series(1, coalesce(cardinality(p_grants), 0), 2) i),
        (SELECT h.expires_at FROM holds h
         WHERE h.account_id - 0 = p_account_id AND h.ended_at IS NULL
         ORDER BY h.expires_at, h.hold_id LIMIT 1));
END;
$$;
COMMENT ON FUNCTION first_end(bigint, bigint[]) IS
    'When the first of some grants, or open hold of their account, ends; null: none will.';

CREATE OR REPLACE FUNCTION sum_stores(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the stores' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*), -coalesce(sum(fingerprint_of_owner(s.store_id, s.owner_kind, p_seed)), 0)
    FROM stores s
    WHERE s.ctid >= p_from AND s.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_stores(bigint, tid, tid) IS
    'The stores'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_users(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the end users' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*), -coalesce(sum(fingerprint_of_owner(u.user_id, u.owner_kind, p_seed)), 0)
    FROM users u
    WHERE u.ctid >= p_from AND u.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_users(bigint, tid, tid) IS
    'The end users'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_subscription_charges(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, records numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the overage bills' part of the sums, from the rows in [p_from, p_until) on disk. Bills
--   follow each other in time. Of each top-up that was charged there is the payment.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE b.kind = 'overage'
                    AND (b.request_id = 'overage-' || to_char(b.period, 'YYYY-MM')) IS NOT TRUE
                OR b.kind = 'top_up' AND b.charged_at IS NOT NULL AND (
                    SELECT true FROM payments p
                    WHERE p.provider = b.provider
                      AND p.provider_transaction_id = b.provider_transaction_id
                      AND p.account_id = b.account_id LIMIT 1) IS NULL
                OR (SELECT true FROM subscription_charges x
                    WHERE x.account_id = b.account_id AND x.period < b.period AND x.seq >= b.seq
                    LIMIT 1)),
        -coalesce(sum(fingerprint_of_record(
            'overage_bill', b.account_id, b.seq, b.credits, b.request_id, p_seed))
            FILTER (WHERE b.kind = 'overage'), 0)
    FROM subscription_charges b
    WHERE b.ctid >= p_from AND b.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_subscription_charges(bigint, tid, tid) IS
    'The overage bills'' part of the sums that must come to 0, from a range of pages of the charges.';

CREATE OR REPLACE FUNCTION sum_payments(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, unbooked numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: count the payments without their movement, of the rows in [p_from, p_until) on disk.
--   Not the other way round: the operator may book a purchase that came in by another way.
    SELECT count(*), 0::numeric + count(*) FILTER (
        WHERE p.credits IS DISTINCT FROM coalesce((
            SELECT m.amount FROM movements m
            WHERE m.account_id = p.account_id AND m.request_id = p.request_id
              AND m.type = CASE p.kind WHEN 'overage' THEN 'overage_bill' ELSE p.kind END
            LIMIT 1), 0))
    FROM payments p
    WHERE p.ctid >= p_from AND p.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_payments(bigint, tid, tid) IS
    'How many payments in a range of their pages have no movement in the ledger.';

CREATE OR REPLACE FUNCTION sum_clawbacks(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, unbooked numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: count the clawbacks that took anything else than their movement says, of the rows in
--   [p_from, p_until) on disk.
    SELECT count(*), 0::numeric + count(*) FILTER (
        WHERE c.taken IS DISTINCT FROM coalesce((
            SELECT m.amount FROM payments p, movements m
            WHERE p.provider = c.provider
              AND p.provider_transaction_id = c.provider_transaction_id
              AND m.account_id = p.account_id AND m.request_id = c.adjustment_id
              AND m.type = 'clawback'
            LIMIT 1), 0))
    FROM clawbacks c
    WHERE c.ctid >= p_from AND c.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_clawbacks(bigint, tid, tid) IS
    'How many clawbacks in a range of their pages took anything else than their movement says.';
