-- What becomes of what was laid down: whose movements, in which order, of which type. Nothing outside the
-- session's own tables is written.

CREATE OR REPLACE FUNCTION plan_import(p_has_history boolean, p_tiers text[], p_chunk int)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: decide on all that was laid down, once: p_has_history: the ledger of the system before is
--   brought along, not only its balances. p_tiers: those that there are here. p_chunk: about so many
--   movements are written in one transaction. Locks: none.
-- Errors: duplicate_table at the second time; unique_violation where two movements
--   or sessions have one id.
BEGIN
    CREATE UNIQUE INDEX one_movement_per_id ON staged_movements (row_id, owner_kind);
    CREATE UNIQUE INDEX one_session_per_id ON staged_sessions (session_id, owner_kind);
    ANALYZE staged_stores, staged_keys, staged_balances, staged_movements, staged_sessions;
    PERFORM plan_imported_owners(p_tiers), plan_imported_keys();
    PERFORM plan_imported_movements();
    PERFORM plan_imported_request_ids();
    PERFORM plan_imported_refunds();
    PERFORM plan_imported_sessions(p_has_history);
    PERFORM plan_imported_balances(p_has_history, p_chunk);
END;
$$;
COMMENT ON FUNCTION plan_import(boolean, text[], int) IS
    'Decides what becomes of all that this session has laid down, and writes nothing outside it.';

CREATE OR REPLACE FUNCTION plan_imported_owners(p_tiers text[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: everybody who is brought along: the stores, and the end users of whom there is a balance or a
--   movement. Locks: none.
BEGIN
    CREATE TEMP TABLE planned_owners AS
    WITH owners AS (
        SELECT 'store' AS owner_kind, s.store_id AS owner_id, s.created_at FROM staged_stores s
        UNION ALL
        SELECT 'user', u.owner_id, min(u.created_at)
        FROM (SELECT b.owner_id, NULL::timestamptz AS created_at FROM staged_balances b
              WHERE b.owner_kind = 'user'
              UNION ALL
              SELECT m.owner_id, m.created_at FROM staged_movements m
              WHERE m.owner_kind = 'user') u
        GROUP BY u.owner_id
    )
    SELECT row_number() OVER (ORDER BY o.owner_kind, o.owner_id)::int AS place, o.owner_kind, o.owner_id,
        least(o.created_at, now()) AS created_at, a.account_id, i.account_id IS NOT NULL AS is_imported,
        i.shown_balance AS shown_before, i.account_id IS NULL AND coalesce(m.has_movements, false)
            AS has_movements,
        b.balance::bigint AS shown, coalesce(s.tier = ANY (p_tiers), true) AS has_tier,
        NULL::bigint AS ledger, NULL::bigint AS low, NULL::bigint AS target, NULL::bigint AS opening,
        NULL::bigint AS correction, NULL::int AS movements, NULL::int AS chunk
    FROM owners o
    LEFT JOIN staged_stores s ON o.owner_kind = 'store' AND s.store_id = o.owner_id
    LEFT JOIN staged_balances b ON b.owner_kind = o.owner_kind AND b.owner_id = o.owner_id
    LEFT JOIN accounts a ON a.owner_kind = o.owner_kind AND a.owner_id = o.owner_id
    LEFT JOIN imported_owners i ON i.account_id = a.account_id
    LEFT JOIN LATERAL (
        SELECT true AS has_movements FROM movements x WHERE x.account_id = a.account_id LIMIT 1) m ON true;
    CREATE UNIQUE INDEX ON planned_owners (owner_kind, owner_id);
    CREATE UNIQUE INDEX ON planned_owners (place);
    ANALYZE planned_owners;
END;
$$;
COMMENT ON FUNCTION plan_imported_owners(text[]) IS
    'Everybody whom an import brings along, and what there is of them here.';

CREATE OR REPLACE FUNCTION plan_imported_keys()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the keys that can be brought along: of a hash that is one, the first where several have it.
--   Their domains are known as origins by staged_origins. Locks: none.
BEGIN
    CREATE TEMP TABLE planned_keys AS
    SELECT k.key_id, k.store_id, decode(k.key_hash, 'hex') AS key_hash,
        'wk_…' || left(lower(k.key_hash), 8) AS key_start, k.created_at, k.is_active, d.origins,
        row_number() OVER (PARTITION BY lower(k.key_hash) ORDER BY k.created_at, k.key_id) AS nth,
        (SELECT x.store_id FROM store_api_keys x
         WHERE x.key_hash = decode(k.key_hash, 'hex') AND x.store_id <> k.store_id LIMIT 1)
            AS known_of
    FROM staged_keys k
    JOIN staged_stores s ON s.store_id = k.store_id
    LEFT JOIN LATERAL (
        SELECT (array_agg(DISTINCT o.origin) FILTER (WHERE o.origin IS NOT NULL))[:100] AS origins
        FROM json_array_elements_text(k.domains::json) j (domain)
        LEFT JOIN staged_origins o ON o.domain = j.domain) d ON true
    WHERE k.key_hash ~ '^[0-9a-fA-F]{64}$';
END;
$$;
COMMENT ON FUNCTION plan_imported_keys() IS
    'The API keys that an import can bring along.';

CREATE OR REPLACE FUNCTION plan_imported_movements()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the movements of the system before in the order in which they are told here, and as which type;
--   what movement_types knows as an addition stays what it is. A charge beyond the balance was billed there,
--   so that it is a deduction: as overage it would be billed again. What fits no type is a grant where it
--   came in, and a removal where it went out. Of equal times what came in is first, and refunds are last.
--   Locks: none.
BEGIN
    CREATE TEMP TABLE planned_movements AS
    SELECT m.place, row_number() OVER (PARTITION BY m.place ORDER BY m.created_at, m.rank, m.row_id)::int AS n,
        m.type, m.amount, m.created_at, m.row_id, m.was_type, m.was_amount, m.description,
        m.was_request_id, CASE WHEN m.is_usable THEN m.was_request_id ELSE 'import:' || m.row_id END
            AS request_id,
        false AS is_repeated, m.was_request_id IS NOT NULL AND NOT m.is_usable AS is_unusable
    FROM (
        SELECT o.place, x.row_id, least(x.created_at, now()) AS created_at,
            abs(x.amount::bigint) AS amount, x.amount AS was_amount, x.type AS was_type,
            x.request_id AS was_request_id, x.description,
            (length(x.request_id) BETWEEN 1 AND 200 AND NOT starts_with(x.request_id, 'import:')) IS TRUE
                AS is_usable,
            CASE WHEN x.amount > 0 THEN CASE x.type WHEN 'refund' THEN 2 ELSE 0 END ELSE 1 END AS rank,
            CASE WHEN x.amount > 0 AND (t.role = 'addition' OR x.type = 'refund') THEN x.type
                WHEN x.amount > 0 THEN 'grant'
                WHEN x.type IN ('deduction', 'overage', 'generation') THEN 'deduction'
                ELSE 'removal' END AS type
        FROM staged_movements x
        JOIN planned_owners o ON o.owner_kind = x.owner_kind AND o.owner_id = x.owner_id
        LEFT JOIN movement_types t ON t.type = x.type AND x.owner_kind = ANY (t.owner_kinds)
        WHERE x.amount <> 0) m;
    CREATE UNIQUE INDEX ON planned_movements (place, n);
    ANALYZE planned_movements;
END;
$$;
COMMENT ON FUNCTION plan_imported_movements() IS
    'The movements of the system before, in their order, each as a type of movement that there is here.';

CREATE OR REPLACE FUNCTION plan_imported_request_ids()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: each request id is of one movement of a type: of several the first keeps it. The first bonus of
--   an end user bears the id that it has here. Locks: none.
BEGIN
    UPDATE planned_movements m SET request_id = 'import:' || m.row_id, is_repeated = true
    FROM (SELECT x.place, x.type, x.request_id, min(x.n) AS n FROM planned_movements x
          GROUP BY x.place, x.type, x.request_id HAVING count(*) > 1) r
    WHERE m.place = r.place AND m.type = r.type AND m.request_id = r.request_id AND m.n > r.n;
    UPDATE planned_movements m SET request_id = 'signup'
    FROM (SELECT x.place, min(x.n) AS n FROM planned_movements x
          WHERE x.type = 'signup_bonus' GROUP BY x.place) f
    WHERE m.place = f.place AND m.n = f.n AND m.was_request_id IS NULL;
    CREATE INDEX ON planned_movements (place, request_id) WHERE type = 'deduction';
END;
$$;
COMMENT ON FUNCTION plan_imported_request_ids() IS
    'Leaves each request id to one movement of a type.';

CREATE OR REPLACE FUNCTION plan_imported_refunds()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: a refund is one where something was deducted before under its request id, and at least as much;
--   else its credits came in, and nobody can say for what: it is a grant. Locks: none.
BEGIN
    UPDATE planned_movements r SET type = 'grant', request_id = 'import:' || r.row_id
    WHERE r.type = 'refund' AND NOT EXISTS (
        SELECT FROM planned_movements d
        WHERE d.place = r.place AND d.request_id = r.request_id AND d.type = 'deduction'
          AND d.n < r.n AND d.amount >= r.amount);
    CREATE INDEX ON planned_movements (place, request_id) WHERE type = 'refund';
END;
$$;
COMMENT ON FUNCTION plan_imported_refunds() IS
    'Makes a grant of each refund that gives back nothing that was deducted.';
