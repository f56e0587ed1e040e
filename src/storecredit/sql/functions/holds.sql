-- Holds: credits set aside for work that is still to be done, and then captured, released, or given back
-- when their time is over. Whichever commits first wins.

CREATE OR REPLACE FUNCTION hold_credits(
    p_account_ids bigint[],
    p_hold_ids uuid[],
    p_amounts int[],
    p_request_ids text[],
    p_fingerprints bytea[],
    p_seconds int[],
    p_descriptions text[],
    p_metadatas json[],
    p_actors text[] DEFAULT NULL,
    OUT outcomes text[],
    OUT hold_ids uuid[],
    OUT expires_ats timestamptz[],
    OUT balances bigint[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: for requests of any accounts: set credits aside, of the balance only; p_actors: for which
--   operators. Locks: the accounts, ascending, as the items come. Idempotent by (account, request id).
-- Outcomes: held | replayed (the hold that this request made before, which may have ended since)
--   | insufficient (nothing written) | conflict (the request id was used for something else).
-- Errors: unknown_account, invalid_amount, invalid_request_id, invalid_terms (not 1 s to 7 days).
DECLARE
    v_charged record; v_at timestamptz; v_hold record;
BEGIN
    IF NOT (1 <= ALL (p_seconds) AND 604800 >= ALL (p_seconds)) THEN
        PERFORM raise_credit_error('invalid_terms', 'a hold lasts 1 s to 7 days');
    END IF;
    v_charged := charge_accounts(p_account_ids[:], p_amounts[:], p_request_ids[:], NULL,
        p_descriptions[:], 'hold', p_actors[:]);
    v_at := clock_timestamp();
    INSERT INTO holds
        (account_id, hold_id, seq, amount, created_at, expires_at, request_id, fingerprint,
         description, metadata)
    SELECT i.account_id, i.hold_id, m.seq, i.amount, v_at, v_at + make_interval(secs => i.seconds),
        i.request_id, i.fingerprint, coalesce(i.description, ''), i.metadata
    FROM unnest(v_charged.outcomes, p_account_ids, p_hold_ids, p_amounts, p_request_ids,
                p_fingerprints, p_seconds, p_descriptions, p_metadatas)
        AS i (outcome, account_id, hold_id, amount, request_id, fingerprint, seconds, description,
              metadata)
    CROSS JOIN LATERAL (
        SELECT x.seq FROM movements x
        WHERE x.account_id = i.account_id AND x.request_id = i.request_id AND x.type = 'hold'
        ORDER BY x.type LIMIT 1) m
    WHERE i.outcome = 'deducted';
    PERFORM expect_expiry(i.account_id, min(v_at + make_interval(secs => i.seconds)))
    FROM unnest(v_charged.outcomes, p_account_ids, p_seconds) AS i (outcome, account_id, seconds)
    WHERE i.outcome = 'deducted' GROUP BY i.account_id;

    balances := v_charged.balances;
    outcomes := '{}';
    FOR i IN 1 .. coalesce(cardinality(v_charged.outcomes), 0) LOOP
        SELECT h.hold_id, h.expires_at, h.fingerprint INTO v_hold FROM holds h
        WHERE h.account_id + 0 = p_account_ids[i] AND h.request_id = p_request_ids[i];
        outcomes[i] := CASE
            WHEN v_charged.outcomes[i] = 'insufficient' THEN 'insufficient'
            WHEN v_charged.outcomes[i] = 'deducted' THEN 'held'
            WHEN v_charged.outcomes[i] = 'already_deducted'
                AND v_hold.fingerprint = p_fingerprints[i] THEN 'replayed'
            ELSE 'conflict' END;
        hold_ids[i] := CASE WHEN outcomes[i] IN ('held', 'replayed') THEN v_hold.hold_id END;
        expires_ats[i] := CASE WHEN outcomes[i] IN ('held', 'replayed') THEN v_hold.expires_at END;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION hold_credits(
    bigint[], uuid[], int[], text[], bytea[], int[], text[], json[], text[]) IS
    'Sets credits of any accounts, in ascending order, aside. Per item its outcome (held, replayed, '
    'insufficient, conflict), the hold, its end, and the balance after it. Idempotent by request id. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id, SC011 seconds.';

CREATE OR REPLACE FUNCTION end_holds(
    p_account_ids bigint[],
    p_hold_ids uuid[],
    p_actions text[],
    p_amounts int[],
    p_actors text[] DEFAULT NULL,
    OUT outcomes text[],
    OUT statuses text[],
    OUT captureds bigint[],
    OUT amounts bigint[],
    OUT ended_ats timestamptz[],
    OUT balances bigint[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: capture holds (an amount, or all where it is null; the rest goes back) or release them.
-- Locks: the accounts, ascending; the items come in that order. Idempotent by hold. p_actors: as of
--   hold_credits.
-- Outcomes: ended | replayed (it had ended by the same action, with the same amount) | hold_ended
--   (otherwise: `status` says how; one whose time is over has expired) | exceeds_hold (nothing was
--   written) | not_found. And the hold as it is now, and the balance.
-- Errors: unknown_account; invalid_amount (the whole batch is refused).
DECLARE
    v_hold holds;
    v_at timestamptz;
    v_captured bigint;
BEGIN
    PERFORM lock_accounts(p_account_ids);
    outcomes := '{}';
    FOR i IN 1 .. coalesce(cardinality(p_account_ids), 0) LOOP
        IF p_amounts[i] < 1 THEN
            PERFORM raise_credit_error('invalid_amount', p_amounts[i]::text);
        END IF;
        v_at := clock_timestamp();
        PERFORM settle_accounts(ARRAY[p_account_ids[i]], v_at);
        SELECT h.* INTO v_hold FROM holds h
        WHERE h.account_id = p_account_ids[i] AND h.hold_id = p_hold_ids[i];
        v_captured := CASE p_actions[i] WHEN 'capture' THEN coalesce(p_amounts[i], v_hold.amount)
            WHEN 'release' THEN 0 END;
        outcomes[i] := CASE
            WHEN v_hold.hold_id IS NULL THEN 'not_found'
            WHEN v_hold.status = 'held' AND v_captured > v_hold.amount THEN 'exceeds_hold'
            WHEN v_hold.status = 'held' THEN 'ended'
            WHEN v_hold.status <> 'expired' AND v_hold.captured = v_captured THEN 'replayed'
            ELSE 'hold_ended' END;
        IF outcomes[i] = 'ended' THEN
            v_hold := end_hold(v_hold.account_id, v_hold.hold_id,
                CASE p_actions[i] WHEN 'capture' THEN 'captured' ELSE 'released' END, v_captured,
                v_at, p_actors[i]);
        END IF;
        statuses[i] := v_hold.status;
        captureds[i] := v_hold.captured;
        amounts[i] := v_hold.amount;
        ended_ats[i] := v_hold.ended_at;
        balances[i] := (lock_account(p_account_ids[i])).balance;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION end_holds(bigint[], uuid[], text[], int[], text[]) IS
    'Captures or releases holds of any accounts, in ascending order. Per item its outcome (ended, '
    'replayed, hold_ended, exceeds_hold, not_found), the hold as it is now, and the balance. '
    'Errors: SC010 unknown account, SC002 amount.';

CREATE OR REPLACE FUNCTION end_hold(
    p_account_id bigint, p_hold_id uuid, p_status text, p_captured bigint, p_at timestamptz,
    p_actor text DEFAULT NULL
)
RETURNS holds
LANGUAGE plpgsql
AS $$
-- Purpose: end a hold at p_at: what is captured is spent, the rest goes back to the grants it came from.
--   The credits that are to expire first are captured first.
-- Locks: the caller holds the account's; the hold's row. Not idempotent. Returns: the hold.
DECLARE
    v_account record := lock_account(p_account_id);
    v_hold holds;
    v_rest bigint;
    v_moved_at timestamptz := CASE p_status WHEN 'expired' THEN clock_timestamp() END;
BEGIN
    UPDATE holds h SET status = p_status, captured = p_captured, ended_at = p_at
    WHERE h.account_id = p_account_id AND h.hold_id = p_hold_id AND h.ended_at IS NULL
    RETURNING h.* INTO STRICT v_hold;
    IF p_captured > 0 THEN
        PERFORM append_movement(p_account_id, 'capture', p_captured, v_hold.request_id,
            v_hold.description, v_account.grants, v_hold.seq, p_actor);
        v_account := lock_account(p_account_id);
    END IF;
    v_rest := v_hold.amount - p_captured;
    IF v_rest > 0 THEN
        PERFORM append_movement(p_account_id,
            CASE p_status WHEN 'expired' THEN 'hold_expiry' ELSE 'release' END, v_rest,
            v_hold.request_id, v_hold.description,
            give_back_to_grants(p_account_id, v_account.balance, v_account.grants,
                v_account.seq + 1, v_hold.seq,
                part_of_grants(grants_taken(p_account_id, v_hold.seq), p_captured, v_rest),
                v_rest, p_at),
            v_hold.seq, p_actor, v_moved_at);
    END IF;
    RETURN v_hold;
END;
$$;
COMMENT ON FUNCTION end_hold(bigint, uuid, text, bigint, timestamptz, text) IS
    'Ends a hold: what is captured is spent, the rest goes back to the grants it came from.';

CREATE OR REPLACE FUNCTION extend_hold(
    p_account_id bigint,
    p_hold_id uuid,
    p_seconds int,
    p_request_id text,
    OUT outcome text,
    OUT status text,
    OUT captured bigint,
    OUT ended_at timestamptz,
    OUT expires_at timestamptz,
    OUT balance bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: a hold lasts p_seconds from now on, if that is longer than it would have lasted.
-- Locks: the account, the hold's row. Idempotent: the request that extended it last changes nothing.
-- Outcomes: extended | replayed | conflict (that request, with other seconds) | hold_ended (`status`
--   says how) | not_found.
-- Errors: unknown_account, invalid_terms (not 1 s to 7 days).
DECLARE
    v_at timestamptz;
BEGIN
    IF (p_seconds BETWEEN 1 AND 604800) IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_terms', 'a hold lasts 1 s to 7 days');
    END IF;
    PERFORM lock_account(p_account_id);
    v_at := clock_timestamp();
    PERFORM settle_accounts(ARRAY[p_account_id], v_at);
    UPDATE holds h SET expires_at = greatest(h.expires_at, v_at + make_interval(secs => p_seconds)),
        extended_by = p_request_id, extended_seconds = p_seconds
    WHERE h.account_id = p_account_id AND h.hold_id = p_hold_id AND h.ended_at IS NULL
      AND h.extended_by IS DISTINCT FROM p_request_id;
    outcome := CASE WHEN FOUND THEN 'extended' END;
    SELECT coalesce(outcome, CASE WHEN h.ended_at IS NOT NULL THEN 'hold_ended'
        WHEN h.extended_seconds = p_seconds THEN 'replayed' ELSE 'conflict' END), h.status, h.captured, h.ended_at, h.expires_at
    INTO outcome, status, captured, ended_at, expires_at
    FROM holds h WHERE h.account_id = p_account_id AND h.hold_id = p_hold_id;
    outcome := coalesce(outcome, 'not_found');
    balance := (lock_account(p_account_id)).balance;
END;
$$;
COMMENT ON FUNCTION extend_hold(bigint, uuid, int, text) IS
    'Lets a hold last so many seconds from now on, if that is longer; once per request in a row. '
    'Outcome: extended, replayed, conflict, hold_ended, not_found. '
    'Errors: SC010 unknown account, SC011 seconds.';
