-- What accounts had at a moment: the ledger keeps the state after each movement, so the past is a look-up.

CREATE OR REPLACE FUNCTION seq_at(p_account_id bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the place of an account's newest movement that was made at a moment or before. Locks: none.
-- Returns: its seq; 0: there was none yet.
--   A movement bears the moment at which its transaction began, which may be a little before that of
--   the movement it follows, whose transaction had the account first: near such a pair either may be
--   found. Halves what lies between, by the key: an account of a million movements takes 20 look-ups,
--   and needs no index that every movement would have to be written into.
DECLARE
    v_low bigint := 0;
    v_high bigint;
    v_middle bigint;
    v_created_at timestamptz;
BEGIN
    SELECT m.seq, m.created_at INTO v_high, v_created_at FROM movements m
    WHERE m.account_id = p_account_id
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    IF NOT FOUND OR v_created_at <= p_at THEN
        RETURN coalesce(v_high, 0);
    END IF;
    -- What is at v_low was made by then (0 stands for the time before), what is at v_high was not.
    WHILE v_high - v_low > 1 LOOP
        v_middle := (v_low + v_high) / 2;
        SELECT m.created_at INTO v_created_at FROM movements m
        WHERE m.account_id = p_account_id AND m.seq = v_middle;
        IF v_created_at <= p_at THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;
COMMENT ON FUNCTION seq_at(bigint, timestamptz) IS
    'The seq of an account''s newest movement made at a moment or before; 0: there was none yet.';

CREATE OR REPLACE FUNCTION balance_at(p_account_id bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the balance that an account had at a moment: what its movements had left by then, and what had
--   ended by then though it was written later, before anything else was. Locks: none.
DECLARE
    v_seq bigint := seq_at(p_account_id, p_at);
    v_balance bigint;
    v_next record;
BEGIN
    SELECT m.balance_after INTO v_balance FROM movements m
    WHERE m.account_id = p_account_id AND m.seq = v_seq;
    LOOP
        v_seq := v_seq + 1;
        SELECT m.balance_after, m.type, m.origin_seq, m.request_id INTO v_next FROM movements m
        WHERE m.account_id = p_account_id AND m.seq = v_seq;
        EXIT WHEN (CASE
            WHEN v_next.type IN ('expiry', 'rollover') THEN (
                SELECT g.expires_at FROM grants g
                WHERE g.account_id = p_account_id AND g.seq = v_next.origin_seq)
            WHEN v_next.type = 'hold_expiry' THEN (
                SELECT h.expires_at FROM holds h
                WHERE h.account_id + 0 = p_account_id AND h.request_id = v_next.request_id)
            END <= p_at) IS NOT TRUE;
        v_balance := v_next.balance_after;
    END LOOP;
    RETURN coalesce(v_balance, 0);
END;
$$;
COMMENT ON FUNCTION balance_at(bigint, timestamptz) IS
    'The balance that an account had at a moment; 0 before its first movement.';

CREATE OR REPLACE FUNCTION spent_since(p_account_id bigint, p_since timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: what an account has spent after a moment, less what was given back after it, whenever that
--   had been spent: below 0 where more came back than went. Overage is not counted. Locks: none.
DECLARE
    v_seq bigint := seq_at(p_account_id, p_since);
BEGIN
    RETURN coalesce((SELECT m.spent_after FROM movements m WHERE m.account_id = p_account_id
                     ORDER BY m.account_id DESC, m.seq DESC LIMIT 1), 0)
        - coalesce((SELECT m.spent_after FROM movements m
                    WHERE m.account_id = p_account_id AND m.seq = v_seq), 0);
END;
$$;
COMMENT ON FUNCTION spent_since(bigint, timestamptz) IS
    'What an account has spent after a moment, less what was given back after it.';
