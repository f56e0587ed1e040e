-- Browsers that are signed in, and links that sign in once. Whether a sign-in holds is looked up at each
-- request: nothing here has to hear of a token, a key or a store that works no longer.
--
-- They stand in the first of several buckets. A store that lives in another is not looked at here: whoever asks
-- looks there besides, at each request, by still_vouched() of that bucket.

CREATE OR REPLACE FUNCTION still_vouched(
    p_token_id uuid, p_admin_mark bytea, p_mark_now bytea, p_store_id uuid, p_key_id uuid
)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether whoever is behind a sign-in or a link may still come in. Locks: none.
-- p_mark_now: the mark of STORECREDIT_ADMIN_TOKEN as it is in force.
-- Outcomes: false: the operator's token was revoked, has expired or was replaced, or the store's key likewise,
--   or the store is suspended. Of a store that lives in another bucket nothing is said.
SELECT (p_admin_mark IS NULL OR p_admin_mark = p_mark_now)
    AND (p_token_id IS NULL OR EXISTS (
        SELECT FROM admin_tokens t
        WHERE t.token_id = p_token_id AND t.revoked_at IS NULL
          AND (t.expires_at IS NULL OR t.expires_at > now())))
    AND (p_store_id IS NULL OR EXISTS (
        SELECT FROM stores s WHERE s.store_id = p_store_id AND s.status = 'active')
        OR lives_elsewhere('store', p_store_id))
    AND (p_key_id IS NULL OR EXISTS (
        SELECT FROM store_api_keys k
        WHERE k.store_id = p_store_id AND k.key_id = p_key_id AND k.revoked_at IS NULL
          AND (k.expires_at IS NULL OR k.expires_at > now()))
        OR lives_elsewhere('store', p_store_id))
$$;
COMMENT ON FUNCTION still_vouched(uuid, bytea, bytea, uuid, uuid) IS
    'Whether the token, key and store behind a sign-in or a link still work.';

CREATE OR REPLACE FUNCTION remove_past_sign_ins()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: remove what is over, some of it each time, so that nobody waits long for it and no job is needed.
-- Locks: at most 100 rows of each table that nobody else holds. Idempotent.
BEGIN
    DELETE FROM sign_ins WHERE sign_in_id IN (
        SELECT i.sign_in_id FROM sign_ins i WHERE i.expires_at <= now()
        ORDER BY i.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    DELETE FROM sign_in_links WHERE code_hash IN (
        SELECT l.code_hash FROM sign_in_links l WHERE l.expires_at <= now()
        ORDER BY l.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED);
END;
$$;
COMMENT ON FUNCTION remove_past_sign_ins() IS
    'Removes at most 100 sign-ins and 100 links that are over.';

CREATE OR REPLACE FUNCTION sign_in_operator(
    p_sign_in_id uuid,
    p_secret_hash bytea,
    p_seconds int,
    p_token_hash bytea,
    p_admin_mark bytea
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: sign an operator in to the console: whose token has this hash or, without one, who sent
--   STORECREDIT_ADMIN_TOKEN, whose mark is kept. Locks: the new row; some that are over.
-- Idempotency: none; a secret is used once (unique_violation).
-- Outcomes: true: signed in; false: no such token works.
BEGIN
    PERFORM remove_past_sign_ins();
    IF p_token_hash IS NULL THEN
        INSERT INTO sign_ins (sign_in_id, secret_hash, door, actor, admin_mark, expires_at)
        VALUES (p_sign_in_id, p_secret_hash, 'console', 'admin', p_admin_mark,
            now() + make_interval(secs => p_seconds));
        RETURN true;
    END IF;
    INSERT INTO sign_ins (sign_in_id, secret_hash, door, actor, token_id, expires_at)
    SELECT p_sign_in_id, p_secret_hash, 'console', t.name, t.token_id,
        now() + make_interval(secs => p_seconds)
    FROM admin_tokens t
    WHERE t.token_hash = p_token_hash AND still_vouched(t.token_id, NULL, NULL, NULL, NULL);
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION sign_in_operator(uuid, bytea, int, bytea, bytea) IS
    'Signs an operator in to the console. false: no such token works. Not idempotent.';

CREATE OR REPLACE FUNCTION sign_in_store(
    p_sign_in_id uuid, p_secret_hash bytea, p_seconds int, p_key_hash bytea
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: sign a store in to its portal by its API key. Locks: the new row; some that are over.
-- Idempotency: none; a secret is used once (unique_violation).
-- Outcomes: true: signed in; false: no such key works, or its store is suspended.
BEGIN
    PERFORM remove_past_sign_ins();
    INSERT INTO sign_ins (sign_in_id, secret_hash, door, actor, store_id, key_id, expires_at)
    SELECT p_sign_in_id, p_secret_hash, 'portal', 'store', k.store_id, k.key_id,
        now() + make_interval(secs => p_seconds)
    FROM store_api_keys k
    WHERE k.key_hash = p_key_hash AND still_vouched(NULL, NULL, NULL, k.store_id, k.key_id);
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION sign_in_store(uuid, bytea, int, bytea) IS
    'Signs a store in to its portal by its API key. false: no such key works. Not idempotent.';

CREATE OR REPLACE FUNCTION make_sign_in_link(
    p_code_hash bytea,
    p_door text,
    p_issued_by text,
    p_link_seconds int,
    p_sign_in_seconds int,
    p_token_name text,
    p_admin_mark bytea,
    p_store_id uuid,
    p_key_id uuid
)
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a link that signs in once. At most one of p_token_name (an operator's), p_admin_mark and p_key_id
--   is behind it; what is, ends the link and what it began when it works no longer. None: a command of the
--   operator's, who could write to the database as well.
-- Locks: the new row; some that are over. Idempotency: none; a code is used once (unique_violation).
-- Outcomes: until when it can be used.
-- Errors: check_violation where more than one is behind it, and for times that are too long. A link of an
--   unknown store or key works as little as that of one that is gone.
DECLARE
    v_token_id uuid;
    v_expires_at timestamptz := now() + make_interval(secs => p_link_seconds);
BEGIN
    PERFORM remove_past_sign_ins();
    IF p_token_name IS NOT NULL THEN
        SELECT t.token_id INTO STRICT v_token_id FROM admin_tokens t WHERE t.name = p_token_name;
    END IF;
    INSERT INTO sign_in_links (code_hash, door, issued_by, expires_at, sign_in_seconds, token_id, admin_mark,
        store_id, key_id)
    VALUES (p_code_hash, p_door, p_issued_by, v_expires_at, p_sign_in_seconds, v_token_id, p_admin_mark,
        p_store_id, p_key_id);
    RETURN v_expires_at;
END;
$$;
COMMENT ON FUNCTION make_sign_in_link(bytea, text, text, int, int, text, bytea, uuid, uuid) IS
    'Makes a link that signs in once, and returns until when. Not idempotent.';

CREATE OR REPLACE FUNCTION sign_in_by_link(
    p_sign_in_id uuid, p_secret_hash bytea, p_code_hash bytea, p_door text, p_mark_now bytea
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: use a link up, and sign in by it. Locks: the link's row, for which another use waits, and then
--   finds it gone; some that are over.
-- Idempotency: none: a link works once.
-- Outcomes: true: signed in; false: there is no such link at this door, or it was used, is over, or who is
--   behind it may no longer come in. Then it is left as it was: a store may be active again.
DECLARE
    v_link sign_in_links;
BEGIN
    PERFORM remove_past_sign_ins();
    DELETE FROM sign_in_links l
    WHERE l.code_hash = p_code_hash AND l.door = p_door AND l.expires_at > now()
      AND still_vouched(l.token_id, l.admin_mark, p_mark_now, l.store_id, l.key_id)
    RETURNING l.* INTO v_link;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO sign_ins (sign_in_id, secret_hash, door, actor, token_id, admin_mark, store_id, key_id,
        expires_at)
    VALUES (p_sign_in_id, p_secret_hash, v_link.door, v_link.issued_by, v_link.token_id, v_link.admin_mark,
        v_link.store_id, v_link.key_id, now() + make_interval(secs => v_link.sign_in_seconds));
    RETURN true;
END;
$$;
COMMENT ON FUNCTION sign_in_by_link(uuid, bytea, bytea, text, bytea) IS
    'Signs in by a link, which works once. false: it does not, or no longer. Not idempotent.';

CREATE OR REPLACE FUNCTION end_sign_in(p_secret_hash bytea, p_door text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: sign out. Locks: the row. Idempotent.
BEGIN
    DELETE FROM sign_ins i WHERE i.secret_hash = p_secret_hash AND i.door = p_door;
END;
$$;
COMMENT ON FUNCTION end_sign_in(bytea, text) IS
    'Signs out. Idempotent.';
