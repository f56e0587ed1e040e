-- The two ledgers, the stores' and the end users', under one set of names, for `storecredit
-- verify`: the rules are the same for both, so they stand once. A caller compares owner_kind with
-- a constant; the other ledger's branch is then gone from the plan, and what is left is the plan
-- of a query on the table itself.
--
-- Functions, not views: a later migration may alter the tables below them. All of them: locks
-- none; read only; SECURITY INVOKER and no SET clause, so that PostgreSQL inlines them into the
-- statement that calls them; hence `public.` before each table. `place` is a row's place on disk.

CREATE OR REPLACE FUNCTION ledger_owners()
RETURNS TABLE (owner_kind text, place tid, owner_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: every store and every end user.
    SELECT 'store'::text, s.ctid, s.store_id FROM public.stores s
    UNION ALL
    SELECT 'user'::text, u.ctid, u.user_id FROM public.users u;
$$;
COMMENT ON FUNCTION ledger_owners() IS
    'Every store and every end user.';

CREATE OR REPLACE FUNCTION ledger_credits()
RETURNS TABLE (
    owner_kind text, place tid, owner_id uuid, balance bigint, total_added bigint,
    total_spent bigint, total_clawed_back bigint, overage_used bigint, last_seq bigint)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: every credit row. End users have no overage.
    SELECT 'store'::text, c.ctid, c.store_id, c.balance, c.total_purchased,
        c.total_spent, c.total_clawed_back, c.overage_used, c.last_seq
    FROM public.store_credits c
    UNION ALL
    SELECT 'user'::text, c.ctid, c.user_id, c.balance, c.total_earned,
        c.total_spent, c.total_clawed_back, 0::bigint, c.last_seq
    FROM public.user_credits c;
$$;
COMMENT ON FUNCTION ledger_credits() IS
    'Every credit row, of stores and end users.';

CREATE OR REPLACE FUNCTION ledger_movements()
RETURNS TABLE (
    owner_kind text, place tid, owner_id uuid, seq bigint, type text, amount bigint,
    balance_after bigint, request_id text, session_id uuid)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: every movement. Types keep their names: an end user's deduction is a `generation`.
    SELECT 'store'::text, t.ctid, t.store_id, t.seq, t.type, t.amount,
        t.balance_after, t.request_id, t.session_id
    FROM public.store_credit_transactions t
    UNION ALL
    SELECT 'user'::text, t.ctid, t.user_id, t.seq, t.type, t.amount,
        t.balance_after, t.request_id, t.session_id
    FROM public.credit_transactions t;
$$;
COMMENT ON FUNCTION ledger_movements() IS
    'Every movement of credits, of stores and end users.';

CREATE OR REPLACE FUNCTION ledger_sessions()
RETURNS TABLE (
    owner_kind text, place tid, owner_id uuid, session_id uuid, request_id text, status text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
-- Purpose: every generation session.
    SELECT 'store'::text, s.ctid, s.store_id, s.session_id, s.request_id, s.status
    FROM public.store_generation_sessions s
    UNION ALL
    SELECT 'user'::text, s.ctid, s.user_id, s.session_id, s.request_id, s.status
    FROM public.generation_sessions s;
$$;
COMMENT ON FUNCTION ledger_sessions() IS
    'Every generation session, of stores and end users.';
