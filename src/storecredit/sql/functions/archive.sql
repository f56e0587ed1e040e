-- The archive: sessions that ended long ago are written to a file, and then removed.
--
-- The ledger stays whole, and leads the way: each account's movements are looked through once, in order, and
-- the sessions that they paid for are taken as far as all of them are due. So nothing has to be indexed by
-- age, and one number per account says how far it came.
--
-- A file is made in three steps. begin_archive() chooses the sessions, writes down which, and makes the
-- content. The process makes the file durable. finish_archive() makes the content once more, compares, and
-- in one transaction notes the file and removes exactly these sessions. Whoever is killed in between leaves
-- the choice, and the next one makes the same file of it, under the same name.
--
-- What stands in a session beside its ledger and never changes once it has ended is archived. What is removed
-- when its time is over, or its user erased, is not: so no file ever has to be changed.

CREATE OR REPLACE FUNCTION csv_text(p_text text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- A text as a field of CSV (RFC 4180), as COPY writes it: null is nothing at all, and not "".
    SELECT CASE WHEN p_text IS NULL THEN '' ELSE '"' || replace(p_text, '"', '""') || '"' END;
$$;
COMMENT ON FUNCTION csv_text(text) IS
    'A text as a field of CSV; null: an empty one without quotes.';

CREATE OR REPLACE FUNCTION sessions_in_ledger(
    p_account_id bigint, p_after_seq bigint, p_until_seq bigint
)
RETURNS TABLE (
    seq bigint, return_seq bigint, row_id tid, session_id uuid, request_id text, status text,
    credits int, attempts int, created_at timestamptz, started_at timestamptz,
    completed_at timestamptz, error_code text, error_message text, metadata text,
    failed_attempts jsonb, fingerprint bytea)
LANGUAGE sql STABLE
AS $$
-- Purpose: the sessions that movements in (p_after_seq, p_until_seq] paid for, which agree with them. One that
--   does not stays where it is, for `storecredit verify` to name. Locks: none.
    SELECT m.seq, r.seq, s.row_id, s.session_id, s.request_id, s.status, s.credits, s.attempts,
        s.created_at, s.started_at, s.completed_at, s.error_code, s.error_message,
        s.metadata::text, s.failed_attempts, s.fingerprint
    FROM (SELECT x.seq, x.session_id, x.request_id, x.amount FROM movements x
          WHERE x.account_id = p_account_id AND x.seq > p_after_seq AND x.seq <= p_until_seq
            AND x.session_id IS NOT NULL AND movement_role(x.type) = 'charge'
          ORDER BY x.account_id, x.seq OFFSET 0) m
    CROSS JOIN LATERAL (
        SELECT x.ctid AS row_id, x.* FROM sessions x
        WHERE x.account_id = p_account_id AND x.session_id = m.session_id LIMIT 1) s
    LEFT JOIN LATERAL (
        SELECT x.seq FROM movements x
        WHERE x.account_id = p_account_id AND x.request_id = m.request_id
          AND movement_role(x.type) = 'return'
        ORDER BY x.type LIMIT 1) r ON true
    WHERE s.request_id = m.request_id AND s.credits = m.amount
      AND CASE s.status WHEN 'completed' THEN r.seq IS NULL WHEN 'failed' THEN r.seq IS NOT NULL END
      AND s.input IS NULL;
$$;
COMMENT ON FUNCTION sessions_in_ledger(bigint, bigint, bigint) IS
    'The sessions that a range of an account''s movements paid for, which agree with them.';

CREATE OR REPLACE FUNCTION archivable_until(
    p_account_id bigint, p_after_seq bigint, p_before timestamptz, p_movements bigint
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: up to which movement of an account all sessions are due: ended before p_before, without a result
--   that is still kept, and with all their movements counted in the sums, which ask why they failed. At
--   most p_movements after p_after_seq are looked at. Locks: none. Returns p_after_seq where the first one
--   is not due yet.
DECLARE
    v_summed bigint := (SELECT s.seq FROM summed_accounts s WHERE s.account_id = p_account_id);
BEGIN
    RETURN (
        SELECT coalesce(min(m.seq) FILTER (WHERE m.created_at >= p_before
                OR s.is_there AND (s.completed_at < p_before AND s.result_key IS NULL
                    AND CASE WHEN s.status = 'failed' THEN coalesce((
                        SELECT x.seq <= v_summed FROM movements x
                        WHERE x.account_id = p_account_id AND x.request_id = m.request_id
                          AND movement_role(x.type) = 'return'
                        ORDER BY x.type LIMIT 1), true) ELSE true END) IS NOT TRUE) - 1,
            max(m.seq), p_after_seq)
        FROM (SELECT x.seq, x.created_at, x.session_id, x.request_id FROM movements x
              WHERE x.account_id = p_account_id AND x.seq > p_after_seq AND x.seq <= v_summed
              ORDER BY x.account_id, x.seq LIMIT p_movements) m
        LEFT JOIN LATERAL (
            SELECT true AS is_there, x.completed_at, x.result_key, x.status FROM sessions x
            WHERE x.account_id = p_account_id AND x.session_id = m.session_id LIMIT 1) s ON true);
END;
$$;
COMMENT ON FUNCTION archivable_until(bigint, bigint, timestamptz, bigint) IS
    'Up to which movement of an account all sessions may be archived.';

CREATE OR REPLACE FUNCTION choose_to_archive(
    p_after bigint, p_accounts int, p_before timestamptz, p_grace interval, p_movements bigint,
    OUT account_ids bigint[], OUT after_seqs bigint[], OUT until_seqs bigint[], OUT walked_to bigint
)
LANGUAGE plpgsql
AS $$
-- Purpose: of the next p_accounts accounts after p_after, what is due of each, of p_movements at most
--   together. One whose first is due for less than p_grace is left for later: what is kept of archived
--   sessions is a row per account and file, which is small if many of them share it. walked_to: the last that was looked at to its end; 0: there are no more. Locks: none.
DECLARE
    v_account record;
    v_left bigint := p_movements;
    v_until bigint;
    v_seen int := 0;
BEGIN
    account_ids := '{}'; after_seqs := '{}'; until_seqs := '{}'; walked_to := p_after;
    FOR v_account IN
        SELECT a.account_id, coalesce(d.seq, 0) AS after, f.created_at
        FROM (SELECT x.account_id FROM accounts x WHERE x.account_id > p_after
              ORDER BY x.account_id LIMIT p_accounts) a
        LEFT JOIN LATERAL (
            SELECT x.seq FROM archived_accounts x WHERE x.account_id = a.account_id LIMIT 1) d ON true
        LEFT JOIN LATERAL (
            SELECT x.created_at FROM movements x
            WHERE x.account_id = a.account_id AND x.seq > coalesce(d.seq, 0)
            ORDER BY x.account_id, x.seq LIMIT 1) f ON true
        ORDER BY a.account_id
    LOOP
        v_seen := v_seen + 1;
        IF v_account.created_at < p_before - p_grace THEN
            v_until := archivable_until(v_account.account_id, v_account.after, p_before, v_left);
            IF v_until > v_account.after THEN
                account_ids := account_ids || v_account.account_id;
                after_seqs := after_seqs || v_account.after;
                until_seqs := until_seqs || v_until;
                v_left := v_left - (v_until - v_account.after);
            END IF;
            IF v_left <= 0 THEN
                RETURN;  -- there may be more of this one
            END IF;
        END IF;
        walked_to := v_account.account_id;
    END LOOP;
    IF v_seen < p_accounts THEN
        walked_to := 0;
    END IF;
END;
$$;
COMMENT ON FUNCTION choose_to_archive(bigint, int, timestamptz, interval, bigint) IS
    'What of the next accounts is due to be archived, and how far it looked.';

CREATE OR REPLACE FUNCTION make_archive(
    p_account_ids bigint[], p_after_seqs bigint[], p_until_seqs bigint[], p_seed bigint
)
RETURNS TABLE (
    sessions int, content text, row_ids tid[], oldest_at timestamptz, newest_at timestamptz,
    generations numeric, refunds numeric)
LANGUAGE sql STABLE
AS $$
-- Purpose: the sessions of a piece as the content of a file, and what is noted of them. Of an end user
--   nothing is written that is removed when the user is erased. Locks: none. One row.
    SELECT count(*)::int,
        'owner_kind,owner_id,session_id,request_id,status,credits,charged_seq,returned_seq,attempts,'
            || 'created_at,started_at,completed_at,error_code,error_message,metadata,failed_attempts'
            || E'\n' || string_agg(format(E'%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s\n',
                a.owner_kind, a.owner_id, s.session_id, csv_text(s.request_id), s.status, s.credits,
                s.seq, s.return_seq, s.attempts, in_utc(s.created_at), in_utc(s.started_at),
                in_utc(s.completed_at), csv_text(s.error_code),
                csv_text(CASE a.owner_kind WHEN 'store' THEN s.error_message END),
                csv_text(CASE a.owner_kind WHEN 'store' THEN s.metadata END),
                csv_text(without_words(s.failed_attempts)::text)), '' ORDER BY a.account_id, s.seq),
        array_agg(s.row_id ORDER BY a.account_id, s.seq), min(s.created_at), max(s.created_at),
        sum(fingerprint_of_generation(
            a.account_id, s.session_id, s.request_id, s.credits, p_seed)),
        coalesce(sum(fingerprint_of_generation(
                a.account_id, s.session_id, s.request_id, s.credits, p_seed))
            FILTER (WHERE s.status = 'failed'), 0)
    FROM unnest(p_account_ids, p_after_seqs, p_until_seqs) p (account_id, after_seq, until_seq)
    CROSS JOIN LATERAL (
        SELECT x.* FROM accounts x WHERE x.account_id = p.account_id LIMIT 1) a
    CROSS JOIN LATERAL sessions_in_ledger(p.account_id, p.after_seq, p.until_seq) s;
$$;
COMMENT ON FUNCTION make_archive(bigint[], bigint[], bigint[], bigint) IS
    'The sessions of a piece as the content of a file, and what is noted of them.';

CREATE OR REPLACE FUNCTION begin_archive(
    p_holder uuid, p_lease interval, p_interval interval, p_kept interval, p_grace interval,
    p_accounts int, p_movements bigint,
    OUT number bigint, OUT sessions int, OUT content text, OUT is_behind boolean
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: choose the sessions of the next file, or take up again those that were chosen and not removed,
--   and make its content. `p_kept`: how long sessions stay after their end, and by up to p_grace longer.
-- Locks: the row of `archiving`, without waiting for it. Nobody who moves credits waits.
-- Returns: is_behind: there is more to do; null: it is not this process's turn, since another is at it, the
--   last walk was less than p_interval ago, or the database is read-only. number, sessions and content:
--   of the file to write; null: the accounts looked at have none.
DECLARE
    v_now archiving;
    v_made record;
    v_walked bigint;
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    INSERT INTO archiving DEFAULT VALUES ON CONFLICT DO NOTHING;
    SELECT a.* INTO v_now FROM archiving a FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR v_now.holder <> p_holder AND v_now.held_until > now()
            AND v_now.held_until <= now() + p_lease
        OR v_now.account_ids = '{}' AND v_now.walked_to = 0 AND v_now.whole_at > now() - p_interval
            AND v_now.whole_at <= now() THEN
        RETURN;
    END IF;
    v_walked := v_now.walked_to;
    IF v_now.account_ids = '{}' THEN
        SELECT c.account_ids, c.after_seqs, c.until_seqs, c.walked_to
        INTO v_now.account_ids, v_now.after_seqs, v_now.until_seqs, v_walked
        FROM choose_to_archive(v_now.walked_to, p_accounts, now() - p_kept, p_grace,
            p_movements) c;
    END IF;
    SELECT m.* INTO v_made
    FROM make_archive(v_now.account_ids, v_now.after_seqs, v_now.until_seqs, v_now.seed) m;
    is_behind := true;
    IF v_made.sessions > 0 THEN
        number := 1 + coalesce(
            (SELECT x.number FROM session_archives x ORDER BY x.number DESC LIMIT 1), 0);
        sessions := v_made.sessions; content := v_made.content;
    ELSE
        PERFORM note_looked_through(v_now.account_ids, v_now.until_seqs);
        v_now.account_ids := '{}'; v_now.after_seqs := '{}'; v_now.until_seqs := '{}';
        is_behind := v_walked > 0;
    END IF;
    UPDATE archiving SET walked_to = v_walked, holder = p_holder,
        held_until = CASE WHEN is_behind THEN now() + p_lease END,
        whole_at = CASE WHEN is_behind THEN v_now.whole_at ELSE now() END,
        account_ids = v_now.account_ids, after_seqs = v_now.after_seqs,
        until_seqs = v_now.until_seqs;
END;
$$;
COMMENT ON FUNCTION begin_archive(
    uuid, interval, interval, interval, interval, int, bigint) IS
    'Chooses the sessions of the next file of the archive and makes its content. is_behind: there is '
    'more to do; null: it is another''s turn.';

CREATE OR REPLACE FUNCTION leave_archive(p_holder uuid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a process breaks off: another need not wait for the end of its turn. What it has chosen stays
--   chosen. Locks: the row of `archiving`. Idempotent.
BEGIN
    UPDATE archiving SET held_until = NULL
    WHERE holder = p_holder AND held_until IS NOT NULL
      AND NOT current_setting('transaction_read_only')::boolean;
END;
$$;
COMMENT ON FUNCTION leave_archive(uuid) IS
    'A process breaks off archiving: another may go on at once.';

CREATE OR REPLACE FUNCTION note_looked_through(p_account_ids bigint[], p_until_seqs bigint[])
RETURNS void
LANGUAGE sql
AS $$
-- Purpose: note up to where these accounts' ledgers were looked through. Locks: rows that nobody else writes.
    INSERT INTO archived_accounts (account_id, seq)
    SELECT p.account_id, p.seq FROM unnest(p_account_ids, p_until_seqs) p (account_id, seq)
    ON CONFLICT (account_id) DO UPDATE SET seq = excluded.seq;
$$;
COMMENT ON FUNCTION note_looked_through(bigint[], bigint[]) IS
    'Notes up to where accounts were looked through for sessions to archive.';

CREATE OR REPLACE FUNCTION keep_of_archived(
    p_number bigint, p_account_ids bigint[], p_after_seqs bigint[], p_until_seqs bigint[]
)
RETURNS void
LANGUAGE sql
AS $$
-- Purpose: keep what must be known for ever of the sessions of a piece, before they are removed. Of somebody
--   who was erased no fingerprint is kept: nothing is equal to the zeros in its place. Locks: none.
    INSERT INTO archived_sessions (account_id, until_seq, number, sessions, failed, first_id, last_id,
        seqs, session_ids, fingerprints, failed_seqs, return_seqs, causes)
    SELECT p.account_id, max(s.seq), p_number, count(*)::int,
        (count(*) FILTER (WHERE s.status = 'failed'))::int,
        (array_agg(s.session_id ORDER BY s.session_id))[1],
        (array_agg(s.session_id ORDER BY s.session_id DESC))[1],
        array_agg(s.seq ORDER BY s.seq), array_agg(s.session_id ORDER BY s.seq),
        string_agg(CASE WHEN length(s.fingerprint) >= 8 THEN substring(s.fingerprint FOR 8)
            ELSE '\x0000000000000000' END, '' ORDER BY s.seq),
        coalesce(array_agg(s.seq ORDER BY s.seq) FILTER (WHERE s.status = 'failed'), '{}'),
        coalesce(array_agg(s.return_seq ORDER BY s.seq) FILTER (WHERE s.status = 'failed'), '{}'),
        coalesce(array_agg(s.error_code ORDER BY s.seq) FILTER (WHERE s.status = 'failed'), '{}')
    FROM unnest(p_account_ids, p_after_seqs, p_until_seqs) p (account_id, after_seq, until_seq)
    CROSS JOIN LATERAL sessions_in_ledger(p.account_id, p.after_seq, p.until_seq) s
    GROUP BY p.account_id;
$$;
COMMENT ON FUNCTION keep_of_archived(bigint, bigint[], bigint[], bigint[]) IS
    'Keeps what must be known for ever of the sessions of a piece.';

CREATE OR REPLACE FUNCTION finish_archive(
    p_number bigint, p_sha256 bytea, p_bytes bigint, p_place text, p_file text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: the file of the piece under way is durable: note it, and remove exactly the sessions that are in
--   it. The one place that removes sessions.
-- Locks: the row of `archiving`, then the sessions, none of which it waits for.
-- Outcomes: archived | stale (another has finished it, or it was chosen anew) | changed (a session is not as
--   it is in the file: nothing is removed, and the piece is chosen anew) | busy (somebody writes one of
--   the sessions: try again).
DECLARE
    v_now archiving;
    v_made record;
    v_count int;
BEGIN
    SELECT a.* INTO v_now FROM archiving a FOR UPDATE;
    IF v_now.account_ids = '{}' OR v_now.account_ids IS NULL OR p_number IS DISTINCT FROM 1 + coalesce(
        (SELECT x.number FROM session_archives x ORDER BY x.number DESC LIMIT 1), 0) THEN
        RETURN 'stale';
    END IF;
    SELECT m.* INTO v_made
    FROM make_archive(v_now.account_ids, v_now.after_seqs, v_now.until_seqs, v_now.seed) m;
    IF sha256(convert_to(v_made.content, 'UTF8')) IS DISTINCT FROM p_sha256 THEN
        UPDATE archiving SET account_ids = '{}', after_seqs = '{}', until_seqs = '{}', walked_to = 0;
        RETURN 'changed';
    END IF;
    SELECT count(*) INTO v_count
    FROM (SELECT FROM sessions s WHERE s.ctid = ANY (v_made.row_ids) FOR UPDATE SKIP LOCKED) s;
    IF v_count < v_made.sessions THEN
        RETURN 'busy';
    END IF;
    INSERT INTO session_archives
        (number, oldest_at, newest_at, bytes, sessions, generations, refunds, sha256, place, file)
    VALUES (p_number, v_made.oldest_at, v_made.newest_at, p_bytes, v_made.sessions,
        v_made.generations, v_made.refunds, p_sha256, p_place, p_file);
    PERFORM keep_of_archived(p_number, v_now.account_ids, v_now.after_seqs, v_now.until_seqs);
    PERFORM note_looked_through(v_now.account_ids, v_now.until_seqs);
    DELETE FROM sessions s WHERE s.ctid = ANY (v_made.row_ids);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count <> v_made.sessions THEN
        -- Written between the look and the lock: all of this is undone, and tried again.
        RAISE EXCEPTION 'sessions changed while they were archived'
            USING ERRCODE = 'serialization_failure';
    END IF;
    UPDATE archiving SET account_ids = '{}', after_seqs = '{}', until_seqs = '{}';
    RETURN 'archived';
END;
$$;
COMMENT ON FUNCTION finish_archive(bigint, bytea, bigint, text, text) IS
    'Notes a file of the archive that is durable, and removes the sessions that are in it. archived, '
    'stale, changed, busy.';

CREATE OR REPLACE FUNCTION archived_session(p_account_id bigint, p_seq bigint)
RETURNS TABLE (number bigint, fingerprint bytea, status text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: what is kept of the archived session that a movement paid for; no row: it is not archived.
--   `fingerprint`: its first 8 bytes. Locks: none.
    SELECT x.number, substring(x.fingerprints FROM 8 * i.place - 7 FOR 8),
        CASE WHEN p_seq = ANY (x.failed_seqs) THEN 'failed' ELSE 'completed' END
    FROM (SELECT * FROM archived_sessions y
          WHERE y.account_id = p_account_id AND y.until_seq >= p_seq
          ORDER BY y.account_id, y.until_seq LIMIT 1) x
    CROSS JOIN LATERAL (SELECT array_position(x.seqs, p_seq) AS place) i
    WHERE i.place IS NOT NULL;
$$;
COMMENT ON FUNCTION archived_session(bigint, bigint) IS
    'What is kept of the archived session that a movement paid for: archive, first 8 bytes of its '
    'fingerprint, status. No row: it is not archived.';

CREATE OR REPLACE FUNCTION archived_by_id(p_account_id bigint, p_session_id uuid)
RETURNS TABLE (number bigint, seq bigint, status text, cause text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the archive that has a session of an account, the movement that paid for it, and why it failed; no
--   row: none has. Ids are in order of time, so that few rows are looked at. Locks: none.
    SELECT x.number, x.seqs[i.place],
        CASE WHEN x.seqs[i.place] = ANY (x.failed_seqs) THEN 'failed' ELSE 'completed' END,
        x.causes[array_position(x.failed_seqs, x.seqs[i.place])]
    FROM archived_sessions x
    CROSS JOIN LATERAL (SELECT array_position(x.session_ids, p_session_id) AS place) i
    WHERE x.account_id + 0 = p_account_id AND x.last_id >= p_session_id
      AND x.first_id <= p_session_id AND i.place IS NOT NULL
    ORDER BY x.account_id + 0, x.last_id LIMIT 1;
$$;
COMMENT ON FUNCTION archived_by_id(bigint, uuid) IS
    'The archive that has a session of an account, the movement that paid for it, its status and why it '
    'failed. No row: none has.';
