-- The system before: a Supabase project's schema `public`, with its roles and its schema `auth`.

CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;

CREATE TABLE public.users (
    id uuid PRIMARY KEY REFERENCES auth.users, email text NOT NULL, name text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE public.stores (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), shop_domain text UNIQUE NOT NULL,
    access_token text, scope text, subscription_tier text, subscription_id text,
    subscription_status text, subscription_current_period_end timestamptz,
    paddle_customer_id text,
    billing_mode text DEFAULT 'absorb_mode' CHECK (billing_mode IN ('absorb_mode', 'resell_mode')),
    status text DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE public.store_api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), store_id uuid NOT NULL REFERENCES public.stores,
    key_hash text NOT NULL, allowed_domains text[] NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true, created_at timestamptz DEFAULT now());
CREATE TABLE public.store_credits (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    store_id uuid UNIQUE NOT NULL REFERENCES public.stores, balance int NOT NULL DEFAULT 0,
    total_purchased int NOT NULL DEFAULT 0, total_spent int NOT NULL DEFAULT 0,
    updated_at timestamptz DEFAULT now());
CREATE TABLE public.store_credit_transactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), store_id uuid NOT NULL REFERENCES public.stores,
    amount int NOT NULL, type text NOT NULL, request_id text, description text,
    created_at timestamptz DEFAULT now());
CREATE UNIQUE INDEX store_credit_transactions_request
    ON public.store_credit_transactions (store_id, request_id, type) WHERE request_id IS NOT NULL;
CREATE TABLE public.user_credits (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid UNIQUE NOT NULL REFERENCES public.users, balance int NOT NULL DEFAULT 10,
    total_earned int NOT NULL DEFAULT 10, total_spent int NOT NULL DEFAULT 0,
    updated_at timestamptz DEFAULT now());
CREATE TABLE public.credit_transactions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES public.users,
    amount int NOT NULL, type text NOT NULL, description text,
    created_at timestamptz DEFAULT now());
CREATE TABLE public.generation_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES public.users,
    status text NOT NULL DEFAULT 'pending', prompt text, result_url text, error_message text,
    created_at timestamptz DEFAULT now(), started_at timestamptz, completed_at timestamptz);
CREATE TABLE public.store_generation_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), store_id uuid NOT NULL REFERENCES public.stores,
    status text NOT NULL DEFAULT 'queued', request_id text, prompt text, error_message text,
    created_at timestamptz DEFAULT now(), started_at timestamptz, completed_at timestamptz);
CREATE TABLE public.billing_webhook_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, provider text NOT NULL,
    event_id text NOT NULL, event_type text, payload jsonb, created_at timestamptz DEFAULT now(),
    UNIQUE (provider, event_id));

CREATE FUNCTION public.deduct_store_credits(
    p_store_id uuid, p_amount int, p_request_id text, p_description text DEFAULT 'Deducted')
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.store_credits SET balance = balance - p_amount, total_spent = total_spent + p_amount
    WHERE store_id = p_store_id AND balance >= p_amount;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO public.store_credit_transactions (store_id, amount, type, request_id, description)
    VALUES (p_store_id, -p_amount, 'deduction', p_request_id, p_description);
    RETURN true;
END;
$$;

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.stores ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_credits ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_credits ON public.user_credits FOR SELECT TO authenticated
    USING (user_id = auth.uid());
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
