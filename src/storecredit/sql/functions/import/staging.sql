-- What is brought along from another system is laid down in tables of the session's own, which go when it
-- ends: a process that is killed leaves nothing behind, and a dry run changes nothing.
--
-- None of these functions lends its rights, so that the service's role can call none of them: whoever imports
-- logs in as the one who migrates, and acts as storecredit_writer for that session, whose tables these are.

CREATE OR REPLACE FUNCTION begin_import()
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: make the tables that this session lays down in what is to be brought along. Once per session.
-- Locks: one of the session's own, so that one import is under way at a time: of one that was killed the
--   end is waited for. Errors: lock_not_available after a minute; duplicate_table at the second time.
BEGIN
    PERFORM set_config('lock_timeout', '60s', true);
    PERFORM pg_advisory_lock(hashtextextended('storecredit import', 0));
    CREATE TEMP TABLE staged_stores (
        store_id uuid PRIMARY KEY, shop_domain text, tier text, status text, created_at timestamptz,
        updated_at timestamptz);
    CREATE TEMP TABLE staged_keys (
        key_id uuid PRIMARY KEY, store_id uuid NOT NULL, key_hash text NOT NULL, domains text,
        is_active boolean, created_at timestamptz);
    CREATE TEMP TABLE staged_origins (domain text PRIMARY KEY, origin text);
    CREATE TEMP TABLE staged_balances (
        owner_kind text, owner_id uuid, balance int NOT NULL, PRIMARY KEY (owner_kind, owner_id));
    CREATE TEMP TABLE staged_movements (
        owner_kind text, row_id uuid NOT NULL, owner_id uuid NOT NULL, created_at timestamptz,
        amount int NOT NULL, type text NOT NULL, request_id text, description text);
    CREATE TEMP TABLE staged_sessions (
        owner_kind text, session_id uuid NOT NULL, owner_id uuid NOT NULL, created_at timestamptz,
        started_at timestamptz, ended_at timestamptz, status text, request_id text, error text);
    CREATE TEMP TABLE staged_events (
        provider text, event_id text, event_type text, occurred_at timestamptz,
        PRIMARY KEY (provider, event_id));
END;
$$;
COMMENT ON FUNCTION begin_import() IS
    'Makes the tables of this session that an import lays down in what is to be brought along; one import '
    'at a time.';
