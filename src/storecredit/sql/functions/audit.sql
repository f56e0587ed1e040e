-- The audit log: what an operator did is written in the transaction that does it, or neither is.

CREATE OR REPLACE FUNCTION record_action(
    p_actor text,
    p_door text,
    p_action text,
    p_reason text,
    p_request_id text,
    p_idempotency_key text,
    p_owner_kind text,
    p_owner_id uuid,
    p_other_kind text,
    p_other_id uuid,
    p_subject text,
    p_asked jsonb,
    p_outcome jsonb,
    p_other_account_id bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: write down what was done in this transaction. Locks: the new row.
-- p_other_account_id: whom it is also about, who lives in another bucket.
-- Idempotency: none; an idempotency key is used once (unique_violation), which find_action looks up.
-- Outcomes: the entry's id; ids ascend in the order of writing, with gaps. null: the database is read-only
--   (a standby), so that nothing can have been done but to look.
-- Errors: unknown_store, unknown_user; check_violation for a text of the wrong length; cannot_connect_now for
--   a key that may have been used in another bucket.
DECLARE
    v_entry_id bigint;
    v_account_id bigint;
    v_other_account_id bigint := p_other_account_id;
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN NULL;
    END IF;
    PERFORM note_action_here(p_idempotency_key);
    -- Not within the statement: Citus works out beforehand what a function in it returns.
    IF p_owner_id IS NOT NULL THEN
        v_account_id := account_of(p_owner_kind, p_owner_id);
    END IF;
    IF p_other_id IS NOT NULL THEN
        v_other_account_id := account_of(p_other_kind, p_other_id);
    END IF;
    INSERT INTO audit_log (account_id, other_account_id, actor, door, action, subject, reason,
        request_id, idempotency_key, asked, outcome)
    VALUES (v_account_id, v_other_account_id, p_actor, p_door, p_action, p_subject, p_reason,
        p_request_id, p_idempotency_key, p_asked, p_outcome)
    RETURNING entry_id INTO v_entry_id;
    RETURN v_entry_id;
END;
$$;
COMMENT ON FUNCTION record_action(text, text, text, text, text, text, text, uuid, text, uuid, text,
    jsonb, jsonb, bigint) IS
    'Writes what an operator did into the audit log, and returns the entry''s id. Errors: SC001, SC008.';

CREATE OR REPLACE FUNCTION find_action(
    p_idempotency_key text,
    OUT action text, OUT account_id bigint, OUT other_account_id bigint, OUT subject text,
    OUT request_id text, OUT asked jsonb, OUT outcome jsonb
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: what was done under an idempotency key before; nulls: nothing. Whoever else comes with the
--   key waits until this transaction has ended.
-- Locks: the key, in this bucket alone: who waits for it in one has a connection that the one it waits for
--   could need, were that in another. Idempotent.
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'storecredit idempotency key ' || current_schema() || ' ' || p_idempotency_key, 0));
    -- In a statement of its own: it sees what was committed while the first one waited.
    SELECT l.action, l.account_id, l.other_account_id, l.subject, l.request_id, l.asked, l.outcome
    INTO action, account_id, other_account_id, subject, request_id, asked, outcome
    FROM audit_log l WHERE l.idempotency_key = p_idempotency_key;
    IF FOUND THEN
        -- A row that is locked is written, so that the commit waits for synchronous standbys. Any will do.
        PERFORM FROM accounts a
        WHERE a.account_id = coalesce(find_action.account_id, (SELECT min(x.account_id) FROM accounts x))
        FOR KEY SHARE;
    END IF;
END;
$$;
COMMENT ON FUNCTION find_action(text) IS
    'What an operator did under an idempotency key before, which is locked until the transaction ends.';
