-- The first question of `storecredit verify`: do the tables agree with each other? One pass over
-- each table in the order in which it lies on disk; a few sums, no joins, no sorting, the same
-- memory for any number of rows. storecredit.ledger.verify asks it, in one snapshot.
--
-- The sums are of fingerprints: 64-bit hashes under a seed drawn anew for each run. Equal sums mean
-- equal multisets, but for a chance of about 1 in 2^64. The sum_* functions return columns of the
-- same names, signed, so that over all tables of a ledger each column comes to 0. An owner is a
-- store or an end user; the two ledgers are summed up apart.
--   impossible   rows that contradict themselves or the rows they name (a count, never negative)
--   states       A movement leads from the state (owner, seq - 1, balance before) to the state
--                (owner, seq, balance_after). In a sound ledger each state is reached once and
--                left once, but for an owner's first (0, 0) and its last, which the credit row
--                holds: reached + first = left + last. A gap, a broken running balance, a wrong
--                balance or last_seq leaves a state over.
--   totals       credits added = the total added; credits clawed back = total_clawed_back; overage
--                less what of it was given back = the bill that closed its period, or, since the
--                last one, overage_used. Each weighted by its owner and by what it counts towards.
--   generations  deductions and overage for a session = sessions, by (owner, session, request)
--   refunds      what was given back of such = failed sessions, likewise
--   owners       owners = credit rows
--   bills        overage_bill movements = overage bills, by (store, seq, credits, request)
--   unbooked     payments and clawbacks without their movement (a count, never negative)
-- total_spent follows: `impossible` counts credit rows where it is not the total added less
-- total_clawed_back less balance.
--
-- Movements of overage are rare beside deductions: each is looked up with those it belongs to. A
-- deduction needs no look-up, nor does a generation's refund. Look-ups are scalar, with LIMIT 1:
-- an EXISTS may be planned as a hash of the whole table.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL
-- inlines them into the statement that calls them; hence `public.` before each table.

CREATE OR REPLACE FUNCTION fingerprint_of_state(
    p_owner_id uuid, p_seq bigint, p_balance bigint, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- hashint8extended folds the upper half of a number into the lower one: the upper is hashed too.
    SELECT hashint8extended(p_balance, hashint8extended(p_balance >> 32,
        hashint8extended(p_seq, hashint8extended(p_seq >> 32,
            uuid_hash_extended(p_owner_id, p_seed)))));
$$;
COMMENT ON FUNCTION fingerprint_of_state(uuid, bigint, bigint, bigint) IS
    'A 64-bit hash of an owner, a seq and the balance after it, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_generation(
    p_owner_id uuid, p_session_id uuid, p_request_id text, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtextextended(p_request_id,
        uuid_hash_extended(p_session_id, uuid_hash_extended(p_owner_id, p_seed)));
$$;
COMMENT ON FUNCTION fingerprint_of_generation(uuid, uuid, text, bigint) IS
    'A 64-bit hash of an owner, a session and the request id of both, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_bill(
    p_store_id uuid, p_seq bigint, p_credits bigint, p_request_id text, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtextextended(p_request_id,
        public.fingerprint_of_state(p_store_id, p_seq, p_credits, p_seed));
$$;
COMMENT ON FUNCTION fingerprint_of_bill(uuid, bigint, bigint, text, bigint) IS
    'A 64-bit hash of a store and a bill of its overage, under a seed.';

CREATE OR REPLACE FUNCTION total_weight(p_owner_id uuid, p_total bigint, p_seed bigint)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- p_total: -2 credits added, -1 credits clawed back, 0 overage not billed yet; else the seq of the
-- bill that closed the overage's period.
    SELECT hashint8extended(p_total, uuid_hash_extended(p_owner_id, p_seed))::numeric;
$$;
COMMENT ON FUNCTION total_weight(uuid, bigint, bigint) IS
    'By what a credit is multiplied that counts towards one of an owner''s totals, under a seed.';

CREATE OR REPLACE FUNCTION is_possible_movement(
    p_owner_kind text, p_seq bigint, p_type text, p_amount bigint, p_balance_after bigint,
    p_session_id uuid
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The functions take amounts as int; half of bigint for a balance keeps the sums in range.
    SELECT (p_seq >= 1
        AND p_amount BETWEEN 1 AND 2147483647
        AND p_balance_after BETWEEN 0 AND 4611686018427387904
        AND CASE p_owner_kind
            WHEN 'store' THEN p_type = 'deduction' OR p_type = 'refund'
                OR p_type = 'overage' AND p_balance_after = 0
                OR p_type IN ('overage_refund', 'overage_credit')
                OR p_type IN ('purchase', 'subscription', 'grant', 'clawback', 'overage_bill')
                    AND p_session_id IS NULL
            ELSE p_type = 'generation' OR p_type = 'refund'
                OR p_type IN ('signup_bonus', 'purchase', 'grant', 'clawback')
                    AND p_session_id IS NULL
            END) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_movement(text, bigint, text, bigint, bigint, uuid) IS
    'Whether one ledger row, looked at alone, could have been written by the functions.';

CREATE OR REPLACE FUNCTION balance_change(p_type text, p_amount bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The most frequent types first: this is worked out for every row of the ledger.
    SELECT greatest(p_amount, 0) * CASE p_type
        WHEN 'deduction' THEN -1 WHEN 'refund' THEN 1
        WHEN 'generation' THEN -1 WHEN 'clawback' THEN -1
        WHEN 'overage' THEN 0 WHEN 'overage_refund' THEN 0 WHEN 'overage_bill' THEN 0
        ELSE 1 END;
$$;
COMMENT ON FUNCTION balance_change(text, bigint) IS
    'What a movement of a type does to the balance; an amount below 0 does nothing.';

CREATE OR REPLACE FUNCTION sum_movements(
    p_owner_kind text, p_seed bigint, p_from tid, p_until tid
)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, totals numeric, generations numeric,
    refunds numeric, bills numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the movements' part of the sums, from the rows in [p_from, p_until) on disk.
-- A refund of a direct deduction has no session to be summed against: its deduction is looked up.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE NOT m.possible
                OR m.amount <> 1 AND m.session_id IS NOT NULL
                OR m.session_id IS NULL AND m.type = 'refund' AND m.amount > coalesce((
                    SELECT d.amount FROM public.ledger_movements() d
                    WHERE d.owner_kind = p_owner_kind
                      AND d.owner_id = m.owner_id AND d.request_id = m.request_id
                      AND d.type IN ('deduction', 'generation') AND d.session_id IS NULL
                    LIMIT 1), 0)
                -- What is overage was not deducted; it is given back as what it is, once.
                OR m.rare AND m.type IN ('overage', 'overage_credit') AND (
                    SELECT true FROM public.store_credit_transactions x
                    WHERE x.store_id = m.owner_id AND x.request_id = m.request_id
                      AND x.type = ANY (CASE m.type WHEN 'overage'
                          THEN ARRAY['deduction', 'refund'] ELSE ARRAY['overage_refund'] END)
                    LIMIT 1)
                -- Before its bill it is given back as overage, after it as a credit.
                OR m.rare AND m.type IN ('overage_refund', 'overage_credit') AND (
                    SELECT (m.type = 'overage_credit') = ((
                        SELECT true FROM public.store_overage_bills b
                        WHERE b.store_id = o.store_id AND b.seq > o.seq AND b.seq < m.seq
                        LIMIT 1) IS TRUE)
                    FROM public.store_credit_transactions o
                    WHERE o.store_id = m.owner_id AND o.request_id = m.request_id
                      AND o.type = 'overage' AND o.amount >= m.amount
                    LIMIT 1) IS NOT TRUE),
        coalesce(sum(public.fingerprint_of_state(m.owner_id, m.seq, m.balance_after, p_seed))
                FILTER (WHERE m.possible), 0)
            - coalesce(sum(public.fingerprint_of_state(
                m.owner_id, m.seq - 1, m.balance_after - m.change, p_seed))
                FILTER (WHERE m.possible), 0),
        coalesce(sum(m.amount * CASE
            WHEN m.type = 'clawback' THEN public.total_weight(m.owner_id, -1, p_seed)
            WHEN m.type IN ('overage', 'overage_refund', 'overage_bill') THEN
                public.total_weight(m.owner_id, coalesce((
                    SELECT min(b.seq) FROM public.store_overage_bills b
                    WHERE b.store_id = m.owner_id AND b.seq >= m.seq), 0), p_seed)
                * CASE m.type WHEN 'overage' THEN 1 ELSE -1 END
            ELSE public.total_weight(m.owner_id, -2, p_seed) END)
            FILTER (WHERE m.rare), 0),
        coalesce(sum(public.fingerprint_of_generation(
            m.owner_id, m.session_id, m.request_id, p_seed))
            FILTER (WHERE m.session_id IS NOT NULL AND m.is_charge), 0),
        coalesce(sum(public.fingerprint_of_generation(
            m.owner_id, m.session_id, m.request_id, p_seed))
            FILTER (WHERE m.session_id IS NOT NULL AND NOT m.is_charge), 0),
        coalesce(sum(public.fingerprint_of_bill(m.owner_id, m.seq, m.amount, m.request_id, p_seed))
            FILTER (WHERE m.rare AND m.type = 'overage_bill'), 0)
    FROM (
        SELECT t.owner_id, t.seq, t.type, t.amount, t.balance_after, t.session_id, t.request_id,
            public.balance_change(t.type, t.amount) AS change,
            (t.type = 'deduction' OR t.type = 'refund' OR t.type = 'generation') IS NOT TRUE
                AS rare,
            (t.type = 'deduction' OR t.type = 'generation' OR t.type = 'overage') IS TRUE
                AS is_charge,
            public.is_possible_movement(
                p_owner_kind, t.seq, t.type, t.amount, t.balance_after, t.session_id) AS possible
        FROM public.ledger_movements() t
        WHERE t.owner_kind = p_owner_kind AND t.place >= p_from AND t.place < p_until
        OFFSET 0  -- each row's change and possibility are worked out once
    ) m;
$$;
COMMENT ON FUNCTION sum_movements(text, bigint, tid, tid) IS
    'A ledger''s part of the sums that must come to 0, from a range of its pages.';

CREATE OR REPLACE FUNCTION sum_sessions(
    p_owner_kind text, p_seed bigint, p_from tid, p_until tid
)
RETURNS TABLE (rows_read bigint, impossible numeric, generations numeric, refunds numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the sessions' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE (s.status IN ('queued', 'processing', 'completed', 'failed')) IS NOT TRUE),
        -coalesce(sum(public.fingerprint_of_generation(
            s.owner_id, s.session_id, s.request_id, p_seed)), 0),
        -coalesce(sum(public.fingerprint_of_generation(
            s.owner_id, s.session_id, s.request_id, p_seed)) FILTER (WHERE s.status = 'failed'), 0)
    FROM public.ledger_sessions() s
    WHERE s.owner_kind = p_owner_kind AND s.place >= p_from AND s.place < p_until;
$$;
COMMENT ON FUNCTION sum_sessions(text, bigint, tid, tid) IS
    'The sessions'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_credits(
    p_owner_kind text, p_seed bigint, p_from tid, p_until tid
)
RETURNS TABLE (
    rows_read bigint, impossible numeric, states numeric, totals numeric, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the credit rows' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE (c.balance = c.total_added::numeric - c.total_spent - c.total_clawed_back)
                IS NOT TRUE),
        coalesce(sum(public.fingerprint_of_state(c.owner_id, 0, 0, p_seed)), 0)
            - coalesce(sum(public.fingerprint_of_state(
                c.owner_id, c.last_seq, c.balance, p_seed)), 0),
        -coalesce(sum(public.total_weight(c.owner_id, -2, p_seed) * c.total_added
            + public.total_weight(c.owner_id, -1, p_seed) * c.total_clawed_back
            + public.total_weight(c.owner_id, 0, p_seed) * c.overage_used), 0),
        coalesce(sum(uuid_hash_extended(c.owner_id, p_seed)), 0)
    FROM public.ledger_credits() c
    WHERE c.owner_kind = p_owner_kind AND c.place >= p_from AND c.place < p_until;
$$;
COMMENT ON FUNCTION sum_credits(text, bigint, tid, tid) IS
    'The credit rows'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_owners(
    p_owner_kind text, p_seed bigint, p_from tid, p_until tid
)
RETURNS TABLE (rows_read bigint, owners numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the owners' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*), -coalesce(sum(uuid_hash_extended(o.owner_id, p_seed)), 0)
    FROM public.ledger_owners() o
    WHERE o.owner_kind = p_owner_kind AND o.place >= p_from AND o.place < p_until;
$$;
COMMENT ON FUNCTION sum_owners(text, bigint, tid, tid) IS
    'The owners'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_overage_bills(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, bills numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the bills' part of the stores' sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        0::numeric + count(*) FILTER (
            WHERE (b.request_id = 'overage-' || to_char(b.period, 'YYYY-MM')) IS NOT TRUE),
        -coalesce(sum(public.fingerprint_of_bill(
            b.store_id, b.seq, b.credits, b.request_id, p_seed)), 0)
    FROM public.store_overage_bills b
    WHERE b.ctid >= p_from AND b.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_overage_bills(bigint, tid, tid) IS
    'The overage bills'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_payments(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, unbooked numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: count the payments without their movement, of the rows in [p_from, p_until) on disk.
--   Not the other way round: the operator may book a purchase that came in by another way.
    SELECT count(*), 0::numeric + count(*) FILTER (
        WHERE p.credits IS DISTINCT FROM coalesce((
            SELECT m.amount FROM public.ledger_movements() m
            WHERE m.owner_kind = CASE WHEN p.store_id IS NULL THEN 'user' ELSE 'store' END
              AND m.owner_id = coalesce(p.store_id, p.user_id) AND m.request_id = p.request_id
              AND m.type = CASE p.kind WHEN 'overage' THEN 'overage_bill' ELSE p.kind END
            LIMIT 1), 0))
    FROM public.payments p
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
            SELECT m.amount FROM public.payments p, public.ledger_movements() m
            WHERE p.paddle_transaction_id = c.paddle_transaction_id
              AND m.owner_kind = CASE WHEN p.store_id IS NULL THEN 'user' ELSE 'store' END
              AND m.owner_id = coalesce(p.store_id, p.user_id) AND m.request_id = c.adjustment_id
              AND m.type = 'clawback'
            LIMIT 1), 0))
    FROM public.clawbacks c
    WHERE c.ctid >= p_from AND c.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_clawbacks(bigint, tid, tid) IS
    'How many clawbacks in a range of their pages took anything else than their movement says.';
