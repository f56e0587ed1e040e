-- The sums of each hour: movements are counted after they were committed, by whoever has the time, so
-- that nothing is written for them where credits move.
--
-- Each movement is counted once, whatever is committed late or killed. The place of an account's
-- movements is the order in which they are committed, since whoever moves its credits holds its lock
-- until then; so one number per account says what is counted, and changes in the transaction that counts.
--
-- Whose movements are new is found in two ways. The ledger grows at its end: its last pages are looked at
-- in each pass, from where it ended some passes ago. And all accounts are walked over, some in each pass:
-- that finds what was committed later than that, or stands where there was room on an earlier page: where a
-- transaction was rolled back, or where a larger movement did not fit and a vacuum has told of the rest.

CREATE OR REPLACE FUNCTION causes_of(p_account_id bigint, p_type text, p_session_id uuid)
RETURNS TABLE (cause text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: why the generation failed that a movement gives back; empty: it gives none back. Locks: none.
--   One row, and no scalar: PostgreSQL puts a function that looks something up into a statement's FROM alone.
    SELECT CASE WHEN p_session_id IS NOT NULL AND movement_role(p_type) = 'return' THEN coalesce((
        SELECT s.error_code FROM sessions s
        WHERE s.account_id = p_account_id AND s.session_id = p_session_id LIMIT 1), (
        SELECT x.cause FROM archived_by_id(p_account_id, p_session_id) x), '') ELSE '' END;
$$;
COMMENT ON FUNCTION causes_of(bigint, text, uuid) IS
    'One row: why the generation failed that a movement gives back; empty: it gives none back.';

CREATE OR REPLACE FUNCTION hour_of(p_at timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Whole hours of UTC, whatever the zone of the session: some zones are half an hour beside it.
    SELECT date_bin('1 hour', p_at, '2000-01-01 00:00+00');
$$;
COMMENT ON FUNCTION hour_of(timestamptz) IS
    'When the hour (UTC) of a moment began.';

CREATE OR REPLACE FUNCTION pieces_to_sum(p_account_ids bigint[], p_seqs bigint[], p_movements bigint)
RETURNS TABLE (
    account_id bigint, owner_kind text, owner_id uuid, after bigint, wanted bigint, until bigint)
LANGUAGE sql STABLE
AS $$
-- Purpose: up to which place each of these accounts is to be counted, so that all together have p_movements
--   movements at most; until: null: there is no room for it any more. Locks: none.
    WITH due AS (
        SELECT i.account_id, a.owner_kind, a.owner_id, i.after, i.wanted, i.wanted::numeric - i.after AS length
        FROM (
            SELECT x.account_id, coalesce(s.seq, 0) AS after, x.seq AS wanted
            FROM unnest(p_account_ids, p_seqs) AS x (account_id, seq)
            LEFT JOIN LATERAL (
                SELECT y.seq FROM summed_accounts y
                WHERE y.account_id = x.account_id LIMIT 1) s ON true
            WHERE x.seq > coalesce(s.seq, 0)
            OFFSET 0) i
        CROSS JOIN LATERAL (
            SELECT x.owner_kind, x.owner_id FROM accounts x WHERE x.account_id = i.account_id LIMIT 1) a
    ), placed AS (
        SELECT d.*, coalesce(sum(d.length) OVER (ORDER BY d.account_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
        FROM due d
    )
    SELECT p.account_id, p.owner_kind, p.owner_id, p.after, p.wanted, CASE
        WHEN p.before >= p_movements THEN NULL
        WHEN p.before + p.length <= p_movements THEN p.wanted
        ELSE least(p.wanted, (
            -- Not by arithmetic: a ledger that somebody broke may have a gap of any size.
            SELECT m.seq FROM movements m
            WHERE m.account_id = p.account_id AND m.seq > p.after
            ORDER BY m.account_id, m.seq
            OFFSET greatest(p_movements - p.before - 1, 0)::bigint LIMIT 1)) END
    FROM placed p;
$$;
COMMENT ON FUNCTION pieces_to_sum(bigint[], bigint[], bigint) IS
    'Up to which place each of these accounts is counted, of so many movements together at most.';

CREATE OR REPLACE FUNCTION sum_some(
    p_account_ids bigint[], p_seqs bigint[], p_movements bigint,
    OUT summed bigint, OUT is_all boolean
)
LANGUAGE plpgsql
AS $$
-- Purpose: count the movements of these accounts up to these places, p_movements at most: what is left is
--   counted by the next call. Locks: the caller keeps others from counting. Idempotent.
BEGIN
    WITH piece AS (
        SELECT * FROM pieces_to_sum(p_account_ids, p_seqs, p_movements)
    ), moved AS (
        SELECT hour_of(m.created_at) AS hour, p.owner_kind, m.type, c.cause,
            count(*) AS movements, count(m.session_id) AS generations, sum(m.amount) AS credits
        FROM (SELECT * FROM piece WHERE until IS NOT NULL) p
        CROSS JOIN LATERAL (
            SELECT x.created_at, x.type, x.session_id, x.amount FROM movements x
            WHERE x.account_id = p.account_id AND x.seq > p.after AND x.seq <= p.until
            -- In the order of the key, or another one is taken, by which all of the account is read.
            ORDER BY x.account_id, x.seq OFFSET 0) m
        CROSS JOIN LATERAL causes_of(p.account_id, m.type, m.session_id) c
        GROUP BY 1, 2, 3, 4
    ), added AS (
        INSERT INTO hourly_sums AS h
            (hour, owner_kind, type, cause, movements, generations, credits)
        SELECT m.hour, m.owner_kind, m.type, m.cause, m.movements, m.generations, m.credits
        FROM moved m
        ON CONFLICT (hour, owner_kind, type, cause) DO UPDATE
        SET movements = h.movements + excluded.movements,
            generations = h.generations + excluded.generations,
            credits = h.credits + excluded.credits
    ), added_to_days AS (
        INSERT INTO daily_sums AS d
            (day, owner_kind, type, cause, movements, generations, credits)
        SELECT (m.hour AT TIME ZONE 'UTC')::date, m.owner_kind, m.type, m.cause,
            sum(m.movements)::bigint, sum(m.generations)::bigint, sum(m.credits)
        FROM moved m
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (day, owner_kind, type, cause) DO UPDATE
        SET movements = d.movements + excluded.movements,
            generations = d.generations + excluded.generations,
            credits = d.credits + excluded.credits
    ), noted AS (
        INSERT INTO summed_accounts (account_id, owner_kind, owner_id, seq, balance, moved_at)
        SELECT p.account_id, p.owner_kind, p.owner_id, p.until, n.balance_after, n.created_at
        FROM (SELECT * FROM piece WHERE until IS NOT NULL) p
        CROSS JOIN LATERAL (
            SELECT x.balance_after, x.created_at FROM movements x
            WHERE x.account_id = p.account_id AND x.seq <= p.until
            ORDER BY x.account_id DESC, x.seq DESC LIMIT 1) n
        ON CONFLICT (account_id) DO UPDATE
        SET seq = excluded.seq, balance = excluded.balance, moved_at = excluded.moved_at
    )
    SELECT coalesce((SELECT sum(m.movements) FROM moved m), 0),
        coalesce(bool_and(p.until IS NOT DISTINCT FROM p.wanted), true)
    INTO summed, is_all FROM piece p;
END;
$$;
COMMENT ON FUNCTION sum_some(bigint[], bigint[], bigint) IS
    'Counts the movements of accounts up to a place of each, so many at most. Returns how many, and '
    'whether that was all.';

CREATE OR REPLACE FUNCTION ledger_pages()
RETURNS bigint
LANGUAGE sql STABLE
AS $$
-- Purpose: how many pages the ledger has; on a node of a Citus cluster, its shard. Locks: none.
    SELECT pg_relation_size('movements') / current_setting('block_size')::int;
$$;
COMMENT ON FUNCTION ledger_pages() IS
    'How many pages the ledger has.';

CREATE OR REPLACE FUNCTION uncounted_from(p_ends bigint[])
RETURNS bigint
LANGUAGE sql STABLE
AS $$
-- Purpose: the page of the ledger from which on movements stand that are not counted yet, by where it ended
--   when the last passes began. Some hundreds before that are among them: a server that is busy makes so
--   many at once, which are filled in any order. Locks: none.
    SELECT greatest(
        least((SELECT min(e.pages) FROM unnest(p_ends) e (pages)), ledger_pages()) - 512, 0);
$$;
COMMENT ON FUNCTION uncounted_from(bigint[]) IS
    'The page of the ledger from which on movements stand that the sums do not hold yet, by summing.ends.';

CREATE OR REPLACE FUNCTION sum_newest(
    p_from bigint, p_movements bigint,
    OUT account_ids bigint[], OUT summed bigint, OUT is_all boolean
)
LANGUAGE plpgsql
AS $$
-- Purpose: count what is new in the pages of the ledger from p_from on. Locks: as sum_some.
-- Returns: whose movements stand there, too.
DECLARE
    v_from tid := format('(%s,0)', p_from)::tid;
    v_seqs bigint[];
BEGIN
    SELECT array_agg(t.account_id), array_agg(t.seq) INTO account_ids, v_seqs
    -- + 0: in an order that no index has, or a plan made for a small ledger reads all of it by the key.
    FROM (SELECT m.account_id + 0 AS account_id, max(m.seq) AS seq FROM movements m
          WHERE m.ctid >= v_from GROUP BY 1) t;
    SELECT s.summed, s.is_all INTO summed, is_all
    FROM sum_some(account_ids, v_seqs, p_movements) s;
END;
$$;
COMMENT ON FUNCTION sum_newest(bigint, bigint) IS
    'Counts what is new in the last pages of the ledger. Returns whose it is, how much, and whether that '
    'was all.';

CREATE OR REPLACE FUNCTION sum_walking(
    p_after bigint, p_accounts int, p_movements bigint,
    OUT account_ids bigint[], OUT walked_to bigint, OUT summed bigint, OUT is_all boolean
)
LANGUAGE plpgsql
AS $$
-- Purpose: count what is new of the next p_accounts accounts after p_after, and give those a row that came
--   here without one (a migration's, and those of a process of a version before). Locks: as sum_some.
-- Returns: these accounts; walked_to: the last of them, 0: there are no more.
DECLARE
    v_seqs bigint[];
BEGIN
    SELECT array_agg(w.account_id), array_agg(coalesce(n.seq, 0)),
        CASE WHEN count(*) = p_accounts THEN max(w.account_id) ELSE 0 END
    INTO account_ids, v_seqs, walked_to
    FROM (SELECT a.account_id FROM accounts a WHERE a.account_id > p_after
          ORDER BY a.account_id LIMIT p_accounts) w
    LEFT JOIN LATERAL (
        SELECT m.seq FROM movements m WHERE m.account_id = w.account_id
        ORDER BY m.account_id DESC, m.seq DESC LIMIT 1) n ON true;
    INSERT INTO summed_accounts (account_id, owner_kind, owner_id, seq)
    SELECT i.account_id, a.owner_kind, a.owner_id, 0
    FROM unnest(account_ids) i (account_id)
    CROSS JOIN LATERAL (
        SELECT x.owner_kind, x.owner_id FROM accounts x WHERE x.account_id = i.account_id LIMIT 1) a
    WHERE NOT EXISTS (SELECT FROM summed_accounts s WHERE s.account_id = i.account_id)
    ON CONFLICT (account_id) DO NOTHING;
    SELECT s.summed, s.is_all INTO summed, is_all
    FROM sum_some(account_ids, v_seqs, p_movements) s;
END;
$$;
COMMENT ON FUNCTION sum_walking(bigint, int, bigint) IS
    'Counts what is new of the next accounts. Returns these, the last of them, how much was new, and '
    'whether that was all.';

CREATE OR REPLACE FUNCTION sum_up(
    p_interval interval, p_accounts int, p_movements bigint,
    OUT summed bigint, OUT is_behind boolean
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: one piece of a pass: p_movements at most are counted of the newest pages and of the next
--   p_accounts accounts. Locks: one of its own, without waiting for it: nobody who moves credits waits.
--   Idempotent. Returns: how many were counted; is_behind: there is more. Both null: it is not its turn,
--   since another is at it, the last pass was less than p_interval ago, or the database is read-only.
DECLARE
    c_passes CONSTANT int := 3;
    v_now summing;
    v_end bigint;
    v_newest record;
    v_walk record;
BEGIN
    IF current_setting('transaction_read_only')::boolean
        OR NOT pg_try_advisory_xact_lock(
            hashtextextended('storecredit sums ' || current_schema(), 0)) THEN
        RETURN;
    END IF;
    INSERT INTO summing DEFAULT VALUES ON CONFLICT DO NOTHING;
    SELECT s.* INTO v_now FROM summing s;
    IF v_now.whole_at IS NOT NULL AND v_now.summed_at > now() - p_interval
        AND v_now.summed_at <= now() THEN
        RETURN;
    END IF;
    v_end := ledger_pages();
    v_newest := sum_newest(uncounted_from(v_now.ends), p_movements);
    summed := v_newest.summed;
    is_behind := true;
    IF v_newest.is_all AND summed < p_movements THEN
        v_walk := sum_walking(v_now.walked_to, p_accounts, p_movements - summed);
        summed := summed + v_walk.summed;
        IF v_walk.is_all THEN
            is_behind := v_now.whole_at IS NULL AND v_walk.walked_to > 0;
            PERFORM estimate_dry_runs(v_newest.account_ids || v_walk.account_ids),
                sum_money(v_now.money_at);
            UPDATE summing SET walked_to = v_walk.walked_to, summed_at = now(), money_at = now(),
                whole_at = CASE WHEN v_walk.walked_to = 0 THEN now() ELSE v_now.whole_at END,
                ends = (v_end || v_now.ends)[:c_passes];
        END IF;
    END IF;
END;
$$;
COMMENT ON FUNCTION sum_up(interval, int, bigint) IS
    'Counts movements into the sums of their hours, so many at most. Returns how many, and whether there '
    'is more; null: it is not its turn.';
