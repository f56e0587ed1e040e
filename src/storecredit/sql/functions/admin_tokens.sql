-- The tokens of operators: made and revoked. Whether one works is looked up at each request.

CREATE OR REPLACE FUNCTION create_admin_token(
    p_token_id uuid,
    p_name text,
    p_token_hash bytea,
    p_token_start text,
    p_scopes text[],
    p_expires_at timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: give an operator a token, known by its hash. Locks: the new row.
-- Idempotency: none; a token id is used once (unique_violation).
-- Outcomes: true: made; false: the name was given to another before, and is not given again.
-- Errors: check_violation for a name of the wrong length, or that cannot be had, and unknown scopes.
BEGIN
    INSERT INTO admin_tokens (token_id, name, token_hash, token_start, scopes, expires_at)
    VALUES (p_token_id, p_name, p_token_hash, p_token_start, p_scopes, p_expires_at)
    ON CONFLICT (name) DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION create_admin_token(uuid, text, bytea, text, text[], timestamptz) IS
    'Gives an operator a token. false: the name was given before. Not idempotent.';

CREATE OR REPLACE FUNCTION revoke_admin_token(p_token_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: make a token useless, for ever. Locks: its row.
-- Idempotent: revoked_at keeps the first time.
-- Outcomes: true: revoked, now or before; false: there is no such token.
BEGIN
    UPDATE admin_tokens t SET revoked_at = coalesce(t.revoked_at, now())
    WHERE t.token_id = p_token_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION revoke_admin_token(uuid) IS
    'Revokes a token. true: revoked, now or before; false: no such token. Idempotent.';
