-- Does what each grant has left follow from the movement before? Both questions of `storecredit verify`
-- ask it, of the movements that tell it (movements.grants_after) and of those that should: these are
-- rare beside the others, and each is looked up with the one before it. Nothing here may fail, whatever
-- stands in the rows: what cannot be is named.
--
-- All functions: locks none; read only; SECURITY INVOKER.

CREATE OR REPLACE FUNCTION changes_grants(p_type text, p_origin_seq bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (movement_effect(p_type))[2] > 0 OR CASE movement_role(p_type)
        WHEN 'expiry' THEN true WHEN 'reissue' THEN true WHEN 'clawback' THEN p_origin_seq IS NOT NULL
        ELSE false END;
$$;
COMMENT ON FUNCTION changes_grants(text, bigint) IS
    'Whether a movement is of one grant alone, so that it may have to tell what each has left.';

CREATE OR REPLACE FUNCTION are_possible_grants(p_grants bigint[], p_balance bigint)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
-- Purpose: whether this is {seq, credits, ...}, of credits that are the balance together.
DECLARE
    v_sum bigint := 0;
BEGIN
    IF array_ndims(p_grants) <> 1 OR array_lower(p_grants, 1) <> 1
        OR cardinality(p_grants) % 2 <> 0 THEN
        RETURN false;
    END IF;
    FOR i IN 2 .. coalesce(cardinality(p_grants), 0) BY 2 LOOP
        IF (p_grants[i] BETWEEN 1 AND p_balance - v_sum AND p_grants[i - 1] > 0) IS NOT TRUE THEN
            RETURN false;
        END IF;
        v_sum := v_sum + p_grants[i];
    END LOOP;
    RETURN v_sum = p_balance;
END;
$$;
COMMENT ON FUNCTION are_possible_grants(bigint[], bigint) IS
    'Whether so many credits can stand as what grants have left.';

CREATE OR REPLACE FUNCTION some_grant_ends_by(
    p_account_id bigint, p_grants bigint[], p_at timestamptz
)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether one of these grants expires by p_at.
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_grants), 0) BY 2 LOOP
        IF (SELECT g.expires_at <= p_at FROM grants g
            WHERE g.account_id = p_account_id AND g.seq = p_grants[i] LIMIT 1) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION some_grant_ends_by(bigint, bigint[], timestamptz) IS
    'Whether one of these grants expires by a moment.';

CREATE OR REPLACE FUNCTION are_told_apart(p_account_id bigint, p_grants bigint[])
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether these grants differ in their terms, or any of them expires.
BEGIN
    RETURN (
        SELECT count(DISTINCT (g.priority, g.kind)) > 1 OR count(g.expires_at) > 0
        FROM generate_series(1, cardinality(p_grants), 2) i
        JOIN grants g ON g.account_id = p_account_id AND g.seq = p_grants[i]);
END;
$$;
COMMENT ON FUNCTION are_told_apart(bigint, bigint[]) IS
    'Whether something tells the credits of these grants apart.';

CREATE OR REPLACE FUNCTION look_at_grants(
    p_account_id bigint, p_seq bigint, OUT kind text, OUT detail text
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: name what is wrong with what the grants have left after a movement; null: nothing.
--   grants_untold: something tells the credits apart, but the movement does not say what is left.
--   spending_order: credits were not taken in the order of spending, or do not stand in it.
--   grants_left: it does not follow from the movement before in any other way.
--   expired_early: a grant was ended before its time was over.
--   used_though_expired: credits moved while a grant that was over had credits.
DECLARE
    v_movement movements := movement_at(p_account_id, p_seq);
    v_role text := movement_role(v_movement.type);
    v_before bigint[];
    v_follows bigint[];
    v_balance_before bigint;
BEGIN
    IF v_role IS NULL OR p_seq < 1 OR v_movement.amount NOT BETWEEN 1 AND 4503599627370495 THEN
        RETURN;  -- that is named for itself
    END IF;
    v_balance_before := (movement_at(p_account_id, p_seq - 1)).balance_after;
    IF (coalesce(v_balance_before, 0)::numeric
            + (movement_effect(v_movement.type))[1] * v_movement.amount = v_movement.balance_after)
        IS NOT TRUE OR v_balance_before IS NULL AND p_seq > 1 THEN
        RETURN;  -- and so is that
    ELSIF v_movement.grants_after IS NOT NULL
        AND NOT are_possible_grants(v_movement.grants_after, v_movement.balance_after) THEN
        kind := 'grants_left';
        detail := format('grants_after %s cannot be of a balance of %s',
            v_movement.grants_after::text, v_movement.balance_after);
        RETURN;
    END IF;
    v_before := grants_at(p_account_id, p_seq - 1);
    IF NOT are_possible_grants(v_before, coalesce(v_balance_before, 0)) THEN
        RETURN;  -- it is the one before that is wrong, or a grant is missing
    END IF;
    IF v_movement.grants_after IS NULL THEN
        kind := CASE WHEN v_role IN ('expiry', 'reissue', 'clawback')
            OR are_told_apart(p_account_id, v_before || ARRAY[p_seq, v_movement.amount])
            THEN 'grants_untold' END;
        detail := format('a %s of %s after %s does not tell what each grant has left',
            v_movement.type, v_movement.amount, v_before::text);
        RETURN;
    END IF;
    v_follows := grants_that_follow(v_movement, v_before);
    IF v_movement.grants_after IS DISTINCT FROM v_follows THEN
        kind := CASE WHEN v_role IN ('charge', 'hold', 'removal')
            OR credits_between(v_follows, v_movement.grants_after) = '{}'
                AND credits_between(v_movement.grants_after, v_follows) = '{}'
            THEN 'spending_order' ELSE 'grants_left' END;
        detail := format('a %s of %s after grants_after %s makes %s, but grants_after is %s',
            v_movement.type, v_movement.amount, v_before::text,
            coalesce(v_follows::text, 'something else'), v_movement.grants_after::text);
    ELSIF v_role = 'expiry' OR v_movement.type = 'rollover' THEN
        kind := CASE WHEN NOT some_grant_ends_by(p_account_id, ARRAY[v_movement.origin_seq, 0],
            v_movement.created_at) THEN 'expired_early' END;
        detail := format('a %s of %s before the grant of seq %s was over',
            v_movement.type, v_movement.amount, v_movement.origin_seq);
    -- A hold that is over may come back among other things that are over; a bill moves no credits.
    ELSIF v_movement.type <> 'hold_expiry' AND v_role <> 'bill' THEN
        kind := CASE WHEN some_grant_ends_by(p_account_id, v_before, v_movement.created_at)
            THEN 'used_though_expired' END;
        detail := format('a %s of %s while %s was there, of which something had expired',
            v_movement.type, v_movement.amount, v_before::text);
    END IF;
END;
$$;
COMMENT ON FUNCTION look_at_grants(bigint, bigint) IS
    'Names what is wrong with what the grants of an account have left after a movement; null: nothing.';

CREATE OR REPLACE FUNCTION next_is_untold(p_account_id bigint, p_seq bigint, p_grants bigint[])
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether the movement after one that tells grants apart does not say what each has left.
BEGIN
    RETURN (cardinality(p_grants) > 2
            OR some_grant_ends_by(p_account_id, p_grants, 'infinity'))
        AND (SELECT m.grants_after IS NULL FROM movements m
             WHERE m.account_id = p_account_id AND m.seq > p_seq
             ORDER BY m.account_id, m.seq LIMIT 1) IS TRUE;
END;
$$;
COMMENT ON FUNCTION next_is_untold(bigint, bigint, bigint[]) IS
    'Whether the movement after one that tells grants apart does not say what each has left.';
