-- The one writer of movements. Who calls it holds the accounts' locks and has decided what is to be;
-- the table refuses what cannot be: a second movement after the same one, a second of one type under one
-- request, anything below zero.

CREATE OR REPLACE FUNCTION append_movements(
    p_types text[],
    p_seqs bigint[],
    p_balances bigint[],
    p_spents bigint[],
    p_clawed_backs bigint[],
    p_overages_used bigint[],
    p_account_ids bigint[],
    p_amounts bigint[],
    p_request_ids text[],
    p_session_ids uuid[],
    p_descriptions text[],
    p_rests movement_rest[] DEFAULT NULL,
    p_actors text[] DEFAULT NULL,
    p_is_guarded boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: write a movement for each item of a batch that has a type. Every array has a place per item:
--   the type, the account's state after it, and what the item says; p_actors null: no operator made any.
--   (To read an array by its places costs less than to unnest one more.)
-- Locks: none of its own. Not idempotent. Errors: those of the table; serialization_failure where the
--   caller's transaction is none of READ COMMITTED, and its snapshot is older than the movement that
--   was the newest: the key refuses to follow the one before, and the transaction is to be run again.
BEGIN
    IF NOT p_is_guarded AND current_setting('transaction_isolation') <> 'read committed' THEN
        BEGIN
            PERFORM append_movements(p_types, p_seqs, p_balances, p_spents,
                p_clawed_backs, p_overages_used, p_account_ids, p_amounts, p_request_ids,
                p_session_ids, p_descriptions, p_rests, p_actors, p_is_guarded => true);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            RAISE EXCEPTION 'credits of this account have moved since this transaction began: run it again'
                USING ERRCODE = 'serialization_failure';
        END;
    END IF;
    IF p_rests IS NOT NULL OR p_actors IS NOT NULL THEN
        INSERT INTO movements
            (account_id, seq, created_at, type, amount, balance_after, spent_after,
             clawed_back_after, overage_used_after, held_after, expired_after, removed_after,
             grants_after, origin_seq, actor, request_id, session_id, description)
        SELECT p_account_ids[n], p_seqs[n], coalesce((p_rests[n]).moved_at, now()), p_types[n],
            p_amounts[n], p_balances[n], p_spents[n], nullif(p_clawed_backs[n], 0),
            nullif(p_overages_used[n], 0), nullif((p_rests[n]).held, 0),
            nullif((p_rests[n]).expired, 0), nullif((p_rests[n]).removed, 0), (p_rests[n]).grants,
            (p_rests[n]).origin_seq, coalesce((p_rests[n]).actor, p_actors[n]), p_request_ids[n],
            p_session_ids[n], coalesce(p_descriptions[n], '')
        FROM generate_subscripts(p_types, 1) AS n
        WHERE p_types[n] IS NOT NULL;
    ELSE
        INSERT INTO movements
            (account_id, seq, type, amount, balance_after, spent_after, clawed_back_after,
             overage_used_after, request_id, session_id, description)
        SELECT p_account_ids[n], p_seqs[n], p_types[n], p_amounts[n], p_balances[n], p_spents[n],
            nullif(p_clawed_backs[n], 0), nullif(p_overages_used[n], 0), p_request_ids[n],
            p_session_ids[n], coalesce(p_descriptions[n], '')
        FROM generate_subscripts(p_types, 1) AS n
        WHERE p_types[n] IS NOT NULL;
    END IF;
    IF EXISTS (SELECT FROM webhook_endpoints e
               WHERE e.account_id = ANY (p_account_ids || 0::bigint)
                 AND keeps_events(e.disabled_at) AND e.hears_movements)
        OR EXISTS (SELECT FROM top_ups t WHERE t.account_id = ANY (p_account_ids)
                   AND t.status = 'on' AND t.due_at IS NULL) THEN
        PERFORM request_top_ups(p_account_ids);
        PERFORM tell_movements(p_account_ids, p_seqs) WHERE is_heard(p_account_ids);
    END IF;
END;
$$;
COMMENT ON FUNCTION append_movements(
    text[], bigint[], bigint[], bigint[], bigint[], bigint[],
    bigint[], bigint[], text[], uuid[], text[], movement_rest[], text[], boolean) IS
    'Writes movements that the caller has decided on, with the state of their accounts after each.';

CREATE OR REPLACE FUNCTION append_movement(
    p_account_id bigint,
    p_type text,
    p_amount bigint,
    p_request_id text,
    p_description text,
    p_grants bigint[] DEFAULT NULL,
    p_origin_seq bigint DEFAULT NULL,
    p_actor text DEFAULT NULL,
    p_moved_at timestamptz DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: write one movement that belongs to no session. p_grants: what each grant has left after it,
--   where something tells them apart. Locks: the account. Not idempotent.
-- Returns: its seq. Errors: unknown_account; those of the table.
DECLARE
    v_effect int[] := movement_effect(p_type);
    v_before record := lock_account(p_account_id);
BEGIN
    PERFORM append_movements(
        ARRAY[p_type], ARRAY[v_before.seq + 1],
        ARRAY[v_before.balance + v_effect[1] * p_amount],
        ARRAY[v_before.spent + v_effect[3] * p_amount],
        ARRAY[v_before.clawed_back + v_effect[4] * p_amount],
        ARRAY[v_before.overage_used + v_effect[5] * p_amount],
        ARRAY[p_account_id], ARRAY[p_amount], ARRAY[p_request_id], ARRAY[NULL::uuid],
        ARRAY[p_description],
        ARRAY[ROW(v_before.held + v_effect[6] * p_amount, v_before.expired + v_effect[7] * p_amount,
            v_before.removed + v_effect[8] * p_amount, p_grants, p_origin_seq, p_actor,
            p_moved_at)::movement_rest]);
    RETURN v_before.seq + 1;
END;
$$;
COMMENT ON FUNCTION append_movement(
    bigint, text, bigint, text, text, bigint[], bigint, text, timestamptz) IS
    'Writes one movement of no session, after the newest of its account, and returns its seq.';
