-- Who may do what, applied after the functions at every migration; running it again changes nothing.
--
-- storecredit_app, the application's role: read the tables, call the functions, work the job queue.
-- Nobody else but the owner: hosted PostgreSQL may hand new tables and functions to its own roles
-- by default (Supabase does: anon, authenticated, service_role), and a balance that can be written
-- around the functions proves nothing.

DO $$
DECLARE
    tables CONSTANT text[] := ARRAY[
        'stores', 'store_api_keys', 'store_credits', 'store_credit_transactions',
        'store_generation_sessions', 'store_overage_bills',
        'users', 'user_credits', 'credit_transactions', 'generation_sessions',
        'checkouts', 'store_subscriptions', 'payments', 'clawbacks', 'paddle_events',
        'last_verification', 'storecredit_schema'];
    internal CONSTANT text[] := ARRAY[
        'raise_credit_error', 'overage_bill_lock',
        'settle_plain_deductions', 'settle_plain_failures', 'lock_sessions_across_stores',
        'lock_user_credits', 'write_user_movement', 'refuse_bad_user_request',
        'settle_user_deduction', 'settle_user_refund',
        'take_back_after_downgrade', 'take_what_downgrades_missed'];
    functions CONSTANT text[] := ARRAY[
        'create_store', 'update_store',
        'create_store_api_key', 'update_store_api_key', 'revoke_store_api_key',
        'rotate_store_api_key',
        'add_store_credits', 'deduct_store_credits', 'deduct_store_credits_many',
        'refund_store_credits', 'refund_store_credits_many',
        'deduct_credits_across_stores', 'enqueue_jobs',
        'create_store_generations', 'create_generations_across_stores',
        'start_store_generations', 'start_generations_across_stores',
        'complete_store_generation', 'complete_store_generations',
        'complete_generations_across_stores',
        'fail_store_generation', 'fail_store_generations', 'fail_generations_across_stores',
        'postpone_store_generation', 'forget_store_generation_result',
        'forget_store_generator_message',
        'claw_back_store_credits', 'set_store_overage_limit',
        'close_store_overage', 'lock_store_overage_bill', 'begin_store_overage_charge',
        'accept_store_overage_charge', 'record_store_overage_charge',
        'note_store_overage_failure',
        'ensure_user', 'add_credits', 'deduct_credits', 'refund_credits', 'claw_back_credits',
        'create_generation', 'create_generations_across_users',
        'start_generation', 'start_generations_across_users',
        'complete_generation', 'complete_generations_across_users',
        'fail_generation', 'fail_generations_across_users', 'postpone_generation',
        'forget_generation_result', 'forget_generator_message',
        'open_checkout', 'attach_checkout', 'receive_paddle_event', 'settle_paddle_event',
        'reopen_foreign_paddle_events',
        'note_paddle_event_failure', 'retry_paddle_event', 'dismiss_billing_problem',
        'book_checkout', 'book_subscription_payment', 'book_overage_payment', 'book_adjustment',
        'apply_subscription_state', 'book_transaction',
        'ledger_owners', 'ledger_credits', 'ledger_movements', 'ledger_sessions',
        'fingerprint_of_state', 'fingerprint_of_generation', 'fingerprint_of_bill',
        'total_weight', 'is_possible_movement', 'balance_change',
        'sum_owners', 'sum_credits', 'sum_movements', 'sum_sessions', 'sum_overage_bills',
        'sum_payments', 'sum_clawbacks',
        'find_owner_discrepancies', 'find_movement_discrepancies', 'find_session_discrepancies',
        'find_bill_discrepancies', 'find_payment_discrepancies', 'find_clawback_discrepancies',
        'record_verification'];
    job_tables CONSTANT text[] := ARRAY[
        'pgqueuer', 'pgqueuer_log', 'pgqueuer_statistics', 'pgqueuer_schedules'];
    migration_tables CONSTANT text[] := ARRAY[
        '_yoyo_migration', '_yoyo_log', '_yoyo_version', 'yoyo_lock'];
    relations CONSTANT oid[] := (
        SELECT array_agg(c.oid) FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relname = ANY (tables || job_tables || migration_tables));
    sequences CONSTANT oid[] := (
        SELECT array_agg(s.oid) FROM pg_class s
        JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
        WHERE s.relkind = 'S' AND d.refobjid = ANY (relations));
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation, a.grantee
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = ANY (relations || sequences) AND a.grantee <> c.relowner
        UNION
        SELECT c.oid::regclass, a.grantee
        FROM pg_class c JOIN pg_attribute k ON k.attrelid = c.oid, aclexplode(k.attacl) a
        WHERE c.oid = ANY (relations) AND a.grantee <> c.relowner
    LOOP
        -- ON TABLE covers sequences, and the grants of single columns.
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s', item.relation,
            CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE item.grantee::regrole::text END);
    END LOOP;
    FOR item IN
        SELECT DISTINCT p.oid::regprocedure AS function, a.grantee
        FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE p.pronamespace = 'public'::regnamespace
          AND p.proname = ANY (functions || internal) AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', item.function,
            CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE item.grantee::regrole::text END);
    END LOOP;

    FOR item IN
        SELECT r.rolname AS role FROM pg_roles r
        WHERE r.rolname IN ('storecredit_app', 'service_role')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', item.role);
        EXECUTE (SELECT format('GRANT SELECT ON %s TO %I', string_agg(format('%I', t), ', '), item.role)
                 FROM unnest(tables) t);
        EXECUTE (SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I',
                     string_agg(p.oid::regprocedure::text, ', '), item.role)
                 FROM pg_proc p
                 WHERE p.pronamespace = 'public'::regnamespace AND p.proname = ANY (functions));
    END LOOP;
    EXECUTE (SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO storecredit_app',
                 string_agg(format('%I', t), ', '))
             FROM unnest(job_tables) t);
    EXECUTE (SELECT format('GRANT USAGE ON SEQUENCE %s TO storecredit_app',
                 string_agg(s::regclass::text, ', '))
             FROM unnest(sequences) s);
END;
$$;
