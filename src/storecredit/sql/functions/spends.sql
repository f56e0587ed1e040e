-- Spends: credits taken by a request of the owner's own, for work that is done elsewhere, and given back in
-- parts, each under a request id of its own.

CREATE OR REPLACE FUNCTION spend_credits(
    p_account_ids bigint[],
    p_amounts int[],
    p_request_ids text[],
    p_fingerprints bytea[],
    p_descriptions text[],
    p_metadatas json[],
    p_actors text[] DEFAULT NULL,
    OUT outcomes text[],
    OUT balances bigint[],
    OUT charged_as text[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: for requests of any accounts: replay check, charge, and what was sent with it. p_actors: per
--   item the operator who makes it; null: the owner does.
-- Locks: the accounts, ascending; the items come in that order. Idempotent by (account, request id).
-- Outcomes: spent | replayed | insufficient (nothing written) | conflict (the request id was used for
--   something else). And the balance after each item; `charged_as` of what was spent, now or before:
--   balance | overage.
-- Errors: unknown_account, invalid_amount, invalid_request_id.
DECLARE
    v_charged record := charge_accounts(p_account_ids[:], p_amounts[:], p_request_ids[:], NULL,
        p_descriptions[:], p_actors => p_actors[:]);
BEGIN
    INSERT INTO spends (account_id, request_id, fingerprint, metadata)
    SELECT i.account_id, i.request_id, i.fingerprint, i.metadata
    FROM unnest(v_charged.outcomes, p_account_ids, p_request_ids, p_fingerprints, p_metadatas)
        AS i (outcome, account_id, request_id, fingerprint, metadata)
    WHERE i.outcome IN ('deducted', 'overage');

    balances := v_charged.balances;
    IF 'deducted' = ALL (v_charged.outcomes) THEN
        outcomes := array_fill('spent'::text, ARRAY[cardinality(p_account_ids)]);
        charged_as := array_fill('balance'::text, ARRAY[cardinality(p_account_ids)]);
        RETURN;
    END IF;
    SELECT array_agg(o.outcome ORDER BY o.n),
        array_agg(CASE WHEN o.outcome IN ('spent', 'replayed') THEN
            CASE m.type WHEN 'overage' THEN 'overage' ELSE 'balance' END END ORDER BY o.n)
    INTO outcomes, charged_as
    FROM (
        SELECT i.n, i.account_id, i.request_id, CASE
            WHEN i.outcome = 'insufficient' THEN 'insufficient'
            WHEN i.outcome IN ('deducted', 'overage') THEN 'spent'
            -- A generation's charge, or one by a direct call of a function, has no spend.
            WHEN i.outcome = 'already_deducted' AND s.fingerprint = i.fingerprint THEN 'replayed'
            ELSE 'conflict' END AS outcome
        FROM unnest(v_charged.outcomes, p_account_ids, p_request_ids, p_fingerprints)
            WITH ORDINALITY AS i (outcome, account_id, request_id, fingerprint, n)
        LEFT JOIN LATERAL (
            SELECT x.fingerprint FROM spends x
            WHERE x.account_id = i.account_id AND x.request_id = i.request_id LIMIT 1) s ON true
    ) o
    LEFT JOIN LATERAL (
        SELECT x.type FROM movements x
        WHERE x.account_id = o.account_id AND x.request_id = o.request_id
          AND movement_role(x.type) = 'charge'
        ORDER BY x.type LIMIT 1) m ON true;
END;
$$;
COMMENT ON FUNCTION spend_credits(bigint[], int[], text[], bytea[], text[], json[], text[]) IS
    'Takes credits of any accounts, in ascending order. Per item its outcome (spent, replayed, '
    'insufficient, conflict), the balance after it, and what it was charged as (balance or overage). '
    'Idempotent by request id. Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION refund_spends(
    p_account_ids bigint[],
    p_spend_request_ids text[],
    p_request_ids text[],
    p_amounts int[],
    p_actors text[] DEFAULT NULL,
    OUT outcomes text[],
    OUT amounts bigint[],
    OUT refundables bigint[],
    OUT balances bigint[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: give back a part of a spend, or of a captured hold, by its request id; amount null: all that
--   remains. A generation's charge is given back with its generation only. p_actors: as of spend_credits.
-- Locks: the accounts, ascending; the items come in that order. Idempotent by (account, request id).
-- Outcomes: refunded | replayed (this request gave it back before) | no_spend | exceeds_spend (more
--   than remains, or nothing does) | conflict (the request id was used for something else). What was
--   given back by it, what may still be, and the balance.
-- Errors: unknown_account, invalid_amount, invalid_request_id (the whole batch is refused).
DECLARE
    v_part record;
BEGIN
    PERFORM lock_accounts(p_account_ids);
    outcomes := '{}';
    FOR i IN 1 .. coalesce(cardinality(p_account_ids), 0) LOOP
        PERFORM refuse_bad_items(ARRAY[coalesce(p_amounts[i], 1)], ARRAY[p_request_ids[i]]);
        v_part := refund_part(
            p_account_ids[i], p_spend_request_ids[i], p_request_ids[i], p_amounts[i], p_actors[i]);
        outcomes[i] := v_part.outcome;
        amounts[i] := v_part.refunded;
        refundables[i] := v_part.refundable;
        balances[i] := (lock_account(p_account_ids[i])).balance;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION refund_spends(bigint[], text[], text[], int[], text[]) IS
    'Gives back parts of spends of any accounts, in ascending order, never more than was taken. Per '
    'item its outcome (refunded, replayed, no_spend, exceeds_spend, conflict), what was given back, '
    'what may still be, and the balance. Idempotent by request id. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION refund_part(
    p_account_id bigint, p_spend_request_id text, p_request_id text, p_amount int, p_actor text,
    OUT outcome text, OUT refunded bigint, OUT refundable bigint
)
LANGUAGE plpgsql
AS $$
-- Purpose: one item of refund_spends. Locks: the caller holds the account's.
DECLARE
    v_at timestamptz := clock_timestamp();
    v_account record;
    v_charge record;
    v_before record;
    v_type text;
BEGIN
    PERFORM settle_accounts(ARRAY[p_account_id], v_at);
    SELECT m.seq, m.type, m.amount INTO v_charge FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_spend_request_id
      AND movement_role(m.type) IN ('charge', 'capture') AND m.session_id IS NULL
    ORDER BY m.type LIMIT 1;
    IF NOT FOUND THEN
        outcome := 'no_spend';
        RETURN;
    END IF;
    refundable := v_charge.amount - returned_in_parts(p_account_id, v_charge.seq) - coalesce((
        SELECT m.amount FROM movements m
        WHERE m.account_id = p_account_id AND m.request_id = p_spend_request_id
          AND movement_role(m.type) = 'return' AND m.origin_seq IS NULL
        ORDER BY m.type LIMIT 1), 0);
    SELECT m.type, m.amount, m.origin_seq INTO v_before FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND (movement_role(m.type) = 'return' OR p_request_id <> p_spend_request_id
           AND movement_role(m.type) IN ('charge', 'hold'))
    ORDER BY movement_role(m.type) <> 'return', m.type LIMIT 1;
    refunded := coalesce(p_amount, CASE WHEN v_before.type IS NULL THEN refundable
        ELSE v_before.amount END);
    IF v_before.type IS NOT NULL THEN
        outcome := CASE WHEN movement_role(v_before.type) = 'return'
            AND (v_before.origin_seq, v_before.amount) = (v_charge.seq, refunded)
            THEN 'replayed' ELSE 'conflict' END;
    ELSIF refunded > refundable OR refundable = 0 THEN
        outcome := 'exceeds_spend';
    ELSE
        v_account := lock_account(p_account_id);
        v_type := return_type(v_charge.type, p_account_id, v_charge.seq);
        PERFORM append_movement(p_account_id, v_type, refunded, p_request_id, 'Refund',
            grants_after_return(p_account_id, v_account.balance, v_account.grants,
                v_account.seq + 1, v_charge.seq, v_type,
                refundable - refunded, refunded, v_at),
            v_charge.seq, p_actor);
        refundable := refundable - refunded;
        outcome := 'refunded';
        RETURN;
    END IF;
    refunded := CASE outcome WHEN 'replayed' THEN refunded ELSE 0 END;
END;
$$;
COMMENT ON FUNCTION refund_part(bigint, text, text, int, text) IS
    'Gives back a part of one spend. Outcome: refunded, replayed, no_spend, exceeds_spend, conflict.';
