-- What ends by itself: grants that expire, holds whose time is over. Each ends at its instant. Whoever
-- moves credits of the account after that writes the movements of what has ended first; the sweep does
-- so where nobody comes. Until then, state_of_account counts it as ended.
--
-- The clock is the database's, read while the account is locked: a transaction that had to wait for the
-- lock must not decide by the moment at which it began.

CREATE OR REPLACE FUNCTION settle_accounts(
    p_account_ids bigint[], p_at timestamptz, p_enough bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: write the movements of all that has ended in these accounts by p_at; of each account in order
--   of time, of a grant and a hold that end at the same instant the hold first. And find when something
--   ends next. p_enough: after so many movements what is left stays due; null: none is left.
-- Locks: the caller holds the accounts'; their holds. Idempotent. Returns: how many were written.
DECLARE
    v_due bigint[] := p_account_ids;
    v_count bigint := 0;
BEGIN
    LOOP
        v_due := due_accounts(v_due, p_at);
        EXIT WHEN v_due IS NULL OR v_count >= p_enough;
        v_count := v_count + expire_grants(v_due, p_at);
        v_count := v_count + expire_holds(v_due, p_at);
    END LOOP;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION settle_accounts(bigint[], timestamptz, bigint) IS
    'Writes the movements of all that has ended in these accounts by a moment. Returns how many.';

CREATE OR REPLACE FUNCTION due_accounts(p_account_ids bigint[], p_at timestamptz)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: those of the accounts of which something ends by p_at, each once; null: none. Locks: none.
BEGIN
    -- One by one: by when they expire, all that are due would be found, and there may be any number.
    RETURN (
        SELECT array_agg(i.account_id)
        FROM (SELECT DISTINCT u.account_id FROM unnest(p_account_ids) AS u (account_id)) i
        CROSS JOIN LATERAL (
            SELECT x.next_expiry FROM accounts x WHERE x.account_id = i.account_id LIMIT 1) a
        WHERE a.next_expiry <= p_at);
END;
$$;
COMMENT ON FUNCTION due_accounts(bigint[], timestamptz) IS
    'Those of some accounts of which something ends by a moment; null: none.';

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
        PERFORM settle_accounts(ARRAY[p_account_id], clock_timestamp());
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

CREATE OR REPLACE FUNCTION ends_of_accounts(p_account_ids bigint[])
RETURNS TABLE (
    account_id bigint, seq bigint, balance bigint, spent bigint, clawed_back bigint,
    overage_used bigint, held bigint, expired bigint, removed bigint, grants bigint[],
    hold_expires_at timestamptz, grant_seq bigint, expires_at timestamptz, rollover_max bigint,
    rollover_until timestamptz
)
LANGUAGE sql STABLE
AS $$
-- Purpose: what is to end in these accounts: a row per grant that has credits left and expires, in order
--   of time, or one of nulls; each with the newest movement, and when the first open hold ends.
    SELECT i.account_id, m.seq, m.balance_after, m.spent_after, m.clawed_back_after,
        m.overage_used_after, m.held_after, m.expired_after, m.removed_after, m.grants_after,
        h.expires_at, g.seq, g.expires_at, g.rollover_max, g.rollover_until
    FROM unnest(p_account_ids) AS i (account_id)
    LEFT JOIN LATERAL (
        SELECT n.* FROM movements n WHERE n.account_id = i.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true
    LEFT JOIN LATERAL (
        SELECT x.expires_at FROM holds x
        WHERE x.account_id - 0 = i.account_id AND x.ended_at IS NULL
        ORDER BY x.expires_at, x.hold_id LIMIT 1) h ON true
    LEFT JOIN LATERAL (
        SELECT x.seq, x.expires_at, x.rollover_max, x.rollover_until
        FROM unnest(m.grants_after) WITH ORDINALITY AS l (seq, place)
        CROSS JOIN LATERAL (
            SELECT y.* FROM grants y
            WHERE y.account_id = i.account_id AND y.seq = l.seq LIMIT 1) x
        WHERE l.place % 2 = 1 AND x.expires_at IS NOT NULL) g ON true
    ORDER BY i.account_id, g.expires_at, g.seq;
$$;
COMMENT ON FUNCTION ends_of_accounts(bigint[]) IS
    'What is to end in accounts, in order of time, with what they have now.';

CREATE OR REPLACE FUNCTION expire_grants(p_account_ids bigint[], p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: end the grants whose time is over by p_at, up to the end of the first hold: what is left of
--   them leaves the balance, but for what their terms carry into the next period. And note when
--   something of the accounts ends next, which may be by p_at as well.
-- Locks: the caller holds the accounts'. Idempotent. Returns: how many movements were written.
DECLARE
    -- Each movement has a list of what all grants have left: about so many numbers at once.
    c_numbers_max CONSTANT bigint := 1000000;
    v_row record; v_numbers bigint := 0; v_left bigint; v_kept bigint; v_amount bigint; v_type text;
    v_effect int[]; v_account bigint; v_seq bigint; v_balance bigint; v_expired bigint;
    v_grants bigint[]; v_next timestamptz; v_ids bigint[]; v_nexts timestamptz[]; k int := 0;
    v_types text[]; v_seqs bigint[]; v_balances bigint[]; v_spents bigint[];
    v_claweds bigint[]; v_useds bigint[]; v_accounts bigint[]; v_amounts bigint[];
    v_requests text[]; v_descriptions text[]; v_rests movement_rest[]; n int := 0;
BEGIN
    FOR v_row IN SELECT * FROM ends_of_accounts(p_account_ids) LOOP
        IF v_account IS DISTINCT FROM v_row.account_id THEN
            v_account := v_row.account_id; v_seq := v_row.seq; v_balance := v_row.balance;
            v_expired := coalesce(v_row.expired, 0); v_grants := v_row.grants;
            k := k + 1; v_ids[k] := v_account; v_next := v_row.hold_expires_at;
        END IF;
        IF v_row.expires_at <= p_at AND (v_next <= v_row.expires_at) IS NOT TRUE
            AND v_numbers < c_numbers_max THEN
            v_left := credits_in_grants(v_grants, v_row.grant_seq);
            v_kept := least(coalesce(v_row.rollover_max, 0), v_left);
            FOREACH v_type IN ARRAY ARRAY['rollover', 'expiry'] LOOP
                v_amount := CASE v_type WHEN 'rollover' THEN v_kept ELSE v_left - v_kept END;
                CONTINUE WHEN v_amount = 0;
                v_effect := movement_effect(v_type); v_seq := v_seq + 1;
                v_balance := v_balance + v_effect[1] * v_amount;
                v_expired := v_expired + v_effect[7] * v_amount;
                IF v_type = 'rollover' THEN
                    v_grants := roll_over(v_account, v_grants, v_row.grant_seq, v_seq, v_kept);
                    v_next := least(v_next, v_row.rollover_until);
                ELSE
                    v_grants := grants_without(v_grants, v_row.grant_seq);
                END IF;
                n := n + 1; v_numbers := v_numbers + cardinality(v_grants);
                v_types[n] := v_type; v_seqs[n] := v_seq; v_balances[n] := v_balance;
                v_spents[n] := v_row.spent; v_claweds[n] := v_row.clawed_back;
                v_useds[n] := v_row.overage_used; v_accounts[n] := v_account;
                v_amounts[n] := v_amount; v_requests[n] := 'grant:' || v_row.grant_seq;
                v_descriptions[n] := CASE v_type WHEN 'rollover' THEN 'Carried into the next period'
                    ELSE 'Expired' END;
                v_rests[n] := ROW(v_row.held, v_expired, v_row.removed, v_grants, v_row.grant_seq,
                    NULL, p_at)::movement_rest;
            END LOOP;
        ELSE
            v_next := least(v_next, v_row.expires_at);
        END IF;
        v_nexts[k] := v_next;
    END LOOP;
    PERFORM append_movements(v_types, v_seqs, v_balances, v_spents, v_claweds, v_useds,
        v_accounts, v_amounts, v_requests, NULL, v_descriptions, v_rests) WHERE n > 0;
    UPDATE accounts a SET next_expiry = v_nexts[array_position(v_ids, a.account_id)]
    WHERE a.account_id = ANY (v_ids);
    RETURN n;
END;
$$;
COMMENT ON FUNCTION expire_grants(bigint[], timestamptz) IS
    'Ends the grants of accounts whose time is over, up to the end of a hold. Returns how many movements '
    'were written.';

CREATE OR REPLACE FUNCTION roll_over(
    p_account_id bigint, p_grants bigint[], p_seq bigint, p_next_seq bigint, p_amount bigint
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: carry so many credits of the grant p_seq into the next period, as a grant of the movement
--   p_next_seq. Locks: the caller holds the account's. Not idempotent.
-- Returns: what the grants have left then.
BEGIN
    PERFORM write_grant(p_account_id, p_next_seq, p_amount, g.kind, g.priority, g.rollover_until, g.grace)
    FROM grants g WHERE g.account_id = p_account_id AND g.seq = p_seq;
    RETURN add_to_grants(p_account_id, p_grants, ARRAY[p_seq, -p_amount, p_next_seq, p_amount]);
END;
$$;
COMMENT ON FUNCTION roll_over(bigint, bigint[], bigint, bigint, bigint) IS
    'Carries credits of a grant into the next period. Returns what the grants have left then.';

CREATE OR REPLACE FUNCTION expire_holds(p_account_ids bigint[], p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: end the first hold of each of these accounts of which nothing else ends before it by p_at.
--   When something ends next is not known then: the account stays due.
-- Locks: the caller holds the accounts'; the holds. Idempotent. Returns: how many.
BEGIN
    RETURN (
        SELECT count(end_hold(f.account_id, f.hold_id, 'expired', 0, f.expires_at))
        FROM (SELECT h.account_id, h.hold_id, h.expires_at
              FROM unnest(due_accounts(p_account_ids, p_at)) AS i (account_id)
              CROSS JOIN LATERAL (
                  SELECT x.next_expiry FROM accounts x WHERE x.account_id = i.account_id LIMIT 1) a
              CROSS JOIN LATERAL (
                  SELECT x.account_id, x.hold_id, x.expires_at FROM holds x
                  WHERE x.account_id - 0 = i.account_id AND x.ended_at IS NULL
                  ORDER BY x.expires_at, x.hold_id LIMIT 1) h
              WHERE h.expires_at <= a.next_expiry
              ORDER BY h.account_id) f);
END;
$$;
COMMENT ON FUNCTION expire_holds(bigint[], timestamptz) IS
    'Ends the first hold of each account of which nothing else ends before it. Returns how many.';

CREATE OR REPLACE FUNCTION expire_credits(p_account_ids bigint[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: write the movements of what has ended by now in these accounts: a thousand or some more at
--   once, so that no call takes long; whatever is left is still due. Locks: the accounts, ascending,
--   then their holds. Idempotent. Returns: how many were written.
BEGIN
    PERFORM FROM accounts a WHERE a.account_id = ANY (p_account_ids)
    ORDER BY a.account_id FOR NO KEY UPDATE;
    RETURN settle_accounts(p_account_ids, clock_timestamp(), 1000);
END;
$$;
COMMENT ON FUNCTION expire_credits(bigint[]) IS
    'Writes the movements of what has ended by now in these accounts, a thousand or some more at once. '
    'Returns how many; 0: nothing is left.';

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
        WHERE h.account_id - 0 = p_account_id AND h.ended_at IS NULL AND h.expires_at <= p_at
        ORDER BY h.expires_at, h.hold_id
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
--   ended, whether its movement is written or not. Reads only; says what settle_accounts would leave,
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
