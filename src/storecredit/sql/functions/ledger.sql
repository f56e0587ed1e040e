-- The ledger's functions: the only door through which a store's credits change.
--
-- The plural form is the primitive: it takes arrays for one store, locks the store's credit row
-- once, settles every item in the given order and returns one outcome each. The singular form
-- calls it. Whoever holds the credit row's lock is the only writer of that store's ledger, so
-- seq has no gaps and a request id is checked and used without a race.

CREATE OR REPLACE FUNCTION deduct_store_credits_many(
    p_store_id uuid,
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[],
    p_session_ids uuid[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: take credits from one store for several requests, in order. This is the one place that
--   decides whether a request is paid for, from the store's balance and its own overage limit.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: deducted | overage (the balance is 0 and the limit has room: recorded to be billed, the
--   balance stays 0) | already_deducted (this request had taken the same amount, either way)
--   | insufficient (nothing written) | conflict (this request had taken another amount).
--   `balance` is the store's balance after the item.
-- Errors: unknown_store; invalid_amount and invalid_request_id (the whole batch is refused).
DECLARE
    v_balance bigint;
    v_overage_limit bigint;
    v_overage_used bigint;
    v_seq bigint;
    v_taken bigint := 0;
    v_outcomes text[] := '{}';
    v_new_ords int[] := '{}';
    v_new_balances bigint[] := '{}';
    item record;
BEGIN
    -- Items are found by their place: let every array count from 1.
    p_amounts := p_amounts[:];
    p_request_ids := p_request_ids[:];
    p_descriptions := p_descriptions[:];
    p_session_ids := p_session_ids[:];
    SELECT c.balance, c.overage_limit, c.overage_used, c.last_seq
    INTO v_balance, v_overage_limit, v_overage_used, v_seq
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    FOR item IN
        SELECT i.n::int AS n, i.amount, i.request_id,
            min(i.n) OVER (PARTITION BY i.request_id)::int AS first_n,
            -- One look-up in the unique key: a range of types, and in its order. Else a plan made while
            -- the table was small may read all of the store's rows, or all of its overage.
            (SELECT t.amount FROM store_credit_transactions t
             WHERE t.store_id = p_store_id AND t.request_id = i.request_id
               AND t.type >= 'deduction' AND t.type <= 'overage'
               AND t.type IN ('deduction', 'overage')
             ORDER BY t.type LIMIT 1) AS amount_before
        FROM unnest(p_amounts, p_request_ids) WITH ORDINALITY AS i (amount, request_id, n)
        ORDER BY i.n
    LOOP
        IF item.amount IS NULL OR item.amount < 1 THEN
            PERFORM raise_credit_error('invalid_amount', coalesce(item.amount::text, 'null'));
        ELSIF item.request_id IS NULL OR length(item.request_id) NOT BETWEEN 1 AND 200 THEN
            PERFORM raise_credit_error('invalid_request_id', '');
        END IF;

        ord := item.n;
        IF item.amount_before IS NOT NULL THEN
            outcome := CASE WHEN item.amount_before = item.amount
                THEN 'already_deducted' ELSE 'conflict' END;
        ELSIF item.first_n < item.n AND v_outcomes[item.first_n] <> 'insufficient' THEN
            -- The same request id stood earlier in this very batch.
            outcome := CASE WHEN p_amounts[item.first_n] = item.amount
                THEN 'already_deducted' ELSE 'conflict' END;
        ELSIF item.first_n < item.n THEN
            -- Its first sending was refused; a refused request is decided once per batch.
            outcome := 'insufficient';
        ELSIF item.amount <= v_balance THEN
            v_balance := v_balance - item.amount;
            v_taken := v_taken + item.amount;
            outcome := 'deducted';
        ELSIF v_balance = 0 AND item.amount <= v_overage_limit - v_overage_used THEN
            v_overage_used := v_overage_used + item.amount;
            outcome := 'overage';
        ELSE
            -- Also where a balance would pay for a part: no request is paid for in two ways.
            outcome := 'insufficient';
        END IF;
        IF outcome IN ('deducted', 'overage') THEN
            v_new_ords := v_new_ords || item.n;
            v_new_balances := v_new_balances || v_balance;
        END IF;
        v_outcomes := v_outcomes || outcome;
        balance := v_balance;
        RETURN NEXT;
    END LOOP;

    IF cardinality(v_new_ords) > 0 THEN
        INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, request_id, session_id, description)
        SELECT p_store_id, v_seq + row_number() OVER (ORDER BY i.n), i.type, i.amount,
            i.balance_after, i.request_id, i.session_id, i.description
        FROM (
            SELECT k.n, CASE v_outcomes[k.n] WHEN 'overage' THEN 'overage' ELSE 'deduction' END
                    AS type,
                p_amounts[k.n] AS amount, k.balance_after,
                p_request_ids[k.n] AS request_id, p_session_ids[k.n] AS session_id,
                coalesce(p_descriptions[k.n], '') AS description
            FROM unnest(v_new_ords, v_new_balances) AS k (n, balance_after)
        ) i;
        UPDATE store_credits c
        SET balance = v_balance,
            total_spent = c.total_spent + v_taken,
            overage_used = v_overage_used,
            last_seq = v_seq + cardinality(v_new_ords)
        WHERE c.store_id = p_store_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION deduct_store_credits_many(uuid, int[], text[], text[], uuid[]) IS
    'Takes credits from one store for several requests, in order, under one lock of its credit row. '
    'Outcome per item: deducted, overage, already_deducted, insufficient, conflict. Idempotent by '
    'request id.';

CREATE OR REPLACE FUNCTION deduct_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits deducted'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: take credits from a store for one request.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: true: deducted or recorded as overage, now, or before by this very request with the
--   same amount; false: not enough credits, nothing written.
-- Errors: unknown_store, invalid_amount, invalid_request_id, request_conflict.
DECLARE
    v_outcome text;
BEGIN
    SELECT d.outcome INTO v_outcome
    FROM deduct_store_credits_many(
        p_store_id, ARRAY[p_amount], ARRAY[p_request_id], ARRAY[p_description], ARRAY[NULL::uuid]) d;
    IF v_outcome = 'conflict' THEN
        PERFORM raise_credit_error('request_conflict', p_request_id);
    END IF;
    RETURN v_outcome <> 'insufficient';
END;
$$;
COMMENT ON FUNCTION deduct_store_credits(uuid, int, text, text) IS
    'Takes credits for one request. true: taken (at balance 0: as overage, if the store''s limit '
    'has room) now or before by this request; false: not enough. '
    'Errors: SC001 unknown store, SC002 amount, SC003 request id, SC004 same request, other amount.';

CREATE OR REPLACE FUNCTION refund_store_credits_many(
    p_store_id uuid,
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[]
)
RETURNS TABLE (ord int, outcome text, balance bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: give back to one store what several of its requests had taken, in order. A deduction
--   comes back to the balance (`refund`). What was used beyond it comes off overage_used
--   (`overage_refund`), or, once billed, is given as credits (`overage_credit`).
-- Locks: the store's credit row. Idempotent by (store, request id), whichever way it came back.
-- Outcomes: refunded | already_refunded | no_deduction | exceeds_deduction.
--   `balance` is the store's balance after the item.
-- Errors: unknown_store; invalid_amount (the whole batch is refused).
DECLARE
    v_balance bigint;
    v_seq bigint;
    v_spent bigint := 0;
    v_purchased bigint := 0;
    v_overage_used bigint;
    v_billed_seq bigint;
    v_type text;
    -- At the first place in the batch of each request: true once refunded by it.
    v_refunded boolean[] := '{}';
    v_new_ords int[] := '{}';
    v_new_types text[] := '{}';
    v_new_balances bigint[] := '{}';
    v_session_ids uuid[] := '{}';
    item record;
BEGIN
    -- Items are found by their place: let every array count from 1.
    p_amounts := p_amounts[:];
    p_request_ids := p_request_ids[:];
    p_descriptions := p_descriptions[:];
    SELECT c.balance, c.overage_used, c.last_seq INTO v_balance, v_overage_used, v_seq
    FROM store_credits c WHERE c.store_id = p_store_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_store', p_store_id::text);
    END IF;

    FOR item IN
        SELECT i.n::int AS n, i.amount, i.request_id,
            min(i.n) OVER (PARTITION BY i.request_id)::int AS first_n,
            coalesce(d.amount, o.amount) AS deducted,
            coalesce(d.session_id, o.session_id) AS session_id,
            o.seq AS overage_seq,
            -- Not EXISTS: that may be planned as a hash of all the store's refunds.
            CASE WHEN o.seq IS NULL THEN (
                SELECT true FROM store_credit_transactions t
                WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                  AND t.type = 'refund')
            ELSE coalesce(
                (SELECT true FROM store_credit_transactions t
                 WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                   AND t.type = 'overage_refund'),
                (SELECT true FROM store_credit_transactions t
                 WHERE t.store_id = p_store_id AND t.request_id = i.request_id
                   AND t.type = 'overage_credit'))
            END AS refunded_before
        FROM unnest(p_amounts, p_request_ids) WITH ORDINALITY AS i (amount, request_id, n)
        LEFT JOIN LATERAL (
            SELECT t.amount, t.session_id FROM store_credit_transactions t
            WHERE t.store_id = p_store_id AND t.request_id = i.request_id
              AND t.type = 'deduction'
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT t.seq, t.amount, t.session_id FROM store_credit_transactions t
            WHERE d.amount IS NULL AND t.store_id = p_store_id AND t.request_id = i.request_id
              AND t.type >= 'overage' AND t.type <= 'overage'
            LIMIT 1
        ) o ON true
        ORDER BY i.n
    LOOP
        IF item.amount IS NULL OR item.amount < 1 THEN
            PERFORM raise_credit_error('invalid_amount', coalesce(item.amount::text, 'null'));
        END IF;

        ord := item.n;
        IF item.deducted IS NULL THEN
            outcome := 'no_deduction';
        ELSIF item.amount > item.deducted THEN
            outcome := 'exceeds_deduction';
        ELSIF item.refunded_before OR v_refunded[item.first_n] THEN
            outcome := 'already_refunded';
        ELSE
            IF item.overage_seq IS NULL THEN
                v_type := 'refund';
                v_balance := v_balance + item.amount;
                v_spent := v_spent - item.amount;
            ELSE
                -- The newest bill has billed every overage before it.
                v_billed_seq := coalesce(v_billed_seq, (
                    SELECT b.seq FROM store_overage_bills b WHERE b.store_id = p_store_id
                    ORDER BY b.period DESC LIMIT 1), 0);
                IF item.overage_seq > v_billed_seq THEN
                    v_type := 'overage_refund';
                    v_overage_used := v_overage_used - item.amount;
                ELSE
                    v_type := 'overage_credit';
                    v_balance := v_balance + item.amount;
                    v_purchased := v_purchased + item.amount;
                END IF;
            END IF;
            v_new_ords := v_new_ords || item.n;
            v_new_types := v_new_types || v_type;
            v_new_balances := v_new_balances || v_balance;
            v_session_ids := v_session_ids || item.session_id;
            v_refunded[item.first_n] := true;
            outcome := 'refunded';
        END IF;
        balance := v_balance;
        RETURN NEXT;
    END LOOP;

    IF cardinality(v_new_ords) > 0 THEN
        INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, request_id, session_id, description)
        SELECT p_store_id, v_seq + row_number() OVER (ORDER BY k.n), k.type, p_amounts[k.n],
            k.balance_after, p_request_ids[k.n], k.session_id, coalesce(p_descriptions[k.n], '')
        FROM unnest(v_new_ords, v_new_types, v_new_balances, v_session_ids)
            AS k (n, type, balance_after, session_id);
        UPDATE store_credits c
        SET balance = v_balance,
            total_purchased = c.total_purchased + v_purchased,
            total_spent = c.total_spent + v_spent,
            overage_used = v_overage_used,
            last_seq = v_seq + cardinality(v_new_ords)
        WHERE c.store_id = p_store_id;
    END IF;
END;
$$;
COMMENT ON FUNCTION refund_store_credits_many(uuid, int[], text[], text[]) IS
    'Gives back what several requests of one store had taken, under one lock of its credit row. '
    'Outcome per item: refunded, already_refunded, no_deduction, exceeds_deduction.';

CREATE OR REPLACE FUNCTION refund_store_credits(
    p_store_id uuid,
    p_amount int,
    p_request_id text,
    p_description text DEFAULT 'Credits refunded'
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: give back what one request had taken, as credits or as overage; at most once, at most
--   what was taken.
-- Locks: the store's credit row. Idempotent by (store, request id).
-- Outcomes: true: refunded now; false: it had been refunded.
-- Errors: unknown_store, invalid_amount, no_deduction, refund_exceeds_deduction.
DECLARE
    v_outcome text;
BEGIN
    SELECT r.outcome INTO v_outcome
    FROM refund_store_credits_many(
        p_store_id, ARRAY[p_amount], ARRAY[p_request_id], ARRAY[p_description]) r;
    IF v_outcome = 'no_deduction' THEN
        PERFORM raise_credit_error('no_deduction', p_request_id);
    ELSIF v_outcome = 'exceeds_deduction' THEN
        PERFORM raise_credit_error('refund_exceeds_deduction', p_request_id);
    END IF;
    RETURN v_outcome = 'refunded';
END;
$$;
COMMENT ON FUNCTION refund_store_credits(uuid, int, text, text) IS
    'Gives back what one request had taken, once. true: refunded now; false: it had been refunded. '
    'Errors: SC001 unknown store, SC002 amount, SC005 no such deduction, SC006 more than deducted.';
