-- Periods of a subscription: when the credits of one end, and how many of them live on into the next.
--
-- Months are counted by the calendar, in UTC, from the day on which a period began: from January 31 on
-- they end on February 28, March 31, April 30. Credits never end before their period does. An end
-- that nobody has told, or could mean, ends nothing.

CREATE OR REPLACE FUNCTION terms_of_period(
    p_starts_at timestamptz,
    p_ends_at timestamptz,
    p_rollover_max bigint,
    OUT expires_at timestamptz,
    OUT rollover_max bigint,
    OUT rollover_until timestamptz
)
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the terms of a period's credits, so many of which live on until the end of the next one;
--   null: they do not expire. Where the period is over by now, they are those of the one that runs:
--   who has paid can spend.
-- Locks: none. Errors: none. All null: they do not expire.
DECLARE
    v_now CONSTANT timestamp := clock_timestamp() AT TIME ZONE 'UTC';
    v_start CONSTANT timestamp := p_starts_at AT TIME ZONE 'UTC';
    v_end CONSTANT timestamp := p_ends_at AT TIME ZONE 'UTC';
    -- The period ends so many months after this, the next one a month later.
    v_origin timestamp := v_end;
    v_months int := 0;
BEGIN
    IF p_rollover_max IS NULL OR (v_end < v_now + '100 years'::interval
            AND coalesce(v_start < v_end, true)) IS NOT TRUE THEN
        RETURN;
    ELSIF v_start + '1 month'::interval = v_end THEN
        v_origin := v_start;
        v_months := 1;
    END IF;
    v_months := v_months + greatest(0, extract(year FROM age(v_now, v_end)) * 12
        + extract(month FROM age(v_now, v_end)))::int;
    WHILE v_origin + make_interval(months => v_months) <= v_now LOOP  -- twice at most
        v_months := v_months + 1;
    END LOOP;
    expires_at := (v_origin + make_interval(months => v_months)) AT TIME ZONE 'UTC';
    IF p_rollover_max > 0 THEN
        rollover_max := p_rollover_max;
        rollover_until := (v_origin + make_interval(months => v_months + 1)) AT TIME ZONE 'UTC';
    END IF;
END;
$$;
COMMENT ON FUNCTION terms_of_period(timestamptz, timestamptz, bigint) IS
    'When the credits of a subscription''s period expire, and how many of them live on until when. '
    'For the functions that book payments.';

CREATE OR REPLACE FUNCTION terms_of_change(
    p_subscription subscriptions,
    p_changed_at timestamptz,
    p_ends_at timestamptz,
    p_rollover_max bigint,
    OUT expires_at timestamptz,
    OUT rollover_max bigint,
    OUT rollover_until timestamptz
)
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: the terms of credits that a change within a period adds. They end with the period, and are
--   spent before its own, which live on first: so of both together no more live on than may, and as
--   many. Where the change does not tell the period's end, it is that of the subscription's state.
-- Locks: none; the caller holds the subscription's row and payments. Errors: none.
DECLARE
    v_terms record;
    v_period_starts_at timestamptz := (
        SELECT p.period_starts_at FROM payments p
        WHERE p.provider = p_subscription.provider
          AND p.provider_subscription_id = p_subscription.provider_subscription_id
          AND p.kind = 'subscription' AND p.period_starts_at <= p_changed_at
          AND p.period_starts_at + '1 month'::interval > p_changed_at
        ORDER BY p.period_starts_at DESC LIMIT 1);
    -- What the period has added so far; null: its own payment is not told yet.
    v_added bigint := (
        SELECT sum(p.credits) FROM payments p
        WHERE p.provider = p_subscription.provider
          AND p.provider_subscription_id = p_subscription.provider_subscription_id
          AND p.kind = 'subscription'
          AND coalesce(p.period_starts_at, p.paid_at) >= v_period_starts_at);
BEGIN
    v_terms := terms_of_period(v_period_starts_at,
        coalesce(p_ends_at, CASE WHEN p_subscription.period_ends_at > p_changed_at
            THEN p_subscription.period_ends_at END),
        p_rollover_max);
    expires_at := v_terms.expires_at - '1 microsecond'::interval;
    IF v_terms.rollover_max > v_added THEN
        rollover_max := v_terms.rollover_max - v_added;
        rollover_until := v_terms.rollover_until;
    END IF;
END;
$$;
COMMENT ON FUNCTION terms_of_change(subscriptions, timestamptz, timestamptz, bigint) IS
    'When credits that a change within a subscription''s period adds expire, and how many of them live '
    'on until when. For book_subscription_payment.';
