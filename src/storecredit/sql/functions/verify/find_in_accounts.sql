-- Does each owner have its account, and each account its owner? How all find_* functions work is said in
-- find_in_chain.sql.

CREATE OR REPLACE FUNCTION find_movements_without_account(
    p_after_account_id bigint, p_after_seq bigint, p_until_account_id bigint, p_until_seq bigint
)
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each account that there is not, though it has movements: once, where its oldest
--   movement is in the range.
    SELECT 'movements_without_account', m.account_id, NULL::bigint, NULL::text, NULL::uuid,
        format('%s movements are of account %s, which there is not',
            (SELECT count(*) FROM movements x WHERE x.account_id = m.account_id), m.account_id)
    FROM (
        SELECT t.account_id, min(t.seq) AS oldest
        FROM (
            SELECT x.account_id, x.seq FROM movements x
            WHERE (x.account_id, x.seq) > (p_after_account_id, p_after_seq)
              AND (x.account_id, x.seq) <= (p_until_account_id, p_until_seq)
            ORDER BY x.account_id, x.seq
        ) t
        GROUP BY t.account_id
    ) m
    WHERE (SELECT true FROM accounts x WHERE x.account_id = m.account_id LIMIT 1) IS NOT TRUE
      AND (SELECT true FROM movements x
           WHERE x.account_id = m.account_id AND x.seq < m.oldest LIMIT 1) IS NOT TRUE;
$$;
COMMENT ON FUNCTION find_movements_without_account(bigint, bigint, bigint, bigint) IS
    'Names each account with movements in a range of (account, seq) that there is not.';

CREATE OR REPLACE FUNCTION find_account_discrepancies()
RETURNS TABLE (
    kind text, account_id bigint, seq bigint, request_id text, session_id uuid, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each account without its owner, or as no function makes it; whose open holds are not
--   what it holds, or that expects the next end of a grant or hold too late.
    SELECT k.kind, a.account_id, NULL::bigint, NULL::text, NULL::uuid,
        CASE k.kind
            WHEN 'held_mismatch' THEN format(
                'the newest movement says that %s credits are held, but the open holds are of %s',
                coalesce(n.held_after, 0), coalesce(h.amount, 0))
            WHEN 'expiry_not_expected' THEN format(
                'something ends at %s, but the account expects the next end %s',
                first_end(a.account_id, n.grants_after), coalesce('at ' || a.next_expiry, 'never'))
            WHEN 'impossible_account' THEN format(
                'no function makes account %s: of a %s, with an overage limit of %s',
                a.account_id, a.owner_kind, a.overage_limit)
            ELSE format('account %s belongs to %s %s, which there is not',
                a.account_id, a.owner_kind, a.owner_id) END
    FROM (SELECT x.* FROM accounts x ORDER BY x.account_id) a
    LEFT JOIN LATERAL (
        SELECT true AS exists FROM stores x
        WHERE a.owner_kind = 'store' AND x.store_id = a.owner_id LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT true AS exists FROM users x
        WHERE a.owner_kind = 'user' AND x.user_id = a.owner_id LIMIT 1
    ) u ON true
    LEFT JOIN LATERAL (
        SELECT x.held_after, x.grants_after FROM movements x WHERE x.account_id = a.account_id
        ORDER BY x.account_id DESC, x.seq DESC LIMIT 1
    ) n ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.amount) AS amount FROM holds x
        WHERE x.account_id - 0 = a.account_id AND x.ended_at IS NULL
    ) h ON true,
    unnest(array_remove(ARRAY[
        CASE WHEN a.owner_kind = 'store' AND s.exists IS NULL THEN 'account_without_store'
             WHEN a.owner_kind = 'user' AND u.exists IS NULL THEN 'account_without_user' END,
        CASE WHEN a.owner_kind NOT IN ('store', 'user') OR a.overage_limit < 0
                OR a.overage_limit > 0 AND (
                    SELECT true FROM movement_types t
                    WHERE t.overage_used > 0 AND a.owner_kind = ANY (t.owner_kinds)
                    LIMIT 1) IS NOT TRUE
            THEN 'impossible_account' END,
        CASE WHEN coalesce(n.held_after, 0) <> coalesce(h.amount, 0) THEN 'held_mismatch' END,
        CASE WHEN (coalesce(a.next_expiry, 'infinity')
                <= first_end(a.account_id, n.grants_after)) IS FALSE
            THEN 'expiry_not_expected' END
    ], NULL)) k (kind);
$$;
COMMENT ON FUNCTION find_account_discrepancies() IS
    'Names each account without its owner, or as no function makes it.';

CREATE OR REPLACE FUNCTION find_stores_without_account()
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each store without an account.
    SELECT 'store_without_account', s.store_id, NULL::uuid, NULL::bigint, NULL::text, NULL::uuid,
        'the store has no account'
    FROM stores s
    WHERE (SELECT true FROM accounts x
           WHERE x.owner_id = s.store_id AND x.owner_kind = s.owner_kind LIMIT 1) IS NOT TRUE
    ORDER BY s.store_id;
$$;
COMMENT ON FUNCTION find_stores_without_account() IS
    'Names each store without an account.';

CREATE OR REPLACE FUNCTION find_users_without_account()
RETURNS TABLE (
    kind text, store_id uuid, user_id uuid, seq bigint, request_id text, session_id uuid,
    detail text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: name each end user without an account.
    SELECT 'user_without_account', NULL::uuid, u.user_id, NULL::bigint, NULL::text, NULL::uuid,
        'the end user has no account'
    FROM users u
    WHERE (SELECT true FROM accounts x
           WHERE x.owner_id = u.user_id AND x.owner_kind = u.owner_kind LIMIT 1) IS NOT TRUE
    ORDER BY u.user_id;
$$;
COMMENT ON FUNCTION find_users_without_account() IS
    'Names each end user without an account.';
