-- Which bucket an owner lives in, where there is more than one: the directory, in the first bucket.
--
-- An owner is written down before it is made, and so is a key: what is in the directory and was never made
-- is nobody. What is made in the first bucket is written down by that same transaction, so that a process
-- which does not know of other buckets yet does no harm.

CREATE OR REPLACE FUNCTION place_owner(p_owner_kind text, p_owner_id uuid, p_bucket int)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: which bucket an owner lives in; p_bucket from now on, if it is new. As long as there may be
--   processes that do not know of that bucket, it is not open, and the owner lives in the first one.
-- Locks: the new row. Idempotent by owner: of several at once one decides.
-- Errors: foreign_key_violation where there is no such bucket.
BEGIN
    IF EXISTS (SELECT FROM buckets b WHERE b.number = p_bucket AND b.opened_at > now()) THEN
        p_bucket := 0;
    END IF;
    INSERT INTO owner_buckets (owner_kind, owner_id, bucket) VALUES (p_owner_kind, p_owner_id, p_bucket)
    ON CONFLICT DO NOTHING;
    -- Locked, so that whoever is told has what synchronous standbys have, too.
    RETURN (SELECT o.bucket FROM owner_buckets o
        WHERE o.owner_id = p_owner_id AND o.owner_kind = p_owner_kind FOR KEY SHARE);
END;
$$;
COMMENT ON FUNCTION place_owner(text, uuid, int) IS
    'Says which bucket an owner lives in; the one that is named, if it is new.';

CREATE OR REPLACE FUNCTION place_key(p_key_hash bytea, p_bucket int)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: write down which bucket will know a new API key.
-- Locks: the new row. Idempotent by key.
    INSERT INTO key_buckets (key_hash, bucket) VALUES (p_key_hash, p_bucket) ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION place_key(bytea, int) IS 'Writes down which bucket will know a new API key.';

CREATE OR REPLACE FUNCTION lives_elsewhere(p_owner_kind text, p_owner_id uuid)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
-- Purpose: whether an owner lives in another bucket than the first, which is asked. Locks: none.
SELECT EXISTS (SELECT FROM owner_buckets o
    WHERE o.owner_id = p_owner_id AND o.owner_kind = p_owner_kind AND o.bucket <> 0)
$$;
COMMENT ON FUNCTION lives_elsewhere(text, uuid) IS
    'Whether an owner lives in another bucket than the first, where this is asked.';

CREATE OR REPLACE FUNCTION note_owner_here(p_owner_kind text, p_owner_id uuid)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: an owner who is made in the first of several buckets is in the directory, in the same
--   transaction; one who lives in another is refused.
-- Errors: cannot_connect_now for one who lives in another.
BEGIN
    IF EXISTS (SELECT FROM buckets) AND place_owner(p_owner_kind, p_owner_id, 0) <> 0 THEN
        -- "Not now": another process is asked, or this one once it was restarted.
        RAISE EXCEPTION 'this owner lives in another bucket, of which this process does not know yet'
            USING ERRCODE = 'cannot_connect_now';
    END IF;
END;
$$;
COMMENT ON FUNCTION note_owner_here(text, uuid) IS
    'Writes an owner who is made in the first of several buckets into the directory.';

CREATE OR REPLACE FUNCTION note_key_here(p_key_hash bytea)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: a key that is made in the first of several buckets is in the directory, in the same transaction.
BEGIN
    IF EXISTS (SELECT FROM buckets) THEN
        PERFORM place_key(p_key_hash, 0);
    END IF;
END;
$$;
COMMENT ON FUNCTION note_key_here(bytea) IS
    'Writes a key that is made in the first of several buckets into the directory.';

CREATE OR REPLACE FUNCTION place_action(p_idempotency_key text, p_bucket int)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the bucket in whose audit log an idempotency key may stand; p_bucket from now on, if it is new.
-- Locks: the new row. Idempotent by key: of several at once one decides.
-- Errors: foreign_key_violation where there is no such bucket.
BEGIN
    INSERT INTO action_buckets (idempotency_key, bucket) VALUES (p_idempotency_key, p_bucket)
    ON CONFLICT DO NOTHING;
    -- Locked, so that whoever is told has what synchronous standbys have, too.
    RETURN (SELECT a.bucket FROM action_buckets a
        WHERE a.idempotency_key = p_idempotency_key FOR KEY SHARE);
END;
$$;
COMMENT ON FUNCTION place_action(text, int) IS
    'Says in whose bucket''s audit log an idempotency key may stand; the one that is named, if it is new.';

CREATE OR REPLACE FUNCTION move_action(p_idempotency_key text, p_from int, p_to int)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: have an idempotency key under which nothing was done in one bucket be used in another. The caller
--   holds the key there (find_action), and has seen that nothing was.
-- Locks: the row. Idempotent: one that is no longer in p_from stays where it is.
    UPDATE action_buckets a SET bucket = p_to
    WHERE a.idempotency_key = p_idempotency_key AND a.bucket = p_from;
$$;
COMMENT ON FUNCTION move_action(text, int, int) IS
    'Has an idempotency key under which nothing was done in one bucket be used in another.';

CREATE OR REPLACE FUNCTION note_action_here(p_idempotency_key text)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: a key under which something was done in the first of several buckets is in the directory, in the
--   same transaction; one that may have been used in another is refused.
-- Errors: cannot_connect_now for one that is in another.
BEGIN
    IF p_idempotency_key IS NOT NULL AND EXISTS (SELECT FROM buckets)
        AND place_action(p_idempotency_key, 0) <> 0 THEN
        -- "Not now": another process is asked, or this one once it was restarted.
        RAISE EXCEPTION 'this idempotency key was used in another bucket, of which this process does not know yet'
            USING ERRCODE = 'cannot_connect_now';
    END IF;
END;
$$;
COMMENT ON FUNCTION note_action_here(text) IS
    'Writes an idempotency key that was used in the first of several buckets into the directory.';
