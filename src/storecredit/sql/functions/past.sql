-- What accounts had at a moment: the ledger keeps the state after each movement, so the past is a look-up.

CREATE OR REPLACE FUNCTION seq_between(
    p_account_id bigint, p_at timestamptz, p_low bigint, p_low_at timestamptz, p_high bigint,
    p_high_at timestamptz
)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the place of an account's newest movement that was made at a moment or before, between two
--   movements: the lower was made by then (0 stands for the time before the first), the upper was not.
--   Locks: none.
--   Looks where the movement would be if they came evenly, and the next time in the middle of what
--   is left: evenly spread ones take some six look-ups by the key for a moment among a million, any
--   others at most twice the 20 that halving takes.
DECLARE
    v_low bigint := p_low;
    v_low_at timestamptz := p_low_at;
    v_high bigint := p_high;
    v_high_at timestamptz := p_high_at;
    v_looked bigint;
    v_looked_at timestamptz;
    v_guesses boolean := true;
BEGIN
    WHILE v_high - v_low > 1 LOOP
        v_looked := (v_low + v_high) / 2;
        IF v_guesses AND v_low_at < p_at AND p_at < v_high_at THEN
            v_looked := v_low + ((v_high - v_low) * (extract(epoch FROM p_at - v_low_at)::float8
                / extract(epoch FROM v_high_at - v_low_at)::float8))::bigint;
            v_looked := greatest(v_low + 1, least(v_high - 1, v_looked));
        END IF;
        v_guesses := NOT v_guesses;
        -- The newest up to there, not the one there: by a plan that was made of an empty table, that
        -- may be looked for by another key, among all of the account's movements.
        SELECT m.created_at INTO v_looked_at FROM movements m
        WHERE m.account_id = p_account_id AND m.seq <= v_looked
        ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
        IF v_looked_at <= p_at THEN
            v_low := v_looked;
            v_low_at := v_looked_at;
        ELSE
            v_high := v_looked;
            v_high_at := v_looked_at;
        END IF;
    END LOOP;
    RETURN v_low;
END;
$$;
COMMENT ON FUNCTION seq_between(bigint, timestamptz, bigint, timestamptz, bigint, timestamptz) IS
    'The seq of an account''s newest movement made at a moment or before, between two of its movements.';

CREATE OR REPLACE FUNCTION seq_at(p_account_id bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the place of an account's newest movement that was made at a moment or before. Locks: none.
-- Returns: its seq; 0: there was none yet.
--   A movement bears the moment at which its transaction began, which may be a little before that of
--   the movement it follows, whose transaction had the account first: near such a pair either may be
--   found. Found by the key, so no index is needed that every movement would have to be written into.
DECLARE
    v_newest record;
BEGIN
    SELECT m.seq, m.created_at INTO v_newest FROM movements m
    WHERE m.account_id = p_account_id
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    IF NOT FOUND OR v_newest.created_at <= p_at THEN
        RETURN coalesce(v_newest.seq, 0);
    END IF;
    RETURN seq_between(p_account_id, p_at, 0, NULL, v_newest.seq, v_newest.created_at);
END;
$$;
COMMENT ON FUNCTION seq_at(bigint, timestamptz) IS
    'The seq of an account''s newest movement made at a moment or before; 0: there was none yet.';

CREATE OR REPLACE FUNCTION seq_ended_by(p_account_id bigint, p_at timestamptz, p_seq bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: from the newest movement that was made by a moment on, the last of those right after it that
--   say what had ended by then, grants and holds, and were written later. Locks: none.
-- Returns: its seq; p_seq: there is none.
DECLARE
    v_seq bigint := p_seq;
    v_next record;
BEGIN
    LOOP
        SELECT m.type, m.origin_seq, m.request_id INTO v_next FROM movements m
        WHERE m.account_id = p_account_id AND m.seq = v_seq + 1;
        EXIT WHEN (CASE
            WHEN v_next.type IN ('expiry', 'rollover') THEN (
                SELECT g.expires_at FROM grants g
                WHERE g.account_id = p_account_id AND g.seq = v_next.origin_seq)
            WHEN v_next.type = 'hold_expiry' THEN (
                SELECT h.expires_at FROM holds h
                WHERE h.account_id + 0 = p_account_id AND h.request_id = v_next.request_id)
            END <= p_at) IS NOT TRUE;
        v_seq := v_seq + 1;
    END LOOP;
    RETURN v_seq;
END;
$$;
COMMENT ON FUNCTION seq_ended_by(bigint, timestamptz, bigint) IS
    'From a movement on, the last of those written later that say what had ended by a moment.';

CREATE OR REPLACE FUNCTION balance_at(p_account_id bigint, p_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the balance that an account had at a moment: what its movements had left by then, and what had
--   ended by then though it was written later, before anything else was. Locks: none.
DECLARE
    v_seq bigint := seq_ended_by(p_account_id, p_at, seq_at(p_account_id, p_at));
BEGIN
    RETURN coalesce((SELECT m.balance_after FROM movements m
                     WHERE m.account_id = p_account_id AND m.seq = v_seq), 0);
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
                    WHERE m.account_id = p_account_id AND m.seq <= v_seq
                    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1), 0);
END;
$$;
COMMENT ON FUNCTION spent_since(bigint, timestamptz) IS
    'What an account has spent after a moment, less what was given back after it.';
