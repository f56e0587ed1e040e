-- The first question of `storecredit verify`: do the tables agree with each other? One pass over
-- each table in the order in which it lies on disk; a few sums, no joins, no sorting, the same
-- memory for any number of rows. storecredit.ledger.verify asks it, in one snapshot.
--
-- The sums are of fingerprints: 64-bit hashes under a seed drawn anew for each run. Equal sums mean
-- equal multisets, but for a chance of about 1 in 2^64. Each sum_* function returns the same
-- columns, signed, so that over all four tables each column comes to 0:
--   impossible   rows that contradict themselves (a count, never negative)
--   states       A movement leads from the state (store, seq - 1, balance before) to the state
--                (store, seq, balance_after). In a sound ledger each state is reached once and
--                left once, but for a store's first (0, 0) and its last, which store_credits
--                holds: reached + first = left + last. A gap, a broken running balance, a wrong
--                balance or last_seq leaves a state over.
--   additions    credits added, weighted by store = total_purchased, weighted by store
--   generations  deductions made for a session = sessions, by (store, session id, request id)
--   refunds      refunds of such deductions = failed sessions, likewise
--   owners       stores = credit rows
-- total_spent follows: `impossible` counts credit rows where it is not total_purchased - balance.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL
-- inlines them into the statement that calls them; hence `public.` before each table.

CREATE OR REPLACE FUNCTION state_fingerprint(
    p_store_id uuid, p_seq bigint, p_balance bigint, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- hashint8extended folds the upper half of a number into the lower one: the upper is hashed too.
    SELECT hashint8extended(p_balance, hashint8extended(p_balance >> 32,
        hashint8extended(p_seq, hashint8extended(p_seq >> 32,
            uuid_hash_extended(p_store_id, p_seed)))));
$$;
COMMENT ON FUNCTION state_fingerprint(uuid, bigint, bigint, bigint) IS
    'A 64-bit hash of a store, a seq and the balance after it, under a seed.';

CREATE OR REPLACE FUNCTION generation_fingerprint(
    p_store_id uuid, p_session_id uuid, p_request_id text, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtextextended(p_request_id,
        uuid_hash_extended(p_session_id, uuid_hash_extended(p_store_id, p_seed)));
$$;
COMMENT ON FUNCTION generation_fingerprint(uuid, uuid, text, bigint) IS
    'A 64-bit hash of a store, a session and the request id of both, under a seed.';

CREATE OR REPLACE FUNCTION is_possible_movement(
    p_seq bigint, p_type text, p_amount bigint, p_balance_after bigint, p_session_id uuid
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The functions take amounts as int; half of bigint for a balance keeps the sums in range.
    SELECT (p_seq >= 1
        AND p_amount BETWEEN 1 AND 2147483647
        AND p_balance_after BETWEEN 0 AND 4611686018427387904
        AND (p_type IN ('deduction', 'refund')
             OR p_type IN ('purchase', 'subscription', 'grant') AND p_session_id IS NULL)) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_movement(bigint, text, bigint, bigint, uuid) IS
    'Whether one ledger row, looked at alone, could have been written by the functions.';

CREATE OR REPLACE FUNCTION sum_store_movements(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, additions numeric, generations numeric,
    refunds numeric, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the ledger's part of the sums, from the rows in [p_from, p_until) on disk.
-- A refund of a direct deduction has no session to be summed against: its deduction is looked up.
    SELECT count(*),
        count(*) FILTER (WHERE NOT m.possible)
            + count(*) FILTER (WHERE m.session_id IS NOT NULL AND m.amount <> 1)
            + 0::numeric + count(*) FILTER (
                WHERE m.type = 'refund' AND m.session_id IS NULL AND m.amount > coalesce((
                    SELECT d.amount FROM public.store_credit_transactions d
                    WHERE d.store_id = m.store_id AND d.request_id = m.request_id
                      AND d.type = 'deduction' AND d.session_id IS NULL LIMIT 1), 0)),
        coalesce(sum(public.state_fingerprint(m.store_id, m.seq, m.balance_after, p_seed))
                FILTER (WHERE m.possible), 0)
            - coalesce(sum(public.state_fingerprint(
                m.store_id, m.seq - 1, m.balance_after - m.change, p_seed))
                FILTER (WHERE m.possible), 0),
        coalesce(sum(uuid_hash_extended(m.store_id, p_seed)::numeric * m.amount)
            FILTER (WHERE m.type IN ('purchase', 'subscription', 'grant')), 0),
        coalesce(sum(public.generation_fingerprint(
            m.store_id, m.session_id, m.request_id, p_seed))
            FILTER (WHERE m.type = 'deduction' AND m.session_id IS NOT NULL), 0),
        coalesce(sum(public.generation_fingerprint(
            m.store_id, m.session_id, m.request_id, p_seed))
            FILTER (WHERE m.type = 'refund' AND m.session_id IS NOT NULL), 0),
        0::numeric
    FROM (
        SELECT t.store_id, t.seq, t.type, t.amount, t.balance_after, t.session_id, t.request_id,
            CASE WHEN t.type = 'deduction' AND t.amount > 0 THEN -t.amount ELSE t.amount END
                AS change,
            public.is_possible_movement(t.seq, t.type, t.amount, t.balance_after, t.session_id)
                AS possible
        FROM public.store_credit_transactions t
        WHERE t.ctid >= p_from AND t.ctid < p_until
        OFFSET 0  -- each row's change and possibility are worked out once
    ) m;
$$;
COMMENT ON FUNCTION sum_store_movements(bigint, tid, tid) IS
    'The ledger''s part of the sums that must come to 0, from a range of its pages.';

CREATE OR REPLACE FUNCTION sum_store_sessions(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, additions numeric, generations numeric,
    refunds numeric, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the sessions' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE (s.status IN ('queued', 'processing', 'completed', 'failed')) IS NOT TRUE),
        0::numeric, 0::numeric,
        -coalesce(sum(public.generation_fingerprint(
            s.store_id, s.session_id, s.request_id, p_seed)), 0),
        -coalesce(sum(public.generation_fingerprint(
            s.store_id, s.session_id, s.request_id, p_seed)) FILTER (WHERE s.status = 'failed'), 0),
        0::numeric
    FROM public.store_generation_sessions s
    WHERE s.ctid >= p_from AND s.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_store_sessions(bigint, tid, tid) IS
    'The sessions'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_store_credits(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, additions numeric, generations numeric,
    refunds numeric, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the credit rows' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE (c.balance = c.total_purchased::numeric - c.total_spent) IS NOT TRUE),
        coalesce(sum(public.state_fingerprint(c.store_id, 0, 0, p_seed)), 0)
            - coalesce(sum(public.state_fingerprint(
                c.store_id, c.last_seq, c.balance, p_seed)), 0),
        -coalesce(sum(uuid_hash_extended(c.store_id, p_seed)::numeric * c.total_purchased), 0),
        0::numeric, 0::numeric,
        coalesce(sum(uuid_hash_extended(c.store_id, p_seed)), 0)
    FROM public.store_credits c
    WHERE c.ctid >= p_from AND c.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_store_credits(bigint, tid, tid) IS
    'The credit rows'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_stores(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, additions numeric, generations numeric,
    refunds numeric, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the stores' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*), 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric,
        -coalesce(sum(uuid_hash_extended(s.store_id, p_seed)), 0)
    FROM public.stores s
    WHERE s.ctid >= p_from AND s.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_stores(bigint, tid, tid) IS
    'The stores'' part of the sums that must come to 0, from a range of their pages.';
