-- Do the sums agree with what they are of? Recomputed from every movement that is counted, and from every
-- payment of a day that is over: one pass over the ledger, which storecredit.ledger.sums_proof makes beside
-- the others, in the same snapshot. What is not counted yet stands after summed_accounts.seq, and is no
-- part of it.
--
-- All functions: locks none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL puts
-- them into the statement that calls them.

CREATE OR REPLACE FUNCTION recomputed_hourly_sums()
RETURNS TABLE (
    hour timestamptz, owner_kind text, type text, cause text, movements bigint, generations bigint,
    credits numeric)
LANGUAGE sql STABLE
AS $$
-- Purpose: what hourly_sums ought to hold. Why generations failed is joined, not looked up as by the job
--   (causes_of), and for what was given back alone: of a whole ledger that takes half the time.
    WITH account AS MATERIALIZED (
        SELECT s.account_id, s.seq, a.owner_kind FROM summed_accounts s JOIN accounts a USING (account_id)
    )
    SELECT x.hour, x.owner_kind, x.type, x.cause, sum(x.movements)::bigint, sum(x.generations)::bigint,
        sum(x.credits)
    FROM (
        SELECT hour_of(m.created_at), a.owner_kind, m.type, '', count(*), count(m.session_id),
            sum(m.amount)
        FROM movements m JOIN account a ON a.account_id = m.account_id
        WHERE m.seq <= a.seq
          AND (m.session_id IS NOT NULL AND movement_role(m.type) = 'return') IS NOT TRUE
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT hour_of(m.created_at), a.owner_kind, m.type, coalesce(f.error_code, r.cause, ''),
            count(*), count(*), sum(m.amount)
        FROM movements m JOIN account a ON a.account_id = m.account_id
        LEFT JOIN sessions f ON f.account_id = m.account_id AND f.session_id = m.session_id
            AND f.error_code IS NOT NULL
        LEFT JOIN (
            SELECT x.account_id, c.seq, c.cause
            FROM archived_sessions x, unnest(x.return_seqs, x.causes) c (seq, cause)
        ) r ON r.account_id = m.account_id AND r.seq = m.seq
        WHERE m.seq <= a.seq AND m.session_id IS NOT NULL AND movement_role(m.type) = 'return'
        GROUP BY 1, 2, 3, 4
    ) x (hour, owner_kind, type, cause, movements, generations, credits)
    GROUP BY 1, 2, 3, 4;
$$;
COMMENT ON FUNCTION recomputed_hourly_sums() IS
    'What hourly_sums ought to hold, from every movement that is counted.';

CREATE OR REPLACE FUNCTION find_sum_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: name each hour and type, and each day and type, whose sums are not those of its movements.
    WITH recomputed AS MATERIALIZED (SELECT * FROM recomputed_hourly_sums()), due AS (
        SELECT 'hour' AS period, r.hour AS begins_at, r.owner_kind, r.type, r.cause, r.movements,
            r.generations, r.credits
        FROM recomputed r
        UNION ALL
        SELECT 'day', date_bin('1 day', r.hour, '2000-01-01 00:00+00'), r.owner_kind, r.type, r.cause,
            sum(r.movements)::bigint, sum(r.generations)::bigint, sum(r.credits)
        FROM recomputed r GROUP BY 1, 2, 3, 4, 5
    ), kept AS (
        SELECT 'hour' AS period, h.hour AS begins_at, h.owner_kind, h.type, h.cause, h.movements,
            h.generations, h.credits
        FROM hourly_sums h
        UNION ALL
        SELECT 'day', d.day::timestamp AT TIME ZONE 'UTC', d.owner_kind, d.type, d.cause, d.movements,
            d.generations, d.credits
        FROM daily_sums d
    )
    SELECT 'sum_mismatch', NULL::bigint, NULL::bigint, NULL::text, NULL::uuid,
        format('the sums of the %s from %s say of %s of %ss%s: %s movements, %s of generations, %s '
            'credits; the ledger says %s, %s, %s',
            period, to_char(begins_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'), type,
            owner_kind, coalesce(' for ' || nullif(cause, ''), ''),
            coalesce(k.movements, 0), coalesce(k.generations, 0), coalesce(k.credits, 0),
            coalesce(d.movements, 0), coalesce(d.generations, 0), coalesce(d.credits, 0))
    FROM kept k FULL JOIN due d USING (period, begins_at, owner_kind, type, cause)
    WHERE (k.movements = d.movements AND k.generations = d.generations AND k.credits = d.credits)
        IS NOT TRUE;
$$;
COMMENT ON FUNCTION find_sum_discrepancies() IS
    'Names each hour and each day, by type, whose sums are not those of its movements.';

CREATE OR REPLACE FUNCTION find_accounts_summed_too_far()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: name each account of which movements count as counted that there are not: the next ones would
--   be missing in the sums.
    SELECT 'summed_too_far', s.account_id, s.seq, NULL::text, NULL::uuid,
        format('the sums say that they hold the movements up to seq %s, but the newest is %s',
            s.seq, coalesce(n.seq, 0))
    FROM summed_accounts s
    LEFT JOIN LATERAL (
        SELECT m.seq FROM movements m WHERE m.account_id = s.account_id
        ORDER BY m.account_id DESC, m.seq DESC LIMIT 1
    ) n ON true
    WHERE s.seq > coalesce(n.seq, 0);
$$;
COMMENT ON FUNCTION find_accounts_summed_too_far() IS
    'Names each account of which more movements count as counted than there are.';

CREATE OR REPLACE FUNCTION find_summed_balance_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: name each account that is listed by another balance or moment, or as another owner, than it had.
    SELECT 'sum_mismatch', s.account_id, s.seq, NULL::text, NULL::uuid,
        format('the sums list %s %s with %s credits, moved last %s, up to seq %s; the ledger says %s %s, '
            '%s, %s', s.owner_kind, s.owner_id, s.balance, coalesce(s.moved_at::text, 'never'), s.seq,
            coalesce(a.owner_kind, 'nobody'), a.owner_id, coalesce(m.balance_after, 0),
            coalesce(m.created_at::text, 'never'))
    FROM summed_accounts s
    LEFT JOIN accounts a ON a.account_id = s.account_id
    LEFT JOIN LATERAL (
        SELECT x.balance_after, x.created_at FROM movements x
        WHERE x.account_id = s.account_id AND x.seq <= s.seq
        ORDER BY x.account_id DESC, x.seq DESC LIMIT 1
    ) m ON true
    WHERE (s.owner_kind, s.owner_id, s.balance, s.moved_at) IS DISTINCT FROM
        (a.owner_kind, a.owner_id, coalesce(m.balance_after, 0), m.created_at);
$$;
COMMENT ON FUNCTION find_summed_balance_discrepancies() IS
    'Names each account that is listed by another balance than it had, or among other owners.';

CREATE OR REPLACE FUNCTION find_money_sum_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: name each day and currency whose money is not that of its payments, of the days that are not
--   made anew any more (sum_money).
    SELECT 'money_sum_mismatch', NULL::bigint, NULL::bigint, NULL::text, NULL::uuid,
        format('the sums of %s say that %s %s were paid and %s went back; the payments say %s and %s',
            coalesce(d.day, m.day), coalesce(d.paid, 0), coalesce(d.currency, m.currency),
            coalesce(d.returned, 0), coalesce(m.paid, 0), coalesce(m.returned, 0))
    FROM daily_money d FULL JOIN money_by_day('-infinity') m
        ON m.day = d.day AND m.currency = d.currency
    WHERE coalesce(d.day, m.day) < (
            SELECT (least(s.money_at, now()) AT TIME ZONE 'UTC')::date - 1 FROM summing s
            WHERE s.money_at IS NOT NULL)
        AND (d.paid = m.paid AND d.returned = m.returned) IS NOT TRUE;
$$;
COMMENT ON FUNCTION find_money_sum_discrepancies() IS
    'Names each day and currency, of those that are over, whose money is not that of its payments.';
