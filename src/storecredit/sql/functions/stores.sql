-- Stores and their API keys: the only door through which they change.
--
-- Every change that could make a cached answer wrong (to "which store is this key, of what tier,
-- from which origins?") is announced on the channel storecredit_keys, in the same transaction, with
-- the store's id: whoever caches such answers listens there.

CREATE OR REPLACE FUNCTION create_store(
    p_store_id uuid,
    p_name text,
    p_shop_domain text,
    p_tier text DEFAULT 'default',
    p_credits int DEFAULT 0,
    p_request_id text DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS stores
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: make a store, its account and its opening credits, or nothing at all.
-- Locks: the new rows. Idempotency: none; a store id is used once (unique_violation).
-- Outcomes: the new store, active. With p_credits > 0 a grant of that many stands in its ledger
--   under p_request_id, made by p_actor.
-- Errors: invalid_amount (p_credits < 0), invalid_request_id (only where there are credits),
--   check_violation for a name, domain or tier of the wrong length.
DECLARE
    v_account_id bigint := open_account('store', p_store_id);
    v_store stores;
BEGIN
    INSERT INTO stores (store_id, name, shop_domain, tier)
    VALUES (p_store_id, p_name, p_shop_domain, p_tier)
    RETURNING * INTO v_store;
    IF coalesce(p_credits, 0) <> 0 THEN
        PERFORM add_to_account(v_account_id, p_credits, 'grant', p_request_id, 'Opening credits',
            p_actor => p_actor);
    END IF;
    RETURN v_store;
END;
$$;
COMMENT ON FUNCTION create_store(uuid, text, text, text, int, text, text) IS
    'Makes a store with its account and opening credits, and returns it. Not idempotent: a store '
    'id is used once. Errors: SC002 credits below 0, SC003 request id.';

CREATE OR REPLACE FUNCTION update_store(
    p_store_id uuid,
    p_name text DEFAULT NULL,
    p_shop_domain text DEFAULT NULL,
    p_tier text DEFAULT NULL,
    p_status text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: change what is given of a store; null leaves as it was. Announced. The top-up of one that is
--   no longer suspended is looked at.
-- Locks: the store's row. Idempotent.
-- Outcomes: true: changed; false: no such store.
-- Errors: check_violation for an unknown status or a text of the wrong length.
DECLARE
    v_was text;
BEGIN
    SELECT s.status INTO v_was FROM stores s WHERE s.store_id = p_store_id FOR NO KEY UPDATE;
    UPDATE stores s
    SET name = coalesce(p_name, s.name),
        shop_domain = coalesce(p_shop_domain, s.shop_domain),
        tier = coalesce(p_tier, s.tier),
        status = coalesce(p_status, s.status),
        updated_at = now()
    WHERE s.store_id = p_store_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM tell_of_store('store.suspended', p_store_id, '{}')
    WHERE p_status = 'suspended' AND v_was <> 'suspended';
    PERFORM hasten_top_up(a.account_id) FROM accounts a
    WHERE a.owner_kind = 'store' AND a.owner_id = p_store_id
      AND p_status = 'active' AND v_was <> 'active';
    PERFORM pg_notify('storecredit_keys', p_store_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION update_store(uuid, text, text, text, text) IS
    'Changes what is given of a store (null: unchanged) and announces it. false: no such store.';

CREATE OR REPLACE FUNCTION create_store_api_key(
    p_store_id uuid,
    p_key_id uuid,
    p_key_hash bytea,
    p_key_start text,
    p_label text DEFAULT '',
    p_allowed_origins text[] DEFAULT '{}',
    p_expires_at timestamptz DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: give a store one more API key, known by its hash. Announced.
-- Locks: the new row; the store's row against deletion. Idempotency: none; a key id is used once
--   (unique_violation).
-- Outcomes: true: made; false: no such store.
-- Errors: check_violation for a value of the wrong length.
BEGIN
    IF NOT EXISTS (SELECT FROM stores s WHERE s.store_id = p_store_id) THEN
        RETURN false;
    END IF;
    INSERT INTO store_api_keys
        (store_id, key_id, key_hash, key_start, label, allowed_origins, expires_at)
    VALUES
        (p_store_id, p_key_id, p_key_hash, p_key_start, p_label, p_allowed_origins, p_expires_at);
    PERFORM note_key_here(p_key_hash);
    PERFORM tell_of_store('key.created', p_store_id,
        json_build_object('key_id', p_key_id, 'expires_at', in_utc(p_expires_at)));
    PERFORM pg_notify('storecredit_keys', p_store_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION
    create_store_api_key(uuid, uuid, bytea, text, text, text[], timestamptz) IS
    'Gives a store one more API key and announces it. false: no such store. Not idempotent.';

CREATE OR REPLACE FUNCTION update_store_api_key(
    p_store_id uuid,
    p_key_id uuid,
    p_label text DEFAULT NULL,
    p_allowed_origins text[] DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: change what is given of a key that works; null leaves as it was. Announced.
-- Locks: the key's row. Idempotent.
-- Outcomes: true: changed; false: the store has no such key, or it is revoked or expired.
-- Errors: check_violation for a value of the wrong length.
BEGIN
    UPDATE store_api_keys k
    SET label = coalesce(p_label, k.label),
        allowed_origins = coalesce(p_allowed_origins, k.allowed_origins)
    WHERE k.store_id = p_store_id AND k.key_id = p_key_id
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('storecredit_keys', p_store_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION update_store_api_key(uuid, uuid, text, text[]) IS
    'Changes what is given of a working key (null: unchanged) and announces it. '
    'false: no such key, or it no longer works. Idempotent.';

CREATE OR REPLACE FUNCTION revoke_store_api_key(
    p_store_id uuid,
    p_key_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: make a key useless, for ever. Announced.
-- Locks: the key's row. Idempotent: revoked_at keeps the first time.
-- Outcomes: true: the key is revoked, now or before; false: the store has no such key.
DECLARE
    v_was timestamptz;
BEGIN
    SELECT k.revoked_at INTO v_was FROM store_api_keys k
    WHERE k.store_id = p_store_id AND k.key_id = p_key_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE store_api_keys k SET revoked_at = coalesce(k.revoked_at, now())
    WHERE k.store_id = p_store_id AND k.key_id = p_key_id;
    PERFORM tell_of_store('key.revoked', p_store_id, json_build_object('key_id', p_key_id))
    WHERE v_was IS NULL;
    PERFORM pg_notify('storecredit_keys', p_store_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION revoke_store_api_key(uuid, uuid) IS
    'Revokes a key and announces it. true: revoked, now or before; false: no such key. Idempotent.';

CREATE OR REPLACE FUNCTION rotate_store_api_key(
    p_store_id uuid,
    p_key_id uuid,
    p_new_key_id uuid,
    p_new_key_hash bytea,
    p_new_key_start text,
    p_grace_seconds int DEFAULT 0
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: replace a key: a new one with the same label and origins and no expiry, while the old
--   one works for the grace time and no longer (at once: 0 or less; never longer than it had).
--   Announced.
-- Locks: the old key's row, so that a key is replaced once. Idempotency: none.
-- Outcomes: true: replaced; false: the store has no such key, or it is revoked or expired.
DECLARE
    v_label text;
    v_allowed_origins text[];
BEGIN
    UPDATE store_api_keys k
    SET expires_at = least(
            k.expires_at, now() + make_interval(secs => greatest(coalesce(p_grace_seconds, 0), 0)))
    WHERE k.store_id = p_store_id AND k.key_id = p_key_id
      AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    RETURNING k.label, k.allowed_origins INTO v_label, v_allowed_origins;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO store_api_keys (store_id, key_id, key_hash, key_start, label, allowed_origins)
    VALUES (p_store_id, p_new_key_id, p_new_key_hash, p_new_key_start, v_label, v_allowed_origins);
    PERFORM note_key_here(p_new_key_hash);
    PERFORM tell_of_store('key.created', p_store_id,
        json_build_object('key_id', p_new_key_id, 'expires_at', NULL));
    PERFORM pg_notify('storecredit_keys', p_store_id::text);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION rotate_store_api_key(uuid, uuid, uuid, bytea, text, int) IS
    'Replaces a working key by a new one; the old one expires after the grace time. '
    'false: no such key, or it no longer worked. Not idempotent.';
