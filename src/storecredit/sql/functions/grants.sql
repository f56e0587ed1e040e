-- Grants: what each addition has left, where something tells the credits of an account apart (an expiry,
-- a priority, paid from promo). It stands in movements.grants_after as {seq, credits, seq, credits, ...},
-- in the order in which the credits are spent. Null: nothing tells them apart, and the oldest are
-- spent first; what each has left is worked out from the additions when somebody asks.

CREATE OR REPLACE FUNCTION grants_told_apart(p_grants bigint[], p_next_expiry timestamptz)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE
AS $$
-- A single grant that does not expire is like any other credits: from here on nothing is told of it.
    SELECT CASE WHEN cardinality(p_grants) > 2 OR p_next_expiry IS NOT NULL THEN p_grants END;
$$;
COMMENT ON FUNCTION grants_told_apart(bigint[], timestamptz) IS
    'The grants that the next movement has to tell of; null: none.';

CREATE OR REPLACE FUNCTION take_from_grants(p_grants bigint[], p_amount bigint)
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE
AS $$
-- Purpose: what the grants have left when so many credits are taken, the first ones first.
-- Errors: an assertion where there are not as many.
DECLARE
    v_left bigint := p_amount;
    v_place int := 2;
    v_grants bigint[];
BEGIN
    WHILE v_left >= p_grants[v_place] LOOP
        v_left := v_left - p_grants[v_place];
        v_place := v_place + 2;
    END LOOP;
    v_grants := p_grants[v_place - 1:];
    IF v_left > 0 THEN
        IF cardinality(v_grants) < 2 THEN
            RAISE EXCEPTION 'grants % do not hold %', p_grants, p_amount
                USING ERRCODE = 'assert_failure';
        END IF;
        v_grants[2] := v_grants[2] - v_left;
    END IF;
    RETURN v_grants;
END;
$$;
COMMENT ON FUNCTION take_from_grants(bigint[], bigint) IS
    'What grants have left when credits are taken, the first ones first.';

CREATE OR REPLACE FUNCTION add_to_grants(p_account_id bigint, p_grants bigint[], p_added bigint[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: what the grants have left when these have more ({seq, credits, ...}; below 0: fewer), in the
--   order in which they are spent: the lower priority, what expires sooner, promo, the older.
DECLARE
    -- Put together once, not again for each element that is read.
    v_numbers bigint[] := p_grants || p_added;
BEGIN
    RETURN (
        SELECT coalesce(array_agg(v.number ORDER BY g.priority, g.expires_at NULLS LAST,
            g.kind <> 'promo', g.seq, v.place), '{}')
        FROM (
            SELECT v_numbers[i] AS seq, sum(v_numbers[i + 1])::bigint AS credits
            FROM generate_series(1, cardinality(v_numbers), 2) i
            GROUP BY v_numbers[i]
        ) l
        -- One by one: those that are used up are not read.
        CROSS JOIN LATERAL (
            SELECT x.* FROM grants x
            WHERE x.account_id = p_account_id AND x.seq = l.seq LIMIT 1) g,
        unnest(ARRAY[l.seq, l.credits]) WITH ORDINALITY v (number, place)
        WHERE l.credits <> 0);
END;
$$;
COMMENT ON FUNCTION add_to_grants(bigint, bigint[], bigint[]) IS
    'What grants have left when some of them have more or fewer, in the order in which they are spent.';

CREATE OR REPLACE FUNCTION untold_terms(p_account_id bigint, p_before_seq bigint)
RETURNS grants
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: a grant whose kind and priority all credits have that an account had before a place of its
--   ledger, where nothing told them apart: the newest, which is spent last; where a movement told what
--   each had left since then, one that it told of. Locks: none. Returns: null: there is none.
DECLARE
    v_told record;
    v_terms grants;
BEGIN
    SELECT m.seq, m.grants_after INTO v_told FROM movements m
    WHERE m.account_id + 0 = p_account_id AND m.seq < p_before_seq AND m.grants_after IS NOT NULL
    ORDER BY m.account_id + 0 DESC, m.seq DESC LIMIT 1;
    SELECT g.* INTO v_terms FROM grants g
    WHERE g.account_id = p_account_id AND g.seq < p_before_seq
    ORDER BY g.account_id DESC, g.seq DESC LIMIT 1;
    IF v_terms.seq <= v_told.seq AND cardinality(v_told.grants_after) > 0 THEN
        SELECT g.* INTO v_terms FROM grants g
        WHERE g.account_id = p_account_id AND g.seq = v_told.grants_after[1];
    END IF;
    RETURN v_terms;
END;
$$;
COMMENT ON FUNCTION untold_terms(bigint, bigint) IS
    'A grant whose kind and priority all credits had that nothing told apart at a place of the ledger.';

CREATE OR REPLACE FUNCTION fill_grants(
    p_account_id bigint, p_grants bigint[], p_before_seq bigint, p_amount bigint
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: which grants get so many credits back that nothing told apart when they were taken: see
--   room_in_grants. Returns: {seq, credits, ...}. Errors: an assertion where there is not the room.
DECLARE
    v_filled bigint[] := room_in_grants(p_account_id, p_grants, p_before_seq, p_amount);
BEGIN
    IF credits_together(v_filled) < p_amount THEN
        RAISE EXCEPTION 'no grants before % take % back', p_before_seq, p_amount
            USING ERRCODE = 'assert_failure';
    END IF;
    RETURN v_filled;
END;
$$;
COMMENT ON FUNCTION fill_grants(bigint, bigint[], bigint, bigint) IS
    'Which grants get credits back that nothing told apart when they were taken.';

CREATE OR REPLACE FUNCTION room_in_grants(
    p_account_id bigint, p_grants bigint[], p_before_seq bigint, p_amount numeric
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: which grants have room for credits that nothing told apart when they were taken, at
--   p_before_seq. They came from what was added since a movement had last told what each had left, or
--   from what it told of, all of one kind and priority; the oldest were spent first, so the newest are
--   filled first. Of others only where these have not the room. None that expires.
-- p_grants: what all grants have now. Returns: {seq, credits, ...}; fewer where there is not the room.
DECLARE
    v_told record;
    v_filled bigint[];
BEGIN
    SELECT m.seq, m.grants_after INTO v_told FROM movements m
    WHERE m.account_id + 0 = p_account_id AND m.seq < p_before_seq AND m.grants_after IS NOT NULL
    ORDER BY m.account_id + 0 DESC, m.seq DESC LIMIT 1;
    v_filled := room_between(
        p_account_id, p_grants, coalesce(v_told.seq, -1), p_before_seq, p_amount);
    FOR i IN 1 .. coalesce(cardinality(v_told.grants_after), 0) BY 2 LOOP
        EXIT WHEN credits_together(v_filled) >= p_amount;
        -- They stand in the order in which they are spent.
        v_filled := v_filled || room_between(p_account_id, p_grants,
            v_told.grants_after[cardinality(v_told.grants_after) - i] - 1,
            v_told.grants_after[cardinality(v_told.grants_after) - i] + 1,
            p_amount - credits_together(v_filled));
    END LOOP;
    IF credits_together(v_filled) < p_amount THEN
        v_filled := v_filled || room_between(p_account_id,
            add_to_grants(p_account_id, p_grants, v_filled), -1, coalesce(v_told.seq, -1) + 1,
            p_amount - credits_together(v_filled));
    END IF;
    RETURN v_filled;
END;
$$;
COMMENT ON FUNCTION room_in_grants(bigint, bigint[], bigint, numeric) IS
    'Which grants have room for credits that nothing told apart when they were taken.';

CREATE OR REPLACE FUNCTION room_between(
    p_account_id bigint, p_grants bigint[], p_after_seq bigint, p_before_seq bigint, p_amount numeric
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: so much room, or less, of the grants between two places that do not expire, the newest first.
-- Returns: {seq, credits, ...}.
DECLARE
    v_left numeric := p_amount;
    v_part numeric;
    v_filled bigint[] := '{}';
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT g.seq, g.amount FROM grants g
        WHERE g.account_id = p_account_id AND g.seq > p_after_seq AND g.seq < p_before_seq
          AND g.expires_at IS NULL
        ORDER BY g.account_id DESC, g.seq DESC
    LOOP
        EXIT WHEN v_left <= 0;
        v_part := least(v_left, v_grant.amount::numeric - credits_in_grants(p_grants, v_grant.seq));
        IF v_part > 0 THEN
            v_left := v_left - v_part;
            v_filled := v_filled || ARRAY[v_grant.seq, v_part::bigint];
        END IF;
    END LOOP;
    RETURN v_filled;
END;
$$;
COMMENT ON FUNCTION room_between(bigint, bigint[], bigint, bigint, numeric) IS
    'How much room the grants between two places have, the newest first.';

CREATE OR REPLACE FUNCTION credits_together(p_grants bigint[])
RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
-- Purpose: how many credits these grants have together.
BEGIN
    RETURN (SELECT coalesce(sum(p_grants[i]), 0) FROM generate_series(2, cardinality(p_grants), 2) i);
END;
$$;
COMMENT ON FUNCTION credits_together(bigint[]) IS
    'How many credits grants have together.';

CREATE OR REPLACE FUNCTION credits_in_grants(p_grants bigint[], p_seq bigint)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
-- Purpose: what one grant has left; 0: nothing.
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_grants), 0) BY 2 LOOP
        IF p_grants[i] = p_seq THEN
            RETURN p_grants[i + 1];
        END IF;
    END LOOP;
    RETURN 0;
END;
$$;
COMMENT ON FUNCTION credits_in_grants(bigint[], bigint) IS
    'What one grant has left; 0: nothing.';

CREATE OR REPLACE FUNCTION grants_without(p_grants bigint[], p_seq bigint)
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE
AS $$
-- Purpose: the grants, in their order, but for one. Locks: none.
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_grants), 0) BY 2 LOOP
        IF p_grants[i] = p_seq THEN
            RETURN p_grants[:i - 1] || p_grants[i + 2:];
        END IF;
    END LOOP;
    RETURN p_grants;
END;
$$;
COMMENT ON FUNCTION grants_without(bigint[], bigint) IS
    'The grants, in their order, but for one.';

CREATE OR REPLACE FUNCTION grants_of_account(
    p_account_id bigint, p_balance bigint, p_grants bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: what each grant has left, of an account with that balance: p_grants, or where nothing tells
--   the credits apart, the newest additions, back to what the newest movement that told it
--   had left.
-- Locks: none. Returns: {seq, credits, ...} in the order in which they are spent.
DECLARE
    v_told record;
    v_left bigint := p_balance;
    v_part bigint;
    v_found bigint[] := '{}';
    v_grant record;
BEGIN
    IF p_grants IS NOT NULL THEN
        RETURN p_grants;
    END IF;
    -- The newest are spent last. Of those that were told of, the list alone is read: an account may have
    -- had thousands that are used up.
    SELECT m.seq, m.grants_after INTO v_told FROM movements m
    WHERE m.account_id + 0 = p_account_id AND m.grants_after IS NOT NULL
    ORDER BY m.account_id + 0 DESC, m.seq DESC LIMIT 1;
    FOR v_grant IN
        SELECT g.seq, g.amount FROM grants g
        WHERE g.account_id = p_account_id AND g.seq > coalesce(v_told.seq, -1) AND g.expires_at IS NULL
        ORDER BY g.account_id DESC, g.seq DESC
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_grant.amount);
        v_left := v_left - v_part;
        v_found := v_found || ARRAY[v_grant.seq, v_part];
    END LOOP;
    FOR v_grant IN
        SELECT g.seq, v_told.grants_after[i + 1] AS credits
        FROM generate_series(1, cardinality(v_told.grants_after), 2) i
        CROSS JOIN LATERAL (SELECT x.* FROM grants x
            WHERE x.account_id = p_account_id AND x.seq = v_told.grants_after[i] LIMIT 1) g
        WHERE g.expires_at IS NULL
        ORDER BY g.seq DESC
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_grant.credits);
        v_left := v_left - v_part;
        v_found := v_found || ARRAY[v_grant.seq, v_part];
    END LOOP;
    IF v_left > 0 THEN
        -- More came back since then than those had left.
        v_found := v_found || fill_grants(p_account_id, v_found, v_told.seq + 1, v_left);
    END IF;
    RETURN add_to_grants(p_account_id, '{}', v_found);
END;
$$;
COMMENT ON FUNCTION grants_of_account(bigint, bigint, bigint[]) IS
    'What each grant of an account has left, also where nothing tells its credits apart.';

CREATE OR REPLACE FUNCTION grants_taken(p_account_id bigint, p_seq bigint)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: from which grants a movement took its credits: what they had before, less what they have
--   after it. A capture took the first ones of its hold.
-- Returns: {seq, credits, ...} in the order in which they were taken; null: nothing told them apart.
DECLARE
    v_movement record;
    v_before bigint[];
    v_after bigint[];
BEGIN
    -- In the order of the key, so that no plan takes the other one.
    SELECT m.type, m.amount, m.grants_after, m.origin_seq INTO v_movement FROM movements m
    WHERE m.account_id = p_account_id AND m.seq <= p_seq
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    IF v_movement.type = 'capture' THEN
        RETURN part_of_grants(grants_taken(p_account_id, v_movement.origin_seq), 0, v_movement.amount);
    ELSIF v_movement.grants_after IS NULL THEN
        RETURN NULL;
    END IF;
    v_after := v_movement.grants_after;
    v_before := (SELECT m.grants_after FROM movements m
                 WHERE m.account_id = p_account_id AND m.seq < p_seq
                 ORDER BY m.account_id DESC, m.seq DESC LIMIT 1);
    -- Each list is read once: an account may have thousands of grants.
    RETURN (
        SELECT coalesce(array_agg(v.number ORDER BY b.place, v.place), '{}')
        FROM (SELECT i AS place, v_before[i] AS seq, v_before[i + 1] AS credits
              FROM generate_series(1, cardinality(v_before), 2) i) b
        LEFT JOIN (SELECT v_after[i] AS seq, v_after[i + 1] AS credits
                   FROM generate_series(1, cardinality(v_after), 2) i) a USING (seq),
        unnest(ARRAY[b.seq, b.credits - coalesce(a.credits, 0)]) WITH ORDINALITY v (number, place)
        WHERE b.credits > coalesce(a.credits, 0));
END;
$$;
COMMENT ON FUNCTION grants_taken(bigint, bigint) IS
    'From which grants a movement took its credits; null: nothing told them apart.';

CREATE OR REPLACE FUNCTION part_of_grants(p_grants bigint[], p_skipped bigint, p_amount bigint)
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE
AS $$
-- Purpose: so many credits of these grants, in their order, after the first p_skipped.
DECLARE
    v_skipped bigint := p_skipped;
    v_left bigint := p_amount;
    v_part bigint;
    v_result bigint[] := CASE WHEN p_grants IS NOT NULL THEN '{}'::bigint[] END;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_grants), 0) BY 2 LOOP
        v_part := least(greatest(p_grants[i + 1] - v_skipped, 0), v_left);
        v_skipped := greatest(v_skipped - p_grants[i + 1], 0);
        v_left := v_left - v_part;
        IF v_part > 0 THEN
            v_result := v_result || ARRAY[p_grants[i], v_part];
        END IF;
    END LOOP;
    RETURN v_result;
END;
$$;
COMMENT ON FUNCTION part_of_grants(bigint[], bigint, bigint) IS
    'So many credits of grants, in their order, after the first ones; null of null.';

CREATE OR REPLACE FUNCTION write_grant(
    p_account_id bigint, p_seq bigint, p_amount bigint, p_kind text, p_priority int, p_expires_at timestamptz,
    p_grace interval, p_rollover_max bigint DEFAULT NULL, p_rollover_until timestamptz DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: write the terms of an addition. Locks: the caller holds the account's. Not idempotent.
-- Errors: those of the table; serialization_failure where the caller's snapshot is older than a
--   grant that stands there: see append_movements.
BEGIN
    INSERT INTO grants
        (account_id, seq, amount, kind, priority, expires_at, grace, rollover_max, rollover_until)
    VALUES (p_account_id, p_seq, p_amount, p_kind, p_priority, p_expires_at, p_grace,
        p_rollover_max, p_rollover_until)
    ON CONFLICT (account_id, seq) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'grant % of account % is there', p_seq, p_account_id
            USING ERRCODE = 'assert_failure';
    END IF;
    PERFORM expect_expiry(p_account_id, p_expires_at);
END;
$$;
COMMENT ON FUNCTION write_grant(
    bigint, bigint, bigint, text, int, timestamptz, interval, bigint, timestamptz) IS
    'Writes the terms of an addition of credits.';

CREATE OR REPLACE FUNCTION expect_expiry(p_account_id bigint, p_expires_at timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: remember that something of the account ends then; null: never. Locks: the caller holds the
--   account's. Idempotent.
BEGIN
    UPDATE accounts a SET next_expiry = p_expires_at
    WHERE a.account_id = p_account_id AND p_expires_at IS NOT NULL
      AND (a.next_expiry <= p_expires_at) IS NOT TRUE;
END;
$$;
COMMENT ON FUNCTION expect_expiry(bigint, timestamptz) IS
    'Remembers that something of an account ends at a moment.';

CREATE OR REPLACE FUNCTION reissued_grant(p_account_id bigint, p_seq bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: which grant stands for this one, after the operator gave it another expiry; else itself.
DECLARE
    v_seq bigint := p_seq;
    v_next bigint := p_seq;
BEGIN
    WHILE v_next IS NOT NULL LOOP
        v_seq := v_next;
        v_next := (SELECT max(m.seq) FROM movements m
                   WHERE m.account_id + 0 = p_account_id AND m.origin_seq = v_seq
                     AND m.type = 'reissue');
    END LOOP;
    RETURN v_seq;
END;
$$;
COMMENT ON FUNCTION reissued_grant(bigint, bigint) IS
    'Which grant stands for another one, after the operator gave that another expiry.';

CREATE OR REPLACE FUNCTION give_back_to_grants(
    p_account_id bigint, p_balance bigint, p_grants bigint[], p_next_seq bigint, p_origin_seq bigint,
    p_taken bigint[], p_amount bigint, p_at timestamptz
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: what the grants have left when credits come back to those they were taken from. What was
--   taken from one that has expired meanwhile lives on for the grace of its terms, as a grant of
--   the movement that brings it back, at p_next_seq.
-- p_balance, p_grants: the account's, before it. p_taken: {seq, credits, ...}, p_amount together; null:
--   nothing told them apart when they were taken at p_origin_seq.
-- Locks: the caller holds the account's. Returns: null where nothing tells them apart, now or then.
DECLARE
    v_grants bigint[];
    v_taken bigint[];
    v_back bigint[] := '{}';
    v_late bigint := 0;
    v_seq bigint;
    v_terms grants;
BEGIN
    v_grants := grants_of_account(p_account_id, p_balance, p_grants);
    v_taken := coalesce(p_taken, fill_grants(p_account_id, v_grants, p_origin_seq, p_amount));
    FOR i IN 1 .. cardinality(v_taken) BY 2 LOOP
        v_seq := reissued_grant(p_account_id, v_taken[i]);
        IF EXISTS (SELECT FROM grants g
                   WHERE g.account_id = p_account_id AND g.seq = v_seq AND g.expires_at <= p_at)
        THEN
            SELECT g.* INTO v_terms FROM grants g
            WHERE g.account_id = p_account_id AND g.seq IN (v_seq, v_terms.seq)
            ORDER BY g.grace DESC, g.seq LIMIT 1;
            v_late := v_late + v_taken[i + 1];
        ELSE
            v_back := v_back || ARRAY[v_seq, v_taken[i + 1]];
        END IF;
    END LOOP;
    -- Nothing tells them apart if all credits now are of the terms that all credits had then.
    IF p_taken IS NULL AND p_grants IS NULL AND v_back = v_taken AND EXISTS (
        SELECT FROM untold_terms(p_account_id, p_origin_seq) g
        JOIN untold_terms(p_account_id, p_next_seq) n USING (kind, priority)) THEN
        RETURN NULL;
    END IF;
    IF v_late > 0 THEN
        PERFORM write_grant(p_account_id, p_next_seq, v_late, v_terms.kind, v_terms.priority,
            p_at + v_terms.grace, v_terms.grace);
        v_back := v_back || ARRAY[p_next_seq, v_late];
    END IF;
    -- One that had nothing left is in nobody's mind any more.
    PERFORM expect_expiry(p_account_id, (
        SELECT min(g.expires_at) FROM generate_series(1, cardinality(v_back), 2) i
        CROSS JOIN LATERAL (SELECT x.* FROM grants x
            WHERE x.account_id = p_account_id AND x.seq = v_back[i] LIMIT 1) g));
    RETURN add_to_grants(p_account_id, v_grants, v_back);
END;
$$;
COMMENT ON FUNCTION give_back_to_grants(
    bigint, bigint, bigint[], bigint, bigint, bigint[], bigint, timestamptz) IS
    'What grants have left when credits come back to those they were taken from; what has expired '
    'meanwhile lives on for its grace.';

CREATE OR REPLACE FUNCTION are_terms_of_all(p_account_id bigint, p_kind text, p_priority int)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: whether all credits of an account whose credits nothing tells apart have this kind and
--   priority, or had, if there are none: what was taken of them may come back. Locks: none.
DECLARE
    v_terms grants := untold_terms(p_account_id, 9223372036854775807);
BEGIN
    RETURN v_terms.seq IS NULL OR (v_terms.kind, v_terms.priority) = (p_kind, p_priority);
END;
$$;
COMMENT ON FUNCTION are_terms_of_all(bigint, text, int) IS
    'Whether all credits of an account that nothing tells apart have this kind and priority.';

CREATE OR REPLACE FUNCTION grants_after_addition(
    p_account_id bigint, p_balance bigint, p_grants bigint[], p_seq bigint, p_amount bigint,
    p_kind text, p_priority int DEFAULT 100, p_expires_at timestamptz DEFAULT NULL,
    p_grace interval DEFAULT '30 days', p_rollover_max bigint DEFAULT NULL,
    p_rollover_until timestamptz DEFAULT NULL
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: write the terms of an addition, and say what the grants have left with it.
-- p_balance, p_grants: the account's, before it. Locks: the caller holds the account's.
-- Returns: null where nothing tells the credits apart: one kind, one priority, and none expires.
DECLARE
    -- Before the new one is there: it would be taken for the newest of those that had the balance.
    v_grants bigint[];
    v_is_like_all boolean := p_grants IS NULL AND p_expires_at IS NULL
        AND are_terms_of_all(p_account_id, p_kind, p_priority);
BEGIN
    IF NOT v_is_like_all THEN
        v_grants := grants_of_account(p_account_id, p_balance, p_grants);
    END IF;
    PERFORM write_grant(p_account_id, p_seq, p_amount, p_kind, p_priority, p_expires_at, p_grace,
        p_rollover_max, p_rollover_until);
    RETURN CASE WHEN NOT v_is_like_all
        THEN add_to_grants(p_account_id, v_grants, ARRAY[p_seq, p_amount]) END;
END;
$$;
COMMENT ON FUNCTION grants_after_addition(
    bigint, bigint, bigint[], bigint, bigint, text, int, timestamptz, interval, bigint, timestamptz) IS
    'Writes the terms of an addition, and says what the grants have left with it.';

CREATE OR REPLACE FUNCTION grants_after_taking(
    p_account_id bigint, p_balance bigint, p_grants bigint[], p_amount bigint, p_first bigint
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: what the grants have left when credits are taken that pay for nothing: those of the grant
--   p_first before all others.
-- p_balance, p_grants: the account's, before it. Locks: none. Returns: null where nothing tells the
--   credits apart, and none go first.
DECLARE
    v_grants bigint[];
    v_of_first bigint;
BEGIN
    IF p_grants IS NULL AND p_first IS NULL THEN
        RETURN NULL;
    END IF;
    v_grants := grants_of_account(p_account_id, p_balance, p_grants);
    v_of_first := least(credits_in_grants(v_grants, p_first), p_amount);
    RETURN take_from_grants(
        add_to_grants(p_account_id, v_grants, ARRAY[p_first, -v_of_first]),
        p_amount - v_of_first);
END;
$$;
COMMENT ON FUNCTION grants_after_taking(bigint, bigint, bigint[], bigint, bigint) IS
    'What grants have left when credits are taken that pay for nothing, those of one grant first.';
