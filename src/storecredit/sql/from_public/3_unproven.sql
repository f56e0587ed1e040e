-- Owners whose credits do not follow from their movements, or who are named and are not there: nothing
-- may be moved, since the balance would be made right by it. No row: all of it follows.
WITH said AS (
    SELECT 'store' AS owner_kind, c.store_id AS owner_id, c.balance, c.total_purchased AS added,
        c.total_spent AS spent, c.total_clawed_back AS clawed_back, c.overage_used, c.last_seq
    FROM public.store_credits c
    UNION ALL
    SELECT 'user', c.user_id, c.balance, c.total_earned, c.total_spent, c.total_clawed_back, 0,
        c.last_seq
    FROM public.user_credits c
), proven AS (
    SELECT m.owner_kind, m.owner_id, count(*) AS last_seq,
        bool_and((m.seq = m.place AND m.balance = m.said_balance AND m.balance >= 0
            AND m.spent >= 0 AND m.clawed_back >= 0 AND m.overage_used >= 0) IS TRUE) AS follows,
        max(m.balance) FILTER (WHERE m.is_newest) AS balance,
        max(m.added) FILTER (WHERE m.is_newest) AS added,
        max(m.spent) FILTER (WHERE m.is_newest) AS spent,
        max(m.clawed_back) FILTER (WHERE m.is_newest) AS clawed_back,
        max(m.overage_used) FILTER (WHERE m.is_newest) AS overage_used
    FROM pg_temp.followed_movements m GROUP BY m.owner_kind, m.owner_id
), named AS (
    SELECT 'store' AS owner_kind, store_id AS owner_id FROM public.store_generation_sessions
    UNION SELECT 'user', user_id FROM public.generation_sessions
    UNION SELECT 'store', store_id FROM public.checkouts WHERE store_id IS NOT NULL
    UNION SELECT 'user', user_id FROM public.checkouts WHERE user_id IS NOT NULL
    UNION SELECT 'store', store_id FROM public.payments WHERE store_id IS NOT NULL
    UNION SELECT 'user', user_id FROM public.payments WHERE user_id IS NOT NULL
    UNION SELECT owner_kind, owner_id FROM said
    UNION SELECT owner_kind, owner_id FROM proven
)
SELECT n.owner_kind, n.owner_id
FROM named n
LEFT JOIN accounts a ON a.owner_kind = n.owner_kind AND a.owner_id = n.owner_id
LEFT JOIN said s ON s.owner_kind = n.owner_kind AND s.owner_id = n.owner_id
LEFT JOIN proven p ON p.owner_kind = n.owner_kind AND p.owner_id = n.owner_id
WHERE a.account_id IS NULL OR p.follows IS FALSE
   OR (s.last_seq, s.balance, s.added, s.spent, s.clawed_back, s.overage_used)
      IS DISTINCT FROM (coalesce(p.last_seq, 0), coalesce(p.balance, 0), coalesce(p.added, 0),
          coalesce(p.spent, 0), coalesce(p.clawed_back, 0), coalesce(p.overage_used, 0))
ORDER BY n.owner_kind, n.owner_id
LIMIT 1;
