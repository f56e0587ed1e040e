-- Adjustments: money of a payment went back, and its credits go with it. Never below zero: what could
-- not be taken stands in `clawbacks` as credits less taken.

CREATE OR REPLACE FUNCTION book_adjustment(
    p_provider text,
    p_adjustment_id text,
    p_transaction_id text,
    p_action text,
    p_is_full boolean,
    p_amount bigint,
    p_currency text
)
RETURNS TABLE (outcome text, credits bigint, taken bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: a payment was refunded or charged back: take back its credits, in proportion.
-- Locks: the payment's row, then the account. Idempotent by adjustment.
-- Outcomes: booked | already_booked | unknown_payment (it may be known later) | mismatch (another
--   currency, or no amount). `credits` were asked for and `taken`; 0 for an overage payment.
-- Errors: those of claw_back_from_account.
DECLARE
    v_payment payments;
BEGIN
    SELECT p.* INTO v_payment FROM payments p
    WHERE p.provider = p_provider AND p.provider_transaction_id = p_transaction_id FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_payment';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT c.credits, c.taken INTO credits, taken FROM clawbacks c
    WHERE c.provider = p_provider AND c.adjustment_id = p_adjustment_id;
    IF FOUND THEN
        outcome := 'already_booked';
    ELSIF p_currency IS DISTINCT FROM v_payment.currency OR p_amount IS NULL OR p_amount < 0 THEN
        outcome := 'mismatch';
    ELSE
        outcome := 'booked';
        credits := credits_of_adjustment(v_payment, p_is_full, p_amount);
        taken := take_back(v_payment, p_adjustment_id, p_action, p_amount, credits);
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION book_adjustment(text, text, text, text, boolean, bigint, text) IS
    'Takes back the credits of a payment that was refunded or charged back, in proportion and never '
    'below zero, once. Outcome: booked, already_booked, unknown_payment, mismatch.';

CREATE OR REPLACE FUNCTION credits_of_adjustment(
    p_payment payments,
    p_is_full boolean,
    p_amount bigint
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: how many credits go with an amount that goes back: its share of the payment's, rounded
--   down over all adjustments of the payment together; all that is left of them when it is full.
-- Locks: none; the caller holds the payment's row.
DECLARE
    v_amount numeric;
    v_asked bigint;
BEGIN
    SELECT coalesce(sum(c.amount), 0) + p_amount, coalesce(sum(c.credits), 0)
    INTO v_amount, v_asked
    FROM clawbacks c
    WHERE c.provider = p_payment.provider
      AND c.provider_transaction_id = p_payment.provider_transaction_id;
    RETURN CASE
        WHEN p_payment.kind = 'overage' THEN 0
        WHEN p_is_full THEN greatest(0, p_payment.credits - v_asked)
        -- Nothing was paid, and so nothing can have gone back but the tax.
        WHEN p_payment.amount = 0 THEN 0
        -- A full one, or a downgrade, before may have asked for more than its amount's share.
        WHEN v_amount >= p_payment.amount THEN greatest(0, p_payment.credits - v_asked)
        ELSE greatest(0, floor(p_payment.credits * v_amount / p_payment.amount) - v_asked) END;
END;
$$;
COMMENT ON FUNCTION credits_of_adjustment(payments, boolean, bigint) IS
    'How many of a payment''s credits go with an amount of it that goes back.';

CREATE OR REPLACE FUNCTION take_back(
    p_payment payments,
    p_adjustment_id text,
    p_action text,
    p_amount bigint,
    p_credits bigint,
    p_origin_request_id text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: take credits of a payment back, as far as the balance goes, and write it down. First those
--   that the payment added itself, or the request that is named.
-- Locks: the caller holds the payment's row; the account. Idempotency: the caller's, by adjustment.
-- Returns: how many were taken.
DECLARE
    v_taken bigint := 0;
BEGIN
    IF p_credits > 0 THEN
        v_taken := claw_back_from_account(
            p_payment.account_id, p_credits::int, p_adjustment_id, initcap(p_action),
            coalesce(p_origin_request_id, p_payment.request_id));
    END IF;
    INSERT INTO clawbacks
        (provider, adjustment_id, provider_transaction_id, action, amount, credits, taken)
    VALUES
        (p_payment.provider, p_adjustment_id, p_payment.provider_transaction_id, p_action, p_amount,
         p_credits, v_taken);
    IF v_taken < p_credits THEN
        PERFORM tell_of_problem(
            'clawback', p_payment.provider, p_adjustment_id, p_action, p_payment.account_id);
    END IF;
    RETURN v_taken;
END;
$$;
COMMENT ON FUNCTION take_back(payments, text, text, bigint, bigint, text) IS
    'Takes credits of a payment back, never below zero, and writes the clawback. Returns how many '
    'were taken.';

CREATE OR REPLACE FUNCTION take_back_after_downgrade(p_payment payments, p_credits bigint)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: a change, billed by p_payment, gave money back for the rest of a period: take so many
--   credits back, from the subscription's newest payments first and from none more than it added.
--   What was never added stands in `clawbacks` too, of this very payment: the one it belongs to may
--   be told later.
-- Locks: the caller holds the subscription's row and payments; the account. Idempotency: the
--   caller's, by transaction.
DECLARE
    v_left bigint := p_credits;
    v_part bigint;
    v_number int := 0;
    v_payment payments;
BEGIN
    FOR v_payment IN
        SELECT p.* FROM payments p
        WHERE p.provider = p_payment.provider
          AND p.provider_subscription_id = p_payment.provider_subscription_id
          AND p.kind <> 'overage' AND p.credits > 0
        ORDER BY p.paid_at DESC, p.provider_transaction_id DESC
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_payment.credits - coalesce((
            SELECT sum(c.credits) FROM clawbacks c
            WHERE c.provider = v_payment.provider
              AND c.provider_transaction_id = v_payment.provider_transaction_id), 0));
        CONTINUE WHEN v_part < 1;
        v_number := v_number + 1;
        PERFORM take_back(v_payment, p_payment.provider_transaction_id || ':' || v_number,
            'downgrade', floor(v_payment.amount::numeric * v_part / v_payment.credits)::bigint,
            v_part);
        v_left := v_left - v_part;
    END LOOP;
    IF v_left > 0 THEN
        INSERT INTO clawbacks
            (provider, adjustment_id, provider_transaction_id, action, amount, credits, taken)
        VALUES
            (p_payment.provider, p_payment.provider_transaction_id,
             p_payment.provider_transaction_id, 'downgrade', 0, v_left, 0);
    END IF;
END;
$$;
COMMENT ON FUNCTION take_back_after_downgrade(payments, bigint) IS
    'Takes back credits of a subscription''s payments, newest first, for money that a change within '
    'a period gave back. For book_subscription_payment, which holds the rows.';

CREATE OR REPLACE FUNCTION take_what_downgrades_missed(p_payment payments)
RETURNS void
LANGUAGE plpgsql
AS $$
-- Purpose: the store had spent what earlier downgrades of the subscription gave its money back for,
--   and that money pays for what p_payment has just added: take what was missing from these credits,
--   and from no others. Else whoever goes up and down again and again is given credits for nothing.
--   What the operator has dismissed is forgiven.
-- Locks: the caller holds the subscription's row and payments; the clawbacks, the account.
--   Idempotency: the caller's, by transaction.
DECLARE
    v_left bigint := p_payment.credits;
    v_part bigint;
    v_number int := 0;
    v_short record;
BEGIN
    FOR v_short IN
        SELECT c.adjustment_id, c.credits - c.taken AS missing, p AS payment
        FROM payments p JOIN clawbacks c USING (provider, provider_transaction_id)
        WHERE p.provider = p_payment.provider
          AND p.provider_subscription_id = p_payment.provider_subscription_id
          AND c.action = 'downgrade' AND c.taken < c.credits AND c.dismissed_at IS NULL
        ORDER BY c.created_at, c.adjustment_id
        FOR UPDATE OF c
    LOOP
        EXIT WHEN v_left = 0;
        v_part := least(v_left, v_short.missing);
        v_number := v_number + 1;
        -- It moves over to a clawback of its own, which is met by a movement of its own.
        UPDATE clawbacks c SET credits = c.credits - v_part
        WHERE c.provider = p_payment.provider AND c.adjustment_id = v_short.adjustment_id;
        PERFORM take_back(v_short.payment, p_payment.provider_transaction_id || ':' || v_number,
            'downgrade', 0, v_part, p_payment.request_id);
        v_left := v_left - v_part;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION take_what_downgrades_missed(payments) IS
    'Takes from credits that a subscription has just added what its earlier downgrades could not '
    'take back. For book_payment.';
