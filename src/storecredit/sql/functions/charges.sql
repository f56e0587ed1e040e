-- Charges: credits taken for work, from the balance or, where the owner may, beyond it.

CREATE OR REPLACE FUNCTION are_fresh(
    p_account_ids bigint[], p_amounts int[], p_request_ids text[]
)
RETURNS boolean
LANGUAGE plpgsql
AS $$
-- Purpose: whether nothing stands in the way of a batch but balances: no movement has any of its
--   request ids, none of them stands twice in it, and each item is one that a movement can be made of.
-- Locks: none; the caller holds the accounts'. Errors: none.
BEGIN
    RETURN NOT EXISTS (
            SELECT FROM unnest(p_account_ids, p_amounts, p_request_ids)
                AS i (account_id, amount, request_id)
            LEFT JOIN LATERAL (
                SELECT true AS is_known FROM movements m
                WHERE m.account_id = i.account_id AND m.request_id = i.request_id
                ORDER BY m.type LIMIT 1) m ON true
            WHERE m.is_known
                OR (i.amount >= 1 AND length(i.request_id) BETWEEN 1 AND 200) IS NOT TRUE)
        AND (cardinality(p_account_ids) = 1 OR cardinality(p_account_ids) = (
            SELECT count(*) FROM (
                SELECT DISTINCT i.account_id, i.request_id
                FROM unnest(p_account_ids, p_request_ids) AS i (account_id, request_id)) d));
END;
$$;
COMMENT ON FUNCTION are_fresh(bigint[], int[], text[]) IS
    'Whether all requests of a batch are well-formed, unknown to the ledger, and there once.';

CREATE OR REPLACE FUNCTION first_places(p_account_ids bigint[], p_request_ids text[])
RETURNS int[]
LANGUAGE plpgsql
AS $$
-- Purpose: per item of a batch, the place at which its request stands first in it. Locks: none.
BEGIN
    RETURN (
        SELECT array_agg(w.first_n ORDER BY w.n)
        FROM (SELECT i.n, min(i.n) OVER (PARTITION BY i.account_id, i.request_id)::int AS first_n
              FROM unnest(p_account_ids, p_request_ids) WITH ORDINALITY
                  AS i (account_id, request_id, n)) w);
END;
$$;
COMMENT ON FUNCTION first_places(bigint[], text[]) IS
    'Per item of a batch, the place at which its request stands first in it.';

CREATE OR REPLACE FUNCTION refuse_bad_items(p_amounts int[], p_request_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: refuse a batch for its first item that no movement can be made of. What an array is too
--   short for is null. Locks: none. Errors: invalid_amount, invalid_request_id.
BEGIN
    FOR i IN 1 .. greatest(cardinality(p_amounts), cardinality(p_request_ids)) LOOP
        IF p_amounts[i] IS NULL OR p_amounts[i] < 1 THEN
            PERFORM raise_credit_error('invalid_amount', coalesce(p_amounts[i]::text, 'null'));
        ELSIF p_request_ids[i] IS NULL OR length(p_request_ids[i]) NOT BETWEEN 1 AND 200 THEN
            PERFORM raise_credit_error('invalid_request_id', '');
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION refuse_bad_items(int[], text[]) IS
    'Refuses an amount below 1 (SC002) and a request id of the wrong length (SC003).';

CREATE OR REPLACE FUNCTION charge_accounts(
    p_account_ids bigint[], p_amounts int[], p_request_ids text[], p_session_ids uuid[],
    p_descriptions text[], p_type text DEFAULT 'deduction', p_actors text[] DEFAULT NULL,
    OUT outcomes text[], OUT balances bigint[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: take credits for requests of any accounts, in order, as deductions or holds (p_type). The one
--   place that decides whether a request is paid for, and from what: from the balance, or for a
--   deduction from beyond it, to the account's overage limit. Locks: the accounts, ascending. The items
--   come in that order, and every array counts from 1. Idempotent by (account, request id).
-- Outcomes: deducted | overage (the balance is 0, and the limit has room) | already_deducted (the same
--   amount, either way) | conflict (another, or for something else) | insufficient (nothing is written).
--   Errors, for the whole batch: unknown_account, invalid_amount, invalid_request_id.
DECLARE
    v_accounts record := lock_accounts(p_account_ids);
    v_are_fresh boolean := are_fresh(p_account_ids, p_amounts, p_request_ids);
    v_firsts int[]; v_account bigint; k int := 0; v_amount int; v_outcome text;
    v_type text; v_last_type text; v_effect int[]; v_useds bigint[];
    v_seq bigint; v_balance bigint; v_spent bigint; v_clawed bigint; v_used bigint; v_seqs bigint[];
    v_types text[]; v_spents bigint[]; v_claweds bigint[];
BEGIN
    outcomes := '{}'; balances := '{}';
    IF NOT v_are_fresh THEN
        PERFORM refuse_bad_items(p_amounts, p_request_ids);
        v_firsts := first_places(p_account_ids, p_request_ids);
    END IF;
    FOR i IN 1 .. greatest(cardinality(p_account_ids), cardinality(p_amounts)) LOOP
        IF v_account IS NULL OR v_account IS DISTINCT FROM p_account_ids[i] THEN
            v_account := p_account_ids[i]; k := k + 1;
            IF v_account IS NULL OR v_accounts.account_ids[k] IS DISTINCT FROM v_account THEN
                PERFORM refuse_account(p_account_ids, i);
            END IF;
            v_seq := v_accounts.seqs[k]; v_balance := v_accounts.balances[k]; v_spent := v_accounts.spents[k];
            v_clawed := v_accounts.clawed_backs[k]; v_used := v_accounts.overages_used[k];
        END IF;
        v_amount := p_amounts[i]; v_outcome := NULL;
        IF NOT v_are_fresh THEN
            v_outcome := charged_before(v_account, p_request_ids[i], v_amount, p_type,
                outcomes[v_firsts[i]], p_amounts[v_firsts[i]]);
        END IF;
        IF v_outcome IS NULL THEN
            -- A balance that would pay for a part pays nothing: no request is paid for in two ways.
            v_type := CASE WHEN v_amount <= v_balance THEN p_type
                WHEN v_balance = 0 AND p_type = 'deduction'
                    AND v_amount <= overage_limit_of(v_account) - v_used THEN 'overage' END;
            v_outcome := CASE v_type WHEN p_type THEN 'deducted' ELSE coalesce(v_type, 'insufficient') END;
        END IF;
        IF v_outcome IN ('deducted', 'overage') THEN
            IF v_type IS DISTINCT FROM v_last_type THEN
                v_effect := movement_effect(v_type); v_last_type := v_type;
            END IF;
            v_seq := v_seq + 1; v_balance := v_balance + v_effect[1] * v_amount;
            v_spent := v_spent + v_effect[3] * v_amount; v_used := v_used + v_effect[5] * v_amount;
            v_types[i] := v_type; v_seqs[i] := v_seq; v_spents[i] := v_spent;
            v_claweds[i] := v_clawed; v_useds[i] := v_used;
        END IF;
        outcomes[i] := v_outcome; balances[i] := v_balance;
    END LOOP;
    PERFORM append_movements(v_types, v_seqs, balances, v_spents, v_claweds, v_useds,
        p_account_ids, p_amounts, p_request_ids, p_session_ids, p_descriptions,
        CASE WHEN NOT v_accounts.are_plain OR p_type = 'hold' THEN rests_after_charges(
            v_accounts.next_expiries, v_accounts.rests, p_account_ids, v_types, p_amounts) END, p_actors)
    WHERE v_types IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION charge_accounts(bigint[], int[], text[], uuid[], text[], text, text[]) IS
    'Takes credits for requests of any accounts, in order. '
    'Outcome per item: deducted, overage, already_deducted, conflict, insufficient.';

CREATE OR REPLACE FUNCTION rests_after_charges(
    p_next_expiries timestamptz[], p_rests movement_rest[], p_account_ids bigint[], p_types text[],
    p_amounts int[]
)
RETURNS movement_rest[]
LANGUAGE plpgsql
AS $$
-- Purpose: what the accounts have besides after each charge of a batch: what is held, and what each
--   grant has left, where something tells them apart. The first two arrays have a place per account, as
--   the accounts stand in the third; the others one per item. A type of null: nothing is charged.
-- Locks: none; the caller holds the accounts'. Returns: a place per item that is charged.
DECLARE
    v_rests movement_rest[]; v_rest movement_rest; v_held bigint; v_grants bigint[];
    v_account bigint; k int := 0; v_type text; v_effect int[]; v_taken bigint;
BEGIN
    FOR i IN 1 .. cardinality(p_account_ids) LOOP
        IF v_account IS DISTINCT FROM p_account_ids[i] THEN
            v_account := p_account_ids[i]; k := k + 1;
            v_rest := p_rests[k]; v_held := coalesce(v_rest.held, 0);
            v_grants := grants_told_apart(v_rest.grants, p_next_expiries[k]);
        END IF;
        CONTINUE WHEN p_types[i] IS NULL;
        IF v_type IS DISTINCT FROM p_types[i] THEN
            v_type := p_types[i]; v_effect := movement_effect(v_type);
        END IF;
        v_held := v_held + v_effect[6] * p_amounts[i]; v_taken := -v_effect[1] * p_amounts[i];
        -- Nearly always of the first one, which is changed where it stands.
        IF v_grants[2] > v_taken THEN
            v_grants[2] := v_grants[2] - v_taken;
        ELSIF v_grants IS NOT NULL THEN
            v_grants := take_from_grants(v_grants, v_taken);
        END IF;
        v_rests[i] := ROW(v_held, v_rest.expired, v_rest.removed, v_grants, NULL, NULL,
            NULL)::movement_rest;
    END LOOP;
    RETURN v_rests;
END;
$$;
COMMENT ON FUNCTION rests_after_charges(
    timestamptz[], movement_rest[], bigint[], text[], int[]) IS
    'What accounts have besides balance, spent and overage after each charge of a batch.';

CREATE OR REPLACE FUNCTION overage_limit_of(p_account_id bigint)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: how far an account may go beyond its balance; asked for only where the balance is 0.
-- Locks: none; the caller holds the account's.
BEGIN
    RETURN (SELECT a.overage_limit FROM accounts a WHERE a.account_id = p_account_id);
END;
$$;
COMMENT ON FUNCTION overage_limit_of(bigint) IS
    'How far an account may go beyond its balance.';

CREATE OR REPLACE FUNCTION charged_before(
    p_account_id bigint,
    p_request_id text,
    p_amount int,
    p_type text,
    p_first_outcome text,
    p_first_amount int
)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: what an item comes to whose request was charged before, or was a hold: in the ledger, or at
--   its first place in this very batch, with that outcome. Locks: none.
-- Returns: already_deducted, conflict, or insufficient (a request is refused once per batch); null: it
--   was not charged before.
DECLARE
    v_amount bigint;
    v_role text;
BEGIN
    -- Its id may stand there for a grant, which is no matter of ours. That of a part of a refund is
    -- taken: what is charged can be given back under its own.
    SELECT m.amount, movement_role(m.type) INTO v_amount, v_role FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND (movement_role(m.type) IN ('charge', 'hold')
           OR movement_role(m.type) = 'return' AND m.origin_seq IS NOT NULL)
    ORDER BY movement_role(m.type) <> 'charge', m.type LIMIT 1;
    IF v_role <> (CASE p_type WHEN 'hold' THEN 'hold' ELSE 'charge' END) THEN
        RETURN 'conflict';
    END IF;
    IF v_amount IS NULL AND p_first_outcome = 'insufficient' THEN
        RETURN 'insufficient';
    ELSIF v_amount IS NULL AND p_first_outcome IS NOT NULL THEN
        v_amount := p_first_amount;
    END IF;
    RETURN CASE WHEN v_amount = p_amount THEN 'already_deducted'
        WHEN v_amount IS NOT NULL THEN 'conflict' END;
END;
$$;
COMMENT ON FUNCTION charged_before(bigint, text, int, text, text, int) IS
    'What an item comes to whose request was charged before; null: it was not.';

CREATE OR REPLACE FUNCTION refuse_account(p_account_ids bigint[], p_place int)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: refuse a batch whose account at a place is not the next one that is locked. Never returns.
-- Errors: unknown_account; an assertion where the caller has not sorted its items.
BEGIN
    PERFORM FROM generate_series(2, cardinality(p_account_ids)) n
    WHERE p_account_ids[n] < p_account_ids[n - 1];
    IF FOUND THEN
        RAISE EXCEPTION 'the items are not in ascending order of their accounts'
            USING ERRCODE = 'assert_failure';
    END IF;
    PERFORM raise_credit_error('unknown_account', coalesce(p_account_ids[p_place]::text, 'null'));
END;
$$;
COMMENT ON FUNCTION refuse_account(bigint[], int) IS
    'Refuses a batch for an account that there is not (SC010), or for its order.';

CREATE OR REPLACE FUNCTION deduct_from_accounts(
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
-- Purpose: take credits for requests that are no generations.
-- Locks, order, outcomes, errors: as charge_accounts. Idempotent by (account, request id).
DECLARE
    v_charged record := charge_accounts(p_account_ids[:], p_amounts[:], p_request_ids[:],
        NULL, p_descriptions[:]);
BEGIN
    outcomes := v_charged.outcomes;
    balances := v_charged.balances;
END;
$$;
COMMENT ON FUNCTION deduct_from_accounts(bigint[], int[], text[], text[]) IS
    'Takes credits of any accounts, in ascending order, for requests that are no generations. '
    'Per item its outcome (deducted, overage, already_deducted, conflict, insufficient) and the balance '
    'after it. Errors: SC010 unknown account, SC002 amount, SC003 request id. Idempotent by request id.';
