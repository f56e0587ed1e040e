-- Generations: work and the credits that pay for it change together, in one statement, so that no crash
-- can part the money from the work.
--
-- Lock order, for all of them: accounts ascending, then sessions ascending. Batches therefore never
-- wait for each other in a circle.

CREATE OR REPLACE FUNCTION create_generations(
    p_account_ids bigint[],
    p_session_ids uuid[],
    p_request_ids text[],
    p_amounts int[],
    p_fingerprints bytea[],
    p_inputs json[],
    p_metadatas json[],
    p_entrypoint text,
    p_payloads bytea[],
    OUT outcomes text[],
    OUT session_ids uuid[],
    OUT statuses text[],
    OUT balances bigint[],
    OUT charged_as text[],
    OUT credits int[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: for requests of any accounts: replay check, charge, session, job. `p_amounts`: what each costs
--   now. A request that was charged before is not asked for another price.
-- Locks: the accounts, ascending; the items come in that order. Idempotent by (account, request id).
-- Outcomes: created | replayed (the session this request made before, with its current status)
--   | insufficient (nothing written) | conflict (the request id was used for another request). And
--   the balance after each item. Of what was created, now or before, `credits` is what was taken,
--   and `charged_as` from what: balance | overage; of what is insufficient, what it costs.
-- Errors: unknown_account, invalid_amount, invalid_request_id.
DECLARE
    v_count CONSTANT int[] := ARRAY[cardinality(p_account_ids)];
    -- Counted from 1, as the places are. (One more array to unnest would cost more.)
    v_amounts CONSTANT int[] := p_amounts[:];
    v_charged record := charge_accounts(p_account_ids[:], v_amounts, p_request_ids[:],
        p_session_ids[:], array_fill('Image generation'::text, v_count));
BEGIN
    INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint, input, metadata)
    SELECT i.account_id, i.session_id, v_amounts[i.n], i.request_id, i.fingerprint, i.input, i.metadata
    FROM unnest(v_charged.outcomes, p_account_ids, p_session_ids, p_request_ids, p_fingerprints,
                p_inputs, p_metadatas) WITH ORDINALITY
        AS i (outcome, account_id, session_id, request_id, fingerprint, input, metadata, n)
    WHERE i.outcome IN ('deducted', 'overage');
    -- No job of a session just made can live: what enqueue_jobs guards against needs no look-up.
    INSERT INTO pgqueuer (priority, entrypoint, payload, dedupe_key, status)
    SELECT 0, p_entrypoint, i.payload, i.session_id::text, 'queued'
    FROM unnest(v_charged.outcomes, p_session_ids, p_payloads) AS i (outcome, session_id, payload)
    WHERE i.outcome IN ('deducted', 'overage');

    balances := v_charged.balances;
    IF 'deducted' = ALL (v_charged.outcomes) THEN
        outcomes := array_fill('created'::text, v_count);
        session_ids := p_session_ids[:];
        statuses := array_fill('queued'::text, v_count);
        charged_as := array_fill('balance'::text, v_count);
        credits := v_amounts;
    ELSE
        SELECT a.outcomes, a.session_ids, a.statuses, a.charged_as, a.credits
        INTO outcomes, session_ids, statuses, charged_as, credits
        FROM answer_generations(p_account_ids[:], p_request_ids[:], v_amounts,
            p_fingerprints[:], v_charged.outcomes) a;
    END IF;
END;
$$;
COMMENT ON FUNCTION create_generations(
    bigint[], uuid[], text[], int[], bytea[], json[], json[], text, bytea[]) IS
    'For requests of any accounts, in ascending order: replay check, charge, session, job. Per item '
    'its outcome (created, replayed, insufficient, conflict), session, status, balance, what it was '
    'charged as (balance or overage), and the credits taken, or of an insufficient one its price. '
    'Idempotent by request id, whatever it costs by now. '
    'Errors: SC010 unknown account, SC002 amount, SC003 request id.';

CREATE OR REPLACE FUNCTION answer_generations(
    p_account_ids bigint[],
    p_request_ids text[],
    p_amounts int[],
    p_fingerprints bytea[],
    p_charge_outcomes text[],
    OUT outcomes text[],
    OUT session_ids uuid[],
    OUT statuses text[],
    OUT charged_as text[],
    OUT credits int[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: what create_generations answers to a batch that was not simply all paid from balances: each
--   request is looked up with the session its credits were taken for. Locks: none; the caller's hold.
DECLARE
    v_charge record;
    v_session record;
    v_outcome text;
BEGIN
    FOR i IN 1 .. cardinality(p_account_ids) LOOP
        SELECT m.type, m.session_id, m.seq, m.amount INTO v_charge FROM movements m
        WHERE m.account_id = p_account_ids[i] AND m.request_id = p_request_ids[i]
          AND movement_role(m.type) = 'charge'
        ORDER BY m.type LIMIT 1;
        SELECT s.session_id, s.status, s.fingerprint, s.credits INTO v_session FROM sessions s
        WHERE s.account_id = p_account_ids[i] AND s.session_id = v_charge.session_id LIMIT 1;
        IF v_charge.session_id IS NOT NULL AND v_session.session_id IS NULL THEN
            -- Archived, and known by what was kept of it.
            SELECT v_charge.session_id AS session_id, a.status, CASE
                    WHEN a.fingerprint = substring(p_fingerprints[i] FOR 8) THEN p_fingerprints[i]
                END AS fingerprint, v_charge.amount::int AS credits
            INTO v_session FROM archived_session(p_account_ids[i], v_charge.seq) a;
        END IF;
        v_outcome := CASE
            WHEN p_charge_outcomes[i] = 'insufficient' THEN 'insufficient'
            WHEN p_charge_outcomes[i] IN ('deducted', 'overage') THEN 'created'
            -- Credits that were taken under this id by a direct call have no session. And what it
            -- costs is no part of a request: `conflict` may be no more than another price by now.
            WHEN v_session.fingerprint = p_fingerprints[i] THEN 'replayed'
            ELSE 'conflict' END;
        outcomes[i] := v_outcome;
        session_ids[i] := v_session.session_id;
        statuses[i] := v_session.status;
        charged_as[i] := CASE WHEN v_outcome IN ('insufficient', 'conflict') THEN NULL
            WHEN v_charge.type = 'overage' THEN 'overage' ELSE 'balance' END;
        credits[i] := CASE v_outcome WHEN 'insufficient' THEN p_amounts[i]
            WHEN 'conflict' THEN NULL ELSE v_session.credits END;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION answer_generations(bigint[], text[], int[], bytea[], text[]) IS
    'What create_generations answers to a batch that was not simply all paid from balances.';

CREATE OR REPLACE FUNCTION fail_generations(
    p_account_ids bigint[], p_session_ids uuid[], p_error_codes text[], p_error_messages text[],
    p_generator_messages text[]
)
RETURNS TABLE (ord int, outcome text, credits int)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: mark sessions failed and give back what they were charged, as balance or as overage.
--   Announced. `ord` is the place in the batch, `credits` what went back by this item; null: nothing.
-- Locks: the accounts, ascending, then the sessions, ascending. Idempotent by session.
-- Outcomes: failed (and refunded) | already_failed | already_completed | not_found.
-- Errors: no_deduction when a session's credits were never taken: the whole batch is refused, because
--   that state has no honest outcome (`storecredit verify` names it).
DECLARE
    v_sessions record;
    v_places int[];
    v_account_ids bigint[]; v_session_ids uuid[]; v_request_ids text[]; v_credits int[];
    v_returned record; v_lost int;
    -- Counted from 1, as the places are.
    v_codes text[] := p_error_codes[:];
    v_messages text[] := p_error_messages[:];
    v_sayings text[] := p_generator_messages[:];
BEGIN
    PERFORM FROM (SELECT FROM accounts a WHERE a.account_id = ANY (p_account_ids)
                  ORDER BY a.account_id FOR NO KEY UPDATE) a;
    v_sessions := lock_sessions(p_account_ids, p_session_ids);
    -- Of several items for one session the first in the batch ends it.
    SELECT array_agg(i.place), array_agg(i.account_id), array_agg(i.session_id),
        array_agg(i.request_id), array_agg(i.credits)
    INTO v_places, v_account_ids, v_session_ids, v_request_ids, v_credits
    FROM (SELECT min(u.n)::int AS place, u.account_id, u.session_id, u.request_id, u.credits
          FROM unnest(p_account_ids, p_session_ids, v_sessions.request_ids, v_sessions.statuses,
                      v_sessions.credits) WITH ORDINALITY
              AS u (account_id, session_id, request_id, status, credits, n)
          WHERE u.status IN ('queued', 'processing')
          GROUP BY u.account_id, u.session_id, u.request_id, u.credits
          ORDER BY u.account_id, min(u.n)) i;
    IF v_places IS NOT NULL THEN
        UPDATE sessions s
        SET status = 'failed', completed_at = now(), input = NULL, error_code = i.error_code,
            error_message = i.error_message,
            generator_message = coalesce(i.generator_message, s.generator_message),
            failed_attempts = with_last_attempt(s.failed_attempts, s.attempts, i.generator_message)
        FROM (SELECT v_sessions.row_ids[u.place] AS row_id, v_codes[u.place] AS error_code,
                  v_messages[u.place] AS error_message, v_sayings[u.place] AS generator_message
              FROM unnest(v_places) AS u (place)) i
        WHERE s.ctid = i.row_id;
        v_returned := return_charges(v_account_ids, v_credits, v_request_ids,
            array_fill('Image generation failed'::text, ARRAY[cardinality(v_places)]));
        v_lost := coalesce(array_position(v_returned.outcomes, 'no_deduction'),
            array_position(v_returned.outcomes, 'exceeds_deduction'));
        IF v_lost IS NOT NULL THEN
            PERFORM raise_credit_error('no_deduction', v_request_ids[v_lost]);
        END IF;
        PERFORM tell_generations(v_account_ids, v_session_ids) WHERE is_heard(v_account_ids);
        PERFORM announce_ends(v_session_ids);
    END IF;
    RETURN QUERY
    SELECT i.n::int, CASE WHEN i.n = ANY (v_places) THEN 'failed'
        WHEN i.status IN ('queued', 'processing') THEN 'already_failed'
        ELSE coalesce('already_' || i.status, 'not_found') END,
        CASE WHEN i.n = ANY (v_places) THEN i.credits END
    FROM unnest(v_sessions.statuses, v_sessions.credits) WITH ORDINALITY AS i (status, credits, n);
END;
$$;
COMMENT ON FUNCTION fail_generations(bigint[], uuid[], text[], text[], text[]) IS
    'Marks sessions failed and gives back what they were charged, in one statement. '
    'Outcome per item: failed (and the credits given back), already_failed, already_completed, '
    'not_found.';
