-- What the last builds before this one had added, for a database that none of them has seen since: from
-- migration 0008 on. Rows are moved by it into tables that know no more of them. Nobody else is
-- at these tables until the end.

ALTER TABLE public.users ADD COLUMN IF NOT EXISTS is_bonus_withheld boolean NOT NULL DEFAULT false;
ALTER TABLE public.checkouts ADD COLUMN IF NOT EXISTS paddle_price_id text;
ALTER TABLE public.paddle_events
    ADD COLUMN IF NOT EXISTS subject text,
    ADD COLUMN IF NOT EXISTS foreign_subscription_id text,
    ADD COLUMN IF NOT EXISTS foreign_transaction_id text;
ALTER TABLE public.store_generation_sessions ADD COLUMN IF NOT EXISTS generator_message text;
ALTER TABLE public.generation_sessions ADD COLUMN IF NOT EXISTS generator_message text;
CREATE TABLE IF NOT EXISTS public.last_verification (
    only_row boolean PRIMARY KEY DEFAULT true,
    verified_at timestamptz NOT NULL,
    discrepancies int NOT NULL
);

-- Their functions, where the ones that are dropped later have taken their place.
DROP FUNCTION IF EXISTS public.ensure_user(uuid, int);
DROP FUNCTION IF EXISTS public.attach_checkout(uuid, text, text);
DROP FUNCTION IF EXISTS public.book_checkout(text, text, timestamptz, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS
    public.book_subscription_period(text, text, timestamptz, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS public.book_overage_payment(text, text, date, bigint, text, timestamptz);
DROP FUNCTION IF EXISTS
    public.apply_subscription_state(
        text, text, uuid, uuid, text, timestamptz, timestamptz, timestamptz, text[]);
DROP FUNCTION IF EXISTS public.settle_paddle_event(text, text, text);
DROP FUNCTION IF EXISTS public.settle_paddle_event(text, text, text, text);
DROP FUNCTION IF EXISTS public.settle_paddle_event(text, text, text, text, text);
DROP FUNCTION IF EXISTS public.retry_paddle_event(text);
DROP FUNCTION IF EXISTS public.create_store_generations(uuid, uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS public.fail_store_generations(uuid, uuid[], text[], text[]);
DROP FUNCTION IF EXISTS public.fail_store_generation(uuid, uuid, text, text);
DROP FUNCTION IF EXISTS public.settle_plain_failures(uuid[], uuid[], text[], text[]);
DROP FUNCTION IF EXISTS
    public.create_generations_across_stores(uuid[], uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS public.fail_generations_across_stores(uuid[], uuid[], text[], text[]);
DROP FUNCTION IF EXISTS public.create_generation(uuid, uuid, text, bytea, json, json);
DROP FUNCTION IF EXISTS
    public.create_generations_across_users(uuid[], uuid[], text[], bytea[], json[], json[]);
DROP FUNCTION IF EXISTS public.fail_generation(uuid, uuid, text, text);
DROP FUNCTION IF EXISTS public.fail_generations_across_users(uuid[], uuid[], text[], text[]);
