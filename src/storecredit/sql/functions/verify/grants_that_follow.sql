-- What each grant must have left after a movement, worked out from the movement before and the terms of
-- the grants, for look_at_grants.sql. Nothing here may fail, whatever stands in the rows. All functions:
-- locks none; read only; SECURITY INVOKER.

CREATE OR REPLACE FUNCTION grants_at(p_account_id bigint, p_seq bigint)
RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: what each grant had left after a movement: as it tells, or, where nothing told the credits
--   apart, worked out from the additions up to then, as grants_of_account does for the newest.
-- Returns: {seq, credits, ...} in the order in which they are spent; fewer than the balance where there
--   are no grants for it.
DECLARE
    v_movement record;
    v_told record;
    v_left bigint;
    v_part bigint;
    v_found bigint[] := '{}';
    v_grant record;
BEGIN
    SELECT m.balance_after, m.grants_after INTO v_movement FROM movements m
    WHERE m.account_id = p_account_id AND m.seq <= p_seq
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    IF v_movement.grants_after IS NOT NULL THEN
        RETURN v_movement.grants_after;
    END IF;
    v_left := coalesce(v_movement.balance_after, 0);
    IF v_left = 0 THEN
        RETURN '{}';
    END IF;
    SELECT m.seq, m.grants_after INTO v_told FROM movements m
    WHERE m.account_id + 0 = p_account_id AND m.grants_after IS NOT NULL AND m.seq <= p_seq
    ORDER BY m.account_id + 0 DESC, m.seq DESC LIMIT 1;
    FOR v_grant IN
        SELECT g.seq, g.amount FROM grants g
        WHERE g.account_id = p_account_id AND g.seq <= p_seq AND g.expires_at IS NULL
        ORDER BY g.account_id DESC, g.seq DESC
    LOOP
        EXIT WHEN v_left <= 0;
        v_part := least(v_left, CASE WHEN v_grant.seq > coalesce(v_told.seq, -1) THEN v_grant.amount
            ELSE credits_in_grants(v_told.grants_after, v_grant.seq) END);
        IF v_part > 0 THEN
            v_left := v_left - v_part;
            v_found := v_found || ARRAY[v_grant.seq, v_part];
        END IF;
    END LOOP;
    IF v_left > 0 THEN
        -- More came back since then than those had left.
        v_found := add_to_grants(p_account_id, v_found,
            room_in_grants(p_account_id, v_found, v_told.seq + 1, v_left));
    END IF;
    RETURN CASE WHEN cardinality(v_found) > 2 THEN add_to_grants(p_account_id, v_found, '{}')
        ELSE v_found END;
END;
$$;
COMMENT ON FUNCTION grants_at(bigint, bigint) IS
    'What each grant of an account had left after one of its movements.';

CREATE OR REPLACE FUNCTION reissued_grant_at(
    p_account_id bigint, p_seq bigint, p_until_seq bigint
)
RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: which grant stood for this one at a movement, after the operator gave it another expiry.
DECLARE
    v_seq bigint := p_seq;
    v_next bigint := p_seq;
BEGIN
    WHILE v_next IS NOT NULL LOOP
        v_seq := v_next;
        v_next := (SELECT m.seq FROM movements m
                   WHERE m.account_id + 0 = p_account_id AND m.origin_seq = v_seq
                     AND m.type = 'reissue' AND m.seq > v_seq AND m.seq < p_until_seq
                   ORDER BY m.seq LIMIT 1);
    END LOOP;
    RETURN v_seq;
END;
$$;
COMMENT ON FUNCTION reissued_grant_at(bigint, bigint, bigint) IS
    'Which grant stood for another one at a movement, after the operator gave that another expiry.';

CREATE OR REPLACE FUNCTION grants_with_return(p_movement movements, p_before bigint[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: what the grants must have left when credits have come back, to p_before: those that they were
--   taken from have them again, the last taken first, or those that were reissued for them. What was taken from those that have expired
--   meanwhile, which are the first to expire, is a new grant, of as many credits as the movement tells.
-- Returns: null: they cannot have come back so.
DECLARE
    v_origin movements;
    v_source movements;
    v_kept numeric;
    v_late bigint := credits_in_grants(p_movement.grants_after, p_movement.seq);
    v_taken bigint[];
    v_part record;
    v_back bigint[] := '{}';
    v_ended_at timestamptz := p_movement.created_at;
BEGIN
    IF p_movement.origin_seq IS NULL THEN
        SELECT m.* INTO v_origin FROM movements m
        WHERE m.account_id = p_movement.account_id AND m.request_id = p_movement.request_id
          AND movement_role(m.type) = 'charge'
        ORDER BY m.type LIMIT 1;
    ELSE
        v_origin := movement_at(p_movement.account_id, p_movement.origin_seq);
    END IF;
    v_source := CASE v_origin.type WHEN 'capture'
        THEN movement_at(p_movement.account_id, v_origin.origin_seq) ELSE v_origin END;
    -- So many of the credits that were taken stay taken.
    v_kept := CASE movement_role(p_movement.type)
        WHEN 'release' THEN coalesce((
            SELECT sum(m.amount) FROM movements m
            WHERE m.account_id + 0 = p_movement.account_id AND m.origin_seq = v_origin.seq
              AND m.seq < p_movement.seq AND movement_role(m.type) = 'capture'), 0)
        ELSE v_origin.amount - credits_returned(
            v_origin.account_id, v_origin.seq, v_origin.request_id, p_movement.seq) END;
    IF p_movement.type = 'hold_expiry' THEN
        v_ended_at := (SELECT h.expires_at FROM holds h WHERE h.request_id = p_movement.request_id
            AND h.account_id + 0 = p_movement.account_id LIMIT 1);
    END IF;
    IF v_kept < 0 THEN
        RETURN NULL;
    END IF;
    v_taken := CASE WHEN v_source.grants_after IS NULL
        THEN room_in_grants(p_movement.account_id, p_before, v_origin.seq, p_movement.amount)
        ELSE part_of_grants(
            credits_between(
                grants_at(v_source.account_id, v_source.seq - 1), v_source.grants_after),
            v_kept::bigint, p_movement.amount) END;
    FOR v_part IN
        SELECT r.seq, r.credits,
            (SELECT g.expires_at FROM grants g
             WHERE g.account_id = p_movement.account_id AND g.seq = r.seq LIMIT 1) AS expires_at
        FROM generate_series(1, cardinality(v_taken), 2) i,
            LATERAL (SELECT v_taken[i + 1] AS credits, reissued_grant_at(
                p_movement.account_id, v_taken[i], p_movement.seq) AS seq) r
        ORDER BY expires_at NULLS LAST
    LOOP
        IF v_late > 0 AND v_part.expires_at IS NOT NULL THEN
            v_late := v_late - v_part.credits;
        ELSIF v_part.expires_at <= v_ended_at THEN
            RETURN NULL;
        ELSE
            v_back := v_back || ARRAY[v_part.seq, v_part.credits];
        END IF;
    END LOOP;
    RETURN CASE v_late WHEN 0 THEN add_to_grants(p_movement.account_id, p_before, v_back || ARRAY[
        p_movement.seq, credits_in_grants(p_movement.grants_after, p_movement.seq)]) END;
END;
$$;
COMMENT ON FUNCTION grants_with_return(movements, bigint[]) IS
    'What grants must have left when credits have come back; null: they cannot have come back so.';

CREATE OR REPLACE FUNCTION movement_at(p_account_id bigint, p_seq bigint)
RETURNS movements
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: one movement, by this key alone: the other one would read all of an account's ledger.
DECLARE
    v_movement movements;
BEGIN
    SELECT m.* INTO v_movement FROM movements m
    WHERE m.account_id = p_account_id AND m.seq <= p_seq AND m.seq >= p_seq
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    RETURN v_movement;
END;
$$;
COMMENT ON FUNCTION movement_at(bigint, bigint) IS
    'One movement of an account; null: there is none.';

CREATE OR REPLACE FUNCTION credits_between(p_before bigint[], p_after bigint[])
RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
-- Purpose: what was taken from grants between two movements.
DECLARE
    v_taken bigint[] := '{}';
    v_credits bigint;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_before), 0) BY 2 LOOP
        v_credits := p_before[i + 1] - credits_in_grants(p_after, p_before[i]);
        IF v_credits > 0 THEN
            v_taken := v_taken || ARRAY[p_before[i], v_credits];
        END IF;
    END LOOP;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION credits_between(bigint[], bigint[]) IS
    'What grants had more before than after, {seq, credits, ...}, in the order in which they were spent.';

CREATE OR REPLACE FUNCTION grants_that_follow(p_movement movements, p_before bigint[])
RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: what the grants must have left after a movement, before which they had p_before. Charges,
--   holds and removals take in the order of spending; a clawback first from what its payment added.
-- Returns: null: nothing can follow.
DECLARE
    v_effect int[] := movement_effect(p_movement.type);
    v_role text := movement_role(p_movement.type);
    v_amount bigint := p_movement.amount;
    v_first bigint;
BEGIN
    IF v_effect[2] > 0 THEN
        RETURN add_to_grants(p_movement.account_id, p_before, ARRAY[p_movement.seq, v_amount]);
    ELSIF v_role IN ('return', 'release') AND v_effect[1] > 0 THEN
        RETURN grants_with_return(p_movement, p_before);
    ELSIF v_role = 'expiry' THEN
        RETURN add_to_grants(
            p_movement.account_id, p_before, ARRAY[p_movement.origin_seq, -v_amount]);
    ELSIF v_role = 'reissue' THEN
        RETURN add_to_grants(p_movement.account_id, p_before,
            ARRAY[p_movement.origin_seq, -v_amount, p_movement.seq, v_amount]);
    ELSIF v_effect[1] < 0 THEN
        IF v_role = 'clawback' AND p_movement.origin_seq IS NOT NULL THEN
            v_first := least(credits_in_grants(p_before, p_movement.origin_seq), v_amount);
            RETURN part_of_grants(
                add_to_grants(
                    p_movement.account_id, p_before, ARRAY[p_movement.origin_seq, -v_first]),
                v_amount - v_first, 4503599627370495);
        END IF;
        RETURN part_of_grants(p_before, v_amount, 4503599627370495);
    END IF;
    RETURN p_before;
END;
$$;
COMMENT ON FUNCTION grants_that_follow(movements, bigint[]) IS
    'What grants must have left after a movement; null: nothing can follow.';
