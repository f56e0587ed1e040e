-- What becomes of generations of the system before, and what each balance needs to be what it was there.

CREATE OR REPLACE FUNCTION plan_imported_sessions(p_has_history boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: which generations have their charge and return among the movements, and which were under way: they
--   fail, and what they took comes back. A store's charge bears the generation's request id. An end
--   user's bears none: as much comes back as the newest took, for as many as were charged and not given
--   back. Locks: none.
BEGIN
    CREATE TEMP TABLE planned_sessions AS
    SELECT s.place, s.session_id, s.created_at, s.started_at, s.ended_at, s.error, s.was_status,
        s.status, s.was_request_id,
        CASE WHEN length(s.was_request_id) BETWEEN 1 AND 200 THEN s.was_request_id
             ELSE 'import:' || s.session_id END AS request_id,
        CASE WHEN s.owner_kind = 'store' THEN d.amount ELSE u.amount END AS charged,
        s.status = 'under_way' AND CASE s.owner_kind WHEN 'store'
            THEN d.n IS NOT NULL AND r.n IS NULL AND s.nth = 1
            ELSE s.nth_under_way <= u.unreturned END AS comes_back,
        d.n AS charge, r.n AS return,
        coalesce(p_has_history AND s.owner_kind = 'store' AND s.nth = 1 AND d.n IS NOT NULL
            AND CASE s.status WHEN 'completed' THEN r.n IS NULL
                WHEN 'failed' THEN r.amount = d.amount
                ELSE r.n IS NULL OR r.amount = d.amount END, false) AS is_linked
    FROM (
        SELECT o.place, o.owner_kind, x.session_id, least(x.created_at, now()) AS created_at,
            -- least() passes over what is null, and they may be.
            CASE WHEN x.started_at > now() THEN now() ELSE x.started_at END AS started_at,
            CASE WHEN x.ended_at > now() THEN now() ELSE x.ended_at END AS ended_at, x.error,
            x.status AS was_status, x.request_id AS was_request_id, y.status,
            row_number() OVER (PARTITION BY o.place, x.request_id ORDER BY x.created_at, x.session_id)
                AS nth,
            row_number() OVER (PARTITION BY o.place, y.status ORDER BY x.created_at, x.session_id)
                AS nth_under_way
        FROM staged_sessions x
        JOIN planned_owners o ON o.owner_kind = x.owner_kind AND o.owner_id = x.owner_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN x.status IN ('pending', 'queued', 'processing') THEN 'under_way'
                WHEN x.status = 'completed' THEN 'completed' ELSE 'failed' END AS status) y) s
    LEFT JOIN planned_movements d ON s.owner_kind = 'store' AND d.place = s.place
        AND d.request_id = s.was_request_id AND d.type = 'deduction'
    LEFT JOIN planned_movements r ON s.owner_kind = 'store' AND r.place = s.place
        AND r.request_id = s.was_request_id AND r.type = 'refund'
    LEFT JOIN LATERAL (
        SELECT (array_agg(m.amount ORDER BY m.n DESC) FILTER (WHERE m.was_type = 'generation'))[1] AS amount,
            count(*) FILTER (WHERE m.was_type = 'generation')
                - count(*) FILTER (WHERE m.was_type = 'refund') AS unreturned
        FROM planned_movements m
        WHERE m.place = s.place AND s.owner_kind = 'user' AND s.status = 'under_way') u ON true;
    CREATE INDEX ON planned_sessions (place);
    ANALYZE planned_sessions;
END;
$$;
COMMENT ON FUNCTION plan_imported_sessions(boolean) IS
    'The generations of the system before, with their charges; those that were under way fail.';

CREATE OR REPLACE FUNCTION plan_imported_balances(p_has_history boolean, p_chunk int)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: what each owner is to have: the balance that the system before showed, not below 0; where it
--   showed none, what its ledger comes to. With the history: an opening before all of it, so large that it
--   never falls below 0 and comes to that balance, and a correction where it comes to more. Without: the
--   balance. And who is written together. Locks: none.
BEGIN
    UPDATE planned_owners o SET ledger = coalesce(l.ledger, 0), low = coalesce(l.low, 0),
        movements = coalesce(l.movements, 0),
        target = greatest(coalesce(o.shown, l.ledger, 0), 0)
    FROM planned_owners p LEFT JOIN (
        SELECT r.place, count(*) AS movements, min(r.running) AS low,
            (array_agg(r.running ORDER BY r.n DESC))[1] AS ledger
        FROM (SELECT m.place, m.n, sum((movement_effect(m.type))[1] * m.amount)
                  OVER (PARTITION BY m.place ORDER BY m.n ROWS UNBOUNDED PRECEDING) AS running
              FROM planned_movements m) r
        GROUP BY r.place) l ON l.place = p.place
    WHERE o.place = p.place;
    UPDATE planned_owners o SET
        opening = CASE WHEN p_has_history THEN greatest(0, -o.low, o.target - o.ledger) ELSE o.target END,
        movements = CASE WHEN p_has_history THEN o.movements ELSE 0 END;
    UPDATE planned_owners o SET
        correction = CASE WHEN p_has_history THEN o.opening + o.ledger - o.target ELSE 0 END;
    UPDATE planned_owners o SET chunk = c.chunk
    FROM (SELECT x.place,
              (sum(x.movements + 10) OVER (ORDER BY x.place ROWS UNBOUNDED PRECEDING) / p_chunk)::int AS chunk
          FROM planned_owners x WHERE NOT x.is_imported) c
    WHERE o.place = c.place;
    ANALYZE planned_owners;
END;
$$;
COMMENT ON FUNCTION plan_imported_balances(boolean, int) IS
    'What each owner has after the import, and which movements besides its history make it so.';
