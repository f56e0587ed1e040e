-- Less to write for each generation: indexes that the start of one leaves alone, and no look-up of
-- what the functions hold locked anyway.
-- depends: 0007_billing

-- In the order of everyone who writes here: credits, then sessions. Processes may be at work, and who
-- held the sessions while dropping their foreign key would wait for the credits, and be waited for.
LOCK TABLE store_credits, store_generation_sessions IN ACCESS EXCLUSIVE MODE;

-- An update stays on its page and out of all indexes (a heap-only tuple) only if it changes no
-- column that stands in any of them, conditions included. `status` changes at every step; whether
-- a session has ended, and whether with an error, changes once, and the table's constraints say
-- that these are the same thing.
DROP INDEX open_store_generation_sessions;
CREATE INDEX open_store_generation_sessions ON store_generation_sessions (store_id, session_id)
    WHERE completed_at IS NULL;
DROP INDEX failed_store_generation_sessions;
CREATE INDEX failed_store_generation_sessions ON store_generation_sessions (store_id, session_id)
    WHERE error_code IS NOT NULL;
DROP INDEX open_generation_sessions;
CREATE INDEX open_generation_sessions ON generation_sessions (user_id, session_id)
    WHERE completed_at IS NULL;
DROP INDEX failed_generation_sessions;
CREATE INDEX failed_generation_sessions ON generation_sessions (user_id, session_id)
    WHERE error_code IS NOT NULL;

-- As for the ledger: the functions hold the credit row's lock while they write here, and a foreign
-- key would look that row up once more for every session. `storecredit verify` names a session
-- without a store.
ALTER TABLE store_generation_sessions DROP CONSTRAINT store_generation_sessions_store_id_fkey;

-- The ledger has one deduction per request, and a session is written with its deduction only: that
-- is what makes it one session per request, and where a replay finds it. `storecredit verify` names
-- a session that its request's deduction was not made for.
ALTER TABLE store_generation_sessions DROP CONSTRAINT one_session_per_request;
