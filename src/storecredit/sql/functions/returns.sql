-- Returns: what a request had taken is given back, at most once and at most as much.

CREATE OR REPLACE FUNCTION look_up_charges(
    p_account_ids bigint[],
    p_request_ids text[],
    OUT types text[],
    OUT amounts bigint[],
    OUT seqs bigint[],
    OUT session_ids uuid[],
    OUT are_returned boolean[],
    OUT have_grants boolean[],
    OUT lefts bigint[],
    OUT firsts int[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: per item, the charge of its request (null: there is none), whether it was given back under
--   its own id, whether its grants are told, what was not given back in parts, and the place at which
--   the request stands first in the batch. Locks: none; the caller holds the
--   accounts'. Errors: none.
BEGIN
    SELECT array_agg(c.type), array_agg(c.amount), array_agg(c.seq), array_agg(c.session_id),
        array_agg(c.grants_after IS NOT NULL),
        -- A generation's charge is not given back in parts.
        array_agg(c.amount - CASE WHEN c.session_id IS NULL AND c.seq IS NOT NULL
            THEN returned_in_parts(i.account_id, c.seq) ELSE 0 END),
        array_agg((
            SELECT true FROM movements m
            WHERE m.account_id = i.account_id AND m.request_id = i.request_id
              AND movement_role(m.type) = 'return'
            ORDER BY m.type LIMIT 1))
    INTO types, amounts, seqs, session_ids, have_grants, lefts, are_returned
    FROM unnest(p_account_ids, p_request_ids) AS i (account_id, request_id)
    LEFT JOIN LATERAL (
        SELECT m.type, m.amount, m.seq, m.session_id, m.grants_after FROM movements m
        WHERE m.account_id = i.account_id AND m.request_id = i.request_id
          AND movement_role(m.type) = 'charge'
        ORDER BY m.type LIMIT 1) c ON true;
    firsts := first_places(p_account_ids, p_request_ids);
END;
$$;
COMMENT ON FUNCTION look_up_charges(bigint[], text[]) IS
    'The charges of the requests of a batch, and whether they were given back.';

CREATE OR REPLACE FUNCTION return_charges(
    p_account_ids bigint[], p_amounts int[], p_request_ids text[], p_descriptions text[],
    OUT outcomes text[], OUT balances bigint[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: give back what requests of any accounts had taken, in order. A deduction comes back to
--   the balance (`refund`). What was used beyond it comes off the overage used (`overage_refund`)
--   or, once billed, is given as credits (`overage_credit`). Locks: the accounts, ascending. The items
--   come in that order, and every array counts from 1. Idempotent by (account, request id).
-- Outcomes: refunded | already_refunded | no_deduction | exceeds_deduction (or more than is left after
--   parts). And the balance after each. Errors: unknown_account; invalid_amount (of the whole batch).
DECLARE
    v_accounts record := lock_accounts(p_account_ids);
    v_charges record := look_up_charges(p_account_ids, p_request_ids);
    v_account bigint; k int := 0; v_amount int; v_first int; v_left bigint; v_outcome text;
    v_seq bigint; v_balance bigint; v_spent bigint; v_clawed bigint; v_used bigint; v_type text;
    v_effect int[]; v_has_rest boolean; v_rest movement_rest; v_rests movement_rest[];
    -- At the first place of each request in the batch: true once refunded by it.
    v_refunded boolean[] := '{}';
    v_types text[]; v_seqs bigint[]; v_spents bigint[]; v_claweds bigint[]; v_useds bigint[];
BEGIN
    outcomes := '{}'; balances := '{}';
    FOR i IN 1 .. greatest(cardinality(p_account_ids), cardinality(p_amounts)) LOOP
        IF v_account IS NULL OR v_account IS DISTINCT FROM p_account_ids[i] THEN
            v_account := p_account_ids[i]; k := k + 1;
            IF v_account IS NULL OR v_accounts.account_ids[k] IS DISTINCT FROM v_account THEN
                PERFORM refuse_account(p_account_ids, i);
            END IF;
            v_seq := v_accounts.seqs[k]; v_balance := v_accounts.balances[k];
            v_spent := v_accounts.spents[k]; v_clawed := v_accounts.clawed_backs[k];
            v_used := v_accounts.overages_used[k]; v_rest := v_accounts.rests[k];
            -- Where something ever told them apart, what comes back may have other terms than the rest.
            v_has_rest := NOT v_accounts.are_plain OR EXISTS (
                SELECT FROM movements m
                WHERE m.account_id + 0 = v_account AND m.grants_after IS NOT NULL);
            -- Once per account: what this batch has told stands in no table yet.
            v_rest.grants := grants_told_apart(v_rest.grants, v_accounts.next_expiries[k]);
        END IF;
        v_amount := p_amounts[i]; v_first := v_charges.firsts[i]; v_left := v_charges.lefts[i];
        IF v_amount IS NULL OR v_amount < 1 THEN
            PERFORM raise_credit_error('invalid_amount', coalesce(v_amount::text, 'null'));
        END IF;
        v_outcome := CASE WHEN v_charges.amounts[i] IS NULL THEN 'no_deduction'
            WHEN v_amount > v_charges.amounts[i] THEN 'exceeds_deduction'
            WHEN v_charges.are_returned[i] OR v_refunded[v_first] THEN 'already_refunded'
            WHEN v_amount > v_left THEN 'exceeds_deduction' ELSE 'refunded' END;
        IF v_outcome = 'refunded' THEN
            v_type := return_type(v_charges.types[i], v_account, v_charges.seqs[i]);
            IF v_has_rest OR v_charges.have_grants[i] OR v_type = 'overage_credit' THEN
                v_has_rest := true;
                v_rest.grants := grants_after_return(v_account, v_balance, v_rest.grants, v_seq + 1,
                    v_charges.seqs[i], v_type, v_left - v_amount, v_amount, clock_timestamp());
                v_rests[i] := v_rest;
            END IF;
            v_effect := movement_effect(v_type); v_refunded[v_first] := true;
            v_seq := v_seq + 1; v_balance := v_balance + v_effect[1] * v_amount;
            v_spent := v_spent + v_effect[3] * v_amount; v_used := v_used + v_effect[5] * v_amount;
            v_types[i] := v_type; v_seqs[i] := v_seq; v_spents[i] := v_spent;
            v_claweds[i] := v_clawed; v_useds[i] := v_used;
        END IF;
        outcomes[i] := v_outcome; balances[i] := v_balance;
    END LOOP;
    PERFORM append_movements(v_types, v_seqs, balances, v_spents, v_claweds, v_useds,
        p_account_ids, p_amounts, p_request_ids, v_charges.session_ids, p_descriptions, v_rests)
    WHERE v_types IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION return_charges(bigint[], int[], text[], text[]) IS
    'Gives back what requests of any accounts had taken, in order. '
    'Outcome per item: refunded, already_refunded, no_deduction, exceeds_deduction.';

CREATE OR REPLACE FUNCTION return_type(p_charge_type text, p_account_id bigint, p_seq bigint)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: as which type a charge is given back. Locks: none; the caller holds the account's.
BEGIN
    RETURN CASE WHEN p_charge_type IN ('deduction', 'capture') THEN 'refund'
        WHEN is_billed(p_account_id, p_seq) THEN 'overage_credit' ELSE 'overage_refund' END;
END;
$$;
COMMENT ON FUNCTION return_type(text, bigint, bigint) IS
    'As which type of movement a charge is given back.';

CREATE OR REPLACE FUNCTION returned_in_parts(p_account_id bigint, p_seq bigint)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: how much of a charge was given back in parts. Locks: none; the caller holds the account's.
BEGIN
    RETURN (SELECT coalesce(sum(m.amount), 0) FROM movements m
            WHERE m.account_id + 0 = p_account_id AND m.origin_seq = p_seq
              AND movement_role(m.type) = 'return');
END;
$$;
COMMENT ON FUNCTION returned_in_parts(bigint, bigint) IS
    'How much of a charge was given back in parts.';

CREATE OR REPLACE FUNCTION grants_after_return(
    p_account_id bigint, p_balance bigint, p_grants bigint[], p_next_seq bigint, p_charge_seq bigint,
    p_type text, p_left bigint, p_amount bigint, p_at timestamptz
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $$
-- Purpose: what the grants have left when p_amount of a charge comes back as p_type and p_left of it
--   stays taken: the credits taken last come back first. p_grants: null: nothing tells them apart.
-- Locks: the caller holds the account's. Returns: null where nothing tells the credits apart.
BEGIN
    RETURN CASE p_type
        WHEN 'overage_refund' THEN p_grants
        WHEN 'overage_credit' THEN grants_after_addition(
            p_account_id, p_balance, p_grants, p_next_seq, p_amount, 'paid')
        ELSE give_back_to_grants(p_account_id, p_balance, p_grants, p_next_seq, p_charge_seq,
            part_of_grants(grants_taken(p_account_id, p_charge_seq), p_left, p_amount),
            p_amount, p_at) END;
END;
$$;
COMMENT ON FUNCTION grants_after_return(
    bigint, bigint, bigint[], bigint, bigint, text, bigint, bigint, timestamptz) IS
    'What grants have left when a part of a charge comes back.';

CREATE OR REPLACE FUNCTION is_billed(p_account_id bigint, p_seq bigint)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether overage at a place of the ledger stands on a bill: the newest bill has billed
--   every overage before it. Locks: none; the caller holds the account's.
BEGIN
    RETURN coalesce(p_seq < (
        SELECT b.seq FROM subscription_charges b
        WHERE b.account_id = p_account_id AND b.period IS NOT NULL
        ORDER BY b.account_id DESC, b.period DESC LIMIT 1), false);
END;
$$;
COMMENT ON FUNCTION is_billed(bigint, bigint) IS
    'Whether overage at a place of an account''s ledger stands on a bill.';

CREATE OR REPLACE FUNCTION refund_to_accounts(
    p_account_ids bigint[],
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[],
    OUT outcomes text[],
    OUT balances bigint[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: give back what requests had taken.
-- Locks, order, outcomes, errors: as return_charges. Idempotent by (account, request id).
DECLARE
    v_returned record := return_charges(
        p_account_ids[:], p_amounts[:], p_request_ids[:], p_descriptions[:]);
BEGIN
    outcomes := v_returned.outcomes;
    balances := v_returned.balances;
END;
$$;
COMMENT ON FUNCTION refund_to_accounts(bigint[], int[], text[], text[]) IS
    'Gives back what requests of any accounts, in ascending order, had taken; each once. Per item its '
    'outcome (refunded, already_refunded, no_deduction, exceeds_deduction) and the balance after it. '
    'Errors: SC010 unknown account, SC002 amount.';
