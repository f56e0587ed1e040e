-- Payments that the operator books by hand, because they are nothing that our record knows.
--
-- Lock order: the checkout's row, the subscription's, then the buyer's credit row.

CREATE OR REPLACE FUNCTION book_transaction(
    p_transaction_id text,
    p_subscription_id text,
    p_store_id uuid,
    p_user_id uuid,
    p_credits int,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_description text
)
RETURNS TABLE (outcome text, payment payments)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
-- Purpose: the operator says how many credits a transaction of Paddle's is worth: its payment, so
--   that a refund finds it, and the credits in the buyer's ledger, as a purchase. Its event is
--   settled with it. The buyer is whose checkout or subscription it pays; one that p_store_id or
--   p_user_id names must be the same, or says it where no record does.
-- Locks: the checkout's row, the subscription's, then the buyer's credit row. Idempotent by
--   transaction.
-- Outcomes: booked | replayed (by hand before, for the same credits) | already_booked (for others,
--   or by its event) | other_owner | unknown_owner (no record and nobody named, or not known)
--   | conflict (the request id has added other credits). `payment` is what is booked, for the first
--   three. Only `booked` writes.
-- Errors: those of add_store_credits and add_credits, but for request_conflict.
DECLARE
    v_checkout checkouts;
    v_store_id uuid;
    v_user_id uuid;
    v_request_id text := 'booking:' || p_transaction_id;
    v_added boolean;
BEGIN
    SELECT c.* INTO v_checkout FROM checkouts c
    WHERE c.paddle_transaction_id = p_transaction_id FOR UPDATE;
    SELECT s.store_id INTO v_store_id FROM store_subscriptions s
    WHERE s.paddle_subscription_id = p_subscription_id FOR UPDATE;
    SELECT p.* INTO payment FROM payments p WHERE p.paddle_transaction_id = p_transaction_id;
    IF payment.paddle_transaction_id IS NOT NULL THEN
        v_store_id := payment.store_id;
        v_user_id := payment.user_id;
    ELSIF v_checkout.checkout_id IS NOT NULL THEN
        v_store_id := v_checkout.store_id;
        v_user_id := v_checkout.user_id;
    ELSIF v_store_id IS NULL THEN
        v_store_id := p_store_id;
        v_user_id := p_user_id;
    END IF;
    IF p_store_id <> v_store_id OR p_user_id <> v_user_id
        OR num_nonnulls(p_store_id, v_user_id) = 2 OR num_nonnulls(p_user_id, v_store_id) = 2 THEN
        payment := NULL;
        outcome := 'other_owner';
    ELSIF payment.paddle_transaction_id IS NOT NULL THEN
        outcome := CASE WHEN payment.request_id = v_request_id AND payment.credits = p_credits
            THEN 'replayed' ELSE 'already_booked' END;
    ELSIF NOT EXISTS (SELECT FROM store_credits s WHERE s.store_id = v_store_id)
        AND NOT EXISTS (SELECT FROM user_credits u WHERE u.user_id = v_user_id) THEN
        outcome := 'unknown_owner';
    END IF;
    IF outcome IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    BEGIN
        IF v_store_id IS NOT NULL THEN
            v_added := add_store_credits(
                v_store_id, p_credits, 'purchase', v_request_id, p_description);
        ELSE
            v_added := add_credits(v_user_id, p_credits, 'purchase', v_request_id, p_description);
        END IF;
        IF v_added THEN
            INSERT INTO payments AS p
                (paddle_transaction_id, store_id, user_id, checkout_id, paddle_subscription_id,
                 paid_at, kind, credits, amount, currency, request_id)
            VALUES
                (p_transaction_id, v_store_id, v_user_id, v_checkout.checkout_id,
                 p_subscription_id, p_paid_at, 'purchase', p_credits, p_amount, p_currency,
                 v_request_id)
            RETURNING p.* INTO payment;
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'SC004' THEN
            v_added := false;
        WHEN unique_violation THEN
            -- Named for two buyers at once, neither of whom any record knows: the first has it.
            SELECT p.* INTO payment FROM payments p
            WHERE p.paddle_transaction_id = p_transaction_id;
            outcome := 'already_booked';
            RETURN NEXT;
            RETURN;
    END;
    IF v_added THEN
        UPDATE paddle_events e
        SET status = 'processed', reason = 'Booked by hand.', settled_at = now()
        WHERE e.event_type = 'transaction.completed' AND e.content ->> 'id' = p_transaction_id
          AND e.status IN ('received', 'failing', 'set_aside');
    END IF;
    outcome := CASE WHEN v_added THEN 'booked' ELSE 'conflict' END;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION book_transaction(
    text, text, uuid, uuid, int, bigint, text, timestamptz, text) IS
    'Books a transaction of Paddle''s by hand, for so many credits, once, and settles its event. '
    'Outcome: booked, replayed, already_booked, other_owner, unknown_owner, conflict.';
