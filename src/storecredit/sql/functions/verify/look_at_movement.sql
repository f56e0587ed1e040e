-- Whether one movement can be, alone and beside those that it belongs to: what the first question of
-- `storecredit verify` asks of each movement (is_possible_movement) and of the rare ones (all else). All
-- functions: locks none; read only; SECURITY INVOKER and no SET clause.

CREATE OR REPLACE FUNCTION is_possible_movement(
    p_type text, p_amount bigint, p_balance_after bigint, p_spent_after bigint, p_session_id uuid
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The functions take amounts as int, but remove all that there is; a float8 holds numbers below 2^52
-- exactly, and a half.
    SELECT (p_amount <= 2147483647 OR movement_role(p_type) = 'removal')
        AND (p_amount | p_balance_after | p_spent_after) BETWEEN 0 AND 4503599627370495
        AND (p_session_id IS NULL OR movement_role(p_type) IN ('charge', 'return')) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_movement(text, bigint, bigint, bigint, uuid) IS
    'Whether one movement, looked at alone, could have been written by the functions.';

CREATE OR REPLACE FUNCTION is_possible_rare_movement(
    p_type text, p_amount bigint, p_balance_after bigint, p_clawed_back_after bigint,
    p_overage_used_after bigint, p_held_after bigint, p_expired_after bigint, p_removed_after bigint
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Nothing is used beyond a balance that there still is, and a bill closes all that was used.
    SELECT p_amount > 0
        AND coalesce(p_clawed_back_after, 1) BETWEEN 1 AND 4503599627370495
        AND coalesce(p_overage_used_after, 1) BETWEEN 1 AND 4503599627370495
        AND coalesce(p_held_after, 1) BETWEEN 1 AND 4503599627370495
        AND coalesce(p_expired_after, 1) BETWEEN 1 AND 4503599627370495
        AND coalesce(p_removed_after, 1) BETWEEN 1 AND 4503599627370495
        AND CASE movement_role(p_type)
            WHEN 'charge' THEN p_balance_after = 0
            WHEN 'bill' THEN p_overage_used_after IS NULL
            ELSE movement_role(p_type) IS NOT NULL END;
$$;
COMMENT ON FUNCTION is_possible_rare_movement(
    text, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS
    'Whether a movement that is not plain could, looked at alone, have been written by the functions.';

CREATE OR REPLACE FUNCTION is_possible_origin(
    p_type text, p_seq bigint, p_origin_seq bigint, p_request_id text
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- What ends something names it. What gives back or takes back may: its request id can say it as well.
    SELECT CASE movement_role(p_type)
        WHEN 'return' THEN coalesce(p_origin_seq < p_seq, true)
        WHEN 'clawback' THEN coalesce(p_origin_seq < p_seq, true)
        WHEN 'capture' THEN coalesce(p_origin_seq < p_seq, false)
        WHEN 'release' THEN coalesce(p_origin_seq < p_seq, false)
        WHEN 'expiry' THEN coalesce(p_origin_seq < p_seq, false)
            AND p_request_id = 'grant:' || p_origin_seq
        WHEN 'reissue' THEN coalesce(p_origin_seq < p_seq, false)
            AND p_request_id = 'grant:' || p_origin_seq
        ELSE p_origin_seq IS NULL END;
$$;
COMMENT ON FUNCTION is_possible_origin(text, bigint, bigint, text) IS
    'Whether a movement names the movement it comes from as the functions write it.';

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
              AND (x.origin_seq IS NULL OR movement_role(x.type) <> 'return')
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
                    SELECT true FROM subscription_charges b
                    WHERE b.account_id = p_account_id AND b.period IS NOT NULL
                      AND b.seq > c.seq AND b.seq < p_seq
                    LIMIT 1) IS TRUE)
            FROM movements c
            WHERE c.account_id = p_account_id AND c.request_id = p_request_id
              AND c.type = (SELECT t.returns FROM movement_types t WHERE t.type = p_type)
            LIMIT 1) IS NOT TRUE;
$$;
COMMENT ON FUNCTION look_up_overage(bigint, bigint, text, bigint, text, uuid) IS
    'Whether a charge or return that is not plain contradicts another movement of its request.';

CREATE OR REPLACE FUNCTION look_up_part(
    p_account_id bigint, p_seq bigint, p_type text, p_origin_seq bigint, p_session_id uuid
)
RETURNS TABLE (contradicts boolean)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether what was given back under a request id of its own contradicts the charge or capture
--   that it names. A generation's charge is given back whole, under its own id. All that was given back
--   of a charge is at most what it took.
    SELECT (
        SELECT movement_role(c.type) IN ('charge', 'capture') AND c.seq < p_seq
            AND c.session_id IS NULL AND p_session_id IS NULL
            AND ((movement_effect(c.type))[3] = 0) = ((movement_effect(p_type))[3] = 0)
            AND c.amount >= credits_returned(c.account_id, c.seq, c.request_id)
            AND ((movement_effect(p_type))[3] <> 0 OR ((movement_effect(p_type))[5] = 0) = ((
                SELECT true FROM subscription_charges b
                WHERE b.account_id = p_account_id AND b.period IS NOT NULL
                      AND b.seq > c.seq AND b.seq < p_seq
                LIMIT 1) IS TRUE))
        FROM movements c WHERE c.account_id = p_account_id AND c.seq = p_origin_seq
        LIMIT 1) IS NOT TRUE;
$$;
COMMENT ON FUNCTION look_up_part(bigint, bigint, text, bigint, uuid) IS
    'Whether what was given back in part contradicts the charge that it names.';

CREATE OR REPLACE FUNCTION credits_returned(
    p_account_id bigint, p_seq bigint, p_request_id text,
    p_until_seq bigint DEFAULT 9223372036854775807
)
RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: how much of a charge was given back up to a movement: in parts, and under its own request id.
    SELECT coalesce((
            SELECT sum(x.amount) FROM movements x
            WHERE x.account_id + 0 = p_account_id AND x.origin_seq = p_seq
              AND x.seq <= p_until_seq AND movement_role(x.type) = 'return'), 0)
        + coalesce((
            SELECT sum(x.amount) FROM movements x
            WHERE x.account_id = p_account_id AND x.request_id = p_request_id
              AND x.seq <= p_until_seq AND movement_role(x.type) = 'return'
              AND x.origin_seq IS NULL), 0);
$$;
COMMENT ON FUNCTION credits_returned(bigint, bigint, text, bigint) IS
    'How much of a charge was given back, in parts and under its own request id.';

CREATE OR REPLACE FUNCTION look_up_hold_end(
    p_account_id bigint, p_type text, p_request_id text, p_created_at timestamptz
)
RETURNS TABLE (contradicts boolean)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether a hold was ended before its time was over although it expired, or afterwards by
--   anything else.
    SELECT (
        SELECT (p_type = 'hold_expiry') = (h.expires_at <= p_created_at)
        FROM holds h WHERE h.account_id + 0 = p_account_id AND h.request_id = p_request_id
        LIMIT 1) IS NOT TRUE;
$$;
COMMENT ON FUNCTION look_up_hold_end(bigint, text, text, timestamptz) IS
    'Whether the end of a hold contradicts the time of the hold.';

CREATE OR REPLACE FUNCTION rare_movement_contradicts(
    p_account_id bigint, p_seq bigint, p_type text, p_amount bigint, p_request_id text,
    p_session_id uuid, p_origin_seq bigint, p_created_at timestamptz
)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether a movement that is not plain contradicts its owner, the others of its request, its
--   hold, or, if it says nothing of grants although it should, those.
DECLARE
    v_role text := movement_role(p_type);
BEGIN
    IF NOT is_possible_origin(p_type, p_seq, p_origin_seq, p_request_id)
        OR (SELECT a.owner_kind = ANY (t.owner_kinds)
            FROM accounts a, movement_types t
            WHERE a.account_id = p_account_id AND t.type = p_type
            LIMIT 1) IS NOT TRUE THEN
        RETURN true;
    ELSIF v_role IN ('capture', 'release') THEN
        RETURN (SELECT o.contradicts
                FROM look_up_hold_end(p_account_id, p_type, p_request_id, p_created_at) o LIMIT 1);
    ELSIF v_role = 'charge' OR v_role = 'return' AND p_origin_seq IS NULL THEN
        IF (SELECT o.contradicts FROM look_up_overage(
                p_account_id, p_seq, p_type, p_amount, p_request_id, p_session_id) o LIMIT 1) THEN
            RETURN true;
        END IF;
    END IF;
    RETURN changes_grants(p_type, p_origin_seq)
        AND (look_at_grants(p_account_id, p_seq)).kind IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION rare_movement_contradicts(
    bigint, bigint, text, bigint, text, uuid, bigint, timestamptz) IS
    'Whether a movement that is not plain contradicts those that it belongs to.';

CREATE OR REPLACE FUNCTION origin_contradicts(
    p_account_id bigint, p_seq bigint, p_type text, p_request_id text, p_session_id uuid,
    p_origin_seq bigint
)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
-- Purpose: whether a movement contradicts the one that it says it comes from.
BEGIN
    IF movement_role(p_type) = 'return' THEN
        RETURN (SELECT o.contradicts
                FROM look_up_part(p_account_id, p_seq, p_type, p_origin_seq, p_session_id) o LIMIT 1);
    END IF;
    RETURN NOT is_possible_origin(p_type, p_seq, p_origin_seq, p_request_id);
END;
$$;
COMMENT ON FUNCTION origin_contradicts(bigint, bigint, text, text, uuid, bigint) IS
    'Whether a movement contradicts the one that it says it comes from.';
