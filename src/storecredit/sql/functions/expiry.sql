-- What ends by itself: grants that expire, holds whose time is over. Each ends at its instant. Whoever
-- moves credits of the account after that writes the movements of what has ended first; the sweep does
-- so where nobody comes. Until then, state_of_account counts it as ended.
--
-- The clock is the database's, read while the account is locked: a transaction that had to wait for the
-- lock must not decide by the moment at which it began.

CREATE OR REPLACE FUNCTION settle_account(p_account_id bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: write the movements of all that has ended in an account by p_at, in order of time; of a grant
--   and a hold that end at the same instant, the hold first. And find when something ends next.
-- Locks: the account, then its holds. Idempotent. Returns: how many movements were written.
DECLARE
    v_account record := lock_account(p_account_id);
    v_grants bigint[];
    v_hold record;
    v_grant record;
    v_count bigint := 0;
BEGIN
    IF (v_account.next_expiry <= p_at) IS NOT TRUE THEN
        RETURN 0;
    END IF;
    LOOP
        v_grants := v_account.grants;
        SELECT h.hold_id, h.expires_at INTO v_hold FROM holds h
        WHERE h.account_id = p_account_id AND h.ended_at IS NULL AND h.expires_at <= p_at
        ORDER BY h.account_id, h.expires_at, h.hold_id LIMIT 1;
        SELECT g.seq, g.expires_at INTO v_grant
        FROM generate_series(1, cardinality(v_grants), 2) i
        CROSS JOIN LATERAL (SELECT x.* FROM grants x
            WHERE x.account_id = p_account_id AND x.seq = v_grants[i] LIMIT 1) g
        WHERE g.expires_at <= p_at
        ORDER BY g.expires_at, g.seq LIMIT 1;
        EXIT WHEN v_hold.hold_id IS NULL AND v_grant.seq IS NULL;
        IF v_hold.hold_id IS NOT NULL AND (v_grant.expires_at < v_hold.expires_at) IS NOT TRUE THEN
            PERFORM end_hold(p_account_id, v_hold.hold_id, 'expired', 0, v_hold.expires_at);
            v_count := v_count + 1;
        ELSE
            v_count := v_count + expire_grant(p_account_id, v_grant.seq, p_at);
        END IF;
        v_account := lock_account(p_account_id);
    END LOOP;
    UPDATE accounts a SET next_expiry = least(
        (SELECT min(g.expires_at) FROM generate_series(1, cardinality(v_grants), 2) i
         CROSS JOIN LATERAL (SELECT x.* FROM grants x
             WHERE x.account_id = p_account_id AND x.seq = v_grants[i] LIMIT 1) g),
        (SELECT h.expires_at FROM holds h
         WHERE h.account_id = p_account_id AND h.ended_at IS NULL
         ORDER BY h.account_id, h.expires_at, h.hold_id LIMIT 1))
    WHERE a.account_id = p_account_id;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION settle_account(bigint, timestamptz) IS
    'Writes the movements of all that has ended in an account by a moment. Returns how many.';

CREATE OR REPLACE FUNCTION lock_settled_account(
    p_account_id bigint,
    OUT seq bigint, OUT balance bigint, OUT spent bigint, OUT clawed_back bigint,
    OUT overage_used bigint, OUT held bigint, OUT expired bigint, OUT removed bigint,
    OUT grants bigint[], OUT next_expiry timestamptz
)
LANGUAGE plpgsql
AS $$
-- Purpose: lock_account, and what has ended by now is written first.
-- Locks: the account. Errors: unknown_account.
DECLARE
    v_account record := lock_account(p_account_id);
BEGIN
    IF v_account.next_expiry <= clock_timestamp() THEN
        PERFORM settle_account(p_account_id, clock_timestamp());
        v_account := lock_account(p_account_id);
    END IF;
    seq := v_account.seq;
    balance := v_account.balance;
    spent := v_account.spent;
    clawed_back := v_account.clawed_back;
    overage_used := v_account.overage_used;
    held := v_account.held;
    expired := v_account.expired;
    removed := v_account.removed;
    grants := v_account.grants;
    next_expiry := v_account.next_expiry;
END;
$$;
COMMENT ON FUNCTION lock_settled_account(bigint) IS
    'Locks one account, writes what has ended, and returns the state after its newest movement. '
    'Errors: SC010 unknown account.';

CREATE OR REPLACE FUNCTION expire_grant(p_account_id bigint, p_seq bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: end a grant whose time is over: what is left of it leaves the balance, but for what its terms
--   carry into the next period. Locks: the caller holds the account's. Not idempotent.
-- Returns: how many movements were written.
DECLARE
    v_terms grants;
    v_account record := lock_account(p_account_id);
    v_left bigint := credits_in_grants(v_account.grants, p_seq);
    v_kept bigint;
    v_next bigint := v_account.seq + 1;
BEGIN
    SELECT g.* INTO v_terms FROM grants g WHERE g.account_id = p_account_id AND g.seq = p_seq;
    v_kept := least(coalesce(v_terms.rollover_max, 0), v_left);
    IF v_kept > 0 THEN
        PERFORM write_grant(p_account_id, v_next, v_kept, v_terms.kind, v_terms.priority,
            v_terms.rollover_until, v_terms.grace);
        PERFORM append_movement(p_account_id, 'rollover', v_kept, 'grant:' || p_seq,
            'Carried into the next period',
            add_to_grants(p_account_id, v_account.grants, ARRAY[p_seq, -v_kept, v_next, v_kept]),
            p_seq, NULL, p_at);
        v_account := lock_account(p_account_id);
    END IF;
    IF v_left > v_kept THEN
        PERFORM append_movement(p_account_id, 'expiry', v_left - v_kept, 'grant:' || p_seq, 'Expired',
            grants_without(v_account.grants, p_seq), p_seq, NULL, p_at);
    END IF;
    RETURN (v_kept > 0)::int + (v_left > v_kept)::int;
END;
$$;
COMMENT ON FUNCTION expire_grant(bigint, bigint, timestamptz) IS
    'Ends a grant whose time is over. Returns how many movements were written.';

CREATE OR REPLACE FUNCTION expire_credits(p_account_ids bigint[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: write the movements of all that has ended by now in these accounts.
-- Locks: the accounts, ascending, then their holds. Idempotent. Returns: how many were written.
DECLARE
    v_account_id bigint;
    v_count bigint := 0;
BEGIN
    FOR v_account_id IN
        SELECT DISTINCT i.account_id FROM unnest(p_account_ids) i (account_id) ORDER BY i.account_id
    LOOP
        PERFORM FROM accounts a WHERE a.account_id = v_account_id FOR NO KEY UPDATE;
        IF FOUND THEN
            v_count := v_count + settle_account(v_account_id, clock_timestamp());
        END IF;
    END LOOP;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION expire_credits(bigint[]) IS
    'Writes the movements of all that has ended by now in these accounts. Returns how many.';

CREATE OR REPLACE FUNCTION holds_over(
    p_account_id bigint, p_grants bigint[], p_at timestamptz,
    OUT released bigint, OUT grants bigint[], OUT late bigint[]
)
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: what the open holds give back whose time is over at p_at: how many credits, what the grants
--   have left then, and of which those are that had expired before their hold was over.
DECLARE
    v_hold record;
    v_taken bigint[];
    v_seq bigint;
BEGIN
    released := 0;
    grants := p_grants;
    late := '{}';
    FOR v_hold IN
        SELECT h.seq, h.amount, h.expires_at FROM holds h
        WHERE h.account_id = p_account_id AND h.ended_at IS NULL AND h.expires_at <= p_at
        ORDER BY h.account_id, h.expires_at, h.hold_id
    LOOP
        released := released + v_hold.amount;
        v_taken := coalesce(grants_taken(p_account_id, v_hold.seq),
            fill_grants(p_account_id, grants, v_hold.seq, v_hold.amount));
        FOR i IN 1 .. cardinality(v_taken) BY 2 LOOP
            v_seq := reissued_grant(p_account_id, v_taken[i]);
            IF EXISTS (SELECT FROM grants g
                       WHERE g.account_id = p_account_id AND g.seq = v_seq
                         AND g.expires_at <= v_hold.expires_at) THEN
                late := late || ARRAY[v_seq, v_taken[i + 1]];
            ELSE
                grants := add_to_grants(p_account_id, grants, ARRAY[v_seq, v_taken[i + 1]]);
            END IF;
        END LOOP;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION holds_over(bigint, bigint[], timestamptz) IS
    'What open holds give back whose time is over at a moment.';

CREATE OR REPLACE FUNCTION state_of_account(
    p_account_id bigint, p_at timestamptz DEFAULT clock_timestamp(),
    OUT balance bigint, OUT spent bigint, OUT clawed_back bigint, OUT overage_used bigint,
    OUT held bigint, OUT expired bigint, OUT removed bigint, OUT grants bigint[]
)
LANGUAGE plpgsql STABLE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: what an account has at p_at, from its newest movement on: what has ended by then counts as
--   ended, whether its movement is written or not. Reads only; says what settle_account would leave,
--   but that what a hold had of a grant which expired first, and whose grace is over as well, may be
--   told as still there until it is written.
-- Locks: none. grants: what each has left, {seq, credits, ...} in the order in which they are
--   spent, also where nothing tells them apart. All 0 where there is no such account.
DECLARE
    v_grants bigint[];
    v_released bigint;
    v_late bigint[];
    v_gone bigint;
    v_ended bigint[];
BEGIN
    SELECT coalesce(m.balance_after, 0), coalesce(m.spent_after, 0),
        coalesce(m.clawed_back_after, 0), coalesce(m.overage_used_after, 0),
        coalesce(m.held_after, 0), coalesce(m.expired_after, 0), coalesce(m.removed_after, 0),
        grants_told_apart(m.grants_after, a.next_expiry)
    INTO balance, spent, clawed_back, overage_used, held, expired, removed, grants
    FROM accounts a LEFT JOIN LATERAL (
        SELECT n.* FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
    WHERE a.account_id = p_account_id;
    grants := grants_of_account(p_account_id, coalesce(balance, 0), grants);
    IF (SELECT a.next_expiry <= p_at FROM accounts a WHERE a.account_id = p_account_id) IS NOT TRUE
    THEN
        RETURN;
    END IF;
    SELECT h.released, h.grants, h.late INTO v_released, v_grants, v_late
    FROM holds_over(p_account_id, grants, p_at) h;
    balance := balance + v_released;
    held := held - v_released;
    SELECT coalesce(sum(e.credits) FILTER (WHERE v.place = 1), 0), array_agg(v.number ORDER BY e.seq, v.place)
    INTO v_gone, v_ended
    FROM (
        SELECT g.seq, v_grants[i + 1] - least(v_grants[i + 1],
            CASE WHEN g.rollover_until > p_at THEN g.rollover_max ELSE 0 END) AS credits
        FROM generate_series(1, cardinality(v_grants), 2) i
        CROSS JOIN LATERAL (SELECT x.* FROM grants x
            WHERE x.account_id = p_account_id AND x.seq = v_grants[i] LIMIT 1) g
        WHERE g.expires_at <= p_at
    ) e,
    unnest(ARRAY[e.seq, -e.credits]) WITH ORDINALITY v (number, place);
    balance := balance - v_gone;
    expired := expired + v_gone;
    grants := add_to_grants(p_account_id, v_grants, v_ended || v_late);
END;
$$;
COMMENT ON FUNCTION state_of_account(bigint, timestamptz) IS
    'What an account has at a moment, from its newest movement on; what has ended by then counts as '
    'ended, whether its movement is written or not.';
