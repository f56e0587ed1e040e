-- The sums of what tells credits apart: grants, holds, and spends beside them; what they are is said in
-- sum_movements.sql. All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that
-- PostgreSQL puts them into the statement that calls them.

CREATE OR REPLACE FUNCTION is_possible_grant(
    p_amount bigint, p_kind text, p_expires_at timestamptz, p_grace interval, p_rollover_max bigint,
    p_rollover_until timestamptz
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (p_amount BETWEEN 1 AND 2147483647 AND p_kind IN ('paid', 'promo')
        AND p_grace >= '0'::interval
        AND CASE WHEN p_rollover_max IS NULL THEN p_rollover_until IS NULL
            ELSE p_rollover_max >= 0 AND p_rollover_until > p_expires_at END) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_grant(bigint, text, timestamptz, interval, bigint, timestamptz) IS
    'Whether the terms of one grant, looked at alone, could have been written by the functions.';

CREATE OR REPLACE FUNCTION sum_grants(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, records numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the grants' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE NOT is_possible_grant(g.amount, g.kind, g.expires_at, g.grace, g.rollover_max,
                g.rollover_until)),
        -coalesce(sum(fingerprint_of_record(
            'grant', g.account_id, g.seq, g.amount, '', p_seed)), 0)
    FROM grants g
    WHERE g.ctid >= p_from AND g.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_grants(bigint, tid, tid) IS
    'The grants'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_transfer_ends(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, records numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the part of the sums that ends of transfers have whose other ends stand in other buckets, from the
--   rows in [p_from, p_until) on disk: each is what that other end would be.
    SELECT count(*), -coalesce(sum(
        fingerprint_of_record('transfer', 0, 0, e.amount, e.request_id, p_seed)
            * CASE e.type WHEN 'transfer_in' THEN -1 ELSE 1 END::numeric), 0)
    FROM transfer_ends e
    WHERE e.ctid >= p_from AND e.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_transfer_ends(bigint, tid, tid) IS
    'What stands for the ends of transfers in other buckets, from a range of their pages.';

CREATE OR REPLACE FUNCTION is_possible_hold(
    p_status text, p_amount bigint, p_captured bigint, p_created_at timestamptz,
    p_expires_at timestamptz, p_ended_at timestamptz
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- At its end, not a moment earlier or later, a hold is over by itself.
    SELECT (p_amount BETWEEN 1 AND 2147483647 AND p_created_at < p_expires_at
        AND CASE p_status
            WHEN 'held' THEN p_captured IS NULL AND p_ended_at IS NULL
            WHEN 'captured' THEN p_captured BETWEEN 1 AND p_amount AND p_ended_at < p_expires_at
            WHEN 'released' THEN p_captured = 0 AND p_ended_at < p_expires_at
            WHEN 'expired' THEN p_captured = 0 AND p_ended_at = p_expires_at END) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_hold(
    text, bigint, bigint, timestamptz, timestamptz, timestamptz) IS
    'Whether one hold, looked at alone, could have been left by the functions.';

CREATE OR REPLACE FUNCTION sum_holds(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, records numeric, held numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the holds' part of the sums, from the rows in [p_from, p_until) on disk. What was captured of
--   a hold is a movement, and what was not is another one.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE NOT is_possible_hold(h.status, h.amount, h.captured, h.created_at, h.expires_at,
                h.ended_at)),
        -coalesce(sum(fingerprint_of_record(
                'hold', h.account_id, h.seq, h.amount, h.request_id, p_seed)), 0)
            - coalesce(sum(fingerprint_of_record(
                'capture', h.account_id, h.seq, h.captured, h.request_id, p_seed))
                FILTER (WHERE h.captured > 0), 0)
            - coalesce(sum(fingerprint_of_record(
                CASE h.status WHEN 'expired' THEN 'hold_expiry' ELSE 'release' END, h.account_id,
                h.seq, CASE WHEN h.captured >= 0 THEN h.amount - h.captured END, h.request_id,
                p_seed)) FILTER (WHERE h.captured < h.amount), 0),
        -coalesce(sum(h.amount * hashfloat8extended(h.account_id, p_seed)::numeric)
            FILTER (WHERE h.ended_at IS NULL), 0)
    FROM holds h
    WHERE h.ctid >= p_from AND h.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_holds(bigint, tid, tid) IS
    'The holds'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_spends(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, unbooked numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: count the spends without their charge, of the rows in [p_from, p_until) on disk. Not the
--   other way round: a direct call of a function charges without a spend.
    SELECT count(*), 0::numeric + count(*) FILTER (
        WHERE (SELECT m.session_id IS NULL FROM movements m
               WHERE m.account_id = s.account_id AND m.request_id = s.request_id
                 AND movement_role(m.type) = 'charge'
               LIMIT 1) IS NOT TRUE)
    FROM spends s
    WHERE s.ctid >= p_from AND s.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_spends(bigint, tid, tid) IS
    'How many spends in a range of their pages have no movement in the ledger.';
