-- Sessions that were archived count among those that there are: what is noted of each archive is held against
-- what is kept of its sessions, and that against the ledger. What the sums are is said in sum_movements.sql,
-- how all find_* functions work in find_in_chain.sql.

CREATE OR REPLACE FUNCTION sum_session_archives(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (
    rows_read bigint, archived_count bigint, generations numeric, refunds numeric, archived numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the archives' part of the sums, from the rows in [p_from, p_until) on disk.
    SELECT count(*), coalesce(sum(x.sessions), 0)::bigint, -coalesce(sum(x.generations), 0),
        -coalesce(sum(x.refunds), 0),
        coalesce(sum(x.sessions * hashint8extended(x.number, p_seed)::numeric), 0)
    FROM session_archives x
    WHERE x.ctid >= p_from AND x.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_session_archives(bigint, tid, tid) IS
    'The archives'' part of the sums that must come to 0, from a range of their pages.';

CREATE OR REPLACE FUNCTION sum_archived_sessions(p_seed bigint, p_from tid, p_until tid)
RETURNS TABLE (rows_read bigint, impossible numeric, archived numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: the part of what is kept of archived sessions, from the rows in [p_from, p_until) on disk.
    SELECT count(*), 0::numeric + count(*) FILTER (WHERE NOT is_possible_piece(
            x.sessions, x.failed, x.seqs, x.session_ids, x.failed_seqs, x.return_seqs, x.causes)),
        -coalesce(sum(x.sessions * hashint8extended(x.number, p_seed)::numeric), 0)
    FROM archived_sessions x
    WHERE x.ctid >= p_from AND x.ctid < p_until;
$$;
COMMENT ON FUNCTION sum_archived_sessions(bigint, tid, tid) IS
    'The part of what is kept of archived sessions of the sums that must come to 0.';

CREATE OR REPLACE FUNCTION is_possible_piece(
    p_sessions int, p_failed int, p_seqs bigint[], p_session_ids uuid[], p_failed_seqs bigint[],
    p_return_seqs bigint[], p_causes text[]
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Whether what is kept of some archived sessions, looked at alone, could have been left by the functions.
    SELECT (p_sessions = cardinality(p_seqs) AND p_failed = cardinality(p_failed_seqs) AND p_sessions = cardinality(p_session_ids)
        AND cardinality(p_failed_seqs) = cardinality(p_return_seqs)
        AND cardinality(p_failed_seqs) = cardinality(p_causes)
        AND p_failed_seqs <@ p_seqs) IS TRUE;
$$;
COMMENT ON FUNCTION is_possible_piece(int, int, bigint[], uuid[], bigint[], bigint[], text[]) IS
    'Whether what is kept of some archived sessions, looked at alone, could have been left by the functions.';

CREATE OR REPLACE FUNCTION find_archive_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: name each archive of which more or fewer sessions are kept than it was noted to have, and
--   each account whose part of one contradicts itself.
    SELECT 'archive_mismatch', NULL::bigint, NULL::bigint, NULL::text, NULL::uuid,
        format('archive %s was noted to have %s sessions, but of %s it is kept that they are in it',
            coalesce(x.number, k.number), coalesce(x.sessions, 0), coalesce(k.sessions, 0))
    FROM session_archives x
    FULL JOIN (SELECT y.number, sum(y.sessions) AS sessions FROM archived_sessions y GROUP BY 1) k
        ON k.number = x.number
    WHERE x.sessions IS DISTINCT FROM k.sessions
    UNION ALL
    SELECT 'archive_mismatch', y.account_id, y.until_seq, NULL, NULL,
        format('what is kept of this account''s sessions in archive %s contradicts itself', y.number)
    FROM archived_sessions y
    WHERE NOT is_possible_piece(
        y.sessions, y.failed, y.seqs, y.session_ids, y.failed_seqs, y.return_seqs, y.causes);
$$;
COMMENT ON FUNCTION find_archive_discrepancies() IS
    'Names each archive of which more or fewer sessions are kept than it was noted to have.';
