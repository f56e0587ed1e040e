-- What the operator does to credits by hand, besides adding them: take them out, hand them to another
-- owner, give a grant another expiry. Each names who did it.

CREATE OR REPLACE FUNCTION remove_from_account(
    p_account_id bigint,
    p_amount int,
    p_request_id text,
    p_description text,
    p_actor text,
    OUT outcome text,
    OUT removed bigint,
    OUT balance bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: take credits out; p_amount null: all that are there. Never below zero.
-- Locks: the account. Idempotent by (account, request id).
-- Outcomes: removed | already_removed (by this request; all of then is all) | insufficient (nothing is
--   written; of all: there is nothing) | conflict (this request had removed another amount).
-- Errors: unknown_account, invalid_amount, invalid_request_id.
DECLARE
    v_account record;
BEGIN
    PERFORM refuse_bad_items(ARRAY[coalesce(p_amount, 1)], ARRAY[coalesce(p_request_id, '')]);
    v_account := lock_settled_account(p_account_id);
    balance := v_account.balance;
    SELECT m.amount INTO removed FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) = 'removal'
    ORDER BY m.type LIMIT 1;
    IF FOUND THEN
        outcome := CASE WHEN EXISTS (
                SELECT FROM movements m
                WHERE m.account_id = p_account_id AND m.request_id = p_request_id
                  AND m.type = 'removal' AND m.amount = coalesce(p_amount, m.amount))
            THEN 'already_removed' ELSE 'conflict' END;
        RETURN;
    END IF;
    removed := coalesce(p_amount, balance);
    IF removed > balance OR removed = 0 THEN
        outcome := 'insufficient';
        removed := 0;
        RETURN;
    END IF;
    PERFORM append_movement(p_account_id, 'removal', removed, p_request_id, p_description,
        grants_after_taking(p_account_id, balance, v_account.grants, removed, NULL),
        p_actor => p_actor);
    balance := balance - removed;
    outcome := 'removed';
END;
$$;
COMMENT ON FUNCTION remove_from_account(bigint, int, text, text, text) IS
    'Takes credits out, never below zero; amount null: all. Outcome: removed, already_removed, '
    'insufficient, conflict. Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION transfer_credits(
    p_from bigint,
    p_to bigint,
    p_amount int,
    p_request_id text,
    p_description text,
    p_actor text,
    OUT outcome text,
    OUT from_balance bigint,
    OUT to_balance bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: hand credits of one owner to another, both movements or neither, under one request id. They
--   are one grant there, which ends with the last of those they come from; promo if all of these are.
-- Locks: both accounts, ascending. Idempotent by (account, request id).
-- Outcomes: transferred | already_transferred | insufficient (nothing written) | same_account
--   | conflict (the request id was used for another transfer or removal at either of them).
-- Errors: unknown_account, invalid_amount, invalid_request_id.
DECLARE
    v_from record;
    v_to record;
    v_taken bigint[];
    v_terms record;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    IF p_from = p_to THEN
        outcome := 'same_account';
        RETURN;
    END IF;
    PERFORM lock_account(least(p_from, p_to)), lock_account(greatest(p_from, p_to));
    v_from := lock_settled_account(p_from);
    v_to := lock_settled_account(p_to);
    from_balance := v_from.balance;
    to_balance := v_to.balance;
    outcome := coalesce(transferred_before(p_from, p_to, p_amount, p_request_id),
        CASE WHEN p_amount > from_balance THEN 'insufficient' ELSE 'transferred' END);
    IF outcome <> 'transferred' THEN
        RETURN;
    END IF;
    v_taken := part_of_grants(
        grants_of_account(p_from, from_balance, v_from.grants), 0, p_amount);
    v_terms := terms_of_taken(p_from, v_taken);
    PERFORM append_movement(p_from, 'transfer_out', p_amount, p_request_id, p_description,
        grants_after_taking(p_from, from_balance, v_from.grants, p_amount, NULL),
        p_actor => p_actor);
    PERFORM append_movement(p_to, 'transfer_in', p_amount, p_request_id, p_description,
        grants_after_addition(p_to, to_balance, v_to.grants, v_to.seq + 1, p_amount,
            v_terms.kind, v_terms.priority, v_terms.expires_at, v_terms.grace),
        p_actor => p_actor);
    from_balance := from_balance - p_amount;
    to_balance := to_balance + p_amount;
END;
$$;
COMMENT ON FUNCTION transfer_credits(bigint, bigint, int, text, text, text) IS
    'Hands credits of one owner to another, both movements or neither. Outcome: transferred, '
    'already_transferred, insufficient, conflict, same_account. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION terms_of_taken(
    p_account_id bigint, p_taken bigint[],
    OUT kind text, OUT priority int, OUT expires_at timestamptz, OUT grace interval
)
LANGUAGE sql STABLE
AS $$
-- Purpose: the terms of the grant that credits out of several become at whom they are handed to. Locks: none.
    SELECT CASE WHEN bool_and(g.kind = 'promo') THEN 'promo' ELSE 'paid' END, min(g.priority),
        CASE WHEN bool_and(g.expires_at IS NOT NULL) THEN max(g.expires_at) END, max(g.grace)
    FROM generate_series(1, cardinality(p_taken), 2) i
    CROSS JOIN LATERAL (SELECT x.* FROM grants x
        WHERE x.account_id = p_account_id AND x.seq = p_taken[i] LIMIT 1) g
$$;
COMMENT ON FUNCTION terms_of_taken(bigint, bigint[]) IS
    'The terms that credits out of several grants have where they are handed over.';

CREATE OR REPLACE FUNCTION transferred_before(
    p_from bigint, p_to bigint, p_amount int, p_request_id text
)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: what a transfer comes to whose request id stands at either account for one, or for a removal:
--   already_transferred | conflict; null: it does not. Both ends of one transfer are of one moment, its
--   transaction's; those of two, to and from others, are not. Locks: none; the caller holds the accounts'.
DECLARE
    v_out record;
    v_in record;
BEGIN
    SELECT m.type, m.amount, m.created_at INTO v_out FROM movements m
    WHERE m.account_id = p_from AND m.request_id = p_request_id
      AND movement_role(m.type) IN ('removal', 'receipt')
    ORDER BY m.type LIMIT 1;
    SELECT m.type, m.amount, m.created_at INTO v_in FROM movements m
    WHERE m.account_id = p_to AND m.request_id = p_request_id
      AND movement_role(m.type) IN ('removal', 'receipt')
    ORDER BY m.type LIMIT 1;
    RETURN CASE
        WHEN (v_out.type, v_out.amount, v_in.type, v_in.amount, v_in.created_at)
            = ('transfer_out', p_amount, 'transfer_in', p_amount, v_out.created_at)
            THEN 'already_transferred'
        WHEN v_out.type IS NOT NULL OR v_in.type IS NOT NULL THEN 'conflict' END;
END;
$$;
COMMENT ON FUNCTION transferred_before(bigint, bigint, int, text) IS
    'Whether a request has transferred the same credits (already_transferred), or was used otherwise '
    '(conflict); null: neither.';

CREATE OR REPLACE FUNCTION set_grant_expiry(
    p_account_id bigint,
    p_seq bigint,
    p_expires_at timestamptz,
    p_description text,
    p_actor text,
    OUT outcome text,
    OUT seq bigint,
    OUT credits bigint
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: what is left of a grant expires at another moment; null: never. The ledger says so by a
--   movement that leaves the balance as it is, whose grant takes the other's place: what would have
--   lived on of that one lives on of this one as long, unless this one ends later still.
-- Locks: the account. Idempotent: a grant that expires then already is left alone, and so is what
--   took its place with that very end.
-- Outcomes: set (now, or before: `seq` is the grant that ends then, `credits` what it has left)
--   | ended (nothing is left of it) | not_found.
-- Errors: unknown_account, invalid_terms (a moment that is over).
DECLARE
    v_account record;
    v_grants bigint[];
    v_terms grants;
    v_before bigint;
BEGIN
    v_account := lock_settled_account(p_account_id);
    SELECT g.* INTO v_terms FROM grants g WHERE g.account_id = p_account_id AND g.seq = p_seq;
    v_grants := grants_of_account(p_account_id, v_account.balance, v_account.grants);
    credits := credits_in_grants(v_grants, p_seq);
    seq := p_seq;
    -- What took its place, to which what is given back goes, too.
    SELECT max(m.seq) INTO v_before FROM movements m
    WHERE m.account_id + 0 = p_account_id AND m.origin_seq = p_seq AND m.type = 'reissue';
    IF credits = 0 AND v_before IS NOT NULL THEN
        seq := v_before;
        credits := credits_in_grants(v_grants, seq);
        SELECT g.* INTO v_terms FROM grants g
        WHERE g.account_id = p_account_id AND g.seq = v_before
          AND g.expires_at IS NOT DISTINCT FROM p_expires_at;
    END IF;
    outcome := CASE WHEN credits > 0 AND v_terms.seq IS NOT NULL THEN 'set'
        WHEN v_before IS NULL AND v_terms.seq IS NULL THEN 'not_found' ELSE 'ended' END;
    IF outcome <> 'set' OR v_terms.expires_at IS NOT DISTINCT FROM p_expires_at THEN
        RETURN;
    ELSIF p_expires_at <= clock_timestamp() THEN
        PERFORM raise_credit_error('invalid_terms', p_expires_at::text);
    END IF;
    seq := v_account.seq + 1;
    IF (v_terms.rollover_until > p_expires_at) IS NOT TRUE THEN
        v_terms.rollover_max := NULL;
        v_terms.rollover_until := NULL;
    END IF;
    PERFORM write_grant(p_account_id, seq, credits, v_terms.kind, v_terms.priority, p_expires_at,
        v_terms.grace, v_terms.rollover_max, v_terms.rollover_until);
    -- Credits that came back to it after it was given another end are a movement of their own.
    PERFORM append_movement(p_account_id, 'reissue', credits,
        concat_ws(':', 'grant', p_seq, CASE WHEN v_before IS NOT NULL THEN seq END), p_description,
        add_to_grants(p_account_id, v_grants, ARRAY[p_seq, -credits, seq, credits]), p_seq, p_actor);
END;
$$;
COMMENT ON FUNCTION set_grant_expiry(bigint, bigint, timestamptz, text, text) IS
    'Lets what is left of a grant expire at another moment, or never. Outcome: set, ended, not_found. '
    'Errors: SC010 unknown account, SC011 a moment that is over.';
