-- The plain requests of a batch, for all its stores together, each table written once.
--
-- Most requests are plain: nobody has seen them, none stands twice in the batch, and the balance
-- pays for all that its store asks for. Then there is nothing to decide one by one. A store with
-- anything else in the batch gets nothing written here: the one-store functions decide.
--
-- Locks are taken in one order: credit rows ascending, then sessions ascending. So two batches
-- never wait for each other in a circle.
--
-- The plans are made once per connection, perhaps while the tables are still empty, where reading
-- all of a table is the cheapest way to find a row of it; and they serve for long. So nothing is
-- left to choose: what is looked up is looked up row by row (LATERAL, LIMIT 1) in the index that
-- ORDER BY names, and what was found and locked is updated by its ctid, which nobody but the holder of
-- the lock can change.

CREATE OR REPLACE FUNCTION settle_plain_deductions(
    p_store_ids uuid[],
    p_amounts int[],
    p_request_ids text[],
    p_descriptions text[],
    p_session_ids uuid[],
    p_fingerprints bytea[],
    p_inputs json[],
    p_metadatas json[]
)
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: of a batch, write the deductions of each store all of whose items are plain: a valid
--   amount and request id that its ledger does not know and that stands once in the batch, and a
--   balance that pays for all of them. With each its session, if there are fingerprints.
-- Returns: per item the balance after it; null where nothing was written, and somebody else decides.
-- Locks: the credit rows of all stores of the batch, ascending. Idempotent: what the ledger knows is
--   not plain. Errors: none of its own.
DECLARE
    v_store_ids uuid[];
    v_ctids tid[];
    v_before bigint[];
    v_seqs bigint[];
    v_balances bigint[];
    v_left_out bigint;
BEGIN
    -- First, in a statement of its own: the next one must see what was committed while this waited.
    SELECT array_agg(l.store_id), array_agg(l.row_id), array_agg(l.balance), array_agg(l.last_seq)
    INTO v_store_ids, v_ctids, v_before, v_seqs
    FROM (SELECT c.store_id, c.ctid AS row_id, c.balance, c.last_seq FROM store_credits c
          WHERE c.store_id = ANY (p_store_ids) ORDER BY c.store_id FOR UPDATE) l;

    WITH item AS (
        SELECT i.*, c.credit_ctid, c.balance, c.last_seq,
            coalesce(i.amount < 1 OR length(i.request_id) NOT BETWEEN 1 AND 200, true)
            OR count(*) OVER (PARTITION BY i.store_id, i.request_id) > 1
            OR coalesce((
                SELECT true FROM store_credit_transactions t
                WHERE t.store_id = i.store_id AND t.request_id = i.request_id
                ORDER BY t.type LIMIT 1), false) AS is_special
        FROM unnest(p_store_ids, p_amounts, p_request_ids, p_descriptions, p_session_ids,
                    p_fingerprints, p_inputs, p_metadatas) WITH ORDINALITY
            AS i (store_id, amount, request_id, description, session_id,
                  fingerprint, input, metadata, n)
        -- A store that there is not has no balance, so nothing of it is plain.
        LEFT JOIN unnest(v_store_ids, v_ctids, v_before, v_seqs)
            AS c (store_id, credit_ctid, balance, last_seq) ON c.store_id = i.store_id
    ), placed AS MATERIALIZED (
        SELECT i.*, row_number() OVER in_order AS nth,
            i.balance - sum(i.amount) OVER in_order AS balance_after,
            sum(i.amount) OVER together <= i.balance AND NOT bool_or(i.is_special) OVER together
                AS is_plain
        FROM item i
        WINDOW in_order AS (PARTITION BY i.store_id ORDER BY i.n ROWS UNBOUNDED PRECEDING),
            together AS (PARTITION BY i.store_id)
    ), movement AS (
        INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, request_id, session_id, description)
        SELECT p.store_id, p.last_seq + p.nth, 'deduction', p.amount, p.balance_after,
            p.request_id, p.session_id, coalesce(p.description, '')
        FROM placed p WHERE p.is_plain
    ), credit AS (
        UPDATE store_credits c
        SET balance = c.balance - m.taken, total_spent = c.total_spent + m.taken,
            last_seq = c.last_seq + m.movements
        FROM (SELECT p.credit_ctid, sum(p.amount) AS taken, count(*) AS movements
              FROM placed p WHERE p.is_plain GROUP BY p.store_id, p.credit_ctid) m
        WHERE c.ctid = m.credit_ctid
        RETURNING m.movements
    ), session AS (
        INSERT INTO store_generation_sessions
            (store_id, session_id, request_id, fingerprint, input, metadata)
        SELECT p.store_id, p.session_id, p.request_id, p.fingerprint, p.input, p.metadata
        FROM placed p WHERE p.is_plain AND p_fingerprints IS NOT NULL
    )
    SELECT array_agg(CASE WHEN p.is_plain THEN p.balance_after END ORDER BY p.n),
        count(*) FILTER (WHERE p.is_plain) - (SELECT coalesce(sum(c.movements), 0) FROM credit c)
    INTO v_balances, v_left_out FROM placed p;
    IF v_left_out <> 0 THEN
        RAISE EXCEPTION 'a credit row was not where it had been locked' USING ERRCODE = 'assert_failure';
    END IF;
    RETURN v_balances;
END;
$$;
COMMENT ON FUNCTION settle_plain_deductions(
    uuid[], int[], text[], text[], uuid[], bytea[], json[], json[]) IS
    'Writes the deductions, and sessions, of the stores whose items in a batch are all plain. '
    'Per item: the balance after it; null: not plain, nothing was written.';

CREATE OR REPLACE FUNCTION settle_plain_failures(
    p_store_ids uuid[],
    p_session_ids uuid[],
    p_error_codes text[],
    p_error_messages text[],
    p_generator_messages text[]
)
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: of a batch, fail and refund the sessions of each store all of whose items are plain: an
--   open session that stands once in the batch, whose one credit came from the balance and has not
--   been given back.
-- Returns: per item its store's balance after the call; null where nothing was written, and somebody
--   else decides.
-- Locks: the credit rows of all stores of the batch, ascending; then the sessions, ascending.
--   Idempotent: an ended session is not plain. Errors: none of its own.
DECLARE
    v_store_ids uuid[];
    v_ctids tid[];
    v_before bigint[];
    v_seqs bigint[];
    v_balances bigint[];
    v_left_out bigint;
BEGIN
    SELECT array_agg(l.store_id), array_agg(l.row_id), array_agg(l.balance), array_agg(l.last_seq)
    INTO v_store_ids, v_ctids, v_before, v_seqs
    FROM (SELECT c.store_id, c.ctid AS row_id, c.balance, c.last_seq FROM store_credits c
          WHERE c.store_id = ANY (p_store_ids) ORDER BY c.store_id FOR UPDATE) l;
    PERFORM lock_sessions_across_stores(p_store_ids, p_session_ids);

    WITH item AS (
        SELECT i.*, c.credit_ctid, c.balance, c.last_seq,
            s.session_ctid, s.request_id,
            s.completed_at IS NOT NULL OR d.amount IS NULL
            OR count(*) OVER (PARTITION BY i.store_id, i.session_id) > 1
            OR coalesce((
                SELECT true FROM store_credit_transactions t
                WHERE t.store_id = i.store_id AND t.request_id = s.request_id
                  AND t.type = 'refund'
                ORDER BY t.type LIMIT 1), false) AS is_special
        FROM unnest(p_store_ids, p_session_ids, p_error_codes, p_error_messages,
                    p_generator_messages) WITH ORDINALITY
            AS i (store_id, session_id, error_code, error_message, generator_message, n)
        LEFT JOIN unnest(v_store_ids, v_ctids, v_before, v_seqs)
            AS c (store_id, credit_ctid, balance, last_seq) ON c.store_id = i.store_id
        LEFT JOIN LATERAL (
            SELECT k.ctid AS session_ctid, k.request_id, k.completed_at FROM store_generation_sessions k
            WHERE k.store_id = i.store_id AND k.session_id = i.session_id
            LIMIT 1) s ON true
        LEFT JOIN LATERAL (
            SELECT t.amount FROM store_credit_transactions t
            WHERE t.store_id = i.store_id AND t.request_id = s.request_id
              AND t.type = 'deduction'
            ORDER BY t.type LIMIT 1) d ON true
    ), placed AS MATERIALIZED (
        SELECT i.*, row_number() OVER in_order AS nth,
            count(*) OVER together AS refunds,
            NOT bool_or(i.is_special) OVER together AS is_plain
        FROM item i
        WINDOW in_order AS (
                PARTITION BY i.store_id ORDER BY i.session_id ROWS UNBOUNDED PRECEDING),
            together AS (PARTITION BY i.store_id)
    ), session AS (
        UPDATE store_generation_sessions s
        SET status = 'failed', completed_at = now(), input = NULL,
            error_code = p.error_code, error_message = p.error_message,
            generator_message = coalesce(p.generator_message, s.generator_message)
        FROM placed p
        WHERE p.is_plain AND s.ctid = p.session_ctid
        RETURNING s.session_id
    ), movement AS (
        INSERT INTO store_credit_transactions
            (store_id, seq, type, amount, balance_after, request_id, session_id, description)
        SELECT p.store_id, p.last_seq + p.nth, 'refund', 1, p.balance + p.nth,
            p.request_id, p.session_id, 'Image generation failed'
        FROM placed p WHERE p.is_plain
    ), credit AS (
        UPDATE store_credits c
        SET balance = c.balance + p.refunds, total_spent = c.total_spent - p.refunds,
            last_seq = c.last_seq + p.refunds
        FROM placed p
        WHERE p.is_plain AND p.nth = 1 AND c.ctid = p.credit_ctid
        RETURNING p.refunds
    )
    SELECT array_agg(CASE WHEN p.is_plain THEN p.balance + p.refunds END ORDER BY p.n),
        2 * count(*) FILTER (WHERE p.is_plain) - (SELECT coalesce(sum(c.refunds), 0) FROM credit c)
            - (SELECT count(*) FROM session)
    INTO v_balances, v_left_out FROM placed p;
    IF v_left_out <> 0 THEN
        RAISE EXCEPTION 'a credit row or a session was not where it had been locked' USING ERRCODE = 'assert_failure';
    END IF;
    RETURN v_balances;
END;
$$;
COMMENT ON FUNCTION settle_plain_failures(uuid[], uuid[], text[], text[], text[]) IS
    'Fails and refunds the sessions of the stores whose items in a batch are all plain. '
    'Per item: the store''s balance after the call; null: not plain, nothing was written.';

CREATE OR REPLACE FUNCTION lock_sessions_across_stores(p_store_ids uuid[], p_session_ids uuid[])
RETURNS tid[]
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
-- Purpose: wait for the sessions of a batch. Locks: the sessions, ascending.
-- Returns: per item the ctid of its session, which holds until this transaction changes the row;
--   null: there is no such session. Errors: none of its own.
BEGIN
    PERFORM FROM (
        SELECT DISTINCT u.store_id, u.session_id
        FROM unnest(p_store_ids, p_session_ids) AS u (store_id, session_id)
        ORDER BY u.store_id, u.session_id
    ) i CROSS JOIN LATERAL (
        SELECT FROM store_generation_sessions k
        WHERE k.store_id = i.store_id AND k.session_id = i.session_id
        LIMIT 1 FOR UPDATE) s;

    RETURN (
        SELECT array_agg((
            SELECT k.ctid FROM store_generation_sessions k
            WHERE k.store_id = i.store_id AND k.session_id = i.session_id
            LIMIT 1) ORDER BY i.n)
        FROM unnest(p_store_ids, p_session_ids) WITH ORDINALITY AS i (store_id, session_id, n));
END;
$$;
COMMENT ON FUNCTION lock_sessions_across_stores(uuid[], uuid[]) IS
    'Waits for the sessions of a batch and locks them, in ascending order. '
    'Per item: the ctid of its session; null: there is none.';
