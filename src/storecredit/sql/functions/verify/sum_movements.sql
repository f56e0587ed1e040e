-- The first question of `storecredit verify`: do the tables agree with each other? One pass over
-- each table in the order in which it lies on disk; a few sums, no joins, no sorting, the same
-- memory for any number of rows. storecredit.ledger.verify asks it, in one snapshot.
--
-- The sums are of fingerprints: 64-bit hashes under a seed drawn anew for each run. Equal sums mean
-- equal multisets, but for a chance of about 1 in 2^64. The sum_* functions return columns of the
-- same names, signed, so that over all tables each column comes to 0.
--   impossible   rows that contradict themselves or the rows they name (a count, never negative)
--   states       A movement leads from the state (account, seq - 1, balance, spent, clawed back,
--                overage used before) to the state after it. In a sound ledger each state is reached
--                once and left once, but for an account's first, which is all 0, and its last, that
--                of its newest movement: reached + first = left + last. A gap, a movement taken out
--                or put elsewhere, a number that does not follow leaves a state over.
--   generations  charges for a session = sessions, by (account, session, request, amount)
--   refunds      what was given back of such = failed sessions, likewise
--   owners       stores and users = accounts, by (owner, kind)
--   bills        bill movements = overage bills, by (account, seq, credits, request)
--   unbooked     payments and clawbacks without their movement (a count, never negative)
-- What no sum sees: the newest movements of an account, taken out, where no session, payment,
-- clawback or bill knows of them. `settled` and `late` count movements by their time, for that:
-- those from before the last verification must not have become fewer.
--
-- What a type does follows from movement_effect, movement_spent and movement_role. A movement that moves credits
-- between the balance and what was spent is plain; the others are rare beside these, and each is
-- looked up with those it belongs to. So is what was given back of a direct deduction, but neither
-- a deduction nor what a generation was given back. Look-ups are scalar, with LIMIT 1: an EXISTS
-- may be planned as a hash of the whole table.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL puts
-- them into the statement that calls them.

CREATE OR REPLACE FUNCTION fingerprint_of_account(
    p_account_id bigint, p_clawed_back float8, p_overage_used float8, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- As float8 a number is hashed whole, where hashint8extended folds its upper half into the lower
-- one. 0 leaves the seed as it is; half a credit more never is 0.
    SELECT CASE WHEN p_clawed_back IS NULL AND p_overage_used IS NULL
        THEN hashfloat8extended(p_account_id, p_seed)
        ELSE hashfloat8extended(coalesce(p_overage_used, 0) + 0.5,
            hashfloat8extended(coalesce(p_clawed_back, 0) + 0.5,
                hashfloat8extended(p_account_id, p_seed))) END;
$$;
COMMENT ON FUNCTION fingerprint_of_account(bigint, float8, float8, bigint) IS
    'A 64-bit hash of an account and the parts of its state that are rarely not null, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_state(
    p_account bigint, p_seq bigint, p_balance float8, p_spent float8
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Only what was spent is never hashed as 0: of two states, the same numbers in other places differ.
    SELECT hashfloat8extended(p_spent + 0.5, hashfloat8extended(p_balance, p_account # p_seq));
$$;
COMMENT ON FUNCTION fingerprint_of_state(bigint, bigint, float8, float8) IS
    'A 64-bit hash of the state of an account after a movement, given the fingerprint of the account.';

CREATE OR REPLACE FUNCTION fingerprint_of_generation(
    p_account_id bigint, p_session_id uuid, p_request_id text, p_credits bigint, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The same of a movement and of its session.
    SELECT hashtextextended(p_request_id,
        uuid_hash_extended(p_session_id, hashfloat8extended(p_account_id, p_seed) # p_credits));
$$;
COMMENT ON FUNCTION fingerprint_of_generation(bigint, uuid, text, bigint, bigint) IS
    'A 64-bit hash of an account, a session, the request id of both and the credits, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_bill(
    p_account_id bigint, p_seq bigint, p_credits bigint, p_request_id text, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The same of a bill and of its movement.
    SELECT hashtextextended(p_request_id, hashfloat8extended(p_credits + 0.5::float8,
        hashfloat8extended(p_account_id, p_seed) # p_seq));
$$;
COMMENT ON FUNCTION fingerprint_of_bill(bigint, bigint, bigint, text, bigint) IS
    'A 64-bit hash of an account and a bill of its overage, under a seed.';

CREATE OR REPLACE FUNCTION is_possible_movement(
    p_type text, p_amount bigint, p_balance_after bigint, p_spent_after bigint, p_session_id uuid
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The functions take amounts as int; a float8 holds numbers below 2^52 exactly, and a half.
    SELECT p_amount <= 2147483647
        AND (p_amount | p_balance_after | p_spent_after) BETWEEN 0 AND 4503599627370495
        AND (p_session_id IS NULL OR movement_role(p_type) IN ('charge', 'return')) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_movement(text, bigint, bigint, bigint, uuid) IS
    'Whether one movement, looked at alone, could have been written by the functions.';

CREATE OR REPLACE FUNCTION is_possible_rare_movement(
    p_type text, p_amount bigint, p_balance_after bigint, p_clawed_back_after bigint,
    p_overage_used_after bigint
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Nothing is used beyond a balance that there still is, and a bill closes all that was used.
    SELECT p_amount > 0
        AND coalesce(p_clawed_back_after, 1) BETWEEN 1 AND 4503599627370495
        AND coalesce(p_overage_used_after, 1) BETWEEN 1 AND 4503599627370495
        AND CASE movement_role(p_type)
            WHEN 'charge' THEN p_balance_after = 0
            WHEN 'bill' THEN p_overage_used_after IS NULL
            ELSE movement_role(p_type) IS NOT NULL END;
$$;
COMMENT ON FUNCTION is_possible_rare_movement(text, bigint, bigint, bigint, bigint) IS
    'Whether a movement that is not plain could, looked at alone, have been written by the functions.';

CREATE OR REPLACE FUNCTION look_up_overage(
    p_account_id bigint, p_seq bigint, p_type text, p_amount bigint, p_request_id text,
    p_session_id uuid
)
RETURNS TABLE (contradicts boolean)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether a charge or return that is not plain contradicts another movement of its request.
--   What is overage was not deducted as well; it is given back as what it is, once, and at most as
--   much: before its bill off the overage used, after it as a credit.
    SELECT (
            SELECT true FROM movements x
            WHERE x.account_id = p_account_id AND x.request_id = p_request_id AND x.type <> p_type
              AND CASE movement_role(x.type)
                  WHEN 'charge' THEN movement_role(p_type) = 'charge'
                  WHEN 'return' THEN movement_role(p_type) = 'return' OR p_type <> (
                      SELECT t.returns FROM movement_types t WHERE t.type = x.type)
                  ELSE false END
            LIMIT 1)
        OR movement_role(p_type) = 'return' AND (
            SELECT c.amount >= p_amount AND c.seq < p_seq
                AND c.session_id IS NOT DISTINCT FROM p_session_id
                AND ((movement_effect(p_type))[5] = 0) = ((
                    SELECT true FROM overage_bills b
                    WHERE b.account_id = p_account_id AND b.seq > c.seq AND b.seq < p_seq
                    LIMIT 1) IS TRUE)
            FROM movements c
            WHERE c.account_id = p_account_id AND c.request_id = p_request_id
              AND c.type = (SELECT t.returns FROM movement_types t WHERE t.type = p_type)
            LIMIT 1) IS NOT TRUE;
$$;
COMMENT ON FUNCTION look_up_overage(bigint, bigint, text, bigint, text, uuid) IS
    'Whether a charge or return that is not plain contradicts another movement of its request.';

CREATE OR REPLACE FUNCTION movements_on_disk(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    created_at timestamptz, account_id bigint, account bigint, seq bigint, type text, amount bigint,
    spent float8, balance_after bigint, spent_after bigint, clawed_back_after bigint,
    overage_used_after bigint, session_id uuid, request_id text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the movements in [p_from, p_until) on disk. `account` is the account's fingerprint;
--   `spent` what the movement adds to what was spent: 0: it is not plain; null: no such type.
    SELECT t.created_at, t.account_id,
        fingerprint_of_account(
            t.account_id, t.clawed_back_after, t.overage_used_after, p_seed),
        t.seq, t.type, t.amount, movement_spent(t.type) * t.amount::float8, t.balance_after,
        t.spent_after, t.clawed_back_after, t.overage_used_after, t.session_id, t.request_id
    FROM movements t
    WHERE t.ctid >= p_from AND t.ctid < p_until
    OFFSET 0;  -- each row's fingerprint and effect are worked out once
$$;
COMMENT ON FUNCTION movements_on_disk(bigint, tid, tid) IS
    'The movements in a range of pages, with what is worked out once for each.';

CREATE OR REPLACE FUNCTION sum_movements(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, settled bigint, late bigint, impossible numeric, states numeric,
    generations numeric, refunds numeric, bills numeric)
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
                    WHEN m.spent < 0 THEN (
                        SELECT c.amount >= m.amount AND c.seq < m.seq AND c.session_id IS NULL
                        FROM movements c
                        WHERE c.account_id = m.account_id AND c.request_id = m.request_id
                          AND c.type = (
                              SELECT t.returns FROM movement_types t WHERE t.type = m.type)
                        LIMIT 1) IS NOT TRUE
                    ELSE NOT is_possible_rare_movement(m.type, m.amount, m.balance_after,
                            m.clawed_back_after, m.overage_used_after)
                        OR (SELECT a.owner_kind = ANY (t.owner_kinds)
                            FROM accounts a, movement_types t
                            WHERE a.account_id = m.account_id AND t.type = m.type
                            LIMIT 1) IS NOT TRUE
                        OR movement_role(m.type) IN ('charge', 'return') AND (
                            SELECT o.contradicts FROM look_up_overage(m.account_id, m.seq, m.type,
                                m.amount, m.request_id, m.session_id) o
                            LIMIT 1) END),
        coalesce(sum(fingerprint_of_state(m.account, m.seq, m.balance_after, m.spent_after)), 0)
            - coalesce(sum(fingerprint_of_state(m.account, greatest(m.seq, 0) - 1,
                m.balance_after + m.spent, m.spent_after - m.spent))
                FILTER (WHERE m.spent <> 0), 0)
            - coalesce(sum(fingerprint_of_state(
                fingerprint_of_account(m.account_id,
                    nullif(coalesce(m.clawed_back_after, 0)
                        - (movement_effect(m.type))[4] * m.amount::float8, 0),
                    nullif(coalesce(m.overage_used_after, 0)
                        - (movement_effect(m.type))[5] * m.amount::float8, 0), p_seed),
                greatest(m.seq, 0) - 1,
                m.balance_after - (movement_effect(m.type))[1] * m.amount::float8, m.spent_after))
                FILTER (WHERE m.spent = 0), 0),
        coalesce(sum(fingerprint_of_generation(
                m.account_id, m.session_id, m.request_id, m.amount, p_seed))
            FILTER (WHERE m.session_id IS NOT NULL AND movement_role(m.type) = 'charge'), 0),
        coalesce(sum(fingerprint_of_generation(
                m.account_id, m.session_id, m.request_id, m.amount, p_seed))
            FILTER (WHERE m.session_id IS NOT NULL AND movement_role(m.type) <> 'charge'), 0),
        coalesce(sum(fingerprint_of_bill(m.account_id, m.seq, m.amount, m.request_id, p_seed))
            FILTER (WHERE m.spent = 0 AND movement_role(m.type) = 'bill'), 0)
    FROM movements_on_disk(p_seed, p_from, p_until) m;
$$;
COMMENT ON FUNCTION sum_movements(bigint, tid, tid) IS
    'The movements'' part of the sums that must come to 0, from a range of their pages.';
