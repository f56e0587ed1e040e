-- What of the system before does not fit, and what becomes of it. `kind` is one of
-- storecredit.moving.findings, where each is said in words. All functions: locks none; they read the
-- session's own tables alone.

CREATE OR REPLACE FUNCTION import_findings(p_most int)
RETURNS TABLE (kind text, of_kind bigint, owner_kind text, owner_id uuid, detail text)
LANGUAGE plpgsql
AS $$
-- Purpose: what does not fit, p_most of each kind at most, and how many of it there are. Locks: none.
-- Idempotent.
BEGIN
    RETURN QUERY
    SELECT t.kind, t.of_kind, t.owner_kind, t.owner_id, t.detail
    FROM (SELECT f.*, count(*) OVER (PARTITION BY f.kind) AS of_kind,
              row_number() OVER (PARTITION BY f.kind ORDER BY f.owner_kind, f.owner_id, f.detail) AS nth
          FROM (SELECT * FROM find_misfit_owners() UNION ALL SELECT * FROM find_misfit_rows()
                UNION ALL SELECT * FROM find_misfit_movements()
                UNION ALL SELECT * FROM find_misfit_sessions()
                UNION ALL SELECT * FROM find_misfit_keys()) f) t
    WHERE t.nth <= p_most ORDER BY t.kind, t.nth;
END;
$$;
COMMENT ON FUNCTION import_findings(int) IS
    'What of a planned import does not fit, so many of each kind at most, and how many there are of it.';

CREATE OR REPLACE FUNCTION find_misfit_owners()
RETURNS TABLE (kind text, owner_kind text, owner_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: owners whose balance or ledger is not as it ought to be, or who are here already. A ledger
--   fits that comes to the balance, with or without what was used beyond it.
    SELECT k.kind, o.owner_kind, o.owner_id,
        CASE k.kind
            WHEN 'owner_has_movements' THEN 'the account has movements here that no import has written'
            WHEN 'changed_since' THEN format('the balance is %s, and was %s when it was imported',
                coalesce(o.shown::text, 'missing'), coalesce(o.shown_before::text, 'missing'))
            WHEN 'negative_balance' THEN format('the balance is %s', o.shown)
            WHEN 'balance_missing' THEN format('there is no balance; the ledger comes to %s', l.comes_to)
            WHEN 'balance_mismatch' THEN format('the balance is %s, the ledger comes to %s', o.shown,
                coalesce(l.comes_to, 0))
            WHEN 'ledger_below_zero' THEN format('the ledger falls to %s', o.low)
            ELSE format('there is no tier %L', s.tier) END
    FROM planned_owners o
    LEFT JOIN (
        SELECT m.place, sum(m.was_amount) AS comes_to,
            coalesce(sum(m.was_amount) FILTER (WHERE m.was_type <> 'overage'), 0) AS without_overage
        FROM planned_movements m GROUP BY m.place) l ON l.place = o.place
    LEFT JOIN staged_stores s ON o.owner_kind = 'store' AND s.store_id = o.owner_id
    CROSS JOIN LATERAL unnest(array_remove(CASE
        WHEN o.is_imported THEN ARRAY[
            CASE WHEN o.shown IS DISTINCT FROM o.shown_before THEN 'changed_since' END]
        ELSE ARRAY[
            CASE WHEN o.has_movements THEN 'owner_has_movements' END,
            CASE WHEN o.shown < 0 THEN 'negative_balance' END,
            CASE WHEN o.shown IS NULL AND l.comes_to <> 0 THEN 'balance_missing' END,
            CASE WHEN o.shown NOT IN (coalesce(l.comes_to, 0), coalesce(l.without_overage, 0))
                THEN 'balance_mismatch' END,
            CASE WHEN o.low < 0 THEN 'ledger_below_zero' END,
            CASE WHEN NOT o.has_tier THEN 'unknown_tier' END] END, NULL)) k (kind);
$$;
COMMENT ON FUNCTION find_misfit_owners() IS
    'Owners of a planned import whose balance or ledger is not as it ought to be, or who are here already.';

CREATE OR REPLACE FUNCTION find_misfit_rows()
RETURNS TABLE (kind text, owner_kind text, owner_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: rows of an owner who is not brought along, since there is no such store.
    SELECT 'unknown_owner', r.owner_kind, r.owner_id, format('%s rows of %s', count(*), r.named)
    FROM (
        SELECT b.owner_kind, b.owner_id, 'balances' AS named FROM staged_balances b
        UNION ALL SELECT m.owner_kind, m.owner_id, 'movements' FROM staged_movements m
        UNION ALL SELECT s.owner_kind, s.owner_id, 'generations' FROM staged_sessions s
        UNION ALL SELECT 'store', k.store_id, 'keys' FROM staged_keys k) r
    LEFT JOIN planned_owners o ON o.owner_kind = r.owner_kind AND o.owner_id = r.owner_id
    WHERE o.place IS NULL
    GROUP BY r.owner_kind, r.owner_id, r.named;
$$;
COMMENT ON FUNCTION find_misfit_rows() IS
    'Rows of a planned import whose owner is not brought along.';

CREATE OR REPLACE FUNCTION find_misfit_movements()
RETURNS TABLE (kind text, owner_kind text, owner_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: movements of the system before that are told otherwise here. No description is quoted.
    SELECT k.kind, o.owner_kind, o.owner_id,
        format('%s %s of %s', m.was_type, m.row_id, m.was_amount)
            || CASE WHEN k.kind IN ('equal_request_ids', 'refund_without_deduction')
                THEN format(', request id %L', m.was_request_id) ELSE '' END
    FROM planned_movements m
    JOIN planned_owners o ON o.place = m.place AND NOT o.is_imported
    CROSS JOIN LATERAL unnest(array_remove(ARRAY[
        CASE WHEN m.was_type = 'refund' AND m.was_amount > 0 AND m.type = 'grant'
            THEN CASE WHEN m.was_request_id IS NULL THEN 'refund_without_request'
                ELSE 'refund_without_deduction' END END,
        CASE WHEN m.is_repeated THEN 'equal_request_ids' END,
        CASE WHEN m.is_unusable THEN 'unusable_request_id' END,
        CASE WHEN m.was_type <> m.type AND m.was_type NOT IN ('deduction', 'overage', 'generation',
                'refund', 'purchase', 'subscription', 'signup_bonus') THEN 'unknown_type'
             WHEN m.was_type <> 'refund' AND m.type IN ('grant', 'removal') AND m.was_type <> m.type
                OR m.was_type = 'refund' AND m.was_amount < 0 THEN 'wrong_sign' END,
        CASE WHEN m.description <> without_addresses(m.description) AND m.description ~* '.(@|%40|＠).'
            THEN 'address_in_description' END], NULL)) k (kind)
    WHERE m.type IN ('grant', 'removal') OR m.is_repeated OR m.is_unusable
       OR m.description ~* '.(@|%40|＠).';
$$;
COMMENT ON FUNCTION find_misfit_movements() IS
    'Movements of the system before that a planned import tells otherwise.';

CREATE OR REPLACE FUNCTION find_misfit_sessions()
RETURNS TABLE (kind text, owner_kind text, owner_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: generations that were under way, or of a status that there is not.
    SELECT k.kind, o.owner_kind, o.owner_id,
        format('generation %s is %s', s.session_id, coalesce(s.was_status, 'without a status'))
            || CASE k.kind WHEN 'session_under_way' THEN format(': %s credits come back', s.charged)
                ELSE '' END
    FROM planned_sessions s
    JOIN planned_owners o ON o.place = s.place AND NOT o.is_imported
    CROSS JOIN LATERAL (SELECT CASE
        WHEN s.status = 'under_way' AND s.comes_back THEN 'session_under_way'
        WHEN s.status = 'under_way' THEN 'session_without_charge'
        WHEN s.was_status IS DISTINCT FROM s.status THEN 'unknown_status' END AS kind) k
    WHERE k.kind IS NOT NULL;
$$;
COMMENT ON FUNCTION find_misfit_sessions() IS
    'Generations of a planned import that were under way, or of a status that there is not.';

CREATE OR REPLACE FUNCTION find_misfit_keys()
RETURNS TABLE (kind text, owner_kind text, owner_id uuid, detail text)
LANGUAGE sql STABLE
AS $$
-- Purpose: API keys that cannot be brought along, and domains that are no origin.
    SELECT CASE WHEN p.key_id IS NULL THEN 'unusable_key' WHEN p.known_of IS NOT NULL THEN 'key_taken'
            ELSE 'equal_keys' END,
        'store', k.store_id, format('key %s', k.key_id)
    FROM staged_keys k
    JOIN planned_owners o ON o.owner_kind = 'store' AND o.owner_id = k.store_id AND NOT o.is_imported
    LEFT JOIN planned_keys p ON p.key_id = k.key_id
    WHERE p.key_id IS NULL OR p.nth > 1 OR p.known_of IS NOT NULL
    UNION ALL
    SELECT 'unusable_domain', 'store', k.store_id, format('key %s lists %L', k.key_id, d.domain)
    FROM staged_keys k
    JOIN planned_owners o ON o.owner_kind = 'store' AND o.owner_id = k.store_id AND NOT o.is_imported
    CROSS JOIN LATERAL json_array_elements_text(k.domains::json) d (domain)
    JOIN staged_origins s ON s.domain = d.domain AND s.origin IS NULL;
$$;
COMMENT ON FUNCTION find_misfit_keys() IS
    'API keys that a planned import cannot bring along, and domains of them that are no origin.';
