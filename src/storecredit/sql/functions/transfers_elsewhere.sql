-- Credits handed to an owner who lives in another bucket: one transaction, which works in both. The giver's bucket
-- decides; what is done in the other is done by functions of that one, which see its tables. Each bucket notes its
-- end (transfer_ends), so that its books are proven by themselves, and the ends against each other.

CREATE OR REPLACE FUNCTION transfer_elsewhere(
    p_from bigint,
    p_bucket text,
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
-- Purpose: transfer_credits to an account of another bucket, whose schema is p_bucket.
-- Locks: both accounts, ascending, as all transfers do. Idempotent by (account, request id).
-- Outcomes and errors: of transfer_credits; invalid_schema_name where p_bucket is none.
DECLARE
    v_from record;
    v_to record;
    v_taken bigint[];
    v_terms record;
BEGIN
    PERFORM refuse_bad_items(ARRAY[p_amount], ARRAY[coalesce(p_request_id, '')]);
    IF (p_bucket ~ '^storecredit(_[0-9]+)?$') IS NOT TRUE THEN
        RAISE EXCEPTION 'there is no bucket %', p_bucket USING ERRCODE = 'invalid_schema_name';
    END IF;
    IF p_from < p_to THEN
        v_from := lock_end_of_transfer(p_from, p_request_id);
    END IF;
    EXECUTE format('SELECT * FROM %I.lock_end_of_transfer($1, $2)', p_bucket)
        INTO v_to USING p_to, p_request_id;
    IF v_from IS NULL THEN
        v_from := lock_end_of_transfer(p_from, p_request_id);
    END IF;
    from_balance := v_from.balance;
    to_balance := v_to.balance;
    outcome := CASE
        WHEN (v_from.type, v_from.amount, v_from.other_account_id, v_to.type, v_to.amount, v_to.other_account_id)
            = ('transfer_out', p_amount, p_to, 'transfer_in', p_amount, p_from) THEN 'already_transferred'
        WHEN v_from.type IS NOT NULL OR v_to.type IS NOT NULL THEN 'conflict'
        WHEN p_amount > from_balance THEN 'insufficient'
        ELSE 'transferred' END;
    IF outcome <> 'transferred' THEN
        RETURN;
    END IF;
    v_taken := part_of_grants(
        grants_of_account(p_from, from_balance, v_from.grants), 0, p_amount);
    v_terms := terms_of_taken(p_from, v_taken);
    PERFORM note_end_of_transfer(p_from, 'transfer_out', p_amount, p_request_id, p_to,
        append_movement(p_from, 'transfer_out', p_amount, p_request_id, p_description,
            grants_after_taking(p_from, from_balance, v_from.grants, p_amount, NULL),
            p_actor => p_actor));
    EXECUTE format('SELECT %I.receive_transfer($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)', p_bucket)
        USING p_from, p_to, p_amount, p_request_id, p_description, p_actor,
            v_terms.kind, v_terms.priority, v_terms.expires_at, v_terms.grace;
    from_balance := from_balance - p_amount;
    to_balance := to_balance + p_amount;
END;
$$;
COMMENT ON FUNCTION transfer_elsewhere(bigint, text, bigint, int, text, text, text) IS
    'Hands credits to an owner in another bucket, both movements or neither. Outcome: transferred, '
    'already_transferred, insufficient, conflict. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION lock_end_of_transfer(
    p_account_id bigint,
    p_request_id text,
    OUT balance bigint, OUT grants bigint[],
    OUT type text, OUT amount bigint, OUT other_account_id bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: the state of an account at either end, and which transfer or removal its ledger has under a request
--   id; nulls: none. For transfer_elsewhere, in both buckets.
-- Locks: the account. Errors: unknown_account.
DECLARE
    v_account record := lock_settled_account(p_account_id);
BEGIN
    balance := v_account.balance;
    grants := v_account.grants;
    SELECT m.type, m.amount,
        (SELECT e.other_account_id FROM transfer_ends e
         WHERE e.account_id = m.account_id AND e.seq = m.seq)
    INTO type, amount, other_account_id
    FROM movements m
    WHERE m.account_id = p_account_id AND m.request_id = p_request_id
      AND movement_role(m.type) IN ('removal', 'receipt')
    ORDER BY m.type LIMIT 1;
END;
$$;
COMMENT ON FUNCTION lock_end_of_transfer(bigint, text) IS
    'Locks the account at one end of a transfer between buckets, and says what it has under a request id.';

CREATE OR REPLACE FUNCTION receive_transfer(
    p_from bigint,
    p_to bigint,
    p_amount int,
    p_request_id text,
    p_description text,
    p_actor text,
    p_kind text,
    p_priority int,
    p_expires_at timestamptz,
    p_grace interval
)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: write the end of a transfer at whom the credits are handed to, in their bucket; a part of
--   transfer_elsewhere, which holds both accounts. Locks: none besides. Not idempotent.
DECLARE
    v_to record := lock_account(p_to);
BEGIN
    PERFORM note_end_of_transfer(p_to, 'transfer_in', p_amount, p_request_id, p_from,
        append_movement(p_to, 'transfer_in', p_amount, p_request_id, p_description,
            grants_after_addition(p_to, v_to.balance, v_to.grants, v_to.seq + 1, p_amount, p_kind,
                p_priority, p_expires_at, p_grace),
            p_actor => p_actor));
END;
$$;
COMMENT ON FUNCTION receive_transfer(
    bigint, bigint, int, text, text, text, text, int, timestamptz, interval) IS
    'Writes the end of a transfer between buckets at whom the credits are handed to.';

CREATE OR REPLACE FUNCTION note_end_of_transfer(
    p_account_id bigint, p_type text, p_amount bigint, p_request_id text, p_other_account_id bigint,
    p_seq bigint
)
RETURNS void
LANGUAGE sql
AS $$
-- Purpose: note that the other end of a transfer stands in another bucket. Locks: the new row. Not idempotent.
    INSERT INTO transfer_ends (account_id, seq, type, amount, request_id, other_account_id)
    VALUES (p_account_id, p_seq, p_type, p_amount, p_request_id, p_other_account_id);
$$;
COMMENT ON FUNCTION note_end_of_transfer(bigint, text, bigint, text, bigint, bigint) IS
    'Notes the end of a transfer whose other end stands in another bucket.';
