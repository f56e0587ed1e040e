-- What was planned is written: some owners with all that is theirs in one transaction, so that whoever is
-- killed finds each of them whole or not at all, and goes on with the others.
--
-- Besides append_movements() this is the only place that writes movements: whole ledgers, of accounts that
-- have none. Nobody is told of them by events, and no top-up looks at them: they happened elsewhere.

CREATE OR REPLACE FUNCTION import_chunk(p_chunk int, p_has_history boolean)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: write the owners of one chunk of the plan: account, store or end user, keys, movements,
--   generations. Locks: the accounts, ascending, which others may have. Idempotent: whoever is in
--   imported_owners by now is left out. Returns: how many movements were written. Announced.
-- Errors: unique_violation where an account has movements that were not brought
--   along: nothing is written then.
DECLARE
    v_movements bigint;
BEGIN
    PERFORM open_account(o.owner_kind, o.owner_id)
    FROM (SELECT x.owner_kind, x.owner_id FROM planned_owners x WHERE x.chunk = p_chunk
          ORDER BY x.place) o;
    UPDATE planned_owners o SET account_id = a.account_id FROM accounts a
    WHERE o.chunk = p_chunk AND a.owner_kind = o.owner_kind AND a.owner_id = o.owner_id;
    PERFORM FROM (SELECT FROM accounts a
                  WHERE a.account_id IN (SELECT o.account_id FROM planned_owners o WHERE o.chunk = p_chunk)
                  ORDER BY a.account_id FOR NO KEY UPDATE) a;
    UPDATE planned_owners o SET chunk = NULL, is_imported = true FROM imported_owners i
    WHERE o.chunk = p_chunk AND i.account_id = o.account_id;
    PERFORM write_imported_owners(p_chunk);
    v_movements := write_imported_movements(p_chunk, p_has_history);
    PERFORM write_imported_sessions(p_chunk);
    INSERT INTO imported_owners (account_id, shown_balance, balance, movements, has_history)
    SELECT o.account_id, o.shown, coalesce(m.balance_after, 0), coalesce(m.seq, 0), p_has_history
    FROM planned_owners o
    LEFT JOIN LATERAL (
        SELECT x.seq, x.balance_after FROM movements x WHERE x.account_id = o.account_id
        ORDER BY x.account_id DESC, x.seq DESC LIMIT 1) m ON true
    WHERE o.chunk = p_chunk;
    -- Of many stores at once: whoever caches keys looks all of them up anew.
    PERFORM pg_notify('storecredit_keys', 'import');
    RETURN v_movements;
END;
$$;
COMMENT ON FUNCTION import_chunk(int, boolean) IS
    'Writes the owners of one chunk of a planned import with all that is theirs, each once. Returns how '
    'many movements that were.';

CREATE OR REPLACE FUNCTION write_imported_owners(p_chunk int)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the stores of a chunk with their keys, and its end users; who is there already stays as they are.
--   Locks: the new rows; the caller holds the accounts'. Idempotent.
BEGIN
    INSERT INTO stores (store_id, created_at, updated_at, name, shop_domain, tier, status)
    SELECT s.store_id, coalesce(o.created_at, now()), coalesce(least(s.updated_at, now()), now()),
        coalesce(nullif(left(trim(s.shop_domain), 200), ''), s.store_id::text),
        coalesce(nullif(left(trim(s.shop_domain), 253), ''), s.store_id::text),
        CASE WHEN o.has_tier THEN coalesce(s.tier, 'default') ELSE 'default' END,
        CASE s.status WHEN 'inactive' THEN 'suspended' ELSE 'active' END
    FROM planned_owners o JOIN staged_stores s ON s.store_id = o.owner_id
    WHERE o.chunk = p_chunk AND o.owner_kind = 'store'
    ON CONFLICT (store_id) DO NOTHING;
    INSERT INTO store_api_keys
        (store_id, key_id, created_at, revoked_at, key_hash, key_start, label, allowed_origins)
    SELECT k.store_id, k.key_id, coalesce(least(k.created_at, now()), now()),
        CASE WHEN k.is_active THEN NULL ELSE now() END, k.key_hash, k.key_start, 'Imported',
        coalesce(k.origins, '{}')
    FROM planned_owners o JOIN planned_keys k ON k.store_id = o.owner_id
    WHERE o.chunk = p_chunk AND o.owner_kind = 'store' AND k.nth = 1 AND k.known_of IS NULL
    ON CONFLICT DO NOTHING;
    INSERT INTO users (user_id, created_at)
    SELECT o.owner_id, coalesce(o.created_at, now()) FROM planned_owners o
    WHERE o.chunk = p_chunk AND o.owner_kind = 'user'
    ON CONFLICT (user_id) DO NOTHING;
END;
$$;
COMMENT ON FUNCTION write_imported_owners(int) IS
    'Writes the stores of a chunk with their API keys, and its end users.';

CREATE OR REPLACE FUNCTION without_addresses(p_text text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Whatever has an @ (or %40, its form in addresses) between two characters: no e-mail is in the ledger.
    SELECT left(regexp_replace(p_text, '[^\s<>()"'',;:]+(@|%40|＠)[^\s<>()"'',;:]+', '[address]', 'gi'), 500);
$$;
COMMENT ON FUNCTION without_addresses(text) IS
    'A text with a mark in the place of each e-mail address, and of 500 characters at most.';

CREATE OR REPLACE FUNCTION moves_to_write(p_chunk int, p_has_history boolean)
RETURNS TABLE (
    place int, account_id bigint, part int, n bigint, type text, amount bigint, created_at timestamptz,
    request_id text, session_id uuid, description text)
LANGUAGE sql STABLE
AS $$
-- Purpose: the movements of a chunk in the order of part and n: what opens the account, its history, what
--   makes its balance what it was, and what comes back for generations that were under way. Locks: none.
    SELECT o.place, o.account_id, 0, 0::bigint, 'grant', o.opening,
        coalesce((SELECT m.created_at FROM planned_movements m WHERE p_has_history AND m.place = o.place
                  ORDER BY m.n LIMIT 1), now()),
        'import:opening', NULL::uuid, CASE WHEN p_has_history
            THEN 'Opening: credits that the imported history does not account for'
            ELSE 'Opening: the balance at the import' END
    FROM planned_owners o WHERE o.chunk = p_chunk AND o.opening > 0
    UNION ALL
    SELECT o.place, o.account_id, 1, m.n, m.type, m.amount, coalesce(m.created_at, now()), m.request_id,
        coalesce(c.session_id, r.session_id), coalesce(without_addresses(m.description), '')
    FROM planned_owners o
    JOIN planned_movements m ON m.place = o.place
    LEFT JOIN planned_sessions c ON c.place = m.place AND c.charge = m.n AND c.is_linked
    LEFT JOIN planned_sessions r ON r.place = m.place AND r.return = m.n AND r.is_linked
    WHERE o.chunk = p_chunk AND p_has_history
    UNION ALL
    SELECT o.place, o.account_id, 2, 0, 'removal', o.correction, now(), 'import:correction', NULL,
        'Correction: the imported history came to more than the balance'
    FROM planned_owners o WHERE o.chunk = p_chunk AND o.correction > 0
    UNION ALL
    SELECT o.place, o.account_id, 3, row_number() OVER (ORDER BY s.session_id),
        CASE WHEN s.is_linked THEN 'refund' ELSE 'grant' END, s.charged, now(),
        CASE WHEN s.is_linked THEN s.request_id ELSE 'import:' || s.session_id END,
        CASE WHEN s.is_linked THEN s.session_id END,
        'Given back: the generation was under way at the import'
    FROM planned_owners o JOIN planned_sessions s ON s.place = o.place
    WHERE o.chunk = p_chunk AND s.comes_back;
$$;
COMMENT ON FUNCTION moves_to_write(int, boolean) IS
    'The movements that an import writes for a chunk of owners, in the order of part and n.';
