-- Accounts: made with their owner, locked by whoever moves their credits.

CREATE OR REPLACE FUNCTION open_account(p_owner_kind text, p_owner_id uuid)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: make the account of a new owner, which stands in the lists by balance from now on. Locks: the
--   new rows. Returns: its id; null: the owner has one. Of several calls at once one makes it, the others
--   wait here until that one has committed, and make it themselves if it was undone.
-- Errors: cannot_connect_now for one who lives in another bucket.
DECLARE
    v_account_id bigint;
BEGIN
    INSERT INTO accounts (owner_kind, owner_id) VALUES (p_owner_kind, p_owner_id)
    ON CONFLICT (owner_id, owner_kind) DO NOTHING
    RETURNING account_id INTO v_account_id;
    IF v_account_id IS NOT NULL THEN
        INSERT INTO summed_accounts (account_id, owner_kind, owner_id, seq)
        VALUES (v_account_id, p_owner_kind, p_owner_id, 0);
        PERFORM note_owner_here(p_owner_kind, p_owner_id);
    END IF;
    RETURN v_account_id;
END;
$$;
COMMENT ON FUNCTION open_account(text, uuid) IS
    'Makes the account of a new owner and returns its id; null: the owner has one.';

CREATE OR REPLACE FUNCTION account_of(p_owner_kind text, p_owner_id uuid)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: whose account it is, once, before anything is asked of it. Locks: none.
-- Errors: unknown_store, unknown_user.
DECLARE
    v_account_id bigint;
BEGIN
    SELECT a.account_id INTO v_account_id FROM accounts a
    WHERE a.owner_id = p_owner_id AND a.owner_kind = p_owner_kind;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_' || p_owner_kind, coalesce(p_owner_id::text, 'null'));
    END IF;
    RETURN v_account_id;
END;
$$;
COMMENT ON FUNCTION account_of(text, uuid) IS
    'The account of a store or a user. Errors: SC001 unknown store, SC008 unknown user.';

CREATE OR REPLACE FUNCTION lock_account(
    p_account_id bigint,
    OUT seq bigint, OUT balance bigint, OUT spent bigint, OUT clawed_back bigint,
    OUT overage_used bigint, OUT held bigint, OUT expired bigint, OUT removed bigint,
    OUT grants bigint[], OUT next_expiry timestamptz
)
LANGUAGE plpgsql
AS $$
-- Purpose: make the caller the only writer of one account until its transaction ends, and say what
--   the account has: the state after its newest movement, 0 where there is none. What has ended
--   since then stands in it still: see settle_accounts. Grants: null where nothing tells them apart.
-- Locks: the account. Errors: unknown_account.
BEGIN
    SELECT a.next_expiry INTO next_expiry FROM accounts a
    WHERE a.account_id = p_account_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_credit_error('unknown_account', coalesce(p_account_id::text, 'null'));
    END IF;
    -- In a statement of its own: it sees what was committed while the first one waited.
    SELECT m.seq, m.balance_after, m.spent_after, m.clawed_back_after, m.overage_used_after,
        m.held_after, m.expired_after, m.removed_after, m.grants_after
    INTO seq, balance, spent, clawed_back, overage_used, held, expired, removed, grants
    FROM movements m WHERE m.account_id = p_account_id
    ORDER BY m.account_id DESC, m.seq DESC LIMIT 1;
    seq := coalesce(seq, 0);
    balance := coalesce(balance, 0);
    spent := coalesce(spent, 0);
    clawed_back := coalesce(clawed_back, 0);
    overage_used := coalesce(overage_used, 0);
    held := coalesce(held, 0);
    expired := coalesce(expired, 0);
    removed := coalesce(removed, 0);
    grants := grants_told_apart(grants, next_expiry);
END;
$$;
COMMENT ON FUNCTION lock_account(bigint) IS
    'Locks one account and returns the state after its newest movement. Errors: SC010 unknown account.';

CREATE OR REPLACE FUNCTION lock_accounts(
    p_account_ids bigint[],
    OUT account_ids bigint[], OUT seqs bigint[], OUT balances bigint[], OUT spents bigint[],
    OUT clawed_backs bigint[], OUT overages_used bigint[], OUT are_plain boolean,
    OUT next_expiries timestamptz[], OUT rests movement_rest[]
)
LANGUAGE plpgsql
AS $$
-- Purpose: lock_settled_account for all accounts of a batch, each once. Returns: arrays, one place per
--   account, ascending; an account that there is not is left out. are_plain: of none of them is there
--   anything else to say; else next_expiries and rests say it, with the grants of the newest movement.
-- Locks: the accounts, ascending, so that two batches never wait for each other in a circle.
DECLARE
    v_next_expiry timestamptz;
BEGIN
    SELECT array_agg(a.account_id), min(a.next_expiry) INTO account_ids, v_next_expiry
    FROM (SELECT a.account_id, a.next_expiry FROM accounts a
          WHERE a.account_id = ANY (p_account_ids)
          ORDER BY a.account_id FOR NO KEY UPDATE) a;
    IF v_next_expiry <= clock_timestamp() THEN
        PERFORM settle_accounts(account_ids, clock_timestamp());
    END IF;
    -- In a statement of its own: it sees what was committed while the first one waited.
    SELECT array_agg(coalesce(m.seq, 0)), array_agg(coalesce(m.balance_after, 0)),
        array_agg(coalesce(m.spent_after, 0)), array_agg(coalesce(m.clawed_back_after, 0)),
        array_agg(coalesce(m.overage_used_after, 0)), v_next_expiry IS NULL AND bool_and(m.is_plain)
    INTO seqs, balances, spents, clawed_backs, overages_used, are_plain
    FROM unnest(account_ids) AS a (account_id)
    LEFT JOIN LATERAL (
        SELECT n.seq, n.balance_after, n.spent_after, n.clawed_back_after, n.overage_used_after,
            n.held_after IS NULL AND n.expired_after IS NULL AND n.removed_after IS NULL
                AND n.grants_after IS NULL AS is_plain
        FROM movements n WHERE n.account_id = a.account_id
        ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true;
    IF NOT are_plain THEN
        SELECT array_agg(a.next_expiry), array_agg(m.rest) INTO next_expiries, rests
        FROM unnest(account_ids) AS i (account_id)
        LEFT JOIN LATERAL (
            SELECT x.next_expiry FROM accounts x WHERE x.account_id = i.account_id LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT ROW(n.held_after, n.expired_after, n.removed_after, n.grants_after, NULL, NULL,
                NULL)::movement_rest AS rest
            FROM movements n WHERE n.account_id = i.account_id
            ORDER BY n.account_id DESC, n.seq DESC LIMIT 1) m ON true;
    END IF;
END;
$$;
COMMENT ON FUNCTION lock_accounts(bigint[]) IS
    'Locks the accounts of a batch, ascending, writes what has ended, and returns the state after their '
    'newest movements.';

CREATE OR REPLACE FUNCTION set_overage_limit(p_account_id bigint, p_overage_limit bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: how many credits an account may use beyond its balance until they are billed; 0: none.
--   A limit below what is used already takes nothing back: the next request is refused.
-- Locks: the account, so that every request sees either the old limit or the new one.
-- Idempotent. Outcomes: true: the limit stands; false: there is no such account.
-- Errors: invalid_overage (below 0, or more than a movement can hold when it is billed; above 0 for
--   an end user, who is never billed).
BEGIN
    IF (p_overage_limit BETWEEN 0 AND 2147483647) IS NOT TRUE THEN
        PERFORM raise_credit_error('invalid_overage', coalesce(p_overage_limit::text, 'null'));
    END IF;
    UPDATE accounts a SET overage_limit = p_overage_limit WHERE a.account_id = p_account_id;
    RETURN FOUND;
EXCEPTION WHEN check_violation THEN
    PERFORM raise_credit_error('invalid_overage', p_overage_limit::text);
END;
$$;
COMMENT ON FUNCTION set_overage_limit(bigint, bigint) IS
    'Sets how many credits an account may use beyond its balance until they are billed; 0: none. '
    'true: set; false: no such account. Errors: SC009 no such overage limit, '
    'or none for this owner.';

CREATE OR REPLACE FUNCTION set_low_threshold(p_account_id bigint, p_low_threshold bigint)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
-- Purpose: at or below how many credits the balance of an account is low; 0: it never is; null: at a tenth
--   of the last addition. Nothing is told of a line that is drawn anew: only crossing it is told.
-- Locks: the account, so that every movement sees either the old line or the new one.
-- Idempotent. Outcomes: true: it stands; false: there is no such account.
-- Errors: check_violation below 0.
BEGIN
    UPDATE accounts a SET low_threshold = p_low_threshold WHERE a.account_id = p_account_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION set_low_threshold(bigint, bigint) IS
    'Sets at or below how many credits the balance of an account is low; 0: never; null: a tenth of the '
    'last addition. true: set; false: no such account. Idempotent.';
