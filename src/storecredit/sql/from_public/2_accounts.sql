-- An account for every owner, and its ledger as it follows.

INSERT INTO accounts (owner_kind, owner_id, created_at, overage_limit)
SELECT 'store', s.store_id, s.created_at, c.overage_limit
FROM public.stores s JOIN public.store_credits c ON c.store_id = s.store_id
ORDER BY s.store_id;
INSERT INTO accounts (owner_kind, owner_id, created_at)
SELECT 'user', u.user_id, u.created_at
FROM public.users u JOIN public.user_credits c ON c.user_id = u.user_id
ORDER BY u.user_id;

-- Each movement with the state of its account after it, as it follows from all before.
CREATE VIEW pg_temp.followed_movements AS
SELECT t.owner_kind, t.owner_id, t.seq, t.created_at, t.session_id, t.type, t.amount, t.request_id,
    t.description, t.balance_after AS said_balance,
    row_number() OVER w AS place,
    lead(t.seq) OVER w IS NULL AS is_newest,
    sum(e.balance * t.amount) OVER w AS balance,
    sum(e.added * t.amount) OVER w AS added,
    sum(e.spent * t.amount) OVER w AS spent,
    sum(e.clawed_back * t.amount) OVER w AS clawed_back,
    sum(e.overage_used * t.amount) OVER w AS overage_used
FROM (
    SELECT 'store' AS owner_kind, m.store_id AS owner_id, m.seq, m.created_at, m.session_id, m.type,
        m.amount, m.request_id, m.description, m.balance_after
    FROM public.store_credit_transactions m
    UNION ALL
    SELECT 'user', m.user_id, m.seq, m.created_at, m.session_id,
        CASE m.type WHEN 'generation' THEN 'deduction' ELSE m.type END,
        m.amount, m.request_id, m.description, m.balance_after
    FROM public.credit_transactions m) t
LEFT JOIN movement_types e ON e.type = t.type AND t.owner_kind = ANY (e.owner_kinds)
WINDOW w AS (PARTITION BY t.owner_kind, t.owner_id ORDER BY t.seq);
