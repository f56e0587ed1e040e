-- What the earlier build had made in `public` is dropped, once its rows are elsewhere. It is what stood
-- there at its end, by name: nothing else in the schema is ours.

DROP FUNCTION IF EXISTS public.accept_store_overage_charge(uuid,date);
DROP FUNCTION IF EXISTS public.add_credits(uuid,integer,text,text,text);
DROP FUNCTION IF EXISTS public.add_store_credits(uuid,integer,text,text,text);
DROP FUNCTION IF EXISTS public.apply_subscription_state(text,text,uuid,uuid,text,timestamp with time zone,timestamp with time zone,timestamp with time zone,text[],text,bigint,bigint,text);
DROP FUNCTION IF EXISTS public.attach_checkout(uuid,text,text,text);
DROP FUNCTION IF EXISTS public.balance_change(text,bigint);
DROP FUNCTION IF EXISTS public.begin_store_overage_charge(uuid,date,text,integer);
DROP FUNCTION IF EXISTS public.book_adjustment(text,text,text,boolean,bigint,text);
DROP FUNCTION IF EXISTS public.book_checkout(text,text,timestamp with time zone,bigint,text,timestamp with time zone,bigint);
DROP FUNCTION IF EXISTS public.book_overage_payment(text,text,date,bigint,text,timestamp with time zone,bigint);
DROP FUNCTION IF EXISTS public.book_subscription_payment(text,text,timestamp with time zone,text,bigint,bigint,text,timestamp with time zone);
DROP FUNCTION IF EXISTS public.book_transaction(text,text,uuid,uuid,integer,bigint,text,timestamp with time zone,text);
DROP FUNCTION IF EXISTS public.claw_back_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.claw_back_store_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.close_store_overage(uuid,date,bigint,text);
DROP FUNCTION IF EXISTS public.complete_generation(uuid,uuid,text);
DROP FUNCTION IF EXISTS public.complete_generations_across_stores(uuid[],uuid[],text[]);
DROP FUNCTION IF EXISTS public.complete_generations_across_users(uuid[],uuid[],text[]);
DROP FUNCTION IF EXISTS public.complete_store_generation(uuid,uuid,text);
DROP FUNCTION IF EXISTS public.complete_store_generations(uuid,uuid[],text[]);
DROP FUNCTION IF EXISTS public.create_generation(uuid,uuid,text,bytea,json,json);
DROP FUNCTION IF EXISTS public.create_generations_across_stores(uuid[],uuid[],text[],bytea[],json[],json[]);
DROP FUNCTION IF EXISTS public.create_generations_across_users(uuid[],uuid[],text[],bytea[],json[],json[]);
DROP FUNCTION IF EXISTS public.create_store(uuid,text,text,text,integer,text);
DROP FUNCTION IF EXISTS public.create_store_api_key(uuid,uuid,bytea,text,text,text[],timestamp with time zone);
DROP FUNCTION IF EXISTS public.create_store_generations(uuid,uuid[],text[],bytea[],json[],json[]);
DROP FUNCTION IF EXISTS public.deduct_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.deduct_credits_across_stores(uuid[],integer[],text[],text[],uuid[]);
DROP FUNCTION IF EXISTS public.deduct_store_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.deduct_store_credits_many(uuid,integer[],text[],text[],uuid[]);
DROP FUNCTION IF EXISTS public.dismiss_billing_problem(text);
DROP FUNCTION IF EXISTS public.enqueue_jobs(text,text[],bytea[]);
DROP FUNCTION IF EXISTS public.ensure_user(uuid,integer,boolean);
DROP FUNCTION IF EXISTS public.fail_generation(uuid,uuid,text,text,text);
DROP FUNCTION IF EXISTS public.fail_generations_across_stores(uuid[],uuid[],text[],text[],text[]);
DROP FUNCTION IF EXISTS public.fail_generations_across_users(uuid[],uuid[],text[],text[],text[]);
DROP FUNCTION IF EXISTS public.fail_store_generation(uuid,uuid,text,text,text);
DROP FUNCTION IF EXISTS public.fail_store_generations(uuid,uuid[],text[],text[],text[]);
DROP FUNCTION IF EXISTS public.find_bill_discrepancies();
DROP FUNCTION IF EXISTS public.find_clawback_discrepancies();
DROP FUNCTION IF EXISTS public.find_movement_discrepancies(text,uuid,bigint,uuid,bigint);
DROP FUNCTION IF EXISTS public.find_owner_discrepancies(text,uuid,uuid);
DROP FUNCTION IF EXISTS public.find_payment_discrepancies();
DROP FUNCTION IF EXISTS public.find_session_discrepancies(text,uuid,uuid,uuid,uuid);
DROP FUNCTION IF EXISTS public.fingerprint_of_bill(uuid,bigint,bigint,text,bigint);
DROP FUNCTION IF EXISTS public.fingerprint_of_generation(uuid,uuid,text,bigint);
DROP FUNCTION IF EXISTS public.fingerprint_of_state(uuid,bigint,bigint,bigint);
DROP FUNCTION IF EXISTS public.forget_generation_result(uuid,uuid);
DROP FUNCTION IF EXISTS public.forget_generator_message(uuid,uuid);
DROP FUNCTION IF EXISTS public.forget_store_generation_result(uuid,uuid);
DROP FUNCTION IF EXISTS public.forget_store_generator_message(uuid,uuid);
DROP FUNCTION IF EXISTS public.is_possible_movement(text,bigint,text,bigint,bigint,uuid);
DROP FUNCTION IF EXISTS public.ledger_credits();
DROP FUNCTION IF EXISTS public.ledger_movements();
DROP FUNCTION IF EXISTS public.ledger_owners();
DROP FUNCTION IF EXISTS public.ledger_sessions();
DROP FUNCTION IF EXISTS public.lock_sessions_across_stores(uuid[],uuid[]);
DROP FUNCTION IF EXISTS public.lock_store_overage_bill(uuid,date);
DROP FUNCTION IF EXISTS public.lock_user_credits(uuid);
DROP FUNCTION IF EXISTS public.note_paddle_event_failure(text,text,integer);
DROP FUNCTION IF EXISTS public.note_store_overage_failure(uuid,date,text,interval,boolean);
DROP FUNCTION IF EXISTS public.open_checkout(uuid,uuid,uuid,text,text,bigint,bigint,text,text);
DROP FUNCTION IF EXISTS public.overage_bill_lock(uuid,date);
DROP FUNCTION IF EXISTS public.postpone_generation(uuid,uuid,text,boolean);
DROP FUNCTION IF EXISTS public.postpone_store_generation(uuid,uuid,text,boolean);
DROP FUNCTION IF EXISTS public.raise_credit_error(text,text);
DROP FUNCTION IF EXISTS public.receive_paddle_event(text,text,timestamp with time zone,json,text,text);
DROP FUNCTION IF EXISTS public.record_store_overage_charge(uuid,date,text);
DROP FUNCTION IF EXISTS public.record_verification(timestamp with time zone,integer);
DROP FUNCTION IF EXISTS public.refund_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.refund_store_credits(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.refund_store_credits_many(uuid,integer[],text[],text[]);
DROP FUNCTION IF EXISTS public.refuse_bad_user_request(integer,text);
DROP FUNCTION IF EXISTS public.reopen_foreign_paddle_events();
DROP FUNCTION IF EXISTS public.retry_paddle_event(text);
DROP FUNCTION IF EXISTS public.revoke_store_api_key(uuid,uuid);
DROP FUNCTION IF EXISTS public.rotate_store_api_key(uuid,uuid,uuid,bytea,text,integer);
DROP FUNCTION IF EXISTS public.set_store_overage_limit(uuid,bigint);
DROP FUNCTION IF EXISTS public.settle_paddle_event(text,text,text,text,text,text);
DROP FUNCTION IF EXISTS public.settle_plain_deductions(uuid[],integer[],text[],text[],uuid[],bytea[],json[],json[]);
DROP FUNCTION IF EXISTS public.settle_plain_failures(uuid[],uuid[],text[],text[],text[]);
DROP FUNCTION IF EXISTS public.settle_user_deduction(uuid,integer,text,text,uuid);
DROP FUNCTION IF EXISTS public.settle_user_refund(uuid,integer,text,text);
DROP FUNCTION IF EXISTS public.start_generation(uuid,uuid);
DROP FUNCTION IF EXISTS public.start_generations_across_stores(uuid[],uuid[]);
DROP FUNCTION IF EXISTS public.start_generations_across_users(uuid[],uuid[]);
DROP FUNCTION IF EXISTS public.start_store_generations(uuid,uuid[]);
DROP FUNCTION IF EXISTS public.sum_clawbacks(bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_credits(text,bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_movements(text,bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_overage_bills(bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_owners(text,bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_payments(bigint,tid,tid);
DROP FUNCTION IF EXISTS public.sum_sessions(text,bigint,tid,tid);
DROP FUNCTION IF EXISTS public.take_back_after_downgrade(text,text,bigint);
DROP FUNCTION IF EXISTS public.take_what_downgrades_missed(text,text,bigint);
DROP FUNCTION IF EXISTS public.total_weight(uuid,bigint,bigint);
DROP FUNCTION IF EXISTS public.update_store(uuid,text,text,text,text);
DROP FUNCTION IF EXISTS public.update_store_api_key(uuid,uuid,text,text[]);
DROP FUNCTION IF EXISTS public.write_user_movement(uuid,text,bigint,text,text,uuid);

DROP TABLE
    public.stores, public.store_api_keys, public.users, public.checkouts, public.store_subscriptions,
    public.payments, public.clawbacks, public.paddle_events, public.store_overage_bills,
    public.store_credits, public.user_credits, public.store_credit_transactions,
    public.credit_transactions, public.store_generation_sessions, public.generation_sessions,
    public.last_verification, public.storecredit_schema;

REVOKE USAGE ON SCHEMA public FROM storecredit_app;

-- The records of the tool that applied the migrations then. Somebody else may use it here, too.
DELETE FROM public._yoyo_migration WHERE migration_id IN (
    '0001_stores', '0002_ledger', '0003_generation', '0004_schema', '0005_overage', '0006_users',
    '0007_billing', '0008_hot_updates', '0009_verification', '0010_anonymous_users',
    '0011_plan_changes', '0012_generator_messages', '0013_foreign_events',
    '0014_foreign_transactions');
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM public._yoyo_migration) THEN
        DROP TABLE public._yoyo_migration, public._yoyo_log, public._yoyo_version, public.yoyo_lock;
    END IF;
END;
$$;
