-- Functions of earlier builds that CREATE OR REPLACE cannot make anew: those that answer with other
-- columns now, and those that take further arguments, whose old form would stand beside the new one
-- and make calls ambiguous. They go in the transaction that makes the new ones: nobody finds neither.

DROP FUNCTION IF EXISTS ensure_user(uuid, int);
DROP FUNCTION IF EXISTS attach_checkout(uuid, text, text);
DROP FUNCTION IF EXISTS book_checkout(text, text, timestamptz, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS
    book_subscription_period(text, text, timestamptz, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS book_overage_payment(text, text, date, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS
    apply_subscription_state(
        text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, text[]);
DROP FUNCTION IF EXISTS settle_paddle_event(text, text, text);
DROP FUNCTION IF EXISTS settle_paddle_event(text, text, text, text);
DROP FUNCTION IF EXISTS settle_paddle_event(text, text, text, text, text);
DROP FUNCTION IF EXISTS retry_paddle_event(text);
DROP FUNCTION IF EXISTS create_store_generations(uuid, uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS fail_store_generations(uuid, uuid[], text[], text[]);
DROP FUNCTION IF EXISTS fail_store_generation(uuid, uuid, text, text);
DROP FUNCTION IF EXISTS settle_plain_failures(uuid[], uuid[], text[], text[]);
DROP FUNCTION IF EXISTS
    create_generations_across_stores(uuid[], uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS fail_generations_across_stores(uuid[], uuid[], text[], text[]);
DROP FUNCTION IF EXISTS create_generation(uuid, uuid, text, bytea, json, json);
DROP FUNCTION IF EXISTS
    create_generations_across_users(uuid[], uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS fail_generation(uuid, uuid, text, text);
DROP FUNCTION IF EXISTS fail_generations_across_users(uuid[], uuid[], text[], text[]);
