-- Tamper evidence: where the service writes what it has hashed and signed (docs/proof.md). The hashes are made
-- outside the database, from what it says its rows are; nothing here is on the way of a movement of credits.
--
-- Whoever chains has the turn (`proving`). One that was stopped for longer than that may come back: so each
-- function below refuses what no longer follows from what is written, and asks one at a time.

CREATE OR REPLACE FUNCTION take_proving(p_holder uuid, p_lease interval, p_interval interval)
RETURNS TABLE (is_taken boolean, walked_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: have the turn, or keep it, for p_lease; if the last pass ended p_interval ago or longer.
-- Locks: the one row, without waiting for it. Idempotent.
-- Outcomes: is_taken: p_holder has it. Otherwise another does, it is not due, or the database is read-only.
DECLARE
    v_now proving;
BEGIN
    is_taken := false;
    IF NOT current_setting('transaction_read_only')::boolean THEN
        INSERT INTO proving DEFAULT VALUES ON CONFLICT DO NOTHING;
        SELECT p.* INTO v_now FROM proving p FOR UPDATE SKIP LOCKED;
        walked_at := v_now.walked_at;
        is_taken := FOUND
            AND (v_now.holder IS NULL OR v_now.holder = p_holder OR v_now.held_until <= now()
                 OR v_now.held_until > now() + p_lease)
            AND (v_now.passed_at IS NULL OR v_now.passed_at <= now() - p_interval
                 OR v_now.passed_at > now());
        UPDATE proving SET holder = p_holder, held_until = now() + p_lease WHERE is_taken;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION take_proving(uuid, interval, interval) IS
    'Has the turn to chain movements, or keeps it, if one is due. Returns whether, and when all accounts '
    'were last looked at.';

CREATE OR REPLACE FUNCTION end_proving(p_holder uuid, p_is_done boolean, p_is_walk boolean)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: give the turn back; p_is_done: the pass was finished; p_is_walk: it looked at every account.
-- Locks: the one row. Idempotent. Outcomes: false: p_holder did not have it any more.
BEGIN
    UPDATE proving p SET holder = NULL, held_until = NULL,
        passed_at = CASE WHEN p_is_done THEN now() ELSE p.passed_at END,
        walked_at = CASE WHEN p_is_done AND p_is_walk THEN now() ELSE p.walked_at END
    WHERE p.holder = p_holder;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION end_proving(uuid, boolean, boolean) IS
    'Gives the turn back, and says whether the pass was finished. false: it was another''s already.';

CREATE OR REPLACE FUNCTION place_accounts(
    p_account_ids bigint[], p_owner_kinds text[], p_owner_ids uuid[], p_salts bytea[]
)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: give these accounts their places among the leaves, after all that have one.
-- Locks: that of checkpoints. Idempotent: an account keeps the place it has. Returns: how many are new.
DECLARE
    v_new int;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('storecredit checkpoints', 0));
    INSERT INTO chained_accounts (position, account_id, owner_kind, owner_id, salt)
    SELECT (SELECT coalesce(max(c.position), -1) FROM chained_accounts c)
            + row_number() OVER (ORDER BY i.account_id),
        i.account_id, i.owner_kind, i.owner_id, i.salt
    FROM unnest(p_account_ids, p_owner_kinds, p_owner_ids, p_salts)
        i (account_id, owner_kind, owner_id, salt)
    WHERE NOT EXISTS (SELECT FROM chained_accounts c WHERE c.account_id = i.account_id);
    GET DIAGNOSTICS v_new = ROW_COUNT;
    RETURN v_new;
END;
$$;
COMMENT ON FUNCTION place_accounts(bigint[], text[], uuid[], bytea[]) IS
    'Gives accounts their places among the leaves of checkpoints, for ever. Returns how many are new.';

CREATE OR REPLACE FUNCTION add_chain_links(
    p_number bigint, p_positions bigint[], p_after_seqs bigint[], p_seqs bigint[],
    p_heads bytea[], p_kept_heads bytea[], p_marks bytea[], p_seals bytea[]
)
RETURNS int
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: continue chains: of each from the movement after p_after_seqs up to p_seqs, one link to a chain.
-- Locks: that of checkpoints. Idempotent: what does not begin where its chain ends is left out.
-- Outcomes: how many were added. null: checkpoint p_number was made meanwhile; nothing was.
DECLARE
    v_added int;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('storecredit checkpoints', 0));
    IF p_number <> (SELECT coalesce(max(c.number), 0) + 1 FROM checkpoints c) THEN
        RETURN NULL;
    END IF;
    INSERT INTO chain_links (position, seq, number, head, kept_head, marks, seal)
    SELECT i.position, i.seq, p_number, i.head, i.kept_head, i.marks, i.seal
    FROM unnest(p_positions, p_after_seqs, p_seqs, p_heads, p_kept_heads, p_marks, p_seals)
        i (position, after_seq, seq, head, kept_head, marks, seal)
    WHERE i.seq > i.after_seq AND i.after_seq = coalesce((
        SELECT l.seq FROM chain_links l WHERE l.position = i.position
        ORDER BY l.position DESC, l.seq DESC LIMIT 1), 0);
    GET DIAGNOSTICS v_added = ROW_COUNT;
    RETURN v_added;
END;
$$;
COMMENT ON FUNCTION add_chain_links(
    bigint, bigint[], bigint[], bigint[], bytea[], bytea[], bytea[], bytea[]) IS
    'Continues chains that still end where it says. Returns how many; null: that checkpoint was made.';

CREATE OR REPLACE FUNCTION add_checkpoint(
    p_number bigint, p_made_at timestamptz, p_owners bigint, p_movements bigint, p_ledger uuid,
    p_hashes bytea[], p_key_id bytea, p_signature bytea, p_chunks bytea, p_links bigint
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: keep a signed checkpoint, the next one, of all that is chained by now. p_hashes: its root, that of
--   the log, and the hash of the one before; p_links: how many links it is of.
-- Locks: that of checkpoints.
-- Outcomes: false: another was made, or more was chained, meanwhile; nothing was written.
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('storecredit checkpoints', 0));
    IF p_number <> (SELECT coalesce(max(c.number), 0) + 1 FROM checkpoints c)
        OR p_links <> (SELECT count(*) FROM chain_links l WHERE l.number = p_number) THEN
        RETURN false;
    END IF;
    INSERT INTO checkpoints (number, made_at, owners, movements, ledger, root, log_root, previous,
        key_id, signature, chunks)
    VALUES (p_number, p_made_at, p_owners, p_movements, p_ledger, p_hashes[1], p_hashes[2],
        p_hashes[3], p_key_id, p_signature, p_chunks);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION add_checkpoint(
    bigint, timestamptz, bigint, bigint, uuid, bytea[], bytea, bytea, bytea, bigint) IS
    'Keeps the next checkpoint, signed, if nothing was chained since. false: something was.';
