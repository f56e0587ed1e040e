-- Notices: owners who listen are told of credits that will expire soon, once for each grant.

CREATE OR REPLACE FUNCTION notice_expiries(p_within interval, p_after bigint, p_limit int)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: tell of each grant that it expires within so much time, once, while it has credits left that
--   do not live on and somebody listens; of the next p_limit accounts after p_after that have something
--   to end by then. Locks: none but the notices: nobody waits for it. Idempotent by grant.
-- Returns: the last account that was looked at; null: there are no more.
DECLARE
    v_account_ids bigint[];
    v_told record;
BEGIN
    SELECT array_agg(a.account_id ORDER BY a.account_id) INTO v_account_ids
    FROM (SELECT x.account_id FROM accounts x
          -- In order of the accounts: no index by when they expire, which would be read anew each time.
          WHERE x.account_id > p_after AND coalesce(x.next_expiry, 'infinity') <= now() + p_within
          ORDER BY x.account_id LIMIT p_limit) a;
    WITH ending AS (
        SELECT e.account_id, e.grant_seq AS seq, e.expires_at,
            l.credits - least(coalesce(e.rollover_max, 0), l.credits) AS amount
        FROM ends_of_accounts(v_account_ids) e
        CROSS JOIN LATERAL (SELECT credits_in_grants(e.grants, e.grant_seq) AS credits) l
        WHERE e.expires_at > now() AND e.expires_at <= now() + p_within
          AND EXISTS (SELECT FROM webhook_endpoints w
                      WHERE w.account_id IN (0, e.account_id) AND w.status = 'enabled'
                        AND w.event_types && '{credits.expiring, *}')
    ), noticed AS (
        INSERT INTO expiry_notices (account_id, seq)
        SELECT e.account_id, e.seq FROM ending e WHERE e.amount > 0
        ON CONFLICT DO NOTHING
        RETURNING account_id, seq)
    SELECT array_agg('credits.expiring'::text) AS types,
        array_agg(e.account_id ORDER BY e.account_id, e.expires_at, e.seq) AS account_ids,
        array_agg(json_build_object('amount', e.amount, 'expires_at', in_utc(e.expires_at))
            ORDER BY e.account_id, e.expires_at, e.seq) AS datas
    INTO v_told
    FROM noticed n JOIN ending e ON e.account_id = n.account_id AND e.seq = n.seq;
    PERFORM tell(v_told.types, v_told.account_ids, v_told.datas) WHERE v_told.types IS NOT NULL;
    RETURN v_account_ids[cardinality(v_account_ids)];
END;
$$;
COMMENT ON FUNCTION notice_expiries(interval, bigint, int) IS
    'Tells of grants that expire within so much time, once each. Returns the last account looked at; '
    'null: there are no more.';

CREATE OR REPLACE FUNCTION forget_expiry_notices(p_limit int)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: forget the notices of p_limit grants at most whose end is past: nobody is told of those again.
-- Locks: those notices; what is locked is passed over. Idempotent. Returns: how many were forgotten.
DECLARE
    v_count int;
BEGIN
    DELETE FROM expiry_notices n
    WHERE n.ctid = ANY (ARRAY(
        SELECT x.ctid FROM expiry_notices x
        CROSS JOIN LATERAL (SELECT g.expires_at FROM grants g
            WHERE g.account_id = x.account_id AND g.seq = x.seq LIMIT 1) g
        WHERE g.expires_at <= now()
        ORDER BY x.account_id, x.seq LIMIT p_limit
        FOR UPDATE OF x SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END;
$$;
COMMENT ON FUNCTION forget_expiry_notices(int) IS
    'Forgets notices of grants that have expired. Returns how many.';
