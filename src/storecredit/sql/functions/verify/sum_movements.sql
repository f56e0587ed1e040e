-- The first question of `storecredit verify`: do the tables agree with each other? One pass over
-- each table in the order in which it lies on disk; a few sums, no joins, no sorting, the same
-- memory for any number of rows. storecredit.ledger.verify asks it, in one snapshot.
--
-- The sums are of fingerprints: 64-bit hashes under a seed drawn anew for each run. Equal sums mean
-- equal multisets, but for a chance of about 1 in 2^64. The sum_* functions return columns of the
-- same names, signed, so that over all tables each column comes to 0.
--   impossible   rows that contradict themselves or the rows they name (a count, never negative)
--   states       A movement leads from the state (account, seq - 1, balance, spent, clawed back,
--                overage used, held, expired, removed before) to the state after it. In a sound
--                ledger each state is reached once and left once, but for an account's first, which
--                is all 0, and its last, that of its newest movement: reached + first = left + last.
--                A gap, a movement taken out or put elsewhere, a number that does not follow leaves
--                a state over.
--   generations  charges for a session = sessions + archived ones, by (account, session, request, amount)
--   refunds      what was given back of such = failed sessions, likewise
--   archived     how many sessions each archive says that it has = how many are kept of it
--   owners       stores and users = accounts, by (owner, kind)
--   records      movements with a record of their own = the records, by (what, account, seq, credits,
--                request): a bill, a hold and each of its ends, a grant. And what is transferred out of
--                an account = what is transferred into one, by (credits, request), here or elsewhere
--   held         what the newest movements say is held = open holds: the credits of an account, times
--                a hash of it
--   unbooked     payments, clawbacks and spends without their movement (a count, never negative)
-- What no sum sees: the newest movements of an account, taken out, where no session, payment,
-- clawback or bill knows of them. `settled` and `late` count movements by their time, for that:
-- those from before the last verification must not have become fewer.
--
-- What a type does follows from movement_effect, movement_spent and movement_role. A movement that moves credits
-- between the balance and what was spent is plain; the others are rare beside these, and each is
-- looked up with those it belongs to. So is what was given back of a direct deduction, but neither
-- a deduction nor what a generation was given back, unless it tells what each grant has left or names
-- the movement it comes from. Look-ups are scalar, with LIMIT 1: an EXISTS may be planned as a hash of
-- the whole table.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL puts
-- them into the statement that calls them.

CREATE OR REPLACE FUNCTION movements_on_disk(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    created_at timestamptz, account_id bigint, account bigint, seq bigint, type text, amount bigint,
    spent float8, balance_after bigint, spent_after bigint, clawed_back_after bigint,
    overage_used_after bigint, held_after bigint, expired_after bigint, removed_after bigint,
    origin_seq bigint, grants_after bigint[], session_id uuid, request_id text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the movements in [p_from, p_until) on disk. `account` is the account's fingerprint;
--   `spent` what the movement adds to what was spent: 0: it is not plain; null: no such type.
    SELECT t.created_at, t.account_id,
        fingerprint_of_account(
            t.account_id, t.clawed_back_after, t.overage_used_after, t.held_after,
            t.expired_after, t.removed_after, p_seed),
        t.seq, t.type, t.amount, movement_spent(t.type) * t.amount::float8, t.balance_after,
        t.spent_after, t.clawed_back_after, t.overage_used_after, t.held_after, t.expired_after,
        t.removed_after, t.origin_seq, t.grants_after, t.session_id, t.request_id
    FROM movements t
    WHERE t.ctid >= p_from AND t.ctid < p_until
    OFFSET 0;  -- each row's fingerprint and effect are worked out once
$$;
COMMENT ON FUNCTION movements_on_disk(bigint, tid, tid) IS
    'The movements in a range of pages, with what is worked out once for each.';

CREATE OR REPLACE FUNCTION sum_movements(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, settled bigint, late bigint, impossible numeric, states numeric,
    generations numeric, refunds numeric, records numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the movements' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*),
        count(*) - count(*) FILTER (
            WHERE m.created_at >= (SELECT l.settled_at FROM last_verification l)),
        count(*) FILTER (WHERE m.created_at >= (SELECT now())),
        0::numeric + count(*) FILTER (
            WHERE NOT is_possible_movement(
                    m.type, m.amount, m.balance_after, m.spent_after, m.session_id)
                OR CASE WHEN m.spent > 0 THEN false
                    WHEN m.spent < 0 AND m.session_id IS NOT NULL THEN false
                    WHEN m.spent < 0 AND m.origin_seq IS NOT NULL THEN false
                    WHEN m.spent < 0 THEN (
                        SELECT c.amount >= m.amount AND c.seq < m.seq AND c.session_id IS NULL
                        FROM movements c
                        WHERE c.account_id = m.account_id AND c.request_id = m.request_id
                          AND c.type = (
                              SELECT t.returns FROM movement_types t WHERE t.type = m.type)
                        LIMIT 1) IS NOT TRUE
                    ELSE NOT is_possible_rare_movement(m.type, m.amount, m.balance_after,
                            m.clawed_back_after, m.overage_used_after, m.held_after,
                            m.expired_after, m.removed_after)
                        OR rare_movement_contradicts(m.account_id, m.seq, m.type, m.amount,
                            m.request_id, m.session_id, m.origin_seq, m.created_at) END
                OR m.origin_seq IS NOT NULL AND origin_contradicts(
                    m.account_id, m.seq, m.type, m.request_id, m.session_id, m.origin_seq)
                OR m.grants_after IS NOT NULL AND (
                    (look_at_grants(m.account_id, m.seq)).kind IS NOT NULL
                    OR next_is_untold(m.account_id, m.seq, m.grants_after))),
        coalesce(sum(fingerprint_of_state(m.account, m.seq, m.balance_after, m.spent_after)), 0)
            - coalesce(sum(fingerprint_of_state(m.account, greatest(m.seq, 0) - 1,
                m.balance_after + m.spent, m.spent_after - m.spent))
                FILTER (WHERE m.spent <> 0), 0)
            - coalesce(sum(fingerprint_of_state_before(m.account_id, m.seq, m.type, m.amount,
                m.balance_after, m.spent_after, m.clawed_back_after, m.overage_used_after,
                m.held_after, m.expired_after, m.removed_after, p_seed))
                FILTER (WHERE m.spent = 0), 0),
        coalesce(sum(fingerprint_of_generation(m.account_id, m.session_id, m.request_id, m.amount,
                coalesce((SELECT a.seed FROM archiving a WHERE a.only_row), p_seed)))
            FILTER (WHERE m.session_id IS NOT NULL AND movement_role(m.type) = 'charge'), 0),
        coalesce(sum(fingerprint_of_generation(m.account_id, m.session_id, m.request_id, m.amount,
                coalesce((SELECT a.seed FROM archiving a WHERE a.only_row), p_seed)))
            FILTER (WHERE m.session_id IS NOT NULL AND movement_role(m.type) <> 'charge'), 0),
        coalesce(sum(fingerprint_of_records(m.account_id, m.seq, m.type, m.amount, m.request_id,
                m.origin_seq, m.grants_after, p_seed))
            FILTER (WHERE m.spent = 0 OR m.grants_after IS NOT NULL), 0)
    FROM movements_on_disk(p_seed, p_from, p_until) m;
$$;
COMMENT ON FUNCTION sum_movements(bigint, tid, tid) IS
    'The movements'' part of the sums that must come to 0, from a range of their pages.';
