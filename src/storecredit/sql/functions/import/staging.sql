-- What is brought along from another system is laid down in tables of the session's own, which go when it
-- ends: a process that is killed leaves nothing behind, and a dry run changes nothing.
--
-- The service's role fills them. They belong to storecredit_writer, and every function that reads them
-- makes sure of it: in the place of a view or a table with policies, whose functions would run with
-- the writer's rights, nothing would be safe.

CREATE OR REPLACE FUNCTION begin_import()
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: make the tables that this session lays down in what is to be brought along. Once per session.
-- Locks: one of the session's own, so that one import is under way at a time. Errors: lock_not_available
--   while another one is; duplicate_table at the second time.
BEGIN
    IF NOT pg_try_advisory_lock(hashtextextended('storecredit import', 0)) THEN
        RAISE EXCEPTION 'another import is under way' USING ERRCODE = 'lock_not_available';
    END IF;
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
    GRANT SELECT, INSERT ON staged_stores, staged_keys, staged_origins, staged_balances,
        staged_movements, staged_sessions, staged_events TO storecredit_app;
END;
$$;
COMMENT ON FUNCTION begin_import() IS
    'Makes the tables of this session that an import lays down in what is to be brought along; one import '
    'at a time.';

CREATE OR REPLACE FUNCTION refuse_others_tables(p_tables text[])
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: refuse to read anything that is not a plain table of the writer's. Locks: none.
-- Errors: insufficient_privilege.
DECLARE
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY p_tables LOOP
        IF NOT EXISTS (
            SELECT FROM pg_class c
            WHERE c.oid = to_regclass('pg_temp.' || v_name) AND c.relkind = 'r'
              AND c.relowner = current_user::regrole) THEN
            RAISE EXCEPTION 'there is no % of an import that was begun in this session', v_name
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION refuse_others_tables(text[]) IS
    'Refuses to read what is no table of an import that was begun in this session.';
